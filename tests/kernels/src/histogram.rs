//! The job of `histogram`.

use crate::job::{STACK_BYTES, grid_of, random_bytes};
use crate::{HISTOGRAM, Job, layout::Layout};
use std::num::Wrapping;

/// Bytes of all counters.
const BINS_BYTES: usize = 256 * 4;

/// Bytes of the sum behind them.
const SUM_BYTES: usize = 8;

impl Job {
    /// Counts `bytes` random bytes by value, `rounds` times over, and sums a
    /// hash over all that was seen.
    ///
    /// The output is 256 counters of 32 bits, then the sum of 64 bits. About 35
    /// instructions a byte and round, and more the oftener threads collide.
    ///
    /// # Panics
    ///
    /// When `threads` is 0 or not a multiple of `block`.
    pub fn histogram(seed: u64, bytes: u32, threads: u32, block: u32, rounds: u64) -> Self {
        let input = random_bytes(seed, bytes as usize);
        let mut layout = Layout::new();
        let input_at = layout.place(input.len());
        let bins_at = layout.place(BINS_BYTES + SUM_BYTES);
        let sum_at = bins_at + BINS_BYTES as u64;
        Self {
            name: "histogram",
            elf: HISTOGRAM,
            grid: grid_of(threads, block),
            block,
            shared_bytes: 0,
            stack_bytes: STACK_BYTES,
            args: vec![input_at, bytes.into(), bins_at, sum_at, rounds],
            expected: expected(&input, rounds),
            output: bins_at..sum_at + SUM_BYTES as u64,
            inputs: vec![(input_at, input), (bins_at, vec![0; BINS_BYTES + SUM_BYTES])],
        }
    }
}

fn expected(input: &[u8], rounds: u64) -> Vec<u8> {
    let mut bins = [Wrapping(0_u32); 256];
    for &byte in input {
        bins[usize::from(byte)] += rounds as u32;
    }
    let sum: Wrapping<u64> = (0..rounds)
        .flat_map(|round| input.iter().zip(0_u64..).map(move |(byte, index)| (byte, index, round)))
        .map(|(&byte, index, round)| hash(byte, index, round))
        .sum();
    let counters = bins.iter().flat_map(|bin| bin.0.to_le_bytes());
    counters.chain(sum.0.to_le_bytes()).collect()
}

/// The finalizer of SplitMix64, over all three.
fn hash(byte: u8, index: u64, round: u64) -> Wrapping<u64> {
    let mut x = Wrapping(index * 256 + u64::from(byte));
    x += Wrapping(round) * Wrapping(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)) * Wrapping(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)) * Wrapping(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_multiply_counts_and_extend_the_sum() {
        let bytes = expected(&[3, 3, 5], 4);
        assert_eq!(bytes[3 * 4..6 * 4], [8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
        assert_ne!(bytes[BINS_BYTES..], expected(&[3, 3, 5], 3)[BINS_BYTES..]);
    }

    #[test]
    fn hash_is_the_splitmix64_sequence() {
        // The first outputs of the generator with seed 0.
        assert_eq!(hash(0, 0, 1).0, 0xe220_a839_7b1d_cdaf);
        assert_eq!(hash(0, 0, 2).0, 0x6e78_9e6a_a1b9_65f4);
    }
}
