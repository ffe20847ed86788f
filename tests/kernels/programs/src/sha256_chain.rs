//! Iterated SHA-256: each thread hashes its own 32 bytes again and again.
//!
//! Arguments: address of the seeds, address of the digests (32 bytes a thread
//! each), iterations.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use godwit_kit::{Thread, kernel};

kernel!(sha256_chain);

/// Words of a digest.
const DIGEST_WORDS: usize = 8;

/// State before the first block (FIPS 180-4, 5.3.3).
const INITIAL: [u32; DIGEST_WORDS] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Round constants (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
const ROUND: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
    0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe,
    0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f,
    0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da, 0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
    0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc,
    0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
    0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070, 0x19a4_c116,
    0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
    0xc671_78f2,
];

fn sha256_chain(cx: &Thread, [seeds, digests, iterations]: [u64; 3]) {
    let words = cx.count() * DIGEST_WORDS;
    // SAFETY: the launch gives 32 bytes of seed a thread, which are data.
    let seeds: &[AtomicU32] = unsafe { cx.framebuffer(seeds, words) };
    // SAFETY: and as many for the digests.
    let digests: &[AtomicU32] = unsafe { cx.framebuffer(digests, words) };
    let own = cx.index() * DIGEST_WORDS..(cx.index() + 1) * DIGEST_WORDS;

    let mut digest = [0; DIGEST_WORDS];
    for (word, cell) in digest.iter_mut().zip(&seeds[own.clone()]) {
        *word = u32::from_be(cell.load(Relaxed));
    }
    for _ in 0..iterations {
        digest = sha256_of_digest(&digest);
    }
    for (word, cell) in digest.iter().zip(&digests[own]) {
        cell.store(word.to_be(), Relaxed);
    }
}

/// SHA-256 of 32 bytes, which fit one block with their padding.
fn sha256_of_digest(digest: &[u32; DIGEST_WORDS]) -> [u32; DIGEST_WORDS] {
    let mut schedule = [0; 64];
    schedule[..DIGEST_WORDS].copy_from_slice(digest);
    schedule[DIGEST_WORDS] = 0x8000_0000;
    schedule[15] = 256; // length of the message in bits
    for t in 16..64 {
        let (w2, w15): (u32, u32) = (schedule[t - 2], schedule[t - 15]);
        let s0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ (w15 >> 3);
        let s1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ (w2 >> 10);
        schedule[t] =
            s1.wrapping_add(schedule[t - 7]).wrapping_add(s0).wrapping_add(schedule[t - 16]);
    }
    compress(&schedule)
}

/// The 64 rounds on the initial state (FIPS 180-4, 6.2.2).
fn compress(schedule: &[u32; 64]) -> [u32; DIGEST_WORDS] {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = INITIAL;
    for (k, w) in ROUND.iter().zip(schedule) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(*k).wrapping_add(*w);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let t2 = s0.wrapping_add(majority);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    let mut state = [a, b, c, d, e, f, g, h];
    for (word, initial) in state.iter_mut().zip(INITIAL) {
        *word = word.wrapping_add(initial);
    }
    state
}
