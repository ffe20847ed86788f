//! Work for a guest's copy engine, and the bytes that must come out of it.

use crate::ram::{PEER_AT, RAM_AT, RAM_BYTES};
use godwit_guest::CopySpec;
use godwit_regs::fifo::{Address, Entry};
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
/// Where in guest memory the semaphores of lists that go through it are, and what one place takes.
const RAM_SEMAPHORES: u64 = 1 << 20;
const RAM_SEMAPHORES_BYTES: u64 = 4096;
/// The window is put this far into the scratch at most, so that sources and destinations are
/// aligned differently.
const SHIFT_MAX: u64 = 4096;

/// Where a list has its scratch and the semaphores that it acquires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// In the framebuffer.
    Framebuffer,
    /// In the guest's memory, over the bus.
    GuestMemory,
    /// In the aperture of a peer, over the bus, above what the peer's own jobs use. It has 8 MiB or
    /// more.
    Peer,
}

/// A list for the copy engine. It copies a window to a scratch in pieces and back by other
/// pieces, turned by some bytes, so that no round leaves what the one before did. Between them
/// are fills, and semaphores that the engine releases, copies and acquires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyWork {
    through: Through,
    place: u64,
    entries: Vec<Entry>,
    input: Vec<u8>,
}

impl CopyWork {
    /// The list that follows from a seed, at place 0 or 1 of a partition of 7 MiB or more.
    pub fn new(seed: u64, place: u64, through: Through) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut input = vec![0; (PLACE_BYTES - SEMAPHORES) as usize];
        rng.fill_bytes(&mut input);
        let base = place * PLACE_BYTES;
        let window = base + WINDOW;
        let shift = place * SCRATCH_BYTES + rng.random_range(0..SHIFT_MAX);
        let scratch = |at: u64| match through {
            Through::Framebuffer => Address::fb(SCRATCH + shift + at),
            Through::GuestMemory => Address::bus(RAM_AT + shift + at),
            Through::Peer => Address::bus(PEER_AT + SCRATCH + shift + at),
        };
        let semaphores = RAM_SEMAPHORES + place * RAM_SEMAPHORES_BYTES;
        let turn = rng.random_range(1..WINDOW_BYTES);
        let mut copies: Vec<Entry> = pieces(&mut rng, 0..WINDOW_BYTES)
            .map(|piece| copy(Address::fb(window + piece.start), scratch(piece.start), piece))
            .collect();
        for part in [0..WINDOW_BYTES - turn, WINDOW_BYTES - turn..WINDOW_BYTES] {
            copies.extend(pieces(&mut rng, part).map(|piece| {
                let to = window + (piece.start + turn) % WINDOW_BYTES;
                copy(scratch(piece.start), Address::fb(to), piece)
            }));
        }
        let mut entries = Vec::new();
        for (at, copy) in copies.into_iter().enumerate() {
            let at = 8 * at as u64;
            let released = Address::fb(base + SEMAPHORES + at);
            let acquired = match through {
                Through::Framebuffer => Address::fb(base + SEMAPHORES + at + 4),
                Through::GuestMemory => Address::bus(RAM_AT + semaphores + at),
                Through::Peer => Address::bus(PEER_AT + SCRATCH + semaphores + at),
            };
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
        Self { through, place, entries, input }
    }

    /// The part of the partition that is for the ring.
    pub fn arena(&self) -> Range<u64> {
        let base = self.place * PLACE_BYTES;
        base..base + SEMAPHORES
    }

    /// What goes in and comes out.
    fn output(&self) -> Range<u64> {
        let base = self.place * PLACE_BYTES;
        base + SEMAPHORES..base + PLACE_BYTES
    }

    /// What the guest gives its driver to have all of it done so often.
    pub fn spec(&self, repeat: u32) -> CopySpec {
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
        // What the bus has lies behind the framebuffer.
        let fb_bytes = SCRATCH + (self.place + 1) * SCRATCH_BYTES;
        let (bus_at, bus_bytes) = match self.through {
            Through::Framebuffer => (0, 0),
            Through::GuestMemory => (RAM_AT, RAM_BYTES),
            Through::Peer => (PEER_AT + SCRATCH, RAM_BYTES),
        };
        let mut memory = vec![0; (fb_bytes + bus_bytes) as usize];
        let range = |address: Address, byte_count: u64| {
            let at = if address.is_bus() { address.at - bus_at + fb_bytes } else { address.at };
            at as usize..(at + byte_count) as usize
        };
        let output = range(Address::fb(self.output().start), self.input.len() as u64);
        memory[output.clone()].copy_from_slice(&self.input);
        for entry in (0..repeat).flat_map(|_| &self.entries) {
            match *entry {
                Entry::Copy { from, to, byte_count } => {
                    memory.copy_within(range(from, byte_count), range(to, byte_count).start);
                }
                Entry::Fill { at, byte_count, value } => {
                    memory[range(Address::fb(at), byte_count)].fill(value);
                }
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

fn copy(from: Address, to: Address, piece: Range<u64>) -> Entry {
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
            let through = [Through::Framebuffer, Through::GuestMemory][seed as usize / 2];
            let work = CopyWork::new(seed, seed % 2, through);
            let mut seen: Vec<_> = (0..40).map(|repeat| work.expected(repeat)).collect();
            assert_eq!(seen[0], work.input);
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 40, "seed {seed}");
        }
    }

    #[test]
    fn bytes_belong_to_an_entry_until_it_is_done() {
        let work = CopyWork::new(1, 0, Through::Framebuffer);
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
