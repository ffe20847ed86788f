//! What vGPUs are due, as the host has set it.

use crate::engine::{Engine, bit};
use crate::message::Action;
use crate::message::Reject;
use crate::vgpu::Vgpu;
use godwit_types::{
    Gfid, Limit, Limits, Measure, Policy, RunlistId, SLICE_NS_MAX, Scheduling, Share,
};

/// What holds for all vGPUs. Zero is what a device starts with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    /// 0: by how many vGPUs there are.
    slice_ns: u64,
    /// 0: as a device starts.
    averaging: u8,
    /// Without a window: as a device starts.
    limits: Limits,
}

impl Rules {
    pub(crate) const START: Self = Self {
        policy: Policy::BestEffort,
        slice_ns: 0,
        averaging: 0,
        limits: Limits { window_ms: 0, of: [Limit { count: 0, measure: Measure::Report }; 4] },
    };

    pub(crate) fn averaging(&self) -> u8 {
        if self.averaging == 0 { Scheduling::AVERAGING } else { self.averaging }
    }

    /// A turn of average length among so many vGPUs.
    pub(crate) fn slice_ns(&self, present: u32) -> u32 {
        let slice_ns = match self.slice_ns {
            0 => Scheduling::default_slice_ns(present),
            set => set,
        };
        slice_ns.min(SLICE_NS_MAX) as u32
    }

    pub(crate) fn limits(&self) -> &Limits {
        if self.limits.window_ms == 0 { &Limits::DEFAULT } else { &self.limits }
    }
}

/// `ns` times a fraction, at most `u32::MAX`; of no denominator 0.
///
/// One function for all that ask, since a core of 32 bits divides in software.
#[inline(never)]
pub(crate) fn scaled(ns: u32, numerator: u32, denominator: u32) -> u32 {
    let whole = u64::from(ns).wrapping_mul(numerator.into());
    u32::try_from(whole.checked_div(denominator.into()).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// How long a turn is for each unit of a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    slice_ns: u32,
    count: u32,
    total: u32,
}

impl Unit {
    /// Turns of `slice_ns` on average, and none longer than a slice may be.
    pub(crate) fn new(slice_ns: u32, parts: impl Iterator<Item = u32>) -> Self {
        let (count, total, most) = parts.fold((0u32, 0u32, 0), |(count, total, most), part| {
            (count.wrapping_add(1), total.wrapping_add(part), part.max(most))
        });
        let unit = Self { slice_ns, count, total };
        if u64::from(unit.of(most)) <= SLICE_NS_MAX {
            return unit;
        }
        Self { slice_ns: SLICE_NS_MAX as u32, count: 1, total: most }
    }

    pub(crate) fn of(&self, part: u32) -> u32 {
        scaled(self.slice_ns, part.wrapping_mul(self.count), self.total)
    }
}

impl Vgpu {
    /// Its fixed part, in units of a ten-thousandth.
    #[inline(never)]
    pub(crate) fn part(&self, fb_bytes: u64) -> u32 {
        let whole = u64::from(Share::WHOLE);
        let by_size =
            self.profile.fb_bytes.saturating_mul(whole).checked_div(fb_bytes).unwrap_or(0);
        let part = if self.share.part == 0 { by_size } else { self.share.part.into() };
        part.clamp(1, whole) as u32
    }

    /// How long its turns are, of such a part.
    pub(crate) fn quantum_ns(&self, unit: &Unit, part: u32) -> u32 {
        let whole_ns = unit.of(part);
        if self.watch.is_shortened() { whole_ns / 2 } else { whole_ns }
    }
}

impl Engine {
    /// How vGPUs take turns.
    pub fn scheduling(&self) -> Scheduling {
        let slice_ns = (self.rules.slice_ns != 0).then_some(self.rules.slice_ns);
        Scheduling { policy: self.rules.policy, slice_ns, averaging: self.rules.averaging() }
    }

    /// What is too much of something.
    pub fn limits(&self) -> Limits {
        *self.rules.limits()
    }

    /// Takes on what a firmware before this one retained.
    pub fn recover_rules(&mut self, scheduling: Scheduling, limits: Limits) {
        self.set_rules(scheduling);
        self.rules.limits = limits;
    }

    fn set_rules(&mut self, scheduling: Scheduling) {
        self.rules.policy = scheduling.policy;
        self.rules.slice_ns = scheduling.slice_ns.unwrap_or(0);
        self.rules.averaging = scheduling.averaging;
        self.counted = false;
    }

    /// From now on vGPUs take turns like this. What each had too much or too little stays in its
    /// account, so nobody loses by it.
    pub(crate) fn set_scheduling(&mut self, scheduling: Scheduling) -> Result<(), Reject> {
        if !scheduling.is_valid() {
            return Err(Reject::OutOfRange);
        }
        self.set_rules(scheduling);
        self.act(Action::Retain);
        Ok(())
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) -> Result<(), Reject> {
        if !limits.is_valid() {
            return Err(Reject::OutOfRange);
        }
        self.rules.limits = limits;
        self.restart_windows();
        self.act(Action::Retain);
        Ok(())
    }

    pub(crate) fn set_share(&mut self, gfid: Gfid, share: Share) -> Result<(), Reject> {
        if !share.is_valid() {
            return Err(Reject::OutOfRange);
        }
        self.vgpus[gfid].share = share;
        self.counted = false;
        self.act(Action::Retain);
        Ok(())
    }

    /// Whether a vGPU may have turns now: it runs, and nothing that it did keeps it from the
    /// engines. For those who check that nobody starves.
    pub fn has_turns(&self, gfid: Gfid) -> bool {
        self.sharing & bit(gfid) != 0 && self.paused & bit(gfid) == 0
    }

    /// Whether a vGPU that may have turns has work for an engine and is not on it. For those who
    /// check that nobody starves.
    pub fn waits(&self, runlist: RunlistId, gfid: Gfid) -> bool {
        let on = (*self.runlists[runlist].current).is_some_and(|current| current.gfid == gfid);
        self.has_turns(gfid) && self.waiting(runlist) & bit(gfid) != 0 && !on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(slice_ns: u32, parts: &[u32]) -> std::vec::Vec<u32> {
        let unit = Unit::new(slice_ns, parts.iter().copied());
        parts.iter().map(|part| unit.of(*part)).collect()
    }

    #[test]
    fn equal_parts_have_the_slice() {
        assert_eq!(turns(1_000_000, &[7; 13]), [1_000_000; 13]);
        assert_eq!(turns(30_000_000, &[1; 32]), [30_000_000; 32]);
    }

    #[test]
    fn turns_are_to_one_another_as_parts_and_none_is_too_long() {
        assert_eq!(turns(2_000_000, &[1, 3]), [1_000_000, 3_000_000]);
        assert_eq!(turns(30_000_000, &[1, 100]), [300_000, 30_000_000]);
        let most = turns(30_000_000, &[10_000, 1, 1]);
        assert_eq!(most, [30_000_000, 3_000, 3_000]);
    }

    #[test]
    fn nobody_has_no_turn() {
        let unit = Unit::new(1_000_000, std::iter::empty());
        assert_eq!(unit.of(0), 0);
    }
}
