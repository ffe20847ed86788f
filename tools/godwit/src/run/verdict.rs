//! What a run has shown: the report, and what is not as it should be.

use super::build::Ids;
use super::events::Course;
use super::state;
use crate::inspect::hex;
use crate::progress::{JobState, title};
use crate::report::{self, Bases, Bytes, Kind, Report, Stopped};
use crate::scenario::{Action, Event, Expect, Expected, Job, Scenario, Trigger};
use crate::units::exact_time;
use godwit_shim::{Loss, LossCause};
use godwit_world::{
    EvacuationReport, HostId, JobReport, LegReport, MoveKind, MoveReport, NeighbourReport, Place,
    ShareReport, World,
};
use sha2::{Digest, Sha256};

/// Writes the report of a run that is over; `in_time`: before its limit.
pub(super) fn report(
    scenario: &Scenario,
    ids: &Ids,
    world: &World,
    course: &Course,
    in_time: bool,
) -> Report {
    let mut problems: Vec<String> = world.problems().to_vec();
    if !in_time {
        let limit = exact_time(scenario.time_limit_ns);
        problems.push(format!("the run was not over after {limit} of virtual time"));
    }
    let reports = world.job_reports();
    let ended = course.ended().iter().map(|at| &scenario.events[*at]);
    let moves: Vec<report::Move> = ended
        .zip(world.move_reports())
        .map(|(event, it)| {
            let line = moved(scenario, world, &reports, event, it);
            if !matches!(event.action, Action::Evacuate(_)) {
                problems.extend(unexpected(scenario, event, &line.outcome));
            }
            line
        })
        .collect();
    let evacuations: Vec<report::Evacuation> = course
        .evacuations(world)
        .map(|(at, it)| {
            let event = &scenario.events[at];
            problems.extend(evacuation_problem(scenario, event, world, &it));
            evacuated(world, event, &it)
        })
        .collect();
    let missing = course.missing(world);
    for event in missing.iter().map(|at| &scenario.events[*at]) {
        let what = numbered(scenario, event);
        problems.push(format!("{what}: it did not happen, or did not end"));
    }
    problems.extend(unlike(scenario, world, course, &reports, &missing));
    problems.extend(lost_vgpus(world));
    let suspended: Vec<_> = world.suspended().into_iter().map(|(id, _)| id).collect();
    let jobs = scenario
        .jobs
        .iter()
        .zip(&reports)
        .map(|(job, it)| {
            let asleep = suspended.contains(&ids.vgpus[job.vgpu.index()]);
            let (line, problem) = judged(scenario, job, it, asleep);
            problems.extend(problem);
            line
        })
        .collect();
    Report {
        seed: scenario.seed,
        moves,
        evacuations,
        jobs,
        firmware_losses: world.losses().map(|it| lost(world, it)).collect(),
        shares: world.share_reports().iter().map(|it| share(world, it)).collect(),
        neighbours: world.neighbour_reports().iter().map(|it| neighbour(world, it)).collect(),
        costs: report::costs(&scenario.costs),
        verified: problems.is_empty(),
        problems,
    }
}

/// What is wrong with events that are no transfers, and with when they happened.
fn unlike(
    scenario: &Scenario,
    world: &World,
    course: &Course,
    reports: &[JobReport],
    missing: &[usize],
) -> Vec<String> {
    let mut problems: Vec<String> =
        scenario.events.iter().filter_map(|event| late(scenario, reports, event)).collect();
    let happened = (0..scenario.events.len()).filter(|at| !missing.contains(at));
    let unmet = course.unmet(world);
    problems.extend(happened.filter_map(|at| {
        let event = &scenario.events[at];
        without_effect(scenario, event, unmet.contains(&at))
    }));
    problems.extend(course.updates(world).filter_map(|(at, done)| {
        let event = &scenario.events[at];
        let wrong = match (event.expect, done) {
            (Expect::Failed, Ok(())) => "it was done, and was expected to fail",
            (Expect::Failed, Err(_)) | (_, Ok(())) => return None,
            (_, Err(why)) => why,
        };
        Some(format!("{}: {wrong}", numbered(scenario, event)))
    }));
    problems
}

/// Starts of firmware that had not all vGPUs of the one before.
fn lost_vgpus(world: &World) -> impl Iterator<Item = String> {
    world.losses().filter_map(|(host, _, loss)| match &loss.cause {
        LossCause::Vgpus(_) => Some(format!("{}: {loss}", world.host_name(host))),
        _ => None,
    })
}

/// What a vGPU had of the engines, in percent of the run.
fn share(world: &World, it: &ShareReport) -> report::Share {
    let percent = |ns: u64| {
        // Hundredths, rounded, so that no float's last digit matters.
        let hundredths = u128::from(ns) * 10_000 / u128::from(world.now_ns().max(1));
        hundredths as f64 / 100.0
    };
    report::Share {
        vgpu: world.vgpu_name(it.vgpu).to_owned(),
        compute_percent: percent(it.compute_ns),
        copy_percent: percent(it.copy_ns),
        preemptions: it.preemptions,
        abuses: it.abuses.clone(),
    }
}

fn moved(
    scenario: &Scenario,
    world: &World,
    jobs: &[JobReport],
    event: &Event,
    it: &MoveReport,
) -> report::Move {
    let stopped = it.job.and_then(|(job, instructions)| {
        let job = jobs.iter().find(|report| report.job == job)?;
        Some(Stopped { job: job.name.clone(), instructions, of: job.instructions })
    });
    let host_of = |place: &Option<Place>| {
        place.map_or_else(|| "-".to_owned(), |place| world.host_name(place.host).to_owned())
    };
    let (from, to, file) = match &event.action {
        Action::Suspend { file, .. } => (host_of(&it.old), file.shown.clone(), Some(file)),
        Action::Resume { file, host, .. } => {
            (file.shown.clone(), host.of(scenario).name.clone(), Some(file))
        }
        Action::Move { to, .. } => (host_of(&it.old), to.of(scenario).name.clone(), None),
        Action::Evacuate(_) => {
            let to = it.to.map_or("-", |to| world.host_name(to));
            (host_of(&it.old), to.to_owned(), None)
        }
        Action::Fault { .. }
        | Action::RestartFirmware { .. }
        | Action::CrashFirmware { .. }
        | Action::UpdateFirmware { .. }
        | Action::Schedule { .. }
        | Action::Share { .. } => {
            unreachable!("the world reports on transfers")
        }
    };
    let outcome = match (outcome(&it.outcome), file) {
        // Where files lie is the machine's affair, not the scenario's.
        (told, Some(file)) => told.replace(&file.path.display().to_string(), &file.shown),
        (told, None) => told,
    };
    report::Move {
        vgpu: world.vgpu_name(it.vgpu).to_owned(),
        from,
        to,
        kind: match it.kind {
            MoveKind::Live => Kind::Live,
            MoveKind::StopAndCopy => Kind::StopAndCopy,
            MoveKind::Suspend => Kind::Suspend,
            MoveKind::Resume => Kind::Resume,
        },
        outcome,
        stopped,
        blackout_ns: it.blackout_ns,
        estimate: it.estimate.map(|it| report::Estimate {
            round_bytes: it.round_bytes,
            bytes_per_second: it.rate,
            blackout_ns: it.downtime_ns,
        }),
        total_ns: it.total_ns,
        rounds: it.rounds,
        turns_kept: 1.0 / f64::from(1_u32 << it.throttle.shift()),
        bytes: Bytes { precopy: it.bytes.precopy, stop: it.bytes.stop, state: it.bytes.state },
        old: it.old.map(bases),
        new: it.new.map(bases),
    }
}

/// `moved`, or `refused: …` or `failed: …`.
fn outcome(of: &Result<(), String>) -> String {
    match of {
        Ok(()) => "moved".to_owned(),
        Err(why) if why.starts_with("refused") || why.starts_with("failed") => why.clone(),
        Err(why) => format!("failed: {why}"),
    }
}

/// An evacuation in the report.
fn evacuated(world: &World, event: &Event, it: &EvacuationReport) -> report::Evacuation {
    let Action::Evacuate(how) = &event.action else { unreachable!("the course has told it apart") };
    let leg = |leg: &LegReport| report::Leg {
        vgpu: world.vgpu_name(leg.vgpu).to_owned(),
        to: leg.to.map(|to| world.host_name(to).to_owned()),
        outcome: leg.outcome.as_ref().map_or_else(|| NOT_ENDED.to_owned(), outcome),
        transfer: leg.transfer,
    };
    report::Evacuation {
        host: world.host_name(it.from).to_owned(),
        parallel: how.parallel,
        bandwidth: how.bandwidth,
        legs: it.legs.iter().map(leg).collect(),
    }
}

/// What is told of a move that was not over when the run was.
const NOT_ENDED: &str = "failed: it has not ended";

/// Says so if an evacuation has ended in another way than the scenario expects.
fn evacuation_problem(
    scenario: &Scenario,
    event: &Event,
    world: &World,
    it: &EvacuationReport,
) -> Option<String> {
    let stays: Vec<String> = it
        .legs
        .iter()
        .filter(|leg| leg.outcome != Some(Ok(())))
        .map(|leg| format!("`{}` stays", world.vgpu_name(leg.vgpu)))
        .collect();
    let wrong = match (event.expect, stays.is_empty()) {
        (Expect::Failed, true) => "it was done, and was expected to fail".to_owned(),
        (Expect::Failed, false) | (_, true) => return None,
        (_, false) => format!("{}; it was expected to be done", stays.join(", ")),
    };
    Some(format!("{}: {wrong}", numbered(scenario, event)))
}

fn lost(world: &World, (host, at_ns, loss): (HostId, u64, &Loss)) -> report::FirmwareLoss {
    report::FirmwareLoss {
        host: world.host_name(host).to_owned(),
        at_ns,
        cause: loss.cause.name().to_owned(),
        told: loss.to_string(),
    }
}

fn bases(place: Place) -> Bases {
    Bases {
        partition_base: place.placement.fb_base,
        bar_base: place.placement.bar_base,
        channel_base: place.placement.channel_base,
    }
}

/// What an event does, and where the scenario says so: events without names may be alike.
fn numbered(scenario: &Scenario, event: &Event) -> String {
    let title = title(scenario, &event.action);
    match event.line {
        Some(line) => format!("{title} (line {line})"),
        None => title,
    }
}

/// Says so if a fault has met something or nothing, and the other was expected.
fn without_effect(scenario: &Scenario, event: &Event, unmet: bool) -> Option<String> {
    if !matches!(event.action, Action::Fault { .. } | Action::CrashFirmware { .. }) {
        return None;
    }
    let wrong = match (event.expect, unmet) {
        (Expect::Unmet, false) => "it has taken effect, and was expected to meet nothing",
        (Expect::Done | Expect::Refused | Expect::Failed, true) => "it never took effect",
        (Expect::Unmet, true) | (_, false) => return None,
    };
    Some(format!("{}: {wrong}", numbered(scenario, event)))
}

/// Says so if an event has ended in another way than the scenario expects.
fn unexpected(scenario: &Scenario, event: &Event, outcome: &str) -> Option<String> {
    let (fits, expected) = match event.expect {
        Expect::Done => (outcome == "moved", "to be done"),
        Expect::Refused => (outcome.starts_with("refused"), "to be refused"),
        Expect::Failed => (outcome.starts_with("failed"), "to fail"),
        Expect::Unmet => unreachable!("only faults are, and the world does not report on them"),
    };
    (!fits).then(|| {
        format!("{}: {outcome}; it was expected {expected}", title(scenario, &event.action))
    })
}

/// Says so if an event was to come at an instruction that its job never ran.
fn late(scenario: &Scenario, reports: &[JobReport], event: &Event) -> Option<String> {
    let Trigger::After { job, instructions } = event.trigger else { return None };
    let ran = reports[job.index()].instructions;
    (ran < instructions).then(|| {
        let (what, job) = (title(scenario, &event.action), &job.of(scenario).name);
        format!("{what}: it waited for instruction {instructions} of `{job}`, which ran {ran}")
    })
}

/// A job's line in the report, and what is not as it must be.
pub(crate) fn judged(
    scenario: &Scenario,
    job: &Job,
    it: &JobReport,
    asleep: bool,
) -> (report::Job, Option<String>) {
    let digest = it.output.as_ref().map(|output| hex(&Sha256::digest(output)));
    let expected = match &job.expected {
        Expected::Sha256(digest) => Some(hex(digest)),
        Expected::Endless | Expected::Unknown => None,
    };
    let problem = match (&job.expected, state(it)) {
        (_, JobState::Faulted | JobState::Suspended) => Some(format!("it is {}", it.state)),
        (_, JobState::Running) if asleep => {
            Some("it has not ended, since its vGPU is in a file".to_owned())
        }
        (Expected::Endless, JobState::Running) if it.ok && it.instructions > 0 => None,
        (_, JobState::Running) => Some(format!("it is {}", it.state)),
        (Expected::Endless, JobState::Done) => Some("it has ended, and never should".to_owned()),
        (Expected::Unknown, JobState::Done) => {
            Some("nobody said what its output must be".to_owned())
        }
        (Expected::Sha256(_), JobState::Done) if digest != expected => {
            Some("its output is wrong".to_owned())
        }
        (Expected::Sha256(_), JobState::Done) if !it.ok => {
            Some("its guest was not told of its end".to_owned())
        }
        (Expected::Sha256(_), JobState::Done) => None,
    };
    let line = report::Job {
        name: job.name.clone(),
        vgpu: job.vgpu.of(scenario).name.clone(),
        instructions: it.instructions,
        preemptions: it.preemptions,
        digest,
        expected,
        ok: problem.is_none(),
    };
    (line, problem.map(|problem| format!("job `{}`: {problem}", job.name)))
}

fn neighbour(world: &World, it: &NeighbourReport) -> report::Neighbour {
    report::Neighbour {
        vgpu: world.vgpu_name(it.vgpu).to_owned(),
        transfer: it.transfer,
        window_ns: it.window_ns,
        before: throughput(it.before),
        during: throughput(it.during),
        due: throughput(it.due),
    }
}

fn throughput(it: godwit_world::Throughput) -> report::Throughput {
    report::Throughput {
        instructions_per_ms: it.instructions_per_ms,
        copied_bytes_per_ms: it.copied_bytes_per_ms,
    }
}
