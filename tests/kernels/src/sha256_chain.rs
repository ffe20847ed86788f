//! The job of `sha256_chain`.

use crate::job::{STACK_BYTES, grid_of, random_bytes};
use crate::{Job, SHA256_CHAIN, layout::Layout};
use sha2::{Digest, Sha256};

/// Bytes of a digest, and of a seed.
const DIGEST_BYTES: usize = 32;

impl Job {
    /// Every thread hashes its own 32 random bytes `iterations` times.
    ///
    /// About 4,620 instructions an iteration and thread.
    ///
    /// # Panics
    ///
    /// When `threads` is 0 or not a multiple of `block`.
    pub fn sha256_chain(seed: u64, threads: u32, block: u32, iterations: u64) -> Self {
        let seeds = random_bytes(seed, threads as usize * DIGEST_BYTES);
        let mut layout = Layout::new();
        let seeds_at = layout.place(seeds.len());
        let digests_at = layout.place(seeds.len());
        Self {
            name: "sha256_chain",
            elf: SHA256_CHAIN,
            grid: grid_of(threads, block),
            block,
            shared_bytes: 0,
            stack_bytes: STACK_BYTES,
            args: vec![seeds_at, digests_at, iterations],
            expected: seeds.chunks_exact(DIGEST_BYTES).flat_map(|s| chain(s, iterations)).collect(),
            output: digests_at..digests_at + seeds.len() as u64,
            inputs: vec![(seeds_at, seeds)],
        }
    }
}

fn chain(seed: &[u8], iterations: u64) -> Vec<u8> {
    (0..iterations).fold(seed.to_vec(), |digest, _| Sha256::digest(digest).to_vec())
}
