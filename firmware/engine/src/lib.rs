//! The state engine: vGPUs, channels, scheduling, save and restore, as pure state machines.
//!
//! Data goes in ([`Input`]), data comes out ([`Action`] for the hardware, [`Event`] for the
//! host), and time is passed in. There is no clock, device, heap or lock inside, so the same
//! code runs in the image, in a host process, in the seeded simulator and under a checker.
//!
//! ```text
//! vGPU      absent ─▶ creating ─▶ stopped ◀──▶ running        stopping, starting: on the way
//!             ▲                     │  ▲
//!             │                     ▼  │ (all records consumed)
//!         releasing ◀── any      resuming ──▶ failed (only release leads out)
//!
//! save      none ─▶ beginning ─▶ flipping ─▶ gathering ─▶ between ─▶ flipping … (rounds)
//!                                                            │ (stopped)
//!                                                            ▼
//!                                          records ─▶ contexts ─▶ complete ─▶ ending ─▶ none
//!
//! group     idle ─▶ queued ─▶ current ─▶ queued │ idle;  parked while its vGPU stands still
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(test)]
extern crate std;

mod abuse;
mod account;
mod ahead;
mod channel;
mod copy;
mod deadline;
mod engine;
mod message;
mod peers;
mod queue;
mod quiesce;
mod recover;
mod release;
mod restore;
mod runlist;
mod save;
mod schedule;
mod share;
mod trace;
mod transition;
mod tsg;
mod turns;
mod vgpu;

pub use engine::{Counters, Engine, Full};
pub use message::{
    Action, ChannelRecord, Command, Event, Failure, Input, Reject, Request, StopMode, VgpuRecord,
    Window,
};
pub use recover::{Registers, RetainedPhase, RetainedVgpu};
