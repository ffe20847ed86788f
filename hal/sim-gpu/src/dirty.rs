//! Which pages of a partition still have to be moved.
//!
//! What the device writes is in the partition's log; what the CPU writes through the aperture
//! is found by comparing each page's digest with that of what was gathered last.

use crate::partition::Partition;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use godwit_regs::copy::PageRun;
use godwit_types::{PAGE_BYTES, SLOT_BYTES, SLOT_RUNS_MAX};
use std::io;
use std::ops::Range;
use std::sync::LazyLock;
use twox_hash::XxHash3_128;

/// XXH3. No digest against forgers: a guest that makes two pages with one digest may lose a write
/// of its own when it is moved, and nobody else's.
type Digest = u128;

const PAGE: usize = PAGE_BYTES as usize;
const ZERO_PAGE: [u8; PAGE] = [0; PAGE];
/// [`CopyDone::pages`](godwit_types::CopyDone) of a gather that leaves nothing.
pub(crate) const NO_PAGE: u32 = u32::MAX;

static ZERO_DIGEST: LazyLock<Digest> = LazyLock::new(|| digest(&ZERO_PAGE));

fn digest(page: &[u8]) -> Digest {
    XxHash3_128::oneshot(page)
}

/// Pages that are read at once: more wait less for their first bytes, and all of them still fit
/// the nearest cache when their CRC is made.
const AHEAD_PAGES: u32 = 4;

/// Bytes of some pages, aligned as pages are that are copied to them: at some other distances the
/// processor takes loads for those of bytes that it has just stored, and waits.
#[repr(align(4096))]
struct Pages([u8; AHEAD_PAGES as usize * PAGE]);

/// Pages that were taken from the log, and what was gathered of them.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// One bit a page: in the log that was flipped last, or left over from those before.
    taken: Vec<u64>,
    /// One bit a page: gathered since then. Kept apart from `taken`, so that a gather whose
    /// bytes were lost on their way can be repeated.
    gathered: Vec<u64>,
    /// Digests of the aperture's pages as they were gathered last; of zeros at first.
    digests: Vec<Digest>,
}

/// What a comparison has found.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Pages that differ from what was gathered last.
    pub(crate) changed: Vec<u32>,
    /// Bytes whose digest was made.
    pub(crate) byte_count: u64,
}

/// What a gather has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gathered {
    /// Pages that are not zero, whose bytes were copied, and pages that are.
    pub(crate) runs: Vec<PageRun>,
    /// Bytes that were copied, and their CRC-32C.
    pub(crate) byte_count: u32,
    pub(crate) crc: u32,
    /// The page to go on from, or [`NO_PAGE`].
    pub(crate) next: u32,
}

impl Dirty {
    /// Starts to log, with every page that may hold data in the log, and those of a log that was
    /// not stopped: a page may have been taken and have become a hole since.
    pub(crate) fn start(&mut self, partition: &mut Partition) -> io::Result<()> {
        let words = (partition.page_count() as usize).div_ceil(64);
        let before = partition.is_logging().then(|| partition.flip_log());
        partition.start_log()?;
        let mut taken = vec![0; words];
        if let Some(log) = before {
            for ((all, log), taken) in taken.iter_mut().zip(log).zip(&self.taken) {
                *all = log | taken;
            }
        } else {
            self.digests.clear();
        }
        self.taken = taken;
        self.gathered = vec![0; words];
        Ok(())
    }

    /// Stops to log and forgets everything.
    pub(crate) fn stop(&mut self, partition: &mut Partition) {
        *self = Self::default();
        partition.stop_log();
    }

    /// Compares the aperture's pages that are not in the log with what was gathered of them.
    pub(crate) fn compare(
        &mut self,
        partition: &Partition,
        bar_bytes: u64,
    ) -> io::Result<Comparison> {
        let page_count = (bar_bytes / u64::from(PAGE_BYTES)) as u32;
        self.digests.resize(page_count as usize, *ZERO_DIGEST);
        let mut found = Comparison::default();
        let mut reader = Reader::new(partition);
        for (page, known) in (0..page_count).zip(&self.digests) {
            if partition.is_logged(page) {
                continue; // it is taken anyway
            }
            let now = match reader.stretch(page, 1)? {
                Stretch::Data(bytes) => {
                    found.byte_count += u64::from(PAGE_BYTES);
                    digest(bytes)
                }
                Stretch::Zero(_) => *ZERO_DIGEST,
            };
            if now != *known {
                found.changed.push(page);
            }
        }
        Ok(found)
    }

    /// Takes the log, with what is left of the one before and the pages that a comparison has
    /// found to differ. Returns how many pages that makes.
    pub(crate) fn flip(&mut self, partition: &mut Partition, changed: &[u32]) -> u32 {
        let log = partition.flip_log();
        self.taken.resize(log.len(), 0);
        self.gathered.resize(log.len(), 0);
        for ((taken, gathered), log) in self.taken.iter_mut().zip(&mut self.gathered).zip(&log) {
            *taken = log | *taken & !*gathered;
            *gathered = 0;
        }
        for page in changed {
            if let Some(word) = self.taken.get_mut(*page as usize / 64) {
                *word |= 1 << (page % 64);
            }
        }
        self.taken.iter().map(|word| word.count_ones()).sum()
    }

    /// Hands the bytes of taken pages from `first` on to `copy`, each with its place in a slot's
    /// data, until that or its table of runs is full.
    pub(crate) fn gather(
        &mut self,
        partition: &Partition,
        first: u32,
        mut copy: impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> io::Result<Gathered> {
        let runs = Vec::with_capacity(SLOT_RUNS_MAX);
        let mut found = Gathered { runs, byte_count: 0, crc: 0, next: NO_PAGE };
        let mut crc = Crc::new(CrcAlgorithm::Crc32Iscsi);
        let mut reader = Reader::new(partition);
        let mut from = first;
        while let Some(page) = self.next_taken(from) {
            found.next = page;
            if found.byte_count == SLOT_BYTES {
                break;
            }
            let room = (SLOT_BYTES - found.byte_count) / PAGE_BYTES;
            let stretch = reader.stretch(page, self.taken_from(page).min(room))?;
            if !found.extend_runs(page, &stretch) {
                break;
            }
            let count = stretch.page_count();
            let known = self.digests.iter_mut().skip(page as usize).take(count as usize);
            match stretch {
                Stretch::Zero(_) => known.for_each(|known| *known = *ZERO_DIGEST),
                Stretch::Data(bytes) => {
                    crc.update(bytes);
                    copy(found.byte_count, bytes)?;
                    found.byte_count += bytes.len() as u32;
                    known.zip(bytes.chunks_exact(PAGE)).for_each(|(it, page)| *it = digest(page));
                }
            }
            found.next = NO_PAGE;
            from = page + count;
        }
        found.crc = crc.finalize() as u32;
        Ok(found)
    }

    /// The first taken page at or after `from`.
    fn next_taken(&self, from: u32) -> Option<u32> {
        let first = from as usize / 64;
        let mut keep = u64::MAX << (from % 64);
        for (index, word) in self.taken.iter().enumerate().skip(first) {
            let bits = word & keep;
            if bits != 0 {
                return Some(index as u32 * 64 + bits.trailing_zeros());
            }
            keep = u64::MAX;
        }
        None
    }

    /// How many pages from this taken one on are taken, as far as one word of the log says.
    fn taken_from(&self, page: u32) -> u32 {
        (self.taken[page as usize / 64] >> (page % 64)).trailing_ones()
    }

    /// Notes that these pages need no longer be moved, unless they are written again.
    pub(crate) fn settle(&mut self, runs: &[PageRun]) {
        for page in runs.iter().flat_map(|run| run.first..run.first + run.count) {
            self.gathered[page as usize / 64] |= 1 << (page % 64);
        }
    }
}

/// Pages one after the other that are all zero, or all not.
enum Stretch<'a> {
    /// So many pages.
    Zero(u32),
    Data(&'a [u8]),
}

impl Stretch<'_> {
    fn page_count(&self) -> u32 {
        match self {
            Self::Zero(count) => *count,
            Self::Data(bytes) => bytes.len() as u32 / PAGE_BYTES,
        }
    }
}

/// Reads pages that are asked for in ascending order.
struct Reader<'a> {
    partition: &'a Partition,
    /// The first page after the hole that was found last.
    hole_end: u32,
    bytes: Box<Pages>,
    /// Which pages are in `bytes`.
    read: Range<u32>,
}

impl<'a> Reader<'a> {
    fn new(partition: &'a Partition) -> Self {
        let bytes = Box::new(Pages([0; AHEAD_PAGES as usize * PAGE]));
        Self { partition, hole_end: 0, bytes, read: 0..0 }
    }

    /// The first stretch of the `wanted` pages that begin with this one; one page at least.
    fn stretch(&mut self, page: u32, wanted: u32) -> io::Result<Stretch<'_>> {
        if page < self.hole_end {
            return Ok(Stretch::Zero((self.hole_end - page).min(wanted)));
        }
        if !self.read.contains(&page) {
            let bytes = &mut self.bytes.0[..wanted.min(AHEAD_PAGES) as usize * PAGE];
            let count = self.partition.read_pages(page, bytes).map_err(io::Error::other)?;
            self.read = page..page + count;
        }
        let at = (page - self.read.start) as usize * PAGE;
        let end = at + (self.read.end - page).min(wanted) as usize * PAGE;
        let bytes = &self.bytes.0[at..end];
        let data = bytes.chunks_exact(PAGE).take_while(|page| **page != ZERO_PAGE).count();
        if data != 0 {
            return Ok(Stretch::Data(&bytes[..data * PAGE]));
        }
        let at = u64::from(page) * u64::from(PAGE_BYTES);
        // Where one page is zero many may be.
        let data = self.partition.file().data_from(at)?;
        let end = data.map_or(u32::MAX, |at| (at / u64::from(PAGE_BYTES)) as u32);
        self.hole_end = end.max(page + 1);
        Ok(Stretch::Zero((self.hole_end - page).min(wanted)))
    }
}

impl Gathered {
    /// Takes pages in. `false`, and nothing changed, when the table of runs is full.
    fn extend_runs(&mut self, first: u32, stretch: &Stretch<'_>) -> bool {
        let (zero, count) = (matches!(stretch, Stretch::Zero(_)), stretch.page_count());
        if let Some(last) = self.runs.last_mut()
            && last.zero == zero
            && last.first + last.count == first
        {
            last.count += count;
            return true;
        }
        if self.runs.len() == SLOT_RUNS_MAX {
            return false;
        }
        self.runs.push(PageRun { first, count, zero });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc_fast::crc32_iscsi;

    const PAGE_U64: u64 = PAGE as u64;

    fn started(pages: u64) -> (Partition, Dirty) {
        let mut partition = Partition::new(pages * PAGE_U64).unwrap();
        let mut dirty = Dirty::default();
        dirty.start(&mut partition).unwrap();
        (partition, dirty)
    }

    fn gather(dirty: &mut Dirty, partition: &Partition, first: u32) -> Gathered {
        let mut data = Vec::new();
        let copy = |at: u32, bytes: &[u8]| {
            assert_eq!(at as usize, data.len());
            data.extend_from_slice(bytes);
            Ok(())
        };
        let found = dirty.gather(partition, first, copy).unwrap();
        assert_eq!((found.byte_count as usize, found.crc), (data.len(), crc32_iscsi(&data)));
        let pages = found.runs.iter().filter(|run| !run.zero);
        let pages = pages.flat_map(|run| run.first..run.first + run.count);
        for (page, bytes) in pages.zip(data.chunks_exact(PAGE)) {
            let mut expected = ZERO_PAGE;
            let at = u64::from(page) * PAGE_U64;
            partition.read(at, &mut expected).unwrap();
            assert_eq!(bytes, expected);
        }
        found
    }

    fn flip(dirty: &mut Dirty, partition: &mut Partition, bar_bytes: u64) -> u32 {
        let found = dirty.compare(partition, bar_bytes).unwrap();
        dirty.flip(partition, &found.changed)
    }

    fn run(first: u32, count: u32, zero: bool) -> PageRun {
        PageRun { first, count, zero }
    }

    #[test]
    fn pages_become_runs_of_data_and_runs_of_zeros() {
        let (mut partition, mut dirty) = started(300);
        partition.write(0, &[1; 2 * PAGE]).unwrap();
        partition.zero(2 * PAGE_U64, 200 * PAGE_U64).unwrap();
        partition.write(250 * PAGE_U64, &[0; PAGE]).unwrap();
        partition.write(251 * PAGE_U64, &[9]).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, 0), 204);
        let found = gather(&mut dirty, &partition, 0);
        assert_eq!(
            found.runs,
            [run(0, 2, false), run(2, 200, true), run(250, 1, true), run(251, 1, false)]
        );
        assert_eq!(found.byte_count, 3 * PAGE_BYTES);
        assert_eq!(found.next, NO_PAGE);
    }

    #[test]
    fn a_full_slot_says_where_to_go_on() {
        let (mut partition, mut dirty) = started(400);
        partition.write(0, &[7; 65 * PAGE]).unwrap();
        for page in 0..40 {
            partition.write((100 + 2 * page) * PAGE_U64, &[1]).unwrap();
        }
        flip(&mut dirty, &mut partition, 0);
        let first = gather(&mut dirty, &partition, 0);
        assert_eq!(first.runs, [run(0, 64, false)]);
        assert_eq!(first.next, 64);
        let second = gather(&mut dirty, &partition, first.next);
        assert_eq!(second.runs.len(), SLOT_RUNS_MAX);
        assert_eq!(second.next, 100 + 2 * 31);
        let third = gather(&mut dirty, &partition, second.next);
        assert_eq!((third.runs.len(), third.next), (9, NO_PAGE));
    }

    #[test]
    fn a_write_of_the_cpu_is_found_by_content_and_only_once() {
        let (mut partition, mut dirty) = started(16);
        let bar = 8 * PAGE_U64;
        flip(&mut dirty, &mut partition, bar);
        partition.file().write(3 * PAGE_U64, &[1]).unwrap();
        partition.file().write(9 * PAGE_U64, &[1]).unwrap(); // beyond the aperture
        assert_eq!(dirty.compare(&partition, bar).unwrap().byte_count, PAGE_U64);
        assert_eq!(flip(&mut dirty, &mut partition, bar), 1);
        let found = gather(&mut dirty, &partition, 0);
        assert_eq!(found.runs, [run(3, 1, false)]);
        dirty.settle(&found.runs);
        assert_eq!(flip(&mut dirty, &mut partition, bar), 0);
        // Back to zeros is a change too, whether the page stays or goes.
        partition.file().write(3 * PAGE_U64, &[0]).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, bar), 1);
        let found = gather(&mut dirty, &partition, 0);
        assert_eq!(found.runs, [run(3, 1, true)]);
        dirty.settle(&found.runs);
        assert_eq!(flip(&mut dirty, &mut partition, bar), 0);
    }

    #[test]
    fn a_page_that_was_gathered_and_punched_by_the_cpu_is_taken() {
        let (mut partition, mut dirty) = started(4);
        partition.write(PAGE_U64, &[5]).unwrap();
        flip(&mut dirty, &mut partition, 4 * PAGE_U64);
        let found = gather(&mut dirty, &partition, 0);
        dirty.settle(&found.runs);
        partition.file().zero(PAGE_U64, PAGE_U64).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, 4 * PAGE_U64), 1);
    }

    #[test]
    fn a_log_that_is_started_again_has_what_was_in_it() {
        let (mut partition, mut dirty) = started(8);
        partition.write(0, &[1; 4 * PAGE]).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, 0), 4);
        dirty.settle(&[run(0, 2, false)]);
        // Two are holes again, one of which is in a log of its own.
        partition.file().zero(0, PAGE_U64).unwrap();
        partition.zero(3 * PAGE_U64, PAGE_U64).unwrap();
        dirty.start(&mut partition).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, 0), 4);
        dirty.stop(&mut partition);
        dirty.start(&mut partition).unwrap();
        // That the CPU has made a hole of one is not known: it counts as data.
        assert_eq!(flip(&mut dirty, &mut partition, 0), 3);
    }

    #[test]
    fn what_was_not_gathered_is_in_the_next_log_too() {
        let (mut partition, mut dirty) = started(4);
        partition.write(0, &[1; 3 * PAGE]).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, 0), 3);
        dirty.settle(&[run(1, 1, false)]);
        partition.write(PAGE_U64 * 3, &[1]).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, 0), 3);
        let found = gather(&mut dirty, &partition, 0);
        assert_eq!(found.runs, [run(0, 1, false), run(2, 2, false)]);
        // What was gathered, written again and not gathered again is still to do.
        dirty.settle(&found.runs);
        partition.write(0, &[2]).unwrap();
        assert_eq!(flip(&mut dirty, &mut partition, 0), 1);
        assert_eq!(flip(&mut dirty, &mut partition, 0), 1);
    }

    #[test]
    fn looking_at_holes_makes_no_memory_of_them() {
        let (mut partition, mut dirty) = started(1 << 20);
        partition.zero(0, 1 << 32).unwrap();
        flip(&mut dirty, &mut partition, 1 << 32);
        let found = gather(&mut dirty, &partition, 0);
        assert_eq!(found.runs, [run(0, 1 << 20, true)]);
        assert_eq!(partition.file().data_from(0).unwrap(), None);
    }
}
