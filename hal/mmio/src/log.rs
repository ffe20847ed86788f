//! The firmware's end of the log: see [`godwit_regs::log`].

use core::sync::atomic::{Ordering, fence};
use godwit_regs::log::{CLAIM_BYTES, CLAIMED_AT, MAGIC, MAGIC_AT, WRITTEN_AT};
use godwit_regs::window::{LOG_AT, LOG_BYTES};

/// The words of a window, by their offsets in it.
pub trait LogWords {
    /// Reads the word at an offset: a multiple of 4 within the log's part of the window.
    fn read(&self, at: usize) -> u32;

    /// Writes one.
    fn write(&self, at: usize, value: u32);
}

/// Writes frames into the ring. What is written is seen by nobody until [`Self::end_frame`]:
/// a frame that is cut off, by an exception or a reset, was never there.
#[derive(Debug)]
pub struct LogRing<M> {
    memory: M,
    /// Count of the next byte.
    next: u32,
    /// Count up to which readers know that they may be overtaken.
    claimed: u32,
    /// The word that the next byte is part of.
    word: u32,
}

impl<M: LogWords> LogRing<M> {
    /// Begins a frame where the last whole one ended, whoever wrote it: a firmware that starts
    /// again goes on with the count, so that a reader's place stays good.
    pub fn begin_frame(&mut self) {
        if self.memory.read(MAGIC_AT) != MAGIC {
            self.memory.write(WRITTEN_AT, 0);
            self.memory.write(CLAIMED_AT, 0);
            fence(Ordering::Release);
            self.memory.write(MAGIC_AT, MAGIC);
        }
        self.next = self.memory.read(WRITTEN_AT);
        self.claimed = self.memory.read(CLAIMED_AT);
        self.word = self.memory.read(place(self.next));
    }

    /// Writes bytes of a frame.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_byte(*byte);
        }
    }

    fn write_byte(&mut self, byte: u8) {
        if self.claimed.wrapping_sub(self.next).wrapping_sub(1) >= LOG_BYTES as u32 {
            // Nothing is claimed, or the words make no sense.
            self.claimed = self.next.wrapping_add(CLAIM_BYTES) & !3;
            self.memory.write(CLAIMED_AT, self.claimed);
            // Seen before any byte that it announces.
            fence(Ordering::Release);
        }
        let shift = (self.next & 3).wrapping_mul(8);
        let kept = self.word & !0xff_u32.wrapping_shl(shift);
        self.word = kept | u32::from(byte).wrapping_shl(shift);
        self.memory.write(place(self.next), self.word);
        self.next = self.next.wrapping_add(1);
    }

    /// Ends the frame: readers may have it.
    pub fn end_frame(&mut self) {
        fence(Ordering::Release);
        self.memory.write(WRITTEN_AT, self.next);
    }
}

impl<M> LogRing<M> {
    /// The ring in this memory, as it is.
    pub const fn over(memory: M) -> Self {
        Self { memory, next: 0, claimed: 0, word: 0 }
    }
}

/// Offset of the word that a byte is in.
fn place(count: u32) -> usize {
    let at = count as usize & LOG_BYTES.wrapping_sub(4);
    LOG_AT.wrapping_add(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use godwit_regs::window::WINDOW_BYTES;
    use std::vec;
    use std::vec::Vec;

    /// A window's words.
    struct Memory(RefCell<Vec<u32>>);

    impl LogWords for &Memory {
        fn read(&self, at: usize) -> u32 {
            self.0.borrow()[at / 4]
        }

        fn write(&self, at: usize, value: u32) {
            self.0.borrow_mut()[at / 4] = value;
        }
    }

    impl Memory {
        fn new() -> Self {
            Self(RefCell::new(vec![0xdead_beef; WINDOW_BYTES / 4]))
        }

        fn word(&self, at: usize) -> u32 {
            self.0.borrow()[at / 4]
        }

        fn byte(&self, count: u32) -> u8 {
            self.word(place(count)).to_le_bytes()[count as usize % 4]
        }
    }

    fn frame<M: LogWords>(ring: &mut LogRing<M>, bytes: &[u8]) {
        ring.begin_frame();
        ring.write(bytes);
        ring.end_frame();
    }

    #[test]
    fn frames_of_any_length_follow_one_another() {
        let memory = Memory::new();
        let mut ring = LogRing::over(&memory);
        frame(&mut ring, b"one");
        frame(&mut ring, b"");
        frame(&mut ring, b"twenty-two");
        let bytes: Vec<u8> = (0..13).map(|count| memory.byte(count)).collect();
        assert_eq!(bytes, b"onetwenty-two");
        assert_eq!((memory.word(MAGIC_AT), memory.word(WRITTEN_AT)), (MAGIC, 13));
        assert_eq!(memory.word(CLAIMED_AT), CLAIM_BYTES);
    }

    #[test]
    fn a_frame_that_is_cut_off_was_never_there() {
        let memory = Memory::new();
        let mut ring = LogRing::over(&memory);
        frame(&mut ring, b"whole");
        ring.begin_frame();
        ring.write(b"half a fra");
        assert_eq!(memory.word(WRITTEN_AT), 5);
        // The firmware starts again.
        frame(&mut LogRing::over(&memory), b"again");
        let bytes: Vec<u8> = (0..10).map(|count| memory.byte(count)).collect();
        assert_eq!((bytes.as_slice(), memory.word(WRITTEN_AT)), (&b"wholeagain"[..], 10));
    }

    #[test]
    fn the_count_goes_on_over_its_wrap_and_bytes_stay_in_the_ring() {
        let memory = Memory::new();
        let mut ring = LogRing::over(&memory);
        frame(&mut ring, b"x");
        let around = u32::MAX - 4;
        (&memory).write(WRITTEN_AT, around);
        (&memory).write(CLAIMED_AT, 0x8000_0000); // which makes no sense
        frame(&mut ring, b"0123456789");
        assert_eq!(memory.word(WRITTEN_AT), 5);
        assert_eq!(memory.word(CLAIMED_AT), around.wrapping_add(CLAIM_BYTES) & !3);
        let bytes: Vec<u8> = (0..10).map(|at| memory.byte(around.wrapping_add(at))).collect();
        assert_eq!(bytes, b"0123456789");
        let first = LOG_AT / 4;
        let last = (LOG_AT + LOG_BYTES) / 4;
        assert_eq!(memory.0.borrow()[first - 1], 0xdead_beef);
        assert_eq!(memory.0.borrow()[last + 3], 0xdead_beef);
    }

    #[test]
    fn what_is_overwritten_was_claimed_before() {
        let memory = Memory::new();
        let mut ring = LogRing::over(&memory);
        for _ in 0..2 * LOG_BYTES / 16 {
            ring.begin_frame();
            for byte in 0..16 {
                ring.write(&[byte]);
                let ahead = memory.word(CLAIMED_AT).wrapping_sub(ring.next);
                assert!(ahead < CLAIM_BYTES, "{ahead}"); // and not negative
            }
            ring.end_frame();
        }
        assert_eq!(memory.word(WRITTEN_AT), 2 * LOG_BYTES as u32);
    }
}
