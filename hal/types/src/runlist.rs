//! What a runlist is asked and what it answers.

use crate::TsgId;

/// At what boundary running work is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)] // from 1, so that `None` in its place is zero: see `Engine::new`
pub enum PreemptMode {
    /// Wait for idle: the entry that runs is finished first.
    Wfi = 1,
    /// Thread-block boundary: the blocks in flight are finished first.
    Cta,
    /// Between two instructions (compute instruction-level preemption, CILP).
    Instruction,
}

impl PreemptMode {
    /// The next mode that stops sooner, or `None` after the last.
    pub const fn escalated(self) -> Option<Self> {
        match self {
            Self::Wfi => Some(Self::Cta),
            Self::Cta => Some(Self::Instruction),
            Self::Instruction => None,
        }
    }
}

/// What an engine holds (CTX_STATUS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RunlistState {
    /// No context is on the engine (INVALID).
    Empty,
    /// This group is on the engine: running, being loaded or being saved.
    Resident(TsgId),
}

/// An answer of a runlist. `seq` echoes the number of the request it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RunlistEvent {
    /// The group of that start request has no more work; its contexts are saved.
    Idle {
        /// Of the start request.
        seq: u32,
    },
    /// The preempt request is done: the engine is empty, contexts are saved.
    Preempted {
        /// Of the preempt request.
        seq: u32,
    },
    /// The engine is reset: empty; what was on it is lost.
    Reset {
        /// Of the reset request.
        seq: u32,
    },
}
