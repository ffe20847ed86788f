//! Whether an engine that is empty is being decided for, or kept for somebody without work.

use godwit_sim_gpu::Stay;
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
    /// Those who say that their work is urgent.
    pub(super) hurried: BTreeSet<Gfid>,
}

impl Turns {
    /// What decisions take: how long the engine was empty where no turn can have been kept, in a
    /// window's stays on it. Somebody always waits, so it was empty for nothing else.
    pub(super) fn decisions_ns<'a>(
        &self,
        stays: impl Iterator<Item = &'a Stay> + Clone,
    ) -> impl Iterator<Item = u64> {
        let next = stays.clone().skip(1);
        let gap_ns = |(last, next): (&Stay, &Stay)| {
            let decided = !self.may_keep(Some(last.gfid), next.gfid);
            decided.then(|| next.start_ns.saturating_sub(last.empty_ns))
        };
        stays.zip(next).filter_map(gap_ns)
    }

    /// Whether a turn can have been kept from one's stay to the other's, theirs included: one that
    /// runs out of work has the rest of its turn kept, and so has one that is given work in it.
    pub(super) fn may_keep(&self, last: Option<Gfid>, next: Gfid) -> bool {
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
    use godwit_types::RunlistId;

    fn vgpu(number: u8) -> Gfid {
        Gfid::new(number).unwrap()
    }

    fn turns(kept: bool, nobody: bool) -> Turns {
        let [vgpus, busy] = [[1, 2, 3, 4].map(vgpu).into(), [1, 2, 4].map(vgpu).into()];
        Turns { vgpus, busy, hurried: BTreeSet::new(), kept, nobody }
    }

    #[test]
    fn a_turn_is_kept_only_where_one_without_work_comes_between() {
        let cases = [(1, 2, false), (2, 4, true), (4, 1, false), (1, 1, true), (3, 4, true)];
        for (last, next, kept) in cases {
            let may = |turns: Turns| turns.may_keep(Some(vgpu(last)), vgpu(next));
            assert_eq!(may(turns(true, false)), kept, "{last} to {next}");
            assert!(!may(turns(false, false)));
        }
        assert!(turns(true, false).may_keep(None, vgpu(1)));
    }

    #[test]
    fn what_is_nobodys_comes_after_the_last() {
        assert!(turns(true, true).may_keep(Some(vgpu(4)), vgpu(1)));
        assert!(!turns(true, true).may_keep(Some(vgpu(1)), vgpu(2)));
    }

    #[test]
    fn a_decision_is_measured_where_no_turn_is_kept() {
        let stay = |gfid, start_ns, empty_ns| Stay {
            runlist: RunlistId::COMPUTE,
            gfid: vgpu(gfid),
            start_ns,
            loaded_ns: start_ns,
            asked_ns: None,
            saving_ns: empty_ns,
            empty_ns,
            reset: false,
        };
        // From 2 to 4 the turn of 3 was kept.
        let stays = [stay(1, 0, 100), stay(2, 110, 200), stay(4, 900, 950), stay(1, 980, 990)];
        let gaps_ns: Vec<u64> = turns(true, false).decisions_ns(stays.iter()).collect();
        assert_eq!(gaps_ns, [10, 30]);
    }
}
