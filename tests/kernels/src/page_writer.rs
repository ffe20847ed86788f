//! The job of `page_writer`.

use crate::job::{STACK_BYTES, grid_of};
use crate::{Job, PAGE_WRITER, layout::Layout};

/// Bytes of a page.
const PAGE: u64 = 4096;

impl Job {
    /// One block of threads that write a word to each of `pages` pages, `rounds` times over: about
    /// 8 instructions a page and round. Nothing dirties pages faster.
    ///
    /// The output is a sum for each thread. The pages begin at the end of it, rounded up to a page.
    ///
    /// # Panics
    ///
    /// When `threads` is 0.
    pub fn page_writer(pages: u32, threads: u32, rounds: u64) -> Self {
        let sums = vec![0; threads as usize * 8];
        let mut layout = Layout::new();
        let sums_at = layout.place(sums.len());
        let range_at = layout.place(0);
        Self {
            name: "page_writer",
            elf: PAGE_WRITER,
            grid: grid_of(threads, threads),
            block: threads,
            shared_bytes: 0,
            stack_bytes: STACK_BYTES,
            args: vec![range_at, pages.into(), rounds, sums_at],
            expected: expected(pages, threads, rounds),
            output: sums_at..sums_at + sums.len() as u64,
            inputs: vec![(sums_at, sums)],
        }
    }

    /// The first partition offset behind the pages of a [`Job::page_writer`].
    pub fn page_writer_end(pages: u32, threads: u32) -> u64 {
        let mut layout = Layout::new();
        layout.place(threads as usize * 8);
        layout.place(0) + u64::from(pages) * PAGE
    }
}

fn expected(pages: u32, threads: u32, rounds: u64) -> Vec<u8> {
    // All words have the same history.
    let last = (0..rounds).fold(0_u64, |word, round| {
        word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round)
    });
    let own = |thread: u32| u64::from(pages.saturating_sub(thread).div_ceil(threads));
    (0..threads).flat_map(|thread| last.wrapping_mul(own(thread)).to_le_bytes()).collect()
}
