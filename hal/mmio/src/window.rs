//! The shared window as the firmware reaches it.

use crate::log::LogWords;
use crate::words::MmioWords;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};
use godwit_hal::{Retained, RetainedSlot};
use godwit_regs::boot;
use godwit_regs::crash::{self, Cause, Core, NUMBER_AT, REGISTERS};
use godwit_regs::window::{
    BOOT_AT, CRASH_AT, MAP_AT, RETAINED_A_AT, RETAINED_B_AT, RETAINED_BYTES, WINDOW_BYTES,
};
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

    /// Leaves a crash record. Its number comes last, so that none is half there.
    pub fn leave(&self, cause: Cause, core: Core, registers: &[u64; REGISTERS]) {
        let number_at = CRASH_AT.wrapping_add(4 * NUMBER_AT);
        // 0 says that there is no record.
        let number = self.word(number_at).read().wrapping_add(1).max(1);
        for (at, word) in crash::words(number, cause, core, registers).enumerate() {
            if at != NUMBER_AT {
                self.word(CRASH_AT.wrapping_add(at.wrapping_mul(4))).write(word);
            }
        }
        fence(Ordering::Release);
        self.word(number_at).write(number);
    }

    /// Says what is about to be started. The magic comes last, so that no record is half there.
    pub fn note_booted(&self, booted: boot::Booted) {
        for (at, word) in boot::encode(booted).into_iter().enumerate().rev() {
            self.word(BOOT_AT.wrapping_add(at.wrapping_mul(4))).write(word);
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

impl LogWords for Window {
    fn read(&self, at: usize) -> u32 {
        self.word(at).read()
    }

    fn write(&self, at: usize, value: u32) {
        self.word(at).write(value);
    }
}

/// Retained memory in the window.
#[derive(Debug)]
pub struct WindowRetained {
    window: Window,
}

const _: () = assert!(RETAINED_BYTES == godwit_hal::RETAINED_BYTES);

impl WindowRetained {
    /// Offsets of the words of a piece.
    fn words(slot: RetainedSlot, at: usize) -> impl Iterator<Item = usize> {
        let place = match slot {
            RetainedSlot::A => RETAINED_A_AT,
            RetainedSlot::B => RETAINED_B_AT,
        };
        (at & !3..RETAINED_BYTES).step_by(4).map(move |at| place.wrapping_add(at))
    }
}

impl Retained for WindowRetained {
    fn load(&self, slot: RetainedSlot, at: usize, into: &mut [u8]) {
        for (at, chunk) in Self::words(slot, at).zip(into.chunks_mut(4)) {
            let word = self.window.word(at).read();
            for (to, from) in chunk.iter_mut().zip(word.to_le_bytes()) {
                *to = from;
            }
        }
    }

    fn store(&mut self, slot: RetainedSlot, at: usize, bytes: &[u8]) {
        for (at, chunk) in Self::words(slot, at).zip(bytes.chunks(4)) {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.window.word(at).write(u32::from_le_bytes(word));
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
        retained.store(RetainedSlot::A, 0, &[1, 2, 3, 4, 5]);
        retained.store(RetainedSlot::B, 0, &[9; RETAINED_BYTES]);
        retained.store(RetainedSlot::A, RETAINED_BYTES - 4, &[7; 8]);
        let mut bytes = [0; 6];
        retained.load(RetainedSlot::A, 0, &mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 0]);
        let mut bytes = [0; RETAINED_BYTES];
        retained.load(RetainedSlot::B, 0, &mut bytes);
        assert_eq!(bytes, [9; RETAINED_BYTES]);
        let mut bytes = [0; 8];
        retained.load(RetainedSlot::A, RETAINED_BYTES - 4, &mut bytes);
        assert_eq!(bytes, [7, 7, 7, 7, 0, 0, 0, 0]);
    }

    #[test]
    fn records_are_numbered() {
        let memory: &'static mut [u32] = Box::leak(vec![0; WINDOW_BYTES / 4].into_boxed_slice());
        // SAFETY: the leaked memory is large enough, lives for ever, and is not used otherwise.
        let window = unsafe { Window::new(NonNull::from(memory).cast()) };
        let record = || {
            let word = |at: usize| window.word(CRASH_AT + 4 * at).read();
            crash::Record::parse(&core::array::from_fn(word))
        };
        assert_eq!(record(), None);
        let registers = core::array::from_fn(|at| at as u64);
        for (number, cause) in (1..).zip([Cause::NoDevice, Cause::Stalled { at: 7 }]) {
            window.leave(cause, Core::RiscV, &registers);
            let core = Core::RiscV;
            assert_eq!(record(), Some(crash::Record { number, cause, core, registers }));
        }
        window.note_booted(boot::parse([boot::MAGIC; boot::WORDS]).unwrap());
        assert_eq!(window.word(BOOT_AT).read(), boot::MAGIC);
    }
}
