//! How many instructions the firmware takes for a call, in a scenario that is always the same.

use crate::switches::least_switch_count;
use crate::{Rig, Work, mcu};
use godwit_shim::{
    FileOptions, Live, Resume, ResumeOptions, ResumeState, SaveOptions, Suspend, SuspendState,
    Wanted,
};
use godwit_types::Gfid;
use godwit_wire::mailbox::StopMode;
use serde::Serialize;
use std::error::Error;
use std::path::Path;

/// Doorbells of which the worst counts.
const DOORBELLS: u32 = 8;
/// How long two vGPUs take turns: several slices.
const TURNS_NS: u64 = 30_000_000;

/// Instructions of the longest call of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// From the firmware's first own instruction after power-on to its first rest.
    pub start: u32,
    /// A doorbell rings for a channel that is idle, and it is started.
    pub doorbell: u32,
    /// A slice is over and another vGPU waits: all of the call, with what is told of it and the end
    /// of the next slice.
    pub slice_expiry: u32,
    /// From the interrupt that says that a slice is over, and the engine empty, to the request to
    /// start the next group.
    pub next_start: u32,
    /// A vGPU is saved while it runs, beside another one.
    pub save_call: u32,
    /// It is restored.
    pub restore_call: u32,
}

/// Counts on one board. The same image gives the same counts.
///
/// # Errors
///
/// When QEMU is missing, or something does not come to pass.
pub fn counts(board: &str) -> Result<Counts, Box<dyn Error>> {
    let mut rig = Rig::new(&mcu(board))?;
    let start = rig.take_longest_call();
    let mut work = rig.short_work()?;
    let doorbell = worst_doorbell(&mut rig, &mut work)?;
    let mut pair = [rig.endless_work()?, rig.endless_work()?];
    let slice_expiry = worst_slice(&mut rig, &mut pair)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let save_call = worst_save(&mut rig, pair[0].gfid, &path)?;
    let restore_call = worst_restore(&mut rig, &path)?;
    let next_start = least_switch_count(board)?.start;
    Ok(Counts { start, doorbell, slice_expiry, next_start, save_call, restore_call })
}

fn worst_doorbell(rig: &mut Rig, work: &mut Work) -> Result<u32, Box<dyn Error>> {
    let mut worst = 0;
    for _ in 0..DOORBELLS {
        work.submit(&mut rig.host)?;
        let calls = rig.host.card().calls();
        rig.take_longest_call();
        rig.host.settle();
        worst = worst.max(rig.take_longest_call());
        if rig.host.card().calls() != calls.map(|calls| calls + 1) {
            return Err("a doorbell takes more than one call, or none".into());
        }
        rig.finish(work)?;
    }
    Ok(worst)
}

/// Two vGPUs with work that never ends take turns.
fn worst_slice(rig: &mut Rig, pair: &mut [Work; 2]) -> Result<u32, Box<dyn Error>> {
    for work in &mut *pair {
        work.submit(&mut rig.host)?;
        rig.host.settle();
    }
    let preemptions = |rig: &Rig| pair.each_ref().map(|work| rig.preemptions(work.gfid));
    rig.take_longest_call();
    let before = preemptions(rig);
    rig.pass(TURNS_NS);
    let after = preemptions(rig);
    if before.iter().zip(after).any(|(before, after)| after < before + 2) {
        return Err(format!("vGPUs do not take turns: {before:?}, then {after:?}").into());
    }
    Ok(rig.take_longest_call())
}

fn worst_save(rig: &mut Rig, gfid: Gfid, path: &Path) -> Result<u32, Box<dyn Error>> {
    let live = Some(Live { rounds_max: 2, pages_enough: 0, downtime: None });
    let options = SaveOptions {
        uuid: [1; 16],
        token: 1,
        stop: StopMode::Escalate,
        stop_timeout_ns: 10_000_000,
    };
    rig.take_longest_call();
    let file = FileOptions::default();
    let mut suspend = Suspend::new(&mut rig.host, gfid, options, live, path, &file)?;
    rig.until("a vGPU is suspended", |host| match suspend.step(host) {
        SuspendState::WantsPause => {
            suspend.guest_paused(host);
            Ok(false)
        }
        SuspendState::Working | SuspendState::RunsOn | SuspendState::Committed => Ok(false),
        SuspendState::Suspended => Ok(true),
        SuspendState::Undone(why) => Err(why.into()),
    })?;
    Ok(rig.take_longest_call())
}

fn worst_restore(rig: &mut Rig, path: &Path) -> Result<u32, Box<dyn Error>> {
    let wanted = Wanted { profile: None, uuid: None, token: None };
    let mut resume = Resume::new(&rig.host, path, wanted, None, &ResumeOptions::default())?;
    rig.take_longest_call();
    rig.until("a vGPU is resumed", |host| match resume.step(host) {
        ResumeState::Working => Ok(false),
        ResumeState::Running(_) => Ok(true),
        ResumeState::Undone(why) => Err(why.into()),
    })?;
    Ok(rig.take_longest_call())
}
