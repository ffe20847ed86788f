//! How many instructions the firmware takes from the end of a slice to the next group's start.

use crate::{Rig, Work, mcu};
use godwit_regs::map::runlist;
use godwit_shim::SteppedCall;
use godwit_types::{Policy, RunlistId, Scheduling, Share};
use serde::Serialize;
use std::error::Error;

/// What is on a card when its switches are counted.
#[derive(Clone, Copy, Debug)]
struct Load {
    vgpus: u32,
    /// Of each, that have work.
    channels: u16,
    policy: Policy,
    /// The last two vGPUs have turns a hundred times as long as the others', which are left out
    /// most of the time.
    uneven: bool,
}

/// The first is that with the fewest channels, and the third that with all that there are.
const LOADS: [Load; 6] = [
    Load { vgpus: 2, channels: 1, policy: Policy::BestEffort, uneven: false },
    Load { vgpus: 32, channels: 2, policy: Policy::BestEffort, uneven: false },
    Load { vgpus: 32, channels: 64, policy: Policy::BestEffort, uneven: false },
    Load { vgpus: 32, channels: 2, policy: Policy::FixedShare, uneven: false },
    Load { vgpus: 32, channels: 2, policy: Policy::BestEffort, uneven: true },
    Load { vgpus: 32, channels: 2, policy: Policy::EqualShare, uneven: true },
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
    /// Whether turns are of very different lengths.
    pub uneven: bool,
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
    let Load { vgpus, channels, policy, uneven } = load;
    let mut rig = Rig::new(&mcu(board))?;
    rig.host.set_scheduling(Scheduling { policy, ..Scheduling::DEFAULT })?;
    let mut works: Vec<Work> = Vec::new();
    for number in 0..vgpus {
        let mut work = rig.endless_work_on(channels)?;
        // Nothing is nobody's part, which would end by an alarm.
        let part = u32::from(Share::WHOLE).div_ceil(vgpus) as u16;
        let weight = if uneven && number + 2 >= vgpus { 100 } else { 1 };
        rig.host.set_share(work.gfid, Share { weight, part, ..Share::DEFAULT })?;
        work.submit(&mut rig.host)?;
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
        uneven,
        start: switches.iter().map(|switch| switch.0).max().unwrap_or(0),
        call: switches.iter().map(|switch| switch.1).max().unwrap_or(0),
    })
}
