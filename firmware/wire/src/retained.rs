//! What a microcontroller keeps over a reset: who owns which part of the device.
//!
//! Two places are written in turn. Each has a number and a CRC, so that a reset in the
//! middle of a write leaves the other, which says what was true just before.

use crate::codec::{WireError, crc32c, decode, encode};
use crate::mailbox::{Placement, Profile};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// vGPUs of a device.
pub const VGPUS_MAX: usize = 32;
/// Bytes of one place.
pub const RETAINED_BYTES: usize = 4096;
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

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// Counts writes; the larger of two whole ones is the newer.
    pub number: u32,
    /// The vGPUs.
    pub vgpus: Vec<Vgpu, VGPUS_MAX>,
}

impl Retained {
    /// The bytes to keep: version, length, CRC of the rest, the rest.
    ///
    /// # Errors
    ///
    /// [`WireError::NoRoom`], which the sizes rule out.
    pub fn encode<'a>(&self, into: &'a mut [u8; RETAINED_BYTES]) -> Result<&'a [u8], WireError> {
        let (head, rest) = into.split_at_mut_checked(8).ok_or(WireError::NoRoom)?;
        let body = encode(self, rest)?;
        let (length, crc) = (body.len(), crc32c(body));
        let [l0, l1, ..] = length.to_le_bytes();
        let [c0, c1, c2, c3] = crc.to_le_bytes();
        for (to, from) in head.iter_mut().zip([VERSION, 0, l0, l1, c0, c1, c2, c3]) {
            *to = from;
        }
        into.get(..length.saturating_add(8)).ok_or(WireError::NoRoom)
    }

    /// Reads what was kept.
    ///
    /// # Errors
    ///
    /// When nothing whole was.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (head, rest) = bytes.split_at_checked(8).ok_or(WireError::Malformed)?;
        let &[VERSION, 0, l0, l1, c0, c1, c2, c3] = head else {
            return Err(WireError::Malformed);
        };
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let body = rest.get(..length).ok_or(WireError::Malformed)?;
        if crc32c(body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(WireError::BadCrc);
        }
        decode(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Retained {
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
        Retained { number: u32::MAX, vgpus: core::iter::repeat_n(vgpu, VGPUS_MAX).collect() }
    }

    #[test]
    fn the_fullest_table_fits_and_reads_back() {
        let mut buffer = [0; RETAINED_BYTES];
        let bytes = full().encode(&mut buffer).unwrap();
        assert_eq!(Retained::decode(bytes), Ok(full()));
    }

    #[test]
    fn a_write_that_was_cut_anywhere_is_not_believed() {
        let mut buffer = [0; RETAINED_BYTES];
        let bytes = full().encode(&mut buffer).unwrap();
        for length in 0..bytes.len() {
            let mut cut = [0xff; RETAINED_BYTES];
            cut[..length].copy_from_slice(&bytes[..length]);
            assert!(Retained::decode(&cut).is_err(), "cut at {length}");
        }
    }
}
