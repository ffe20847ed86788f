//! Bodies of version 1.
//!
//! **Frozen.** Their bytes are on other people's disks and come from other people's hosts. Never
//! edit a type here: a shape that has to change stands as a new version beside it, and this one is
//! read for ever. `tests/golden` holds the bytes.

use crate::mailbox;
use serde::{Deserialize, Serialize};

/// Page runs of one pages record.
pub const RUNS_MAX: usize = 32;

/// What the stream holds, so that a destination which cannot take it says so at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The vGPU's own id, which it keeps wherever it goes.
    pub uuid: [u8; 16],
    /// Counts the moves and suspends of this vGPU, so that a stale stream is known.
    pub token: u64,
    /// Bytes of its partition.
    pub fb_bytes: u64,
    /// Bytes of its aperture.
    pub bar_bytes: u64,
    /// Channels.
    pub channel_count: u16,
    /// Bytes of each channel's context buffer.
    pub context_bytes: u32,
    /// Version of what the device writes to a context buffer.
    pub context_layout: u32,
    /// What it was due of the engines where it comes from.
    pub share: Share,
}

/// Pages of the partition. The payload has the bytes of those that are not zero, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Round, counted from 0.
    pub round: u32,
    /// Which pages.
    pub runs: heapless::Vec<PageRun, RUNS_MAX>,
}

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRun {
    /// First page of the partition.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// All of them are zero and have no bytes in the payload.
    pub zero: bool,
}

/// A vGPU's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vgpu {
    /// The guest's time when it was stopped.
    pub guest_time_ns: u64,
    /// Interrupts that were raised and not taken, by bit.
    pub pending_vectors: u32,
    /// Channel records that follow.
    pub channel_count: u16,
    /// Channels whose contexts follow.
    pub context_count: u16,
}

/// A channel's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The guest's number.
    pub channel: u16,
    /// Its group, as the guest knows it.
    pub tsg: u16,
    /// Its engine.
    pub runlist: u8,
    /// Base of its ring in the partition.
    pub ring_base: u64,
    /// Entries of its ring, as a power of two.
    pub ring_log2: u8,
    /// Grace period of its group, in units of 100 microseconds.
    pub grace: u8,
    /// Why it stands still for good; 0: it does not.
    pub fault: u8,
    /// Its group has work, or a doorbell that was not served.
    pub pending: bool,
    /// Its context follows.
    pub used: bool,
    /// Boundary its group left the engine at: 0 work done, 1 WFI, 2 CTA, 3 instruction.
    pub left_at: u8,
}

/// Part of a channel's context; the payload has its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Whose.
    pub channel: u16,
    /// First byte in the context buffer.
    pub at: u32,
}

/// What the guest has written to its function's registers and the device does not keep. The
/// payload has, for each channel from 0 on, the five words before `Control`, and 1 if its last
/// request was refused; little-endian words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Channels that have words in the payload.
    pub channel_count: u16,
}

/// The end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// Records before this one.
    pub record_count: u64,
    /// SHA-256 over all their headers, which hold the CRCs of everything else.
    pub digest: [u8; 32],
}

/// What a vGPU is due of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Length of its turns relative to the others', 1 to 100.
    pub weight: u8,
    /// Its fixed part, in units of a ten-thousandth; 0: by its framebuffer.
    pub part: u16,
    /// What it may have at most of others' parts and its own; 0: its own.
    pub cap: u16,
}

impl From<mailbox::Share> for Share {
    fn from(share: mailbox::Share) -> Self {
        let mailbox::Share { weight, part, cap } = share;
        Self { weight, part, cap }
    }
}

impl From<Share> for mailbox::Share {
    fn from(share: Share) -> Self {
        let Share { weight, part, cap } = share;
        Self { weight, part, cap }
    }
}
