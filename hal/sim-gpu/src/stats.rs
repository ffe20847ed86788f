//! What the device counts for each vGPU, and tells of each group.

use godwit_types::{Gfid, RunlistId};

/// Counts of one vGPU since its partition was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VgpuStats {
    /// Instructions of its kernels.
    pub instructions: u64,
    /// Device time at which its first instruction began.
    pub first_instruction_ns: Option<u64>,
    /// Device time at which its last instruction ended.
    pub last_instruction_ns: Option<u64>,
    /// Times that one of its groups was taken off an engine before it ran out of work.
    pub preemptions: u64,
    /// Resets of an engine that held one of its groups.
    pub resets: u64,
    /// Time that its groups held the compute engine, loading and saving contexts and resets
    /// included.
    pub compute_busy_ns: u64,
    /// Time that its groups held the guests' copy engine, likewise.
    pub copy_busy_ns: u64,
    /// Channels of it that were stopped by a fault.
    pub faults: u64,
    /// Bytes that its own copies and fills have written.
    pub copied_bytes: u64,
}

/// One stay of a group on an engine: times of the device, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Which engine.
    pub runlist: RunlistId,
    /// Whose group.
    pub gfid: Gfid,
    /// When the device took up the request to start it, and began to load its contexts.
    pub start_ns: u64,
    /// When it began to run.
    pub loaded_ns: u64,
    /// When it was asked to let go first; `None`: it had no more work.
    pub asked_ns: Option<u64>,
    /// When its contexts began to be saved.
    pub saving_ns: u64,
    /// When the engine was empty again.
    pub empty_ns: u64,
    /// The engine was reset for that.
    pub reset: bool,
}
