//! Time-slice groups, and queues of them that need no memory of their own.

use crate::trace::trace;
use crate::transition::{Now, State, Transition};
use godwit_types::{CHANNEL_COUNT, Gfid, PreemptMode, RunlistId, Table, TsgId};
use static_assertions::const_assert;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)] // `Idle` is zero
pub(crate) enum TsgState {
    /// No work is known.
    Idle,
    /// In its vGPU's queue of a runlist.
    Queued,
    /// It would be queued, but its vGPU stands still.
    Parked,
    /// On the engine. `again`: a doorbell rang meanwhile.
    Current { again: bool },
}

impl State for TsgState {
    type Of = TsgId;
    type Name = Self;

    fn name(&self) -> Self {
        *self
    }

    #[inline(never)]
    fn tell(transition: &Transition<TsgId, Self>) {
        trace!(trace, "{}", transition);
    }
}

/// One group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tsg {
    next: Option<TsgId>,
    pub(crate) state: Now<TsgState>,
    /// At which boundary it left the engine last; `None`: with its work done.
    pub(crate) left_at: Option<PreemptMode>,
    pub(crate) runlist: RunlistId,
    pub(crate) gfid: Option<Gfid>,
    pub(crate) members: u8,
    /// Its grace period, in units of `GRACE_UNIT_NS`.
    pub(crate) grace: u8,
    /// It has been on an engine, so its channels' context buffers may hold something.
    pub(crate) used: bool,
}

const_assert!(size_of::<Tsg>() <= 14);

impl Tsg {
    pub(crate) const EMPTY: Self = Self {
        next: None,
        state: Now::new(TsgState::Idle),
        left_at: None,
        runlist: RunlistId::COMPUTE,
        gfid: None,
        members: 0,
        grace: 0,
        used: false,
    };

    /// Whether it stands at a boundary that is at least as good as `wanted`.
    pub(crate) fn stands_at(&self, wanted: PreemptMode) -> bool {
        self.left_at.is_none_or(|left_at| left_at <= wanted)
    }
}

/// All groups of the device.
pub(crate) type Tsgs = Table<TsgId, Tsg, { CHANNEL_COUNT as usize }>;

/// A first-in, first-out queue of groups, linked through the groups themselves: a group is in
/// one queue at most, so the links cost one word each, and only `remove` has a loop.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TsgQueue {
    ends: Option<(TsgId, TsgId)>,
}

impl TsgQueue {
    pub(crate) const EMPTY: Self = Self { ends: None };

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    #[inline]
    pub(crate) fn push(&mut self, tsgs: &mut Tsgs, tsg: TsgId) {
        tsgs[tsg].next = None;
        self.ends = match self.ends {
            None => Some((tsg, tsg)),
            Some((first, last)) => {
                tsgs[last].next = Some(tsg);
                Some((first, tsg))
            }
        };
    }

    /// Puts a group before all others.
    pub(crate) fn push_front(&mut self, tsgs: &mut Tsgs, tsg: TsgId) {
        tsgs[tsg].next = self.ends.map(|(first, _)| first);
        self.ends = Some((tsg, self.ends.map_or(tsg, |(_, last)| last)));
    }

    #[inline]
    pub(crate) fn pop(&mut self, tsgs: &mut Tsgs) -> Option<TsgId> {
        let (first, last) = self.ends?;
        self.ends = tsgs[first].next.map(|next| (next, last));
        tsgs[first].next = None;
        Some(first)
    }

    /// Takes a group out wherever it stands; the others keep their order.
    pub(crate) fn remove(&mut self, tsgs: &mut Tsgs, tsg: TsgId) {
        let mut kept = Self::EMPTY;
        while let Some(one) = self.pop(tsgs) {
            if one != tsg {
                kept.push(tsgs, one);
            }
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_leave_in_the_order_they_came() {
        let mut tsgs = Tsgs::new([Tsg::EMPTY; CHANNEL_COUNT as usize]);
        let mut queue = TsgQueue::EMPTY;
        let id = |raw| TsgId::new(raw).unwrap();
        for raw in [5, 1, 9] {
            queue.push(&mut tsgs, id(raw));
        }
        assert_eq!(queue.pop(&mut tsgs), Some(id(5)));
        queue.push(&mut tsgs, id(5));
        for raw in [1, 9, 5] {
            assert_eq!(queue.pop(&mut tsgs), Some(id(raw)));
        }
        assert_eq!(queue.pop(&mut tsgs), None);
        assert!(queue.is_empty());
    }
}
