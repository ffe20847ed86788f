//! Virtual machines with vGPUs: an unmodified QEMU with an unmodified Linux in it, whose program
//! works with the vGPU all the time and checks all that comes back. They are migrated between two
//! processes of `godwit serve`, and suspended and resumed.
//!
//! ```text
//!  Site ── godwit serve ◀── vfio-user ── Vm: QEMU ── console ──▶ Round, Round, …
//! ```
//!
//! A [`Site`] is a process that serves a vGPU, a [`Vm`] a machine that has it, and a [`Pair`] two
//! sites between which a machine goes.

#![forbid(unsafe_code)]

mod command;
mod failing;
mod initramfs;
mod link;
mod pair;
mod site;
mod vm;

pub use command::Ran;
pub use failing::Cut;
pub use link::Link;
pub use pair::{Pair, Quiet};
pub use site::{Place, Site};
pub use vm::{BOOT, Mode, Round, Vm, VmOptions};
