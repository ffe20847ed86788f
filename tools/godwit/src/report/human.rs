//! The report as tables.

use super::{
    Bases, Cost, Evacuation, FirmwareLoss, Job, Kind, Move, Neighbour, Report, Share, Stopped,
    Throughput,
};
use crate::table::table;
use crate::units::{about_count, about_size, about_time};

/// Digits of a digest that are shown.
const DIGEST_SHOWN: usize = 16;

impl Report {
    /// Tables and a last line that says whether all was verified. Lines are no longer than
    /// `width` columns, if there is one.
    pub fn human(&self, width: Option<u16>) -> String {
        let mut parts = Vec::new();
        if !self.moves.is_empty() {
            parts.push(moves(&self.moves, width));
        }
        parts.extend(self.evacuations.iter().map(|it| evacuation(it, width)));
        parts.push(jobs(&self.jobs, width));
        if !self.firmware_losses.is_empty() {
            parts.push(losses(&self.firmware_losses, width));
        }
        if self.shares.len() > 1 {
            parts.push(shares(&self.shares, width));
        }
        if !self.neighbours.is_empty() {
            parts.push(neighbours(&self.neighbours, &self.moves, width));
        }
        parts.push(costs(&self.costs, width));
        parts.push(self.last_line());
        parts.join("\n\n") + "\n"
    }

    fn last_line(&self) -> String {
        if self.verified {
            let jobs = match self.jobs.len() {
                1 => "the job's bytes are right".to_owned(),
                count => format!("the bytes of all {count} jobs are right"),
            };
            return format!(
                "verified: {jobs}, and every event ended as expected (seed {})",
                self.seed
            );
        }
        let problems: Vec<String> =
            self.problems.iter().map(|problem| format!("  {problem}")).collect();
        format!("NOT VERIFIED (seed {}):\n{}", self.seed, problems.join("\n"))
    }
}

fn shares(shares: &[Share], width: Option<u16>) -> String {
    let header = ["vGPU", "compute engine", "copy engine", "preempted", "too much of"];
    let mut table = table(&header, 1..4, width);
    for share in shares {
        table.add_row([
            share.vgpu.clone(),
            format!("{:.2} %", share.compute_percent),
            format!("{:.2} %", share.copy_percent),
            share.preemptions.to_string(),
            if share.abuses.is_empty() { "-".to_owned() } else { share.abuses.join("; ") },
        ]);
    }
    table.to_string()
}

fn losses(losses: &[FirmwareLoss], width: Option<u16>) -> String {
    let mut table =
        table(&["firmware of", "lost at", "cause", "restarted; what is known"], 1..2, width);
    for loss in losses {
        let at = about_time(loss.at_ns);
        table.add_row([loss.host.clone(), at, loss.cause.clone(), loss.told.clone()]);
    }
    table.to_string()
}

fn moves(moves: &[Move], width: Option<u16>) -> String {
    let header = [
        "vGPU",
        "from",
        "to",
        "kind",
        "outcome",
        "stopped after",
        "blackout",
        "total",
        "rounds",
        "pre-copy",
        "stop",
        "state",
        "partition",
        "BAR",
        "channel",
    ];
    let mut table = table(&header, 6..12, width);
    for it in moves {
        let base = |part: fn(&Bases) -> u64| {
            let shown = |bases: &Option<Bases>| {
                bases.as_ref().map_or_else(|| "-".to_owned(), |bases| format!("{:#x}", part(bases)))
            };
            let same = it.old.is_some() && it.old.as_ref().map(part) == it.new.as_ref().map(part);
            let why = if same { ", no other room" } else { "" };
            format!("{} → {}{why}", shown(&it.old), shown(&it.new))
        };
        table.add_row([
            it.vgpu.clone(),
            it.from.clone(),
            it.to.clone(),
            it.kind.name().to_owned(),
            it.outcome.clone(),
            it.stopped.as_ref().map_or_else(|| "-".to_owned(), stopped),
            blackout(it),
            about_time(it.total_ns),
            rounds(it),
            about_size(it.bytes.precopy),
            about_size(it.bytes.stop),
            about_size(it.bytes.state),
            base(|bases| bases.partition_base),
            base(|bases| bases.bar_base),
            base(|bases| bases.channel_base.into()),
        ]);
    }
    table.to_string()
}

fn evacuation(it: &Evacuation, width: Option<u16>) -> String {
    let cap = it
        .bandwidth
        .map_or_else(String::new, |bytes| format!(", no more than {} a second", about_size(bytes)));
    let header =
        [format!("out of {}", it.host), "to".into(), format!("{} at a time{cap}", it.parallel)];
    let mut table = table(&header.each_ref().map(String::as_str), 0..0, width);
    for leg in &it.legs {
        let to = leg.to.clone().unwrap_or_else(|| "-".to_owned());
        table.add_row([leg.vgpu.clone(), to, leg.outcome.clone()]);
    }
    table.to_string()
}

fn blackout(it: &Move) -> String {
    let shown = it.blackout_ns.map_or_else(|| "-".to_owned(), about_time);
    match it.estimate.and_then(|estimate| estimate.blackout_ns) {
        Some(expected) => format!("{shown} of {} expected", about_time(expected)),
        None => shown,
    }
}

fn rounds(it: &Move) -> String {
    match it.turns_kept {
        1.0 => it.rounds.to_string(),
        part => format!("{}, with 1/{} of its turns", it.rounds, 1.0 / part),
    }
}

fn stopped(it: &Stopped) -> String {
    let (done, of) = (about_count(it.instructions), about_count(it.of));
    let end = if it.is_in_the_middle() { "" } else { ", its end" };
    format!("{done} of {of} of `{}`{end}", it.job)
}

fn jobs(jobs: &[Job], width: Option<u16>) -> String {
    let header = ["job", "vGPU", "instructions", "preemptions", "SHA-256 of its output", "bytes"];
    let mut table = table(&header, 2..4, width);
    for job in jobs {
        let digest = job.digest.as_ref().map_or_else(
            || "-".to_owned(),
            |digest| digest.chars().take(DIGEST_SHOWN).chain(['…']).collect(),
        );
        let verdict = match (&job.expected, job.ok) {
            (Some(_), true) => "right",
            (Some(_), false) => "WRONG",
            (None, true) => "runs on",
            (None, false) => "NOT VERIFIED",
        };
        table.add_row([
            job.name.clone(),
            job.vgpu.clone(),
            about_count(job.instructions),
            job.preemptions.to_string(),
            digest,
            verdict.to_owned(),
        ]);
    }
    table.to_string()
}

fn neighbours(neighbours: &[Neighbour], moves: &[Move], width: Option<u16>) -> String {
    let header = ["neighbour", "while", "window", "before", "in the window", "its share"];
    let mut table = table(&header, 2..6, width);
    for it in neighbours {
        let shown = |done: &Throughput| throughput(done, &it.due);
        table.add_row([
            it.vgpu.clone(),
            moves.get(it.transfer).map_or_else(String::new, doing),
            about_time(it.window_ns),
            shown(&it.before),
            shown(&it.during),
            shown(&it.due),
        ]);
    }
    table.to_string()
}

/// What it did of what it has a share in.
fn throughput(done: &Throughput, due: &Throughput) -> String {
    let mut parts = Vec::new();
    if due.instructions_per_ms != 0 || due.copied_bytes_per_ms == 0 {
        parts.push(format!("{} instructions/ms", about_count(done.instructions_per_ms)));
    }
    if due.copied_bytes_per_ms != 0 {
        parts.push(format!("{} copied/ms", about_size(done.copied_bytes_per_ms)));
    }
    parts.join(", ")
}

fn doing(it: &Move) -> String {
    let what = if it.kind == Kind::Live { "live move" } else { it.kind.name() };
    format!("{what} of `{}`", it.vgpu)
}

fn costs(costs: &[Cost], width: Option<u16>) -> String {
    let mut table = table(&["cost", "value", "source"], 1..2, width);
    for cost in costs {
        let value = format!("{} {}", cost.value, cost.unit);
        table.add_row([cost.name.clone(), value, cost.source.clone()]);
    }
    table.to_string()
}
