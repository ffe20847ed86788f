//! vGPUs whose guests say that latency matters.

use crate::deadline::PREEMPT_DEADLINE_NS;
use crate::engine::{Engine, bit};
use crate::runlist::{Runlist, Stint, Time};
use godwit_types::{Gfid, PreemptMode, RunlistId, SwitchCause, Throttle};

/// What saves are taken to take until some were seen. What going ahead of a group is charged with
/// for its save may be as much in any case: more than the slowest published one takes (40 µs).
const SAVE_NS_LEAST: u32 = 50_000;
/// What is learned of saves is within these bounds. With more, an engine would count as hung before
/// a group that is a little late has left it; with less, its steps would be none.
const LEARNED_NS_MIN: u32 = 1_000;
const LEARNED_NS_MAX: u32 = PREEMPT_DEADLINE_NS as u32 / 2;
/// By which part of itself it changes with each turn.
const LEARNED_STEP: u32 = 32;

impl Runlist {
    /// What saves take on this engine.
    fn save_ns(&self) -> u32 {
        if self.learned_ns == 0 { SAVE_NS_LEAST } else { self.learned_ns }
    }
}

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
        let entry = &self.runlists[runlist];
        let recalled = entry.stint.time == Time::Lent && entry.turn.is_of(gfid);
        if recalled || self.hinted & bit(gfid) != 0 {
            self.claim(runlist, gfid);
        }
    }

    #[inline(never)]
    fn claim(&mut self, runlist: RunlistId, gfid: Gfid) {
        let hinted = self.hinted & bit(gfid) != 0;
        self.hinted &= !bit(gfid);
        if self.paused & bit(gfid) != 0 {
            return; // it could not run
        }
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
        let turn = entry.turn;
        let pays = current.is_some_and(|(on, time)| on != gfid && time == Time::Own)
            && turn.left_ns(self.now_ns) >= self.shortest_of(turn).into();
        // Nobody is taken off for one that could not run any more once it has paid for that.
        let cost_ns = if pays { entry.save_ns().saturating_mul(2) } else { 0 };
        if self.slice_ahead(runlist, gfid, cost_ns).is_none() {
            return;
        }
        let entry = &mut self.runlists[runlist];
        entry.went_ahead |= bit(gfid);
        (entry.ahead, entry.ahead_pays) = (Some(gfid), pays);
        if current.is_some_and(|(on, time)| on != gfid && time != Time::Ahead) {
            self.take_off(runlist, SwitchCause::Hint);
        }
    }

    /// How long a vGPU may run before its turn, if that costs it so much; `None`: not at all.
    #[inline(never)]
    pub(crate) fn slice_ahead(&self, runlist: RunlistId, gfid: Gfid, cost_ns: u32) -> Option<u64> {
        let vgpu = &self.vgpus[gfid];
        if vgpu.throttle != Throttle::NONE {
            return None;
        }
        let quantum = i32::try_from(vgpu.turn_ns).unwrap_or(i32::MAX);
        let own = quantum.saturating_add(vgpu.accounts[runlist].credit_ns());
        let own_ns = u32::try_from(own).ok()?.checked_sub(cost_ns)?;
        let slice_ns = own_ns.min(self.slice_ns);
        (slice_ns >= self.shortest_ns).then_some(slice_ns.into())
    }

    /// A group has left for a vGPU that goes ahead. If its turn goes on afterwards, that one pays
    /// for it: the group is saved and loaded once more.
    #[cold]
    pub(crate) fn charge_ahead(&mut self, runlist: RunlistId, gfid: Gfid, stint: &Stint) {
        let entry = &self.runlists[runlist];
        let Some(ahead) = entry.ahead.filter(|ahead| entry.ahead_pays && *ahead != gfid) else {
            return;
        };
        let took_ns = self.now_ns.saturating_sub(stint.asked_ns);
        // The group may have had other reasons to be late.
        let save_ns = took_ns.min(entry.save_ns().max(SAVE_NS_LEAST).into()) as u32;
        let ns = save_ns.saturating_mul(2);
        self.vgpus[ahead].accounts[runlist].charge_ahead(ns.into());
        self.vgpus[gfid].accounts[runlist].refund(ns);
        self.runlists[runlist].turn.prolong(ns.into());
    }

    /// Learns from the switch to a turn that has just begun what saves take. It is the median over
    /// turns, so that whoever lets go late, or has contexts of a few bytes, has one voice.
    pub(crate) fn note_save(&mut self, runlist: RunlistId) {
        let entry = &mut self.runlists[runlist];
        let (gone, save_ns) = (&entry.gone, entry.save_ns());
        if gone.cause != SwitchCause::Slice
            || gone.mode != Some(PreemptMode::Instruction)
            || gone.at_ns != entry.stint.since_ns
        {
            return;
        }
        // A save is far from the 4 s that fit.
        let took_ns = gone.at_ns.wrapping_sub(gone.asked_ns) as u32;
        let step_ns = save_ns / LEARNED_STEP;
        let is_ns = if took_ns > save_ns {
            save_ns.saturating_add(step_ns)
        } else {
            save_ns.saturating_sub(step_ns)
        };
        entry.learned_ns = is_ns.clamp(LEARNED_NS_MIN, LEARNED_NS_MAX);
    }
}
