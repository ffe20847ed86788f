//! Goal: whoever does not answer holds nobody up for ever, and costs no vGPU.
//! Method: links that carry nothing and devices that do not bind, in the middle of moves.

use godwit_shim::Live;
use godwit_sim_gpu::{Costs, Fault};
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, HostId, HostSpec, JobSource, JobSpec, MoveSpec, Trigger, VgpuId, VgpuSpec, World,
    WorldConfig,
};

const MIB: u64 = 1 << 20;
const SECOND_NS: u64 = 1_000_000_000;
/// Times in the middle of a move that begins at 1 ms.
const STALL_NS: [u64; 3] = [1_020_000, 1_060_000, 1_100_000];

struct Rig {
    world: World,
    from: HostId,
    to: HostId,
    vgpu: VgpuId,
}

impl Rig {
    fn new(kernel: godwit_kernels::Job) -> Self {
        let mut world = World::new(WorldConfig { seed: 1, costs: Costs::default() });
        let [from, to] = ["a", "b"].map(|name| {
            let spec = HostSpec {
                name: name.into(),
                fb_bytes: 64 * MIB,
                bar_bytes: 32 * MIB,
                context_bytes: 16 * MIB,
                start_ns: 5,
                context_layout: 1,
                engines: Engines::ALL,
                scheduling: Scheduling::DEFAULT,
            };
            world.add_host(spec).unwrap()
        });
        let profile = Profile {
            fb_bytes: 8 * MIB,
            bar_bytes: 6 * MIB,
            channel_count: 2,
            context_bytes: 32 * 1024,
        };
        let vgpu = world
            .add_vgpu(VgpuSpec { name: "v".into(), host: from, profile, share: Share::DEFAULT })
            .unwrap();
        let endless = kernel.expected.is_empty();
        let source = JobSource::Kernel(kernel);
        let job = JobSpec { name: "v.job".into(), vgpu, source, repeat: 1, endless };
        world.add_job(job).unwrap();
        Self { world, from, to, vgpu }
    }

    fn with_chain() -> Self {
        Self::new(godwit_kernels::Job::sha256_chain(3, 4, 2, 400))
    }

    /// Moves it live at 1 ms, and something else happens at `at_ns`.
    fn run(&mut self, stop: StopMode, stop_timeout_ns: u64, at_ns: u64, other: Action) {
        let live = Some(Live { rounds_max: 2, pages_enough: 0, downtime: None });
        let spec = MoveSpec { vgpu: self.vgpu, to: self.to, live, stop, stop_timeout_ns };
        self.world.schedule(Trigger::At(1_000_000), Action::Move(spec));
        self.world.schedule(Trigger::At(at_ns), other);
        assert!(self.world.run_until_settled(200 * SECOND_NS), "{:?}", self.world.transfers());
        self.world.check_leaks();
        assert_eq!(self.world.problems(), [] as [String; 0]);
        for report in self.world.job_reports() {
            assert!(report.ok, "{} is {}", report.name, report.state);
        }
    }

    fn outcome(&self) -> Result<(), String> {
        self.world.move_reports()[0].outcome.clone()
    }
}

#[test]
fn a_link_that_carries_nothing_for_a_while_is_waited_for() {
    let mut rig = Rig::with_chain();
    let stall = Action::StallLink(rig.from, rig.to, SECOND_NS);
    rig.run(StopMode::Instruction, SECOND_NS, STALL_NS[0], stall);
    assert_eq!(rig.outcome(), Ok(()));
    assert!(rig.world.move_reports()[0].total_ns > SECOND_NS);
}

#[test]
fn a_link_that_carries_nothing_for_long_undoes_both_sides() {
    for at_ns in STALL_NS {
        let mut rig = Rig::with_chain();
        let stall = Action::StallLink(rig.from, rig.to, 3 * SECOND_NS);
        rig.run(StopMode::Instruction, SECOND_NS, at_ns, stall);
        let why = rig.outcome().unwrap_err();
        assert!(why.starts_with("the destination"), "{at_ns}: {why}");
    }
}

#[test]
fn a_source_that_waits_for_a_boundary_is_not_taken_for_gone() {
    let mut rig = Rig::new(godwit_kernels::Job::spinner(2));
    let nothing = Action::StallLink(rig.from, rig.to, 1);
    rig.run(StopMode::Wfi, 22 * SECOND_NS / 10, 1_000_000, nothing);
    assert!(rig.outcome().unwrap_err().contains("boundary"), "{:?}", rig.outcome());
    assert_eq!(rig.world.engine_resets(), 0);
}

#[test]
fn a_destination_that_binds_late_runs_when_it_can() {
    let mut rig = Rig::with_chain();
    let stuck = Action::Fault(rig.to, Fault::BarStuckNs(5 * SECOND_NS / 2));
    rig.run(StopMode::Instruction, SECOND_NS, 1_000_000, stuck);
    assert_eq!(rig.outcome(), Ok(()));
    assert!(rig.world.move_reports()[0].total_ns > SECOND_NS);
}

#[test]
fn a_destination_that_never_binds_gives_it_back() {
    let mut rig = Rig::with_chain();
    // As often as it is asked for, and blocked again in between.
    let stuck = Action::Fault(rig.to, Fault::BarStuckNs(5 * SECOND_NS / 2));
    for _ in 1..2 * 8 {
        rig.world.schedule(Trigger::At(1_000_000), stuck.clone());
    }
    rig.run(StopMode::Instruction, SECOND_NS, 1_000_000, stuck);
    let why = rig.outcome().unwrap_err();
    assert!(why.contains("gives it back") && why.contains("Deadline"), "{why}");
}

#[test]
fn a_copy_engine_that_does_not_answer_ends_the_move_only() {
    let mut rig = Rig::with_chain();
    // Some hundred microseconds become longer than the firmware waits.
    let slow = Action::Fault(rig.from, Fault::CopySlow(11_000_000));
    rig.run(StopMode::Instruction, SECOND_NS, 1_010_000, slow);
    assert!(rig.outcome().is_err(), "{:?}", rig.world.move_reports());
}
