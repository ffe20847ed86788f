//! How often something took how long.

use godwit_control::{Bucket, Histogram};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// Bounds of slices. Who has more work has the engine for a turn, by default 2 ms and 30 ms at most
/// (`SLICE_NS_MAX`), or for two where short ones were put together; who has little leaves after
/// some tens of microseconds.
const SLICES: &[u64] = &[
    50 * US,
    100 * US,
    200 * US,
    500 * US,
    MS,
    2 * MS,
    3 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    30 * MS,
    60 * MS,
];

/// Bounds of preemptions: between two instructions an engine lets go within microseconds and then
/// saves its context, at the end of a thread block within milliseconds, and who waits for the work
/// in flight may wait until the stop is given up, after 640 ms by default.
const PREEMPTIONS: &[u64] = &[
    US,
    2 * US,
    5 * US,
    10 * US,
    20 * US,
    50 * US,
    100 * US,
    200 * US,
    500 * US,
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    50 * MS,
    100 * MS,
    640 * MS,
    S,
];

/// Bounds of blackouts: beside round ones 300 ms, which QEMU is content with by default, and 750
/// ms, which WDDM asks of a GPU's driver.
const BLACKOUTS: &[u64] = &[
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    50 * MS,
    100 * MS,
    200 * MS,
    300 * MS,
    500 * MS,
    750 * MS,
    S,
    2 * S,
    5 * S,
    10 * S,
    30 * S,
];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    bounds: &'static [u64],
    /// How many are at most as long as a bound and longer than the one before; the last are longer
    /// than all.
    counts: Vec<u64>,
    sum_ns: u64,
}

impl Lengths {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum_ns: 0 }
    }

    pub(super) fn of_slices() -> Self {
        Self::new(SLICES)
    }

    pub(super) fn of_preemptions() -> Self {
        Self::new(PREEMPTIONS)
    }

    pub(super) fn of_blackouts() -> Self {
        Self::new(BLACKOUTS)
    }

    pub(super) fn add(&mut self, ns: u64) {
        let at = self.bounds.partition_point(|bound| *bound < ns);
        self.counts[at] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// As it is told: each count with those before.
    pub(super) fn status(&self) -> Histogram {
        let mut count = 0;
        let buckets = self.bounds.iter().zip(&self.counts).map(|(le_ns, more)| {
            count += more;
            Bucket { le_ns: *le_ns, count }
        });
        let buckets = buckets.collect();
        Histogram { buckets, count: self.counts.iter().sum(), sum_ns: self.sum_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_types::SLICE_NS_MAX;

    #[test]
    fn a_length_is_counted_with_every_bound_that_it_does_not_pass() {
        let mut lengths = Lengths::of_slices();
        for ns in [0, 50 * US, 50 * US + 1, 2 * MS, 60 * MS, 60 * MS + 1] {
            lengths.add(ns);
        }
        let Histogram { buckets, count, sum_ns } = lengths.status();
        let counts: Vec<u64> = buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!((count, sum_ns), (6, 122 * MS + 100 * US + 2));
    }

    #[test]
    fn bounds_grow_and_reach_as_far_as_what_they_are_for() {
        for bounds in [SLICES, PREEMPTIONS, BLACKOUTS] {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        }
        assert_eq!(SLICES.last(), Some(&(2 * SLICE_NS_MAX)));
        assert!(SLICES.contains(&SLICE_NS_MAX));
        assert_eq!((PREEMPTIONS.first(), PREEMPTIONS.last()), (Some(&US), Some(&S)));
    }

    #[test]
    fn a_sum_that_is_full_stays() {
        let mut lengths = Lengths::of_blackouts();
        lengths.add(u64::MAX);
        lengths.add(1);
        assert_eq!((lengths.status().sum_ns, lengths.status().count), (u64::MAX, 2));
    }
}
