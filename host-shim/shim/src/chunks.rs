//! Bytes on their way out, in the buffers in which they were made.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

/// Buffers that are written at once, at most.
const SLICES_MAX: usize = 16;
/// Buffers that wait to be filled again, at most.
const SPARE_MAX: usize = 16;
/// Buffers with room for fewer bytes are not kept.
const SPARE_BYTES_MIN: usize = 4096;

/// A queue of bytes that copies none of them on their way in, and none when they are written.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    buffers: VecDeque<Vec<u8>>,
    /// Bytes of the first buffer that are out.
    out: usize,
    byte_count: usize,
    spare: Vec<Vec<u8>>,
}

impl Chunks {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.byte_count
    }

    /// A buffer of that length with any bytes in it, to be filled and pushed.
    pub(crate) fn buffer(&mut self, byte_count: usize) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(byte_count, 0);
        buffer
    }

    /// Puts bytes behind the others.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.byte_count += bytes.len();
            self.buffers.push_back(bytes);
        }
    }

    /// Takes so many bytes or all.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut taken = Vec::with_capacity(bytes_max.min(self.byte_count));
        while let Some(first) = self.buffers.front()
            && taken.len() < bytes_max
        {
            let rest = &first[self.out..];
            let part = &rest[..rest.len().min(bytes_max - taken.len())];
            taken.extend_from_slice(part);
            let count = part.len();
            self.consume(count);
        }
        taken
    }

    /// Writes all of it. What was written is gone from here if the rest fails, so that a writer
    /// that would have blocked can be given the rest later.
    pub(crate) fn write_to(&mut self, writer: &mut impl Write) -> io::Result<()> {
        while !self.buffers.is_empty() {
            let mut out = self.out;
            let slices: Vec<IoSlice<'_>> = self
                .buffers
                .iter()
                .take(SLICES_MAX)
                .map(|buffer| IoSlice::new(&buffer[std::mem::take(&mut out)..]))
                .collect();
            match writer.write_vectored(&slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.consume(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn consume(&mut self, byte_count: usize) {
        self.byte_count -= byte_count;
        self.out += byte_count;
        while let Some(first) = self.buffers.pop_front_if(|first| first.len() <= self.out) {
            self.out -= first.len();
            if first.capacity() >= SPARE_BYTES_MIN && self.spare.len() < SPARE_MAX {
                self.spare.push(first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> (Chunks, Vec<u8>) {
        let mut chunks = Chunks::default();
        let mut all = Vec::new();
        for length in [5, 0, 70_000, 1, 9_000] {
            let mut bytes = chunks.buffer(length);
            bytes.iter_mut().zip(all.len()..).for_each(|(byte, at)| *byte = (at / 3) as u8);
            all.extend_from_slice(&bytes);
            chunks.push(bytes);
        }
        assert_eq!(chunks.len(), all.len());
        (chunks, all)
    }

    /// Takes up to 7,001 bytes at a time, and every other time none.
    #[derive(Default)]
    struct Slow {
        bytes: Vec<u8>,
        blocked: bool,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.blocked = !self.blocked;
            if self.blocked {
                return Err(ErrorKind::WouldBlock.into());
            }
            let part = &bytes[..bytes.len().min(7_001)];
            self.bytes.extend_from_slice(part);
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        for bytes_max in [1, 5, 4_096, 100_000] {
            let (mut chunks, all) = filled();
            let mut taken = Vec::new();
            while chunks.len() != 0 {
                let part = chunks.take(bytes_max);
                assert_eq!(part.len(), bytes_max.min(all.len() - taken.len()));
                taken.extend(part);
            }
            assert_eq!(taken, all);
            assert!(chunks.take(1).is_empty());
        }
    }

    #[test]
    fn a_writer_that_blocks_gets_the_rest_later() {
        let (mut chunks, all) = filled();
        let mut slow = Slow::default();
        while let Err(error) = chunks.write_to(&mut slow) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert_eq!(chunks.len(), all.len() - slow.bytes.len());
        }
        assert_eq!((slow.bytes, chunks.len()), (all, 0));
    }

    #[test]
    fn a_large_buffer_is_used_again() {
        let (mut chunks, _) = filled();
        let first: Vec<_> = chunks.buffers.iter().map(|buffer| buffer.as_ptr()).collect();
        chunks.write_to(&mut io::sink()).unwrap();
        for length in [10, 70_000] {
            let buffer = chunks.buffer(length);
            assert!(buffer.len() == length && first.contains(&buffer.as_ptr()));
        }
    }
}
