//! Runs a scenario in the world, and looks at what has become of it.

mod build;
mod events;
mod host;
mod verdict;

use crate::progress::{JobState, Progress};
use crate::report::Report;
use crate::scenario::{Expect, Expected, Scenario};
use build::Ids;
use events::Course;
use godwit_shim::Mcu;
use godwit_world::{JobReport, World, WorldError};
use std::fmt;

pub(crate) use build::CONTEXT_LAYOUT;
pub(crate) use host::{HostWorld, one_job};
pub(crate) use verdict::judged;

/// Virtual time between two looks at the jobs.
const LOOK_NS: u64 = 1_000_000;
/// How long jobs that never end go on for a fault that is to meet something, when all else is
/// over: many slices.
const FAULT_NS: u64 = 100_000_000;

/// Why a run gave no report.
#[derive(Debug)]
pub enum RunError {
    /// The simulated hosts cannot be made.
    World(WorldError),
    /// The firmware of a host does not come up again.
    Firmware {
        /// The host.
        host: String,
        /// What was last seen of it.
        loss: String,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World(error) => write!(f, "the scenario cannot be set up: {error}"),
            Self::Firmware { host, loss } => {
                write!(f, "the firmware of `{host}` was restarted again and again: {loss}")
            }
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::World(error) => Some(error),
            Self::Firmware { .. } => None,
        }
    }
}

impl From<WorldError> for RunError {
    fn from(error: WorldError) -> Self {
        Self::World(error)
    }
}

/// How a job stands, as far as a run must know.
fn state(report: &JobReport) -> JobState {
    match report.state.as_str() {
        "done" => JobState::Done,
        "waiting" | "running" => JobState::Running,
        _ => JobState::Faulted,
    }
}

/// Runs a scenario to its end, or to its limit of virtual time, with the firmware in this
/// process.
///
/// # Errors
///
/// When the simulated hosts cannot be made. What goes wrong in the run is in the report.
pub fn execute(scenario: &Scenario, progress: &mut dyn Progress) -> Result<Report, RunError> {
    execute_on(scenario, &Mcu::Native, progress)
}

/// The same, with the firmware of every host on a microcontroller of this kind.
///
/// # Errors
///
/// When the simulated hosts cannot be made, or one's firmware is gone for good.
pub fn execute_on(
    scenario: &Scenario,
    mcu: &Mcu,
    progress: &mut dyn Progress,
) -> Result<Report, RunError> {
    let (mut world, ids) = build::world(scenario, mcu)?;
    let mut course = Course::new(scenario, &ids, &mut world);
    let mut watch = Watch { scenario, ids: &ids, quiet_from: None };
    let mut look_ns = 0;
    let mut in_time = true;
    loop {
        course.follow(&ids, &mut world, progress);
        pass_on_log(&mut world, progress);
        if world.now_ns() >= look_ns {
            look_ns = world.now_ns() + LOOK_NS;
            course.tell(&ids, &world, progress);
            if watch.look(&world, &course, progress) {
                break;
            }
        }
        if world.now_ns() >= scenario.time_limit_ns {
            in_time = false;
            break;
        }
        world.step();
        if let Some((host, loss)) = world.lost_host() {
            let host = world.host_name(host).to_owned();
            return Err(RunError::Firmware { host, loss: loss.to_string() });
        }
    }
    pass_on_log(&mut world, progress);
    world.check_leaks();
    world.check_guests();
    Ok(verdict::report(scenario, &ids, &world, &course, in_time))
}

/// Tells what the firmware of all hosts has logged meanwhile.
fn pass_on_log(world: &mut World, progress: &mut dyn Progress) {
    for (host, line) in world.take_log() {
        progress.log(world.host_name(host), &line);
    }
}

/// Decides when a run is over.
struct Watch<'a> {
    scenario: &'a Scenario,
    ids: &'a Ids,
    /// When everything else was over, and what the jobs that never end had run by then.
    quiet_from: Option<(u64, Vec<u64>)>,
}

impl Watch<'_> {
    /// Whether every event and every job that can end is over, and those that never end have
    /// gone on since.
    fn look(&mut self, world: &World, course: &Course, progress: &mut dyn Progress) -> bool {
        let reports = world.job_reports();
        let suspended = world.suspended();
        let (mut over, mut endless) = (course.is_over(world), Vec::new());
        for (at, (job, report)) in self.scenario.jobs.iter().zip(&reports).enumerate() {
            let vgpu = self.ids.vgpus[job.vgpu.index()];
            let asleep = suspended.iter().any(|(id, _)| *id == vgpu);
            let state = match state(report) {
                JobState::Running if asleep => JobState::Suspended,
                state => state,
            };
            progress.job(at, report.instructions, state);
            if state != JobState::Running {
                continue;
            }
            match job.expected {
                Expected::Endless => endless.push(report.instructions),
                Expected::Sha256(_) | Expected::Unknown => over = false,
            }
        }
        if !over {
            self.quiet_from = None;
            return false;
        }
        let now_ns = world.now_ns();
        match &self.quiet_from {
            Some((since_ns, before)) if before.len() == endless.len() => {
                let awaited = now_ns < since_ns + FAULT_NS && self.awaits_fault(world, course);
                !awaited && before.iter().zip(&endless).all(|(before, now)| now > before)
            }
            _ => {
                let done = endless.is_empty();
                self.quiet_from = Some((now_ns, endless));
                done
            }
        }
    }

    /// Whether a fault that is to meet something has not.
    fn awaits_fault(&self, world: &World, course: &Course) -> bool {
        let events = &self.scenario.events;
        course.unmet(world).iter().any(|at| events[*at].expect == Expect::Done)
    }
}
