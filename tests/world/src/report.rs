//! What the world tells of what has happened. Times are virtual.

use crate::world::{HostId, JobId, VgpuId};
use godwit_shim::Estimate;
use godwit_types::{Placement, Throttle};

/// What kind of transfer it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// Rounds while it ran.
    Live,
    /// Stopped first.
    StopAndCopy,
    /// To a file.
    Suspend,
    /// From a file.
    Resume,
}

/// Where a vGPU was or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which host.
    pub host: HostId,
    /// Where on it.
    pub placement: Placement,
}

/// Bytes of the state stream, by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseBytes {
    /// Pages while it ran.
    pub precopy: u64,
    /// Pages after it was stopped.
    pub stop: u64,
    /// Everything else.
    pub state: u64,
}

/// A transfer that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveReport {
    /// Whose.
    pub vgpu: VgpuId,
    /// What kind.
    pub kind: MoveKind,
    /// `Ok`: it came to pass; otherwise why not.
    pub outcome: Result<(), String>,
    /// From the last instruction at the source to the first at the destination; `None` when
    /// no instruction ran on one of the sides.
    pub blackout_ns: Option<u64>,
    /// What was known when its guest was paused last: what was left, and how long it would stand
    /// still; `None` when it was not paused, and for suspends and resumes.
    pub estimate: Option<Estimate>,
    /// From the request to the end.
    pub total_ns: u64,
    /// Rounds that began while it ran.
    pub rounds: u32,
    /// The part of its own turns that it had at least meanwhile, so that it wrote less.
    pub throttle: Throttle,
    /// Bytes sent.
    pub bytes: PhaseBytes,
    /// Instructions that it had run in all when it left a host; 0 if it did not.
    pub instructions: u64,
    /// The kernel that its guest had given it and that was not known to have ended when it left a
    /// host, and how many instructions it had run since that began.
    pub job: Option<(JobId, u64)>,
    /// Bytes that its copies and fills had written when it left a host; 0 if it did not.
    pub copied_bytes: u64,
    /// Where it was; `None`: in a file.
    pub old: Option<Place>,
    /// Where a move was to go; `None` for suspends and resumes.
    pub to: Option<HostId>,
    /// Where it is; `None`: in a file, or where it was.
    pub new: Option<Place>,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobReport {
    /// Which.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Whose.
    pub vgpu: VgpuId,
    /// How it stands, in a word.
    pub state: String,
    /// Instructions that its vGPU ran from its begin to its end.
    pub instructions: u64,
    /// Bytes that its vGPU's copies and fills wrote in that time.
    pub copied_bytes: u64,
    /// Preemptions of its vGPU in that time.
    pub preemptions: u64,
    /// What lies in its output when it has ended.
    pub output: Option<Vec<u8>>,
    /// What must; `None`: nothing is prescribed.
    pub expected: Option<Vec<u8>>,
    /// It has ended with the right bytes; or it has no end, and runs.
    pub ok: bool,
    /// It never ends.
    pub endless: bool,
}

/// How much a vGPU does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throughput {
    /// Instructions of its kernels in a millisecond.
    pub instructions_per_ms: u64,
    /// Bytes that its copies and fills write in a millisecond.
    pub copied_bytes_per_ms: u64,
}

/// What a neighbour attained while another vGPU was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourReport {
    /// Whose.
    pub vgpu: VgpuId,
    /// Place of the move in [`crate::World::move_reports`].
    pub transfer: usize,
    /// From the move's beginning to its end, and on to the end of a whole round of the scheduler:
    /// in less than a round some have had their turn and others not.
    pub window_ns: u64,
    /// What it did in a window as long just before.
    pub before: Throughput,
    /// What it did in the window.
    pub during: Throughput,
    /// What its share is, of each engine that it has work for, while the vGPU that is moved takes
    /// its turns as well.
    pub due: Throughput,
}

/// What a vGPU had of the engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareReport {
    /// Which vGPU.
    pub vgpu: VgpuId,
    /// Time on compute engines, loading, saving and resets included.
    pub compute_ns: u64,
    /// Time on guests' copy engines, likewise.
    pub copy_ns: u64,
    /// Times that it was taken off one with work left.
    pub preemptions: u64,
    /// What it did too much of, and what was done about it.
    pub abuses: Vec<String>,
}
