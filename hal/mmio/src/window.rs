//! The shared window as the firmware reaches it.

use crate::words::MmioWords;
use core::ptr::NonNull;
use godwit_hal::{Retained, RetainedSlot};
use godwit_regs::window::{
    BOOT_AT, CRASH_AT, MAP_AT, RETAINED_A_AT, RETAINED_B_AT, RETAINED_BYTES, WINDOW_BYTES,
};
use godwit_regs::{boot, crash};
use volatile::VolatilePtr;

/// RAM that the host maps as well: see [`godwit_regs::window`].
#[derive(Clone, Copy, Debug)]
pub struct Window {
    base: NonNull<u32>,
}

impl Window {
    /// # Safety
    ///
    /// `base` is aligned to 4 and maps [`WINDOW_BYTES`] bytes that stay mapped for the rest of
    /// the program, are not memory of any Rust object, and are reached by this program through
    /// `Window` and what it hands out only.
    pub const unsafe fn new(base: NonNull<u32>) -> Self {
        Self { base }
    }

    /// The register map.
    pub const fn words(&self) -> MmioWords {
        const { assert!(MAP_AT == 0) };
        // SAFETY: the map is at the window's start, and `new`'s caller promised all of it.
        unsafe { MmioWords::new(self.base) }
    }

    /// The retained record's places.
    pub const fn retained(&self) -> WindowRetained {
        WindowRetained { window: *self }
    }

    /// Leaves a crash record; its magic comes last, so that none is half there.
    pub fn leave(&self, cause: crash::Cause) {
        self.put(CRASH_AT, crash::encode(cause));
    }

    /// Says what is about to be started, in the same way.
    pub fn note_booted(&self, booted: boot::Booted) {
        self.put(BOOT_AT, boot::encode(booted));
    }

    fn put<const N: usize>(&self, place: usize, record: [u32; N]) {
        for (at, word) in record.into_iter().enumerate().rev() {
            self.word(place.wrapping_add(at.wrapping_mul(4))).write(word);
        }
    }

    /// The word at an offset that is taken modulo the window's length.
    fn word(&self, at: usize) -> VolatilePtr<'_, u32> {
        const { assert!(WINDOW_BYTES.is_power_of_two()) };
        let offset = at & WINDOW_BYTES.wrapping_sub(4);
        // SAFETY: `offset` is a multiple of 4 below WINDOW_BYTES, and `new`'s caller promised
        // that much memory.
        let at = unsafe { self.base.byte_add(offset) };
        // SAFETY: `at` is aligned and mapped, and nothing of this program takes a reference to
        // it, both by the promise to `new`.
        unsafe { VolatilePtr::new(at) }
    }
}

/// Retained memory in the window. A record knows its own length, so a place is read whole.
#[derive(Debug)]
pub struct WindowRetained {
    window: Window,
}

impl WindowRetained {
    const fn place(slot: RetainedSlot) -> usize {
        match slot {
            RetainedSlot::A => RETAINED_A_AT,
            RetainedSlot::B => RETAINED_B_AT,
        }
    }
}

impl Retained for WindowRetained {
    fn load(&self, slot: RetainedSlot, into: &mut [u8]) -> usize {
        let length = into.len().min(RETAINED_BYTES);
        for (at, chunk) in (0..RETAINED_BYTES).step_by(4).zip(into.chunks_mut(4)) {
            let word = self.window.word(Self::place(slot).wrapping_add(at)).read();
            for (to, from) in chunk.iter_mut().zip(word.to_le_bytes()) {
                *to = from;
            }
        }
        length
    }

    fn store(&mut self, slot: RetainedSlot, bytes: &[u8]) {
        for (at, chunk) in (0..RETAINED_BYTES).step_by(4).zip(bytes.chunks(4)) {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            let place = Self::place(slot).wrapping_add(at);
            self.window.word(place).write(u32::from_le_bytes(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec;

    #[test]
    fn retained_places_are_apart_and_keep_their_bytes() {
        let memory: &'static mut [u32] = Box::leak(vec![0; WINDOW_BYTES / 4].into_boxed_slice());
        // SAFETY: the leaked memory is large enough, lives for ever, and is not used otherwise.
        let window = unsafe { Window::new(NonNull::from(memory).cast()) };
        let mut retained = window.retained();
        retained.store(RetainedSlot::A, &[1, 2, 3, 4, 5]);
        retained.store(RetainedSlot::B, &[9; RETAINED_BYTES]);
        let mut bytes = [0; RETAINED_BYTES];
        assert_eq!(retained.load(RetainedSlot::A, &mut bytes), RETAINED_BYTES);
        assert_eq!(bytes[..6], [1, 2, 3, 4, 5, 0]);
        retained.load(RetainedSlot::B, &mut bytes);
        assert_eq!(bytes, [9; RETAINED_BYTES]);
        window.leave(crash::Cause::NoDevice);
        assert_eq!(window.word(CRASH_AT).read(), crash::MAGIC);
        window.note_booted(boot::parse([boot::MAGIC; boot::WORDS]).unwrap());
        assert_eq!(window.word(BOOT_AT).read(), boot::MAGIC);
    }
}
