//! Whose turn it is on an engine, and how long it lasts.
//!
//! vGPUs take turns in the order of their numbers. A turn adds its *quantum* to the vGPU's
//! *credit*, and all the time that the vGPU has the engine is taken off it, loading, saving and
//! resets included. Credit below zero is a *debt*: it makes later turns shorter, and leaves them
//! out while it is large. So over time each has what its quantum is of a round, whatever it did.

mod left_out;

use crate::engine::{Engine, bit, each};
use crate::runlist::{Stint, Time};
use crate::share::{Unit, scaled};
use crate::vgpu::Vgpu;
use godwit_types::{Gfid, Index, Policy, RunlistId, Share, SwitchCause, Throttle, VGPU_COUNT};
pub(crate) use left_out::{Skipped, Spare};

/// The turn in which a fixed share is nobody's.
const NOBODY: u8 = VGPU_COUNT;

/// Whose turn it is, or was last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Number of the vGPU in the order of turns, or `NOBODY`.
    of: u8,
    /// vGPUs, by bit, whose next turn was left out since it began.
    left_out: u32,
    /// Nobody has looked which those are, or since then somebody has come who may be one.
    pub(crate) unseen: bool,
    /// What there is to be learned of the switch to it was not learned yet.
    fresh: bool,
    /// It has begun, and was not found to be over.
    open: bool,
    end_ns: u64,
    /// Its last part, which a throttled vGPU does not have and nobody else.
    tail_ns: u32,
}

impl Turn {
    pub(crate) const NONE: Self = Self {
        of: 0,
        left_out: 0,
        unseen: false,
        fresh: false,
        open: false,
        end_ns: 0,
        tail_ns: 0,
    };

    pub(crate) fn is_of(&self, gfid: Gfid) -> bool {
        self.open && usize::from(self.of) == gfid.index()
    }

    /// When a turn ends that is kept for whoever has it.
    pub(crate) fn end_ns(&self) -> Option<u64> {
        self.open.then_some(self.end_ns)
    }

    /// How much of it is left after a time.
    pub(crate) fn left_ns(&self, at_ns: u64) -> u64 {
        self.end_ns.saturating_sub(at_ns)
    }

    /// It is as much longer as somebody went ahead.
    pub(crate) fn prolong(&mut self, ns: u64) {
        self.end_ns = self.end_ns.saturating_add(ns);
    }

    fn bit(&self) -> u32 {
        of_bit(self.of)
    }
}

/// The bit of a number in the order of turns; none for `NOBODY`.
fn of_bit(of: u8) -> u32 {
    1u32.checked_shl(of.into()).unwrap_or(0)
}

/// Bits of all after `from`, up to `to` and with it, as turns go round.
fn span(from: u8, to: u8) -> u32 {
    let after = |of: u8| u32::MAX.checked_shl(u32::from(of).wrapping_add(1)).unwrap_or(0);
    let (to_from, to_to) = (!after(from), !after(to));
    if to > from { to_to & !to_from } else { to_to | !to_from }
}

/// Who is to run, for how long, and whose time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) gfid: Gfid,
    pub(crate) slice_ns: u64,
    pub(crate) time: Time,
}

impl Engine {
    /// vGPUs, by bit, that have work for an engine and may run.
    pub(crate) fn waiting(&self, runlist: RunlistId) -> u32 {
        self.runlists[runlist].ready & !self.paused
    }

    /// Whether a group must leave the engine when its slice is over.
    pub(crate) fn contended(&self, runlist: RunlistId, gfid: Gfid) -> bool {
        if self.waiting(runlist) != 0 || self.vgpus[gfid].throttle != Throttle::NONE {
            return true;
        }
        // Others' turns are kept for them.
        self.rules.policy.keeps() && (self.sharing & !bit(gfid) != 0 || self.nobody_ns != 0)
    }

    /// Who runs next; `None` while the turn is kept for one that has no work.
    #[inline(always)]
    pub(crate) fn choose(&mut self, runlist: RunlistId, waiting: u32) -> Option<Choice> {
        if let Some(gfid) = self.runlists[runlist].ahead.take()
            && waiting & bit(gfid) != 0
            && let Some(slice_ns) = self.slice_ahead(runlist, gfid, 0)
        {
            return Some(Choice { gfid, slice_ns, time: Time::Ahead });
        }
        if !self.turn_goes_on(runlist, waiting) {
            self.next_turn(runlist, waiting);
        }
        let turn = self.runlists[runlist].turn;
        let slice_ns = turn.end_ns.saturating_sub(self.now_ns);
        let own_ns = slice_ns.saturating_sub(turn.tail_ns.into());
        if waiting & turn.bit() != 0 && own_ns >= u64::from(self.shortest_of(turn)) {
            let gfid = Gfid::from_index(turn.of.into())?;
            return Some(Choice { gfid, slice_ns: own_ns, time: Time::Own });
        }
        self.borrower(runlist, waiting, slice_ns)
    }

    #[inline(always)]
    fn turn_goes_on(&self, runlist: RunlistId, waiting: u32) -> bool {
        let turn = &self.runlists[runlist].turn;
        let left_ns = turn.end_ns.saturating_sub(self.now_ns);
        if !turn.open {
            return false;
        }
        if waiting & turn.bit() != 0 {
            return left_ns >= u64::from(self.shortest_of(*turn));
        }
        let kept = turn.of == NOBODY || self.sharing & turn.bit() != 0;
        self.rules.policy.keeps() && kept && left_ns != 0
    }

    /// Begins the next turn.
    #[inline(always)]
    fn next_turn(&mut self, runlist: RunlistId, waiting: u32) {
        let turn = self.runlists[runlist].turn;
        if turn.open
            && let Some(gfid) = Gfid::from_index(turn.of.into())
        {
            // A rest that is not worth a switch is part of its next turn, if it has work for it.
            let rest = turn.end_ns > self.now_ns && waiting & turn.bit() != 0;
            let kept_ns = if rest { self.rest_ns(runlist) } else { 0 };
            self.vgpus[gfid].accounts[runlist].end(kept_ns);
        }
        // Where everybody was idle for a whole round, whoever comes first need not wait.
        let idle_ns = self.now_ns.saturating_sub(turn.end_ns);
        let keeps = self.rules.policy.keeps() && idle_ns < self.round_ns;
        let among = if keeps { self.sharing } else { waiting };
        let mut of = self.turn_after(runlist, among);
        let all_owed = self.runlists[runlist].spare.is_some();
        if all_owed {
            of = self.pay(runlist, among, of);
        }
        let mut slice_ns = self.length_ns(runlist, of);
        if slice_ns < self.shortest_ns as i32 {
            if !all_owed {
                // Something has changed since it was looked at. Of two with debts, the second has
                // a turn: it pays for it later.
                self.leave_out_one(runlist, of);
                of = self.turn_after(runlist, among);
                slice_ns = self.length_ns(runlist, of);
            }
            slice_ns = slice_ns.max(self.shortest_ns as i32);
        }
        if self.runlists[runlist].went_ahead != 0 {
            self.come_round(runlist, of);
        }
        let (slice_ns, tail_ns) = match Gfid::from_index(of.into()) {
            Some(gfid) => {
                let vgpu = &mut self.vgpus[gfid];
                let quantum_ns = vgpu.turn_ns;
                let slice_ns = vgpu.accounts[runlist].begin(quantum_ns, slice_ns);
                (slice_ns, vgpu.throttle.tail_ns(slice_ns))
            }
            None => {
                let less_ns = core::mem::take(&mut self.runlists[runlist].nobody_less_ns);
                (self.nobody_ns.saturating_sub(less_ns), 0)
            }
        };
        let end_ns = self.after_here(slice_ns.into());
        self.runlists[runlist].turn =
            Turn { of, left_out: 0, unseen: true, fresh: true, open: true, end_ns, tail_ns };
    }

    /// What is left of a turn is worth a switch from this length on.
    #[inline(always)]
    pub(crate) fn shortest_of(&self, turn: Turn) -> u32 {
        if turn.tail_ns == 0 { self.shortest_ns } else { Throttle::PART_NS_MIN }
    }

    #[cold]
    fn rest_ns(&self, runlist: RunlistId) -> u32 {
        let rest_ns = self.runlists[runlist].turn.end_ns.saturating_sub(self.now_ns);
        rest_ns.min(self.shortest_ns.into()) as u32
    }

    /// How long a turn would be that began now; below zero, for a large debt. That of nobody is
    /// never left out.
    #[inline(always)]
    fn length_ns(&self, runlist: RunlistId, of: u8) -> i32 {
        match Gfid::from_index(of.into()) {
            Some(gfid) => {
                let vgpu = &self.vgpus[gfid];
                vgpu.accounts[runlist].slice_ns(vgpu.turn_ns, self.rules.averaging())
            }
            None => i32::MAX,
        }
    }

    /// The vGPUs from the last turn to this one may go ahead again.
    #[cold]
    fn come_round(&mut self, runlist: RunlistId, of: u8) {
        let entry = &mut self.runlists[runlist];
        entry.went_ahead &= !span(entry.turn.of, of);
    }

    /// The turn after the last one, among those of these vGPUs and of nobody.
    #[inline(always)]
    fn turn_after(&self, runlist: RunlistId, among: u32) -> u8 {
        let turn = &self.runlists[runlist].turn;
        let (last, rest) = (turn.of, among & !turn.left_out);
        // If there is nobody else, they come round again.
        let among = if rest != 0 { rest } else { among };
        let later = u32::MAX.checked_shl(u32::from(last).wrapping_add(1)).unwrap_or(0);
        let rest = among & later;
        if rest != 0 {
            return rest.trailing_zeros() as u8;
        }
        if self.nobody_ns != 0 && last != NOBODY {
            return NOBODY;
        }
        among.trailing_zeros() as u8
    }

    /// What a vGPU may have of others' time until its next turn. Where that is too little for a
    /// switch, it is put together with what is left of the last.
    fn renew_loan(&mut self, runlist: RunlistId, gfid: Gfid) {
        let vgpu = &mut self.vgpus[gfid];
        let account = &mut vgpu.accounts[runlist];
        let kept_ns = if vgpu.elastic_ns < self.shortest_ns { account.loan_ns } else { 0 };
        account.loan_ns = kept_ns.min(self.shortest_ns).saturating_add(vgpu.elastic_ns);
        self.note_loan(runlist, gfid);
    }

    /// Whether what a vGPU may have of others' time is worth a switch.
    fn note_loan(&mut self, runlist: RunlistId, gfid: Gfid) {
        let worth = self.vgpus[gfid].accounts[runlist].loan_ns >= self.shortest_ns;
        let loans = &mut self.runlists[runlist].loans;
        *loans = if worth { *loans | bit(gfid) } else { *loans & !bit(gfid) };
    }

    /// Who may have time that its owner does not use: with fixed share, up to a cap.
    #[inline(never)]
    fn borrower(&mut self, runlist: RunlistId, waiting: u32, left_ns: u64) -> Option<Choice> {
        let entry = &mut self.runlists[runlist];
        let candidates = waiting & self.elastic & entry.loans;
        if candidates == 0 || left_ns < self.shortest_ns.into() {
            return None;
        }
        let after = u32::from(entry.lent).wrapping_add(1);
        let turned = candidates.rotate_right(after);
        let place = turned.trailing_zeros().wrapping_add(after) % u32::BITS;
        let gfid = Gfid::from_index(place as usize)?;
        entry.lent = place as u8;
        let loan_ns = u64::from(self.vgpus[gfid].accounts[runlist].loan_ns);
        Some(Choice { gfid, slice_ns: loan_ns.min(left_ns), time: Time::Lent })
    }

    /// Charges a group's vGPU with the time that it had the engine.
    #[inline(always)]
    pub(crate) fn charge(&mut self, runlist: RunlistId, gfid: Gfid, stint: &Stint) {
        let used_ns = self.now_ns.saturating_sub(stint.since_ns);
        // As long as nobody else wanted the engine, it was free to have.
        let used_ns = if stint.wanted { used_ns } else { used_ns.min(stint.slice_ns()) };
        let account = &mut self.vgpus[gfid].accounts[runlist];
        match stint.time {
            Time::Own => account.charge(used_ns),
            Time::Ahead => {
                account.charge_ahead(used_ns);
                // The turn that waited is as long as it would have been.
                self.runlists[runlist].turn.prolong(used_ns);
            }
            Time::Lent => {
                // From when its owner wanted it back it is lent no more, and the owner has it
                // later.
                let recalled = stint.cause == SwitchCause::Recall;
                let late_ns = if recalled { self.now_ns.saturating_sub(stint.asked_ns) } else { 0 };
                let lent_ns = used_ns.saturating_sub(late_ns);
                let loan_ns = u64::from(account.loan_ns);
                account.loan_ns = loan_ns.saturating_sub(lent_ns) as u32;
                account.charge(lent_ns.saturating_sub(loan_ns).saturating_add(late_ns));
                self.runlists[runlist].turn.prolong(late_ns);
                self.note_loan(runlist, gfid);
            }
        }
    }

    /// When the first vGPU is late with its phase.
    pub(crate) fn count_phases(&mut self) {
        let dues = self.vgpus.iter().map(|(_, vgpu)| vgpu.deadline_ns());
        self.phases_due_ns = dues.fold(u64::MAX, u64::min);
    }

    /// Counts vGPUs and computes how long their turns are, after something has changed that this
    /// depends on.
    #[inline(never)]
    pub(crate) fn recount(&mut self) {
        self.counted = true;
        self.count_phases();
        let before = core::mem::take(&mut self.sharing);
        (self.elastic, self.paused) = (0, 0);
        let mut present: u32 = 0;
        for (gfid, vgpu) in self.vgpus.iter() {
            present = present.wrapping_add(u32::from(vgpu.is_present()));
            if vgpu.may_run() {
                self.sharing |= bit(gfid);
            }
            // One that is to stop may come to its boundary, whatever it did.
            if vgpu.watch.is_paused() && vgpu.draining().is_none() {
                self.paused |= bit(gfid);
            }
        }
        self.note_left(before & !self.sharing);
        let slice_before_ns = self.slice_ns;
        self.slice_ns = self.rules.slice_ns(present);
        self.shortest_ns = self.slice_ns / 4;
        self.retune(slice_before_ns);
    }

    /// vGPUs take no turns any more. What they had of the round that is under way comes off the
    /// turn that is nobody's, which is the longer without them: so the round is not.
    fn note_left(&mut self, left: u32) {
        if self.rules.policy != Policy::FixedShare {
            return;
        }
        for id in [RunlistId::COMPUTE, RunlistId::COPY] {
            let of = self.runlists[id].turn.of;
            let later = u32::MAX.checked_shl(u32::from(of).wrapping_add(1)).unwrap_or(0);
            if of == NOBODY {
                continue;
            }
            for gfid in each(left & !later) {
                let less_ns = &mut self.runlists[id].nobody_less_ns;
                *less_ns = less_ns.saturating_add(self.vgpus[gfid].turn_ns);
            }
        }
    }

    /// vGPUs, by bit, that have had a turn on an engine in the round that is under way, or have it.
    fn had_turn(&self, runlist: RunlistId) -> u32 {
        let entry = &self.runlists[runlist];
        let first = u32::MAX.checked_shl(u32::from(entry.turn.of).wrapping_add(1)).unwrap_or(0);
        let current = (*entry.current).map_or(0, |current| bit(current.gfid));
        let takes_part = if self.rules.policy.keeps() { self.sharing } else { entry.ready };
        !first & (takes_part | current)
    }

    /// Computes the turns: of this average length, and as long to one another as parts or weights.
    fn retune(&mut self, slice_before_ns: u32) {
        let fixed = self.rules.policy == Policy::FixedShare;
        let (fb_bytes, sharing, slice_ns) = (self.device.fb_bytes, self.sharing, self.slice_ns);
        let part = |vgpu: &Vgpu| {
            if fixed { vgpu.part(fb_bytes) } else { u32::from(vgpu.share.weight) }
        };
        let parts = || each(sharing).map(|gfid| part(&self.vgpus[gfid]));
        let unit = Unit::new(slice_ns, parts());
        let left = u32::from(Share::WHOLE).saturating_sub(parts().fold(0, u32::wrapping_add));
        self.nobody_ns = if fixed && sharing != 0 { unit.of(left) } else { 0 };
        self.round_ns = 0;
        self.elastic = 0;
        let had_turns = [RunlistId::COMPUTE, RunlistId::COPY].map(|id| (id, self.had_turn(id)));
        for gfid in each(sharing) {
            let vgpu = &mut self.vgpus[gfid];
            let own = part(vgpu);
            let quantum_ns = vgpu.quantum_ns(&unit, own);
            let before_ns = core::mem::replace(&mut vgpu.turn_ns, quantum_ns);
            if fixed {
                // What it may not have is not others' to have.
                let less_ns = unit.of(own).wrapping_sub(quantum_ns);
                self.nobody_ns = self.nobody_ns.saturating_add(less_ns);
            }
            self.round_ns = self.round_ns.wrapping_add(vgpu.turn_ns.into());
            let lent = fixed && vgpu.throttle == Throttle::NONE;
            let cap = if lent { u32::from(vgpu.share.cap) } else { 0 };
            vgpu.elastic_ns = unit.of(cap.saturating_sub(own));
            if vgpu.elastic_ns != 0 {
                self.elastic |= bit(gfid);
            }
            if slice_ns == slice_before_ns {
                continue;
            }
            // Those that have had their turn in the round that is under way had one of the length
            // before, and the others have one of the length that is new.
            let alike_ns = scaled(before_ns, slice_ns, slice_before_ns);
            for (id, had) in had_turns {
                if alike_ns == 0 || had & bit(gfid) == 0 {
                    continue;
                }
                let entry = &mut self.runlists[id];
                let on = (*entry.current).is_some_and(|current| current.gfid == gfid);
                if entry.turn.is_of(gfid) && !on {
                    // It is kept for one that has no work: that has no other in this round.
                    vgpu.accounts[id].end(0);
                    entry.turn.open = false;
                }
                vgpu.accounts[id].correct(before_ns, alike_ns);
            }
        }
        for gfid in each(sharing) {
            for id in [RunlistId::COMPUTE, RunlistId::COPY] {
                if self.elastic & bit(gfid) == 0 {
                    self.vgpus[gfid].accounts[id].loan_ns = 0;
                }
                self.note_loan(id, gfid);
            }
        }
        self.round_ns = self.round_ns.wrapping_add(self.nobody_ns.into());
        // What was nobody's may be somebody's now.
        let nobody_end_ns = self.after(self.nobody_ns.into());
        for id in [RunlistId::COMPUTE, RunlistId::COPY] {
            let turn = &mut self.runlists[id].turn;
            turn.unseen = true;
            if turn.of == NOBODY {
                turn.end_ns = turn.end_ns.min(nobody_end_ns);
            }
        }
    }
}
