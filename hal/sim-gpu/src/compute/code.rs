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
const _: () = assert!(SLOT_COUNT <= 1 << 16); // `used` holds indices as u16
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
    let factories = [rvc::factory::<u64>, i::factory::<u64>, m::factory::<u64>, a::factory::<u64>];
    let decoded = factories.iter().find_map(|factory| factory(bits, VERSION2))?;
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
const EMPTY: Slot = Slot { pc: u64::MAX, instruction: 0 };

/// The instructions that were decoded last. `ckb-vm`'s own decoder has such a cache too, but
/// it can only be thrown away as a whole, which a kernel with data beside its code would make
/// happen at every store.
#[derive(Debug)]
pub(super) struct CodeCache {
    slots: Box<[Slot; SLOT_COUNT]>,
    /// Every slot that is not empty, and perhaps others: no more than there are slots.
    used: Vec<u16>,
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
            used: Vec::with_capacity(SLOT_COUNT),
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
        let bits = if low & 3 == 3 { low | half(pc + 2)? << 16 } else { low };
        let instruction = decode(bits).ok_or(ChannelFault::IllegalInstruction)?;
        self.keep(Slot { pc, instruction });
        Ok(instruction)
    }

    fn keep(&mut self, slot: Slot) {
        if self.used.len() == SLOT_COUNT {
            self.forget_all();
        }
        let index = slot_of(slot.pc);
        if self.slots[index].pc == EMPTY.pc {
            self.used.push(index as u16);
        }
        self.slots[index] = slot;
        self.widen(slot.pc);
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
        let first = at.saturating_sub(INSTRUCTION_BYTES_MAX - 1).next_multiple_of(2);
        for pc in (first..at + byte_count).step_by(2) {
            let slot = &mut self.slots[slot_of(pc)];
            if slot.pc == pc {
                *slot = EMPTY;
            }
        }
    }

    /// Forgets everything, in time that goes with how much was decoded.
    pub(super) fn forget_all(&mut self) {
        for index in self.used.drain(..) {
            self.slots[usize::from(index)] = EMPTY;
        }
        self.near_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::{ECALL, addi, li};
    use super::*;
    use ckb_vm::instructions::instruction_length;

    const PC: u64 = 0x100;

    fn partition_of(words: &[u32]) -> Partition {
        let mut partition = Partition::new(1 << 16).unwrap();
        for (index, word) in words.iter().enumerate() {
            partition.store(PC + 4 * index as u64, *word).unwrap();
        }
        partition
    }

    #[test]
    fn a_store_forgets_each_instruction_that_it_touches_and_no_other() {
        let partition = partition_of(&[addi(5, 5, 1); 4]);
        for byte_count in [1, 2, 4, 8] {
            for at in PC - 16..PC + 32 {
                let mut code = CodeCache::new();
                let all = [PC, PC + 4, PC + 8, PC + 12];
                for pc in all {
                    code.fetch(&partition, pc).unwrap();
                }
                code.note_store(at, byte_count);
                for pc in all {
                    let touched = at < pc + 4 && pc < at + byte_count;
                    assert_eq!(code.lookup(pc).is_none(), touched, "{at:#x} {pc:#x}");
                }
            }
        }
    }

    #[test]
    fn a_store_is_noticed_wherever_code_lies() {
        let far = 0x8000;
        let mut partition = partition_of(&[li(5, 1)]);
        partition.store(far, li(5, 2)).unwrap();
        for order in [[PC, far], [far, PC]] {
            for at in order {
                let mut code = CodeCache::new();
                for pc in order {
                    code.fetch(&partition, pc).unwrap();
                }
                code.note_store(at, 1);
                assert_eq!(order.map(|pc| code.lookup(pc).is_none()), order.map(|pc| pc == at));
            }
        }
    }

    #[test]
    fn instructions_that_share_a_slot_take_turns() {
        let mut partition = partition_of(&[li(5, 1)]);
        let far = PC + 2 * SLOT_COUNT as u64;
        partition.store(far, li(5, 2)).unwrap();
        let mut code = CodeCache::new();
        let near_one = code.fetch(&partition, PC).unwrap();
        assert_eq!(code.lookup(far), None);
        let far_one = code.fetch(&partition, far).unwrap();
        assert_ne!(near_one, far_one);
        assert_eq!(code.lookup(PC), None);
        assert_eq!(code.lookup(far), Some(far_one));
    }

    #[test]
    fn a_kernel_that_rewrites_itself_for_ever_takes_no_more_memory() {
        let partition = partition_of(&[li(5, 1), li(5, 2)]);
        let mut code = CodeCache::new();
        for _ in 0..3 * SLOT_COUNT {
            code.fetch(&partition, PC + 4).unwrap();
            code.fetch(&partition, PC).unwrap();
            assert!(code.used.len() <= SLOT_COUNT);
            code.note_store(PC, 8);
            assert_eq!(code.lookup(PC), None);
            assert_eq!(code.lookup(PC + 4), None);
        }
    }

    #[test]
    fn nothing_is_known_after_forgetting_all() {
        let mut partition = partition_of(&[li(5, 1)]);
        partition.store(0x8000, li(5, 2)).unwrap();
        let mut code = CodeCache::new();
        code.fetch(&partition, PC).unwrap();
        code.fetch(&partition, 0x8000).unwrap();
        code.forget_all();
        assert!(code.slots.iter().all(|slot| slot.pc == EMPTY.pc));
        assert!(code.used.is_empty());
        assert_eq!(code.near_bytes, 0);
    }

    #[test]
    fn what_the_hart_does_itself_keeps_its_operands() {
        let sc_d = decode(0x18b5_362f).unwrap(); // sc.d a2, a1, (a0)
        let r = Rtype(sc_d);
        assert_eq!((r.rd(), r.rs1(), r.rs2()), (12, 10, 11));
        assert_eq!(Trap::of(sc_d), Trap::StoreConditional64);
        assert_eq!(instruction_length(sc_d), 4);
        let sc_w = decode(0x18b5_262f).unwrap();
        assert_eq!(Trap::of(sc_w), Trap::StoreConditional32);
        assert_eq!(Trap::of(decode(0x0000_100f).unwrap()), Trap::FenceCode);
        assert_eq!(Trap::of(decode(ECALL).unwrap()), Trap::Call);
    }
}
