//! Multiplies an array of words by a factor.
//!
//! Arguments: address of the input, address of the output, number of words,
//! factor.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use godwit_kit::{Thread, kernel};

kernel!(scale);

fn scale(cx: &Thread, [input, output, length, factor]: [u64; 4]) {
    // SAFETY: the launch gives `length` words of input, which are data.
    let input: &[AtomicU32] = unsafe { cx.framebuffer(input, length as usize) };
    // SAFETY: and as many for the output.
    let output: &[AtomicU32] = unsafe { cx.framebuffer(output, length as usize) };

    let own = input
        .iter()
        .zip(output)
        .skip(cx.index())
        .step_by(cx.count());
    for (word, result) in own {
        result.store(word.load(Relaxed).wrapping_mul(factor as u32), Relaxed);
    }
}
