//! What a channel slot is bound to, and how a channel fails.

use crate::limits::{RING_LOG2_MAX, RING_LOG2_MIN};
use crate::{Gfid, GuestChannelId, RunlistId, TsgId};

/// Where a channel's ring of work lies in its vGPU's partition.
///
/// USERD (512 bytes: GP_PUT, then GP_GET) comes first, the entries of 64 bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RingConfig {
    base: u64,
    entries_log2: u8,
}

impl RingConfig {
    /// Bytes of USERD in front of the entries.
    pub const USERD_BYTES: u64 = 512;
    /// Bytes of one entry.
    pub const ENTRY_BYTES: u64 = 64;
    /// Rings begin at multiples of this, so that 32 bits hold any base.
    pub const ALIGN: u64 = 512;

    /// A ring of `1 << entries_log2` entries that begins at `base` and ends within a
    /// partition of `fb_bytes`. `None` when it does not fit or is misaligned.
    pub const fn new(base: u64, entries_log2: u8, fb_bytes: u64) -> Option<Self> {
        if !base.is_multiple_of(Self::ALIGN) {
            return None;
        }
        match Self::unplaced(base, entries_log2) {
            Some(ring) => match ring.base.checked_add(ring.byte_count()) {
                Some(end) if end <= fb_bytes => Some(ring),
                _ => None,
            },
            None => None,
        }
    }

    /// Checks all but the fit: a device reads the ring back where the partition is not known.
    pub const fn unplaced(base: u64, entries_log2: u8) -> Option<Self> {
        if entries_log2 < RING_LOG2_MIN || entries_log2 > RING_LOG2_MAX {
            return None;
        }
        Some(Self { base, entries_log2 })
    }

    /// First byte of USERD, relative to the partition.
    pub const fn base(self) -> u64 {
        self.base
    }

    /// Number of entries, as a power of two.
    pub const fn entries_log2(self) -> u8 {
        self.entries_log2
    }

    /// Number of entries.
    pub const fn entry_count(self) -> u32 {
        1u32.wrapping_shl(self.entries_log2 as u32)
    }

    /// Bytes of USERD and entries.
    pub const fn byte_count(self) -> u64 {
        Self::USERD_BYTES.wrapping_add((self.entry_count() as u64).wrapping_mul(Self::ENTRY_BYTES))
    }
}

/// What a hardware channel slot is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChannelConfig {
    /// Whose channel it is.
    pub gfid: Gfid,
    /// The number that its guest knows.
    pub guest: GuestChannelId,
    /// The group it is scheduled with.
    pub tsg: TsgId,
    /// The engine that runs it.
    pub runlist: RunlistId,
    /// Its ring of work.
    pub ring: RingConfig,
    /// Its context buffer: byte offset in the device's context memory.
    pub context_at: u64,
    /// Bytes of its context buffer: whole pages, at least one, at most `CONTEXT_BYTES_MAX`.
    pub context_bytes: u32,
    /// The grace period of its group, in units of [`crate::GRACE_UNIT_NS`], at most
    /// [`crate::GRACE_MAX`]: the device has no use for it.
    pub grace: u8,
    /// Why it stands still: a channel that had faulted before it was restored here. The device
    /// does not run it.
    pub fault: Option<ChannelFault>,
}

/// Why the device stopped a channel. The guest sees the number in its error register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum ChannelFault {
    /// An access outside the partition.
    OutOfPartition = 1,
    /// An instruction that the compute engine does not have, or a trap of the kernel's own.
    IllegalInstruction = 2,
    /// A ring entry that is malformed or not for this engine.
    BadEntry = 3,
    /// GP_PUT is further ahead than the ring is long.
    BadPut = 4,
    /// More threads or more shared memory than the profile allows.
    TooLarge = 5,
    /// A barrier that can never complete.
    Deadlock = 6,
    /// A saved context that the device cannot load.
    BadContext = 7,
    /// The engine was reset while this channel was on it (robust-channel error).
    EngineReset = 8,
    /// An aperture that this device cannot reach.
    NoAperture = 9,
    /// Its vGPU did too much of something, and this channel is stopped for it.
    Banned = 10,
    /// An access over the bus that nothing lets pass: no window is there, it does not allow this,
    /// or the peer's aperture is not open.
    Dma = 11,
}

impl ChannelFault {
    /// Reads the device's number.
    pub const fn new(raw: u8) -> Option<Self> {
        Some(match raw {
            1 => Self::OutOfPartition,
            2 => Self::IllegalInstruction,
            3 => Self::BadEntry,
            4 => Self::BadPut,
            5 => Self::TooLarge,
            6 => Self::Deadlock,
            7 => Self::BadContext,
            8 => Self::EngineReset,
            9 => Self::NoAperture,
            10 => Self::Banned,
            11 => Self::Dma,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_must_end_inside_the_partition() {
        let bytes = 512 + 4 * 64;
        assert!(RingConfig::new(0, 2, bytes).is_some());
        assert!(RingConfig::new(0, 2, bytes - 1).is_none());
        assert!(RingConfig::new(256, 2, 1 << 20).is_none());
        assert!(RingConfig::new(u64::MAX - 511, 2, u64::MAX).is_none());
        assert!(RingConfig::new(0, 0, 1 << 20).is_none());
    }
}
