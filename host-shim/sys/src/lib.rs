//! The host's memory files and mappings, and QEMU as a child or as somebody else's.
//!
//! What needs `unsafe` on the host lives in this crate.

mod debugger;
mod line;
mod mem_file;
mod qemu;
mod unix;
mod window_file;

pub use debugger::Debugger;
pub use line::Line;
pub use mem_file::{MemFile, MemFileError};
pub use qemu::{ImageFile, Qemu, QemuConfig, QemuError, QemuStart, die_with_parent};
pub use unix::{
    FDS_MAX, is_eventfd, new_eventfd, recv_with_fds, send_with_fds, set_nonblocking, signal_eventfd,
};
pub use window_file::{WindowFile, WindowFileError};
