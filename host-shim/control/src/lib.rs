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
mod limits;
mod refusal;
mod report;
mod schema;
mod told;
mod vgpu;

pub use ask::{
    Ask, Create, Decision, Evacuate, Events, KindOfMove, Migrate, Policy, PolicyName, Receive,
    Resume, Share, Sizes, Suspend,
};
pub use event::{Event, EventKind};
pub use host::{Firmware, HostMoves, HostStatus, PlacementStatus, ProfileStatus, Room};
pub use limits::{LINE_BYTES_MAX, NAME_BYTES_MAX, is_name};
pub use refusal::{Code, Refusal};
pub use report::{Evacuation, MovePhase, Moved, Progress, Stayed, Suspended};
pub use schema::schema;
pub use told::Told;
pub use vgpu::{Bucket, EngineStatus, Histogram, ShareStatus, VgpuStats, VgpuStatus};
