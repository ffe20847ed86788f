//! What a vGPU leaves behind in memory that is about to be another's.

use crate::gpu::Region;
use godwit_sys::MemFile;
use godwit_types::Gfid;
use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes that are read at once.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Bytes other than zero that were in a vGPU's memory when its partition was cleared. A
/// firmware that scrubs what it releases leaves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residue {
    /// Whose.
    pub gfid: Gfid,
    /// In its partition or in the context memory.
    pub region: Region,
    /// The first of them in that region.
    pub at: u64,
}

/// Context buffers that were bound for a vGPU since its partition was set.
#[derive(Debug, Default)]
pub(crate) struct Contexts(BTreeSet<(u64, u32)>);

impl Contexts {
    pub(crate) fn note(&mut self, at: u64, byte_count: u32) {
        self.0.insert((at, byte_count));
    }

    /// What is left in them, the first byte of each buffer, and forgets them.
    pub(crate) fn take_residues(&mut self, gfid: Gfid, memory: &MemFile) -> Vec<Residue> {
        let buffers = std::mem::take(&mut self.0).into_iter();
        let left = buffers.filter_map(|(at, bytes)| first_byte(memory, at..at + u64::from(bytes)));
        left.map(|at| Residue { gfid, region: Region::Context, at }).collect()
    }
}

/// What is left in a vGPU's partition: the first byte.
pub(crate) fn in_partition(gfid: Gfid, file: &MemFile) -> Option<Residue> {
    let at = first_byte(file, 0..file.len())?;
    Some(Residue { gfid, region: Region::Partition(gfid), at })
}

/// The first byte of a range that is not zero. A range that cannot be looked at counts as one
/// that begins with such a byte: nobody can say that it is clean.
fn first_byte(file: &MemFile, range: Range<u64>) -> Option<u64> {
    let mut bytes = vec![0; CHUNK_BYTES as usize];
    let mut at = range.start;
    loop {
        at = match file.data_from(at) {
            Ok(found) => found.filter(|start| *start < range.end)?.max(at),
            Err(_) => return Some(at),
        };
        let part = &mut bytes[..(range.end - at).min(CHUNK_BYTES) as usize];
        if file.read(at, part).is_err() {
            return Some(at);
        }
        if let Some(found) = part.iter().position(|byte| *byte != 0) {
            return Some(at + found as u64);
        }
        at += part.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_not_zero_is_found_wherever_it_is() {
        let memory = MemFile::new("test", 1 << 30).unwrap();
        let whole = || 0..memory.len();
        assert_eq!(first_byte(&memory, whole()), None);
        memory.write(0, &[0; 4096]).unwrap();
        assert_eq!(first_byte(&memory, whole()), None, "data that is zero");
        let last = memory.len() - 1;
        for at in [last, (1 << 20) + 4095, 1 << 20, 7] {
            memory.write(at, &[1]).unwrap();
            assert_eq!(first_byte(&memory, whole()), Some(at));
            assert_eq!(first_byte(&memory, 0..at), None);
            assert_eq!(first_byte(&memory, at..at + 1), Some(at));
        }
        assert_eq!(first_byte(&memory, 8..8), None);
    }
}
