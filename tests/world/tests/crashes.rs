//! Goal: when the firmware ends by itself, the engines go on or stop as the host was told, and
//! nothing else differs.
//! Method: one job alone on a card, whose firmware ends in each way, again and again, until nobody
//! starts it any more; what the job runs from then on is what the engines do by themselves.

use godwit_regs::bits::OnCrash;
use godwit_shim::Mishap;
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_world::{HostSpec, JobSource, JobSpec, VgpuSpec, World, WorldConfig};

const MIB: u64 = 1 << 20;
/// Restarts that a card tries, and one more.
const LOSSES: usize = 4;

/// What a job runs in 200 us without firmware.
fn alone(mishap: Mishap, on_crash: OnCrash) -> u64 {
    let mut world = World::new(WorldConfig { seed: 1, costs: Costs::default() });
    let spec = HostSpec {
        name: "host".into(),
        fb_bytes: 64 * MIB,
        bar_bytes: 64 * MIB,
        context_bytes: 16 * MIB,
        start_ns: 5,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    let host = world.add_host(spec).unwrap();
    world.set_on_crash(host, on_crash);
    let profile =
        Profile { fb_bytes: 8 * MIB, bar_bytes: 6 * MIB, channel_count: 2, context_bytes: 32768 };
    let vgpu = world
        .add_vgpu(VgpuSpec { name: "v".into(), host, profile, share: Share::DEFAULT })
        .unwrap();
    let source = JobSource::Kernel(godwit_kernels::Job::sha256_chain(3, 4, 2, 40));
    let job = JobSpec { name: "job".into(), vgpu, source, repeat: 1, endless: false };
    world.add_job(job).unwrap();
    let run = |world: &World| world.job_reports()[0].instructions;
    while run(&world) < 100_000 {
        world.step();
    }
    for _ in 0..LOSSES {
        world.crash_firmware(host, mishap, 0);
    }
    assert_eq!(world.losses().count(), LOSSES, "{mishap:?}");
    assert!(world.lost_host().is_some(), "{mishap:?}");
    let (before, until_ns) = (run(&world), world.now_ns() + 200_000);
    while world.now_ns() < until_ns {
        world.step();
    }
    run(&world) - before
}

#[test]
fn engines_go_on_or_stop_as_configured_however_the_firmware_ends() {
    for mishap in [Mishap::Trap, Mishap::Hang, Mishap::StackOverflow, Mishap::Cut] {
        // At the default costs an instruction takes a nanosecond.
        let goes_on = alone(mishap, OnCrash::empty());
        assert!(goes_on > 150_000, "{mishap:?}: {goes_on}");
        assert_eq!(alone(mishap, OnCrash::STOP), 0, "{mishap:?}");
    }
}
