//! What a state file has in front of its stream.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `GwState` and a zero |
//! | 8 | 1 | version of the file, 1 |
//! | 9 | 3 | zero |
//! | 12 | 4 | CRC-32C of the head up to here |
//! | 16 | 16 | the mark: zeros, or `spent by resume.` |
//!
//! The stream follows, plain or sealed, up to the file's end. The mark is written in place, and is
//! in no CRC: one that is neither of the two was cut while it was written, or damaged.

/// Bytes of a head.
pub const HEAD_BYTES: usize = 32;
/// Where the mark is.
pub(super) const MARK_AT: usize = 16;
/// Bytes of the mark.
pub(super) const MARK_BYTES: usize = 16;
/// Version of the file.
const VERSION: u8 = 1;
const MAGIC: [u8; 8] = *b"GwState\0";
const VERSION_AT: usize = 8;
const CRC_AT: usize = 12;
const FRESH: [u8; MARK_BYTES] = [0; MARK_BYTES];
const SPENT: [u8; MARK_BYTES] = *b"spent by resume.";

/// Whether a state file was resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was not: its vGPU is in it.
    Fresh,
    /// It was: its vGPU has come out of it.
    Spent,
    /// Nobody knows: the mark is half written or damaged.
    Unknown,
}

impl Mark {
    /// As it stands in a file.
    pub(super) const fn bytes(self) -> Option<[u8; MARK_BYTES]> {
        match self {
            Self::Fresh => Some(FRESH),
            Self::Spent => Some(SPENT),
            Self::Unknown => None,
        }
    }
}

/// Why a file is no state file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It begins with something else.
    #[error("is no state file, or one of a build from before their format was final")]
    NotState,
    /// It begins as one, and was changed.
    #[error("is damaged: its head does not have its CRC")]
    Damaged,
    /// It is of a version that is not known.
    #[error("is newer: it is a state file of version {0}, and version {VERSION} is read")]
    Newer(u8),
}

/// The head of a file whose vGPU is in it.
pub(super) fn fresh() -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..VERSION_AT].copy_from_slice(&MAGIC);
    bytes[VERSION_AT] = VERSION;
    let crc = crc_fast::crc32_iscsi(&bytes[..CRC_AT]);
    bytes[CRC_AT..MARK_AT].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a head.
///
/// # Errors
///
/// When it is none, damaged, or of another version. A mark that is neither is no error here.
pub fn read_head(bytes: &[u8]) -> Result<Mark, HeadError> {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>().filter(|head| head.starts_with(&MAGIC))
    else {
        return Err(HeadError::NotState);
    };
    if head[CRC_AT..MARK_AT] != crc_fast::crc32_iscsi(&head[..CRC_AT]).to_le_bytes() {
        return Err(HeadError::Damaged);
    }
    if head[VERSION_AT] != VERSION {
        return Err(HeadError::Newer(head[VERSION_AT]));
    }
    let mark = &head[MARK_AT..];
    Ok(
        match [Mark::Fresh, Mark::Spent]
            .into_iter()
            .find(|it| it.bytes().is_some_and(|it| it == mark))
        {
            Some(mark) => mark,
            None => Mark::Unknown,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_head_is_found_and_none_makes_a_spent_file_fresh() {
        for mark in [Mark::Fresh, Mark::Spent] {
            let mut good = fresh();
            good[MARK_AT..].copy_from_slice(&mark.bytes().unwrap());
            assert_eq!(read_head(&good), Ok(mark));
            for bit in 0..8 * HEAD_BYTES {
                let mut bytes = good;
                bytes[bit / 8] ^= 1 << (bit % 8);
                let found = read_head(&bytes);
                assert!(matches!(found, Err(_) | Ok(Mark::Unknown)), "bit {bit}: {found:?}");
            }
        }
    }

    #[test]
    fn a_mark_that_is_cut_while_it_is_written_is_not_fresh() {
        for count in 1..=MARK_BYTES {
            let mut bytes = fresh();
            bytes[MARK_AT..MARK_AT + count].copy_from_slice(&SPENT[..count]);
            assert_ne!(read_head(&bytes), Ok(Mark::Fresh), "{count}");
        }
    }

    #[test]
    fn a_newer_file_is_refused_by_its_version() {
        let mut bytes = fresh();
        bytes[VERSION_AT] = 9;
        let crc = crc_fast::crc32_iscsi(&bytes[..CRC_AT]);
        bytes[CRC_AT..MARK_AT].copy_from_slice(&crc.to_le_bytes());
        let why = read_head(&bytes).unwrap_err().to_string();
        assert_eq!(why, "is newer: it is a state file of version 9, and version 1 is read");
    }
}
