//! One thread on the core: `ckb-vm` executes its instructions over our partition.

use super::code::{CodeCache, Trap};
use crate::partition::Partition;
use ckb_vm::instructions::{
    Instruction, Rtype, ThreadFactory, extract_opcode, instruction_length, insts,
};
use ckb_vm::machine::VERSION2;
use ckb_vm::registers::A7;
use ckb_vm::{Bytes, CoreMachine, Error, ISA_A, ISA_IMC, Machine, Memory};
use godwit_types::ChannelFault;
use vm_memory::ByteValued;

/// `a7` of the call that ends the thread.
const CALL_EXIT: u64 = 93;
/// `a7` of the call that waits for the block.
const CALL_BARRIER: u64 = 1000;

/// A reservation that no access can have: nothing fits there.
pub(super) const NO_RESERVATION: u64 = u64::MAX;

/// The registers of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    /// `x0` (always 0) to `x31`.
    pub(super) x: [u64; 32],
    pub(super) pc: u64,
}

/// Why a hart stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It has run as many instructions as it was asked to.
    Limit,
    /// The thread has ended.
    Ended,
    /// The thread has come to the barrier.
    Barrier,
    /// The instruction at `pc` cannot be executed. It does not count as run.
    Fault(ChannelFault),
}

/// The functions that execute instructions, by opcode. Called directly, they are a third
/// faster than through `ckb_vm::instructions::execute`.
pub(super) type Executors<'a> = ThreadFactory<Hart<'a>>;

/// The hart: executes one thread at a time.
pub(super) struct Hart<'a> {
    /// The thread's registers, and zeros, so that any byte is an index.
    x: [u64; 256],
    pc: u64,
    next_pc: u64,
    memory: HartMemory<'a>,
}

/// The partition, as a hart's instructions reach it.
pub(super) struct HartMemory<'a> {
    partition: &'a mut Partition,
    code: &'a mut CodeCache,
    /// Address of the last LR, or [`NO_RESERVATION`].
    reservation: u64,
}

impl<'a> Hart<'a> {
    pub(super) fn new(partition: &'a mut Partition, code: &'a mut CodeCache) -> Self {
        Self {
            x: [0; 256],
            pc: 0,
            next_pc: 0,
            memory: HartMemory { partition, code, reservation: NO_RESERVATION },
        }
    }

    /// Takes up a thread and what it has reserved.
    pub(super) fn load(&mut self, thread: &Thread, reservation: u64) {
        self.x[..32].copy_from_slice(&thread.x);
        self.pc = thread.pc;
        self.memory.reservation = reservation;
    }

    /// Puts the thread down, and says what it has reserved.
    pub(super) fn save(&self, thread: &mut Thread) -> u64 {
        thread.x.copy_from_slice(&self.x[..32]);
        thread.pc = self.pc;
        self.memory.reservation
    }

    /// Runs at most `limit` instructions. Returns how many ran and why it stopped.
    pub(super) fn run(&mut self, executors: &Executors<'a>, limit: u32) -> (u32, Stop) {
        // Each instruction waits for the last one's program counter, so it stays in a
        // processor register; the field is for executors to read.
        let mut pc = self.pc;
        for ran in 0..limit {
            let instruction = match self.memory.code.lookup(pc) {
                Some(instruction) => instruction,
                None => match self.memory.code.fetch(self.memory.partition, pc) {
                    Ok(instruction) => instruction,
                    Err(fault) => return (ran, Stop::Fault(fault)),
                },
            };
            self.next_pc = pc.wrapping_add(u64::from(instruction_length(instruction)));
            let opcode = extract_opcode(instruction);
            let result = match executors.get(opcode) {
                Some(executor) => executor(self, instruction),
                None => Err(Error::InvalidOp(opcode)),
            };
            if let Err(error) = result {
                match self.leave(instruction, &error) {
                    None => {}
                    Some(stop @ Stop::Fault(_)) => return (ran, stop),
                    Some(stop) => {
                        self.pc = self.next_pc;
                        return (ran + 1, stop);
                    }
                }
            }
            pc = self.next_pc;
            self.pc = pc;
        }
        (limit, Stop::Limit)
    }

    /// Does what the executor has left to the hart. `None`: the thread goes on.
    #[cold]
    fn leave(&mut self, instruction: Instruction, error: &Error) -> Option<Stop> {
        match error {
            Error::Yield => {}
            Error::MemOutOfBound => return Some(Stop::Fault(ChannelFault::OutOfPartition)),
            _ => return Some(Stop::Fault(ChannelFault::IllegalInstruction)),
        }
        let r = Rtype(instruction);
        let done = match Trap::of(instruction) {
            Trap::Call => return Some(self.call()),
            Trap::FenceCode => {
                self.memory.code.forget_all();
                return None;
            }
            Trap::StoreConditional32 => self.store_conditional(r, Width::Word),
            Trap::StoreConditional64 => self.store_conditional(r, Width::Double),
        };
        done.err().map(|_| Stop::Fault(ChannelFault::OutOfPartition))
    }

    fn call(&self) -> Stop {
        match self.x[A7] {
            CALL_EXIT => Stop::Ended,
            CALL_BARRIER => Stop::Barrier,
            _ => Stop::Fault(ChannelFault::IllegalInstruction),
        }
    }

    /// A failed SC writes nothing, but an address outside the partition is a fault either
    /// way, so that no fault depends on whether the reservation was lost.
    fn store_conditional(&mut self, r: Rtype, width: Width) -> Result<(), Error> {
        let at = self.x[r.rs1()];
        let value = self.x[r.rs2()];
        let held = std::mem::replace(&mut self.memory.reservation, NO_RESERVATION) == at;
        match (width, held) {
            (Width::Word, true) => self.memory.store32(&at, &value)?,
            (Width::Word, false) => _ = self.memory.load32(&at)?,
            (Width::Double, true) => self.memory.store64(&at, &value)?,
            (Width::Double, false) => _ = self.memory.load64(&at)?,
        }
        if r.rd() != 0 {
            self.x[r.rd()] = u64::from(!held);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Width {
    Word,
    Double,
}

impl<'a> CoreMachine for Hart<'a> {
    type REG = u64;
    type MEM = HartMemory<'a>;

    #[inline]
    fn pc(&self) -> &u64 {
        &self.pc
    }

    #[inline]
    fn update_pc(&mut self, pc: u64) {
        self.next_pc = pc;
    }

    #[inline]
    fn commit_pc(&mut self) {
        self.pc = self.next_pc;
    }

    #[inline]
    fn memory(&self) -> &HartMemory<'a> {
        &self.memory
    }

    #[inline]
    fn memory_mut(&mut self) -> &mut HartMemory<'a> {
        &mut self.memory
    }

    #[inline]
    fn registers(&self) -> &[u64] {
        &self.x
    }

    #[inline]
    fn set_register(&mut self, index: usize, value: u64) {
        self.x[index] = value;
    }

    fn version(&self) -> u32 {
        VERSION2
    }

    fn isa(&self) -> u8 {
        ISA_IMC | ISA_A
    }
}

impl Machine for Hart<'_> {
    fn ecall(&mut self) -> Result<(), Error> {
        Err(Error::Yield)
    }

    fn ebreak(&mut self) -> Result<(), Error> {
        Err(Error::InvalidOp(insts::OP_EBREAK))
    }
}

impl HartMemory<'_> {
    #[inline]
    fn load<T: ByteValued>(&self, at: u64) -> Result<T, Error> {
        self.partition.load(at).map_err(|_| Error::MemOutOfBound)
    }

    #[inline]
    fn store<T: ByteValued>(&mut self, at: u64, value: T) -> Result<(), Error> {
        self.partition.store(at, value).map_err(|_| Error::MemOutOfBound)?;
        self.code.note_store(at, size_of::<T>() as u64);
        Ok(())
    }
}

/// The accesses that instructions make. The rest of the trait serves loaders and permission
/// bits of `ckb-vm`, which nothing here uses: it refuses.
impl Memory for HartMemory<'_> {
    type REG = u64;

    #[inline]
    fn load8(&mut self, at: &u64) -> Result<u64, Error> {
        self.load::<u8>(*at).map(u64::from)
    }

    #[inline]
    fn load16(&mut self, at: &u64) -> Result<u64, Error> {
        self.load(*at).map(|value| u64::from(u16::from_le(value)))
    }

    #[inline]
    fn load32(&mut self, at: &u64) -> Result<u64, Error> {
        self.load(*at).map(|value| u64::from(u32::from_le(value)))
    }

    #[inline]
    fn load64(&mut self, at: &u64) -> Result<u64, Error> {
        self.load(*at).map(u64::from_le)
    }

    #[inline]
    fn store8(&mut self, at: &u64, value: &u64) -> Result<(), Error> {
        self.store(*at, *value as u8)
    }

    #[inline]
    fn store16(&mut self, at: &u64, value: &u64) -> Result<(), Error> {
        self.store(*at, (*value as u16).to_le())
    }

    #[inline]
    fn store32(&mut self, at: &u64, value: &u64) -> Result<(), Error> {
        self.store(*at, (*value as u32).to_le())
    }

    #[inline]
    fn store64(&mut self, at: &u64, value: &u64) -> Result<(), Error> {
        self.store(*at, value.to_le())
    }

    fn lr(&self) -> &u64 {
        &self.reservation
    }

    fn set_lr(&mut self, at: &u64) {
        self.reservation = *at;
    }

    #[inline]
    fn memory_size(&self) -> usize {
        self.partition.file().len() as usize
    }

    fn new() -> Self {
        unreachable!("a hart borrows its memory; no instruction makes one")
    }

    fn new_with_memory(_: usize) -> Self {
        unreachable!("a hart borrows its memory; no instruction makes one")
    }

    fn init_pages(&mut self, _: u64, _: u64, _: u8, _: Option<Bytes>, _: u64) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }

    fn fetch_flag(&mut self, _: u64) -> Result<u8, Error> {
        Err(Error::Unimplemented)
    }

    fn set_flag(&mut self, _: u64, _: u8) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }

    fn clear_flag(&mut self, _: u64, _: u8) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }

    fn store_byte(&mut self, _: u64, _: u64, _: u8) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }

    fn store_bytes(&mut self, _: u64, _: &[u8]) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }

    fn load_bytes(&mut self, _: u64, _: u64) -> Result<Bytes, Error> {
        Err(Error::Unimplemented)
    }

    fn execute_load16(&mut self, _: u64) -> Result<u16, Error> {
        Err(Error::Unimplemented)
    }

    fn execute_load32(&mut self, _: u64) -> Result<u32, Error> {
        Err(Error::Unimplemented)
    }
}
