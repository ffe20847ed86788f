//! An entry of the journal, and the stages of a move.

use crate::link::Token;
use crc_fast::crc32_iscsi as crc32c;
use std::fmt;

/// A side of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It gives the vGPU away.
    Source,
    /// It takes the vGPU in.
    Destination,
}

/// How far a move is on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStage {
    /// Source: it runs here, and the destination was told of it.
    Offered,
    /// Source: it is the destination's. What is here is kept until the destination says so.
    Committed,
    /// Source: it runs at the destination.
    Done,
    /// Source: the move is off, for good.
    Aborted,
    /// Destination: it is on its way here.
    Restoring,
    /// Destination: it is here, whole, and the source's until the source says otherwise.
    Ready,
    /// Destination: it is this side's, and about to be started. Whether it was is not known to who
    /// finds this.
    Running,
    /// Destination: it is this side's, and has run here.
    Started,
    /// Destination: it is this side's, and the source knows.
    Closed,
    /// Destination: nothing of it is here or will be, and it never ran.
    Released,
}

impl MoveStage {
    /// All of them, with the byte of each in an entry.
    const BYTES: [(Self, u8); 10] = [
        (Self::Offered, 1),
        (Self::Committed, 2),
        (Self::Done, 3),
        (Self::Aborted, 4),
        (Self::Restoring, 5),
        (Self::Ready, 6),
        (Self::Running, 7),
        (Self::Closed, 8),
        (Self::Released, 9),
        (Self::Started, 10),
    ];

    fn byte(self) -> u8 {
        let found = Self::BYTES.iter().find(|(stage, _)| *stage == self);
        found.expect("every stage has a byte").1
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::BYTES.iter().find(|(_, of)| *of == byte).map(|(stage, _)| *stage)
    }

    /// Which side knows it.
    pub fn side(self) -> Side {
        match self {
            Self::Offered | Self::Committed | Self::Done | Self::Aborted => Side::Source,
            Self::Restoring
            | Self::Ready
            | Self::Running
            | Self::Started
            | Self::Closed
            | Self::Released => Side::Destination,
        }
    }

    /// What a move is first.
    pub(crate) fn first(side: Side) -> Self {
        match side {
            Side::Source => Self::Offered,
            Side::Destination => Self::Restoring,
        }
    }

    /// Whether it may come after another.
    pub(crate) fn follows(self, before: Self) -> bool {
        match self {
            Self::Offered | Self::Restoring => false,
            Self::Committed => before == Self::Offered,
            Self::Done => before == Self::Committed,
            Self::Aborted => matches!(before, Self::Offered | Self::Committed),
            Self::Ready => before == Self::Restoring,
            Self::Running => before == Self::Ready,
            Self::Started => before == Self::Running,
            // From running: the source has let go of it, so that nobody else can have it.
            Self::Closed => matches!(before, Self::Running | Self::Started),
            Self::Released => matches!(before, Self::Restoring | Self::Ready | Self::Running),
        }
    }

    /// Whether nothing comes after it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Done | Self::Aborted | Self::Closed | Self::Released => true,
            Self::Offered
            | Self::Committed
            | Self::Restoring
            | Self::Ready
            | Self::Running
            | Self::Started => false,
        }
    }

    /// Whether the side gives the move up, which it may at any time as far as it knows.
    pub(crate) fn gives_up(self) -> bool {
        matches!(self, Self::Aborted | Self::Released)
    }
}

impl fmt::Display for MoveStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offered => "offered",
            Self::Committed => "committed",
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Restoring => "restoring",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Started => "started",
            Self::Closed => "closed",
            Self::Released => "released",
        })
    }
}

/// What is known of a move on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The move.
    pub token: Token,
    /// How far it is.
    pub stage: MoveStage,
    /// An operator has decided so.
    pub resolved: bool,
}

/// Length of an entry in a file.
pub(crate) const ENTRY_BYTES: usize = 32;
/// An operator has decided so.
const RESOLVED: u8 = 1;

impl JournalEntry {
    /// The entry as bytes, little-endian: stage, flags, two zeros, id, number, CRC-32C of them.
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0] = self.stage.byte();
        bytes[1] = if self.resolved { RESOLVED } else { 0 };
        bytes[4..20].copy_from_slice(&self.token.uuid);
        bytes[20..28].copy_from_slice(&self.token.number.to_le_bytes());
        let crc = crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads an entry. `None`: it is damaged.
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let flags = bytes[1] | RESOLVED == RESOLVED && bytes[2..4] == [0, 0];
        if crc32c(&bytes[..28]).to_le_bytes() != bytes[28..] || !flags {
            return None;
        }
        let stage = MoveStage::from_byte(bytes[0])?;
        let uuid = bytes[4..20].try_into().ok()?;
        let number = u64::from_le_bytes(bytes[20..28].try_into().ok()?);
        Some(Self { token: Token { uuid, number }, stage, resolved: bytes[1] == RESOLVED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_and_no_damaged_one_does() {
        let token = Token { uuid: [9; 16], number: 0x0102_0304_0506_0708 };
        for (stage, _) in MoveStage::BYTES {
            for resolved in [false, true] {
                let entry = JournalEntry { token, stage, resolved };
                let bytes = entry.encode();
                assert_eq!(JournalEntry::decode(&bytes), Some(entry));
                for bit in 0..ENTRY_BYTES * 8 {
                    let mut bytes = bytes;
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(JournalEntry::decode(&bytes), None, "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_nobody_writes_is_damage_whatever_its_crc_says() {
        let entry = |stage: u8, flags: [u8; 3]| {
            let mut bytes = [0; ENTRY_BYTES];
            bytes[0] = stage;
            bytes[1..4].copy_from_slice(&flags);
            let crc = crc32c(&bytes[..28]);
            bytes[28..].copy_from_slice(&crc.to_le_bytes());
            JournalEntry::decode(&bytes)
        };
        assert!(entry(1, [0; 3]).is_some() && entry(10, [1, 0, 0]).is_some());
        for wrong in [(0, [0; 3]), (11, [0; 3]), (1, [2, 0, 0]), (1, [0, 1, 0]), (1, [1, 0, 1])] {
            assert_eq!(entry(wrong.0, wrong.1), None, "{wrong:?}");
        }
    }

    #[test]
    fn no_stage_is_left_when_it_is_over_and_sides_do_not_mix() {
        for (before, _) in MoveStage::BYTES {
            let after: Vec<MoveStage> = MoveStage::BYTES
                .iter()
                .map(|(stage, _)| *stage)
                .filter(|stage| stage.follows(before))
                .collect();
            assert!(after.iter().all(|stage| stage.side() == before.side()), "{before}");
            assert_eq!(after.is_empty(), before.is_over(), "{before}: {after:?}");
        }
    }
}
