//! How many instructions the firmware takes from the end of a slice to the next group's start.

use crate::{Rig, Work, mcu};
use godwit_regs::map::runlist;
use godwit_shim::SteppedCall;
use godwit_types::RunlistId;
use serde::Serialize;
use std::error::Error;

/// vGPUs that take turns, and channels of each that have work.
const LOADS: [(u32, u16); 3] = [(2, 1), (32, 2), (32, 64)];
/// Switches of which the worst counts: more than a round.
const SWITCHES: usize = 34;
/// Time in which there must be so many.
const TIME_MAX_NS: u64 = 400_000_000;

/// Instructions of one switch, with so many channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchCount {
    /// vGPUs that take turns.
    pub vgpus: u32,
    /// Channels that have work, of all of them.
    pub channels: u32,
    /// From the interrupt of the alarm to the preempt request, at worst.
    pub preempt: u32,
    /// From the interrupt of its answer to the request to start the next group, at worst.
    pub start: u32,
    /// Both, of one switch, at worst.
    pub both: u32,
}

/// Counts on one board, for few channels and for all that there are.
///
/// # Errors
///
/// When QEMU is missing, or something does not come to pass.
pub fn switch_counts(board: &str) -> Result<Vec<SwitchCount>, Box<dyn Error>> {
    LOADS.into_iter().map(|(vgpus, channels)| count(board, vgpus, channels)).collect()
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
    let (preempt, run) =
        (runlist::preempt_seq(RunlistId::COMPUTE), runlist::run_seq(RunlistId::COMPUTE));
    rig.host.card_mut().step_calls(vec![preempt, run]);
    let begin_ns = rig.host.now_ns();
    let mut calls: Vec<SteppedCall> = Vec::new();
    let written = |calls: &[SteppedCall], word| {
        let all = calls.iter().flat_map(|call| &call.writes);
        all.filter(|write| write.0 == word).map(|write| write.1).collect::<Vec<u32>>()
    };
    while written(&calls, run).len() < SWITCHES {
        if rig.host.now_ns() > begin_ns + TIME_MAX_NS {
            return Err("vGPUs do not take turns".into());
        }
        rig.pass(100_000);
        calls.extend(rig.host.card_mut().take_stepped());
    }
    let (preempts, starts) = (written(&calls, preempt), written(&calls, run));
    // They take turns, so each start follows the preempt request before it.
    let both = preempts.iter().zip(&starts).map(|(preempt, start)| preempt + start).max();
    Ok(SwitchCount {
        vgpus,
        channels: vgpus * u32::from(channels),
        preempt: preempts.into_iter().max().unwrap_or(0),
        start: starts.into_iter().max().unwrap_or(0),
        both: both.unwrap_or(0),
    })
}
