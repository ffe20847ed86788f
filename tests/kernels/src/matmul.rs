//! The job of `matmul`.

use crate::job::{STACK_BYTES, random_bytes};
use crate::{Job, MATMUL, layout::Layout};

/// Bytes of an element.
const WORD: usize = 4;

impl Job {
    /// The product of two random `n` × `n` matrices, in tiles of `tile` × `tile`.
    ///
    /// A block has `tile`² threads. About 11 n³ instructions for large matrices
    /// and tiles, half as many again for small ones.
    ///
    /// # Panics
    ///
    /// When `tile` is 0 or `n` is no multiple of it.
    pub fn matmul(seed: u64, n: u32, tile: u32) -> Self {
        assert!(tile > 0 && n > 0, "a matrix has an element, a tile has one too");
        assert!(n.is_multiple_of(tile), "tiles of {tile} do not fill a side of {n}");
        let elements = n as usize * n as usize;
        let (a, b) = matrices(seed, elements);
        let mut layout = Layout::new();
        let [a_at, b_at, c_at] = [(); 3].map(|()| layout.place(elements * WORD));
        Self {
            name: "matmul",
            elf: MATMUL,
            grid: (n / tile).pow(2),
            block: tile.pow(2),
            shared_bytes: 2 * tile.pow(2) * WORD as u32,
            stack_bytes: STACK_BYTES,
            args: vec![a_at, b_at, c_at, n.into(), tile.into()],
            expected: bytes_of(&product(&a, &b, n as usize)),
            output: c_at..c_at + (elements * WORD) as u64,
            inputs: vec![(a_at, bytes_of(&a)), (b_at, bytes_of(&b))],
        }
    }
}

fn matrices(seed: u64, elements: usize) -> (Vec<u32>, Vec<u32>) {
    let mut words: Vec<u32> = random_bytes(seed, 2 * elements * WORD)
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    let b = words.split_off(elements);
    (words, b)
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn product(a: &[u32], b: &[u32], n: usize) -> Vec<u32> {
    let mut c = vec![0_u32; n * n];
    for (row_a, row_c) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
        for (x, row_b) in row_a.iter().zip(b.chunks_exact(n)) {
            for (sum, y) in row_c.iter_mut().zip(row_b) {
                *sum = sum.wrapping_add(x.wrapping_mul(*y));
            }
        }
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_is_rows_times_columns() {
        assert_eq!(product(&[1, 2, 3, 4], &[5, 6, 7, 8], 2), [19, 22, 43, 50]);
    }
}
