//! The steps of a migration, and who is told of them.

use super::VmError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// What a migration does, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Both ends are reached, and are as they must be.
    Connect,
    /// The vGPU's framebuffer is sent while it runs.
    PreCopy,
    /// What QEMU keeps of the function is given to the destination.
    Function,
    /// The machine's memory is sent while it runs.
    Memory,
    /// The guest stands still, and the vGPU is stopped.
    Stop,
    /// QEMU sends the rest of the machine, and its server the rest of the vGPU.
    SwitchOver,
    /// The function is given to the destination again, if the guest has changed it since.
    Restore,
    /// The machine is the destination's, and runs there.
    Start,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::PreCopy,
        Self::Function,
        Self::Memory,
        Self::Stop,
        Self::SwitchOver,
        Self::Restore,
        Self::Start,
    ];

    /// What is done in it, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::PreCopy => "vGPU, while it runs",
            Self::Function => "function",
            Self::Memory => "memory, while it runs",
            Self::Stop => "stop",
            Self::SwitchOver => "the rest of both",
            Self::Restore => "function, again",
            Self::Start => "start",
        }
    }
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the machine's memory that were sent.
    pub memory_bytes: u64,
    /// Bytes that are left of it.
    pub memory_left: u64,
    /// Bytes of the vGPU's state that were sent.
    pub vgpu_bytes: u64,
}

/// Who is told how a migration goes.
pub trait Watch {
    /// A step begins.
    fn step(&mut self, step: Step);
    /// It has come so far.
    fn progress(&mut self, progress: &Progress);
    /// Whether it is to be given up, as far as that can be.
    fn gives_up(&self) -> bool {
        false
    }
}

/// The steps so far, and when each began.
pub(super) struct Steps<'a> {
    pub(super) watch: &'a mut dyn Watch,
    times: Vec<(Step, Instant)>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(watch: &'a mut dyn Watch) -> Self {
        Self { watch, times: Vec::new() }
    }

    /// Begins a step, unless all is given up.
    pub(super) fn next(&mut self, step: Step) -> Result<(), VmError> {
        self.times.push((step, Instant::now()));
        self.watch.step(step);
        self.check()
    }

    /// Whether it goes on.
    pub(super) fn check(&self) -> Result<(), VmError> {
        if self.watch.gives_up() { Err(VmError::GivenUp) } else { Ok(()) }
    }

    pub(super) fn at(&self) -> Step {
        self.times.last().map_or(Step::Connect, |(step, _)| *step)
    }

    pub(super) fn times_ms(&self) -> BTreeMap<Step, f64> {
        let ends = self.times.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
        let times = self.times.iter().zip(ends);
        times.map(|((step, at), end)| (*step, (end - *at).as_secs_f64() * 1e3)).collect()
    }
}
