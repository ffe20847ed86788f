//! Writes a word to each page of a range, round after round: as many pages as it can in the time
//! that it has. Each word depends on all that was written to it before.
//!
//! Arguments: address of the range, its pages, rounds over them, address of a 64-bit sum for each
//! thread: of all the words that it has written last.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use godwit_kit::{Thread, kernel};

kernel!(page_writer);

/// Words of a page.
const PAGE_WORDS: usize = 512;

fn page_writer(cx: &Thread, [range, pages, rounds, sums]: [u64; 4]) {
    // SAFETY: the launch gives so many pages, which are data.
    let words: &[AtomicU64] = unsafe { cx.framebuffer(range, pages as usize * PAGE_WORDS) };
    // SAFETY: and a sum for each thread.
    let sums: &[AtomicU64] = unsafe { cx.framebuffer(sums, cx.count()) };

    own(cx, words).for_each(|word| word.store(0, Relaxed));
    for round in 0..rounds {
        for word in own(cx, words) {
            // A linear congruential step (Knuth's MMIX).
            let before = word.load(Relaxed).wrapping_mul(6_364_136_223_846_793_005);
            word.store(before.wrapping_add(round), Relaxed);
        }
    }
    let sum = own(cx, words).fold(0_u64, |sum, word| sum.wrapping_add(word.load(Relaxed)));
    sums[cx.index()].store(sum, Relaxed);
}

/// The first word of each page that is this thread's.
fn own<'a>(cx: &Thread, words: &'a [AtomicU64]) -> impl Iterator<Item = &'a AtomicU64> {
    words.iter().skip(cx.index() * PAGE_WORDS).step_by(cx.count() * PAGE_WORDS)
}
