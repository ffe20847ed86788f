//! How 32-bit registers are reached.

use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};
use godwit_regs::bits::whole;
use godwit_regs::{MAP_BYTES, Word};
use volatile::VolatilePtr;

/// The words of one register map.
pub trait Words {
    /// Reads one word.
    fn read(&self, word: Word) -> u32;

    /// Writes one word.
    fn write(&self, word: Word, value: u32);

    /// Writes the sequence number of a request or an answer: what was written before is seen
    /// by whoever sees the number.
    fn publish(&self, word: Word, value: u32) {
        fence(Ordering::Release);
        self.write(word, value);
    }

    /// Reads a sequence number: what its writer wrote before it is seen by later reads.
    fn observe(&self, word: Word) -> u32 {
        let value = self.read(word);
        fence(Ordering::Acquire);
        value
    }

    /// Reads two words as a 64-bit value that nobody changes meanwhile.
    fn read_wide(&self, lo: Word, hi: Word) -> u64 {
        whole(self.read(lo), self.read(hi))
    }

    /// Writes a 64-bit value to two words.
    fn write_wide(&self, lo: Word, hi: Word, value: u64) {
        let (low, high) = godwit_regs::bits::halves(value);
        self.write(lo, low);
        self.write(hi, high);
    }

    /// Flips those bits of `bell` that are not pending already. Returns whether any was.
    fn ring(&self, bell: Word, ack: Word, bits: u32) -> bool {
        let value = self.read(bell);
        let pending = value ^ self.observe(ack);
        let fresh = bits & !pending;
        if fresh != 0 {
            self.publish(bell, value ^ fresh);
        }
        fresh != 0
    }

    /// Takes and acknowledges what is pending.
    fn answer(&self, bell: Word, ack: Word) -> u32 {
        self.answer_some(bell, ack, u32::MAX)
    }

    /// The same for some bits; the others stay pending.
    fn answer_some(&self, bell: Word, ack: Word, bits: u32) -> u32 {
        let acknowledged = self.read(ack);
        let pending = (self.observe(bell) ^ acknowledged) & bits;
        if pending != 0 {
            self.publish(ack, acknowledged ^ pending);
        }
        pending
    }
}

/// Memory-mapped registers, or pages of RAM that another process maps.
#[derive(Clone, Copy, Debug)]
pub struct MmioWords {
    base: NonNull<u32>,
}

impl MmioWords {
    /// # Safety
    ///
    /// `base` is aligned to 4 and maps [`MAP_BYTES`] bytes that stay mapped for the rest of
    /// the program, are not memory of any Rust object, and are reached by this program
    /// through `MmioWords` only.
    pub const unsafe fn new(base: NonNull<u32>) -> Self {
        Self { base }
    }

    fn pointer(&self, word: Word) -> VolatilePtr<'_, u32> {
        const { assert!(MAP_BYTES.is_multiple_of(4)) };
        // SAFETY: `Word::offset` is a multiple of 4 below MAP_BYTES, and `new`'s caller
        // promised that much memory, so the sum stays inside the mapping.
        let at = unsafe { self.base.byte_add(word.offset()) };
        // SAFETY: `at` is aligned and mapped, and nothing of this program takes a reference
        // to it, both by the promise to `new`.
        unsafe { VolatilePtr::new(at) }
    }
}

impl Words for MmioWords {
    fn read(&self, word: Word) -> u32 {
        self.pointer(word).read()
    }

    fn write(&self, word: Word, value: u32) {
        self.pointer(word).write(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_regs::map::{intr, timer};
    use std::boxed::Box;
    use std::vec;

    #[test]
    fn mapped_words_keep_what_is_written() {
        let map: &'static mut [u32] = Box::leak(vec![0u32; MAP_BYTES / 4].into_boxed_slice());
        let base = NonNull::from(map).cast();
        // SAFETY: the leaked map is large enough, lives for ever, and is not used otherwise.
        let words = unsafe { MmioWords::new(base) };
        words.write_wide(timer::ns_lo(), timer::ns_hi(), 0x1_2345_6789);
        assert_eq!(words.read_wide(timer::ns_lo(), timer::ns_hi()), 0x1_2345_6789);
        assert_eq!(words.read(intr::bell()), 0);
    }

    #[test]
    fn a_storm_of_bells_is_one_pending_bit() {
        let words = crate::SharedWords::new();
        assert!(words.ring(intr::bell(), intr::ack(), 0b101));
        for _ in 0..1000 {
            assert!(!words.ring(intr::bell(), intr::ack(), 0b001));
        }
        assert_eq!(words.answer(intr::bell(), intr::ack()), 0b101);
        assert_eq!(words.answer(intr::bell(), intr::ack()), 0);
        assert!(words.ring(intr::bell(), intr::ack(), 0b001));
        assert_eq!(words.answer(intr::bell(), intr::ack()), 0b001);
    }
}
