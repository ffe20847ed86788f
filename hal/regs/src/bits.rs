//! Bits and numbers inside registers.

use bitflags::bitflags;
use godwit_types::{PreemptMode, RunlistId, RunlistState, TsgId};

/// `identity.magic`: "GDWT", little-endian.
pub const MAGIC: u32 = u32::from_le_bytes(*b"GDWT");
/// `identity.version`.
pub const MAP_VERSION: u32 = 1;
/// `mailbox.firmware_version` and `mailbox.host_version`.
pub const MAILBOX_VERSION: u32 = 1;

bitflags! {
    /// `intr.bell` and `intr.ack`: what an interrupt is about.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Source: u32 {
        /// The compute runlist has an answer.
        const RUNLIST_COMPUTE = 1 << 0;
        /// The copy runlist has an answer.
        const RUNLIST_COPY = 1 << 1;
        /// A doorbell rang.
        const DOORBELL = 1 << 2;
        /// A channel faulted.
        const FAULT = 1 << 3;
        /// The privileged copy ring has an answer.
        const COPY = 1 << 4;
        /// The alarm rang.
        const ALARM = 1 << 5;
        /// A BAR block changed its status.
        const BAR = 1 << 6;
        /// A partition was set or cleared.
        const VMMU = 1 << 7;
        /// Undefined on this revision; kept so that an acknowledge is bit-exact.
        const _ = !0;
    }
}

impl Source {
    /// The source of a runlist's answers.
    pub const fn of(runlist: RunlistId) -> Self {
        if runlist.raw() == RunlistId::COMPUTE.raw() {
            Self::RUNLIST_COMPUTE
        } else {
            Self::RUNLIST_COPY
        }
    }
}

bitflags! {
    /// `bar.bind_status`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BindStatus: u32 {
        /// A bind request has not taken effect yet.
        const PENDING = 1 << 0;
        /// Accesses through the old binding are still under way.
        const OUTSTANDING = 1 << 1;
        /// Undefined on this revision.
        const _ = !0;
    }

    /// `channel.status`, after NVIDIA's CHRAM.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ChannelStatus: u32 {
        /// The slot is bound.
        const ENABLE = 1 << 0;
        /// The channel has work that is not done.
        const BUSY = 1 << 1;
        /// Its context is on the engine.
        const ON_ENG = 1 << 2;
        /// It waits for a semaphore.
        const ACQUIRE_FAIL = 1 << 3;
        /// It faulted and stands still until it is bound again.
        const ENG_FAULTED = 1 << 4;
        /// Undefined on this revision.
        const _ = !0;
    }
}

/// State of an engine's context in `runlist.ctx_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CtxStatus {
    /// No context is on the engine.
    Invalid = 0,
    /// A context is on the engine and runs.
    Valid = 1,
    /// A context is being saved.
    CtxswSave = 2,
    /// A context is being loaded.
    CtxswLoad = 3,
    /// One context is being saved and another loaded.
    CtxswSwitch = 4,
}

/// Encodes `runlist.ctx_status`.
pub const fn encode_ctx_status(status: CtxStatus, tsg: Option<TsgId>) -> u32 {
    let tsg = match tsg {
        Some(tsg) => tsg.raw() as u32,
        None => 0,
    };
    tsg.wrapping_shl(16) | status as u32
}

/// Reads `runlist.ctx_status`. An undefined state counts as no context.
pub const fn parse_ctx_status(raw: u32) -> RunlistState {
    match (raw & 0xff, TsgId::new(raw.wrapping_shr(16) as u16)) {
        (1..=4, Some(tsg)) => RunlistState::Resident(tsg),
        _ => RunlistState::Empty,
    }
}

/// Encodes `runlist.preempt_mode`.
pub const fn encode_preempt_mode(mode: PreemptMode) -> u32 {
    match mode {
        PreemptMode::Wfi => 0,
        PreemptMode::Cta => 1,
        PreemptMode::Instruction => 2,
    }
}

/// Reads `runlist.preempt_mode`. An undefined mode stops soonest.
pub const fn parse_preempt_mode(raw: u32) -> PreemptMode {
    match raw {
        0 => PreemptMode::Wfi,
        1 => PreemptMode::Cta,
        _ => PreemptMode::Instruction,
    }
}

/// The low and the high half of a 64-bit value.
pub const fn halves(value: u64) -> (u32, u32) {
    (value as u32, value.wrapping_shr(32) as u32)
}

/// The 64-bit value of two halves.
pub const fn whole(lo: u32, hi: u32) -> u64 {
    (hi as u64).wrapping_shl(32) | lo as u64
}
