//! What became of something that took a while.

use crate::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a move, a suspend or a resume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MovePhase {
    /// It is at work.
    Working,
    /// Its memory is copied while it runs.
    Rounds,
    /// It stands still.
    Stopped,
    /// It is the destination's, and is being started.
    Committed,
    /// The link to the other server is lost, and is made again.
    Unlinked,
}

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Of which vGPU.
    pub vgpu: String,
    /// How far.
    pub phase: MovePhase,
    /// Rounds so far.
    pub rounds: u32,
    /// Bytes so far.
    pub sent_bytes: u64,
    /// Bytes that are left, at most.
    pub left_bytes: u64,
    /// How long it would stand still if it was stopped now, in nanoseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_ns: Option<u64>,
}

impl Progress {
    /// Of something that has no more to tell.
    pub fn working(vgpu: String) -> Self {
        let (phase, rounds, sent_bytes, left_bytes) = (MovePhase::Working, 0, 0, 0);
        Self { vgpu, phase, rounds, sent_bytes, left_bytes, downtime_ns: None }
    }
}

/// A vGPU is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspended {
    /// Its name.
    pub vgpu: String,
    /// The file's name in the server's folder of states, without `.state`.
    pub file: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// How long it took, in nanoseconds.
    pub total_ns: u64,
}

/// A vGPU runs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// Its name.
    pub vgpu: String,
    /// The host that it was on.
    pub from: String,
    /// The host that it is on, or the address of the server.
    pub to: String,
    /// Rounds while it ran.
    pub rounds: u32,
    /// Bytes that were sent while it ran.
    pub precopy_bytes: u64,
    /// Bytes of pages that were sent while it stood still.
    pub stop_bytes: u64,
    /// How long it stood still, in nanoseconds.
    pub blackout_ns: u64,
    /// How long the whole took, in nanoseconds.
    pub total_ns: u64,
}

/// A vGPU that has stayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stayed {
    /// Its name.
    pub vgpu: String,
    /// Why.
    pub why: Refusal,
}

/// A host was emptied, as far as could be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evacuation {
    /// The host.
    pub host: String,
    /// Those that have moved, in the order in which they arrived.
    pub moved: Vec<Moved>,
    /// Those that have stayed.
    pub stayed: Vec<Stayed>,
}
