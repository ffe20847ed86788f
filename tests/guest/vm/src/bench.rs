//! How fast the aperture is, beside ordinary memory of the guest's: the same loops over both.

use crate::linux::Linux;
use anyhow::Result;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use vm_memory::{MmapRegion, VolatileMemory as _};

/// Bytes that a loop goes through.
const BYTES: usize = 8 << 20;
/// Repetitions of each loop, over both in turn.
const REPEATS: usize = 15;

/// What came out: how fast the aperture is as a part of how fast memory is, by the medians.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bench {
    /// Loops that read words of 64 bits.
    pub read_ratio: f64,
    /// Loops that write them.
    pub write_ratio: f64,
    /// Loops that copy them within.
    pub copy_ratio: f64,
}

type Loop = fn(&MmapRegion) -> u64;

fn words(region: &MmapRegion) -> impl Iterator<Item = &AtomicU64> {
    (0..BYTES / 8).filter_map(|at| region.get_atomic_ref::<AtomicU64>(at * 8).ok())
}

fn read(region: &MmapRegion) -> u64 {
    words(region).fold(0, |sum, word| sum.wrapping_add(word.load(Ordering::Relaxed)))
}

fn write(region: &MmapRegion) -> u64 {
    words(region).zip(0..).for_each(|(word, at)| word.store(at, Ordering::Relaxed));
    0
}

fn copy(region: &MmapRegion) -> u64 {
    let half = BYTES / 16;
    for (from, to) in words(region).take(half).zip(words(region).skip(half)) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    0
}

fn nanos(region: &MmapRegion, work: Loop) -> f64 {
    let began = Instant::now();
    std::hint::black_box(work(region));
    began.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Measures.
///
/// # Errors
///
/// When there is no memory.
pub fn bench(device: &Linux) -> Result<Bench> {
    let memory = MmapRegion::new(BYTES)?;
    let ratio = |work: Loop| {
        let mut times = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            times.0.push(nanos(&memory, work));
            times.1.push(nanos(&device.bar2, work));
        }
        median(times.0) / median(times.1)
    };
    // Both are there, page by page, before anything is measured.
    write(&memory);
    write(&device.bar2);
    Ok(Bench { read_ratio: ratio(read), write_ratio: ratio(write), copy_ratio: ratio(copy) })
}
