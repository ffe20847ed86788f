//! The state stream: records to bytes and back, and sealed bytes. No I/O and no device.

mod open;
mod read;
mod seal;
#[cfg(test)]
mod tests;
mod version;
mod write;

pub use open::{Opener, SealError};
pub use read::{Body, Reader, Record, StreamError};
pub use seal::{PROLOGUE_BYTES, SALT_BYTES, Sealer, is_sealed};
pub use version::{RecordBody, StreamVersion};
pub use write::Writer;
