//! Fields of records, without an index that could be out of bounds.

use crc::{CRC_32_ISO_HDLC, Crc};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The CRC-32 that zip and Ethernet have.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// The `N` bytes at an offset; `None` where they end sooner.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A little-endian word.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    field(bytes, at).map(u32::from_le_bytes)
}

/// A little-endian word of 64 bits.
pub(crate) fn double(bytes: &[u8], at: usize) -> Option<u64> {
    field(bytes, at).map(u64::from_le_bytes)
}

/// Puts bytes at an offset, as far as there is room.
pub(crate) fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in into.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// Whether these bytes are as an erased flash has them, or a file that nobody wrote to.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    [0, 0xff].iter().any(|blank| bytes.iter().all(|byte| byte == blank))
}
