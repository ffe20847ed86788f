//! What is told of each time that a group leaves an engine.

use crate::{Gfid, PreemptMode, RunlistId, TsgId};

/// Why a group has left an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum SwitchCause {
    /// It had no more work.
    Idle = 0,
    /// Its slice was over.
    Slice = 1,
    /// Its vGPU was brought to a stop, or the firmware has started anew.
    Stop = 2,
    /// A vGPU whose latency matters went before it.
    Hint = 3,
    /// The time was lent, and its owner had work after all.
    Recall = 4,
    /// The engine was reset.
    Reset = 5,
}

impl SwitchCause {
    /// Reads its number.
    pub const fn new(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Idle,
            1 => Self::Slice,
            2 => Self::Stop,
            3 => Self::Hint,
            4 => Self::Recall,
            5 => Self::Reset,
            _ => return None,
        })
    }
}

/// One time that a group has left an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Switch {
    /// When the firmware saw that the engine was empty, in nanoseconds of the device.
    pub at_ns: u64,
    /// Which engine.
    pub runlist: RunlistId,
    /// Whose group it was.
    pub gfid: Gfid,
    /// Which group.
    pub tsg: TsgId,
    /// Why it has left.
    pub cause: SwitchCause,
    /// At which boundary; `None`: its work was done, or the engine was reset.
    pub mode: Option<PreemptMode>,
    /// How long it had the engine until it was asked to let go, or had no more work: nanoseconds,
    /// at most `u32::MAX`.
    pub run_ns: u32,
    /// How long it was to have it.
    pub slice_ns: u32,
    /// How long it took to let go, its context saved.
    pub preempt_ns: u32,
    /// What its vGPU had had too much by then, on this engine.
    pub debt_ns: u32,
}
