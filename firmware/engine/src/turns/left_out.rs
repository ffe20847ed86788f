//! Turns that are left out, for a debt or since they are too short to be worth a switch: what can
//! be known of that while another turn is under way, and what follows at its end.

use super::{NOBODY, of_bit, span};
use crate::account::Account;
use crate::engine::{Engine, bit, each};
use crate::vgpu::Vgpu;
use godwit_types::{Gfid, Index, RunlistId, VGPU_COUNT};

/// What follows when a turn is over in which all others had debts: rounds are left out until one
/// of them has paid for a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spare {
    /// Of the others, who comes to that first, and after how many rounds.
    of: u8,
    rounds: u32,
    /// The credit from which on the vGPU whose turn it was has another.
    worth_ns: i32,
}

/// Rounds that were left out for a turn that has begun, and are not accounted for yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skipped {
    rounds: u32,
    /// Whose turns those were.
    among: u32,
    /// Those from the first on, up to the second, were left out once more.
    from: u8,
    to: u8,
}

impl Skipped {
    pub(crate) const NONE: Self = Self { rounds: 0, among: 0, from: 0, to: 0 };
}

impl Engine {
    /// What a turn that has begun brings with it, and whose turns will be left out when it is over:
    /// what that costs is not spent between two groups.
    pub(crate) fn look_ahead(&mut self, runlist: RunlistId) {
        self.catch_up(runlist);
        let turn = self.runlists[runlist].turn;
        if turn.fresh {
            self.runlists[runlist].turn.fresh = false;
            self.note_save(runlist);
            for gfid in each(self.elastic & turn.bit()) {
                self.renew_loan(runlist, gfid);
            }
        }
        if !turn.unseen {
            return;
        }
        self.runlists[runlist].turn.unseen = false;
        let keeps = self.rules.policy.keeps();
        // Whoever goes ahead of a turn may come to wait for its own.
        let on = (*self.runlists[runlist].current).map_or(0, |current| bit(current.gfid));
        let among = if keeps { self.sharing } else { self.waiting(runlist) | on };
        let next = self.leave_out(runlist, among | turn.bit(), turn.of);
        let all_owe = next == turn.of && next != NOBODY;
        self.runlists[runlist].spare = all_owe.then(|| self.spare(runlist, among & !turn.bit()));
    }

    /// What follows when the turn is over that is under way, if these all have debts.
    fn spare(&self, runlist: RunlistId, others: u32) -> Spare {
        let averaging = self.rules.averaging();
        let worth_ns = |vgpu: &Vgpu| Account::worth_ns(vgpu.turn_ns, self.shortest_ns, averaging);
        let of = self.runlists[runlist].turn.of;
        let own_ns = Gfid::from_index(of.into()).map_or(0, |gfid| worth_ns(&self.vgpus[gfid]));
        let mut spare = Spare { of, rounds: u32::MAX, worth_ns: own_ns };
        for gfid in each(others) {
            let vgpu = &self.vgpus[gfid];
            let rounds = vgpu.accounts[runlist].rounds_to(worth_ns(vgpu), vgpu.turn_ns);
            if rounds < spare.rounds {
                (spare.of, spare.rounds) = (gfid.index() as u8, rounds);
            }
        }
        spare
    }

    /// Leaves turns out that are too short, up to one that is not, or to that of `last`. Returns
    /// whose that is.
    fn leave_out(&mut self, runlist: RunlistId, among: u32, last: u8) -> u8 {
        let mut next = self.turn_after(runlist, among);
        for _ in 0..VGPU_COUNT {
            if next == last || self.length_ns(runlist, next) >= self.shortest_ns as i32 {
                break;
            }
            self.leave_out_one(runlist, next);
            next = self.turn_after(runlist, among);
        }
        next
    }

    #[cold]
    pub(super) fn leave_out_one(&mut self, runlist: RunlistId, of: u8) {
        if let Some(gfid) = Gfid::from_index(of.into()) {
            let vgpu = &mut self.vgpus[gfid];
            vgpu.accounts[runlist].leave_out(vgpu.turn_ns);
            self.runlists[runlist].turn.left_out |= bit(gfid);
        }
    }

    /// Whose turn is next where all others had debts when it was looked at. That takes as long for
    /// any number of vGPUs: who of them is first is known.
    #[cold]
    #[inline(never)]
    pub(super) fn pay(&mut self, runlist: RunlistId, among: u32, first: u8) -> u8 {
        let entry = &mut self.runlists[runlist];
        let turn = entry.turn;
        let (Some(spare), false) = (entry.spare.take(), turn.unseen) else { return first };
        let own = Gfid::from_index(first.into()).filter(|_| first == turn.of);
        let rounds = own.map_or(u32::MAX, |gfid| {
            let vgpu = &self.vgpus[gfid];
            vgpu.accounts[runlist].rounds_to(spare.worth_ns, vgpu.turn_ns)
        });
        let (of, rounds) =
            if rounds <= spare.rounds { (first, rounds) } else { (spare.of, spare.rounds) };
        let waits = |gfid: &Gfid| among & bit(*gfid) != 0 && rounds != u32::MAX;
        let Some(gfid) = Gfid::from_index(of.into()).filter(waits) else { return first };
        if rounds != 0 {
            self.catch_up(runlist);
            let vgpu = &mut self.vgpus[gfid];
            vgpu.accounts[runlist].leave_out_rounds(vgpu.turn_ns, rounds);
            let (among, from) = (among & !bit(gfid), turn.of);
            self.runlists[runlist].skipped = Skipped { rounds, among, from, to: of };
        }
        of
    }

    fn catch_up(&mut self, runlist: RunlistId) {
        if self.runlists[runlist].skipped.among != 0 {
            self.account_skipped(runlist);
        }
    }

    /// Accounts for the rounds that were left out.
    #[cold]
    #[inline(never)]
    fn account_skipped(&mut self, runlist: RunlistId) {
        let skipped = core::mem::replace(&mut self.runlists[runlist].skipped, Skipped::NONE);
        let (from, to) = (skipped.from, skipped.to);
        let more = if from == to { 0 } else { span(from, to) | of_bit(from) };
        for gfid in each(skipped.among) {
            let rounds = skipped.rounds.saturating_add(u32::from(more & bit(gfid) != 0));
            let vgpu = &mut self.vgpus[gfid];
            vgpu.accounts[runlist].leave_out_rounds(vgpu.turn_ns, rounds);
        }
    }
}
