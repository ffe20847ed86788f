//! What a microcontroller keeps over a reset: who owns which part of the device.
//!
//! Two places are written in turn. Each has a number and a CRC, so that a reset in the
//! middle of a write leaves the other, which says what was true just before.

use crate::codec::{self, WireError, crc32c};
use crate::mailbox::{Placement, Profile};
use serde::{Deserialize, Serialize};
use static_assertions::const_assert;

/// vGPUs of a device.
pub const VGPUS_MAX: usize = 32;
/// Bytes of one place.
pub const RETAINED_BYTES: usize = 4096;
/// Bytes of the longest record: its head, two numbers, and all vGPUs.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + 2 * 5 + VGPUS_MAX * VGPU_BYTES_MAX;
/// Bytes of version, length and CRC.
const HEAD_BYTES: usize = 8;
/// Bytes of the longest vGPU: postcard takes up to 10, 5 and 3 for 64, 32 and 16 bits.
const VGPU_BYTES_MAX: usize = 1 + (1 + 10 + 5 + 1) + (2 * 10 + 3 + 5) + (3 * 10 + 3) + 5;
const_assert!(RECORD_BYTES_MAX <= RETAINED_BYTES);

/// First byte of what is kept by a firmware that writes this shape.
pub const VERSION: u8 = 1;

/// Where a vGPU stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the engine's retained phase of the same name says it")]
pub enum Phase {
    Running { time_offset_ns: u64 },
    Stopped { guest_time_ns: u64, vectors: u32, pristine: bool },
    Broken,
}

/// One vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vgpu {
    /// Which.
    pub gfid: u8,
    /// Where it stood.
    pub phase: Phase,
    /// What it is.
    pub profile: Profile,
    /// Where it sits.
    pub placement: Placement,
    /// Of its last standstill.
    pub epoch: u32,
}

/// Encodes what is to be kept: version, length, CRC of the rest, the rest, which is a number
/// that counts writes, how many vGPUs there are, and these. The larger number of two whole
/// records is the newer.
///
/// # Errors
///
/// [`WireError::NoRoom`], which the sizes rule out.
pub fn encode(
    number: u32,
    vgpus: impl Iterator<Item = Vgpu> + Clone,
    into: &mut [u8; RECORD_BYTES_MAX],
) -> Result<&[u8], WireError> {
    let (head, rest) = into.split_at_mut_checked(HEAD_BYTES).ok_or(WireError::NoRoom)?;
    let room = rest.len();
    let count = vgpus.clone().count() as u32;
    let mut left = put(&(number, count), rest)?;
    for vgpu in vgpus {
        left = put(&vgpu, left)?;
    }
    let length = room.saturating_sub(left.len());
    let crc = crc32c(rest.get(..length).ok_or(WireError::NoRoom)?);
    let [l0, l1, ..] = length.to_le_bytes();
    let [c0, c1, c2, c3] = crc.to_le_bytes();
    for (to, from) in head.iter_mut().zip([VERSION, 0, l0, l1, c0, c1, c2, c3]) {
        *to = from;
    }
    into.get(..length.saturating_add(HEAD_BYTES)).ok_or(WireError::NoRoom)
}

/// Writes a value; returns the room that is left.
fn put<'a, T: Serialize>(value: &T, into: &'a mut [u8]) -> Result<&'a mut [u8], WireError> {
    let length = codec::encode(value, into)?.len();
    Ok(into.split_at_mut_checked(length).ok_or(WireError::NoRoom)?.1)
}

/// A whole record: read vGPU by vGPU, since all of them are large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// Counts writes.
    pub number: u32,
    count: u32,
    vgpus: &'a [u8],
}

impl<'a> Kept<'a> {
    /// Looks at what was kept.
    ///
    /// # Errors
    ///
    /// When nothing whole was.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or(WireError::Malformed)?;
        let &[VERSION, 0, l0, l1, c0, c1, c2, c3] = head else {
            return Err(WireError::Malformed);
        };
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let body = rest.get(..length).ok_or(WireError::Malformed)?;
        if crc32c(body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(WireError::BadCrc);
        }
        let ((number, count), vgpus) = codec::decode_first(body)?;
        let kept = Self { number, count, vgpus };
        if count > VGPUS_MAX as u32 || kept.vgpus().count() != count as usize {
            return Err(WireError::Malformed);
        }
        Ok(kept)
    }

    /// The vGPUs.
    pub fn vgpus(&self) -> impl Iterator<Item = Vgpu> + use<'a> {
        let mut rest = self.vgpus;
        (0..self.count).map_while(move |_| {
            let (vgpu, left) = codec::decode_first(rest).ok()?;
            rest = left;
            Some(vgpu)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> impl Iterator<Item = Vgpu> + Clone {
        let profile = Profile {
            fb_bytes: u64::MAX,
            bar_bytes: u64::MAX,
            channel_count: u16::MAX,
            context_bytes: u32::MAX,
        };
        let placement = Placement {
            fb_base: u64::MAX,
            bar_base: u64::MAX,
            channel_base: u16::MAX,
            context_base: u64::MAX,
        };
        let phase = Phase::Stopped { guest_time_ns: u64::MAX, vectors: u32::MAX, pristine: true };
        let vgpu = Vgpu { gfid: 32, phase, profile, placement, epoch: u32::MAX };
        core::iter::repeat_n(vgpu, VGPUS_MAX)
    }

    #[test]
    fn the_fullest_table_fits_and_reads_back() {
        let mut buffer = [0; RECORD_BYTES_MAX];
        let bytes = encode(u32::MAX, full(), &mut buffer).unwrap();
        let kept = Kept::parse(bytes).unwrap();
        assert_eq!(kept.number, u32::MAX);
        assert!(kept.vgpus().eq(full()));
    }

    #[test]
    fn a_write_that_was_cut_anywhere_is_not_believed() {
        let mut buffer = [0; RECORD_BYTES_MAX];
        let bytes = encode(u32::MAX, full(), &mut buffer).unwrap();
        for length in 0..bytes.len() {
            let mut cut = [0xff; RECORD_BYTES_MAX];
            cut[..length].copy_from_slice(&bytes[..length]);
            assert!(Kept::parse(&cut).is_err(), "cut at {length}");
        }
    }
}
