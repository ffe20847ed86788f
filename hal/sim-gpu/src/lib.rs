//! A simulated GPU that serves the registers.

#![forbid(unsafe_code)]

mod compute;
mod partition;

pub use partition::Partition;
