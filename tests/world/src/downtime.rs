//! How long a vGPU that writes all the time stands still when it moves.

mod kept;

use crate::vgpu::Home;
use crate::{
    Action, HostId, HostSpec, JobSource, JobSpec, MoveSpec, NeighbourReport, Trigger, VgpuId,
    VgpuSpec, World, WorldConfig, WorldError,
};
use godwit_kernels::Job;
use godwit_shim::{Downtime, Estimate, Live, Otherwise};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Gfid, PAGE_BYTES, Policy, Profile, Scheduling, Share, Throttle};
use godwit_wire::mailbox::StopMode;
pub use kept::{Kept, Kind, kept};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MIB: u64 = 1 << 20;
/// Threads of the kernels.
const THREADS: u32 = 8;
/// What the CPU sees of a partition.
const BAR_BYTES: u64 = 64 * MIB;
/// When the vGPU moves.
const BEGIN_NS: u64 = 20_000_000;
const LIMIT_NS: u64 = 600_000_000_000;

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
