//! What transfers of a vGPU cost the vGPUs beside it.

use super::{BEGIN_NS, MIB, THREADS, profile, spec, vgpu};
use crate::events::{ResumeSpec, SuspendSpec};
use crate::vgpu::Home;
use crate::{
    Action, CopyWork, HostId, JobSource, JobSpec, MoveSpec, Through, Trigger, VgpuId, VgpuSpec,
    World, WorldConfig, WorldError,
};
use godwit_kernels::Job;
use godwit_shim::{Downtime, FileOptions, Live, Otherwise, ResumeOptions};
use godwit_sim_gpu::Costs;
use godwit_types::{Policy, Share};
use godwit_wire::mailbox::StopMode;
use std::error::Error;
use std::path::Path;

/// Rounds of a list of copies: more than there is time for at costs of a tenth.
const COPY_ROUNDS: u32 = 200_000;
/// Pages that the vGPU writes that moves, and rounds of them: more than there is time for.
const PAGES: u32 = 4096;
const ROUNDS: u64 = 1 << 32;
/// The bound of such moves beside whose neighbours it is looked at; where everything costs more,
/// it is as much longer.
const KEPT_DOWNTIME_NS: u64 = 20_000_000;
/// State files by where the vGPU was suspended.
const FROM_LEFT: &str = "left.state";
const FROM_RIGHT: &str = "right.state";

/// How a vGPU goes back and forth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With rounds while it runs.
    Live,
    /// With rounds, and a bound on how long it stands still.
    Bounded,
    /// Stopped first.
    Stopped,
    /// Into a file, and out of it on the other host.
    Suspended,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Live, Self::Bounded, Self::Stopped, Self::Suspended];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Bounded => "live, bounded",
            Self::Stopped => "stop-and-copy",
            Self::Suspended => "suspend, resume",
        }
    }

    /// The rounds of such a move.
    fn live(self, scale: (u64, u64)) -> Option<Live> {
        let downtime = match self {
            Self::Stopped | Self::Suspended => return None,
            Self::Live => None,
            Self::Bounded => {
                let max_ns = KEPT_DOWNTIME_NS * scale.0 / scale.1;
                Some(Downtime { max_ns, otherwise: Otherwise::GiveUp })
            }
        };
        Some(Live { rounds_max: 3, pages_enough: 64, downtime })
    }
}

/// What a neighbour does in two windows of the same length, in nanoseconds of work for it: without
/// a move, and while another vGPU moves again and again.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Which neighbour.
    pub name: String,
    /// Instructions of kernels and bytes of copies: without a move, and with moves.
    pub done: [u64; 2],
}

/// Measures what moves cost the vGPUs beside them: one vGPU, which writes all the time, goes back
/// and forth between two hosts, each of which has one that computes and one that copies. Returns
/// that, and the moves; a suspend and a resume are two.
///
/// Shares are fixed, so that each has the same part of its engine whoever is there.
///
/// # Errors
///
/// When the world cannot be made so, or a move fails.
pub fn kept(
    kind: Kind,
    scale: (u64, u64),
    window_ns: u64,
) -> Result<(Vec<Kept>, u32), Box<dyn Error>> {
    let base = Costs::default();
    // The scheduler does not care how much work there is in a slice, and the host that simulates it
    // does.
    let costs = Costs {
        kernel_instruction_ps: base.kernel_instruction_ps * 100,
        copied_byte_fs: base.copied_byte_fs * 1_000,
        ..base
    };
    let costs = costs.scaled(scale.0, scale.1);
    let folder = tempfile::tempdir()?;
    let mut world = World::new(WorldConfig { seed: 1, costs });
    let hosts = ["left", "right"].map(|name| spec(name, 256 * MIB, Policy::FixedShare));
    let [left, right] = hosts;
    let (left, right) = (world.add_host(left)?, world.add_host(right)?);
    let job = Job::page_writer(PAGES, THREADS, ROUNDS);
    let moved = vgpu(&mut world, "moved", (left, 64 * MIB), job)?;
    world.fill(moved, Job::page_writer_end(PAGES, THREADS));
    let beside = neighbours(&mut world, [(left, "left"), (right, "right")])?;
    let part = Share { part: 2_000, ..Share::DEFAULT };
    for vgpu in beside.iter().map(|(vgpu, _)| *vgpu).chain([moved]) {
        world.schedule(Trigger::At(1), Action::Share(vgpu, part));
    }
    let done = [false, true].map(|moves| {
        let back_and_forth =
            moves.then_some(Shuttle { vgpu: moved, between: [left, right], kind, scale });
        done_in(&mut world, window_ns, &beside, back_and_forth, folder.path())
    });
    if let Some(problem) = world.problems().first() {
        return Err(problem.clone().into());
    }
    if let Some(Err(why)) =
        world.move_reports().iter().map(|report| &report.outcome).find(|it| it.is_err())
    {
        return Err(why.clone().into());
    }
    let kept = beside
        .iter()
        .enumerate()
        .map(|(at, (_, name))| Kept { name: name.clone(), done: [done[0][at], done[1][at]] });
    Ok((kept.collect(), world.move_reports().len() as u32))
}

/// On each host a vGPU that computes and one that copies, with their names.
fn neighbours(
    world: &mut World,
    hosts: [(HostId, &str); 2],
) -> Result<Vec<(VgpuId, String)>, WorldError> {
    let mut beside = Vec::new();
    for (host, side) in hosts {
        let name = format!("{side}, computes");
        beside.push((vgpu(world, &name, (host, 8 * MIB), Job::spinner(THREADS))?, name));
        let name = format!("{side}, copies");
        let (profile, share) = (profile(8 * MIB), Share::DEFAULT);
        let copies = world.add_vgpu(VgpuSpec { name: name.clone(), host, profile, share })?;
        let source = JobSource::Copies(CopyWork::new(1, 0, Through::Framebuffer));
        let (name, vgpu, repeat) = (name.clone(), copies, COPY_ROUNDS);
        world.add_job(JobSpec { name: name.clone(), vgpu, source, repeat, endless: false })?;
        beside.push((copies, name));
    }
    Ok(beside)
}

/// A vGPU that goes back and forth.
#[derive(Clone, Copy, Debug)]
struct Shuttle {
    vgpu: VgpuId,
    between: [HostId; 2],
    kind: Kind,
    scale: (u64, u64),
}

impl Shuttle {
    /// The next step, when none is under way. `folder`: where its files are.
    fn next(&self, world: &World, folder: &Path) -> Option<Action> {
        let (vgpu, [left, right]) = (self.vgpu, self.between);
        let (stop, stop_timeout_ns) = (StopMode::Instruction, 640_000_000);
        let to_file = self.kind == Kind::Suspended;
        match &world.vgpus[vgpu.0].home {
            // It is resumed where it was not.
            Home::File(path) => {
                let to = if path.ends_with(FROM_LEFT) { right } else { left };
                let options = ResumeOptions { key: None, keep: false };
                Some(Action::Resume(ResumeSpec { vgpu, path: path.clone(), to, options }))
            }
            Home::Host(at, _) if to_file => {
                let path = folder.join(if *at == left { FROM_LEFT } else { FROM_RIGHT });
                let options = FileOptions::default();
                Some(Action::Suspend(SuspendSpec { vgpu, path, stop, stop_timeout_ns, options }))
            }
            Home::Host(at, _) => {
                let to = if *at == left { right } else { left };
                let live = self.kind.live(self.scale);
                Some(Action::Move(MoveSpec { vgpu, to, live, stop, stop_timeout_ns }))
            }
            Home::InFlight => None,
        }
    }
}

/// What neighbours do in a window, in which a vGPU may go back and forth between two hosts.
fn done_in(
    world: &mut World,
    window_ns: u64,
    beside: &[(VgpuId, String)],
    shuttle: Option<Shuttle>,
    folder: &Path,
) -> Vec<u64> {
    let from_ns = world.now_ns().next_multiple_of(BEGIN_NS) + BEGIN_NS;
    while world.now_ns() < from_ns {
        world.step();
    }
    let before = counts(world, beside);
    while world.now_ns() < from_ns + window_ns {
        if let Some(shuttle) = shuttle.filter(|_| !world.is_transferring())
            && let Some(action) = shuttle.next(world, folder)
        {
            world.schedule(Trigger::At(world.now_ns() + 1), action);
        }
        world.step();
    }
    let after = counts(world, beside);
    before.iter().zip(after).map(|(before, after)| after - before).collect()
}

fn counts(world: &World, of: &[(VgpuId, String)]) -> Vec<u64> {
    let done = |vgpu: &(VgpuId, String)| {
        let counts = world.counts(vgpu.0);
        counts.instructions + counts.copied_bytes
    };
    of.iter().map(done).collect()
}
