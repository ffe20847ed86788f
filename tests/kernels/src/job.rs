//! A kernel and all that a launch of it takes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::ops::Range;

/// Bytes of stack that each thread of any of these kernels gets.
pub(crate) const STACK_BYTES: u32 = 1024;

/// A launch of a kernel, with what goes in and what must come out.
///
/// Offsets and addresses are the same thing here: both count from the start of
/// the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Name of the kernel.
    pub name: &'static str,
    /// The kernel, an ELF file.
    pub elf: &'static [u8],
    /// Number of blocks.
    pub grid: u32,
    /// Threads in a block.
    pub block: u32,
    /// Bytes of shared memory that a block needs.
    pub shared_bytes: u32,
    /// Bytes of stack that a thread needs, a multiple of 16.
    pub stack_bytes: u32,
    /// Words of the argument block.
    pub args: Vec<u64>,
    /// What to put where in the partition before the launch.
    pub inputs: Vec<(u64, Vec<u8>)>,
    /// Where the result lies.
    pub output: Range<u64>,
    /// The bytes of `output` when the kernel has ended; empty when it never does.
    pub expected: Vec<u8>,
}

impl Job {
    /// Number of threads in the grid.
    pub fn threads(&self) -> u64 {
        u64::from(self.grid) * u64::from(self.block)
    }

    /// First partition offset behind all inputs and the output.
    pub fn end(&self) -> u64 {
        let inputs = self.inputs.iter().map(|(start, bytes)| start + bytes.len() as u64);
        inputs.fold(self.output.end, u64::max)
    }
}

/// The number of blocks that `threads` threads make.
pub(crate) fn grid_of(threads: u32, block: u32) -> u32 {
    assert!(threads > 0 && block > 0, "a grid has a thread, a block has one too");
    assert!(threads.is_multiple_of(block), "{threads} threads do not fill blocks of {block}");
    threads / block
}

/// Bytes that look random, the same for the same seed.
pub(crate) fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
