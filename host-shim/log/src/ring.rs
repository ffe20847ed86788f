//! Frames out of the ring.

use godwit_regs::log::{CLAIMED_AT, MAGIC, MAGIC_AT, WRITTEN_AT};
use godwit_regs::window::{LOG_AT, LOG_BYTES};

const RING: u32 = LOG_BYTES as u32;

/// The window's words, by their offsets in it.
pub trait LogMemory {
    /// Reads a word of the log's part. What is read later was written no earlier.
    fn word(&self, at: usize) -> u32;
}

/// What was found in the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole frame, without the zero at its end.
    Frame(Vec<u8>),
    /// So many bytes were gone over before they were read.
    Lost(u64),
}

/// How many bytes were written into the ring so far, modulo 2^32: where the next frame begins.
pub fn written(memory: &impl LogMemory) -> u32 {
    if memory.word(MAGIC_AT) == MAGIC { memory.word(WRITTEN_AT) } else { 0 }
}

/// A reader's place in the ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingReader {
    /// Count of the next byte; `None`: nothing was read yet.
    next: Option<u32>,
}

impl RingReader {
    /// A reader that begins with the oldest frame that is there.
    pub const fn new() -> Self {
        Self { next: None }
    }

    /// A reader that begins where the ring had so many bytes, which is where a frame began.
    pub const fn since(count: u32) -> Self {
        Self { next: Some(count) }
    }

    /// Takes what was written since the last time.
    pub fn poll(&mut self, memory: &impl LogMemory) -> Vec<Piece> {
        if memory.word(MAGIC_AT) != MAGIC {
            return Vec::new(); // no firmware has written anything yet
        }
        let end = memory.word(WRITTEN_AT);
        // Before the count has gone round the ring, its start is the oldest frame's; then the
        // oldest byte is in the middle of one.
        let first = self.next.unwrap_or(if end <= RING { 0 } else { end.wrapping_sub(RING) });
        let comes_late = self.next.is_none() && first != 0;
        self.next = Some(end);
        let ahead = end.wrapping_sub(first);
        let mut bytes = read(memory, end.wrapping_sub(ahead.min(RING)), end);
        let mut lost = u64::from(ahead.saturating_sub(RING));
        // Bytes that may have been gone over while they were read: no more than were claimed.
        let claimed = memory.word(CLAIMED_AT).wrapping_sub(end);
        let room = RING - (bytes.len() as u32);
        let over = if claimed <= RING { claimed.saturating_sub(room) } else { 0 };
        bytes.drain(..over as usize);
        lost += u64::from(over);
        if lost != 0 || comes_late {
            let part = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            bytes.drain(..part);
            lost += part as u64;
        }
        // Who was not there has lost nothing.
        let gap = (lost != 0 && !comes_late).then_some(Piece::Lost(lost));
        let frames = bytes.split(|byte| *byte == 0).filter(|frame| !frame.is_empty());
        gap.into_iter().chain(frames.map(|frame| Piece::Frame(frame.to_vec()))).collect()
    }
}

/// The bytes of a range of counts, which is no longer than the ring.
fn read(memory: &impl LogMemory, from: u32, to: u32) -> Vec<u8> {
    let len = to.wrapping_sub(from) as usize;
    let mut bytes = Vec::with_capacity(len + 8);
    let mut at = from & !3;
    while bytes.len() < len + (from & 3) as usize {
        let offset = at as usize % LOG_BYTES;
        bytes.extend(memory.word(LOG_AT + offset).to_le_bytes());
        at = at.wrapping_add(4);
    }
    bytes.drain(..(from & 3) as usize);
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_mmio::{LogRing, LogWords};
    use godwit_regs::window::WINDOW_BYTES;
    use std::cell::RefCell;

    /// A window that firmware and reader share.
    struct Memory(RefCell<Vec<u32>>);

    impl LogWords for &Memory {
        fn read(&self, at: usize) -> u32 {
            self.0.borrow()[at / 4]
        }

        fn write(&self, at: usize, value: u32) {
            self.0.borrow_mut()[at / 4] = value;
        }
    }

    impl LogMemory for Memory {
        fn word(&self, at: usize) -> u32 {
            self.0.borrow()[at / 4]
        }
    }

    impl Memory {
        fn new() -> Self {
            Self(RefCell::new(vec![0; WINDOW_BYTES / 4]))
        }

        /// The firmware writes frames that carry these numbers.
        fn say(&self, numbers: impl IntoIterator<Item = u32>) {
            let mut ring = LogRing::over(self);
            for number in numbers {
                ring.begin_frame();
                ring.write(format!("\0frame {number}\0").as_bytes());
                ring.end_frame();
            }
        }
    }

    /// The numbers of the frames, and how many bytes were lost.
    fn heard(pieces: Vec<Piece>) -> (Vec<u32>, u64) {
        let (mut numbers, mut lost) = (Vec::new(), 0);
        for piece in pieces {
            match piece {
                Piece::Frame(frame) => {
                    let text = String::from_utf8(frame).unwrap();
                    numbers.push(text.strip_prefix("frame ").unwrap().parse().unwrap());
                }
                Piece::Lost(count) => lost += count,
            }
        }
        (numbers, lost)
    }

    #[test]
    fn what_is_polled_in_time_is_whole_around_the_ring() {
        let (memory, mut reader) = (Memory::new(), RingReader::new());
        assert_eq!(reader.poll(&memory), []);
        for round in 0..100 {
            let numbers = round * 100..(round + 1) * 100;
            memory.say(numbers.clone());
            assert_eq!(heard(reader.poll(&memory)), (numbers.collect(), 0));
            assert_eq!(reader.poll(&memory), []);
        }
        assert!(memory.word(WRITTEN_AT) > RING);
    }

    #[test]
    fn an_overrun_is_counted_and_the_next_whole_frame_is_read() {
        let (memory, mut reader) = (Memory::new(), RingReader::new());
        memory.say(0..10);
        assert_eq!(heard(reader.poll(&memory)).0.len(), 10);
        let before = memory.word(WRITTEN_AT);
        memory.say(10..20_000);
        let written = memory.word(WRITTEN_AT) - before;
        let (numbers, lost) = heard(reader.poll(&memory));
        let kept: usize = numbers.iter().map(|n| format!("\0frame {n}\0").len()).sum();
        // The zero at the end of the frame that was cut may belong to nobody.
        assert!((0..2).contains(&(u64::from(written) - lost - kept as u64)), "{lost} {kept}");
        assert!(lost > u64::from(written - RING) && kept + 300 > LOG_BYTES, "{lost} {kept}");
        let first = numbers[0];
        assert!(numbers.iter().copied().eq(first..20_000), "without a gap from {first} on");
        memory.say([20_000]);
        assert_eq!(heard(reader.poll(&memory)), (vec![20_000], 0));
    }

    #[test]
    fn a_half_frame_is_not_there_and_a_restart_goes_on() {
        let (memory, mut reader) = (Memory::new(), RingReader::new());
        memory.say([1]);
        let mut cut = LogRing::over(&memory);
        cut.begin_frame();
        cut.write(b"\0frame of a firmware that ");
        assert_eq!(heard(reader.poll(&memory)), (vec![1], 0));
        memory.say([2, 3]);
        assert_eq!(heard(reader.poll(&memory)), (vec![2, 3], 0));
    }

    #[test]
    fn who_comes_late_finds_the_last_frames() {
        let memory = Memory::new();
        memory.say(0..20_000);
        let (numbers, lost) = heard(RingReader::new().poll(&memory));
        assert_eq!((numbers.last(), lost), (Some(&19_999), 0));
        assert!(numbers.len() > 4_000);
        let early = Memory::new();
        early.say(0..5);
        assert_eq!(heard(RingReader::new().poll(&early)), ((0..5).collect(), 0));
    }

    #[test]
    fn who_begins_at_a_count_hears_nothing_of_before() {
        let memory = Memory::new();
        assert_eq!(written(&memory), 0);
        memory.say([1, 2]);
        let mut reader = RingReader::since(written(&memory));
        assert_eq!(reader.poll(&memory), []);
        memory.say([3, 4]);
        assert_eq!(heard(reader.poll(&memory)), (vec![3, 4], 0));
    }

    #[test]
    fn the_counts_wrap() {
        let (memory, mut reader) = (Memory::new(), RingReader::new());
        memory.say([0]);
        (&memory).write(WRITTEN_AT, u32::MAX - 100);
        (&memory).write(CLAIMED_AT, u32::MAX - 100);
        reader.poll(&memory);
        memory.say(1..50);
        assert!(memory.word(WRITTEN_AT) < 1_000);
        assert_eq!(heard(reader.poll(&memory)), ((1..50).collect(), 0));
    }

    #[test]
    fn bytes_that_may_be_gone_over_while_they_are_read_are_not_believed() {
        let (memory, mut reader) = (Memory::new(), RingReader::new());
        memory.say([0]);
        reader.poll(&memory);
        memory.say(1..20_000);
        let all = heard(RingReader::new().poll(&memory)).0.len();
        (&memory).write(CLAIMED_AT, memory.word(WRITTEN_AT) + 4_096);
        let (numbers, lost) = heard(reader.poll(&memory));
        assert!(numbers.len() < all && lost >= 4_096 - 256, "{} of {all}, {lost}", numbers.len());
    }
}
