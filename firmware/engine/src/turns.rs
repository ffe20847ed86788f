//! Whose turn it is on an engine, and how long it lasts.
//!
//! vGPUs take turns in the order of their numbers. A turn adds its *quantum* to the vGPU's
//! *credit*, and all the time that the vGPU has the engine is taken off it, loading, saving and
//! resets included. Credit below zero is a *debt*: it makes later turns shorter, and leaves them
//! out while it is large. So over time each has what its quantum is of a round, whatever it did.

use crate::engine::{Engine, bit, each};
use crate::runlist::{Stint, Time};
use crate::share::{Unit, scaled};
use crate::vgpu::Vgpu;
use godwit_types::{Gfid, Index, Policy, RunlistId, SLICE_NS_MAX, Share, VGPU_COUNT};

/// The turn in which a fixed share is nobody's.
const NOBODY: u8 = VGPU_COUNT;
/// What a debt is at most, in nanoseconds: more than any deadline lets one preemption and its
/// resets take, so that nobody gains by it, and no vGPU waits for its next turn for ever.
const DEBT_MAX_NS: i32 = 100_000_000;
/// What going ahead of a group is charged with at most for that group's save, and as much for its
/// load: more than the slowest published one takes (40 µs), since it may have had other reasons to
/// be late.
const SAVE_NS_MAX: u64 = 100_000;
/// A debt of more than so many quanta is not paid in small parts.
const DEBT_QUANTA: i32 = 2;

/// Whose turn it is, or was last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Number of the vGPU in the order of turns, or `NOBODY`.
    of: u8,
    /// That of the last one after it whose turn is known to be left out; else its own.
    passed: u8,
    /// Nobody has looked which those are.
    unseen: bool,
    /// It has begun, and was not found to be over.
    open: bool,
    end_ns: u64,
}

impl Turn {
    pub(crate) const NONE: Self = Self { of: 0, passed: 0, unseen: false, open: false, end_ns: 0 };

    pub(crate) fn is_of(&self, gfid: Gfid) -> bool {
        self.open && usize::from(self.of) == gfid.index()
    }

    /// When a turn ends that is kept for whoever has it.
    pub(crate) fn end_ns(&self) -> Option<u64> {
        self.open.then_some(self.end_ns)
    }

    fn bit(&self) -> u32 {
        1u32.checked_shl(self.of.into()).unwrap_or(0)
    }
}

/// A vGPU's time on one engine, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// What it may have beyond its next quantum; below zero: what it had too much.
    credit_ns: i32,
    /// What it may have of others' time until its next turn.
    loan_ns: u32,
    /// What its turn would have beyond what a turn may have: that of the next.
    over_ns: u32,
    /// What it did not use of its last turn.
    lost_ns: u32,
}

impl Account {
    pub(crate) const EMPTY: Self = Self { credit_ns: 0, loan_ns: 0, over_ns: 0, lost_ns: 0 };

    pub(crate) fn debt_ns(&self) -> u32 {
        self.credit_ns.min(0).unsigned_abs()
    }

    fn charge(&mut self, ns: u64) {
        let ns = i32::try_from(ns).unwrap_or(i32::MAX);
        self.credit_ns = self.credit_ns.saturating_sub(ns).max(DEBT_MAX_NS.wrapping_neg());
    }

    fn refund(&mut self, ns: u32) {
        self.add(i32::try_from(ns).unwrap_or(i32::MAX));
    }

    /// How long a turn would be that began now: below zero, for a large debt.
    #[inline(always)]
    fn slice_ns(&self, quantum_ns: u32, averaging: u8) -> i32 {
        // Credit is a few slices at most, and a slice 30 ms: nothing here can wrap.
        let quantum = quantum_ns as i32;
        if self.credit_ns >= 0 {
            quantum.wrapping_add(self.credit_ns)
        } else {
            let debt = self.credit_ns.wrapping_neg();
            let part = debt.checked_div(averaging.into()).unwrap_or(debt).wrapping_add(1);
            let over = debt.wrapping_sub(quantum.wrapping_mul(DEBT_QUANTA));
            quantum.wrapping_sub(part.max(over).min(debt))
        }
    }

    /// A turn begins that would be so long: how long it is.
    #[inline(always)]
    fn begin(&mut self, quantum_ns: u32, slice_ns: i32) -> u32 {
        self.leave_out(quantum_ns);
        if slice_ns > SLICE_NS_MAX as i32 {
            self.over_ns = slice_ns.wrapping_sub(SLICE_NS_MAX as i32).unsigned_abs();
        }
        slice_ns.unsigned_abs().wrapping_sub(self.over_ns)
    }

    /// A turn is left out, for a debt or since it is too short to be worth a switch: it makes later
    /// ones longer.
    fn leave_out(&mut self, quantum_ns: u32) {
        self.credit_ns = self.credit_ns.wrapping_add(quantum_ns as i32);
        (self.over_ns, self.lost_ns) = (0, 0);
    }

    /// A turn of the round that is under way would have had another length. What was not used of
    /// it is not given back, and whoever did not use all has no use for more.
    fn correct(&mut self, was_ns: u32, is_ns: u32) {
        let more = i64::from(is_ns).saturating_sub(i64::from(was_ns));
        let more = match self.lost_ns {
            0 => more,
            lost_ns => more.saturating_add(lost_ns.into()).min(0),
        };
        self.add(i32::try_from(more).unwrap_or(0));
    }

    /// Adds to the credit, which is at most as much as a debt.
    fn add(&mut self, ns: i32) {
        let credit = self.credit_ns.saturating_add(ns);
        self.credit_ns = credit.clamp(DEBT_MAX_NS.wrapping_neg(), DEBT_MAX_NS);
    }

    /// A turn is over: what was not used of it is lost, but for `kept_ns`, in which its vGPU would
    /// have run.
    fn end(&mut self, kept_ns: u32) {
        let kept = self.credit_ns.min(kept_ns.wrapping_add(self.over_ns) as i32);
        self.lost_ns = self.credit_ns.wrapping_sub(kept).unsigned_abs();
        self.credit_ns = kept;
    }
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
        if self.waiting(runlist) != 0 {
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
            && let Some(slice_ns) = self.slice_ahead(runlist, gfid)
        {
            return Some(Choice { gfid, slice_ns, time: Time::Ahead });
        }
        if !self.turn_goes_on(runlist, waiting) {
            self.next_turn(runlist, waiting);
        }
        let turn = self.runlists[runlist].turn;
        let slice_ns = turn.end_ns.saturating_sub(self.now_ns);
        if waiting & turn.bit() != 0 && slice_ns >= u64::from(self.shortest_ns) {
            let gfid = Gfid::from_index(turn.of.into())?;
            return Some(Choice { gfid, slice_ns, time: Time::Own });
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
            return left_ns >= u64::from(self.shortest_ns);
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
        let mut slice_ns = self.length_ns(runlist, of);
        if slice_ns < self.shortest_ns as i32 {
            of = self.leave_out(runlist, among, NOBODY);
            // If all of them have debts, one has a turn all the same.
            slice_ns = self.length_ns(runlist, of).max(self.shortest_ns as i32);
        }
        if self.runlists[runlist].went_ahead != 0 {
            self.come_round(runlist, of);
        }
        let slice_ns = match Gfid::from_index(of.into()) {
            Some(gfid) => {
                let vgpu = &mut self.vgpus[gfid];
                let quantum_ns = vgpu.quantum_ns();
                vgpu.accounts[runlist].loan_ns = vgpu.elastic_ns;
                vgpu.accounts[runlist].begin(quantum_ns, slice_ns)
            }
            None => self.nobody_ns,
        };
        let end_ns = self.after(slice_ns.into());
        self.runlists[runlist].turn = Turn { of, passed: of, unseen: true, open: true, end_ns };
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
                vgpu.accounts[runlist].slice_ns(vgpu.quantum_ns(), self.rules.averaging())
            }
            None => i32::MAX,
        }
    }

    /// Leaves turns out that are too short, up to one that is not, or to that of `last`: whose it is.
    #[cold]
    #[inline(never)]
    fn leave_out(&mut self, runlist: RunlistId, among: u32, last: u8) -> u8 {
        for _ in 0..VGPU_COUNT {
            let next = self.turn_after(runlist, among);
            let left_out = self.length_ns(runlist, next) < self.shortest_ns as i32;
            let Some(gfid) = Gfid::from_index(next.into()).filter(|_| left_out && next != last)
            else {
                return next;
            };
            let vgpu = &mut self.vgpus[gfid];
            let quantum_ns = vgpu.quantum_ns();
            vgpu.accounts[runlist].leave_out(quantum_ns);
            self.runlists[runlist].turn.passed = next;
        }
        self.turn_after(runlist, among)
    }

    /// The vGPUs from the last turn to this one may go ahead again.
    #[cold]
    fn come_round(&mut self, runlist: RunlistId, of: u8) {
        let after = |of: u8| u32::MAX.checked_shl(u32::from(of).wrapping_add(1)).unwrap_or(0);
        let entry = &mut self.runlists[runlist];
        let last = entry.turn.of;
        let (to_last, to_this) = (!after(last), !after(of));
        let passed = if of > last { to_this & !to_last } else { to_this | !to_last };
        entry.went_ahead &= !passed;
    }

    /// Leaves out turns whose time will come when the one that is under way is over: what that
    /// costs is not spent between two groups.
    pub(crate) fn look_ahead(&mut self, runlist: RunlistId) {
        let turn = self.runlists[runlist].turn;
        if !turn.unseen {
            return;
        }
        self.runlists[runlist].turn.unseen = false;
        let keeps = self.rules.policy.keeps();
        let among = if keeps { self.sharing } else { self.waiting(runlist) };
        self.leave_out(runlist, among | turn.bit(), turn.of);
    }

    /// The turn after the last one, among those of these vGPUs and of nobody.
    #[inline(always)]
    fn turn_after(&self, runlist: RunlistId, among: u32) -> u8 {
        let last = self.runlists[runlist].turn.passed;
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

    /// Who may have time that its owner does not use: with fixed share, up to a cap.
    #[inline(never)]
    fn borrower(&mut self, runlist: RunlistId, waiting: u32, left_ns: u64) -> Option<Choice> {
        let mut candidates = waiting & self.elastic;
        let after = self.runlists[runlist].lent;
        for _ in 0..VGPU_COUNT {
            let turned = candidates.rotate_right(u32::from(after).wrapping_add(1));
            let place = turned.trailing_zeros().wrapping_add(u32::from(after)).wrapping_add(1);
            let gfid = Gfid::from_index((place % u32::BITS) as usize)?;
            if turned == 0 {
                return None;
            }
            let loan_ns = u64::from(self.vgpus[gfid].accounts[runlist].loan_ns);
            let slice_ns = loan_ns.min(left_ns);
            if slice_ns >= u64::from(self.shortest_ns) {
                self.runlists[runlist].lent = gfid.index() as u8;
                return Some(Choice { gfid, slice_ns, time: Time::Lent });
            }
            candidates &= !bit(gfid);
        }
        None
    }

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
        use godwit_types::SwitchCause;
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
    fn slice_ahead(&self, runlist: RunlistId, gfid: Gfid) -> Option<u64> {
        let vgpu = &self.vgpus[gfid];
        let quantum = i32::try_from(vgpu.quantum_ns()).unwrap_or(i32::MAX);
        let own = quantum.saturating_add(vgpu.accounts[runlist].credit_ns);
        let slice_ns = u32::try_from(own).ok()?.min(self.slice_ns);
        (slice_ns >= self.shortest_ns).then_some(slice_ns.into())
    }

    /// Charges a group's vGPU with the time that it had the engine.
    #[inline(always)]
    pub(crate) fn charge(&mut self, runlist: RunlistId, gfid: Gfid, stint: &Stint) {
        let used_ns = self.now_ns.saturating_sub(stint.since_ns);
        // As long as nobody else wanted the engine, it was free to have.
        let used_ns = if stint.armed { used_ns } else { used_ns.min(stint.slice_ns()) };
        let account = &mut self.vgpus[gfid].accounts[runlist];
        match stint.time {
            Time::Own => account.charge(used_ns),
            Time::Ahead => {
                account.charge(used_ns);
                // The turn that waited is as long as it would have been.
                let turn = &mut self.runlists[runlist].turn;
                turn.end_ns = turn.end_ns.saturating_add(used_ns);
            }
            Time::Lent => {
                let loan_ns = u64::from(account.loan_ns);
                account.loan_ns = loan_ns.saturating_sub(used_ns) as u32;
                account.charge(used_ns.saturating_sub(loan_ns));
            }
        }
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
        self.vgpus[ahead].accounts[runlist].charge(ns.into());
        self.vgpus[gfid].accounts[runlist].refund(ns);
        let turn = &mut self.runlists[runlist].turn;
        turn.end_ns = turn.end_ns.saturating_add(ns.into());
    }

    /// When the first vGPU is late with its phase.
    pub(crate) fn count_phases(&mut self) {
        let dues = self.vgpus.iter().map(|(_, vgpu)| vgpu.phase.deadline_ns());
        self.phases_due_ns = dues.fold(u64::MAX, u64::min);
    }

    /// Counts vGPUs and computes how long their turns are, after something has changed that this
    /// depends on.
    #[inline(never)]
    pub(crate) fn recount(&mut self) {
        self.counted = true;
        self.count_phases();
        (self.sharing, self.elastic, self.paused) = (0, 0, 0);
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
        let slice_before_ns = self.slice_ns;
        self.slice_ns = self.rules.slice_ns(present);
        self.shortest_ns = self.slice_ns / 4;
        self.retune(slice_before_ns);
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
        self.round_ns = self.nobody_ns.into();
        // What was nobody's may be somebody's now.
        let nobody_end_ns = self.after(self.nobody_ns.into());
        for id in [RunlistId::COMPUTE, RunlistId::COPY] {
            let turn = &mut self.runlists[id].turn;
            turn.unseen = true;
            if turn.of == NOBODY {
                turn.end_ns = turn.end_ns.min(nobody_end_ns);
            }
        }
        self.elastic = 0;
        let had_turns = [RunlistId::COMPUTE, RunlistId::COPY].map(|id| (id, self.had_turn(id)));
        for gfid in each(sharing) {
            let vgpu = &mut self.vgpus[gfid];
            let own = part(vgpu);
            let before_ns = core::mem::replace(&mut vgpu.turn_ns, unit.of(own));
            self.round_ns = self.round_ns.wrapping_add(vgpu.turn_ns.into());
            let cap = if fixed { u32::from(vgpu.share.cap) } else { 0 };
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
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests may panic")]
mod tests {
    use super::*;

    const MS: u32 = 1_000_000;

    impl Account {
        /// A turn begins, if it is not left out.
        fn turn(&mut self, quantum_ns: u32, shortest_ns: u32, averaging: u8) -> Option<u32> {
            let slice_ns = self.slice_ns(quantum_ns, averaging);
            if slice_ns < shortest_ns as i32 {
                self.leave_out(quantum_ns);
                return None;
            }
            Some(self.begin(quantum_ns, slice_ns))
        }
    }

    /// Turns of 1 ms in which a vGPU always takes `over_ns` too much, when it has one.
    fn turns(count: u32, over_ns: u64) -> (u64, Account) {
        let (mut account, mut used_ns) = (Account::EMPTY, 0);
        for _ in 0..count {
            if let Some(slice_ns) = account.turn(MS, MS / 4, 33) {
                let this_ns = u64::from(slice_ns) + over_ns;
                account.charge(this_ns);
                used_ns += this_ns;
            }
            account.end(0);
        }
        (used_ns, account)
    }

    #[test]
    fn whoever_takes_too_much_has_no_more_in_the_end() {
        for over_ns in [0, 3_000, 100_000, 1_000_000, 12_000_000, 31_000_000] {
            let (used_ns, account) = turns(1_000, over_ns);
            let due_ns = 1_000 * u64::from(MS);
            let most_ns = due_ns + u64::from(2 * MS) + over_ns;
            assert!(used_ns >= due_ns - over_ns - u64::from(MS), "{over_ns}: {used_ns}");
            assert!(used_ns <= most_ns, "{over_ns}: {used_ns}");
            assert_eq!(used_ns - due_ns.min(used_ns), u64::from(account.debt_ns()));
        }
    }

    #[test]
    fn small_debts_are_paid_in_small_parts() {
        let mut account = Account::EMPTY;
        account.charge(330_000);
        let slice_ns = account.turn(MS, MS / 4, 33).unwrap();
        assert_eq!(slice_ns, MS - 10_001);
        account.charge(slice_ns.into());
        assert_eq!(account.debt_ns(), 330_000 - 10_001);
    }

    #[test]
    fn turns_that_are_too_short_are_put_together() {
        let mut account = Account::EMPTY;
        let quantum_ns = MS / 10;
        let slices: [_; 6] = std::array::from_fn(|_| {
            let slice_ns = account.turn(quantum_ns, MS / 4, 33);
            if let Some(slice_ns) = slice_ns {
                account.charge(slice_ns.into());
                account.end(0);
            }
            slice_ns
        });
        let whole = Some(3 * quantum_ns);
        assert_eq!(slices, [None, None, whole, None, None, whole]);
    }

    #[test]
    fn whoever_has_not_used_its_turn_owes_nothing_when_turns_become_shorter() {
        let debts_ns = [0, MS / 2, 5 * MS, 30 * MS].map(|used_ns| {
            let mut account = Account::EMPTY;
            account.turn(30 * MS, MS, 33).unwrap();
            account.charge(used_ns.into());
            account.end(0);
            account.correct(30 * MS, MS);
            account.debt_ns()
        });
        assert_eq!(debts_ns, [0, 0, 4 * MS, 29 * MS]);
    }

    #[test]
    fn a_debt_is_bounded() {
        let mut account = Account::EMPTY;
        account.charge(u64::MAX);
        account.charge(u64::MAX);
        assert_eq!(account.debt_ns(), DEBT_MAX_NS.unsigned_abs());
    }
}
