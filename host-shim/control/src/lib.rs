//! What operators and a server of vGPUs say to each other at the control socket: lines of JSON.
//!
//! ```text
//! {"command":"show","vgpu":"v0"}
//! {"vgpu":{"name":"v0","host":"a","state":"RUNNING", …}}
//! {"command":"migrate","vgpu":"v0","to":"b"}
//! {"progress":{"vgpu":"v0","phase":"rounds", …}}
//! {"moved":{"vgpu":"v0","from":"a","to":"b","blackout_ns":812345, …}}
//! ```
//!
//! A client says a line, an [`Ask`], and gets lines, each a [`Told`]: any number that are not the
//! last ([`Told::is_last`]), and one that is. What it says meanwhile is heard when that was said.
//! A line has [`LINE_BYTES_MAX`] bytes at most. All of it has one JSON schema ([`schema`]), which
//! `schema.json` beside this crate's manifest is, and which the command line's `--json` prints by.
//!
//! Fields may be added; a client passes over those that it does not know. A server refuses a
//! question with a field that it does not know, since it would do something else than was asked.

#![forbid(unsafe_code)]

mod ask;
mod event;
mod host;
mod refusal;
mod report;
mod vgpu;

pub use ask::{
    Ask, Create, Evacuate, Events, KindOfMove, Migrate, Policy, PolicyName, Resume, Share, Sizes,
    Suspend,
};
pub use event::{Event, EventKind};
pub use host::{Firmware, HostMoves, HostStatus, PlacementStatus, ProfileStatus, Room};
pub use refusal::{Code, Refusal};
pub use report::{Evacuation, MovePhase, Moved, Progress, Stayed, Suspended};
pub use vgpu::{Bucket, EngineStatus, Histogram, ShareStatus, VgpuStats, VgpuStatus};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of a line of a client, without its end.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a name of a vGPU, a host or a state file.
pub const NAME_BYTES_MAX: usize = 32;

/// A line of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The vGPUs that there are, in the order of their hosts and ids.
    Vgpus(Vec<VgpuStatus>),
    /// One vGPU, as it is now.
    Vgpu(Box<VgpuStatus>),
    /// The hosts that there are.
    Hosts(Vec<HostStatus>),
    /// One host, as it is now.
    Host(Box<HostStatus>),
    /// A vGPU is gone, with all that it had; its name.
    Destroyed(String),
    /// A vGPU is in a file.
    Suspended(Suspended),
    /// A vGPU runs elsewhere.
    Moved(Moved),
    /// A host was emptied, as far as could be.
    Evacuated(Evacuation),
    /// What has happened of late.
    Events(Vec<Event>),
    /// Something has happened. Not the last line.
    Event(Event),
    /// How far something is that was asked for. Not the last line.
    Progress(Progress),
    /// It was not done, and why.
    Error(Refusal),
}

impl Told {
    /// Whether it is the last line of an answer.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Event(_) | Self::Progress(_))
    }
}

/// Both directions, for the schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
struct Protocol {
    /// A line of a client.
    ask: Ask,
    /// A line of a server.
    told: Told,
}

/// The JSON schema of both directions.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Protocol).to_value()
}

/// Whether this may be the name of a vGPU, a host or a state file: 1 to [`NAME_BYTES_MAX`]
/// letters, digits, `-` and `_`.
pub fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fine)
}
