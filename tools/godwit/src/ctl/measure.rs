//! What a histogram says.

use crate::units::about_time;
use godwit_control::Histogram;
use std::fmt;

/// How long something took, as far as the bounds of a histogram tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantile {
    /// At most so long, in nanoseconds.
    AtMost(u64),
    /// Longer than the last bound, in nanoseconds.
    Above(u64),
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(ns) => write!(f, "≤ {}", about_time(*ns)),
            Self::Above(ns) => write!(f, "> {}", about_time(*ns)),
        }
    }
}

/// How long the shortest `percent` of what was measured took. `None`: nothing was.
pub(crate) fn quantile(histogram: &Histogram, percent: u8) -> Option<Quantile> {
    let last = histogram.buckets.last()?;
    if histogram.count == 0 {
        return None;
    }
    let wanted = (u128::from(histogram.count) * u128::from(percent)).div_ceil(100);
    let reached = histogram.buckets.iter().find(|bucket| u128::from(bucket.count) >= wanted);
    Some(reached.map_or(Quantile::Above(last.le_ns), |bucket| Quantile::AtMost(bucket.le_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_control::Bucket;

    fn histogram(counts: &[(u64, u64)], count: u64) -> Histogram {
        let buckets = counts.iter().map(|&(le_ns, count)| Bucket { le_ns, count }).collect();
        Histogram { buckets, count, sum_ns: 0 }
    }

    #[test]
    fn a_quantile_is_the_least_bound_that_holds_so_many() {
        let all = histogram(&[(1_000, 50), (2_000, 98), (4_000, 99)], 100);
        assert_eq!(quantile(&all, 50), Some(Quantile::AtMost(1_000)));
        assert_eq!(quantile(&all, 51), Some(Quantile::AtMost(2_000)));
        assert_eq!(quantile(&all, 99), Some(Quantile::AtMost(4_000)));
        assert_eq!(quantile(&all, 100), Some(Quantile::Above(4_000)));
        let one = histogram(&[(1_000, 0), (2_000, 1)], 1);
        assert_eq!(quantile(&one, 50), Some(Quantile::AtMost(2_000)));
    }

    #[test]
    fn nothing_measured_has_none_and_no_figures_break_it() {
        assert_eq!(quantile(&Histogram::default(), 50), None);
        assert_eq!(quantile(&histogram(&[(1_000, 0)], 0), 50), None);
        assert_eq!(quantile(&histogram(&[], u64::MAX), 99), None);
        let odd = histogram(&[(9, u64::MAX), (1, 0)], u64::MAX);
        assert_eq!(quantile(&odd, 99), Some(Quantile::AtMost(9)));
    }
}
