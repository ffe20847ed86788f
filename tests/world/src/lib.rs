//! The seeded simulator of whole hosts, links and guests around the shipping engine.
//!
//! A [`World`] has hosts (each a simulated GPU with its firmware), vGPUs with guests that run
//! jobs, links between hosts, and one virtual clock. It is single-threaded, and everything
//! that happens follows from what it was told and its seed. While it runs it checks that
//! every vGPU has one owner, that no byte of one is where another could see it, and at the
//! end that every job's bytes are right; what is wrong is in [`World::problems`].
//!
//! `godwit run` gives it a scenario; [`chaos`] gives it random jobs, moves, faults, restarts
//! and cut links from one seed.

#![forbid(unsafe_code)]

mod bars;
mod carry;
pub mod chaos;
mod check;
mod clock;
mod copies;
pub mod cuts;
mod doorbells;
pub mod downtime;
mod evacuate;
mod events;
mod files;
mod firmware;
pub mod flips;
mod guilt;
mod host;
mod jobs;
mod link;
mod moves;
mod neighbours;
mod owners;
mod places;
#[cfg(test)]
mod planted;
mod ram;
mod registers;
mod remote;
mod report;
mod samples;
pub mod sched;
mod suspend;
mod time;
mod turns;
mod vgpu;
mod world;

pub use bars::HostBars;
pub use copies::{CopyWork, Through};
pub use evacuate::{EvacuateSpec, EvacuationReport, LegReport};
pub use events::{Action, EventId, MoveSpec, ResumeSpec, SuspendSpec, Trigger};
pub use host::HostSpec;
pub use jobs::{JobSource, JobSpec};
pub use link::{LinkCut, LinkFlip, SentFrame, Way};
pub use remote::{AwaySpec, RemoteState};
pub use report::{
    JobReport, MoveKind, MoveReport, NeighbourReport, PhaseBytes, Place, ShareReport, Throughput,
};
pub use vgpu::VgpuSpec;
pub use world::{HostId, JobId, VgpuId, World, WorldConfig, WorldError};
