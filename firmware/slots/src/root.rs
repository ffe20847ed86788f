//! What the boot stage trusts: its board, and the key that images are checked with.

use crate::bytes::{crc32, field, put, word};
use crate::{BoardName, PublicKey};

/// Bytes of the record, which is at `KEY_AT`.
pub const ROOT_RECORD_BYTES: usize = 76;

const MAGIC: [u8; 8] = *b"GODWITPK";
const BOARD_AT: usize = 8;
const KEY_AT: usize = 40;
const CRC_AT: usize = 72;

/// Lies in the flash beside the boot stage, and is written with it: one boot stage serves every
/// key, and tools check with the key that the boot stage will use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The board that the boot stage is for.
    pub board: BoardName,
    /// The key that images are checked with.
    pub key: PublicKey,
}

impl Root {
    /// Its record.
    pub fn record(&self) -> [u8; ROOT_RECORD_BYTES] {
        let mut record = [0; ROOT_RECORD_BYTES];
        put(&mut record, 0, &MAGIC);
        put(&mut record, BOARD_AT, self.board.bytes());
        put(&mut record, KEY_AT, &self.key.bytes());
        let crc = crc32(record.get(..CRC_AT).unwrap_or_default());
        put(&mut record, CRC_AT, &crc.to_le_bytes());
        record
    }

    /// Reads a record; `None` when there is none, or it is damaged.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let crc = crc32(record.get(..CRC_AT)?);
        let sound = field(record, 0) == Some(MAGIC) && word(record, CRC_AT) == Some(crc);
        if !sound {
            return None;
        }
        let board = BoardName::parse(field(record, BOARD_AT)?)?;
        let key = PublicKey::new(&field(record, KEY_AT)?).ok()?;
        Some(Self { board, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DEVELOPMENT_KEY, SecretKey};

    #[test]
    fn a_record_that_is_damaged_is_none() {
        let key = SecretKey::from_text(DEVELOPMENT_KEY).unwrap().public();
        let root = Root { board: BoardName::new("b").unwrap(), key };
        let record = root.record();
        assert_eq!(Root::parse(&record), Some(root));
        for at in 0..ROOT_RECORD_BYTES {
            let mut record = record;
            record[at] ^= 1;
            assert_eq!(Root::parse(&record), None);
            assert_eq!(Root::parse(&record[..at]), None);
        }
    }
}
