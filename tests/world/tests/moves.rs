//! Goal: work that is moved in the middle ends with the bytes of work that is not.
//! Method: each kernel is moved at many instruction counts, a list of copies at many times, in
//! each preemption mode, with a neighbour on each host; the world's own checks are on throughout.

use godwit_shim::Live;
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, CopyWork, HostId, HostSpec, JobId, JobReport, JobSource, JobSpec, MoveReport, MoveSpec,
    Through, Trigger, VgpuId, VgpuSpec, World, WorldConfig,
};
use std::collections::BTreeSet;
use std::ops::Range;

const MIB: u64 = 1 << 20;

/// How often a list of copies is done.
const ROUNDS: u32 = 32;

const PROFILE: Profile =
    Profile { fb_bytes: 8 * MIB, bar_bytes: 6 * MIB, channel_count: 8, context_bytes: 32 * 1024 };

fn host(world: &mut World, name: &str, start_ns: u64) -> HostId {
    let spec = HostSpec {
        name: name.into(),
        fb_bytes: 128 * MIB,
        bar_bytes: 64 * MIB,
        context_bytes: 16 * MIB,
        start_ns,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    world.add_host(spec).unwrap()
}

fn vgpu(
    world: &mut World,
    name: &str,
    host: HostId,
    (source, repeat): (JobSource, u32),
) -> (VgpuId, JobId) {
    let vgpu = world
        .add_vgpu(VgpuSpec { name: name.into(), host, profile: PROFILE, share: Share::DEFAULT })
        .unwrap();
    let endless = matches!(&source, JobSource::Kernel(job) if job.expected.is_empty());
    let spec = JobSpec { name: format!("{name}.job"), vgpu, source, repeat, endless };
    (vgpu, world.add_job(spec).unwrap())
}

/// A world of two hosts in which one vGPU is moved.
struct Scene {
    world: World,
    to: HostId,
    vgpu: VgpuId,
    job: JobId,
}

impl Scene {
    /// Two hosts, a job on the first with a neighbour, a neighbour on the second.
    fn new(costs: Costs, job: (JobSource, u32), [near, far]: [(JobSource, u32); 2]) -> Self {
        let mut world = World::new(WorldConfig { seed: 7, costs });
        let a = host(&mut world, "a", 1_000_000_007);
        let to = host(&mut world, "b", 77);
        vgpu(&mut world, "near", a, near);
        vgpu(&mut world, "far", to, far);
        let (vgpu, job) = vgpu(&mut world, "moved", a, job);
        Self { world, to, vgpu, job }
    }

    fn of_kernel(job: &godwit_kernels::Job, repeat: u32) -> Self {
        let neighbours = [3, 4].map(|seed| godwit_kernels::Job::sha256_chain(seed, 4, 2, 20));
        // A move is to take few instructions, and stops are to have nothing in common.
        let costs = Costs { kernel_instruction_ps: 9_973, ..Costs::default() };
        let neighbours = neighbours.map(|job| (JobSource::Kernel(job), 1));
        Self::new(costs, (JobSource::Kernel(job.clone()), repeat), neighbours)
    }

    fn of_copies(work: &CopyWork) -> Self {
        let neighbours =
            [3, 4].map(|seed| JobSource::Copies(CopyWork::new(seed, 0, Through::Framebuffer)));
        let neighbours = neighbours.map(|list| (list, ROUNDS));
        // An entry is to take as long as several turns of the firmware.
        let costs = Costs { copied_byte_fs: 100_000, ..Costs::default() };
        Self::new(costs, (JobSource::Copies(work.clone()), ROUNDS), neighbours)
    }

    fn report(&self) -> JobReport {
        let reports = self.world.job_reports();
        reports.into_iter().find(|report| report.job == self.job).unwrap()
    }

    /// Moves the vGPU, every second `turn` live, and checks all that must hold then.
    fn run(&mut self, turn: u64, stop: StopMode, when: Trigger) -> MoveReport {
        let (vgpu, to) = (self.vgpu, self.to);
        let live =
            (turn % 2 == 1).then_some(Live { rounds_max: 2, pages_enough: 4, downtime: None });
        let spec = MoveSpec { vgpu, to, live, stop, stop_timeout_ns: 640_000_000 };
        self.world.schedule(when, Action::Move(spec));
        let settled = self.world.run_until_settled(10_000_000_000);
        self.world.check_leaks();
        self.world.check_guests();
        let context = format!("moved {when:?} in {stop:?}, live {live:?}");
        assert!(settled, "{context}: it does not settle: {:?}", self.world.transfers());
        assert_eq!(self.world.problems(), [] as [String; 0], "{context}");
        for report in self.world.job_reports() {
            assert!(report.ok, "{context}: {} is {}", report.name, report.state);
        }
        let report = self.world.move_reports()[0].clone();
        assert_eq!(report.outcome, Ok(()), "{context}");
        let (old, new) = (report.old.unwrap().placement, report.new.unwrap().placement);
        assert_ne!(old.fb_base, new.fb_base, "{context}");
        assert_ne!(old.bar_base, new.bar_base, "{context}");
        assert_ne!(old.channel_base, new.channel_base, "{context}");
        report
    }
}

/// A kernel that is launched so often.
struct Launches {
    kernel: godwit_kernels::Job,
    repeat: u32,
    /// Instructions of all launches when nothing is moved.
    total: u64,
}

impl Launches {
    fn new(kernel: godwit_kernels::Job, repeat: u32) -> Self {
        let mut scene = Scene::of_kernel(&kernel, repeat);
        assert!(scene.world.run_until_settled(10_000_000_000), "{} does not end", kernel.name);
        let report = scene.report();
        assert!(report.ok, "{}: {report:?}", kernel.name);
        Self { kernel, repeat, total: report.instructions }
    }

    /// Whether it always takes the same instructions. Threads of a histogram try again when
    /// others come between.
    fn is_exact(&self) -> bool {
        self.kernel.name != "histogram"
    }

    /// Moves at `count` places, odd ones live. Every stop must come in the middle of the job,
    /// and at least `distinct` of them at an instruction of their own.
    fn moves(&self, stop: StopMode, count: u64, distinct: usize) {
        let Self { kernel, repeat, total } = self;
        let blocks = u64::from(*repeat) * u64::from(kernel.grid);
        let mut stops = BTreeSet::new();
        for turn in 0..count {
            // The stop comes when the other host has accepted, so the last places are left out.
            let instructions = total * 9 / 10 * (turn + 1) / count;
            let mut scene = Scene::of_kernel(kernel, *repeat);
            let when = Trigger::After { job: scene.job, instructions };
            let report = scene.run(turn, stop, when);
            let (at, ran) = (report.instructions, scene.report().instructions);
            let context = format!("{} from {instructions} in {stop:?}", kernel.name);
            assert!(0 < at && at < ran, "{context}: stopped at {at} of {ran}");
            assert!(report.blackout_ns.is_some(), "{context}: it ran here and there: {report:?}");
            if self.is_exact() {
                assert_eq!(ran, *total, "{context}: each instruction is run once");
                let unit = match stop {
                    StopMode::Wfi => total / u64::from(*repeat),
                    StopMode::Cta => total / blocks,
                    StopMode::Instruction | StopMode::Escalate => 1,
                };
                assert_eq!(at % unit, 0, "{context}: stopped at {at}, {unit} each");
            }
            stops.insert(at);
        }
        println!("{} in {stop:?}: {} places in {total}", kernel.name, stops.len());
        assert!(stops.len() >= distinct, "{}: {stops:?} of {total}", kernel.name);
    }
}

/// From when to when the copies go on when they are not moved.
fn unmoved_copies(work: &CopyWork) -> Range<u64> {
    let mut scene = Scene::of_copies(work);
    let total = work.round_bytes() * u64::from(ROUNDS);
    let mut began_ns = 0;
    loop {
        let copied_bytes = scene.report().copied_bytes;
        if copied_bytes == 0 {
            began_ns = scene.world.now_ns();
        } else if copied_bytes == total {
            return began_ns..scene.world.now_ns();
        }
        assert!(scene.world.now_ns() < 1_000_000_000, "{:?}", scene.report());
        scene.world.step();
    }
}

/// Moves at `count` times spread over the whole run, odd ones live. Returns how many bytes of
/// an entry were done at the stops that came in the middle of one.
fn copy_moves(through: Through, stop: StopMode, count: u64) -> Vec<u64> {
    let work = CopyWork::new(1, 1, through);
    let total = work.round_bytes() * u64::from(ROUNDS);
    let life = unmoved_copies(&work);
    assert!(life.end - life.start > 1_000_000, "{life:?}");
    let mut halves = Vec::new();
    for turn in 0..count {
        let at_ns = life.start + (life.end - life.start) * (2 * turn + 1) / (2 * count);
        let mut scene = Scene::of_copies(&work);
        let report = scene.run(turn, stop, Trigger::At(at_ns));
        assert_eq!(scene.report().copied_bytes, total, "each byte is copied once: {report:?}");
        if report.copied_bytes < total {
            halves.push(work.bytes_into_entry(report.copied_bytes));
        }
    }
    halves.retain(|done| *done != 0);
    halves
}

/// Kernels of many blocks, each launched once: a stop in the middle is one within the kernel.
fn kernels() -> [Launches; 3] {
    [
        godwit_kernels::Job::sha256_chain(1, 200, 2, 1),
        godwit_kernels::Job::matmul(1, 40, 4),
        godwit_kernels::Job::histogram(1, 4096, 512, 4, 7),
    ]
    .map(|kernel| Launches::new(kernel, 1))
}

#[test]
fn a_kernel_moved_between_two_instructions_ends_with_the_same_bytes() {
    for job in kernels() {
        job.moves(StopMode::Instruction, 215, 200);
    }
}

#[test]
fn a_kernel_moved_between_two_blocks_ends_with_the_same_bytes() {
    for job in kernels() {
        job.moves(StopMode::Cta, 60, 50);
    }
}

/// Nothing is in flight between two launches, so there have to be many.
#[test]
fn a_kernel_moved_when_idle_ends_with_the_same_bytes() {
    let kernels = [
        godwit_kernels::Job::sha256_chain(1, 2, 2, 1),
        godwit_kernels::Job::matmul(1, 6, 3),
        often(godwit_kernels::Job::histogram(1, 128, 8, 4, 2), 120),
    ];
    for kernel in kernels {
        Launches::new(kernel, 120).moves(StopMode::Wfi, 60, 50);
    }
}

/// What a histogram holds when it was launched so often: it adds to what is there.
fn often(mut histogram: godwit_kernels::Job, repeat: u32) -> godwit_kernels::Job {
    let (bins, sum) = histogram.expected.split_at_mut(256 * 4);
    for bin in bins.as_chunks_mut().0 {
        *bin = u32::from_le_bytes(*bin).wrapping_mul(repeat).to_le_bytes();
    }
    for sum in sum.as_chunks_mut().0 {
        *sum = u64::from_le_bytes(*sum).wrapping_mul(repeat.into()).to_le_bytes();
    }
    histogram
}

#[test]
fn copies_moved_in_the_middle_of_an_entry_end_with_the_same_bytes() {
    let halves = copy_moves(Through::Framebuffer, StopMode::Instruction, 120);
    assert!(halves.len() >= 40, "{halves:?}");
}

#[test]
fn copies_moved_between_two_chunks_end_with_the_same_bytes() {
    let halves = copy_moves(Through::Framebuffer, StopMode::Cta, 25);
    assert!(!halves.is_empty() && halves.iter().all(|done| done % (64 * 1024) == 0), "{halves:?}");
}

#[test]
fn copies_moved_when_idle_end_with_the_same_bytes() {
    assert_eq!(copy_moves(Through::Framebuffer, StopMode::Wfi, 25), [0; 0]);
}

#[test]
fn copies_through_guest_memory_moved_in_the_middle_end_with_the_same_bytes() {
    let halves = copy_moves(Through::GuestMemory, StopMode::Instruction, 50);
    assert!(halves.len() >= 10, "{halves:?}");
    let halves = copy_moves(Through::GuestMemory, StopMode::Cta, 15);
    assert!(halves.iter().all(|done| done % (64 * 1024) == 0), "{halves:?}");
    assert_eq!(copy_moves(Through::GuestMemory, StopMode::Wfi, 15), [0; 0]);
}

#[test]
fn a_spinner_pinned_to_wfi_is_refused_and_spins_on() {
    let Scene { mut world, to, vgpu, job } = Scene::of_kernel(&godwit_kernels::Job::spinner(4), 1);
    let stop_timeout_ns = 20_000_000;
    let spec = MoveSpec { vgpu, to, live: None, stop: StopMode::Wfi, stop_timeout_ns };
    world.schedule(Trigger::After { job, instructions: 100_000 }, Action::Move(spec));
    assert!(world.run_until_settled(200_000_000));
    let report = &world.move_reports()[0];
    assert!(report.outcome.as_ref().is_err_and(|why| why.contains("refused")), "{report:?}");
    assert!(report.total_ns < stop_timeout_ns + 1_000_000, "{report:?}");
    let spun = |world: &World| {
        let reports = world.job_reports();
        let report = reports.into_iter().find(|report| report.job == job).unwrap();
        assert!(report.ok, "{report:?}");
        report.instructions
    };
    let before = spun(&world);
    let until = world.now_ns() + 10_000_000;
    while world.now_ns() < until {
        world.step();
    }
    assert!(spun(&world) > before + 100_000, "it spins on");
    assert_eq!(world.engine_resets(), 0);
    assert_eq!(world.problems(), [] as [String; 0]);
}

#[test]
fn a_spinner_moves_between_two_instructions() {
    let Scene { mut world, to, vgpu, job } = Scene::of_kernel(&godwit_kernels::Job::spinner(4), 1);
    let live = Some(Live { rounds_max: 3, pages_enough: 1, downtime: None });
    let stop = StopMode::Instruction;
    let spec = MoveSpec { vgpu, to, live, stop, stop_timeout_ns: 1_000_000 };
    world.schedule(Trigger::After { job, instructions: 500_001 }, Action::Move(spec));
    assert!(world.run_until_settled(200_000_000));
    assert_eq!(world.move_reports()[0].outcome, Ok(()));
    assert!(world.move_reports()[0].rounds >= 1);
    assert_eq!(world.problems(), [] as [String; 0]);
}
