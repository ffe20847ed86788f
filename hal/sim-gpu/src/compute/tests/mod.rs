//! Programs on the core.

mod code;
mod contexts;
mod faults;
mod instructions;
mod launches;
mod random;
mod stops;

use super::{Core, LaunchRun, Outcome, Until};
use crate::partition::Partition;
use godwit_regs::fifo::Launch;
use godwit_types::ChannelFault;

const FB_BYTES: u64 = 1 << 16;
const ENTRY: u64 = 0x1000;
const ARGS: u64 = 0x4000;
const STACKS: u64 = 0x8000;
const STACK_BYTES: u32 = 256;
const SHARED: u64 = 0xc000;

/// Enough for every program here that ends.
const PLENTY: u64 = 1 << 20;

fn launch(grid: u32, block: u32) -> Launch {
    Launch {
        entry: ENTRY,
        grid,
        block,
        args: ARGS,
        stacks: STACKS,
        stack_bytes: STACK_BYTES,
        shared_bytes: 0x100,
        shared: SHARED,
    }
}

fn program(parts: &[&[u32]]) -> Vec<u32> {
    parts.concat()
}

fn load(partition: &mut Partition, at: u64, words: &[u32]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    partition.write(at, &bytes).unwrap();
}

fn partition_with(words: &[u32]) -> Partition {
    let mut partition = Partition::new(FB_BYTES).unwrap();
    load(&mut partition, ENTRY, words);
    partition
}

fn bytes_of(partition: &Partition) -> Vec<u8> {
    let mut bytes = vec![0; FB_BYTES as usize];
    partition.read(0, &mut bytes).unwrap();
    bytes
}

fn start(launch: &Launch) -> LaunchRun {
    LaunchRun::new(launch, launch.block).unwrap()
}

/// Runs to the end or to a fault, in one go.
fn run(partition: &mut Partition, launch: &Launch) -> (u64, Outcome) {
    start(launch).run(&mut Core::new(), partition, PLENTY, Until::LaunchEnd)
}

fn fault_of(words: &[u32]) -> Outcome {
    run(&mut partition_with(words), &launch(1, 1)).1
}

const OUT_OF_PARTITION: Outcome = Outcome::Fault(ChannelFault::OutOfPartition);
const ILLEGAL: Outcome = Outcome::Fault(ChannelFault::IllegalInstruction);
