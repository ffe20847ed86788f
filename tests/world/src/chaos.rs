//! Random worlds: jobs, moves, suspends, faults, restarts and cut links from one seed. Faults
//! are on while safety is checked at each step; then they are off, and everything must
//! settle.

use crate::{
    Action, CopyWork, HostId, HostSpec, JobSource, JobSpec, MoveSpec, ResumeSpec, SuspendSpec,
    Trigger, VgpuId, VgpuSpec, World, WorldConfig,
};
use godwit_regs::bits::OnCrash;
use godwit_shim::{Live, Mishap};
use godwit_sim_gpu::{Costs, Fault};
use godwit_types::{Engines, Profile, RunlistId, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// Faults and transfers begin within this virtual time.
const CHAOS_NS: u64 = 12_000_000;
/// Jobs of a vGPU; each has a channel of its own.
const JOBS_MAX: u16 = 4;
/// After it everything must settle within this.
const SETTLE_NS: u64 = 4_000_000_000;

/// What happened in a seed, so that one can see that something did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transfers that came to pass.
    pub moved: u32,
    /// Transfers that were refused or undone.
    pub undone: u32,
    /// Restarts of firmware.
    pub restarts: u32,
    /// Jobs that ended with the right bytes.
    pub jobs: u32,
    /// Jobs that an engine reset or a fault on demand has ended.
    pub lost_jobs: u32,
    /// Engine resets.
    pub resets: u32,
    /// Preempt acknowledges that were found to be lost.
    pub lost_acks: u32,
}

impl Totals {
    /// Adds another seed's.
    pub fn add(&mut self, other: &Self) {
        self.moved += other.moved;
        self.undone += other.undone;
        self.restarts += other.restarts;
        self.jobs += other.jobs;
        self.lost_jobs += other.lost_jobs;
        self.resets += other.resets;
        self.lost_acks += other.lost_acks;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, undone, restarts, jobs, lost_jobs, resets, lost_acks } = self;
        write!(
            f,
            "transfers: {moved} came to pass, {undone} were refused or undone; jobs: {jobs} right, \
             {lost_jobs} lost; firmware restarts: {restarts}; engine resets: {resets}; \
             acknowledges lost: {lost_acks}"
        )
    }
}

/// Fewest seeds of which [`Totals::shortfalls`] tells.
const SAMPLE_MIN: u64 = 256;
/// What a thousand seeds must have done at least: less than half of what they do, since a
/// few hundred may do less than their share. A fault that no longer bites does next to nothing.
const FLOOR: Totals = Totals {
    moved: 1_300,
    undone: 800,
    restarts: 250,
    jobs: 4_800,
    lost_jobs: 45,
    resets: 60,
    lost_acks: 110,
};

impl Totals {
    /// What happened too rarely in so many seeds for them to have tried what they are to try.
    pub fn shortfalls(&self, seeds: u64) -> Vec<String> {
        if seeds < SAMPLE_MIN {
            return Vec::new();
        }
        let counts = [
            ("transfers came to pass", self.moved, FLOOR.moved),
            ("transfers were refused or undone", self.undone, FLOOR.undone),
            ("firmware restarts", self.restarts, FLOOR.restarts),
            ("jobs ended right", self.jobs, FLOOR.jobs),
            ("jobs were lost", self.lost_jobs, FLOOR.lost_jobs),
            ("engine resets", self.resets, FLOOR.resets),
            ("acknowledges were lost", self.lost_acks, FLOOR.lost_acks),
        ];
        let short = counts.into_iter().filter_map(|(what, found, floor)| {
            let least = u64::from(floor) * seeds / 1_000;
            let found = u64::from(found);
            (found < least).then(|| format!("{what}: {found}, at least {least} in {seeds} seeds"))
        });
        short.collect()
    }
}

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
    let costs = Costs { copied_byte_fs: 100_000, ..Costs::default() };
    let mut world = World::new(WorldConfig { seed, costs });
    let hosts = build_hosts(&mut world, &mut rng);
    let (vgpus, homes) = build_vgpus(&mut world, &mut rng, &hosts);
    plan_transfers(&mut world, &mut rng, &hosts, &vgpus, folder.path());
    let hangs = plan_faults(&mut world, &mut rng, &homes);
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
    outcome(&world, problems, hangs)
}

/// Lets everything come to its end. What is in a file, since its resume met a fault, is
/// resumed again.
fn settle(world: &mut World, hosts: &[HostId]) -> bool {
    let limit_ns = world.now_ns() + SETTLE_NS;
    while world.now_ns() < limit_ns {
        if !world.is_transferring() {
            for (at, (vgpu, path)) in world.suspended().into_iter().enumerate() {
                let to = hosts[at % hosts.len()];
                world.act(Action::Resume(ResumeSpec { vgpu, path, to }));
            }
        }
        if world.is_settled() {
            return true;
        }
        world.step();
    }
    false
}

/// Adds up what happened. Only an engine that hung may cost a job.
fn outcome(world: &World, mut problems: Vec<String>, hangs: u32) -> Outcome {
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
        } else {
            problems.push(format!("job {} is {}", job.name, job.state));
        }
    }
    if totals.lost_jobs > hangs {
        problems.push(format!("{} jobs were lost to {hangs} hangs", totals.lost_jobs));
    }
    for node in &world.hosts {
        let Some(pump) = node.host.card().pump() else { continue };
        let counters = pump.engine().counters();
        totals.restarts += node.restarts;
        totals.resets += counters.resets;
        totals.lost_acks += counters.lost_acks;
        if counters.overruns != 0 {
            problems.push(format!("{}: a queue of the engine overran", node.name));
        }
    }
    Outcome { problems, totals }
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
                scheduling: Scheduling::DEFAULT,
            };
            world.add_host(spec).expect("a host")
        })
        .collect()
}

/// Makes vGPUs with jobs. Returns them, and on which host each begins.
fn build_vgpus(
    world: &mut World,
    rng: &mut ChaCha8Rng,
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
            .add_vgpu(VgpuSpec { name, host, profile, share: Share::DEFAULT })
            .expect("a vGPU");
        for (turn, (source, repeat)) in random_jobs(rng).into_iter().enumerate() {
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
fn random_jobs(rng: &mut ChaCha8Rng) -> Vec<(JobSource, u32)> {
    let mut jobs = Vec::new();
    for _ in 0..rng.random_range(0..=2) {
        let kernel = random_kernel(rng);
        // A histogram adds to what is there, so that a second launch changes it.
        let repeat = if kernel.name == "histogram" { 1 } else { rng.random_range(1..=3) };
        jobs.push((JobSource::Kernel(kernel), repeat));
    }
    let least = u64::from(jobs.is_empty());
    for place in 0..rng.random_range(least..=2) {
        let work = CopyWork::new(rng.next_u64(), place);
        jobs.push((JobSource::Copies(work), rng.random_range(4..40)));
    }
    jobs
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
    folder: &Path,
) {
    for at in 0..rng.random_range(1..=6) {
        let when = Trigger::At(rng.random_range(0..CHAOS_NS));
        let vgpu = vgpus[rng.random_range(0..vgpus.len())];
        if rng.random_ratio(1, 4) {
            let path = folder.join(format!("{at}.state"));
            let (stop, stop_timeout_ns) = random_stop(rng);
            let spec = SuspendSpec { vgpu, path: path.clone(), stop, stop_timeout_ns };
            world.schedule(when, Action::Suspend(spec));
            let Trigger::At(at_ns) = when else { continue };
            let later = Trigger::At(at_ns + rng.random_range(0..CHAOS_NS));
            let to = hosts[rng.random_range(0..hosts.len())];
            world.schedule(later, Action::Resume(ResumeSpec { vgpu, path, to }));
        } else {
            let live = rng.random_ratio(1, 2).then(|| Live {
                rounds_max: rng.random_range(1..4),
                pages_enough: rng.random_range(0..64),
            });
            let (stop, stop_timeout_ns) = random_stop(rng);
            let to = hosts[rng.random_range(0..hosts.len())];
            let spec = MoveSpec { vgpu, to, live, stop, stop_timeout_ns };
            world.schedule(when, Action::Move(spec));
        }
    }
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

/// Plans faults of hosts on which something runs; returns how many hangs may cost a job.
fn plan_faults(world: &mut World, rng: &mut ChaCha8Rng, homes: &[HostId]) -> u32 {
    let mut hangs = 0;
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
            5 | 6 => {
                hangs += 1;
                Fault::EngineHang(runlist)
            }
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
    hangs
}

/// A firmware that is restarted, or ends by itself and is restarted then.
fn restart(rng: &mut ChaCha8Rng, host: HostId) -> Action {
    match rng.random_range(0..3) {
        0 => Action::RestartFirmware(host),
        1 => Action::CrashFirmware(host, Mishap::Cut, 0),
        _ => Action::CrashFirmware(host, Mishap::Trap, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_no_longer_bite_are_noticed() {
        assert_eq!(FLOOR.shortfalls(1_000), [] as [String; 0]);
        assert_eq!(Totals::default().shortfalls(SAMPLE_MIN - 1), [] as [String; 0]);
        assert_eq!(Totals::default().shortfalls(SAMPLE_MIN).len(), 7);
        let blunt = Totals { resets: FLOOR.resets - 1, ..FLOOR };
        assert_eq!(blunt.shortfalls(1_000), ["engine resets: 59, at least 60 in 1000 seeds"]);
    }
}
