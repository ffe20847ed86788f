//! The job of `spinner`.

use crate::job::{STACK_BYTES, grid_of};
use crate::{Job, SPINNER, layout::Layout};

impl Job {
    /// One block of threads that count for ever, each storing its count in its
    /// own 64-bit word of the output every 1,024 turns.
    ///
    /// # Panics
    ///
    /// When `threads` is 0.
    pub fn spinner(threads: u32) -> Self {
        let counters = vec![0; threads as usize * 8];
        let mut layout = Layout::new();
        let counters_at = layout.place(counters.len());
        Self {
            name: "spinner",
            elf: SPINNER,
            grid: grid_of(threads, threads),
            block: threads,
            shared_bytes: 0,
            stack_bytes: STACK_BYTES,
            args: vec![counters_at],
            expected: Vec::new(),
            output: counters_at..counters_at + counters.len() as u64,
            inputs: vec![(counters_at, counters)],
        }
    }
}
