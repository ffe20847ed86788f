//! The host's memory files and mappings.
//!
//! What needs `unsafe` on the host lives in this crate; so far `rustix` and `vm-memory` hold
//! all of it.

#![forbid(unsafe_code)]

mod mem_file;

pub use mem_file::{MemFile, MemFileError};
