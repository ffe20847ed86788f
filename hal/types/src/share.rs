//! How vGPUs share an engine's time, and what is done about those that abuse it.

use crate::limits::{SLICE_FEW_VGPUS, SLICE_NS_FEW, SLICE_NS_MANY, SLICE_NS_MAX, SLICE_NS_MIN};

/// Which part of its own turns a vGPU has while it is being saved, so that it writes less: the
/// rest of each is nobody's, and others lose and gain nothing by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Throttle(u8);

impl Throttle {
    /// All of its turns.
    pub const NONE: Self = Self(0);
    /// As little as can be: a 256th of each turn.
    pub const MOST: Self = Self(8);
    /// No part is shorter than this, in nanoseconds, so that its work goes on.
    pub const PART_NS_MIN: u32 = 10_000;

    /// A part of `1 / 2^shift`; `None` when that is beyond [`Self::MOST`].
    pub const fn new(shift: u8) -> Option<Self> {
        if shift <= Self::MOST.0 { Some(Self(shift)) } else { None }
    }

    /// The next step, if there is one.
    #[must_use]
    pub const fn harder(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(shift) => Self::new(shift),
            None => None,
        }
    }

    /// The part as a power of two: `1 / 2^shift`.
    pub const fn shift(self) -> u8 {
        self.0
    }

    /// How much of a turn it does not have, in nanoseconds.
    #[inline]
    pub fn tail_ns(self, turn_ns: u32) -> u32 {
        let part_ns = turn_ns.checked_shr(self.0.into()).unwrap_or(0);
        turn_ns.saturating_sub(part_ns.max(Self::PART_NS_MIN))
    }
}

/// Who gets an engine's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)] // `BestEffort` is zero
pub enum Policy {
    /// vGPUs that have work take turns, as long as their weights say. Idle time goes to whoever
    /// has work.
    BestEffort = 0,
    /// vGPUs that run take turns, as long as their weights say. The turn of one that has no work
    /// is kept for it.
    EqualShare = 1,
    /// vGPUs that run have a fixed part of the engine each, however many there are. What is
    /// nobody's part stays idle, and what one does not use may be lent up to another's cap.
    FixedShare = 2,
}

impl Policy {
    /// Reads its number.
    pub const fn new(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::BestEffort,
            1 => Self::EqualShare,
            2 => Self::FixedShare,
            _ => return None,
        })
    }

    /// Whether the turn of a vGPU without work is kept for it.
    pub const fn keeps(self) -> bool {
        matches!(self, Self::EqualShare | Self::FixedShare)
    }
}

/// How the vGPUs of a device take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Scheduling {
    /// Who gets the time.
    pub policy: Policy,
    /// A turn of average length, in nanoseconds; `None`: by how many vGPUs there are
    /// ([`crate::SLICE_NS_FEW`], [`crate::SLICE_NS_MANY`]).
    pub slice_ns: Option<u64>,
    /// Over how many turns an overshoot is paid back, while it is small.
    pub averaging: u8,
}

impl Scheduling {
    /// What a device starts with.
    pub const DEFAULT: Self =
        Self { policy: Policy::BestEffort, slice_ns: None, averaging: Self::AVERAGING };
    /// The averaging factor unless told otherwise, and the largest (NVIDIA AI Enterprise user
    /// guide: 33 of 1 to 60).
    pub const AVERAGING: u8 = 33;
    /// See [`Self::AVERAGING`].
    pub const AVERAGING_MAX: u8 = 60;

    /// A turn of average length among so many vGPUs, unless one is set, in nanoseconds.
    #[inline]
    pub const fn default_slice_ns(count: u32) -> u64 {
        if count <= SLICE_FEW_VGPUS { SLICE_NS_FEW } else { SLICE_NS_MANY }
    }

    /// Whether slice and averaging factor are in their ranges.
    pub const fn is_valid(&self) -> bool {
        let slice = match self.slice_ns {
            Some(slice_ns) => slice_ns >= SLICE_NS_MIN && slice_ns <= SLICE_NS_MAX,
            None => true,
        };
        slice && self.averaging >= 1 && self.averaging <= Self::AVERAGING_MAX
    }
}

/// What one vGPU is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Share {
    /// Length of its turns relative to the others', 1 to [`Self::WEIGHT_MAX`]; for best effort
    /// and equal share.
    pub weight: u8,
    /// Its fixed part of each engine, in units of a ten-thousandth; 0: as much as its partition
    /// is of the framebuffer.
    pub part: u16,
    /// Up to this much it may have with fixed share when others do not use theirs, in the same
    /// unit; 0: its part and no more.
    pub cap: u16,
}

impl Share {
    /// What a vGPU has unless told otherwise.
    pub const DEFAULT: Self = Self { weight: 1, part: 0, cap: 0 };
    /// The largest weight.
    pub const WEIGHT_MAX: u8 = 100;
    /// The whole of an engine.
    pub const WHOLE: u16 = 10_000;

    /// Whether all of it is in range.
    pub const fn is_valid(&self) -> bool {
        self.weight >= 1
            && self.weight <= Self::WEIGHT_MAX
            && self.part <= Self::WHOLE
            && self.cap <= Self::WHOLE
            && (self.cap == 0 || self.cap >= self.part)
    }
}

/// What a vGPU may do too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Abuse {
    /// Engines that had to be reset while its work was on them.
    Resets = 0,
    /// Channels of it that faulted.
    Faults = 1,
    /// Doorbells that reached the firmware: those that ring again before it looks are one.
    Doorbells = 2,
    /// Interrupts that its work has raised.
    Interrupts = 3,
}

impl Abuse {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Resets, Self::Faults, Self::Doorbells, Self::Interrupts];

    /// Its bit in a mask.
    pub const fn bit(self) -> u8 {
        1u8.wrapping_shl(self as u32)
    }
}

/// What is done about a vGPU that does too much of something, for the rest of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)] // `Report` is zero
pub enum Measure {
    /// The host is told, as with every measure.
    Report = 0,
    /// Its turns are half as long.
    Shorten = 1,
    /// The channel that did it, if there is one, is stopped, and the vGPU can open no other.
    Ban = 2,
    /// It has no turns.
    Pause = 3,
}

impl Measure {
    /// Reads its number.
    pub const fn new(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Report,
            1 => Self::Shorten,
            2 => Self::Ban,
            3 => Self::Pause,
            _ => return None,
        })
    }
}

/// How much of something is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limit {
    /// As often as this in a window is allowed; 0: any number.
    pub count: u32,
    /// What happens at the next time.
    pub measure: Measure,
}

/// What is too much, for each vGPU of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The window, in milliseconds: it begins with the first time that something is counted.
    pub window_ms: u32,
    /// In the order of [`Abuse::ALL`].
    pub of: [Limit; 4],
}

/// One after the other: a reader of the log believes no text with a list in it.
#[cfg(feature = "defmt")]
impl defmt::Format for Limits {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [resets, faults, doorbells, interrupts] = self.of;
        defmt::write!(
            f,
            "Limits {{ window_ms: {}, resets: {}, faults: {}, doorbells: {}, interrupts: {} }}",
            self.window_ms,
            resets,
            faults,
            doorbells,
            interrupts
        );
    }
}

impl Limits {
    /// What a device starts with: AMD's GIM driver lets a function have 3 resets in 60 s. Channels
    /// that fault harm nobody else, unless they come back for ever. A tenth of a microcontroller
    /// of 1,000 instructions a microsecond may be spent on one vGPU's doorbells.
    pub const DEFAULT: Self = Self {
        window_ms: 60_000,
        of: [
            Limit { count: 3, measure: Measure::Pause },
            Limit { count: 60, measure: Measure::Ban },
            Limit { count: 6_000_000, measure: Measure::Shorten },
            Limit { count: 6_000_000, measure: Measure::Shorten },
        ],
    };
    /// The longest window: an hour.
    pub const WINDOW_MS_MAX: u32 = 3_600_000;

    /// Whether the window is in range.
    pub const fn is_valid(&self) -> bool {
        self.window_ms >= 1 && self.window_ms <= Self::WINDOW_MS_MAX
    }

    /// The limit of one kind.
    pub const fn limit(&self, abuse: Abuse) -> Limit {
        let [resets, faults, doorbells, interrupts] = self.of;
        match abuse {
            Abuse::Resets => resets,
            Abuse::Faults => faults,
            Abuse::Doorbells => doorbells,
            Abuse::Interrupts => interrupts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(Scheduling::DEFAULT.is_valid());
        assert!(Share::DEFAULT.is_valid());
        assert!(Limits::DEFAULT.is_valid());
    }

    #[test]
    fn a_throttled_turn_is_shorter_step_by_step_and_never_too_short() {
        let mut throttle = Throttle::NONE;
        for part_ns in [2_000_000, 1_000_000, 500_000, 250_000, 125_000, 62_500, 31_250, 15_625] {
            assert_eq!(throttle.tail_ns(2_000_000), 2_000_000 - part_ns);
            throttle = throttle.harder().unwrap();
        }
        assert_eq!((throttle, throttle.harder()), (Throttle::MOST, None));
        assert_eq!(throttle.tail_ns(2_000_000), 2_000_000 - Throttle::PART_NS_MIN);
        assert_eq!(throttle.tail_ns(5_000), 0);
        assert_eq!(Throttle::new(9), None);
    }

    #[test]
    fn what_is_out_of_range_is_not() {
        let slice = |ns| Scheduling { slice_ns: Some(ns), ..Scheduling::DEFAULT };
        assert!(slice(SLICE_NS_MIN).is_valid() && slice(SLICE_NS_MAX).is_valid());
        assert!(!slice(SLICE_NS_MIN - 1).is_valid() && !slice(SLICE_NS_MAX + 1).is_valid());
        for averaging in [0, Scheduling::AVERAGING_MAX + 1] {
            assert!(!Scheduling { averaging, ..Scheduling::DEFAULT }.is_valid());
        }
        let shares = [
            Share { weight: 0, ..Share::DEFAULT },
            Share { weight: 101, ..Share::DEFAULT },
            Share { part: 10_001, ..Share::DEFAULT },
            Share { part: 500, cap: 499, ..Share::DEFAULT },
        ];
        assert!(shares.iter().all(|share| !share.is_valid()));
    }
}
