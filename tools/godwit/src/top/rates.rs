//! What happened to a vGPU of late: what was measured now, without what was measured a while ago.

use crate::ctl::{Quantile, quantile};
use godwit_control::{Bucket, Histogram, VgpuStats};
use std::collections::VecDeque;
use std::time::Duration;

/// How far back "of late" goes.
const WINDOW: Duration = Duration::from_secs(10);
/// Looks that are kept, at most.
const LOOKS_MAX: usize = 32;

#[derive(Clone, Debug)]
struct Look {
    at: Duration,
    slices: Histogram,
    preemptions: Histogram,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// The oldest first.
    looks: VecDeque<Look>,
}

/// What was measured of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Recent {
    /// So many a second.
    pub(super) per_second: f64,
    /// Half of them took so long at most.
    pub(super) median: Option<Quantile>,
    /// 99 of 100 did.
    pub(super) p99: Option<Quantile>,
}

impl Rates {
    /// Takes in what was measured by now.
    pub(super) fn take(&mut self, stats: &VgpuStats, at: Duration) {
        let look =
            Look { at, slices: stats.slices.clone(), preemptions: stats.preemptions.clone() };
        let is_anew = self.looks.back().is_some_and(|last| {
            look.slices.count < last.slices.count || look.preemptions.count < last.preemptions.count
        });
        if is_anew {
            self.looks.clear();
        }
        self.looks.push_back(look);
        // One that is just too old is where the window begins.
        while self.looks.len() > LOOKS_MAX
            || self.looks.get(1).is_some_and(|second| at.saturating_sub(second.at) >= WINDOW)
        {
            self.looks.pop_front();
        }
    }

    /// Its slices.
    pub(super) fn slices(&self) -> Recent {
        self.recent(|look| &look.slices)
    }

    /// Its preemptions.
    pub(super) fn preemptions(&self) -> Recent {
        self.recent(|look| &look.preemptions)
    }

    fn recent(&self, of: fn(&Look) -> &Histogram) -> Recent {
        let (Some(first), Some(last)) = (self.looks.front(), self.looks.back()) else {
            return Recent::default();
        };
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Recent::default();
        }
        let recent = without(of(last), of(first));
        Recent {
            per_second: recent.count as f64 / seconds,
            median: quantile(&recent, 50),
            p99: quantile(&recent, 99),
        }
    }
}

/// What was measured since `before`.
fn without(now: &Histogram, before: &Histogram) -> Histogram {
    let buckets = now.buckets.iter().map(|bucket| {
        let old = before.buckets.iter().find(|old| old.le_ns == bucket.le_ns);
        let old = old.map_or(0, |old| old.count);
        Bucket { le_ns: bucket.le_ns, count: bucket.count.saturating_sub(old) }
    });
    Histogram {
        buckets: buckets.collect(),
        count: now.count.saturating_sub(before.count),
        sum_ns: now.sum_ns.saturating_sub(before.sum_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many slices of at most 1 ms, and of at most 2 ms.
    fn stats(short: u64, long: u64) -> VgpuStats {
        let count = short + long;
        let bucket = |le_ns, count| Bucket { le_ns, count };
        let buckets = vec![bucket(1_000_000, short), bucket(2_000_000, count)];
        let slices = Histogram { buckets, count, sum_ns: 0 };
        VgpuStats { slices, ..VgpuStats::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_look_says_nothing_of_late() {
        let mut rates = Rates::default();
        assert_eq!(rates.slices(), Recent::default());
        rates.take(&stats(1_000, 0), seconds(5));
        assert_eq!(rates.slices(), Recent::default());
        rates.take(&stats(2_000, 0), seconds(5));
        assert_eq!(rates.slices(), Recent::default());
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut rates = Rates::default();
        rates.take(&stats(1_000_000, 0), seconds(0));
        for second in 1..=30 {
            rates.take(&stats(1_000_000, second * 400), seconds(second));
        }
        let slices = rates.slices();
        assert_eq!(slices.per_second, 400.0);
        assert_eq!(slices.median, Some(Quantile::AtMost(2_000_000)));
        assert_eq!(slices.p99, slices.median);
        assert_eq!(rates.preemptions().per_second, 0.0);
        assert_eq!(rates.looks.len(), 11);
    }

    #[test]
    fn after_a_pause_the_window_is_as_long_as_the_pause() {
        let mut rates = Rates::default();
        rates.take(&stats(0, 0), seconds(0));
        rates.take(&stats(100, 0), seconds(100));
        assert_eq!(rates.slices().per_second, 1.0);
        assert_eq!(rates.slices().median, Some(Quantile::AtMost(1_000_000)));
    }

    #[test]
    fn counts_that_begin_anew_begin_anew() {
        let mut rates = Rates::default();
        rates.take(&stats(1_000, 0), seconds(1));
        rates.take(&stats(2_000, 0), seconds(2));
        assert_eq!(rates.slices().per_second, 1_000.0);
        rates.take(&stats(10, 0), seconds(3));
        assert_eq!(rates.slices(), Recent::default());
        rates.take(&stats(15, 0), seconds(4));
        assert_eq!(rates.slices().per_second, 5.0);
    }

    #[test]
    fn looks_are_bounded_whatever_the_clock_does() {
        let mut rates = Rates::default();
        for count in 0..100 {
            rates.take(&stats(count, 0), seconds(1));
        }
        assert_eq!(rates.looks.len(), LOOKS_MAX);
    }
}
