//! Bits and numbers inside registers.

use crate::table::{Value, fields, flags, numbers, variants};
use godwit_types::{BarMode, PreemptMode, RunlistId, RunlistState, TsgId};

/// `identity.magic`: "GDWT", little-endian.
pub const MAGIC: u32 = u32::from_le_bytes(*b"GDWT");
/// `identity.version`.
pub const MAP_VERSION: u32 = 3;

flags! {
    /// `intr.bell` and `intr.ack`: what an interrupt is about.
    Source {
        /// The compute runlist has an answer.
        RUNLIST_COMPUTE = 0;
        /// The copy runlist has an answer.
        RUNLIST_COPY = 1;
        /// A doorbell rang.
        DOORBELL = 2;
        /// A channel faulted.
        FAULT = 3;
        /// The privileged copy ring has an answer.
        COPY = 4;
        /// The alarm rang.
        ALARM = 5;
        /// A BAR block changed its status.
        BAR = 6;
        /// A partition was set or cleared.
        VMMU = 7;
        /// A guest has said that latency matters.
        HINT = 8;
        /// A vGPU's way to its peers is closed or open.
        PEERS = 9;
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

flags! {
    /// `intr.on_crash`: what the engines do when the firmware ends by itself. Without a flag they
    /// go on with what is on them, and nobody takes turns.
    OnCrash {
        /// They let go of what is on them at the next instruction, and stand still.
        STOP = 0;
    }
}

flags! {
    /// `bar.bind_status`.
    BindStatus {
        /// A bind request has not taken effect yet.
        PENDING = 0;
        /// Accesses through the old binding are still under way.
        OUTSTANDING = 1;
    }
}

flags! {
    /// `channel.status`, after NVIDIA's CHRAM.
    ChannelStatus {
        /// The slot is bound.
        ENABLE = 0;
        /// The channel has work that is not done.
        BUSY = 1;
        /// Its context is on the engine.
        ON_ENG = 2;
        /// It waits for a semaphore.
        ACQUIRE_FAIL = 3;
        /// It faulted and stands still until it is bound again.
        ENG_FAULTED = 4;
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

fields! {
    /// `runlist.ctx_status`.
    ctx_status {
        /// Whether a context is on the engine.
        STATUS @ 0, 8: super::CTX_STATUS;
        /// Whose: its time-slice group.
        TSG @ 16, 16;
    }
}

const CTX_STATUS: &[Value] =
    variants!(CtxStatus: Invalid, Valid, CtxswSave, CtxswLoad, CtxswSwitch);

/// Encodes `runlist.ctx_status`.
pub const fn encode_ctx_status(status: CtxStatus, tsg: Option<TsgId>) -> u32 {
    let tsg = match tsg {
        Some(tsg) => tsg.raw() as u32,
        None => 0,
    };
    ctx_status::TSG.put(tsg) | ctx_status::STATUS.put(status as u32)
}

/// Reads `runlist.ctx_status`. An undefined state counts as no context.
pub const fn parse_ctx_status(raw: u32) -> RunlistState {
    match (ctx_status::STATUS.take(raw), TsgId::new(ctx_status::TSG.take(raw) as u16)) {
        (1..=4, Some(tsg)) => RunlistState::Resident(tsg),
        _ => RunlistState::Empty,
    }
}

numbers! {
    /// Values of `runlist.preempt_mode`.
    PREEMPT_MODES {
        WFI = 0;
        CTA = 1;
        INSTRUCTION = 2;
    }
}

fields! {
    /// `runlist.preempt_mode`.
    preempt_mode {
        /// At which boundary the engine lets go.
        MODE @ 0, 32: super::PREEMPT_MODES;
    }
}

/// Encodes `runlist.preempt_mode`.
pub const fn encode_preempt_mode(mode: PreemptMode) -> u32 {
    match mode {
        PreemptMode::Wfi => WFI,
        PreemptMode::Cta => CTA,
        PreemptMode::Instruction => INSTRUCTION,
    }
}

/// Reads `runlist.preempt_mode`. An undefined mode stops soonest.
pub const fn parse_preempt_mode(raw: u32) -> PreemptMode {
    match raw {
        WFI => PreemptMode::Wfi,
        CTA => PreemptMode::Cta,
        _ => PreemptMode::Instruction,
    }
}

fields! {
    /// `bar.mode`.
    bar_mode {
        /// What an access meets.
        MODE @ 0, 32: super::BAR_MODES;
    }
}

const BAR_MODES: &[Value] = variants!(BarMode: Blocked, Trap, Direct);

fields! {
    /// `route.channels`.
    route_channels {
        /// The hardware channel that token 0 rings.
        BASE @ 0, 16;
        /// Tokens at or above this ring nothing.
        COUNT @ 16, 16;
    }
}

fields! {
    /// `route.open`.
    route_open {
        /// Vectors may be raised to the host.
        OPEN @ 0, 1;
    }
}

fields! {
    /// `route.peers` and `route.peers_ack`.
    route_peers {
        /// No access to a peer may begin; what of one is under way ends.
        CLOSED @ 0, 1;
        /// Number of the request.
        NUMBER @ 1, 31;
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
