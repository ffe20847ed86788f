//! What a microcontroller keeps over a reset: who owns which part of the device.
//!
//! Two places are written in turn. Each has a number and a CRC, so that a reset in the
//! middle of a write leaves the other, which says what was true just before.

use crate::codec::{self, WireError};
use crate::mailbox::{Limits, Placement, Profile, Scheduling, Share};
use serde::{Deserialize, Serialize};

/// vGPUs of a device.
pub const VGPUS_MAX: usize = 32;
/// Bytes of the record's head.
pub const HEAD_BYTES: usize = 16;
/// Bytes that each vGPU takes: whole words.
pub const ENTRY_BYTES: usize = VGPU_BYTES_MAX.next_multiple_of(4);
/// Bytes of the longest vGPU: postcard takes up to 10, 5 and 3 for 64, 32 and 16 bits.
const VGPU_BYTES_MAX: usize =
    1 + (1 + 10 + 5 + 1) + (2 * 10 + 3 + 5) + (3 * 10 + 3) + 5 + (1 + 3 + 3);
/// Bytes that the rules take: whole words.
pub const RULES_BYTES: usize = RULES_BYTES_MAX.next_multiple_of(4);
const RULES_BYTES_MAX: usize = (1 + 1 + 10 + 1) + (5 + 4 * (5 + 1));
/// Bytes of the longest record.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + RULES_BYTES + VGPUS_MAX * ENTRY_BYTES;

/// First byte of what is kept by a firmware that writes this shape.
pub const VERSION: u8 = 3;

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
    /// What it is due of the engines.
    pub share: Share,
}

/// What holds for all vGPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How they take turns.
    pub scheduling: Scheduling,
    /// What is too much of something.
    pub limits: Limits,
}

/// Writes what is to be kept, piece by piece, since a microcontroller's stack has no room for
/// all of it: `store` is given places and bytes, both whole words. The head comes last, so that
/// a write that was cut leaves no record.
///
/// The head is version, number of vGPUs, two zeros; a number that counts writes; a CRC of both
/// and of all that follows; a zero. The larger number of two whole records is the newer.
///
/// # Errors
///
/// [`WireError::NoRoom`], which the sizes rule out.
pub fn write(
    number: u32,
    rules: &Rules,
    vgpus: impl Iterator<Item = Vgpu> + Clone,
    mut store: impl FnMut(usize, &[u8]),
) -> Result<(), WireError> {
    let count = vgpus.clone().count();
    if count > VGPUS_MAX {
        return Err(WireError::NoRoom);
    }
    let head = [VERSION, count as u8, 0, 0];
    let mut crc = begin(head, number);
    let mut entry = [0; RULES_BYTES];
    codec::encode(rules, &mut entry)?;
    crc.update(&entry);
    store(HEAD_BYTES, &entry);
    for (index, vgpu) in vgpus.enumerate() {
        let mut entry = [0; ENTRY_BYTES];
        codec::encode(&vgpu, &mut entry)?;
        crc.update(&entry);
        store(place(index), &entry);
    }
    let mut bytes = [0; HEAD_BYTES];
    let crc = crc.finalize().to_le_bytes();
    for (to, from) in bytes.iter_mut().zip(head.into_iter().chain(number.to_le_bytes()).chain(crc))
    {
        *to = from;
    }
    store(0, &bytes);
    Ok(())
}

fn begin(head: [u8; 4], number: u32) -> codec::Digest {
    let mut crc = codec::digest();
    crc.update(&head);
    crc.update(&number.to_le_bytes());
    crc
}

const fn place(index: usize) -> usize {
    HEAD_BYTES.wrapping_add(RULES_BYTES).wrapping_add(index.wrapping_mul(ENTRY_BYTES))
}

/// A whole record, whose vGPUs are read one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Counts writes.
    pub number: u32,
    /// How many vGPUs there are.
    pub count: usize,
}

impl Kept {
    /// Looks at what was kept; `load` fills the bytes that it is given from a place.
    ///
    /// # Errors
    ///
    /// When nothing whole was.
    pub fn read(mut load: impl FnMut(usize, &mut [u8])) -> Result<Self, WireError> {
        let mut head = [0; HEAD_BYTES];
        load(0, &mut head);
        let [VERSION, count, 0, 0, n0, n1, n2, n3, c0, c1, c2, c3, 0, 0, 0, 0] = head else {
            return Err(WireError::Malformed);
        };
        let kept = Self { number: u32::from_le_bytes([n0, n1, n2, n3]), count: usize::from(count) };
        if kept.count > VGPUS_MAX {
            return Err(WireError::Malformed);
        }
        let mut crc = begin([VERSION, count, 0, 0], kept.number);
        let mut rules = [0; RULES_BYTES];
        load(HEAD_BYTES, &mut rules);
        crc.update(&rules);
        for index in 0..kept.count {
            let mut entry = [0; ENTRY_BYTES];
            load(place(index), &mut entry);
            crc.update(&entry);
        }
        if crc.finalize() != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(WireError::BadCrc);
        }
        Ok(kept)
    }

    /// What holds for all of them.
    ///
    /// # Errors
    ///
    /// When its bytes are none.
    pub fn rules(&self, mut load: impl FnMut(usize, &mut [u8])) -> Result<Rules, WireError> {
        let mut entry = [0; RULES_BYTES];
        load(HEAD_BYTES, &mut entry);
        codec::decode_first(&entry).map(|(rules, _)| rules)
    }

    /// One of the vGPUs.
    ///
    /// # Errors
    ///
    /// When there are fewer, or its bytes are none.
    pub fn vgpu(
        &self,
        index: usize,
        mut load: impl FnMut(usize, &mut [u8]),
    ) -> Result<Vgpu, WireError> {
        if index >= self.count {
            return Err(WireError::Malformed);
        }
        let mut entry = [0; ENTRY_BYTES];
        load(place(index), &mut entry);
        codec::decode_first(&entry).map(|(vgpu, _)| vgpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Limit;

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
        let share = Share { weight: 255, part: u16::MAX, cap: u16::MAX };
        let vgpu = Vgpu { gfid: 32, phase, profile, placement, epoch: u32::MAX, share };
        core::iter::repeat_n(vgpu, VGPUS_MAX)
    }

    fn rules() -> Rules {
        let scheduling = Scheduling { policy: 255, slice_ns: Some(u64::MAX), averaging: 255 };
        let limit = Limit { count: u32::MAX, measure: 255 };
        Rules { scheduling, limits: Limits { window_ms: u32::MAX, of: [limit; 4] } }
    }

    fn written(number: u32) -> [u8; RECORD_BYTES_MAX] {
        let mut place = [0xff; RECORD_BYTES_MAX];
        let store = |at: usize, bytes: &[u8]| place[at..][..bytes.len()].copy_from_slice(bytes);
        write(number, &rules(), full(), store).unwrap();
        place
    }

    fn from(place: &[u8]) -> impl FnMut(usize, &mut [u8]) {
        move |at, into| into.copy_from_slice(&place[at..][..into.len()])
    }

    #[test]
    fn the_fullest_table_fits_and_reads_back() {
        let place = written(u32::MAX);
        let kept = Kept::read(from(&place)).unwrap();
        assert_eq!(kept, Kept { number: u32::MAX, count: VGPUS_MAX });
        for (index, vgpu) in full().enumerate() {
            assert_eq!(kept.vgpu(index, from(&place)), Ok(vgpu));
        }
        assert_eq!(kept.rules(from(&place)), Ok(rules()));
        assert_eq!(kept.vgpu(VGPUS_MAX, from(&place)), Err(WireError::Malformed));
    }

    #[test]
    fn a_write_that_was_cut_anywhere_is_not_believed() {
        let whole = written(u32::MAX);
        for length in 0..whole.len() {
            let mut cut = [0xff; RECORD_BYTES_MAX];
            cut[..length].copy_from_slice(&whole[..length]);
            assert!(Kept::read(from(&cut)).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_write_over_an_older_record_leaves_one_of_them_or_none() {
        let (older, newer) = (written(7), written(9));
        let mut pieces = std::vec::Vec::new();
        write(9, &rules(), full(), |at, bytes| pieces.push((at, bytes.to_vec()))).unwrap();
        let bytes = pieces.iter().flat_map(|(at, bytes)| {
            bytes.iter().enumerate().map(move |(offset, byte)| (at + offset, *byte))
        });
        let mut place = older;
        for (at, byte) in bytes {
            match Kept::read(from(&place)) {
                Ok(kept) => assert!(kept.number == 7 || place == newer),
                Err(error) => assert_eq!(error, WireError::BadCrc),
            }
            place[at] = byte;
        }
        assert_eq!(place, newer);
    }
}
