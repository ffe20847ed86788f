//! How many instructions the firmware takes from the end of a slice to the next group's start.

use crate::{Rig, Work, mcu};
use godwit_regs::map::runlist;
use godwit_shim::SteppedCall;
use godwit_types::{Policy, RunlistId, SLICE_NS_MIN, Scheduling, Share};
use serde::Serialize;
use std::error::Error;

/// What is on a card when its switches are counted.
#[derive(Clone, Copy, Debug)]
struct Load {
    vgpus: u32,
    /// Of each, that have work.
    channels: u16,
    policy: Policy,
    turns: Turns,
}

/// How the turns of a load's vGPUs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turns {
    Alike,
    /// The last two vGPUs have turns a hundred times as long as the others', which are left out
    /// most of the time.
    Uneven,
    /// All let go of the engine as late as another turn is long, so that all have debts.
    Debts,
    /// Two vGPUs without work have turns that the others may have parts of: all of them in the
    /// first, and in the second only the one whose own turn is between the two.
    Lent,
}

impl Turns {
    fn name(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Uneven => "uneven",
            Self::Debts => "all in debt",
            Self::Lent => "lent",
        }
    }

    /// What a vGPU is due.
    fn share(self, number: u32, vgpus: u32) -> Share {
        let whole = u32::from(Share::WHOLE);
        let uneven = self == Self::Uneven && number + 2 >= vgpus;
        let (part, cap) = match self {
            Self::Lent if Self::is_idle(self, number) => (whole * 35 / 100, 0),
            Self::Lent => (whole * 30 / 100 / (vgpus - 2), whole * 30 / 100 * 3 / (vgpus - 2)),
            // Nothing is nobody's part, which would end by an alarm.
            Self::Alike | Self::Uneven | Self::Debts => (whole.div_ceil(vgpus), 0),
        };
        Share { weight: if uneven { 100 } else { 1 }, part: part as u16, cap: cap as u16 }
    }

    fn is_idle(self, number: u32) -> bool {
        self == Self::Lent && (number == 0 || number == 2)
    }
}

/// How late they let go of an engine with [`Turns::Debts`]: not too late for the deadline.
const LATE_NS: u64 = 950_000;

const fn load(vgpus: u32, channels: u16, policy: Policy, turns: Turns) -> Load {
    Load { vgpus, channels, policy, turns }
}

/// The first is that with the fewest channels, and the third that with all that there are.
const LOADS: [Load; 9] = [
    load(2, 1, Policy::BestEffort, Turns::Alike),
    load(32, 2, Policy::BestEffort, Turns::Alike),
    load(32, 64, Policy::BestEffort, Turns::Alike),
    load(32, 2, Policy::FixedShare, Turns::Alike),
    load(32, 2, Policy::BestEffort, Turns::Uneven),
    load(32, 2, Policy::EqualShare, Turns::Uneven),
    load(2, 1, Policy::BestEffort, Turns::Debts),
    load(8, 2, Policy::EqualShare, Turns::Debts),
    load(32, 2, Policy::FixedShare, Turns::Lent),
];
/// More than a round.
const SETTLE_NS: u64 = 60_000_000;
/// Time in which there must be so many.
const TIME_MAX_NS: u64 = 400_000_000;

/// Instructions of one switch, with so many channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchCount {
    /// vGPUs that take turns.
    pub vgpus: u32,
    /// Channels that have work, of all of them.
    pub channels: u32,
    /// Who gets the time.
    pub policy: &'static str,
    /// How their turns differ.
    pub turns: &'static str,
    /// From the end of a slice to the request to start the next group, at worst: the device takes
    /// the group off by itself, so these begin with the interrupt that says so.
    pub start: u32,
    /// Of the whole call, at worst: what is told of the switch and the end of the next slice
    /// included.
    pub call: u32,
}

/// Counts on one board, for few channels and for all that there are.
///
/// # Errors
///
/// When QEMU is missing, or something does not come to pass.
pub fn switch_counts(board: &str) -> Result<Vec<SwitchCount>, Box<dyn Error>> {
    LOADS.into_iter().map(|load| count(board, load)).collect()
}

/// Counts with two vGPUs of one channel each, which is as good as with all: a part of every
/// image's budget.
///
/// # Errors
///
/// As [`switch_counts`].
pub(crate) fn least_switch_count(board: &str) -> Result<SwitchCount, Box<dyn Error>> {
    let [least, ..] = LOADS;
    count(board, least)
}

fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::BestEffort => "best effort",
        Policy::EqualShare => "equal share",
        Policy::FixedShare => "fixed share",
    }
}

fn count(board: &str, load: Load) -> Result<SwitchCount, Box<dyn Error>> {
    let Load { vgpus, channels, policy, turns } = load;
    let mut rig = Rig::new(&mcu(board))?;
    let slice_ns = (turns == Turns::Debts).then_some(SLICE_NS_MIN);
    rig.host.set_scheduling(Scheduling { policy, slice_ns, ..Scheduling::DEFAULT })?;
    let mut works: Vec<Work> = Vec::new();
    for number in 0..vgpus {
        let mut work = rig.endless_work_on(channels)?;
        rig.host.set_share(work.gfid, turns.share(number, vgpus))?;
        if !turns.is_idle(number) {
            work.submit(&mut rig.host)?;
        }
        if turns == Turns::Debts {
            rig.host.card_mut().gpu_mut().set_stubborn(work.gfid, LATE_NS);
        }
        rig.host.settle();
        works.push(work);
    }
    // Those that follow a change of vGPUs, shares or work at once may take longer.
    rig.pass(SETTLE_NS);
    // The request to take a group off at the end of its slice, and the one to start a group.
    let (end, run) =
        (runlist::preempt_seq(RunlistId::COMPUTE), runlist::run_seq(RunlistId::COMPUTE));
    rig.host.card_mut().step_calls(vec![end, run]);
    let begin_ns = rig.host.now_ns();
    let before = rig.all_preemptions();
    let mut switches: Vec<(u32, u32)> = Vec::new();
    // Of more than a round, the worst counts.
    while switches.len() < vgpus as usize + 4 {
        if rig.host.now_ns() > begin_ns + TIME_MAX_NS {
            return Err("vGPUs do not take turns".into());
        }
        rig.pass(100_000);
        let calls: Vec<SteppedCall> = rig.host.card_mut().take_stepped();
        switches.extend(calls.iter().filter_map(|call| {
            let start = call.writes.iter().find(|write| write.0 == run)?;
            Some((start.1, call.instructions))
        }));
    }
    // Each of them was a slice that was over, and no alarm rang for it.
    let preemptions = rig.all_preemptions() - before;
    if preemptions != switches.len() as u64 {
        return Err(format!("{} starts after {preemptions} slices", switches.len()).into());
    }
    Ok(SwitchCount {
        vgpus,
        channels: vgpus * u32::from(channels),
        policy: policy_name(policy),
        turns: turns.name(),
        start: switches.iter().map(|switch| switch.0).max().unwrap_or(0),
        call: switches.iter().map(|switch| switch.1).max().unwrap_or(0),
    })
}
