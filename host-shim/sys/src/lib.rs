//! The host's memory files and mappings, and QEMU as a child.
//!
//! What needs `unsafe` on the host lives in this crate.

mod debugger;
mod mem_file;
mod qemu;

pub use debugger::Debugger;
pub use mem_file::{MemFile, MemFileError};
pub use qemu::{ImageFile, Qemu, QemuConfig, QemuError, QemuStart};
