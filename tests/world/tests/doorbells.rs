//! Goal: a guest's doorbell is never lost.
//! Method: situations in which one was; the world's own checks find a channel that has work of
//! which the firmware does not know.

use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_world::{
    Action, CopyWork, HostSpec, JobSource, JobSpec, Through, Trigger, VgpuSpec, World, WorldConfig,
};

const MIB: u64 = 1 << 20;

/// The first firmware leaves the copy ring full of scrubs, so those of the second wait for room,
/// and the binding of a channel waits behind them. Its guest may not be told before.
#[test]
fn a_channel_is_bound_before_its_guest_is_told() {
    let costs = Costs { copied_byte_fs: 100_000, ..Costs::default() };
    let mut world = World::new(WorldConfig { seed: 1, costs });
    let host = HostSpec {
        name: "host".into(),
        fb_bytes: 64 * MIB,
        bar_bytes: 64 * MIB,
        context_bytes: 16 * MIB,
        start_ns: 5,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    let host = world.add_host(host).unwrap();
    let profile = Profile {
        fb_bytes: 8 * MIB,
        bar_bytes: 6 * MIB,
        channel_count: 2,
        context_bytes: 32 * 1024,
    };
    let vgpu = world
        .add_vgpu(VgpuSpec { name: "vgpu".into(), host, profile, share: Share::DEFAULT })
        .unwrap();
    let source = JobSource::Copies(CopyWork::new(1, 0, Through::Framebuffer));
    let job = JobSpec { name: "job".into(), vgpu, source, repeat: 1, endless: false };
    world.add_job(job).unwrap();
    world.schedule(Trigger::At(90_000), Action::RestartFirmware(host));
    let settled = world.run_until_settled(100_000_000);
    assert_eq!(world.problems(), [] as [String; 0]);
    assert!(settled && world.job_reports()[0].ok, "{:?}", world.job_reports()[0].state);
}
