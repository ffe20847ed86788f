//! What the template leaves out: statics with and without a value, constants,
//! shared memory and the barrier. One block.
//!
//! Argument: address of three words for each thread.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use godwit_kit::{Thread, kernel};

static WITH_VALUE: AtomicU32 = AtomicU32::new(100);
static ZEROED: [AtomicU32; 300] = [const { AtomicU32::new(0) }; 300];
static SQUARES: [u32; 4] = [0, 1, 4, 9];

kernel!(statics);

fn statics(cx: &Thread, [output]: [u64; 1]) {
    // SAFETY: the launch gives three words for each thread.
    let output: &[AtomicU32] = unsafe { cx.framebuffer(output, 3 * cx.count()) };
    // SAFETY: the launch gives a word of shared memory for each thread.
    let shared: &[AtomicU32] = unsafe { cx.shared(0, cx.block_size()) };
    let own = cx.index_in_block();

    shared[own].store(SQUARES[own], Relaxed);
    WITH_VALUE.fetch_add(1, Relaxed);
    ZEROED[299].fetch_add(1, Relaxed);
    cx.barrier();
    let words = [
        &shared[(own + 1) % cx.block_size()],
        &WITH_VALUE,
        &ZEROED[299],
    ];
    for (result, word) in output[3 * own..].iter().zip(words) {
        result.store(word.load(Relaxed), Relaxed);
    }
}
