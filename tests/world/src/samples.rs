//! How many instructions a vGPU had run at which time.

use std::collections::VecDeque;

/// Samples that are kept: a second of virtual time.
const SAMPLES_MAX: usize = 4096;

/// A record of progress over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    samples: VecDeque<(u64, u64)>,
}

impl Samples {
    /// Notes progress.
    pub(crate) fn note(&mut self, now_ns: u64, instructions: u64) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now_ns, instructions));
    }

    /// The progress at the last sample that is not after a time.
    fn at(&self, time_ns: u64) -> Option<(u64, u64)> {
        self.samples.iter().rev().find(|(at, _)| *at <= time_ns).copied()
    }

    /// Instructions a second between two times, if both lie in what is kept.
    pub(crate) fn rate(&self, from_ns: u64, to_ns: u64) -> Option<u64> {
        let ((from_ns, from), (to_ns, to)) = (self.at(from_ns)?, self.at(to_ns)?);
        if to_ns <= from_ns {
            return None;
        }
        let rate = u128::from(to - from) * 1_000_000_000 / u128::from(to_ns - from_ns);
        u64::try_from(rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_progress_over_time() {
        let mut samples = Samples::default();
        for ms in 0..10 {
            samples.note(ms * 1_000_000, ms * 500);
        }
        assert_eq!(samples.rate(2_000_000, 6_000_000), Some(500_000));
        assert_eq!(samples.rate(2_000_000, 2_000_000), None);
    }
}
