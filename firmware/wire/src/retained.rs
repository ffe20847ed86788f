//! What a microcontroller keeps over a reset: who owns which part of the device.
//!
//! Two places are written in turn. Each has a number and a CRC, so that a reset in the
//! middle of a write leaves the other, which says what was true just before.
//!
//! The head is the same in every version from 4 on, and says how long the rest is. So whoever does
//! not read a record's version still sees that it is there and whole, and does not take the device
//! to be nobody's.

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
/// Bytes that the longest record of any version may take: a place's.
const ANY_BYTES_MAX: usize = 4096;
const _: () = assert!(RECORD_BYTES_MAX <= ANY_BYTES_MAX);
/// How much of a record is looked at in one piece.
const PIECE_BYTES: usize = 32;

/// First byte of what is kept by a firmware that writes this shape.
pub const VERSION: u8 = 4;

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

impl Vgpu {
    #[inline(never)]
    fn encode(&self, into: &mut [u8; ENTRY_BYTES]) -> Result<(), WireError> {
        codec::encode(self, into).map(drop)
    }

    #[inline(never)]
    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Result<Self, WireError> {
        codec::decode_first(bytes).map(|(vgpu, _)| vgpu)
    }
}

impl Rules {
    #[inline(never)]
    fn encode(&self, into: &mut [u8; RULES_BYTES]) -> Result<(), WireError> {
        codec::encode(self, into).map(drop)
    }

    #[inline(never)]
    fn decode(bytes: &[u8; RULES_BYTES]) -> Result<Self, WireError> {
        codec::decode_first(bytes).map(|(rules, _)| rules)
    }
}

/// Writes what is to be kept, piece by piece, since a microcontroller's stack has no room for
/// all of it: `store` is given places and bytes, both whole words. The head comes last, so that
/// a write that was cut leaves no record.
///
/// The head is version, number of vGPUs, two zeros; a number that counts writes; a CRC; how many
/// bytes follow. The CRC is of the other three words and of all that follows. The larger number of
/// two whole records is the newer.
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
    let (head, length) = ([VERSION, count as u8, 0, 0], body_bytes(count) as u32);
    let mut crc = begin(head, number, length);
    let mut entry = [0; RULES_BYTES];
    rules.encode(&mut entry)?;
    crc.update(&entry);
    store(HEAD_BYTES, &entry);
    for (index, vgpu) in vgpus.enumerate() {
        let mut entry = [0; ENTRY_BYTES];
        vgpu.encode(&mut entry)?;
        crc.update(&entry);
        store(place(index), &entry);
    }
    let mut bytes = [0; HEAD_BYTES];
    let words = [head, number.to_le_bytes(), crc.finalize().to_le_bytes(), length.to_le_bytes()];
    for (to, from) in bytes.iter_mut().zip(words.into_iter().flatten()) {
        *to = from;
    }
    store(0, &bytes);
    Ok(())
}

fn begin(head: [u8; 4], number: u32, length: u32) -> codec::Digest {
    let mut crc = codec::digest();
    for word in [head, number.to_le_bytes(), length.to_le_bytes()] {
        crc.update(&word);
    }
    crc
}

const fn place(index: usize) -> usize {
    HEAD_BYTES.wrapping_add(body_bytes(index))
}

/// Bytes after the head.
const fn body_bytes(count: usize) -> usize {
    RULES_BYTES.wrapping_add(count.wrapping_mul(ENTRY_BYTES))
}

/// A whole record, whose vGPUs are read one by one if it is of this [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its version. Of another than [`VERSION`] only this and the number mean anything.
    pub version: u8,
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
        let ([[version, count, 0, 0], number, crc, length], []) = head.as_chunks() else {
            return Err(WireError::Malformed);
        };
        let (number, length) = (u32::from_le_bytes(*number), u32::from_le_bytes(*length));
        let kept = Self { version: *version, number, count: usize::from(*count) };
        let end = HEAD_BYTES.saturating_add(length as usize);
        let ours = *version != VERSION || kept.count <= VGPUS_MAX && end == place(kept.count);
        if end > ANY_BYTES_MAX || !ours {
            return Err(WireError::Malformed);
        }
        let mut digest = begin([*version, *count, 0, 0], number, length);
        let mut piece = [0; PIECE_BYTES];
        for at in (HEAD_BYTES..end).step_by(PIECE_BYTES) {
            let bytes = piece.len().min(end.saturating_sub(at));
            let piece = piece.get_mut(..bytes).unwrap_or_default();
            load(at, piece);
            digest.update(piece);
        }
        if digest.finalize() != u32::from_le_bytes(*crc) {
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
        Rules::decode(&entry)
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
        Vgpu::decode(&entry)
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
        assert_eq!(kept, Kept { version: VERSION, number: u32::MAX, count: VGPUS_MAX });
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

    /// A record of another version: its head, and as many bytes as it says.
    fn foreign(version: u8, body: &[u8]) -> std::vec::Vec<u8> {
        let (head, length) = ([version, 200, 0, 0], body.len() as u32);
        let mut crc = begin(head, 7, length);
        crc.update(body);
        let words = [head, 7u32.to_le_bytes(), crc.finalize().to_le_bytes(), length.to_le_bytes()];
        let mut place = std::vec![0xff; ANY_BYTES_MAX];
        place[..HEAD_BYTES].copy_from_slice(&words.concat());
        place[HEAD_BYTES..][..body.len()].copy_from_slice(body);
        place
    }

    #[test]
    fn a_whole_record_of_another_version_is_seen_however_long_it_is() {
        for version in [0, VERSION - 1, VERSION + 1, u8::MAX] {
            for length in [0, 4, PIECE_BYTES, PIECE_BYTES + 4, ANY_BYTES_MAX - HEAD_BYTES] {
                let mut place = foreign(version, &std::vec![0xa5; length]);
                let kept = Kept::read(from(&place)).unwrap();
                assert_eq!((kept.version, kept.number), (version, 7));
                place[HEAD_BYTES + length - usize::from(length != 0)] ^= 1;
                let damaged = length != 0;
                assert_eq!(Kept::read(from(&place)).is_err(), damaged, "{version} {length}");
            }
        }
    }

    #[test]
    fn what_nobody_has_written_is_no_record_of_any_version() {
        for byte in [0, 0xff] {
            assert!(Kept::read(from(&[byte; ANY_BYTES_MAX])).is_err());
        }
        // One that says that it is longer than its place is not looked for beyond it.
        let mut place = foreign(VERSION + 1, &[]);
        place[12..16].copy_from_slice(&4096u32.to_le_bytes());
        assert_eq!(Kept::read(from(&place)), Err(WireError::Malformed));
    }
}
