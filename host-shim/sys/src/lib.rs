//! The host's memory files and mappings, and QEMU as a child.
//!
//! What needs `unsafe` on the host lives in this crate; so far `rustix` and `vm-memory` hold
//! all of it.

#![forbid(unsafe_code)]

mod mem_file;
mod qemu;

pub use mem_file::{MemFile, MemFileError};
pub use qemu::{ImageFile, Qemu, QemuConfig, QemuError, QemuStart};
