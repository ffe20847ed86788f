//! Register words that firmware, device and host of one process share.

use crate::words::Words;
use core::sync::atomic::{AtomicU32, Ordering};
use godwit_hal::{Retained, RetainedSlot};
use godwit_regs::{MAP_BYTES, Word};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

/// One register map in this process's memory. Clones are views of the same words.
#[derive(Clone, Debug)]
pub struct SharedWords {
    words: Arc<[AtomicU32]>,
}

impl SharedWords {
    /// A map of zeros, as after power-on.
    pub fn new() -> Self {
        Self { words: (0..MAP_BYTES / 4).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl Default for SharedWords {
    fn default() -> Self {
        Self::new()
    }
}

impl Words for SharedWords {
    #[expect(clippy::indexing_slicing, reason = "offsets are below MAP_BYTES by their type")]
    fn read(&self, word: Word) -> u32 {
        self.words[word.offset() / 4].load(Ordering::Relaxed)
    }

    #[expect(clippy::indexing_slicing, reason = "offsets are below MAP_BYTES by their type")]
    fn write(&self, word: Word, value: u32) {
        self.words[word.offset() / 4].store(value, Ordering::Relaxed);
    }
}

/// Retained memory of a microcontroller that is simulated in this process: clones share it, so
/// it outlives each of them.
#[derive(Clone, Debug, Default)]
pub struct SharedRetained {
    slots: Arc<Mutex<[Vec<u8>; 2]>>,
}

impl SharedRetained {
    fn with<T>(&self, slot: RetainedSlot, use_it: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let [a, b] = &mut *slots;
        use_it(match slot {
            RetainedSlot::A => a,
            RetainedSlot::B => b,
        })
    }
}

impl Retained for SharedRetained {
    fn load(&self, slot: RetainedSlot, into: &mut [u8]) -> usize {
        self.with(slot, |bytes| {
            for (to, from) in into.iter_mut().zip(bytes.iter()) {
                *to = *from;
            }
            bytes.len().min(into.len())
        })
    }

    fn store(&mut self, slot: RetainedSlot, bytes: &[u8]) {
        self.with(slot, |kept| *kept = bytes.to_vec());
    }
}
