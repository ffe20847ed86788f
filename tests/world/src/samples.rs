//! How much a vGPU had done at which time.

use crate::report::Throughput;
use std::collections::VecDeque;

/// Samples that are kept: some seconds of virtual time.
const SAMPLES_MAX: usize = 65_536;

/// A record of progress over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ns: u64,
    instructions: u64,
    copied_bytes: u64,
    /// It had work and was free to do it.
    busy: bool,
}

impl Samples {
    /// Notes progress. `busy`: the vGPU has work and is free to do it.
    pub(crate) fn note(&mut self, at_ns: u64, instructions: u64, copied_bytes: u64, busy: bool) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at_ns, instructions, copied_bytes, busy });
    }

    /// What it did a millisecond between two times; `None` unless it was busy all the time, and
    /// all of it lies in what is kept.
    pub(crate) fn rate(&self, from_ns: u64, to_ns: u64) -> Option<Throughput> {
        let start = self.samples.partition_point(|sample| sample.at_ns <= from_ns);
        let end = self.samples.partition_point(|sample| sample.at_ns <= to_ns);
        let window: Vec<_> = self.samples.range(start.checked_sub(1)?..end).collect();
        let (first, last) = (window.first()?, window.last()?);
        if last.at_ns <= first.at_ns || self.samples.back()?.at_ns < to_ns {
            return None;
        }
        if !window.iter().all(|sample| sample.busy) {
            return None;
        }
        let rate = |done: u64| {
            let rate = u128::from(done) * 1_000_000 / u128::from(last.at_ns - first.at_ns);
            u64::try_from(rate).ok()
        };
        Some(Throughput {
            instructions_per_ms: rate(last.instructions - first.instructions)?,
            copied_bytes_per_ms: rate(last.copied_bytes - first.copied_bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_progress_over_time() {
        let mut samples = Samples::default();
        for ms in 0..10 {
            samples.note(ms * 1_000_000, ms * 500, ms * 7, ms != 8);
        }
        let rate = Throughput { instructions_per_ms: 500, copied_bytes_per_ms: 7 };
        assert_eq!(samples.rate(2_000_000, 6_000_000), Some(rate));
        assert_eq!(samples.rate(2_000_000, 2_000_000), None);
        assert_eq!(samples.rate(2_000_000, 8_000_000), None, "it was idle");
        assert_eq!(samples.rate(2_000_000, 10_000_000), None, "that is not known yet");
    }
}
