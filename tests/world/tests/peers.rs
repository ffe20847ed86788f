//! Goal: a vGPU's work that goes through the aperture of another on its host ends with the right
//! bytes, and stands while its way there is closed.
//! Method: a list of copies with its scratch and its semaphores at the peer, beside one that has
//! none; the way is closed and opened many times, and the firmware restarted while it is closed.

use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_world::{
    Action, CopyWork, HostId, HostSpec, JobId, JobSource, JobSpec, Through, VgpuId, VgpuSpec,
    World, WorldConfig,
};

const MIB: u64 = 1 << 20;
const ROUNDS: u32 = 40;
const PROFILE: Profile =
    Profile { fb_bytes: 8 * MIB, bar_bytes: 8 * MIB, channel_count: 8, context_bytes: 32 * 1024 };

struct Scene {
    world: World,
    host: HostId,
    vgpu: VgpuId,
    through: JobId,
    beside: JobId,
}

/// One host with two vGPUs: the first one's list goes through the second one's aperture.
fn scene() -> Scene {
    let mut world = World::new(WorldConfig { seed: 3, costs: Costs::default() });
    let spec = HostSpec {
        name: "a".into(),
        fb_bytes: 64 * MIB,
        bar_bytes: 64 * MIB,
        context_bytes: 16 * MIB,
        start_ns: 1_000,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    let host = world.add_host(spec).unwrap();
    let mut add = |name: &str| {
        let (name, profile) = (name.into(), PROFILE);
        world.add_vgpu(VgpuSpec { name, host, profile, share: Share::DEFAULT }).unwrap()
    };
    let (vgpu, peer) = (add("first"), add("second"));
    world.connect(vgpu, peer);
    let mut job = |name: &str, vgpu, through| {
        let source = JobSource::Copies(CopyWork::new(5, 0, through));
        let spec = JobSpec { name: name.into(), vgpu, source, repeat: ROUNDS, endless: false };
        world.add_job(spec).unwrap()
    };
    let through = job("through", vgpu, Through::Peer);
    let beside = job("beside", peer, Through::GuestMemory);
    Scene { world, host, vgpu, through, beside }
}

impl Scene {
    fn copied(&self, job: JobId) -> u64 {
        let reports = self.world.job_reports();
        reports.into_iter().find(|report| report.job == job).unwrap().copied_bytes
    }

    fn pass(&mut self, ns: u64) {
        let until_ns = self.world.now_ns() + ns;
        while self.world.now_ns() < until_ns {
            self.world.step();
        }
    }

    fn must_end_right(mut self) {
        assert!(self.world.run_until_settled(1_000_000_000), "{:?}", self.world.job_reports());
        self.world.check_guests();
        assert_eq!(self.world.problems(), [] as [String; 0]);
        for report in self.world.job_reports() {
            assert!(report.ok, "{report:?}");
        }
    }
}

#[test]
fn work_through_a_peer_ends_with_the_right_bytes() {
    scene().must_end_right();
}

#[test]
fn while_the_way_is_closed_nothing_goes_to_the_peer_and_others_go_on() {
    let mut scene = scene();
    let mut stood = 0;
    for turn in 0..12 {
        scene.pass(40_000 + 1_777 * turn);
        scene.world.set_peer(scene.vgpu, false);
        let (through, beside) = (scene.copied(scene.through), scene.copied(scene.beside));
        // What of the list stays in the framebuffer may go on, up to the next entry for the peer.
        scene.pass(100_000);
        let stands = scene.copied(scene.through);
        assert!(stands - through < 64, "{through} {stands}");
        if turn == 6 {
            scene.world.act(Action::RestartFirmware(scene.host));
        }
        scene.pass(200_000);
        assert_eq!(scene.copied(scene.through), stands, "it stands");
        if scene.copied(scene.beside) > beside {
            stood += 1;
        }
        scene.world.set_peer(scene.vgpu, true);
    }
    assert!(stood > 0, "the other has never gone on");
    let total = CopyWork::new(5, 0, Through::Peer).round_bytes() * u64::from(ROUNDS);
    assert!(scene.copied(scene.through) < total, "it was held in the middle");
    scene.must_end_right();
}
