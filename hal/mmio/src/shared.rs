//! Register words that several owners share, in this process or with another.

use crate::words::Words;
use core::fmt::Debug;
use core::sync::atomic::{AtomicU32, Ordering};
use godwit_hal::{RETAINED_BYTES, Retained, RetainedSlot};
use godwit_regs::{MAP_BYTES, Word};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

/// Memory that holds a register map and that somebody else may have mapped, too.
pub trait WordMemory: Debug + Send + Sync {
    /// The word at a byte offset of the map: a multiple of 4 below [`MAP_BYTES`].
    fn word(&self, offset: usize) -> &AtomicU32;
}

/// One register map that several owners in this process use. Clones are views of the same
/// words.
#[derive(Clone, Debug)]
pub struct SharedWords {
    home: Home,
}

/// Where the words are.
#[derive(Clone, Debug)]
enum Home {
    /// In this process's memory. Not behind the trait, since a simulated GPU reads its map
    /// at every step.
    Own(Arc<[AtomicU32]>),
    /// In memory that the microcontroller maps.
    Lent(Arc<dyn WordMemory>),
}

impl SharedWords {
    /// A map of zeros, as after power-on.
    pub fn new() -> Self {
        Self { home: Home::Own((0..MAP_BYTES / 4).map(|_| AtomicU32::new(0)).collect()) }
    }

    /// The map in this memory, as it is.
    pub fn over(memory: Arc<dyn WordMemory>) -> Self {
        Self { home: Home::Lent(memory) }
    }

    #[expect(clippy::indexing_slicing, reason = "offsets are below MAP_BYTES by their type")]
    fn word(&self, word: Word) -> &AtomicU32 {
        match &self.home {
            Home::Own(words) => &words[word.offset() / 4],
            Home::Lent(memory) => memory.word(word.offset()),
        }
    }
}

impl Default for SharedWords {
    fn default() -> Self {
        Self::new()
    }
}

impl Words for SharedWords {
    fn read(&self, word: Word) -> u32 {
        self.word(word).load(Ordering::Relaxed)
    }

    fn write(&self, word: Word, value: u32) {
        self.word(word).store(value, Ordering::Relaxed);
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
        let bytes = match slot {
            RetainedSlot::A => a,
            RetainedSlot::B => b,
        };
        bytes.resize(RETAINED_BYTES, 0);
        use_it(bytes)
    }
}

impl Retained for SharedRetained {
    fn load(&self, slot: RetainedSlot, at: usize, into: &mut [u8]) {
        self.with(slot, |bytes| {
            for (to, from) in into.iter_mut().zip(bytes.iter().skip(at)) {
                *to = *from;
            }
        });
    }

    fn store(&mut self, slot: RetainedSlot, at: usize, bytes: &[u8]) {
        self.with(slot, |kept| {
            for (to, from) in kept.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        });
    }
}
