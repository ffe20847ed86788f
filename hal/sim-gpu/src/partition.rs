//! One vGPU's framebuffer partition, with the log of which pages the device wrote.

use godwit_sys::{MemFile, MemFileError};
use godwit_types::PAGE_BYTES;
use std::io;
use std::ops::Range;

const PAGE_LOG2: u32 = PAGE_BYTES.trailing_zeros();

/// A partition: a memory file of its own, so that a client who holds it holds nothing else.
/// When a partition is released the file is dropped with it, and the next one gets a new file.
///
/// Writes of the *device* (`store`, `write`, `zero`) are logged; writes of the CPU through
/// the aperture go to [`Self::file`] and are not, as with real hardware.
#[derive(Debug)]
pub struct Partition {
    file: MemFile,
    /// One bit a page: written since the last flip.
    dirty: Vec<u64>,
    /// Whether writes are logged.
    logging: bool,
}

impl Partition {
    /// A new partition of zeros.
    ///
    /// # Errors
    ///
    /// When the system gives no memory file of that size.
    pub fn new(fb_bytes: u64) -> io::Result<Self> {
        let file = MemFile::new("godwit-partition", fb_bytes)?;
        let words = (fb_bytes >> PAGE_LOG2).div_ceil(64) as usize;
        Ok(Self {
            file,
            dirty: vec![0; words],
            logging: false,
        })
    }

    /// The memory itself. Writes to it are not logged.
    pub fn file(&self) -> &MemFile {
        &self.file
    }

    /// Number of pages.
    pub fn page_count(&self) -> u32 {
        (self.file.len() >> PAGE_LOG2) as u32
    }

    #[inline]
    fn mark(&mut self, at: u64, byte_count: u64) {
        if !self.logging || byte_count == 0 {
            return;
        }
        for page in (at >> PAGE_LOG2)..=((at + byte_count - 1) >> PAGE_LOG2) {
            self.dirty[(page / 64) as usize] |= 1 << (page % 64);
        }
    }

    /// Reads `N` bytes.
    ///
    /// # Errors
    ///
    /// When they are not wholly inside.
    #[inline]
    pub fn load<T: vm_memory::ByteValued>(&self, at: u64) -> Result<T, MemFileError> {
        self.file.load(at)
    }

    /// Writes one value and logs it.
    ///
    /// # Errors
    ///
    /// When it is not wholly inside; nothing is written.
    #[inline]
    pub fn store<T: vm_memory::ByteValued>(
        &mut self,
        at: u64,
        value: T,
    ) -> Result<(), MemFileError> {
        self.file.store(at, value)?;
        self.mark(at, size_of::<T>() as u64);
        Ok(())
    }

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// When the range is not wholly inside.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MemFileError> {
        self.file.read(at, into)
    }

    /// Copies bytes in and logs them.
    ///
    /// # Errors
    ///
    /// When the range is not wholly inside; nothing is written.
    pub fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MemFileError> {
        self.file.write(at, from)?;
        self.mark(at, from.len() as u64);
        Ok(())
    }

    /// Makes a range zero and logs it.
    ///
    /// # Errors
    ///
    /// When the range is not wholly inside, or the system refuses.
    pub fn zero(&mut self, at: u64, byte_count: u64) -> io::Result<()> {
        self.file.zero(at, byte_count)?;
        self.mark(at, byte_count);
        Ok(())
    }

    /// Finds holes, for pages that are asked for in ascending order. A hole that is read
    /// through the mapping becomes memory, so whoever looks at many pages asks here first.
    pub(crate) fn extents(&self) -> Extents<'_> {
        Extents {
            file: &self.file,
            known: 0..0,
            data: 0..0,
        }
    }

    /// Starts logging with every page that may hold data marked.
    ///
    /// # Errors
    ///
    /// When the system refuses to tell which pages hold data.
    pub fn start_log(&mut self) -> io::Result<()> {
        self.logging = true;
        self.dirty.fill(0);
        let mut from = 0;
        while let Some(data) = self.file.next_data(from)? {
            self.mark(data.start, data.end - data.start);
            from = data.end;
        }
        Ok(())
    }

    /// Takes the log and goes on with an empty one, in one step.
    pub fn flip_log(&mut self) -> Vec<u64> {
        let words = self.dirty.len();
        std::mem::replace(&mut self.dirty, vec![0; words])
    }

    /// Whether a page is in the log.
    pub(crate) fn is_logged(&self, page: u32) -> bool {
        let word = self.dirty.get(page as usize / 64);
        word.is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    /// Stops logging and forgets the log.
    pub fn stop_log(&mut self) {
        self.logging = false;
        self.dirty.fill(0);
    }
}

/// Where a partition holds data.
#[derive(Debug)]
pub(crate) struct Extents<'a> {
    file: &'a MemFile,
    /// What was looked at last.
    known: Range<u64>,
    /// The data in it; the rest is a hole.
    data: Range<u64>,
}

impl Extents<'_> {
    /// Whether a page may hold other bytes than zeros.
    pub(crate) fn holds(&mut self, page: u32) -> io::Result<bool> {
        let at = u64::from(page) << PAGE_LOG2;
        if !self.known.contains(&at) {
            let len = self.file.len();
            self.data = self.file.next_data(at)?.unwrap_or(len..len);
            self.known = at..self.data.end;
        }
        Ok(self.data.contains(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_that_the_device_writes_is_in_the_log_once() {
        let mut partition = Partition::new(1 << 20).unwrap();
        partition.write(0, &[1]).unwrap();
        partition.start_log().unwrap();
        partition.store(2 * 4096 - 4, 1u64).unwrap();
        partition.file().write(9 * 4096, &[1]).unwrap();
        assert_eq!(partition.flip_log()[0], 0b111);
        assert_eq!(partition.flip_log()[0], 0);
        partition.stop_log();
        partition.write(0, &[2]).unwrap();
        assert_eq!(partition.flip_log()[0], 0);
    }

    #[test]
    fn holes_are_told_from_data_in_any_order() {
        let partition = Partition::new(1 << 20).unwrap();
        partition.file().write(4 * 4096, &[0; 2 * 4096]).unwrap();
        partition.file().write(255 * 4096, &[1]).unwrap();
        let mut extents = partition.extents();
        for page in [0, 3, 4, 5, 6, 254, 255, 1, 4] {
            assert_eq!(
                extents.holds(page).unwrap(),
                [4, 5, 255].contains(&page),
                "{page}"
            );
        }
    }
}
