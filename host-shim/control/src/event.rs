//! What has happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A vGPU was made.
    Created,
    /// A vGPU was removed.
    Destroyed,
    /// A machine or a migration manager has connected to a vGPU.
    Attached,
    /// It has gone.
    Detached,
    /// A host's policy was changed.
    Policy,
    /// A vGPU's share was changed.
    Share,
    /// A vGPU begins to move, to be suspended or to be resumed.
    Began,
    /// A vGPU is in a file.
    Suspended,
    /// A vGPU has come out of a file.
    Resumed,
    /// A vGPU has moved.
    Moved,
    /// A host was emptied, as far as could be.
    Evacuated,
    /// What was begun did not come to pass.
    Failed,
    /// A question or a client was refused.
    Refused,
    /// A vGPU does too much of something, and what is done about it.
    Abuse,
    /// A host's firmware was lost.
    FirmwareLost,
    /// Anything else.
    Note,
    /// So many events were not kept for this client, which reads too slowly.
    Missed,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number: each is one more than that of the one before.
    pub number: u64,
    /// When, in milliseconds since 1970-01-01 00:00 UTC.
    pub at_ms: u64,
    /// What.
    pub kind: EventKind,
    /// To which vGPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vgpu: Option<String>,
    /// On which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// In words.
    pub text: String,
}
