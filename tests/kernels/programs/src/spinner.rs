//! A kernel that never ends, never waits and never makes room for another.
//!
//! Argument: address of a 64-bit counter for each thread, which tells how far
//! the thread has counted. A counter only ever grows.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use godwit_kit::{Thread, kernel};

kernel!(spinner);

/// Turns between two stores of the counter.
const TURNS_PER_STORE: u64 = 1024;

fn spinner(cx: &Thread, [counters]: [u64; 1]) {
    // SAFETY: the launch gives a counter for each thread, which are data.
    let counters: &[AtomicU64] = unsafe { cx.framebuffer(counters, cx.count()) };
    let own = &counters[cx.index()];
    let mut count = 0_u64;
    loop {
        for _ in 0..TURNS_PER_STORE {
            count = count.wrapping_add(1);
            black_box(()); // keeps the loop a loop
        }
        own.store(count, Relaxed);
    }
}
