//! Who had an engine for how long, and what switches took.

use super::turns::Turns;
use godwit_sim_gpu::Stay;
use godwit_types::{Gfid, RunlistId, Switch, SwitchCause};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;

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
    /// From the request to let go to the boundary, or to the end of the reset that it took.
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
    /// From the request to let go to the boundary, or to the end of the reset that it took.
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

/// Why groups left an engine, by the firmware's own ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Causes {
    /// No more work.
    pub idle: u64,
    /// The slice was over.
    pub slice: u64,
    /// The vGPU was stopped.
    pub stop: u64,
    /// A vGPU whose latency matters went before it.
    pub hint: u64,
    /// The time was lent, and its owner had work after all.
    pub recall: u64,
    /// The engine was reset.
    pub reset: u64,
}

impl Causes {
    pub(super) fn note(&mut self, switch: &Switch) {
        *match switch.cause {
            SwitchCause::Idle => &mut self.idle,
            SwitchCause::Slice => &mut self.slice,
            SwitchCause::Stop => &mut self.stop,
            SwitchCause::Hint => &mut self.hint,
            SwitchCause::Recall => &mut self.recall,
            SwitchCause::Reset => &mut self.reset,
        } += 1;
    }
}

/// Who pays for it that one goes ahead of another in that one's turn: for saving it, and for
/// deciding for it and loading it once more. What it takes to let go is its own. One whose turn
/// does not go on is saved and loaded as often as ever.
struct Ahead<'a> {
    /// When the firmware saw that a group was off for it.
    hints_ns: &'a [u64],
    /// Those who may go ahead.
    hurried: &'a BTreeSet<Gfid>,
    /// The stay before.
    last: Option<Stay>,
    /// The stay whose turn was interrupted, and who went ahead.
    interrupted: Option<(Stay, Gfid)>,
}

impl Ahead<'_> {
    /// `from_ns`: when the decision for the stay began.
    fn charge(&mut self, stay: &Stay, from_ns: u64, charges: &mut Vec<Charge>) {
        if let Some((off, by)) = self.interrupted
            && (off.gfid == stay.gfid || !self.hurried.contains(&stay.gfid))
        {
            self.interrupted = None;
            if off.gfid == stay.gfid {
                let ns = (off.empty_ns - off.saving_ns) + (stay.loaded_ns - from_ns);
                let (at_ns, ns) = (stay.empty_ns, ns as i64);
                charges.push(Charge { at_ns, gfid: stay.gfid, ns: -ns });
                charges.push(Charge { at_ns, gfid: by, ns });
            }
        }
        let Some(last) = self.last.replace(*stay) else { return };
        while let [at_ns, rest @ ..] = self.hints_ns
            && *at_ns <= stay.start_ns
        {
            self.hints_ns = rest;
            if *at_ns >= last.empty_ns && last.gfid != stay.gfid {
                self.interrupted = Some((last, stay.gfid));
            }
        }
    }
}

/// Time that a vGPU has had, or has not since somebody else pays for it.
#[derive(Clone, Copy, Debug)]
struct Charge {
    /// The end of the stay that it is for.
    at_ns: u64,
    gfid: Gfid,
    ns: i64,
}

/// One engine's time in a window.
#[derive(Debug)]
pub(super) struct Account {
    runlist: RunlistId,
    charges: Vec<Charge>,
    switches: SwitchTimes,
}

impl Account {
    /// From the stays that have ended in the window, in their order, and from the times at which
    /// the firmware saw that a group was off for one that goes ahead. Where a turn may have been
    /// kept, an engine that was empty for longer than `decision_ns_max` was not only decided for.
    pub(super) fn new(
        stays: &[Stay],
        hints_ns: &[u64],
        runlist: RunlistId,
        begin_ns: u64,
        turns: &Turns,
        decision_ns_max: u64,
    ) -> Self {
        let mut charges = Vec::new();
        let [mut preempt, mut save, mut decide, mut load] = [(); 4].map(|()| Vec::new());
        let (mut empty_ns, mut last) = (begin_ns, None);
        let hurried = &turns.hurried;
        let mut ahead = Ahead { hints_ns, hurried, last: None, interrupted: None };
        for stay in stays.iter().filter(|stay| stay.runlist == runlist) {
            let gap_ns = stay.start_ns.saturating_sub(empty_ns);
            // What ends a turn that was kept is a decision like any.
            let decided = gap_ns <= decision_ns_max || !turns.may_keep(last, stay.gfid);
            let decision_ns = if decided { gap_ns } else { decision_ns_max };
            let from_ns = stay.start_ns.saturating_sub(decision_ns);
            let had_ns = stay.empty_ns.saturating_sub(from_ns.max(begin_ns));
            charges.push(Charge { at_ns: stay.empty_ns, gfid: stay.gfid, ns: had_ns as i64 });
            ahead.charge(stay, from_ns, &mut charges);
            if decided && stay.start_ns > begin_ns {
                decide.push(gap_ns);
            }
            load.push(stay.loaded_ns.saturating_sub(stay.start_ns));
            // One that is reset saves nothing: it is being taken off until the reset is over.
            let boundary_ns = if stay.reset { stay.empty_ns } else { stay.saving_ns };
            preempt.extend(stay.asked_ns.map(|asked| boundary_ns.saturating_sub(asked)));
            if !stay.reset {
                save.push(stay.empty_ns.saturating_sub(stay.saving_ns));
            }
            (empty_ns, last) = (stay.empty_ns, Some(stay.gfid));
        }
        let switches = SwitchTimes {
            count: load.len() as u64,
            preempt: Quantiles::of(preempt),
            save: Quantiles::of(save),
            decide: Quantiles::of(decide),
            load: Quantiles::of(load),
        };
        Self { runlist, charges, switches }
    }

    pub(super) fn runlist(&self) -> RunlistId {
        self.runlist
    }

    /// How long a vGPU had the engine, in stays that ended in this part of the window.
    pub(super) fn attained_ns(&self, gfid: Gfid, during: &Range<u64>) -> i64 {
        let charges = self.charges.iter().filter(|charge| charge.gfid == gfid);
        charges.filter(|charge| during.contains(&charge.at_ns)).map(|charge| charge.ns).sum()
    }

    pub(super) fn switches(&self) -> &SwitchTimes {
        &self.switches
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

    fn vgpu(number: u8) -> Gfid {
        Gfid::new(number).unwrap()
    }

    /// vGPUs 1 and 2 always have work, and turns are kept for 3, which has none.
    fn turns() -> Turns {
        let [busy, hurried] = [[vgpu(1), vgpu(2)].into(), [vgpu(2)].into()];
        let vgpus = [vgpu(1), vgpu(2), vgpu(3)].into();
        Turns { vgpus, busy, hurried, kept: true, nobody: false }
    }

    fn account(stays: &[Stay]) -> Account {
        hinted(stays, &[])
    }

    fn hinted(stays: &[Stay], hints_ns: &[u64]) -> Account {
        Account::new(stays, hints_ns, RunlistId::COMPUTE, 1_000, &turns(), 100)
    }

    const ALL: Range<u64> = 0..u64::MAX;

    #[test]
    fn a_decision_is_charged_to_whoever_comes_next_and_a_kept_turn_to_nobody() {
        let stays = [stay(1, 1_010, 2_000), stay(2, 2_100, 3_000), stay(1, 103_000, 104_000)];
        let account = account(&stays);
        assert_eq!(account.attained_ns(vgpu(1), &ALL), 1_000 + 100 + 1_000);
        assert_eq!(account.attained_ns(vgpu(2), &ALL), 1_000);
        assert_eq!(account.switches().preempt.max_ns, 3);
        assert_eq!(account.switches().save.max_ns, 2);
        assert_eq!(account.switches().decide.max_ns, 100);
    }

    #[test]
    fn a_decision_counts_however_long_it_takes() {
        // From 1 to 2 no turn lies between that could be kept.
        let account = account(&[stay(1, 1_010, 2_000), stay(2, 92_000, 93_000)]);
        assert_eq!(account.switches().decide.max_ns, 90_000);
        assert_eq!(account.attained_ns(vgpu(2), &ALL), 91_000);
    }

    #[test]
    fn what_ended_in_a_part_of_the_window_counts_there() {
        let account = account(&[stay(1, 1_010, 2_000), stay(2, 2_100, 3_000)]);
        assert_eq!(account.attained_ns(vgpu(2), &(1_000..3_000)), 0);
        assert_eq!(account.attained_ns(vgpu(2), &(3_000..9_000)), 1_000);
    }

    #[test]
    fn a_preemption_that_takes_a_reset_lasts_until_it_is_over() {
        let reset =
            Stay { asked_ns: Some(2_000), saving_ns: 1_010, reset: true, ..stay(1, 1_010, 9_000) };
        let account = account(&[reset]);
        assert_eq!(account.switches().preempt.max_ns, 7_000);
        assert_eq!(account.switches().save, Quantiles::default());
    }

    #[test]
    fn whoever_goes_ahead_pays_for_what_is_saved_and_loaded_once_more() {
        // 1 is saved in 2, decided for in 10 and loads in 1; that it is asked 3 before that is its
        // own.
        let first = [stay(1, 1_000, 2_000), stay(2, 2_100, 3_000)];
        let had_ns = |next: Stay, hints_ns: &[u64]| {
            let account = hinted(&[first[0], first[1], next, stay(1, 5_000, 6_000)], hints_ns);
            [1, 2].map(|number| account.attained_ns(vgpu(number), &ALL))
        };
        let goes_on = stay(1, 3_010, 5_000);
        assert_eq!(had_ns(goes_on, &[]), [4_000, 1_000]);
        assert_eq!(had_ns(goes_on, &[2_050]), [4_000 - 13, 1_000 + 13]);
        // Of a time when nobody was between the two.
        assert_eq!(had_ns(goes_on, &[2_500]), [4_000, 1_000]);
        // Its turn was over.
        assert_eq!(had_ns(stay(3, 3_000, 5_000), &[2_050]), [2_000, 1_000]);
    }

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let times = (1..=1_000).rev().collect();
        let expected = Quantiles { p50_ns: 501, p99_ns: 991, max_ns: 1_000 };
        assert_eq!(Quantiles::of(times), expected);
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }
}
