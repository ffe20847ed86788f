//! The rounds of a machine that has no vGPU: the same computations and the same bytes of memory, to
//! compare with.

use crate::rounds::{COPIES, COPY_BYTES, Round, copied_bytes, kernels};
use anyhow::{Result, ensure};
use std::thread;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub struct Work {
    /// How long a round takes: what is left of it is slept, as a round with a vGPU waits for it.
    round: Duration,
    from: Vec<u8>,
    back: Vec<u8>,
    last: Round,
}

impl Work {
    /// Rounds that take so long at least.
    pub fn new(round: Duration) -> Self {
        let most = COPY_BYTES.into_iter().max().unwrap_or(0) as usize;
        let (from, back) = (vec![0; most], vec![0; most]);
        Self { round, from, back, last: Round::default() }
    }

    /// Does a round.
    ///
    /// # Errors
    ///
    /// When the memory is not what was written.
    pub fn round(&mut self) -> Result<Round> {
        let began = Instant::now();
        self.last.round += 1;
        for job in kernels(self.last.round) {
            std::hint::black_box(job.expected);
            self.last.kernels += 1;
        }
        for number in 0..COPIES {
            let bytes = copied_bytes(self.last.round, number);
            self.from[..bytes.len()].copy_from_slice(&bytes);
            self.back[..bytes.len()].fill(0x5a);
            self.back[..bytes.len()].copy_from_slice(&self.from[..bytes.len()]);
            ensure!(self.back[..bytes.len()] == bytes, "{} bytes are wrong", bytes.len());
            self.last.copies += 1;
            self.last.completions += 1;
        }
        thread::sleep(self.round.saturating_sub(began.elapsed()));
        Ok(self.last.clone())
    }
}
