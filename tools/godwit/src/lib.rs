//! The `godwit` command line.
//!
//! `godwit run` takes a [`Scenario`], `godwit demo` has one built in, `godwit inspect` reads a
//! state file, `godwit image` is about image files and flash files. `godwit send` and `godwit
//! receive` move a vGPU between two processes, and `godwit resolve` decides when one is gone.
//! `godwit serve` serves vGPUs, `godwit ctl` asks a server that runs, and `godwit top` looks at it.

#![forbid(unsafe_code)]

mod cli;
mod ctl;
mod demo;
mod files;
mod help;
mod image;
pub mod inspect;
mod mcu;
pub mod progress;
mod remote;
pub mod report;
mod run;
mod scenario;
mod serve;
mod symbols;
mod table;
mod top;
mod units;
pub mod vm;

pub use cli::Cli;
pub use demo::DEMO;
pub use run::{RunError, execute, execute_on};
pub use scenario::{
    Action, CostModel, Evacuation, Event, Expect, Expected, Host, HostRef, Job, JobRef, KeyFile,
    MoveKind, Program, Scenario, ScenarioError, StateFile, Stop, Trigger, Vgpu, VgpuRef, Work,
};
