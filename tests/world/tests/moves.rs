//! Goal: a kernel that is moved in the middle ends with the bytes of one that is not.
//! Method: each kernel is moved at many instruction counts, in each preemption mode, with a
//! neighbour on each host; the world's own checks are on throughout.

use godwit_shim::Live;
use godwit_sim_gpu::Costs;
use godwit_types::Profile;
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, HostId, HostSpec, JobId, JobSource, JobSpec, MoveSpec, Trigger, VgpuId, VgpuSpec,
    World, WorldConfig,
};

const MIB: u64 = 1 << 20;

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
    };
    world.add_host(spec).unwrap()
}

fn vgpu(world: &mut World, name: &str, host: HostId, job: godwit_kernels::Job) -> (VgpuId, JobId) {
    let vgpu = world.add_vgpu(VgpuSpec { name: name.into(), host, profile: PROFILE }).unwrap();
    let endless = job.expected.is_empty();
    let source = JobSource::Kernel(job);
    let spec = JobSpec { name: format!("{name}.job"), vgpu, source, repeat: 1, endless };
    (vgpu, world.add_job(spec).unwrap())
}

/// Two hosts, a job on the first with a neighbour, a neighbour on the second.
fn build(job: &godwit_kernels::Job) -> (World, HostId, VgpuId, JobId) {
    let mut world = World::new(WorldConfig { seed: 7, costs: Costs::default() });
    let a = host(&mut world, "a", 1_000_000_007);
    let b = host(&mut world, "b", 77);
    vgpu(&mut world, "near", a, godwit_kernels::Job::sha256_chain(3, 4, 2, 20));
    vgpu(&mut world, "far", b, godwit_kernels::Job::sha256_chain(4, 4, 2, 20));
    let (moved, job) = vgpu(&mut world, "moved", a, job.clone());
    (world, b, moved, job)
}

/// Instructions of the job when it is not moved.
fn unmoved(job: &godwit_kernels::Job) -> u64 {
    let (mut world, _, _, id) = build(job);
    assert!(world.run_until_settled(10_000_000_000), "{} does not end", job.name);
    let report = world.job_reports().into_iter().find(|report| report.job == id).unwrap();
    assert!(report.ok, "{}: {report:?}", job.name);
    report.instructions
}

fn move_at(job: &godwit_kernels::Job, instructions: u64, stop: StopMode, live: bool) {
    let (mut world, to, vgpu, id) = build(job);
    let live = live.then_some(Live { rounds_max: 2, pages_enough: 4 });
    let spec = MoveSpec { vgpu, to, live, stop, stop_timeout_ns: 640_000_000 };
    world.schedule(Trigger::After { job: id, instructions }, Action::Move(spec));
    let settled = world.run_until_settled(10_000_000_000);
    world.check_leaks();
    let context = format!("{} moved at {instructions} in {stop:?}, live {live:?}", job.name);
    assert!(settled, "{context}: it does not settle: {:?}", world.transfers());
    assert_eq!(world.problems(), [] as [String; 0], "{context}");
    for report in world.job_reports() {
        assert!(report.ok, "{context}: {} is {}", report.name, report.state);
    }
    let report = &world.move_reports()[0];
    assert_eq!(report.outcome, Ok(()), "{context}");
    let (old, new) = (report.old.unwrap().placement, report.new.unwrap().placement);
    assert_ne!(old.fb_base, new.fb_base, "{context}");
    assert_ne!(old.bar_base, new.bar_base, "{context}");
    assert_ne!(old.channel_base, new.channel_base, "{context}");
}

/// Moves at `count` places spread over the whole run, odd ones live.
fn moves(job: &godwit_kernels::Job, stop: StopMode, count: u64) {
    let total = unmoved(job);
    for turn in 0..count {
        let instructions = total * (2 * turn + 1) / (2 * count);
        move_at(job, instructions, stop, turn % 2 == 1);
    }
}

fn kernels() -> [godwit_kernels::Job; 3] {
    [
        godwit_kernels::Job::sha256_chain(1, 8, 4, 12),
        godwit_kernels::Job::matmul(1, 16, 4),
        godwit_kernels::Job::histogram(1, 2048, 16, 8, 3),
    ]
}

#[test]
fn a_kernel_moved_between_two_instructions_ends_with_the_same_bytes() {
    for job in kernels() {
        moves(&job, StopMode::Instruction, 200);
    }
}

#[test]
fn a_kernel_moved_between_two_blocks_ends_with_the_same_bytes() {
    for job in kernels() {
        moves(&job, StopMode::Cta, 50);
    }
}

#[test]
fn a_kernel_moved_when_idle_ends_with_the_same_bytes() {
    for job in kernels() {
        moves(&job, StopMode::Wfi, 50);
    }
}

#[test]
fn a_spinner_pinned_to_wfi_is_refused_and_spins_on() {
    let (mut world, to, vgpu, id) = build(&godwit_kernels::Job::spinner(4));
    let stop_timeout_ns = 20_000_000;
    let spec = MoveSpec { vgpu, to, live: None, stop: StopMode::Wfi, stop_timeout_ns };
    world.schedule(Trigger::At(2_000_000), Action::Move(spec));
    assert!(world.run_until_settled(200_000_000));
    let report = &world.move_reports()[0];
    assert!(report.outcome.as_ref().is_err_and(|why| why.contains("refused")), "{report:?}");
    assert!(report.total_ns < stop_timeout_ns + 1_000_000, "{report:?}");
    let spun = |world: &World| {
        let reports = world.job_reports();
        let report = reports.into_iter().find(|report| report.job == id).unwrap();
        assert!(report.ok, "{report:?}");
        report.instructions
    };
    let before = spun(&world);
    let until = world.now_ns() + 10_000_000;
    while world.now_ns() < until {
        world.step();
    }
    assert!(spun(&world) > before + 1_000_000, "it spins on");
    assert_eq!(world.engine_resets(), 0);
    assert_eq!(world.problems(), [] as [String; 0]);
}

#[test]
fn a_spinner_moves_between_two_instructions() {
    let (mut world, to, vgpu, id) = build(&godwit_kernels::Job::spinner(4));
    let live = Some(Live { rounds_max: 3, pages_enough: 1 });
    let stop = StopMode::Instruction;
    let spec = MoveSpec { vgpu, to, live, stop, stop_timeout_ns: 1_000_000 };
    world.schedule(Trigger::After { job: id, instructions: 500_001 }, Action::Move(spec));
    assert!(world.run_until_settled(200_000_000));
    assert_eq!(world.move_reports()[0].outcome, Ok(()));
    assert!(world.move_reports()[0].rounds >= 1);
    assert_eq!(world.problems(), [] as [String; 0]);
}
