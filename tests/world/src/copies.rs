//! Work for a guest's copy engine, and the bytes that must come out of it.

use godwit_guest::CopySpec;
use godwit_regs::fifo::Entry;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// For the ring. All of it lies below the kernels, so that both may run on one vGPU.
pub(crate) const ARENA: Range<u64> = 0..0x7000;
/// Semaphores, which nothing else writes to.
const SEMAPHORES: u64 = ARENA.end;
/// What is turned round and round.
const WINDOW: Range<u64> = 0x8000..0x8_8000;
const WINDOW_BYTES: u64 = WINDOW.end - WINDOW.start;
/// Where it goes on the way. In a partition whose aperture ends here the CPU cannot see it.
const SCRATCH: u64 = 6 << 20;
/// The window is put this far into the scratch at most, so that sources and destinations are
/// aligned differently.
const SHIFT_MAX: u64 = 4096;
/// What goes in and comes out.
const OUTPUT: Range<u64> = SEMAPHORES..WINDOW.end;

/// A list for the copy engine. It copies a window to a scratch in pieces and back by other
/// pieces, turned by some bytes, so that no round leaves what the one before did. Between them
/// are fills, and semaphores that the engine releases, copies and acquires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyWork {
    entries: Vec<Entry>,
    input: Vec<u8>,
}

impl CopyWork {
    /// The list that follows from a seed. It takes a partition of more than 6.5 MiB.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut input = vec![0; (OUTPUT.end - OUTPUT.start) as usize];
        rng.fill_bytes(&mut input);
        let scratch = SCRATCH + rng.random_range(0..SHIFT_MAX);
        let turn = rng.random_range(1..WINDOW_BYTES);
        let mut copies: Vec<Entry> = pieces(&mut rng, 0..WINDOW_BYTES)
            .map(|piece| copy(WINDOW.start + piece.start, scratch + piece.start, piece))
            .collect();
        for part in [0..WINDOW_BYTES - turn, WINDOW_BYTES - turn..WINDOW_BYTES] {
            copies.extend(pieces(&mut rng, part).map(|piece| {
                let to = WINDOW.start + (piece.start + turn) % WINDOW_BYTES;
                copy(scratch + piece.start, to, piece)
            }));
        }
        let mut entries = Vec::new();
        for (at, copy) in copies.into_iter().enumerate() {
            let released = SEMAPHORES + 8 * at as u64;
            let acquired = released + 4;
            let value = rng.next_u32();
            entries.extend([
                Entry::Release { at: acquired, value: !value },
                Entry::Release { at: released, value },
                Entry::Copy { from: released, to: acquired, byte_count: 4 },
                copy,
                Entry::Acquire { at: acquired, value },
            ]);
            let byte_count = rng.random_range(1..64);
            let at = rng.random_range(WINDOW.start..WINDOW.end - byte_count);
            entries.push(Entry::Fill { at, byte_count, value: value as u8 });
        }
        Self { entries, input }
    }

    /// What the guest gives its driver to have all of it done so often.
    pub(crate) fn spec(&self, repeat: u32) -> CopySpec {
        let inputs = vec![(OUTPUT.start, self.input.clone())];
        CopySpec { entries: self.entries.clone(), repeat, inputs, output: Some(OUTPUT) }
    }

    /// What the output must be after so many rounds, by a plain model.
    ///
    /// # Panics
    ///
    /// When the list acquires a semaphore that nobody has released.
    pub fn expected(&self, repeat: u32) -> Vec<u8> {
        let mut memory = vec![0; (SCRATCH + SHIFT_MAX + WINDOW_BYTES) as usize];
        let range = |at: u64, byte_count: u64| at as usize..(at + byte_count) as usize;
        memory[range(OUTPUT.start, self.input.len() as u64)].copy_from_slice(&self.input);
        for entry in (0..repeat).flat_map(|_| &self.entries) {
            match *entry {
                Entry::Copy { from, to, byte_count } => {
                    memory.copy_within(range(from, byte_count), to as usize);
                }
                Entry::Fill { at, byte_count, value } => memory[range(at, byte_count)].fill(value),
                Entry::Release { at, value } => {
                    memory[range(at, 4)].copy_from_slice(&value.to_le_bytes());
                }
                Entry::Acquire { at, value } => {
                    assert_eq!(memory[range(at, 4)], value.to_le_bytes(), "it would wait forever");
                }
                Entry::Launch(_) | Entry::Notify(_) => {}
            }
        }
        memory[range(OUTPUT.start, self.input.len() as u64)].to_vec()
    }

    /// Bytes that are written in one round.
    pub fn round_bytes(&self) -> u64 {
        self.byte_counts().sum()
    }

    /// When so many bytes are written in all: those of them that belong to an entry which is
    /// not done; 0 between two entries.
    pub fn bytes_into_entry(&self, copied_bytes: u64) -> u64 {
        let mut rest = copied_bytes % self.round_bytes();
        for byte_count in self.byte_counts() {
            if rest < byte_count {
                break;
            }
            rest -= byte_count;
        }
        rest
    }

    fn byte_counts(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| match *entry {
            Entry::Copy { byte_count, .. } | Entry::Fill { byte_count, .. } => byte_count,
            Entry::Launch(_) | Entry::Acquire { .. } | Entry::Release { .. } | Entry::Notify(_) => {
                0
            }
        })
    }
}

fn copy(from: u64, to: u64, piece: Range<u64>) -> Entry {
    Entry::Copy { from, to, byte_count: piece.end - piece.start }
}

/// Cuts a range, which is not empty, at random places into five pieces at most.
fn pieces(rng: &mut ChaCha8Rng, whole: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let mut cuts: Vec<u64> = (0..4).map(|_| rng.random_range(whole.clone())).collect();
    cuts.extend([whole.start, whole.end]);
    cuts.sort_unstable();
    cuts.dedup();
    (1..cuts.len()).map(move |at| cuts[at - 1]..cuts[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_leaves_other_bytes() {
        for seed in 0..4 {
            let work = CopyWork::new(seed);
            let mut seen: Vec<_> = (0..40).map(|repeat| work.expected(repeat)).collect();
            assert_eq!(seen[0], work.input);
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 40, "seed {seed}");
        }
    }

    #[test]
    fn bytes_belong_to_an_entry_until_it_is_done() {
        let work = CopyWork::new(1);
        let round = work.round_bytes();
        assert!(round >= 2 * WINDOW_BYTES);
        // The first entry that writes bytes copies a semaphore.
        for before in [0, round] {
            assert_eq!(work.bytes_into_entry(before), 0);
            assert_eq!(work.bytes_into_entry(before + 3), 3);
            assert_eq!(work.bytes_into_entry(before + 4), 0);
            assert_eq!(work.bytes_into_entry(before + 5), 1);
        }
    }
}
