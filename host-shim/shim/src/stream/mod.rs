//! The state stream: records to bytes and back. No I/O and no device.

mod read;
mod write;

pub use read::{Body, Reader, Record, StreamError};
pub use write::Writer;
