//! A kernel, ready to be put into a partition.

use crate::bars::write;
use crate::{Bars, GuestError};
use std::ops::Range;
use thiserror::Error;

/// Bytes that are written in one go.
const CHUNK_BYTES: usize = 64 * 1024;

/// A part of a kernel's image: the file's bytes, then zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of its program header in the file.
    pub index: usize,
    /// Where it lies in the partition.
    pub range: Range<u64>,
    /// What it begins with; the rest is zeros.
    pub bytes: Vec<u8>,
    /// Instructions may be fetched from it.
    pub executable: bool,
}

/// A kernel's image and where it begins to run. [`Kernel::parse`] makes it from an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
}

/// A segment that lies outside what can be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "segment {index} of the kernel ({range:#x?}) does not lie within the first {limit_bytes:#x} \
     bytes; link the kernel at a lower address"
)]
pub struct SegmentOutside {
    /// Number of its program header in the file.
    pub index: usize,
    /// Where it would lie in the partition.
    pub range: Range<u64>,
    /// Where what can be loaded ends.
    pub limit_bytes: u64,
}

impl Kernel {
    /// Address of the first instruction of each thread.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// The parts of the image, by ascending address, none over another.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Checks that all of the image lies in the first `limit_bytes` of the partition.
    pub fn check_fit(&self, limit_bytes: u64) -> Result<(), SegmentOutside> {
        match self.segments.iter().find(|s| s.range.end > limit_bytes) {
            None => Ok(()),
            Some(segment) => Err(SegmentOutside {
                index: segment.index,
                range: segment.range.clone(),
                limit_bytes,
            }),
        }
    }

    /// Writes the image, zeros included. It must fit the aperture.
    pub fn load(&self, bars: &mut impl Bars) -> Result<(), GuestError> {
        let zeros = vec![0; CHUNK_BYTES];
        for segment in &self.segments {
            write_chunks(bars, segment.range.start, &segment.bytes)?;
            let mut at = segment.range.start + segment.bytes.len() as u64;
            while at < segment.range.end {
                let byte_count = (segment.range.end - at).min(CHUNK_BYTES as u64);
                write(bars, at, &zeros[..byte_count as usize])?;
                at += byte_count;
            }
        }
        Ok(())
    }
}

/// Writes bytes in pieces, so that no single access is too long for what carries it.
pub(crate) fn write_chunks(bars: &mut impl Bars, at: u64, bytes: &[u8]) -> Result<(), GuestError> {
    let places = (at..).step_by(CHUNK_BYTES);
    for (at, chunk) in places.zip(bytes.chunks(CHUNK_BYTES)) {
        write(bars, at, chunk)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn a_load_writes_the_bytes_and_the_zeros_and_nothing_else() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES + 100).map(|n| n as u8 | 1).collect();
        let file_end = 4096 + bytes.len() as u64;
        let end = file_end + 2 * CHUNK_BYTES as u64 + 1;
        let kernel = Kernel {
            entry: 4096,
            segments: vec![Segment {
                index: 0,
                range: 4096..end,
                bytes: bytes.clone(),
                executable: true,
            }],
        };
        let mut fake = Fake::new();
        fake.memory.fill(0xee);
        kernel.load(&mut fake).unwrap();
        let memory = |range: Range<u64>| &fake.memory[range.start as usize..range.end as usize];
        assert!(memory(0..4096).iter().all(|byte| *byte == 0xee));
        assert_eq!(memory(4096..file_end), bytes);
        assert!(memory(file_end..end).iter().all(|byte| *byte == 0));
        assert!(memory(end..end + 4096).iter().all(|byte| *byte == 0xee));
    }
}
