//! Counts the bytes of an input, and sums a hash over all of them.
//!
//! Arguments: address of the input, its length in bytes, address of 256
//! counters of 32 bits, address of a 64-bit sum, rounds over the input.
//!
//! Counters are raised with `amoadd`, the sum through a compare-exchange loop
//! (LR/SC). Neither result depends on which thread comes first.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use godwit_kit::{Thread, kernel};

kernel!(histogram);

fn histogram(cx: &Thread, [input, length, bins, sum, rounds]: [u64; 5]) {
    // SAFETY: the launch gives `length` bytes of input, which are data.
    let input: &[AtomicU8] = unsafe { cx.framebuffer(input, length as usize) };
    // SAFETY: and a counter for each value of a byte.
    let bins: &[AtomicU32] = unsafe { cx.framebuffer(bins, 256) };
    // SAFETY: and a word for the sum.
    let sum: &[AtomicU64] = unsafe { cx.framebuffer(sum, 1) };

    for round in 0..rounds {
        for (index, byte) in input.iter().enumerate().skip(cx.index()).step_by(cx.count()) {
            let byte = byte.load(Relaxed);
            bins[usize::from(byte)].fetch_add(1, Relaxed);
            add(&sum[0], mix(byte, index as u64, round));
        }
    }
}

/// Adds to a cell as one would without an instruction for it.
fn add(cell: &AtomicU64, value: u64) {
    let mut old = cell.load(Relaxed);
    while let Err(now) = cell.compare_exchange_weak(old, old.wrapping_add(value), Relaxed, Relaxed)
    {
        old = now;
    }
}

/// A 64-bit hash of a byte, where it was seen, and when.
fn mix(byte: u8, index: u64, round: u64) -> u64 {
    let mut x =
        (index << 8 | u64::from(byte)).wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
