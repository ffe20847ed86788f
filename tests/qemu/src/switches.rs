//! How many instructions the firmware takes from the end of a slice to the next group's start.

use crate::{Rig, Work, mcu};
use godwit_regs::map::runlist;
use godwit_shim::SteppedCall;
use godwit_types::RunlistId;
use serde::Serialize;
use std::error::Error;

/// vGPUs that take turns, and channels of each that have work.
const LOADS: [(u32, u16); 3] = [(2, 1), (32, 2), (32, 64)];
/// Time in which there must be so many.
const TIME_MAX_NS: u64 = 400_000_000;

/// Instructions of one switch, with so many channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchCount {
    /// vGPUs that take turns.
    pub vgpus: u32,
    /// Channels that have work, of all of them.
    pub channels: u32,
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
    LOADS.into_iter().map(|(vgpus, channels)| count(board, vgpus, channels)).collect()
}

/// Counts with two vGPUs of one channel each, which is as good as with all: a part of every
/// image's budget.
///
/// # Errors
///
/// As [`switch_counts`].
pub(crate) fn least_switch_count(board: &str) -> Result<SwitchCount, Box<dyn Error>> {
    let [(vgpus, channels), ..] = LOADS;
    count(board, vgpus, channels)
}

fn count(board: &str, vgpus: u32, channels: u16) -> Result<SwitchCount, Box<dyn Error>> {
    let mut rig = Rig::new(&mcu(board))?;
    let mut works: Vec<Work> = Vec::new();
    for _ in 0..vgpus {
        let mut work = rig.endless_work_on(channels)?;
        work.submit(&mut rig.host)?;
        rig.host.settle();
        works.push(work);
    }
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
        start: switches.iter().map(|switch| switch.0).max().unwrap_or(0),
        call: switches.iter().map(|switch| switch.1).max().unwrap_or(0),
    })
}
