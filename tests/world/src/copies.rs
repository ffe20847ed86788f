//! Work for a guest's copy engine, and the bytes that must come out of it.

use godwit_guest::CopySpec;
use godwit_regs::fifo::Entry;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// What one place takes of the partition. Two lie below the kernels, so that two lists and a
/// kernel may run on one vGPU side by side.
const PLACE_BYTES: u64 = 0x4_8000;
/// Where in its place the semaphores are, which nothing else writes to. The ring is before.
const SEMAPHORES: u64 = 0x7000;
/// Where in its place the window begins that is turned round and round, up to the end.
const WINDOW: u64 = 0x8000;
const WINDOW_BYTES: u64 = PLACE_BYTES - WINDOW;
/// Where the windows go on the way. In a partition whose aperture ends here the CPU cannot see
/// them.
const SCRATCH: u64 = 6 << 20;
/// What one place takes of it.
const SCRATCH_BYTES: u64 = 512 << 10;
/// The window is put this far into the scratch at most, so that sources and destinations are
/// aligned differently.
const SHIFT_MAX: u64 = 4096;

/// A list for the copy engine. It copies a window to a scratch in pieces and back by other
/// pieces, turned by some bytes, so that no round leaves what the one before did. Between them
/// are fills, and semaphores that the engine releases, copies and acquires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyWork {
    place: u64,
    entries: Vec<Entry>,
    input: Vec<u8>,
}

impl CopyWork {
    /// The list that follows from a seed, at place 0 or 1 of a partition of 7 MiB or more.
    pub fn new(seed: u64, place: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut input = vec![0; (PLACE_BYTES - SEMAPHORES) as usize];
        rng.fill_bytes(&mut input);
        let base = place * PLACE_BYTES;
        let window = base + WINDOW;
        let scratch = SCRATCH + place * SCRATCH_BYTES + rng.random_range(0..SHIFT_MAX);
        let turn = rng.random_range(1..WINDOW_BYTES);
        let mut copies: Vec<Entry> = pieces(&mut rng, 0..WINDOW_BYTES)
            .map(|piece| copy(window + piece.start, scratch + piece.start, piece))
            .collect();
        for part in [0..WINDOW_BYTES - turn, WINDOW_BYTES - turn..WINDOW_BYTES] {
            copies.extend(pieces(&mut rng, part).map(|piece| {
                let to = window + (piece.start + turn) % WINDOW_BYTES;
                copy(scratch + piece.start, to, piece)
            }));
        }
        let mut entries = Vec::new();
        for (at, copy) in copies.into_iter().enumerate() {
            let released = base + SEMAPHORES + 8 * at as u64;
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
            let at = window + rng.random_range(0..WINDOW_BYTES - byte_count);
            entries.push(Entry::Fill { at, byte_count, value: value as u8 });
        }
        Self { place, entries, input }
    }

    /// The part of the partition that is for the ring.
    pub(crate) fn arena(&self) -> Range<u64> {
        let base = self.place * PLACE_BYTES;
        base..base + SEMAPHORES
    }

    /// What goes in and comes out.
    fn output(&self) -> Range<u64> {
        let base = self.place * PLACE_BYTES;
        base + SEMAPHORES..base + PLACE_BYTES
    }

    /// What the guest gives its driver to have all of it done so often.
    pub(crate) fn spec(&self, repeat: u32) -> CopySpec {
        let output = self.output();
        let inputs = vec![(output.start, self.input.clone().into())];
        CopySpec { entries: self.entries.clone(), repeat, inputs, output: Some(output) }
    }

    /// What the output must be after so many rounds, by a plain model.
    ///
    /// # Panics
    ///
    /// When the list acquires a semaphore that nobody has released.
    pub fn expected(&self, repeat: u32) -> Vec<u8> {
        let mut memory = vec![0; (SCRATCH + (self.place + 1) * SCRATCH_BYTES) as usize];
        let range = |at: u64, byte_count: u64| at as usize..(at + byte_count) as usize;
        let output = range(self.output().start, self.input.len() as u64);
        memory[output.clone()].copy_from_slice(&self.input);
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
        memory[output].to_vec()
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
            let work = CopyWork::new(seed, seed % 2);
            let mut seen: Vec<_> = (0..40).map(|repeat| work.expected(repeat)).collect();
            assert_eq!(seen[0], work.input);
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 40, "seed {seed}");
        }
    }

    #[test]
    fn bytes_belong_to_an_entry_until_it_is_done() {
        let work = CopyWork::new(1, 0);
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
