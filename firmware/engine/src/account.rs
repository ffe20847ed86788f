//! A vGPU's account of its time on one engine.

use godwit_types::SLICE_NS_MAX;

/// What a debt is at most, in nanoseconds: more than any deadline lets one preemption and its
/// resets take, so that nobody gains by it, and no vGPU waits for its next turn for ever.
const DEBT_MAX_NS: i32 = 100_000_000;
/// A debt of more than so many quanta is not paid in small parts.
const DEBT_QUANTA: i32 = 2;

/// A vGPU's time on one engine, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// What it may have beyond its next quantum; below zero: what it had too much.
    credit_ns: i32,
    /// What it may have of others' time until its next turn.
    pub(crate) loan_ns: u32,
    /// What it has had since its last turn, and before its next.
    ahead_ns: u32,
    /// What its turn would have beyond what a turn may have: that of the next.
    over_ns: u32,
    /// What it did not use of its last turn.
    lost_ns: u32,
}

impl Account {
    pub(crate) const EMPTY: Self =
        Self { credit_ns: 0, loan_ns: 0, ahead_ns: 0, over_ns: 0, lost_ns: 0 };

    /// That of a vGPU that comes from elsewhere with a debt, which is bounded here as any is.
    pub(crate) fn owing(ns: u32) -> Self {
        let mut account = Self::EMPTY;
        account.charge(ns.into());
        account
    }

    pub(crate) fn credit_ns(&self) -> i32 {
        self.credit_ns
    }

    pub(crate) fn debt_ns(&self) -> u32 {
        self.credit_ns.min(0).unsigned_abs()
    }

    pub(crate) fn charge(&mut self, ns: u64) {
        let ns = i32::try_from(ns).unwrap_or(i32::MAX);
        self.credit_ns = self.credit_ns.saturating_sub(ns).max(DEBT_MAX_NS.wrapping_neg());
    }

    /// It has had time before its turn.
    pub(crate) fn charge_ahead(&mut self, ns: u64) {
        self.charge(ns);
        let ns = u32::try_from(ns).unwrap_or(u32::MAX);
        self.ahead_ns = self.ahead_ns.saturating_add(ns).min(DEBT_MAX_NS.unsigned_abs());
    }

    pub(crate) fn refund(&mut self, ns: u32) {
        self.add(i32::try_from(ns).unwrap_or(i32::MAX));
    }

    /// How long a turn would be that began now: below zero, for a large debt.
    #[inline(always)]
    pub(crate) fn slice_ns(&self, quantum_ns: u32, averaging: u8) -> i32 {
        // Credit is a few slices at most, and a slice 30 ms: nothing here can wrap.
        let quantum = quantum_ns as i32;
        if self.credit_ns >= 0 {
            quantum.wrapping_add(self.credit_ns)
        } else {
            // What was had ahead comes off in full, so that no round is longer for it.
            let debt = self.credit_ns.wrapping_neg();
            let ahead = debt.min(self.ahead_ns as i32);
            let rest = debt.wrapping_sub(ahead);
            let part = rest.checked_div(averaging.into()).unwrap_or(rest).wrapping_add(1);
            let over = rest.wrapping_sub(quantum.wrapping_mul(DEBT_QUANTA));
            quantum.wrapping_sub(ahead).wrapping_sub(part.max(over).min(rest))
        }
    }

    /// A turn begins that would be so long: how long it is.
    #[inline(always)]
    pub(crate) fn begin(&mut self, quantum_ns: u32, slice_ns: i32) -> u32 {
        self.leave_out(quantum_ns);
        if slice_ns > SLICE_NS_MAX as i32 {
            self.over_ns = slice_ns.wrapping_sub(SLICE_NS_MAX as i32).unsigned_abs();
        }
        slice_ns.unsigned_abs().wrapping_sub(self.over_ns)
    }

    /// A turn is left out, for a debt or since it is too short to be worth a switch: it makes later
    /// ones longer.
    pub(crate) fn leave_out(&mut self, quantum_ns: u32) {
        self.credit_ns = self.credit_ns.wrapping_add(quantum_ns as i32);
        (self.ahead_ns, self.over_ns, self.lost_ns) = (0, 0, 0);
    }

    /// The same for its turns in so many rounds.
    #[inline(never)]
    pub(crate) fn leave_out_rounds(&mut self, quantum_ns: u32, rounds: u32) {
        if rounds != 0 {
            self.leave_out(0);
            self.refund(quantum_ns.saturating_mul(rounds));
        }
    }

    /// The credit from which on a turn is at least so long: below zero, a debt.
    pub(crate) fn worth_ns(quantum_ns: u32, shortest_ns: u32, averaging: u8) -> i32 {
        let (quantum, shortest) = (quantum_ns as i32, shortest_ns as i32);
        let off = quantum.wrapping_sub(shortest);
        // The largest debt of which no more comes off than that: see `slice_ns`.
        let in_parts = off.wrapping_sub(1).saturating_mul(averaging.into());
        let over = off.saturating_add(quantum.wrapping_mul(DEBT_QUANTA));
        let debt = if off > 0 { in_parts.min(over).max(off) } else { off };
        debt.wrapping_neg()
    }

    /// How many turns are to be left out until there is such a credit.
    #[inline(always)]
    pub(crate) fn rounds_to(&self, worth_ns: i32, quantum_ns: u32) -> u32 {
        let lacks_ns = worth_ns.saturating_sub(self.credit_ns);
        if lacks_ns <= 0 {
            return 0;
        }
        // Neither is above 2 s.
        let rounded_ns = lacks_ns.unsigned_abs().wrapping_add(quantum_ns).wrapping_sub(1);
        rounded_ns.checked_div(quantum_ns).unwrap_or(u32::MAX)
    }

    /// A turn of the round that is under way would have had another length. What was not used of
    /// it is not given back, and whoever did not use all has no use for more.
    pub(crate) fn correct(&mut self, was_ns: u32, is_ns: u32) {
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
    pub(crate) fn end(&mut self, kept_ns: u32) {
        let kept = self.credit_ns.min(kept_ns.wrapping_add(self.over_ns) as i32);
        self.lost_ns = self.credit_ns.wrapping_sub(kept).unsigned_abs();
        self.credit_ns = kept;
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
    fn as_many_turns_are_left_out_as_it_takes() {
        let debts_ns = [0, 1, MS / 2, MS, 3 * MS, 7 * MS, 100 * MS];
        let quanta_ns = [1_000, MS / 10, MS / 4 - 1, MS / 4, MS / 4 + 1, MS, 30 * MS];
        for (debt_ns, quantum_ns) in
            debts_ns.into_iter().flat_map(|debt| quanta_ns.map(|quantum| (debt, quantum)))
        {
            let owing = Account::owing(debt_ns);
            let is_worth = |rounds| {
                let mut account = owing;
                account.leave_out_rounds(quantum_ns, rounds);
                account.slice_ns(quantum_ns, 33) >= (MS / 4) as i32
            };
            let worth_ns = Account::worth_ns(quantum_ns, MS / 4, 33);
            let rounds = owing.rounds_to(worth_ns, quantum_ns);
            assert!(is_worth(rounds), "{debt_ns} {quantum_ns}: {rounds}");
            assert!(rounds < 2 || !is_worth(rounds - 2), "{debt_ns} {quantum_ns}: {rounds}");
        }
        assert_eq!(Account::owing(1).rounds_to(MS as i32, 0), u32::MAX, "without a turn");
    }

    #[test]
    fn turns_left_out_at_once_are_as_those_left_out_one_by_one() {
        let (mut one_by_one, mut at_once) = (Account::owing(9 * MS), Account::owing(9 * MS));
        (0..7).for_each(|_| one_by_one.leave_out(MS));
        at_once.leave_out_rounds(MS, 7);
        assert_eq!(one_by_one.debt_ns(), at_once.debt_ns());
        at_once.leave_out_rounds(MS, 0);
        assert_eq!(at_once.debt_ns(), 2 * MS);
    }

    #[test]
    fn a_debt_is_bounded() {
        let mut account = Account::EMPTY;
        account.charge(u64::MAX);
        account.charge(u64::MAX);
        assert_eq!(account.debt_ns(), DEBT_MAX_NS.unsigned_abs());
    }
}
