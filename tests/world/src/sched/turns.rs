//! Whether an engine that is empty is being decided for, or kept for somebody without work.

use godwit_types::Gfid;
use std::collections::BTreeSet;

/// Whose turns there are on an engine.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// All that have turns. They take them in the order of their numbers.
    pub(super) vgpus: BTreeSet<Gfid>,
    /// Those of them that always have work.
    pub(super) busy: BTreeSet<Gfid>,
    /// The turn of one without work is kept for it.
    pub(super) kept: bool,
    /// A part of each round is nobody's.
    pub(super) nobody: bool,
    /// Where a turn may have been kept, an engine that was empty for longer was not only decided
    /// for.
    pub(super) cut_ns: u64,
}

impl Turns {
    /// Whether an engine that was empty for so long between these vGPUs' stays was so for the
    /// decision alone. Somebody always waits, so that holds however long it was, unless the turn
    /// of one without work was kept between them.
    pub(super) fn is_decision(&self, gap_ns: u64, last: Option<Gfid>, next: Gfid) -> bool {
        gap_ns <= self.cut_ns || !self.may_keep(last, next)
    }

    /// Whether a turn can have been kept from one's stay to the other's, theirs included: one that
    /// runs out of work has the rest of its turn kept, and so has one that is given work in it.
    fn may_keep(&self, last: Option<Gfid>, next: Gfid) -> bool {
        if !self.kept {
            return false;
        }
        let Some(last) = last else { return true };
        let wraps = next <= last;
        let between = |gfid: &Gfid| match wraps {
            true => *gfid >= last || *gfid <= next,
            false => (last..=next).contains(gfid),
        };
        (wraps && self.nobody)
            || self.vgpus.iter().any(|gfid| between(gfid) && !self.busy.contains(gfid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vgpu(number: u8) -> Gfid {
        Gfid::new(number).unwrap()
    }

    fn turns(kept: bool, nobody: bool) -> Turns {
        let vgpus = [1, 2, 3, 4].map(vgpu).into();
        Turns { vgpus, busy: [1, 2, 4].map(vgpu).into(), kept, nobody, cut_ns: 10 }
    }

    #[test]
    fn a_turn_is_kept_only_where_one_without_work_comes_between() {
        let cases = [(1, 2, true), (2, 4, false), (4, 1, true), (1, 1, false), (3, 4, false)];
        for (last, next, decision) in cases {
            let is = turns(true, false).is_decision(11, Some(vgpu(last)), vgpu(next));
            assert_eq!(is, decision, "{last} to {next}");
            assert!(turns(false, false).is_decision(11, Some(vgpu(last)), vgpu(next)));
            assert!(turns(true, false).is_decision(10, Some(vgpu(last)), vgpu(next)));
        }
        assert!(!turns(true, false).is_decision(11, None, vgpu(1)));
    }

    #[test]
    fn what_is_nobodys_comes_after_the_last() {
        assert!(!turns(true, true).is_decision(11, Some(vgpu(4)), vgpu(1)));
        assert!(turns(true, true).is_decision(11, Some(vgpu(1)), vgpu(2)));
    }
}
