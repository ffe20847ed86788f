//! Decoded instructions, by address.

use crate::partition::Partition;
use ckb_vm::instructions::{
    Instruction, R4type, Rtype, a, extract_opcode, i, insts, m, rvc, set_instruction_length_4,
};
use ckb_vm::machine::VERSION2;
use godwit_types::ChannelFault;

/// Slots of the cache. Consecutive addresses use consecutive slots, so code of up to twice as
/// many bytes has no conflicts.
const SLOT_COUNT: usize = 4096;
/// Longest instruction.
const INSTRUCTION_BYTES_MAX: u64 = 4;
/// Bytes of the longest store.
const STORE_BYTES_MAX: u64 = 8;

/// What `ckb-vm` either does not do as the architecture asks or cannot report, so the hart
/// does it: such instructions are decoded as an `ecall` that carries one of these.
///
/// A failed SC of `ckb-vm` writes back what it has read, and its FENCE.I reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trap {
    /// A plain ECALL.
    Call,
    /// SC.W.
    StoreConditional32,
    /// SC.D.
    StoreConditional64,
    /// FENCE.I.
    FenceCode,
}

impl Trap {
    /// Which one an `ecall` carries.
    pub(super) fn of(instruction: Instruction) -> Self {
        match R4type(instruction).rs3() {
            1 => Self::StoreConditional32,
            2 => Self::StoreConditional64,
            3 => Self::FenceCode,
            _ => Self::Call,
        }
    }

    fn replace(self, decoded: Instruction) -> Instruction {
        let r = Rtype(decoded);
        let kind = match self {
            Self::Call => 0,
            Self::StoreConditional32 => 1,
            Self::StoreConditional64 => 2,
            Self::FenceCode => 3,
        };
        let carrier = R4type::new(insts::OP_ECALL, r.rd(), r.rs1(), r.rs2(), kind);
        set_instruction_length_4(carrier.0)
    }
}

/// Decodes one instruction: 32 bits, or 16 with zeros above.
fn decode(bits: u32) -> Option<Instruction> {
    let factories = [
        rvc::factory::<u64>,
        i::factory::<u64>,
        m::factory::<u64>,
        a::factory::<u64>,
    ];
    let decoded = factories
        .iter()
        .find_map(|factory| factory(bits, VERSION2))?;
    let trap = match extract_opcode(decoded) {
        insts::OP_SC_W => Trap::StoreConditional32,
        insts::OP_SC_D => Trap::StoreConditional64,
        insts::OP_FENCEI => Trap::FenceCode,
        _ => return Some(decoded),
    };
    Some(trap.replace(decoded))
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    pc: u64,
    instruction: Instruction,
}

/// No instruction lies at an odd address.
const EMPTY: Slot = Slot {
    pc: u64::MAX,
    instruction: 0,
};

/// The instructions that were decoded last. `ckb-vm`'s own decoder has such a cache too, but
/// it can only be thrown away as a whole, which a kernel with data beside its code would make
/// happen at every store.
#[derive(Debug)]
pub(super) struct CodeCache {
    slots: Box<[Slot; SLOT_COUNT]>,
    /// A store that begins in this range may touch a cached instruction; none other can.
    near_start: u64,
    near_bytes: u64,
}

const fn slot_of(pc: u64) -> usize {
    (pc >> 1) as usize % SLOT_COUNT
}

impl CodeCache {
    pub(super) fn new() -> Self {
        Self {
            slots: Box::new([EMPTY; SLOT_COUNT]),
            near_start: 0,
            near_bytes: 0,
        }
    }

    /// The instruction at `pc`, if it is known.
    #[inline]
    pub(super) fn lookup(&self, pc: u64) -> Option<Instruction> {
        let slot = &self.slots[slot_of(pc)];
        (slot.pc == pc).then_some(slot.instruction)
    }

    /// Reads and decodes the instruction at `pc`, and keeps it.
    #[cold]
    pub(super) fn fetch(
        &mut self,
        partition: &Partition,
        pc: u64,
    ) -> Result<Instruction, ChannelFault> {
        let half = |at| match partition.load::<u16>(at) {
            Ok(bits) => Ok(u32::from(u16::from_le(bits))),
            Err(_) => Err(ChannelFault::OutOfPartition),
        };
        if !pc.is_multiple_of(2) {
            return Err(ChannelFault::IllegalInstruction);
        }
        let low = half(pc)?;
        let bits = if low & 3 == 3 {
            low | half(pc + 2)? << 16
        } else {
            low
        };
        let instruction = decode(bits).ok_or(ChannelFault::IllegalInstruction)?;
        self.slots[slot_of(pc)] = Slot { pc, instruction };
        self.widen(pc);
        Ok(instruction)
    }

    fn widen(&mut self, pc: u64) {
        let start = pc.saturating_sub(STORE_BYTES_MAX - 1);
        let end = pc + INSTRUCTION_BYTES_MAX;
        if self.near_bytes == 0 {
            (self.near_start, self.near_bytes) = (start, end - start);
            return;
        }
        let old_end = self.near_start + self.near_bytes;
        self.near_start = self.near_start.min(start);
        self.near_bytes = old_end.max(end) - self.near_start;
    }

    /// Forgets the instructions that a store of `byte_count` bytes to `at` has changed.
    #[inline]
    pub(super) fn note_store(&mut self, at: u64, byte_count: u64) {
        if at.wrapping_sub(self.near_start) < self.near_bytes {
            self.forget(at, byte_count);
        }
    }

    #[cold]
    fn forget(&mut self, at: u64, byte_count: u64) {
        let first = at
            .saturating_sub(INSTRUCTION_BYTES_MAX - 1)
            .next_multiple_of(2);
        for pc in (first..at + byte_count).step_by(2) {
            let slot = &mut self.slots[slot_of(pc)];
            if slot.pc == pc {
                *slot = EMPTY;
            }
        }
    }

    /// Forgets everything, in time that goes with the extent of the code that ran.
    pub(super) fn forget_all(&mut self) {
        if self.near_bytes / 2 >= SLOT_COUNT as u64 {
            self.slots.fill(EMPTY);
        } else {
            for pc in (self.near_start..self.near_start + self.near_bytes).step_by(2) {
                self.slots[slot_of(pc)] = EMPTY;
            }
        }
        self.near_bytes = 0;
    }
}
