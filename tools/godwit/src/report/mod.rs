//! What a run has found: one object, for programs as JSON and for people as tables.
//!
//! Nothing in it depends on the machine or the hour, so two runs of one scenario with one seed
//! print the same bytes.

mod human;

use crate::scenario::CostModel;
use serde::Serialize;

/// All that a run has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Where the run's randomness came from.
    pub seed: u64,
    /// Moves, suspends and resumes, in the order in which they ended.
    pub moves: Vec<Move>,
    /// Evacuations, in the order in which they began.
    pub evacuations: Vec<Evacuation>,
    /// Jobs, in the order of the scenario.
    pub jobs: Vec<Job>,
    /// Firmware that ended by itself, host by host; it was restarted each time.
    pub firmware_losses: Vec<FirmwareLoss>,
    /// What each vGPU had of the engines, in the order of the scenario.
    pub shares: Vec<Share>,
    /// vGPUs that stayed while another moved from or to their host.
    pub neighbours: Vec<Neighbour>,
    /// What things cost in virtual time.
    pub costs: Vec<Cost>,
    /// Whether everything was verified, which is to say that there are no problems.
    pub verified: bool,
    /// What was not verified, and why.
    pub problems: Vec<String>,
}

/// What a vGPU had of the engines, wherever it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Which vGPU.
    pub vgpu: String,
    /// Of a compute engine, in percent of the whole run; switches included.
    pub compute_percent: f64,
    /// Of a copy engine, likewise.
    pub copy_percent: f64,
    /// Times that it was taken off one with work left.
    pub preemptions: u64,
    /// What it did too much of, and what was done about it.
    pub abuses: Vec<String>,
}

/// A firmware that ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirmwareLoss {
    /// The host.
    pub host: String,
    /// Its device's time then, in virtual nanoseconds.
    pub at_ns: u64,
    /// `trap`, `stalled`, `stack overflow`, `cut`, `panic`, `silent`, `gone`.
    pub cause: String,
    /// All that is known, for people.
    #[serde(skip)]
    pub told: String,
}

/// A host that was to be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evacuation {
    /// The host.
    pub host: String,
    /// Moves at a time.
    pub parallel: u32,
    /// Bytes a second that all of them together might put on links; nothing without a cap.
    pub bandwidth: Option<u64>,
    /// What became of each of its vGPUs: those with a destination in the order of the plan, then
    /// the others.
    pub legs: Vec<Leg>,
}

/// What became of a vGPU of a host that was to be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// Which vGPU.
    pub vgpu: String,
    /// The host it was to go to; nothing if it fits nowhere.
    pub to: Option<String>,
    /// `moved`, or `refused: …` or `failed: …` with the reason.
    pub outcome: String,
    /// Which move, by its place in the list of moves; nothing if none was begun.
    #[serde(rename = "move")]
    pub transfer: Option<usize>,
}

/// A vGPU that left a host, came to one, or both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// Which vGPU.
    pub vgpu: String,
    /// The host it left, or the file it came out of.
    pub from: String,
    /// The host it came to, or the file it went into.
    pub to: String,
    /// What was asked for.
    pub kind: Kind,
    /// `moved`, or `refused: …` or `failed: …` with the reason.
    pub outcome: String,
    /// Where in its kernel it was stopped; nothing when it ran none, or was not moved.
    pub stopped: Option<Stopped>,
    /// From its last instruction there to its first one here, in virtual nanoseconds; nothing
    /// for a vGPU that is in a file or has no work.
    pub blackout_ns: Option<u64>,
    /// What was expected of that when its guest was paused last; nothing for a suspend, a resume,
    /// and what was never stopped.
    pub estimate: Option<Estimate>,
    /// From the request to the end, in virtual nanoseconds.
    pub total_ns: u64,
    /// Rounds of pages that were copied while it ran.
    pub rounds: u32,
    /// The part of its own turns that it had at least meanwhile: 1, unless it wrote faster than it
    /// could be copied.
    pub turns_kept: f64,
    /// What was copied.
    pub bytes: Bytes,
    /// Where it was last.
    pub old: Option<Bases>,
    /// Where it is; nothing for a suspend, and for what was not done.
    pub new: Option<Bases>,
}

/// What was known of a move before its vGPU was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Bytes of the round before, which is about what was left; all of the framebuffer where there
    /// was no round.
    pub round_bytes: u64,
    /// The rate at which rounds went, in bytes a second; nothing where none was large enough to
    /// tell.
    pub bytes_per_second: Option<u64>,
    /// How long the vGPU would stand still, in virtual nanoseconds; nothing without a rate.
    pub blackout_ns: Option<u64>,
}

/// What a move was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To another host, running on while memory is copied.
    Live,
    /// To another host, stopped all the while.
    StopAndCopy,
    /// Into a file.
    Suspend,
    /// Out of a file.
    Resume,
}

impl Kind {
    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::StopAndCopy => "stop-and-copy",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }
}

/// In the middle of which job a vGPU was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// The job.
    pub job: String,
    /// Instructions that it had run.
    pub instructions: u64,
    /// Those that it ran in all: more, or it had ended unseen.
    pub of: u64,
}

impl Stopped {
    /// Whether the job went on afterwards.
    pub fn is_in_the_middle(&self) -> bool {
        0 < self.instructions && self.instructions < self.of
    }
}

/// Bytes of the state stream by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Pages copied while the vGPU ran.
    pub precopy: u64,
    /// Pages copied while it stood still.
    pub stop: u64,
    /// Contexts and everything else.
    pub state: u64,
}

/// Where a vGPU sits on a GPU. The guest sees none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bases {
    /// First byte of its partition.
    pub partition_base: u64,
    /// First byte of its aperture.
    pub bar_base: u64,
    /// Its first hardware channel.
    pub channel_base: u16,
}

/// A job and whether its bytes are right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Where it ran.
    pub vgpu: String,
    /// Instructions that it ran.
    pub instructions: u64,
    /// Times that it was taken off the engine before its end.
    pub preemptions: u64,
    /// SHA-256 of its output, in hexadecimal; nothing before its end.
    pub digest: Option<String>,
    /// What that must be; nothing where it is not known or the job never ends.
    pub expected: Option<String>,
    /// Whether it is, or an endless job is still running.
    pub ok: bool,
}

/// How much a vGPU does in a virtual millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Throughput {
    /// Instructions of its kernels.
    pub instructions_per_ms: u64,
    /// Bytes that its copies and fills write.
    pub copied_bytes_per_ms: u64,
}

/// A vGPU beside one that moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Which vGPU.
    pub vgpu: String,
    /// Which move, by its place in the list of moves.
    #[serde(rename = "move")]
    pub transfer: usize,
    /// Length of the window that begins with the move: whole rounds of the scheduler.
    pub window_ns: u64,
    /// Its throughput in a window as long just before the move.
    pub before: Throughput,
    /// Its throughput in the window.
    pub during: Throughput,
    /// Its share of the engines while the vGPU that moves takes its turns too.
    pub due: Throughput,
}

/// One figure of the cost model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Its name, without the unit.
    pub name: String,
    /// Its value.
    pub value: u64,
    /// The unit of the value.
    pub unit: String,
    /// Where it comes from.
    pub source: String,
}

impl Report {
    /// One JSON object on lines of its own.
    ///
    /// # Panics
    ///
    /// Never: everything in a report has a form in JSON.
    pub fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("strings, numbers and lists have a form in JSON")
    }
}

/// The rows of a cost model, with what the scenario has changed as their source.
pub fn costs(model: &CostModel) -> Vec<Cost> {
    let (numerator, denominator) = model.scale;
    let cost = |row: godwit_sim_gpu::CostRow| {
        let (name, unit) = row.name.rsplit_once('_').unwrap_or((row.name, ""));
        let source = if model.given.contains(&row.name) {
            "the scenario".to_owned()
        } else if model.scale == (1, 1) {
            row.source.to_owned()
        } else {
            format!("{numerator}/{denominator} of: {}", row.source)
        };
        Cost { name: name.to_owned(), value: row.value, unit: unit.to_owned(), source }
    };
    model.rows().map(cost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_sim_gpu::Costs;

    #[test]
    fn a_changed_cost_names_the_scenario_as_its_source() {
        let model = CostModel {
            costs: Costs::default().scaled(1, 10),
            scale: (1, 10),
            given: vec!["entry_ns"],
        };
        let costs = costs(&model);
        let by_name = |name: &str| costs.iter().find(|cost| cost.name == name).unwrap();
        assert_eq!(by_name("entry").source, "the scenario");
        assert_eq!(by_name("entry").unit, "ns");
        assert!(by_name("link_byte").source.starts_with("1/10 of: 100 Gb/s"));
    }
}
