//! Goal: a vGPU whose work needs an engine does not move to a GPU without it.
//! Method: a move to a GPU that has a copy engine only is refused by name before the guest stops.

use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, RunlistId, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, HostSpec, JobSource, JobSpec, MoveSpec, Trigger, VgpuSpec, World, WorldConfig,
};

const MIB: u64 = 1 << 20;

#[test]
fn a_move_to_a_gpu_without_the_engine_is_refused_by_name() {
    let mut world = World::new(WorldConfig { seed: 1, costs: Costs::default() });
    let [from, to] = [Engines::ALL, Engines::NONE.with(RunlistId::COPY)].map(|engines| {
        let spec = HostSpec {
            name: format!("{engines:?}"),
            fb_bytes: 64 * MIB,
            bar_bytes: 64 * MIB,
            context_bytes: 16 * MIB,
            start_ns: 5,
            context_layout: 1,
            engines,
            scheduling: Scheduling::DEFAULT,
        };
        world.add_host(spec).unwrap()
    });
    let profile =
        Profile { fb_bytes: 8 * MIB, bar_bytes: 6 * MIB, channel_count: 2, context_bytes: 32768 };
    let vgpu = world
        .add_vgpu(VgpuSpec { name: "v".into(), host: from, profile, share: Share::DEFAULT })
        .unwrap();
    let source = JobSource::Kernel(godwit_kernels::Job::sha256_chain(3, 4, 2, 100));
    let job = JobSpec { name: "job".into(), vgpu, source, repeat: 1, endless: false };
    world.add_job(job).unwrap();
    let stop = StopMode::Instruction;
    let spec = MoveSpec { vgpu, to, live: None, stop, stop_timeout_ns: 10_000_000 };
    world.schedule(Trigger::At(400_000), Action::Move(spec));
    assert!(world.run_until_settled(1_000_000_000), "{:?}", world.transfers());
    world.check_leaks();
    assert_eq!(world.problems(), [] as [String; 0]);
    let report = &world.move_reports()[0];
    let why = report.outcome.clone().unwrap_err();
    assert!(why.contains("an engine that the GPU lacks: compute"), "{why}");
    // That is known before its guest stops.
    assert_eq!(report.blackout_ns, None);
    assert_eq!(report.bytes.stop, 0);
    assert!(world.job_reports()[0].ok, "{:?}", world.job_reports());
}
