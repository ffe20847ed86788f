//! How long a vGPU that writes all the time stands still when it moves, and what that costs others.

use crate::vgpu::Home;
use crate::{
    Action, CopyWork, HostId, HostSpec, JobSource, JobSpec, MoveSpec, NeighbourReport, Through,
    Trigger, VgpuId, VgpuSpec, World, WorldConfig, WorldError,
};
use godwit_kernels::Job;
use godwit_shim::{Downtime, Estimate, Live, Otherwise};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Gfid, PAGE_BYTES, Policy, Profile, Scheduling, Share, Throttle};
use godwit_wire::mailbox::StopMode;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;

const MIB: u64 = 1 << 20;
/// Threads of the kernels.
const THREADS: u32 = 8;
/// What the CPU sees of a partition.
const BAR_BYTES: u64 = 64 * MIB;
/// Rounds of a list of copies: more than there is time for at costs of a tenth.
const COPY_ROUNDS: u32 = 200_000;
/// When the vGPU moves.
const BEGIN_NS: u64 = 20_000_000;
const LIMIT_NS: u64 = 600_000_000_000;
/// The bound of such moves beside whose neighbours it is looked at; where everything costs more,
/// it is as much longer.
const KEPT_DOWNTIME_NS: u64 = 20_000_000;

/// What moves, and how.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// For all that is random.
    pub seed: u64,
    /// Framebuffer of the vGPU that moves, all of it with data.
    pub fb_bytes: u64,
    /// Pages that its kernel writes to, round after round, as fast as it can.
    pub pages: u32,
    /// Rounds of the kernel.
    pub rounds: u64,
    /// How it moves; `None`: it is stopped first.
    pub live: Option<Live>,
    /// What things cost, times this.
    pub scale: (u64, u64),
    /// vGPUs beside it, with a kernel that never ends, and as many at the destination.
    pub neighbours: u32,
    /// How they take turns.
    pub policy: Policy,
}

/// How a move went. Times are virtual.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it came to pass.
    pub moved: Result<(), String>,
    /// From the last instruction at the source to the first at the destination, in nanoseconds.
    pub blackout_ns: Option<u64>,
    /// What was expected before the stop.
    pub estimate: Option<Estimate>,
    /// From the request to the end, in nanoseconds.
    pub total_ns: u64,
    /// Rounds of pages while it ran.
    pub rounds: u32,
    /// The hardest throttle.
    pub throttle: Throttle,
    /// Bytes while it ran and after it was stopped.
    pub bytes: [u64; 2],
    /// Jobs that did not come to the end that they must come to.
    pub unfinished: usize,
    /// What the others did meanwhile.
    pub neighbours: Vec<NeighbourReport>,
}

fn spec(name: &str, fb_bytes: u64, policy: Policy) -> HostSpec {
    HostSpec {
        name: name.into(),
        fb_bytes,
        bar_bytes: fb_bytes,
        context_bytes: 64 * MIB,
        start_ns: 1_000_003,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling { policy, ..Scheduling::DEFAULT },
    }
}

fn profile(fb_bytes: u64) -> Profile {
    let bar_bytes = BAR_BYTES.min(fb_bytes);
    Profile { fb_bytes, bar_bytes, channel_count: 4, context_bytes: 64 * 1024 }
}

fn vgpu(
    world: &mut World,
    name: &str,
    (host, fb_bytes): (HostId, u64),
    job: Job,
) -> Result<VgpuId, WorldError> {
    let spec =
        VgpuSpec { name: name.into(), host, profile: profile(fb_bytes), share: Share::DEFAULT };
    let vgpu = world.add_vgpu(spec)?;
    let endless = job.expected.is_empty();
    let source = JobSource::Kernel(job);
    world.add_job(JobSpec { name: format!("{name}.job"), vgpu, source, repeat: 1, endless })?;
    Ok(vgpu)
}

/// Moves a vGPU in the middle of a kernel that writes pages, and lets it end.
///
/// # Errors
///
/// When the world cannot be made so.
pub fn run(case: &Case) -> Result<Outcome, WorldError> {
    let (numerator, denominator) = case.scale;
    let costs = Costs::default().scaled(numerator, denominator);
    let mut world = World::new(WorldConfig { seed: case.seed, costs });
    let beside_bytes = 8 * MIB;
    let fb_bytes = case.fb_bytes + u64::from(2 * case.neighbours + 2) * beside_bytes;
    let [from, to] = ["from", "to"].map(|name| spec(name, fb_bytes, case.policy));
    let (from, to) = (world.add_host(from)?, world.add_host(to)?);
    let job = Job::page_writer(case.pages, THREADS, case.rounds);
    let moved = vgpu(&mut world, "moved", (from, case.fb_bytes), job)?;
    world.fill(moved, Job::page_writer_end(case.pages, THREADS));
    for at in 0..case.neighbours {
        for (host, name) in [(from, "near"), (to, "far")] {
            vgpu(&mut world, &format!("{name}{at}"), (host, beside_bytes), Job::spinner(THREADS))?;
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
    let at_ns = BEGIN_NS + rng.random_range(0..BEGIN_NS);
    let action = Action::Move(MoveSpec {
        vgpu: moved,
        to,
        live: case.live,
        stop: StopMode::Instruction,
        stop_timeout_ns: 640_000_000,
    });
    world.schedule(Trigger::At(at_ns), action);
    let settled = world.run_until_settled(LIMIT_NS);
    world.check_leaks();
    Ok(outcome(&world, settled))
}

fn outcome(world: &World, settled: bool) -> Outcome {
    let mut problems = world.problems().to_vec();
    if !settled {
        problems.push("it does not settle".into());
    }
    let reports = world.job_reports();
    let unfinished = reports.iter().filter(|job| !job.ok).count();
    for job in reports.iter().filter(|job| !job.ok) {
        problems.push(format!("{} is {}", job.name, job.state));
    }
    let Some(report) = world.move_reports().first() else {
        problems.push("nothing moved".into());
        return Outcome {
            moved: Err(problems.join("; ")),
            blackout_ns: None,
            estimate: None,
            total_ns: 0,
            rounds: 0,
            throttle: Throttle::NONE,
            bytes: [0; 2],
            unfinished,
            neighbours: Vec::new(),
        };
    };
    let moved = match (&report.outcome, problems.is_empty()) {
        (Ok(()), true) => Ok(()),
        (Ok(()), false) => Err(problems.join("; ")),
        (Err(why), _) => Err(why.clone()),
    };
    Outcome {
        moved,
        blackout_ns: report.blackout_ns,
        estimate: report.estimate,
        total_ns: report.total_ns,
        rounds: report.rounds,
        throttle: report.throttle,
        bytes: [report.bytes.precopy, report.bytes.stop],
        unfinished,
        neighbours: world.neighbour_reports(),
    }
}

impl World {
    /// Leaves bytes in a partition from a place on, as if its guest had copied them there.
    fn fill(&mut self, vgpu: VgpuId, from: u64) {
        let Home::Host(host, gfid) = self.vgpus[vgpu.0].home else { return };
        let partition = self.partition(host, gfid);
        let page: Vec<u8> = (0..PAGE_BYTES).map(|at| (at % 251) as u8 + 1).collect();
        let end = partition.len();
        for at in (from..end).step_by(PAGE_BYTES as usize) {
            partition.write(at, &page).expect("it lies in the partition");
        }
    }

    fn partition(&self, host: HostId, gfid: Gfid) -> &godwit_sys::MemFile {
        let gpu = self.hosts[host.0].host.card().gpu();
        gpu.partition(gfid).expect("it is there").file()
    }
}

/// A case of the bound: a kernel that writes faster than the link carries, in a world of its own.
///
/// With up to three neighbours, 20 ms of downtime are enough for their turns.
pub fn bounded(seed: u64, max_ns: u64) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let pages = rng.random_range(60_000..100_000);
    let downtime = Downtime { max_ns, otherwise: Otherwise::GiveUp };
    Case {
        seed,
        fb_bytes: 512 * MIB,
        pages,
        rounds: rng.random_range(300..500),
        live: Some(Live { rounds_max: 40, pages_enough: 64, downtime: Some(downtime) }),
        scale: (1, 1),
        neighbours: rng.random_range(0..4),
        policy: [Policy::BestEffort, Policy::EqualShare][rng.random_range(0..2)],
    }
}

/// Pages that the vGPU of a [`standstill`] writes all the time: 16 MiB.
const WORKING_SET: u32 = 4096;

/// A case of how long a vGPU stands still that has so much and writes little of it, but that all
/// the time.
pub fn standstill(fb_bytes: u64, live: Option<Live>, scale: (u64, u64)) -> Case {
    // The kernel must run until the move is over: it is copied once, and some more.
    let byte_ps = 80 * scale.0 / scale.1;
    let instruction_ps = 1_000 * scale.0 / scale.1;
    let round_ps = u64::from(WORKING_SET) * 6 * instruction_ps;
    let rounds = (fb_bytes * byte_ps * 2 + 100_000_000_000) / round_ps;
    let (pages, policy) = (WORKING_SET, Policy::BestEffort);
    Case { seed: 1, fb_bytes, pages, rounds, live, scale, neighbours: 0, policy }
}

/// How a vGPU goes back and forth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With rounds while it runs.
    Live,
    /// With rounds, and a bound on how long it stands still.
    Bounded,
    /// Stopped first.
    Stopped,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Live, Self::Bounded, Self::Stopped];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Bounded => "live, bounded",
            Self::Stopped => "stop-and-copy",
        }
    }

    /// The rounds of such a move.
    fn live(self, scale: (u64, u64)) -> Option<Live> {
        let downtime = match self {
            Self::Stopped => return None,
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

/// Measures what moves cost the vGPUs beside them: one vGPU goes back and forth between two hosts,
/// each of which has one that computes and one that copies. Returns that, and the moves.
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
    let mut world = World::new(WorldConfig { seed: 1, costs });
    let hosts = ["left", "right"].map(|name| spec(name, 256 * MIB, Policy::FixedShare));
    let [left, right] = hosts;
    let (left, right) = (world.add_host(left)?, world.add_host(right)?);
    let moved = vgpu(&mut world, "moved", (left, 64 * MIB), Job::spinner(THREADS))?;
    world.fill(moved, 32 * MIB);
    let beside = neighbours(&mut world, [(left, "left"), (right, "right")])?;
    let part = Share { part: 2_000, ..Share::DEFAULT };
    for vgpu in beside.iter().map(|(vgpu, _)| *vgpu).chain([moved]) {
        world.schedule(Trigger::At(1), Action::Share(vgpu, part));
    }
    let done = [false, true].map(|moves| {
        let back_and_forth = moves.then_some((moved, [left, right], kind.live(scale)));
        done_in(&mut world, window_ns, &beside, back_and_forth)
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

/// What neighbours do in a window, in which a vGPU may go back and forth between two hosts.
fn done_in(
    world: &mut World,
    window_ns: u64,
    beside: &[(VgpuId, String)],
    moves: Option<(VgpuId, [HostId; 2], Option<Live>)>,
) -> Vec<u64> {
    let from_ns = world.now_ns().next_multiple_of(BEGIN_NS) + BEGIN_NS;
    while world.now_ns() < from_ns {
        world.step();
    }
    let before = counts(world, beside);
    while world.now_ns() < from_ns + window_ns {
        if let Some((vgpu, [left, right], live)) = moves.filter(|_| !world.is_transferring()) {
            let here = matches!(world.vgpus[vgpu.0].home, Home::Host(host, _) if host == left);
            let action = MoveSpec {
                vgpu,
                to: if here { right } else { left },
                live,
                stop: StopMode::Instruction,
                stop_timeout_ns: 640_000_000,
            };
            world.schedule(Trigger::At(world.now_ns() + 1), Action::Move(action));
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
