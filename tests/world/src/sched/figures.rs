//! Who had an engine for how long, and what switches took.

use godwit_sim_gpu::Stay;
use godwit_types::{Gfid, RunlistId};
use serde::Serialize;
use std::collections::BTreeMap;

/// Between two stays an engine that is empty for longer than this is not being decided for: the
/// turn is kept for one that has no work.
const DECISION_NS_MAX: u64 = 20_000;

/// Of one part of a switch: nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// None took longer.
    pub max_ns: u64,
}

impl Quantiles {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let at =
            |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
        let get = |part| at(part).copied().unwrap_or(0);
        Self { p50_ns: get(50), p99_ns: get(99), max_ns: times.last().copied().unwrap_or(0) }
    }
}

/// A part of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From the request to let go to the boundary.
    Preempt,
    /// Saving the contexts.
    Save,
    /// From the empty engine to the request to start the next group.
    Decide,
    /// Loading its contexts.
    Load,
}

/// What switches took, part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwitchTimes {
    /// How many there were.
    pub count: u64,
    /// From the request to let go to the boundary.
    pub preempt: Quantiles,
    /// Saving the contexts.
    pub save: Quantiles,
    /// From the empty engine to the request to start the next group.
    pub decide: Quantiles,
    /// Loading its contexts.
    pub load: Quantiles,
}

impl SwitchTimes {
    /// One part.
    pub fn part(&self, part: Part) -> Quantiles {
        match part {
            Part::Preempt => self.preempt,
            Part::Save => self.save,
            Part::Decide => self.decide,
            Part::Load => self.load,
        }
    }
}

/// One engine's time in a window.
#[derive(Debug)]
pub(super) struct Account {
    runlist: RunlistId,
    attained_ns: BTreeMap<Gfid, u64>,
    switches: SwitchTimes,
    resets: u64,
}

impl Account {
    /// From the stays that have ended in the window, in their order.
    pub(super) fn new(
        stays: &[Stay],
        runlist: RunlistId,
        begin_ns: u64,
        scale: (u64, u64),
    ) -> Self {
        let decision_ns = DECISION_NS_MAX * scale.0.div_ceil(scale.1);
        let (mut attained_ns, mut resets) = (BTreeMap::new(), 0);
        let [mut preempt, mut save, mut decide, mut load] = [(); 4].map(|()| Vec::new());
        let mut empty_ns = begin_ns;
        for stay in stays.iter().filter(|stay| stay.runlist == runlist) {
            let gap_ns = stay.start_ns.saturating_sub(empty_ns);
            let from_ns = if gap_ns <= decision_ns { empty_ns } else { stay.start_ns };
            let had_ns = stay.empty_ns.saturating_sub(from_ns.max(begin_ns));
            *attained_ns.entry(stay.gfid).or_insert(0) += had_ns;
            if gap_ns <= decision_ns && stay.start_ns > begin_ns {
                decide.push(gap_ns);
            }
            load.push(stay.loaded_ns.saturating_sub(stay.start_ns));
            if stay.reset {
                resets += 1;
            } else {
                save.push(stay.empty_ns.saturating_sub(stay.saving_ns));
                preempt.extend(stay.asked_ns.map(|asked| stay.saving_ns.saturating_sub(asked)));
            }
            empty_ns = stay.empty_ns;
        }
        let switches = SwitchTimes {
            count: load.len() as u64,
            preempt: Quantiles::of(preempt),
            save: Quantiles::of(save),
            decide: Quantiles::of(decide),
            load: Quantiles::of(load),
        };
        Self { runlist, attained_ns, switches, resets }
    }

    pub(super) fn runlist(&self) -> RunlistId {
        self.runlist
    }

    /// How long a vGPU had the engine.
    pub(super) fn attained_ns(&self, gfid: Gfid) -> u64 {
        self.attained_ns.get(&gfid).copied().unwrap_or(0)
    }

    pub(super) fn switches(&self) -> &SwitchTimes {
        &self.switches
    }

    pub(super) fn resets(&self) -> u64 {
        self.resets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(gfid: u8, start_ns: u64, empty_ns: u64) -> Stay {
        Stay {
            runlist: RunlistId::COMPUTE,
            gfid: Gfid::new(gfid).unwrap(),
            start_ns,
            loaded_ns: start_ns + 1,
            asked_ns: Some(empty_ns - 5),
            saving_ns: empty_ns - 2,
            empty_ns,
            reset: false,
        }
    }

    #[test]
    fn a_decision_is_charged_to_whoever_comes_next_and_a_kept_turn_to_nobody() {
        let stays = [stay(1, 1_010, 2_000), stay(2, 2_100, 3_000), stay(1, 103_000, 104_000)];
        let account = Account::new(&stays, RunlistId::COMPUTE, 1_000, (1, 1));
        assert_eq!(account.attained_ns(Gfid::new(1).unwrap()), 1_000 + 1_000);
        assert_eq!(account.attained_ns(Gfid::new(2).unwrap()), 1_000);
        assert_eq!(account.switches().preempt.max_ns, 3);
        assert_eq!(account.switches().save.max_ns, 2);
        assert_eq!(account.switches().decide.max_ns, 100);
    }

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let times = (1..=1_000).rev().collect();
        let expected = Quantiles { p50_ns: 501, p99_ns: 991, max_ns: 1_000 };
        assert_eq!(Quantiles::of(times), expected);
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }
}
