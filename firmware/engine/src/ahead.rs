//! vGPUs whose guests say that latency matters.

use crate::engine::{Engine, bit};
use crate::runlist::{Stint, Time};
use godwit_types::{Gfid, RunlistId, SwitchCause, Throttle};

/// What going ahead of a group is charged with at most for that group's save, and as much for its
/// load: more than the slowest published one takes (40 µs), since it may have had other reasons to
/// be late.
const SAVE_NS_MAX: u64 = 100_000;
impl Engine {
    /// A guest has said that the latency of what it rings for next matters.
    pub(crate) fn hint(&mut self, gfid: Gfid) {
        self.hinted |= bit(gfid);
    }

    /// A group has come to its vGPU's queue. Takes back time that was lent, if it is its owner's;
    /// or lets the vGPU go before others, once between two of its turns and at the cost of the
    /// next, if its guest has said that latency matters.
    #[inline(always)]
    pub(crate) fn queued(&mut self, runlist: RunlistId, gfid: Gfid) {
        let lent = self.runlists[runlist].stint.time == Time::Lent;
        if lent || self.hinted & bit(gfid) != 0 {
            self.claim(runlist, gfid);
        }
    }

    #[inline(never)]
    fn claim(&mut self, runlist: RunlistId, gfid: Gfid) {
        let hinted = self.hinted & bit(gfid) != 0;
        self.hinted &= !bit(gfid);
        let entry = &self.runlists[runlist];
        let current = (*entry.current).map(|current| (current.gfid, entry.stint.time));
        if entry.turn.is_of(gfid) {
            match current {
                Some((_, Time::Lent)) => self.take_off(runlist, SwitchCause::Recall),
                // One group of it goes before another.
                Some((on, Time::Own)) if hinted && on == gfid => {
                    self.take_off(runlist, SwitchCause::Hint);
                }
                _ => {}
            }
            return;
        }
        if !hinted || entry.went_ahead & bit(gfid) != 0 || entry.ahead.is_some() {
            return;
        }
        if self.slice_ahead(runlist, gfid).is_none() {
            return;
        }
        let entry = &mut self.runlists[runlist];
        entry.went_ahead |= bit(gfid);
        entry.ahead = Some(gfid);
        if current.is_some_and(|(on, time)| on != gfid && time != Time::Ahead) {
            self.take_off(runlist, SwitchCause::Hint);
        }
    }

    /// How long a vGPU may run before its turn; `None`: not at all.
    #[inline(never)]
    pub(crate) fn slice_ahead(&self, runlist: RunlistId, gfid: Gfid) -> Option<u64> {
        let vgpu = &self.vgpus[gfid];
        if vgpu.throttle != Throttle::NONE {
            return None;
        }
        let quantum = i32::try_from(vgpu.quantum_ns()).unwrap_or(i32::MAX);
        let own = quantum.saturating_add(vgpu.accounts[runlist].credit_ns());
        let slice_ns = u32::try_from(own).ok()?.min(self.slice_ns);
        (slice_ns >= self.shortest_ns).then_some(slice_ns.into())
    }

    /// A group has left for a vGPU that goes ahead, which pays for that: the group is saved and
    /// loaded once more.
    #[cold]
    pub(crate) fn charge_ahead(&mut self, runlist: RunlistId, gfid: Gfid, stint: &Stint) {
        let Some(ahead) = self.runlists[runlist].ahead.filter(|ahead| *ahead != gfid) else {
            return;
        };
        let save_ns = self.now_ns.saturating_sub(stint.asked_ns).min(SAVE_NS_MAX) as u32;
        let ns = save_ns.saturating_mul(2);
        self.vgpus[ahead].accounts[runlist].charge_ahead(ns.into());
        self.vgpus[gfid].accounts[runlist].refund(ns);
        self.runlists[runlist].turn.prolong(ns.into());
    }
}
