//! A plain interpreter of one launch: flat memory, a block at a time, its
//! threads by turns. It shares no code with the simulated GPU.

#![allow(dead_code, unreachable_pub)] // each test uses a part of it

use ckb_vm::decoder::{Decoder, build_decoder};
use ckb_vm::instructions::execute;
use ckb_vm::machine::VERSION2;
use ckb_vm::registers::{A0, A7, SP};
use ckb_vm::{CoreMachine, Error, ISA_A, ISA_IMC, Machine, Memory};
use godwit_kernels::{Job, LAUNCH_BASE};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};

mod memory;

pub use memory::FlatMemory;

/// The partition's size.
pub const PARTITION_BYTES: usize = 16 << 20;

/// What memory holds that nobody has written: no kernel may count on zeros.
const GARBAGE: u8 = 0xa5;

const ARGS_AT: u64 = LAUNCH_BASE;
const SHARED_AT: u64 = LAUNCH_BASE + 0x1_0000;
const STACKS_AT: u64 = LAUNCH_BASE + 0x8_0000;

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Every thread has ended.
    Done,
    /// The instructions were used up first.
    OutOfBudget,
    /// A thread did what no thread may.
    Fault(Error),
}

/// A run and what it left behind.
pub struct Outcome {
    pub end: End,
    pub instructions: u64,
    /// The most stack that a thread wrote to.
    pub stack_bytes: u64,
    memory: Vec<u8>,
}

impl Outcome {
    /// The bytes in a range of the partition.
    pub fn bytes(&self, range: std::ops::Range<u64>) -> &[u8] {
        &self.memory[range.start as usize..range.end as usize]
    }
}

/// A loadable segment.
pub struct Segment<'data> {
    pub address: u64,
    pub bytes: &'data [u8],
    pub size_in_memory: u64,
}

/// The entry point and the loadable segments.
pub fn load(elf: &[u8]) -> (u64, Vec<Segment<'_>>) {
    let file = ElfFile64::<LittleEndian>::parse(elf).expect("a 64-bit ELF file");
    let header: &FileHeader64<LittleEndian> = file.elf_header();
    let endian = LittleEndian;
    let segments = file.elf_program_headers().iter().filter(|s| s.p_type(endian) == PT_LOAD);
    let segments = segments.map(|segment| Segment {
        address: segment.p_vaddr(endian),
        bytes: segment.data(endian, elf).expect("a segment's bytes lie in the file"),
        size_in_memory: segment.p_memsz(endian),
    });
    (header.e_entry(endian), segments.collect())
}

/// Runs `job` until it ends, faults, or has taken `budget` instructions.
pub fn run(job: &Job, budget: u64) -> Outcome {
    let mut bytes = vec![GARBAGE; PARTITION_BYTES];
    let (entry, segments) = load(job.elf);
    for segment in segments {
        put(&mut bytes, segment.address, &vec![0; segment.size_in_memory as usize]);
        put(&mut bytes, segment.address, segment.bytes);
    }
    let args: Vec<u8> = job.args.iter().flat_map(|word| word.to_le_bytes()).collect();
    put(&mut bytes, ARGS_AT, &args);
    for (address, content) in &job.inputs {
        put(&mut bytes, *address, content);
    }
    let mut gpu = Gpu {
        machine: Hart {
            pc: 0,
            next_pc: 0,
            registers: [0; 32],
            memory: FlatMemory::of(bytes),
            called: false,
        },
        decoder: build_decoder::<u64>(ISA_IMC | ISA_A, VERSION2),
        instructions: 0,
        turns: 0,
        budget,
    };
    let mut end = End::Done;
    for block in 0..job.grid {
        end = gpu.run_block(job, entry, block);
        if end != End::Done {
            break;
        }
    }
    let Gpu { machine, instructions, .. } = gpu;
    let memory = machine.memory.into_bytes();
    Outcome { end, instructions, stack_bytes: deepest_stack(&memory, job), memory }
}

fn put(memory: &mut [u8], address: u64, content: &[u8]) {
    memory[address as usize..][..content.len()].copy_from_slice(content);
}

fn deepest_stack(memory: &[u8], job: &Job) -> u64 {
    let size = job.stack_bytes as usize;
    let stacks = memory[STACKS_AT as usize..][..size * job.block as usize].chunks_exact(size);
    let untouched = stacks.map(|stack| stack.iter().take_while(|b| **b == GARBAGE).count());
    (size - untouched.min().unwrap_or(size)) as u64
}

/// What a thread does when it is not its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    AtBarrier,
    Ended,
}

struct Thread {
    registers: [u64; 32],
    pc: u64,
    state: State,
}

struct Gpu {
    machine: Hart,
    decoder: Decoder,
    instructions: u64,
    turns: u64,
    budget: u64,
}

impl Gpu {
    fn run_block(&mut self, job: &Job, entry: u64, block: u32) -> End {
        self.machine.memory.fill(SHARED_AT, u64::from(job.shared_bytes), GARBAGE);
        let mut threads: Vec<Thread> =
            (0..job.block).map(|thread| start(job, entry, block, thread)).collect();
        while threads.iter().any(|thread| thread.state != State::Ended) {
            if threads.iter().all(|thread| thread.state != State::Ready) {
                let waiting = threads.iter_mut().filter(|t| t.state == State::AtBarrier);
                waiting.for_each(|thread| thread.state = State::Ready);
            }
            for thread in threads.iter_mut().filter(|thread| thread.state == State::Ready) {
                if let Err(error) = self.turn(thread) {
                    return End::Fault(error);
                }
                if self.instructions >= self.budget {
                    return End::OutOfBudget;
                }
            }
        }
        End::Done
    }

    /// Some instructions of one thread. Turns differ in length, so that threads
    /// meet at ever other places.
    fn turn(&mut self, thread: &mut Thread) -> Result<(), Error> {
        self.turns += 1;
        let length = 1 + self.turns * 7919 % 97;
        let machine = &mut self.machine;
        (machine.registers, machine.pc) = (thread.registers, thread.pc);
        machine.memory.set_lr(&u64::MAX); // a reservation does not outlive a turn
        for _ in 0..length {
            let instruction = self.decoder.decode(&mut machine.memory, machine.pc)?;
            execute(instruction, machine)?;
            self.instructions += 1;
            if std::mem::take(&mut machine.called) {
                thread.state = match machine.registers[A7] {
                    93 => State::Ended,
                    1000 => State::AtBarrier,
                    other => return Err(Error::InvalidEcall(other)),
                };
                break;
            }
        }
        (thread.registers, thread.pc) = (machine.registers, machine.pc);
        Ok(())
    }
}

fn start(job: &Job, entry: u64, block: u32, thread: u32) -> Thread {
    let mut registers = [u64::MAX / 5; 32]; // nothing but the ABI's registers means anything
    registers[0] = 0;
    registers[SP] = STACKS_AT + u64::from(thread + 1) * u64::from(job.stack_bytes);
    let index = u64::from(block) * u64::from(job.block) + u64::from(thread);
    let words = [ARGS_AT, index, job.threads(), u64::from(job.block), SHARED_AT];
    registers[A0..A0 + words.len()].copy_from_slice(&words);
    Thread { registers, pc: entry, state: State::Ready }
}

/// The machine that all threads use by turns.
struct Hart {
    pc: u64,
    next_pc: u64,
    registers: [u64; 32],
    memory: FlatMemory,
    called: bool,
}

impl CoreMachine for Hart {
    type REG = u64;
    type MEM = FlatMemory;

    fn pc(&self) -> &u64 {
        &self.pc
    }
    fn update_pc(&mut self, pc: u64) {
        self.next_pc = pc;
    }
    fn commit_pc(&mut self) {
        self.pc = self.next_pc;
    }
    fn memory(&self) -> &FlatMemory {
        &self.memory
    }
    fn memory_mut(&mut self) -> &mut FlatMemory {
        &mut self.memory
    }
    fn registers(&self) -> &[u64] {
        &self.registers
    }
    fn set_register(&mut self, index: usize, value: u64) {
        if index != 0 {
            self.registers[index] = value;
        }
    }
    fn version(&self) -> u32 {
        VERSION2
    }
    fn isa(&self) -> u8 {
        ISA_IMC | ISA_A
    }
}

impl Machine for Hart {
    fn ecall(&mut self) -> Result<(), Error> {
        self.called = true;
        Ok(())
    }
    fn ebreak(&mut self) -> Result<(), Error> {
        Err(Error::External("ebreak".into()))
    }
}
