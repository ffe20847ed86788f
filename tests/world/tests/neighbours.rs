//! Goal: what a transfer costs the vGPUs beside it is told as it is.
//! Method: a world with neighbours that compute and that copy; with one engine that answers late
//! while the transfer goes on, and without.

use godwit_shim::Live;
use godwit_sim_gpu::{Costs, Fault};
use godwit_types::{Engines, Profile, RunlistId, SLICE_NS_FEW, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, CopyWork, HostId, HostSpec, JobSource, JobSpec, MoveSpec, NeighbourReport, Through,
    Trigger, VgpuId, VgpuSpec, World, WorldConfig,
};

const MIB: u64 = 1 << 20;
const BEGIN_NS: u64 = 30_000_000;

struct Rig {
    world: World,
    hosts: [HostId; 2],
    moved: VgpuId,
    beside: VgpuId,
    across: VgpuId,
    copies: VgpuId,
}

fn vgpu(world: &mut World, name: &str, host: HostId, source: JobSource, repeat: u32) -> VgpuId {
    let profile = Profile {
        fb_bytes: 8 * MIB,
        bar_bytes: 6 * MIB,
        channel_count: 4,
        context_bytes: 32 * 1024,
    };
    let vgpu = world
        .add_vgpu(VgpuSpec { name: name.into(), host, profile, share: Share::DEFAULT })
        .unwrap();
    let endless = matches!(&source, JobSource::Kernel(job) if job.expected.is_empty());
    let name = format!("{name}.job");
    world.add_job(JobSpec { name, vgpu, source, repeat, endless }).unwrap();
    vgpu
}

impl Rig {
    /// Two vGPUs that compute on the first host and one that copies, and one on the second.
    fn new() -> Self {
        let costs = Costs { copied_byte_fs: 1_000_000, ..Costs::default() };
        let mut world = World::new(WorldConfig { seed: 1, costs });
        let hosts = ["a", "b"].map(|name| {
            let spec = HostSpec {
                name: name.into(),
                fb_bytes: 64 * MIB,
                bar_bytes: 64 * MIB,
                context_bytes: 16 * MIB,
                start_ns: 5,
                context_layout: 1,
                engines: Engines::ALL,
                scheduling: Scheduling::DEFAULT,
            };
            world.add_host(spec).unwrap()
        });
        let spinner = || JobSource::Kernel(godwit_kernels::Job::spinner(4));
        let moved = vgpu(&mut world, "moved", hosts[0], spinner(), 1);
        let beside = vgpu(&mut world, "beside", hosts[0], spinner(), 1);
        let list = JobSource::Copies(CopyWork::new(1, 0, Through::Framebuffer));
        let copies = vgpu(&mut world, "copies", hosts[0], list, 600);
        let across = vgpu(&mut world, "across", hosts[1], spinner(), 1);
        Self { world, hosts, moved, beside, across, copies }
    }

    /// Moves one and, for as long as what it costs is of interest, lets the world go on.
    fn run(mut self, stop: StopMode) -> (Self, Vec<NeighbourReport>) {
        let live = Some(Live { rounds_max: 2, pages_enough: 4, downtime: None });
        let spec = MoveSpec {
            vgpu: self.moved,
            to: self.hosts[1],
            live,
            stop,
            stop_timeout_ns: 10_000_000,
        };
        self.world.schedule(Trigger::At(BEGIN_NS), Action::Move(spec));
        while self.world.now_ns() < 3 * BEGIN_NS {
            self.world.step();
        }
        assert_eq!(self.world.problems(), [] as [String; 0]);
        let moved = self.world.move_reports()[0].outcome.is_ok();
        assert_eq!(moved, stop == StopMode::Instruction, "{:?}", self.world.move_reports());
        let reports = self.world.neighbour_reports();
        (self, reports)
    }

    fn of(reports: &[NeighbourReport], vgpu: VgpuId) -> NeighbourReport {
        *reports.iter().find(|report| report.vgpu == vgpu).unwrap_or_else(|| panic!("{reports:?}"))
    }
}

#[test]
fn neighbours_keep_their_share_in_whole_rounds_that_hold_the_transfer() {
    let (rig, reports) = Rig::new().run(StopMode::Instruction);
    let total_ns = rig.world.move_reports()[0].total_ns;
    for (vgpu, computes, turns) in
        [(rig.beside, true, 2), (rig.across, true, 2), (rig.copies, false, 2)]
    {
        let report = Rig::of(&reports, vgpu);
        let round_ns = turns * SLICE_NS_FEW;
        assert_eq!(report.window_ns, total_ns.next_multiple_of(round_ns), "{report:?}");
        let parts = |it: godwit_world::Throughput| match computes {
            true => (it.instructions_per_ms, it.copied_bytes_per_ms),
            false => (it.copied_bytes_per_ms, it.instructions_per_ms),
        };
        let [(before, no), (during, not), (due, none)] =
            [report.before, report.during, report.due].map(parts);
        assert_eq!((no, not, none), (0, 0, 0), "{report:?}");
        assert!(before > 0 && during * 100 >= due * 95, "{report:?}");
    }
}

#[test]
fn a_neighbour_that_is_held_up_meanwhile_is_seen() {
    let mut rig = Rig::new();
    for _ in 0..16 {
        // Not so late that the firmware does anything about it.
        let late = Fault::AckLate(RunlistId::COMPUTE, 900_000);
        rig.world.schedule(Trigger::At(BEGIN_NS - 10_000), Action::Fault(rig.hosts[0], late));
    }
    // The spinner never comes to that boundary, so it takes its turns until the stop is refused.
    let (rig, reports) = rig.run(StopMode::Wfi);
    let held_up = Rig::of(&reports, rig.beside);
    let (during, due) = (held_up.during.instructions_per_ms, held_up.due.instructions_per_ms);
    assert!(during * 100 < due * 85, "{held_up:?}");
    assert!(held_up.before.instructions_per_ms * 100 >= due * 95, "{held_up:?}");
}
