//! The core of the compute engine: it runs one kernel launch of one channel.
//!
//! A launch is a grid of thread blocks, run one after the other. The threads of the block in
//! flight are RV64IMAC harts over the partition, run in turns of a fixed number of
//! instructions, so that one launch over the same memory always gives the same bytes. Where
//! the turn stands is part of the state: a launch can be stopped after any instruction,
//! written out, read back elsewhere, and goes on as if it had not been stopped.
//!
//! What a thread starts with: `a0` the address of the arguments, `a1` its index in the grid,
//! `a2` the number of threads in the grid, `a3` the number in a block, `a4` the address of
//! shared memory, `sp` the end of a stack of its own; everything else is 0. `ecall` with `a7`
//! = 93 ends the thread, 1000 waits until every thread of the block waits or has ended.
//! Whatever else traps is a fault, and ends the channel's work.

mod code;
mod context;
mod hart;
mod launch;
#[cfg(test)]
pub(crate) mod program;
#[cfg(test)]
mod tests;

pub(crate) use launch::{LaunchRun, Outcome, Until};

use code::CodeCache;

/// What a compute engine keeps beside the launch that runs on it.
#[derive(Debug)]
pub(crate) struct Core {
    code: CodeCache,
    /// Counts the launches that came onto this core; tells a launch whether another one ran
    /// here since.
    seat: u64,
}

impl Core {
    /// A core that has decoded nothing.
    pub(crate) fn new() -> Self {
        Self { code: CodeCache::new(), seat: 0 }
    }

    /// Forgets what was decoded: for when something other than the running kernel may have
    /// written code. What the kernel itself stores is seen without it, and so is that another
    /// launch runs now.
    pub(crate) fn invalidate_code(&mut self) {
        self.code.forget_all();
    }
}
