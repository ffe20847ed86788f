//! The flash's state: which slot is preferred, and the guard against rollbacks.
//!
//! Two places are written in turn, each with a number and a CRC, so that a write that is
//! interrupted leaves the one before. A CRC is against accidents: whoever can write the flash
//! can lower the guard, which is why silicon keeps it elsewhere (`firmware/image/PORTING.md`).

use crate::Slot;
use crate::bytes::{crc32, double, field, put, word};

/// Bytes of a record.
pub const STATE_RECORD_BYTES: usize = 32;

const MAGIC: [u8; 8] = *b"GODWITST";
const SLOT_AT: usize = 8;
const GUARD_AT: usize = 12;
const SEQUENCE_AT: usize = 16;
const ZERO_AT: usize = 24;
const CRC_AT: usize = 28;

/// What the flash remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Counts writes: the larger number is the newer record.
    pub sequence: u64,
    /// The slot that boots if its image is right.
    pub slot: Slot,
    /// The lowest security version that boots.
    pub guard: u32,
}

impl State {
    /// That of a flash that was just made.
    pub const FIRST: Self = Self { sequence: 1, slot: Slot::A, guard: 0 };

    /// Its record.
    pub fn record(&self) -> [u8; STATE_RECORD_BYTES] {
        let mut record = [0; STATE_RECORD_BYTES];
        put(&mut record, 0, &MAGIC);
        put(&mut record, SLOT_AT, &self.slot.number().to_le_bytes());
        put(&mut record, GUARD_AT, &self.guard.to_le_bytes());
        put(&mut record, SEQUENCE_AT, &self.sequence.to_le_bytes());
        let crc = crc32(record.get(..CRC_AT).unwrap_or_default());
        put(&mut record, CRC_AT, &crc.to_le_bytes());
        record
    }

    /// Reads a record; `None` when there is none, or it is damaged.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let crc = crc32(record.get(..CRC_AT)?);
        let sound = field(record, 0) == Some(MAGIC)
            && word(record, CRC_AT) == Some(crc)
            && word(record, ZERO_AT) == Some(0);
        if !sound {
            return None;
        }
        let slot = Slot::numbered(word(record, SLOT_AT)?)?;
        Some(Self { sequence: double(record, SEQUENCE_AT)?, slot, guard: word(record, GUARD_AT)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are in other people's flash. Never edit them.
    #[test]
    fn record_bytes_are_frozen() {
        let state = State { sequence: 0x0102, slot: Slot::B, guard: 7 };
        let record = state.record();
        assert_eq!(record[..16], *b"GODWITST\x01\0\0\0\x07\0\0\0");
        assert_eq!(record[16..28], [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(State::parse(&record), Some(state));
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_none() {
        let record = State::FIRST.record();
        for bit in 0..record.len() * 8 {
            let mut record = record;
            record[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::parse(&record), None, "bit {bit}");
        }
        assert!((0..record.len()).all(|length| State::parse(&record[..length]).is_none()));
    }
}
