//! How large messages may be.

use crate::HEADER_BYTES;

/// Bytes of the longest fixed part of a message with data, and some room.
const FIXED_BYTES: u32 = 64;

/// What both sides have agreed to. Whoever has not agreed to anything yet takes the default, which
/// is the protocol's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of data in one access: `max_data_xfer_size`.
    pub data_bytes: u32,
    /// File descriptors that one message carries to us: `max_msg_fds`.
    pub fds: u32,
}

impl Limits {
    /// The most data in one access that is agreed to: what libvfio-user takes by default, and
    /// QEMU's own.
    pub const DATA_BYTES: u32 = 1 << 20;

    /// Bytes of a message, its header included. What carries no data of one access, as several
    /// writes at once, is not bounded by how much that has, so the default is the least.
    pub fn message_bytes(&self) -> u32 {
        self.data_bytes.max(Self::DATA_BYTES).saturating_add(HEADER_BYTES as u32 + FIXED_BYTES)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { data_bytes: Self::DATA_BYTES, fds: 16 }
    }
}
