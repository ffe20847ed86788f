//! Numbers that name things, each proven to be in range when it is made.

use crate::limits::{CHANNEL_COUNT, RUNLIST_COUNT, SLOT_COUNT, VECTOR_COUNT, VGPU_COUNT};
use crate::table::Index;
use static_assertions::assert_eq_size;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $count:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name($raw);

        impl $name {
            /// `None` when the device has no such thing.
            pub const fn new(raw: $raw) -> Option<Self> {
                if raw < $count { Some(Self(raw)) } else { None }
            }

            /// The number as the hardware writes it.
            pub const fn raw(self) -> $raw {
                self.0
            }
        }

        impl Index for $name {
            fn index(self) -> usize {
                usize::from(self.0)
            }

            fn from_index(index: usize) -> Option<Self> {
                <$raw>::try_from(index).ok().and_then(Self::new)
            }
        }
    };
}

id!(
    /// Hardware channel number.
    ChannelId, u16, CHANNEL_COUNT
);
id!(
    /// Channel number as the guest knows it: hardware number less the vGPU's channel base.
    GuestChannelId, u16, CHANNEL_COUNT
);
id!(
    /// Hardware number of a time-slice group. There are as many as channels, so that a
    /// vGPU's block of channels has a block of groups beside it, with the same base.
    TsgId, u16, CHANNEL_COUNT
);
id!(
    /// Time-slice group as the guest knows it.
    GuestTsgId, u16, CHANNEL_COUNT
);
id!(
    /// One engine's runlist.
    RunlistId, u8, RUNLIST_COUNT
);
id!(
    /// A staging slot.
    SlotId, u8, SLOT_COUNT
);
id!(
    /// An interrupt vector of a vGPU.
    Vector, u8, VECTOR_COUNT
);

impl RunlistId {
    /// The compute engine's runlist.
    pub const COMPUTE: Self = Self(0);
    /// The guests' copy engine's runlist.
    pub const COPY: Self = Self(1);
}

macro_rules! rebase {
    ($guest:ident, $hardware:ident) => {
        impl $guest {
            /// The hardware number, for a vGPU whose block begins at `base`.
            /// `None` when that lies past the device's last one.
            pub const fn at_base(self, base: u16) -> Option<$hardware> {
                match self.0.checked_add(base) {
                    Some(raw) => $hardware::new(raw),
                    None => None,
                }
            }
        }

        impl $hardware {
            /// The number that the guest knows, for a vGPU whose block begins at `base`.
            pub const fn to_guest(self, base: u16) -> Option<$guest> {
                match self.0.checked_sub(base) {
                    Some(raw) => $guest::new(raw),
                    None => None,
                }
            }
        }
    };
}

rebase!(GuestChannelId, ChannelId);
rebase!(GuestTsgId, TsgId);

/// Guest function id of a vGPU, 1 to [`VGPU_COUNT`]. 0 is the host's and names no vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gfid(u8);

impl Gfid {
    /// `None` for the host's id and for one that the device does not have.
    pub const fn new(raw: u8) -> Option<Self> {
        if raw >= 1 && raw <= VGPU_COUNT { Some(Self(raw)) } else { None }
    }

    /// The number as the hardware writes it.
    pub const fn raw(self) -> u8 {
        self.0
    }
}

impl Index for Gfid {
    fn index(self) -> usize {
        usize::from(self.0.wrapping_sub(1))
    }

    fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok()?.checked_add(1).and_then(Self::new)
    }
}

/// Counts the times a vGPU was made to stand still; a proof of one epoch is worth nothing in
/// the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

assert_eq_size!(ChannelId, u16);
assert_eq_size!(Gfid, u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_no_vgpu() {
        assert_eq!(Gfid::new(0), None);
        assert_eq!(Gfid::new(VGPU_COUNT + 1), None);
        assert_eq!(Gfid::new(1).map(Index::index), Some(0));
        assert_eq!(Gfid::from_index(31).map(Gfid::raw), Some(32));
        assert_eq!(Gfid::from_index(32), None);
    }

    #[test]
    fn a_guest_channel_past_the_device_has_no_hardware_channel() {
        let last = GuestChannelId::new(CHANNEL_COUNT - 1).unwrap();
        assert_eq!(last.at_base(0).map(ChannelId::raw), Some(CHANNEL_COUNT - 1));
        assert_eq!(last.at_base(1), None);
        assert_eq!(ChannelId::new(5).unwrap().to_guest(6), None);
    }
}
