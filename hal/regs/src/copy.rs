//! Entries of the firmware's privileged copy ring, and their answers.

use crate::bits::{halves, whole};
use crate::table::{fields, numbers};
use godwit_types::{
    CopyDone, CopyOp, CopyRequest, CopyStatus, Gfid, PAGE_BYTES, SLOT_BYTES, SlotId, SlotRange,
};

/// The firmware's words of an entry: op, slot, a, b (low, high each), crc.
pub type RequestWords = [u32; 7];
/// The device's words of an entry: status, crc, bytes, pages.
pub type DoneWords = [u32; 4];

numbers! {
    /// Operations of `copy_entry.op`; `godwit_types::CopyOp` says what each does.
    OPERATIONS {
        DIRTY_START = 1;
        DIRTY_FLIP = 2;
        GATHER = 3;
        DIRTY_STOP = 4;
        SCATTER = 5;
        FILL_FB = 6;
        CONTEXT_TO_SLOT = 7;
        SLOT_TO_CONTEXT = 8;
        FILL_CONTEXT = 9;
        FILL_SLOT = 10;
    }
}

numbers! {
    /// Values of `copy_entry.done_status`.
    STATUSES {
        DONE = 1;
        ERROR = 2;
        BAD_CRC = 3;
        OUT_OF_RANGE = 4;
    }
}

fields! {
    /// `copy_entry.op`.
    op {
        /// What to do.
        OPERATION @ 0, 8: super::OPERATIONS;
        /// Whose memory is meant.
        GFID @ 8, 8;
        /// Echoed in the answer.
        TAG @ 16, 16;
    }
}

fields! {
    /// `copy_entry.slot`.
    slot {
        /// Bytes of the slot, from its first one.
        BYTES @ 0, 24;
        /// Which slot.
        SLOT @ 24, 8;
    }
}

fields! {
    /// `copy_entry.done_status`.
    done_status {
        /// How the operation ended.
        STATUS @ 0, 32: super::STATUSES;
    }
}

const fn slot_word(slot: SlotId, byte_count: u32) -> u32 {
    slot::SLOT.put(slot.raw() as u32) | slot::BYTES.put(byte_count)
}

const fn range_word(range: SlotRange) -> u32 {
    slot_word(range.slot, range.byte_count)
}

/// Encodes a request.
pub const fn encode(request: &CopyRequest) -> RequestWords {
    let (operation, slot, a, b, crc) = match request.op {
        CopyOp::DirtyStart => (DIRTY_START, 0, 0, 0, 0),
        CopyOp::DirtyFlip { bar_bytes } => (DIRTY_FLIP, 0, bar_bytes, 0, 0),
        CopyOp::Gather { first, slot } => (GATHER, slot_word(slot, 0), first as u64, 0, 0),
        CopyOp::DirtyStop => (DIRTY_STOP, 0, 0, 0, 0),
        CopyOp::Scatter { from, crc } => (SCATTER, range_word(from), 0, 0, crc),
        CopyOp::FillFb { at, byte_count } => (FILL_FB, 0, at, byte_count, 0),
        CopyOp::ContextToSlot { at, to } => (CONTEXT_TO_SLOT, range_word(to), at, 0, 0),
        CopyOp::SlotToContext { from, at, crc } => (SLOT_TO_CONTEXT, range_word(from), at, 0, crc),
        CopyOp::FillContext { at, byte_count } => (FILL_CONTEXT, 0, at, byte_count, 0),
        CopyOp::FillSlot { slot } => (FILL_SLOT, slot_word(slot, 0), 0, 0, 0),
    };
    let op = op::OPERATION.put(operation)
        | op::GFID.put(request.gfid.raw() as u32)
        | op::TAG.put(request.tag as u32);
    let (a_lo, a_hi) = halves(a);
    let (b_lo, b_hi) = halves(b);
    [op, slot, a_lo, a_hi, b_lo, b_hi, crc]
}

/// Reads a request. `None` when no device could do it.
pub const fn parse(words: RequestWords) -> Option<CopyRequest> {
    let [word, place, a_lo, a_hi, b_lo, b_hi, crc] = words;
    let (a, b) = (whole(a_lo, a_hi), whole(b_lo, b_hi));
    let byte_count = slot::BYTES.take(place);
    let (Some(slot), Some(gfid)) =
        (SlotId::new(slot::SLOT.take(place) as u8), Gfid::new(op::GFID.take(word) as u8))
    else {
        return None;
    };
    if byte_count > SLOT_BYTES {
        return None;
    }
    let range = SlotRange { slot, byte_count };
    let operation = match op::OPERATION.take(word) {
        DIRTY_START => CopyOp::DirtyStart,
        DIRTY_FLIP => CopyOp::DirtyFlip { bar_bytes: a },
        GATHER => CopyOp::Gather { first: a_lo, slot },
        DIRTY_STOP => CopyOp::DirtyStop,
        SCATTER => CopyOp::Scatter { from: range, crc },
        FILL_FB => CopyOp::FillFb { at: a, byte_count: b },
        CONTEXT_TO_SLOT => CopyOp::ContextToSlot { at: a, to: range },
        SLOT_TO_CONTEXT => CopyOp::SlotToContext { from: range, at: a, crc },
        FILL_CONTEXT => CopyOp::FillContext { at: a, byte_count: b },
        FILL_SLOT => CopyOp::FillSlot { slot },
        _ => return None,
    };
    Some(CopyRequest { tag: op::TAG.take(word) as u16, gfid, op: operation })
}

/// Encodes an answer; the tag is that of the entry.
pub const fn encode_done(done: &CopyDone) -> DoneWords {
    let status = match done.status {
        CopyStatus::Done => DONE,
        CopyStatus::Error => ERROR,
        CopyStatus::BadCrc => BAD_CRC,
        CopyStatus::OutOfRange => OUT_OF_RANGE,
    };
    [status, done.crc, done.byte_count, done.pages]
}

/// Reads an answer. An undefined status counts as an error of the engine.
pub const fn parse_done(tag: u16, words: DoneWords) -> CopyDone {
    let [status, crc, byte_count, pages] = words;
    let status = match status {
        DONE => CopyStatus::Done,
        BAD_CRC => CopyStatus::BadCrc,
        OUT_OF_RANGE => CopyStatus::OutOfRange,
        _ => CopyStatus::Error,
    };
    CopyDone { tag, status, crc, byte_count, pages }
}

/// Bytes of one staging slot in shared memory: its data, then its table of runs.
pub const SLOT_STRIDE: u32 = SLOT_BYTES.wrapping_add(PAGE_BYTES);

/// Consecutive pages of a partition, as a slot's table of runs names them. The table lies
/// after the slot's data: the number of runs (u32), then the runs (two u32 each), all
/// little-endian. The pages' bytes lie in the data in the order of the runs; zero pages have
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// First page of the partition.
    pub first: u32,
    /// Pages, at least 1.
    pub count: u32,
    /// Whether all of them are zero.
    pub zero: bool,
}

const ZERO: u32 = 1 << 31;

impl PageRun {
    /// Encodes a run of the table. The count keeps 31 bits.
    pub const fn encode(self) -> [u32; 2] {
        [self.first, self.count & !ZERO | if self.zero { ZERO } else { 0 }]
    }

    /// Reads a run of the table. `None` for one without pages or past the last page number.
    pub const fn parse(words: [u32; 2]) -> Option<Self> {
        let [first, word] = words;
        let count = word & !ZERO;
        if count == 0 || first.checked_add(count).is_none() {
            return None;
        }
        Some(Self { first, count, zero: word & ZERO != 0 })
    }

    /// Bytes of the run in the slot's data.
    pub const fn data_bytes(self) -> u64 {
        if self.zero { 0 } else { (self.count as u64).wrapping_mul(PAGE_BYTES as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_reads_back_as_written() {
        let slot = SlotId::new(15).unwrap();
        let range = SlotRange { slot, byte_count: SLOT_BYTES };
        let at = 0x12_3456_7890;
        for op in [
            CopyOp::DirtyStart,
            CopyOp::DirtyFlip { bar_bytes: at },
            CopyOp::Gather { first: 9, slot },
            CopyOp::DirtyStop,
            CopyOp::Scatter { from: range, crc: 5 },
            CopyOp::FillFb { at, byte_count: at },
            CopyOp::ContextToSlot { at, to: range },
            CopyOp::SlotToContext { from: range, at, crc: u32::MAX },
            CopyOp::FillContext { at, byte_count: 1 },
            CopyOp::FillSlot { slot },
        ] {
            let request = CopyRequest { tag: 0xabcd, gfid: Gfid::new(3).unwrap(), op };
            assert_eq!(parse(encode(&request)), Some(request));
        }
        assert_eq!(parse([0; 7]), None);
    }
}
