//! One vGPU's framebuffer partition, with the log of which pages the device wrote.

use godwit_sys::{MemFile, MemFileError};
use godwit_types::PAGE_BYTES;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const PAGE_LOG2: u32 = PAGE_BYTES.trailing_zeros();
/// From here on an access goes through the file, not the mapping: no page has to be mapped
/// first, and a hole that is read stays one.
const BULK_BYTES: usize = PAGE_BYTES as usize;

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
    /// One bit a page: it is known to be no hole, since it was written while writes were logged, or
    /// the system has said so.
    held: Vec<u64>,
    /// Whether writes are logged.
    logging: bool,
}

/// The pages that a range touches.
#[inline]
fn pages(at: u64, byte_count: u64) -> Range<u64> {
    let first = at >> PAGE_LOG2;
    let end = if byte_count == 0 { first } else { ((at + byte_count - 1) >> PAGE_LOG2) + 1 };
    first..end
}

fn is_set(bits: &[u64], page: u32) -> bool {
    bits.get(page as usize / 64).is_some_and(|word| word >> (page % 64) & 1 != 0)
}

impl Partition {
    /// A new partition of zeros.
    ///
    /// # Errors
    ///
    /// When the system gives no memory file of that size.
    pub fn new(fb_bytes: u64) -> io::Result<Self> {
        Ok(Self::over(MemFile::new("godwit-partition", fb_bytes)?))
    }

    /// A partition over a file of zeros that is there.
    pub(crate) fn over(file: MemFile) -> Self {
        let words = (file.len() >> PAGE_LOG2).div_ceil(64) as usize;
        Self { file, dirty: vec![0; words], held: vec![0; words], logging: false }
    }

    /// The file, without the partition.
    pub(crate) fn into_file(self) -> MemFile {
        self.file
    }

    /// Moves to a new file with the same bytes: whoever has mapped the one before sees no more of
    /// what comes.
    ///
    /// # Errors
    ///
    /// When the system gives no such file, or does not copy; it is as before.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        let file = MemFile::new("godwit-partition", self.file.len())?;
        let mut bytes = vec![0; 1 << 20];
        let mut from = 0;
        while let Some(data) = self.file.next_data(from)? {
            let mut at = data.start;
            while at < data.end {
                let part = &mut bytes[..(data.end - at).min(1 << 20) as usize];
                self.file.read(at, part).map_err(io::Error::other)?;
                file.write(at, part).map_err(io::Error::other)?;
                at += part.len() as u64;
            }
            from = data.end;
        }
        self.file = file;
        Ok(())
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
        if !self.logging {
            return;
        }
        for page in pages(at, byte_count) {
            let (word, bit) = ((page / 64) as usize, 1 << (page % 64));
            self.dirty[word] |= bit;
            self.held[word] |= bit;
        }
    }

    /// What to say when an access that is inside fails all the same.
    fn check(&self, at: u64, byte_count: usize) -> Result<MemFileError, MemFileError> {
        let (byte_count, len) = (byte_count as u64, self.file.len());
        let error = MemFileError { at, byte_count, len };
        match at.checked_add(byte_count) {
            Some(end) if end <= len => Ok(error),
            _ => Err(error),
        }
    }

    /// Reads one value.
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
        if into.len() < BULK_BYTES {
            return self.file.read(at, into);
        }
        let outside = self.check(at, into.len())?;
        self.file.file().read_exact_at(into, at).map_err(|_| outside)
    }

    /// Copies pages out, one at least and as many as there is room for. Pages that are known to be
    /// no holes are read through the mapping, which is faster and would fill a hole. Returns how
    /// many pages were copied.
    ///
    /// # Errors
    ///
    /// When there is no such page.
    pub(crate) fn read_pages(&self, first: u32, into: &mut [u8]) -> Result<u32, MemFileError> {
        let at = u64::from(first) << PAGE_LOG2;
        let room = (into.len() >> PAGE_LOG2) as u32;
        let held = (first..first.saturating_add(room))
            .take_while(|page| is_set(&self.held, *page))
            .count();
        if held == 0 {
            self.read(at, &mut into[..1 << PAGE_LOG2])?;
            return Ok(1);
        }
        self.file.read(at, &mut into[..held << PAGE_LOG2])?;
        Ok(held as u32)
    }

    /// Copies bytes in and logs them.
    ///
    /// # Errors
    ///
    /// When the range is not wholly inside; nothing is written.
    pub fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MemFileError> {
        if from.len() < BULK_BYTES {
            self.file.write(at, from)?;
        } else {
            let outside = self.check(at, from.len())?;
            self.file.file().write_all_at(from, at).map_err(|_| outside)?;
        }
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
        for page in pages(at, byte_count) {
            self.held[(page / 64) as usize] &= !(1 << (page % 64));
        }
        Ok(())
    }

    /// Starts logging with every page that may hold data marked.
    ///
    /// # Errors
    ///
    /// When the system refuses to tell which pages hold data.
    pub fn start_log(&mut self) -> io::Result<()> {
        self.logging = true;
        self.dirty.copy_from_slice(&self.held);
        let held: u32 = self.held.iter().map(|word| word.count_ones()).sum();
        // Where every page is known the system, which looks at each, need not be asked.
        let mut from = if held == self.page_count() { self.file.len() } else { 0 };
        while let Some(data) = self.file.next_data(from)? {
            self.mark(data.start, data.end - data.start);
            from = data.end;
        }
        Ok(())
    }

    /// Whether writes are logged.
    pub(crate) fn is_logging(&self) -> bool {
        self.logging
    }

    /// Takes the log and goes on with an empty one, in one step.
    pub fn flip_log(&mut self) -> Vec<u64> {
        let words = self.dirty.len();
        std::mem::replace(&mut self.dirty, vec![0; words])
    }

    /// Whether a page is in the log.
    pub(crate) fn is_logged(&self, page: u32) -> bool {
        is_set(&self.dirty, page)
    }

    /// Stops logging and forgets the log.
    pub fn stop_log(&mut self) {
        self.logging = false;
        self.dirty.fill(0);
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
    fn a_page_reads_the_same_whether_it_was_a_hole_or_not() {
        let mut partition = Partition::new(1 << 20).unwrap();
        partition.write(0, &[1; 4096]).unwrap();
        partition.start_log().unwrap();
        partition.store(4096, 2u8).unwrap();
        partition.write(2 * 4096, &[3; 2 * 4096]).unwrap();
        partition.zero(3 * 4096, 4096).unwrap();
        partition.zero(4 * 4096 + 8, 8).unwrap();
        partition.file().write(5 * 4096, &[4]).unwrap();
        let first = [1, 2, 3, 0, 0, 4, 0].into_iter().enumerate().map(|(page, first)| {
            let mut bytes = [0xee; 4096];
            assert_eq!(partition.read_pages(page as u32, &mut bytes), Ok(1));
            (bytes[0], first)
        });
        assert!(first.into_iter().all(|(is, first)| is == first));
        // As many at once as are known to hold data, and no bytes of others are touched.
        let mut bytes = vec![0xee; 8 * 4096];
        assert_eq!(partition.read_pages(0, &mut bytes), Ok(3));
        let first = bytes.chunks(4096).map(|page| page[0]);
        assert!(first.eq([1, 2, 3, 0xee, 0xee, 0xee, 0xee, 0xee]));
        for (at, data) in [(3, 5), (6, 7)] {
            let found = partition.file().data_from(at * 4096).unwrap();
            assert_eq!(found, (data < 7).then_some(data * 4096), "a hole that is read stays one");
        }
        assert!(partition.read_pages(256, &mut [0; 4096]).is_err());
    }

    #[test]
    fn small_and_large_accesses_see_the_same_bytes_and_the_same_end() {
        let mut partition = Partition::new(1 << 20).unwrap();
        let bytes: Vec<u8> = (0..9_000u32).map(|at| (at / 7) as u8).collect();
        partition.write(4_000, &bytes).unwrap();
        let mut small = [0; 100];
        partition.read(8_000, &mut small).unwrap();
        assert_eq!(small, bytes[4_000..4_100]);
        partition.write(4_100, &[0xff; 10]).unwrap();
        let mut large = vec![0; 9_000];
        partition.read(4_000, &mut large).unwrap();
        assert_eq!(large[100..110], [0xff; 10]);
        for at in [(1 << 20) - 8_999, u64::MAX] {
            assert!(partition.read(at, &mut large).is_err());
            assert!(partition.write(at, &bytes).is_err());
        }
        let mut end = [1; 100];
        partition.read((1 << 20) - 100, &mut end).unwrap();
        assert_eq!(end, [0; 100]);
    }

    #[test]
    fn a_hole_that_is_read_stays_a_hole() {
        let partition = Partition::new(1 << 20).unwrap();
        partition.read(0, &mut vec![1; 1 << 20]).unwrap();
        assert_eq!(partition.file().data_from(0).unwrap(), None);
    }
}
