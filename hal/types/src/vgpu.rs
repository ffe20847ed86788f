//! How large a vGPU is and where on a device it sits.

use crate::RunlistId;
use crate::limits::{CHANNEL_COUNT, CONTEXT_BYTES_MAX, FB_BYTES_MAX, PAGE_BYTES, RUNLIST_COUNT};

/// What a vGPU is, wherever it runs. Part of the guest's view, so it moves unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Profile {
    /// Bytes of its framebuffer partition, a multiple of the page.
    pub fb_bytes: u64,
    /// Bytes of its BAR2 aperture, a multiple of the page and no more than the partition.
    pub bar_bytes: u64,
    /// Channels, and as many time-slice groups.
    pub channel_count: u16,
    /// Bytes of each channel's context buffer, a multiple of the page.
    pub context_bytes: u32,
}

/// Which rule a profile breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ProfileError {
    /// The partition is empty, over the limit, or not whole pages.
    Framebuffer,
    /// The aperture is empty, larger than the partition, or not whole pages.
    Bar,
    /// No channels, or more than a device has.
    Channels,
    /// The context buffer is empty, over the limit, or not whole pages.
    Context,
}

const fn whole_pages(bytes: u64) -> bool {
    bytes != 0 && bytes.is_multiple_of(PAGE_BYTES as u64)
}

impl Profile {
    /// Bytes of one thread in a context buffer, and of the part before the threads. Used to
    /// turn a cap on resident threads into a buffer size.
    pub const CONTEXT_THREAD_BYTES: u32 = 272;
    /// See [`Self::CONTEXT_THREAD_BYTES`].
    pub const CONTEXT_HEADER_BYTES: u32 = 256;

    /// Checks the profile against the limits.
    pub const fn check(&self) -> Result<(), ProfileError> {
        if !whole_pages(self.fb_bytes) || self.fb_bytes > FB_BYTES_MAX {
            return Err(ProfileError::Framebuffer);
        }
        if !whole_pages(self.bar_bytes) || self.bar_bytes > self.fb_bytes {
            return Err(ProfileError::Bar);
        }
        if self.channel_count == 0 || self.channel_count > CHANNEL_COUNT {
            return Err(ProfileError::Channels);
        }
        if !whole_pages(self.context_bytes as u64) || self.context_bytes > CONTEXT_BYTES_MAX {
            return Err(ProfileError::Context);
        }
        Ok(())
    }

    /// Threads that can be in flight on one channel: as many as its context buffer holds.
    pub const fn resident_threads(&self) -> u32 {
        self.context_bytes
            .saturating_sub(Self::CONTEXT_HEADER_BYTES)
            .wrapping_div(Self::CONTEXT_THREAD_BYTES)
    }

    /// Bytes of all context buffers.
    pub const fn context_total(&self) -> u64 {
        (self.context_bytes as u64).wrapping_mul(self.channel_count as u64)
    }
}

/// Engines that a device has for guests, a bit for each runlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Engines(u32);

impl Engines {
    /// None: what a device has before it is known.
    pub const NONE: Self = Self(0);
    /// A compute engine and a copy engine.
    pub const ALL: Self = Self(1u32.wrapping_shl(RUNLIST_COUNT as u32).wrapping_sub(1));

    /// From a bit for each runlist; others are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// A bit for each runlist.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, runlist: RunlistId) -> Self {
        Self(self.0 | 1u32.wrapping_shl(runlist.raw() as u32))
    }

    /// Whether the runlist has an engine.
    pub const fn has(self, runlist: RunlistId) -> bool {
        self.0 & 1u32.wrapping_shl(runlist.raw() as u32) != 0
    }
}

/// How large the device is, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identity {
    /// Bytes of framebuffer that partitions may take.
    pub fb_bytes: u64,
    /// Bytes of BAR that apertures may take.
    pub bar_bytes: u64,
    /// Bytes of context memory, which no guest can reach.
    pub context_bytes: u64,
    /// Version of what the device writes to a context buffer; a saved context can only be
    /// loaded by a device that writes the same.
    pub context_layout: u32,
    /// Its engines for guests.
    pub engines: Engines,
}

/// Where a vGPU sits on one device. Nothing of it is visible to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Placement {
    /// First byte of the partition in the device's framebuffer.
    pub fb_base: u64,
    /// First byte of the aperture in the device's BAR.
    pub bar_base: u64,
    /// First hardware channel of its block.
    pub channel_base: u16,
    /// First byte of its context buffers in the device's context memory.
    pub context_base: u64,
}

/// Which part of a placement does not fit the device, or lies over a neighbour's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PlacementError {
    /// The partition.
    Framebuffer,
    /// The aperture.
    Bar,
    /// The block of channels.
    Channels,
    /// The context buffers.
    Context,
}

const fn overlap(base: u64, bytes: u64, other_base: u64, other_bytes: u64) -> bool {
    base < other_base.saturating_add(other_bytes) && other_base < base.saturating_add(bytes)
}

const fn fits(base: u64, bytes: u64, limit: u64) -> bool {
    match base.checked_add(bytes) {
        Some(end) => end <= limit && base.is_multiple_of(PAGE_BYTES as u64),
        None => false,
    }
}

impl Placement {
    /// Checks that a vGPU of this profile lies within a device.
    pub const fn check(&self, profile: &Profile, device: &Identity) -> Result<(), PlacementError> {
        if !fits(self.fb_base, profile.fb_bytes, device.fb_bytes) {
            return Err(PlacementError::Framebuffer);
        }
        if !fits(self.bar_base, profile.bar_bytes, device.bar_bytes) {
            return Err(PlacementError::Bar);
        }
        match self.channel_base.checked_add(profile.channel_count) {
            Some(end) if end <= CHANNEL_COUNT => {}
            _ => return Err(PlacementError::Channels),
        }
        if !fits(self.context_base, profile.context_total(), device.context_bytes) {
            return Err(PlacementError::Context);
        }
        Ok(())
    }

    /// Checks that two vGPUs of one device share nothing.
    pub const fn apart(
        &self,
        profile: &Profile,
        other: &Self,
        other_profile: &Profile,
    ) -> Result<(), PlacementError> {
        if overlap(self.fb_base, profile.fb_bytes, other.fb_base, other_profile.fb_bytes) {
            return Err(PlacementError::Framebuffer);
        }
        if overlap(self.bar_base, profile.bar_bytes, other.bar_base, other_profile.bar_bytes) {
            return Err(PlacementError::Bar);
        }
        if overlap(
            self.channel_base as u64,
            profile.channel_count as u64,
            other.channel_base as u64,
            other_profile.channel_count as u64,
        ) {
            return Err(PlacementError::Channels);
        }
        if overlap(
            self.context_base,
            profile.context_total(),
            other.context_base,
            other_profile.context_total(),
        ) {
            return Err(PlacementError::Context);
        }
        Ok(())
    }
}

/// What an access to a vGPU's aperture meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum BarMode {
    /// Nothing passes.
    Blocked = 0,
    /// Each access goes to the host.
    Trap = 1,
    /// Accesses reach the partition.
    Direct = 2,
}

/// One aperture, as the BAR block of a vGPU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Aperture {
    /// First byte in the device's BAR.
    pub bar_base: u64,
    /// First byte in the partition.
    pub fb_offset: u64,
    /// Length in bytes.
    pub byte_count: u64,
    /// What an access meets.
    pub mode: BarMode,
}

/// How a guest's view is bound to hardware: the doorbell map, the timer and the interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Route {
    /// First hardware channel: token `n` rings channel `channel_base + n`.
    pub channel_base: u16,
    /// Tokens at or above this ring nothing.
    pub channel_count: u16,
    /// Added to the device's timer (wrapping) to give the guest's.
    pub time_offset_ns: u64,
    /// Whether the vGPU's vectors may be raised.
    pub interrupts_open: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: Profile =
        Profile { fb_bytes: 8192, bar_bytes: 4096, channel_count: 8, context_bytes: 4096 };

    #[test]
    fn neighbours_that_touch_are_apart() {
        let low = Placement { fb_base: 0, bar_base: 0, channel_base: 0, context_base: 0 };
        let high =
            Placement { fb_base: 8192, bar_base: 4096, channel_base: 8, context_base: 8 * 4096 };
        assert_eq!(low.apart(&PROFILE, &high, &PROFILE), Ok(()));
        let near = Placement { channel_base: 7, ..high };
        assert_eq!(low.apart(&PROFILE, &near, &PROFILE), Err(PlacementError::Channels));
    }

    #[test]
    fn a_placement_past_the_device_is_refused() {
        let at = Placement { fb_base: 4096, bar_base: 0, channel_base: 0, context_base: 0 };
        let device = Identity {
            fb_bytes: 12288,
            bar_bytes: 4096,
            context_bytes: 1 << 20,
            context_layout: 1,
            engines: Engines::ALL,
        };
        assert_eq!(at.check(&PROFILE, &device), Ok(()));
        let short = Identity { fb_bytes: 12287, ..device };
        assert_eq!(at.check(&PROFILE, &short), Err(PlacementError::Framebuffer));
    }
}
