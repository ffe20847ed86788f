//! The log of which guest memory a vGPU has written.

use godwit_types::PAGE_BYTES;

/// Ranges of one log.
pub const DMA_LOG_RANGES_MAX: usize = 64;
/// The largest page of a log, and of a report.
pub const LOG_PAGE_BYTES_MAX: u64 = 1 << 30;
/// Pages of one log, so that it takes 4 MiB at most: 128 GiB by pages of 4 KiB.
const PAGES_MAX: u64 = 1 << 25;

/// Bus addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRange {
    /// The first.
    pub iova: u64,
    /// How many.
    pub byte_count: u64,
}

/// Why a log cannot be started or reported. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaLogError {
    /// There is no such vGPU.
    #[error("there is no such vGPU")]
    NoVgpu,
    /// A log is kept already.
    #[error("writes are logged already: stop that first")]
    Started,
    /// None is kept.
    #[error("writes are not logged")]
    NotStarted,
    /// A size that no page has.
    #[error("a page of {0:#x} bytes is impossible: it has a power of two, 4 KiB to 1 GiB")]
    Page(u64),
    /// No ranges, or more than there may be.
    #[error("{0} ranges are impossible: a log has 1 to {DMA_LOG_RANGES_MAX}")]
    Ranges(usize),
    /// A range that is empty, not of whole pages, or past the last address.
    #[error(
        "{byte_count:#x} bytes from bus address {iova:#x} on are no range of a log: it has whole \
         pages of {page_bytes:#x} bytes, at least one, and ends within 64 bits"
    )]
    Range {
        /// First address.
        iova: u64,
        /// Length in bytes.
        byte_count: u64,
        /// The page.
        page_bytes: u64,
    },
    /// Two ranges share addresses.
    #[error("the ranges at {0:#x} and {1:#x} overlap")]
    Overlap(u64, u64),
    /// Too much memory for one log even by the largest page.
    #[error("the ranges have more than 2^55 bytes")]
    TooLarge,
    /// What is asked for is not logged.
    #[error("{byte_count:#x} bytes from bus address {iova:#x} on are not all logged")]
    NotLogged {
        /// First address.
        iova: u64,
        /// Length in bytes.
        byte_count: u64,
    },
    /// The bitmap has no room.
    #[error("the bitmap has {found} bytes, and the report needs {needed}")]
    Bitmap {
        /// Bytes that it has.
        found: u64,
        /// Bytes that it must have.
        needed: u64,
    },
}

/// One range, with a bit for each page.
#[derive(Debug)]
struct Part {
    iova: u64,
    byte_count: u64,
    pages: Vec<u64>,
}

/// The log of one vGPU.
#[derive(Debug)]
pub(crate) struct Log {
    page_bytes: u64,
    /// In the order of their addresses.
    parts: Vec<Part>,
}

/// Checks what is said of a page.
fn check_page(page_bytes: u64) -> Result<(), DmaLogError> {
    let sizes = u64::from(PAGE_BYTES)..=LOG_PAGE_BYTES_MAX;
    if page_bytes.is_power_of_two() && sizes.contains(&page_bytes) {
        return Ok(());
    }
    Err(DmaLogError::Page(page_bytes))
}

fn check_range(range: DmaRange, page_bytes: u64) -> Result<(), DmaLogError> {
    let DmaRange { iova, byte_count } = range;
    let whole = iova.is_multiple_of(page_bytes) && byte_count.is_multiple_of(page_bytes);
    if whole && byte_count != 0 && iova.checked_add(byte_count).is_some() {
        return Ok(());
    }
    Err(DmaLogError::Range { iova, byte_count, page_bytes })
}

impl Log {
    /// A log of nothing written.
    pub(crate) fn start(ranges: &[DmaRange], page_bytes: u64) -> Result<Self, DmaLogError> {
        check_page(page_bytes)?;
        if ranges.is_empty() || ranges.len() > DMA_LOG_RANGES_MAX {
            return Err(DmaLogError::Ranges(ranges.len()));
        }
        let mut ranges = ranges.to_vec();
        ranges.sort_unstable_by_key(|range| range.iova);
        for range in &ranges {
            check_range(*range, page_bytes)?;
        }
        for pair in ranges.windows(2) {
            if pair[0].iova + pair[0].byte_count > pair[1].iova {
                return Err(DmaLogError::Overlap(pair[0].iova, pair[1].iova));
            }
        }
        let pages = |page_bytes: u64| -> u128 {
            let of =
                |range: &DmaRange| u128::from(page_count(range.iova, range.byte_count, page_bytes));
            ranges.iter().map(of).sum()
        };
        let mut page_bytes = page_bytes;
        while pages(page_bytes) > u128::from(PAGES_MAX) {
            page_bytes *= 2;
            if page_bytes > LOG_PAGE_BYTES_MAX {
                return Err(DmaLogError::TooLarge);
            }
        }
        let part = |range: &DmaRange| {
            let &DmaRange { iova, byte_count } = range;
            let words = page_count(iova, byte_count, page_bytes).div_ceil(64);
            Part { iova, byte_count, pages: vec![0; words as usize] }
        };
        Ok(Self { page_bytes, parts: ranges.iter().map(part).collect() })
    }

    /// Bytes of a page, which may be more than were asked for.
    pub(crate) fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// What is logged, in the order of its addresses.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = DmaRange> {
        self.parts.iter().map(|&Part { iova, byte_count, .. }| DmaRange { iova, byte_count })
    }

    /// Notes a write.
    pub(crate) fn mark(&mut self, iova: u64, byte_count: u64) {
        let page_bytes = self.page_bytes;
        for part in &mut self.parts {
            let first = iova.max(part.iova);
            let end = (iova + byte_count).min(part.iova + part.byte_count);
            if first < end {
                part.set(first..end, page_bytes);
            }
        }
    }

    /// Nobody knows any more what was written: it may be all.
    pub(crate) fn lose(&mut self) {
        for part in &mut self.parts {
            part.pages.fill(u64::MAX);
        }
    }

    /// Sets the bits of pages that were written since they were reported last, and clears the log
    /// of them. A page of the log that is asked for in part stays in it.
    pub(crate) fn report(
        &mut self,
        range: DmaRange,
        page_bytes: u64,
        bitmap: &mut [u8],
    ) -> Result<(), DmaLogError> {
        check_page(page_bytes)?;
        check_range(range, page_bytes)?;
        let DmaRange { iova, byte_count } = range;
        let needed = (byte_count / page_bytes).div_ceil(8);
        if (bitmap.len() as u64) < needed {
            return Err(DmaLogError::Bitmap { found: bitmap.len() as u64, needed });
        }
        let end = iova + byte_count;
        let logged = |part: &Part| {
            let (first, last) = (iova.max(part.iova), end.min(part.iova + part.byte_count));
            last.saturating_sub(first)
        };
        if self.parts.iter().map(logged).sum::<u64>() != byte_count {
            return Err(DmaLogError::NotLogged { iova, byte_count });
        }
        for part in &mut self.parts {
            part.take(iova..end, self.page_bytes, |written| {
                let first = (written.start - iova) / page_bytes;
                let last = (written.end - 1 - iova) / page_bytes;
                for page in first..=last {
                    bitmap[(page / 8) as usize] |= 1 << (page % 8);
                }
            });
        }
        Ok(())
    }
}

/// Pages that a range is in.
fn page_count(iova: u64, byte_count: u64, page_bytes: u64) -> u64 {
    (iova + byte_count - 1) / page_bytes - iova / page_bytes + 1
}

impl Part {
    /// Marks the pages of a range that lies in it.
    fn set(&mut self, range: std::ops::Range<u64>, page_bytes: u64) {
        let base = self.iova / page_bytes;
        for page in range.start / page_bytes - base..=(range.end - 1) / page_bytes - base {
            self.pages[(page / 64) as usize] |= 1 << (page % 64);
        }
    }

    /// Tells of what was written in its share of a range, page by page, and forgets it.
    fn take(
        &mut self,
        range: std::ops::Range<u64>,
        page_bytes: u64,
        mut tell: impl FnMut(std::ops::Range<u64>),
    ) {
        let end = self.iova + self.byte_count;
        let wanted = range.start.max(self.iova)..range.end.min(end);
        if wanted.is_empty() {
            return;
        }
        let base = self.iova / page_bytes;
        let mut page = wanted.start / page_bytes - base;
        let last = (wanted.end - 1) / page_bytes - base;
        while page <= last {
            let word = &mut self.pages[(page / 64) as usize];
            if *word >> (page % 64) == 0 {
                page = (page / 64 + 1) * 64;
                continue;
            }
            if *word >> (page % 64) & 1 != 0 {
                let bytes = (base + page) * page_bytes;
                // What of the page is logged, and what of that is asked for.
                let logged = bytes.max(self.iova)..bytes.saturating_add(page_bytes).min(end);
                let asked = logged.start.max(wanted.start)..logged.end.min(wanted.end);
                if asked == logged {
                    *word &= !(1 << (page % 64));
                }
                tell(asked);
            }
            page += 1;
        }
    }
}
