//! Random worlds: jobs, moves, suspends, changes of who gets how much of the engines, faults,
//! restarts and cut links from one seed. Faults are on while safety is checked at each step; then
//! they are off, and everything must settle.

mod shares;
mod totals;

pub use totals::Totals;

use crate::{
    Action, CopyWork, EvacuateSpec, HostId, HostSpec, JobSource, JobSpec, MoveSpec, ResumeSpec,
    SuspendSpec, Through, Trigger, VgpuId, VgpuSpec, World, WorldConfig,
};
use godwit_regs::bits::OnCrash;
use godwit_shim::stream::StreamVersion;
use godwit_shim::{Downtime, FileOptions, Live, Mishap, Otherwise, ResumeOptions, SealKey};
use godwit_sim_gpu::{Costs, Fault};
use godwit_types::{Engines, Profile, RunlistId};
use godwit_wire::mailbox::StopMode;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shares::{make_stubborn, plan_changes, random_limits, random_scheduling, random_share};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
/// Faults and transfers begin within this virtual time.
const CHAOS_NS: u64 = 12_000_000;
/// Jobs of a vGPU; each has a channel of its own.
const JOBS_MAX: u16 = 4;
/// Every preemption ends within this: a stop that is pinned to a boundary has 20 ms in these
/// worlds, one that is refused for it asks anew, and what does not let go then is reset, which is
/// tried three times.
const LET_GO_NS: u64 = 55_000_000;
/// After it everything must settle within this.
const SETTLE_NS: u64 = 4_000_000_000;

/// How a seed ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was wrong; nothing may be.
    pub problems: Vec<String>,
    /// What happened.
    pub totals: Totals,
}

/// Runs one seed.
///
/// # Panics
///
/// When the world cannot be made, or something in it has a bug that it asserts.
pub fn run(seed: u64) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder for state files");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Copies take as long as several turns of the firmware, so that much falls into them.
    let costs = Costs { copied_byte_fs: 100_000, kernel_instruction_ps: 4_000, ..Costs::default() };
    let mut world = World::new(WorldConfig { seed, costs });
    let hosts = build_hosts(&mut world, &mut rng);
    // What goes over the bus has numbers of its own: older seeds keep theirs for the rest.
    let mut bus_rng = ChaCha8Rng::seed_from_u64(seed);
    bus_rng.set_stream(1);
    let (vgpus, homes) = build_vgpus(&mut world, &mut rng, &mut bus_rng, &hosts);
    if seed % 4 == 1 {
        world.set_seal(Some(Arc::new(SealKey::new([seed as u8; 32]))));
    }
    let version = limit_versions(&mut world, seed, &hosts);
    plan_transfers(&mut world, &mut rng, &hosts, &vgpus, (folder.path(), version));
    let changes = plan_changes(&mut world, &mut rng, &hosts, &vgpus);
    make_stubborn(&mut world, &mut rng, &vgpus);
    plan_faults(&mut world, &mut rng, &homes);
    plan_bus(&mut world, &mut bus_rng, &homes, &vgpus);
    plan_bounded(&mut world, &mut bus_rng, &hosts, &vgpus);
    let end_ns = CHAOS_NS + rng.random_range(0..CHAOS_NS);
    while world.now_ns() < end_ns {
        world.step();
    }
    world.clear_faults();
    let settled = settle(&mut world, &hosts);
    world.check_leaks();
    world.check_guests();
    let mut problems = world.problems().to_vec();
    if !settled {
        problems.push(format!("it does not settle: {:?}", world.transfers()));
        for job in world.job_reports() {
            problems.push(format!("job {}: {}", job.name, job.state));
        }
    }
    let mut outcome = outcome(&world, problems);
    outcome.totals.changes = changes;
    outcome
}

/// Lets everything come to its end. What is in a file, since its resume met a fault, is
/// resumed again.
fn settle(world: &mut World, hosts: &[HostId]) -> bool {
    let limit_ns = world.now_ns() + SETTLE_NS;
    while world.now_ns() < limit_ns {
        if !world.is_transferring() {
            for (at, (vgpu, path)) in world.suspended().into_iter().enumerate() {
                let to = hosts[at % hosts.len()];
                world.act(resume(vgpu, path, to));
            }
        }
        if world.is_settled() {
            return true;
        }
        world.step();
    }
    false
}

/// Adds up what happened. Only a vGPU whose work did not let go of an engine may lose a job; that
/// it was this job's own doing, the world has checked.
fn outcome(world: &World, mut problems: Vec<String>) -> Outcome {
    let mut totals = Totals::default();
    for report in world.move_reports() {
        match report.outcome {
            Ok(()) => totals.moved += 1,
            Err(_) => totals.undone += 1,
        }
    }
    for job in world.job_reports() {
        if job.ok {
            totals.jobs += 1;
        } else if job.state.contains("EngineReset") {
            totals.lost_jobs += 1;
        } else if is_banned(&job.state) && !world.vgpus[job.vgpu.0].unwilling.is_empty() {
            totals.banned_jobs += 1;
        } else {
            problems.push(format!("job {} is {}", job.name, job.state));
        }
        totals.preemptions += job.preemptions as u32;
    }
    totals.abuses = world.vgpus.iter().map(|vgpu| vgpu.abuses.len() as u32).sum();
    for node in &world.hosts {
        let Some(pump) = node.host.card().pump() else { continue };
        let counters = pump.engine().counters();
        totals.restarts += node.restarts;
        totals.longest_wait = totals.longest_wait.max(node.turns.longest);
        totals.resets += counters.resets;
        totals.lost_acks += counters.lost_acks;
        if node.turns.slowest_ns > LET_GO_NS {
            let (name, slowest_ns) = (&node.name, node.turns.slowest_ns);
            problems.push(format!("{name}: an engine was let go of after {slowest_ns} ns"));
        }
        if counters.overruns != 0 {
            problems.push(format!("{}: a queue of the engine overran", node.name));
        }
    }
    Outcome { problems, totals }
}

fn is_banned(state: &str) -> bool {
    state.contains("Banned") || state == "refused"
}

fn build_hosts(world: &mut World, rng: &mut ChaCha8Rng) -> Vec<HostId> {
    (0..rng.random_range(2..=3))
        .map(|at| {
            let spec = HostSpec {
                name: format!("host{at}"),
                fb_bytes: 256 * MIB,
                bar_bytes: 128 * MIB,
                context_bytes: 64 * MIB,
                start_ns: rng.random_range(0..1 << 50),
                context_layout: 1,
                engines: Engines::ALL,
                scheduling: random_scheduling(rng),
            };
            let host = world.add_host(spec).expect("a host");
            world.act(Action::Limit(host, random_limits(rng)));
            host
        })
        .collect()
}

/// Makes vGPUs with jobs. Returns them, and on which host each begins.
fn build_vgpus(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    bus_rng: &mut ChaCha8Rng,
    hosts: &[HostId],
) -> (Vec<VgpuId>, Vec<HostId>) {
    let (mut vgpus, mut homes) = (Vec::new(), Vec::new());
    for at in 0..rng.random_range(3..=6) {
        let profile = Profile {
            fb_bytes: [8, 12, 16][rng.random_range(0..3)] * MIB,
            bar_bytes: 6 * MIB,
            channel_count: rng.random_range(JOBS_MAX..=40),
            context_bytes: 32 * 1024,
        };
        let host = hosts[rng.random_range(0..hosts.len())];
        let name = format!("vgpu{at}");
        let vgpu = world
            .add_vgpu(VgpuSpec { name, host, profile, share: random_share(rng) })
            .expect("a vGPU");
        // Some of them may go on for up to a millisecond when their slice is over.
        world.set_grace(
            vgpu,
            if bus_rng.random_ratio(1, 3) { bus_rng.random_range(1..=10) } else { 0 },
        );
        for (turn, (source, repeat)) in random_jobs(rng, bus_rng).into_iter().enumerate() {
            let name = format!("vgpu{at}.job{turn}");
            let spec = JobSpec { name, vgpu, source, repeat, endless: false };
            world.add_job(spec).expect("a job");
        }
        vgpus.push(vgpu);
        homes.push(host);
    }
    (vgpus, homes)
}

/// Up to two kernels and up to two lists of copies, and how often each is done.
fn random_jobs(rng: &mut ChaCha8Rng, bus_rng: &mut ChaCha8Rng) -> Vec<(JobSource, u32)> {
    let mut jobs = Vec::new();
    for _ in 0..rng.random_range(0..=2) {
        let kernel = random_kernel(rng);
        // A histogram adds to what is there, so that a second launch changes it.
        let repeat = if kernel.name == "histogram" { 1 } else { rng.random_range(1..=3) };
        jobs.push((JobSource::Kernel(kernel), repeat));
    }
    let least = u64::from(jobs.is_empty());
    for place in 0..rng.random_range(least..=2) {
        let through = random_through(bus_rng);
        let work = CopyWork::new(rng.next_u64(), place, through);
        jobs.push((JobSource::Copies(work), rng.random_range(4..40)));
    }
    jobs
}

fn random_through(rng: &mut ChaCha8Rng) -> Through {
    if rng.random_ratio(1, 2) { Through::Framebuffer } else { Through::GuestMemory }
}

fn random_kernel(rng: &mut ChaCha8Rng) -> godwit_kernels::Job {
    let seed = rng.next_u64();
    match rng.random_range(0..3) {
        0 => godwit_kernels::Job::sha256_chain(seed, 8, 4, rng.random_range(10..80)),
        1 => godwit_kernels::Job::matmul(seed, 24, 4 * rng.random_range(1..=2)),
        _ => godwit_kernels::Job::histogram(seed, 2048, 16, 8, rng.random_range(4..16)),
    }
}

fn plan_transfers(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    hosts: &[HostId],
    vgpus: &[VgpuId],
    (folder, version): (&Path, StreamVersion),
) {
    for at in 0..rng.random_range(1..=6) {
        let when = Trigger::At(rng.random_range(0..CHAOS_NS));
        let vgpu = vgpus[rng.random_range(0..vgpus.len())];
        if rng.random_ratio(1, 4) {
            let path = folder.join(format!("{at}.{}", if at % 2 == 0 { "state" } else { SEALED }));
            let (stop, stop_timeout_ns) = random_stop(rng);
            let options = FileOptions { version, key: key(&path) };
            let spec = SuspendSpec { vgpu, path: path.clone(), stop, stop_timeout_ns, options };
            world.schedule(when, Action::Suspend(spec));
            let Trigger::At(at_ns) = when else { continue };
            let later = Trigger::At(at_ns + rng.random_range(0..CHAOS_NS));
            let to = hosts[rng.random_range(0..hosts.len())];
            world.schedule(later, resume(vgpu, path, to));
        } else {
            let live = rng.random_ratio(1, 2).then(|| Live {
                rounds_max: rng.random_range(1..4),
                pages_enough: rng.random_range(0..64),
                downtime: None,
            });
            let (stop, stop_timeout_ns) = random_stop(rng);
            let to = hosts[rng.random_range(0..hosts.len())];
            let spec = MoveSpec { vgpu, to, live, stop, stop_timeout_ns };
            world.schedule(when, Action::Move(spec));
        }
    }
}

/// In every fourth world one host is of a build that knows streams of version 1 only. Files are for
/// all hosts.
fn limit_versions(world: &mut World, seed: u64, hosts: &[HostId]) -> StreamVersion {
    if !seed.is_multiple_of(4) {
        return StreamVersion::NEWEST;
    }
    world.set_stream_version(hosts[0], StreamVersion::OLDEST);
    StreamVersion::OLDEST
}

/// What a sealed file's name ends with.
const SEALED: &str = "sealed";

/// The key of a file.
fn key(path: &Path) -> Option<Arc<SealKey>> {
    let is_sealed = path.extension().is_some_and(|it| it == SEALED);
    is_sealed.then(|| Arc::new(SealKey::new([7; 32])))
}

fn resume(vgpu: VgpuId, path: PathBuf, to: HostId) -> Action {
    let options = ResumeOptions { key: key(&path), keep: false };
    Action::Resume(ResumeSpec { vgpu, path, to, options })
}

fn random_stop(rng: &mut ChaCha8Rng) -> (StopMode, u64) {
    let mode = match rng.random_range(0..5) {
        0 => StopMode::Wfi,
        1 => StopMode::Cta,
        2 => StopMode::Escalate,
        _ => StopMode::Instruction,
    };
    (mode, rng.random_range(1_000_000..20_000_000))
}

/// Plans faults of hosts on which something runs.
fn plan_faults(world: &mut World, rng: &mut ChaCha8Rng, homes: &[HostId]) {
    for host in homes {
        if rng.random_ratio(1, 2) {
            world.set_on_crash(*host, OnCrash::STOP);
        }
    }
    for _ in 0..rng.random_range(0..=8) {
        let when = Trigger::At(rng.random_range(0..CHAOS_NS));
        let host = homes[rng.random_range(0..homes.len())];
        let runlist = if rng.random_ratio(1, 2) { RunlistId::COMPUTE } else { RunlistId::COPY };
        let fault = match rng.random_range(0..14) {
            0 | 1 => Fault::AckLost(runlist),
            2 => Fault::AckLate(runlist, rng.random_range(1..3_000_000)),
            3 => Fault::AckDoubled(runlist),
            4 => Fault::AckWrong(runlist),
            5 | 6 => Fault::EngineHang(runlist),
            7 => Fault::CopyError,
            8 => Fault::CopyBadCrc,
            9 => Fault::CopySlow(rng.random_range(2..50)),
            10 => Fault::BarStuckNs(rng.random_range(1..2_000_000)),
            11 | 12 => {
                world.schedule(when, restart(rng, host));
                continue;
            }
            _ => {
                let other = homes[rng.random_range(0..homes.len())];
                let cut_ns = rng.random_range(1..5_000_000);
                world.schedule(when, Action::CutLink(host, other, cut_ns));
                continue;
            }
        };
        world.schedule(when, Action::Fault(host, fault));
    }
}

/// Plans what has to do with the bus: ways to peers that are closed and opened, whoever has peers,
/// and what goes wrong there.
fn plan_bus(world: &mut World, rng: &mut ChaCha8Rng, homes: &[HostId], vgpus: &[VgpuId]) {
    for _ in 0..rng.random_range(0..=4) {
        let when = Trigger::At(rng.random_range(0..CHAOS_NS));
        let vgpu = vgpus[rng.random_range(0..vgpus.len())];
        world.schedule(when, Action::Peer(vgpu, rng.random_ratio(1, 2)));
    }
    for _ in 0..rng.random_range(0..=2) {
        let when = Trigger::At(rng.random_range(0..CHAOS_NS));
        let host = homes[rng.random_range(0..homes.len())];
        let fault = match rng.random_range(0..2) {
            0 => Fault::DmaLogLost,
            _ => Fault::PeersStuckNs(rng.random_range(1..2_000_000)),
        };
        world.schedule(when, Action::Fault(host, fault));
    }
}

/// Plans moves that may stand still for so long only, and hosts that are to be empty.
fn plan_bounded(world: &mut World, rng: &mut ChaCha8Rng, hosts: &[HostId], vgpus: &[VgpuId]) {
    for _ in 0..rng.random_range(0..=2) {
        let when = Trigger::At(rng.random_range(0..CHAOS_NS));
        let otherwise = if rng.random_ratio(1, 2) { Otherwise::GiveUp } else { Otherwise::Move };
        let downtime = Downtime { max_ns: rng.random_range(100_000..20_000_000), otherwise };
        let live = Some(Live { rounds_max: 4, pages_enough: 16, downtime: Some(downtime) });
        let (stop, stop_timeout_ns) = random_stop(rng);
        let host = hosts[rng.random_range(0..hosts.len())];
        world.schedule(
            when,
            if rng.random_ratio(1, 2) {
                let vgpu = vgpus[rng.random_range(0..vgpus.len())];
                Action::Move(MoveSpec { vgpu, to: host, live, stop, stop_timeout_ns })
            } else {
                let capped = rng.random_ratio(1, 2);
                Action::Evacuate(EvacuateSpec {
                    from: host,
                    to: Vec::new(),
                    parallel: rng.random_range(1..=3),
                    bandwidth: capped.then(|| rng.random_range(200_000_000..2_000_000_000)),
                    live: live.filter(|_| rng.random_ratio(1, 2)),
                    stop,
                    stop_timeout_ns,
                })
            },
        );
    }
}

/// A firmware that is restarted, or ends by itself and is restarted then.
fn restart(rng: &mut ChaCha8Rng, host: HostId) -> Action {
    match rng.random_range(0..3) {
        0 => Action::RestartFirmware(host),
        1 => Action::CrashFirmware(host, Mishap::Cut, 0),
        _ => Action::CrashFirmware(host, Mishap::Trap, 0),
    }
}
