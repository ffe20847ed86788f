//! What the firmware asks of its privileged copy ring, and what it gets back.
//!
//! Bulk bytes never pass through the microcontroller: it names places, the copy engine moves
//! the bytes and computes their CRC-32C.

use crate::{Gfid, SlotId};

/// Part of a staging slot, from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SlotRange {
    /// Which slot.
    pub slot: SlotId,
    /// Bytes of it.
    pub byte_count: u32,
}

/// One operation of the copy ring. Framebuffer addresses are relative to the vGPU's
/// partition, context addresses are offsets in the device's context memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CopyOp {
    /// Starts to log which pages are written; every page that holds data counts as dirty. Where a
    /// log was started before and not stopped, what was in it and not gathered in an earlier round
    /// stays in it: whoever had started it may be gone.
    DirtyStart,
    /// Takes the log since the last flip and starts an empty one, in one step. Pages of the
    /// aperture (`bar_bytes` from the partition's start) whose content differs from what was
    /// gathered last are taken too, since the CPU writes them unseen. Gives their count.
    DirtyFlip {
        /// Length of the aperture that is compared by content.
        bar_bytes: u64,
    },
    /// Copies pages of the taken log into a slot, from page `first` on, until the slot or its
    /// table of runs is full. Gives the page to go on from.
    Gather {
        /// First page to look at.
        first: u32,
        /// Where to.
        slot: SlotId,
    },
    /// Stops logging.
    DirtyStop,
    /// Copies a slot's bytes to the pages that the slot's table of runs names, and writes
    /// zeros to those that it names as zero.
    Scatter {
        /// From.
        from: SlotRange,
        /// The CRC-32C that the bytes must have.
        crc: u32,
    },
    /// Writes zeros to a range of the partition; where there is none, nothing is to be cleared.
    FillFb {
        /// First byte in the partition.
        at: u64,
        /// Number of bytes.
        byte_count: u64,
    },
    /// Copies part of a context buffer into a slot.
    ContextToSlot {
        /// First byte in the context memory.
        at: u64,
        /// Where to.
        to: SlotRange,
    },
    /// Copies a slot into part of a context buffer.
    SlotToContext {
        /// From.
        from: SlotRange,
        /// First byte in the context memory.
        at: u64,
        /// The CRC-32C that the bytes must have.
        crc: u32,
    },
    /// Writes zeros to a range of the context memory.
    FillContext {
        /// First byte in the context memory.
        at: u64,
        /// Number of bytes.
        byte_count: u64,
    },
    /// Writes zeros to a whole staging slot.
    FillSlot {
        /// Which slot.
        slot: SlotId,
    },
}

/// An operation with the vGPU that it is for and pays for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CopyRequest {
    /// Echoed in the answer.
    pub tag: u16,
    /// Whose memory is meant.
    pub gfid: Gfid,
    /// What to do.
    pub op: CopyOp,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CopyStatus {
    /// All of it is done.
    Done,
    /// The engine failed; some of it may be done.
    Error,
    /// The bytes in the slot do not have the CRC that was asked for; nothing was written.
    BadCrc,
    /// An address outside what it may touch; nothing was written.
    OutOfRange,
}

/// The answer to a [`CopyRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CopyDone {
    /// Of the request.
    pub tag: u16,
    /// How it ended.
    pub status: CopyStatus,
    /// CRC-32C of the bytes that were put into a slot.
    pub crc: u32,
    /// Bytes that were put into a slot.
    pub byte_count: u32,
    /// For [`CopyOp::DirtyFlip`] the pages taken, for [`CopyOp::Gather`] the page to go on
    /// from (`u32::MAX`: none is left).
    pub pages: u32,
}
