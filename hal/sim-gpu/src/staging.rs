//! The staging slots, which host and copy engine share.

use godwit_regs::copy::{PageRun, SLOT_STRIDE};
use godwit_sys::MemFile;
use godwit_types::{SLOT_BYTES, SLOT_COUNT, SLOT_RUNS_MAX, SlotId};
use std::io;
use std::sync::Arc;

/// An access to a slot that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StagingError {
    /// Not wholly inside the slot's data.
    #[error("the bytes are not within the slot")]
    OutOfSlot,
    /// A table with more runs than a slot has room for, or a run that cannot be.
    #[error("the slot's table of runs is malformed")]
    BadRuns,
}

/// All staging slots: for each its data, then its table of runs. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Staging {
    memory: Arc<MemFile>,
}

const STRIDE: u64 = SLOT_STRIDE as u64;

impl Staging {
    /// Slots of zeros.
    pub(crate) fn new() -> io::Result<Self> {
        let memory = MemFile::new("godwit-staging", STRIDE * u64::from(SLOT_COUNT))?;
        Ok(Self { memory: Arc::new(memory) })
    }

    /// The memory of all slots; slot `n` begins at `n * SLOT_STRIDE`.
    pub fn file(&self) -> &MemFile {
        &self.memory
    }

    /// Where a slot begins in [`Self::file`].
    pub fn offset(slot: SlotId) -> u64 {
        u64::from(slot.raw()) * STRIDE
    }

    fn place(slot: SlotId, at: u32, byte_count: usize) -> Result<u64, StagingError> {
        match (at as usize).checked_add(byte_count) {
            Some(end) if end <= SLOT_BYTES as usize => Ok(Self::offset(slot) + u64::from(at)),
            _ => Err(StagingError::OutOfSlot),
        }
    }

    /// Copies bytes out of a slot's data.
    ///
    /// # Errors
    ///
    /// When they are not wholly inside.
    pub fn read(&self, slot: SlotId, at: u32, into: &mut [u8]) -> Result<(), StagingError> {
        let place = Self::place(slot, at, into.len())?;
        self.memory.read(place, into).map_err(|_| StagingError::OutOfSlot)
    }

    /// Copies bytes into a slot's data.
    ///
    /// # Errors
    ///
    /// When they are not wholly inside; nothing is written.
    pub fn write(&self, slot: SlotId, at: u32, from: &[u8]) -> Result<(), StagingError> {
        let place = Self::place(slot, at, from.len())?;
        self.memory.write(place, from).map_err(|_| StagingError::OutOfSlot)
    }

    /// A private copy of a slot's table of runs, parsed.
    ///
    /// # Errors
    ///
    /// When the table is malformed.
    pub fn runs(&self, slot: SlotId) -> Result<Vec<PageRun>, StagingError> {
        let bad = |_| StagingError::BadRuns;
        let table = Self::offset(slot) + u64::from(SLOT_BYTES);
        let word = |at: u64| self.memory.load::<u32>(table + at).map(u32::from_le);
        let count = word(0).map_err(bad)? as usize;
        if count > SLOT_RUNS_MAX {
            return Err(StagingError::BadRuns);
        }
        (0..count as u64)
            .map(|index| {
                let words = [word(4 + 8 * index).map_err(bad)?, word(8 + 8 * index).map_err(bad)?];
                PageRun::parse(words).ok_or(StagingError::BadRuns)
            })
            .collect()
    }

    /// Replaces a slot's table of runs.
    ///
    /// # Errors
    ///
    /// When there are more than a slot has room for; nothing is written.
    pub fn set_runs(&self, slot: SlotId, runs: &[PageRun]) -> Result<(), StagingError> {
        if runs.len() > SLOT_RUNS_MAX {
            return Err(StagingError::BadRuns);
        }
        let mut bytes = (runs.len() as u32).to_le_bytes().to_vec();
        for word in runs.iter().flat_map(|run| run.encode()) {
            bytes.extend(word.to_le_bytes());
        }
        self.memory
            .write(Self::offset(slot) + u64::from(SLOT_BYTES), &bytes)
            .map_err(|_| StagingError::OutOfSlot)
    }

    /// Makes a slot zero, data and table.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn zero(&self, slot: SlotId) -> io::Result<()> {
        self.memory.zero(Self::offset(slot), STRIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: SlotId = SlotId::new(SLOT_COUNT - 1).unwrap();

    #[test]
    fn a_table_reads_back_as_written_and_leaves_the_data_alone() {
        let staging = Staging::new().unwrap();
        staging.write(SLOT, SLOT_BYTES - 2, &[1, 2]).unwrap();
        let runs: Vec<PageRun> = (0..SLOT_RUNS_MAX as u32)
            .map(|index| PageRun { first: index * 9, count: index + 1, zero: index % 2 == 0 })
            .collect();
        staging.set_runs(SLOT, &runs).unwrap();
        assert_eq!(staging.runs(SLOT), Ok(runs));
        let mut end = [0; 2];
        staging.read(SLOT, SLOT_BYTES - 2, &mut end).unwrap();
        assert_eq!(end, [1, 2]);
    }

    #[test]
    fn a_table_from_outside_is_bounded_before_it_is_read() {
        let staging = Staging::new().unwrap();
        let table = Staging::offset(SLOT) + u64::from(SLOT_BYTES);
        staging.file().store(table, u32::MAX).unwrap();
        assert_eq!(staging.runs(SLOT), Err(StagingError::BadRuns));
        staging.file().store(table, 1u32).unwrap();
        assert_eq!(staging.runs(SLOT), Err(StagingError::BadRuns));
    }

    #[test]
    fn an_access_past_a_slot_does_not_reach_its_neighbour() {
        let staging = Staging::new().unwrap();
        let first = SlotId::new(0).unwrap();
        assert!(staging.write(first, SLOT_BYTES, &[1]).is_err());
        assert!(staging.read(first, u32::MAX, &mut [0; 2]).is_err());
    }
}
