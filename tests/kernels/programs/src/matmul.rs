//! Matrix product C = A × B of wrapping 32-bit integers, tile by tile.
//!
//! Arguments: addresses of A, B and C (rows of `n` words), `n`, side of a tile.
//! A block computes one tile of C, a thread one element of it: a block has
//! `tile`² threads, the grid (`n` / `tile`)² blocks, and shared memory two tiles.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use godwit_kit::{Thread, kernel};

kernel!(matmul);

fn matmul(cx: &Thread, [a, b, c, n, tile]: [u64; 5]) {
    let (n, tile) = (n as usize, tile as usize);
    assert!(tile * tile == cx.block_size() && n.is_multiple_of(tile));
    // SAFETY: the launch gives n² words for A, which are data.
    let a: &[AtomicU32] = unsafe { cx.framebuffer(a, n * n) };
    // SAFETY: and for B.
    let b: &[AtomicU32] = unsafe { cx.framebuffer(b, n * n) };
    // SAFETY: and for C.
    let c: &[AtomicU32] = unsafe { cx.framebuffer(c, n * n) };
    // SAFETY: the launch provides shared memory for two tiles; this is the first.
    let tile_a: &[AtomicU32] = unsafe { cx.shared(0, tile * tile) };
    // SAFETY: and this the second.
    let tile_b: &[AtomicU32] = unsafe { cx.shared(size_of_val(tile_a), tile * tile) };

    let tiles = n / tile;
    let own = cx.index_in_block();
    let (y, x) = (own / tile, own % tile);
    let row = cx.block() / tiles * tile + y;
    let column = cx.block() % tiles * tile + x;
    let row_a = &tile_a[y * tile..][..tile];
    let column_b = &tile_b[x * tile..][..tile];

    let mut sum = 0_u32;
    for first in (0..n).step_by(tile) {
        tile_a[own].store(a[row * n + first + x].load(Relaxed), Relaxed);
        // Turned, so that a column of B is a row of its tile.
        tile_b[x * tile + y].store(b[(first + y) * n + column].load(Relaxed), Relaxed);
        cx.barrier(); // both tiles are complete
        for (a, b) in row_a.iter().zip(column_b) {
            sum = sum.wrapping_add(a.load(Relaxed).wrapping_mul(b.load(Relaxed)));
        }
        cx.barrier(); // nobody needs the tiles any more
    }
    c[row * n + column].store(sum, Relaxed);
}
