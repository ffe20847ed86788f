//! Goal: a build of the stream's version before and one of the newest talk both ways, by move and
//! by file, and what the older one cannot read it refuses by name.
//! Method: two hosts, one of which is kept to version 1; a vGPU goes there and back in the middle
//! of its job, and ends with the right bytes.

use godwit_shim::stream::StreamVersion;
use godwit_shim::{FileOptions, Live, ResumeOptions, read_state};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, HostId, HostSpec, JobSource, JobSpec, MoveSpec, ResumeSpec, SuspendSpec, VgpuId,
    VgpuSpec, World, WorldConfig,
};
use std::path::Path;

const MIB: u64 = 1 << 20;
const STOP: StopMode = StopMode::Instruction;
const STOP_TIMEOUT_NS: u64 = 10_000_000;

struct Case {
    world: World,
    vgpu: VgpuId,
    older: HostId,
    newer: HostId,
}

/// A vGPU at work on the host of the newest version.
fn case() -> Case {
    let mut world = World::new(WorldConfig { seed: 5, costs: Costs::default() });
    let [older, newer] = ["older", "newer"].map(|name| {
        let spec = HostSpec {
            name: name.into(),
            fb_bytes: 32 * MIB,
            bar_bytes: 32 * MIB,
            context_bytes: 4 * MIB,
            start_ns: 0,
            context_layout: 1,
            engines: Engines::ALL,
            scheduling: Scheduling::DEFAULT,
        };
        world.add_host(spec).unwrap()
    });
    world.set_stream_version(older, StreamVersion::OLDEST);
    let profile = Profile {
        fb_bytes: 8 * MIB,
        bar_bytes: 6 * MIB,
        channel_count: 4,
        context_bytes: 32 * 1024,
    };
    let spec = VgpuSpec { name: "one".into(), host: newer, profile, share: Share::DEFAULT };
    let vgpu = world.add_vgpu(spec).unwrap();
    let source = JobSource::Kernel(godwit_kernels::Job::sha256_chain(9, 8, 4, 40));
    let spec = JobSpec { name: "job".into(), vgpu, source, repeat: 1, endless: false };
    world.add_job(spec).unwrap();
    let mut case = Case { world, vgpu, older, newer };
    case.pass(200_000);
    case
}

impl Case {
    fn pass(&mut self, ns: u64) {
        let end_ns = self.world.now_ns() + ns;
        while self.world.now_ns() < end_ns {
            self.world.step();
        }
    }

    /// Does it, and says how it ended.
    fn ends(&mut self, action: Action) -> Result<(), String> {
        let before = self.world.move_reports().len();
        self.world.act(action);
        while self.world.move_reports().len() == before {
            self.world.step();
        }
        self.world.move_reports()[before].outcome.clone()
    }

    fn moved(&mut self, to: HostId, live: Option<Live>) -> Result<(), String> {
        let (vgpu, stop, stop_timeout_ns) = (self.vgpu, STOP, STOP_TIMEOUT_NS);
        self.ends(Action::Move(MoveSpec { vgpu, to, live, stop, stop_timeout_ns }))
    }

    fn suspended(&mut self, path: &Path, version: u8) -> Result<(), String> {
        let options = FileOptions { version: StreamVersion::new(version).unwrap(), key: None };
        let (vgpu, path) = (self.vgpu, path.to_path_buf());
        let (stop, stop_timeout_ns) = (STOP, STOP_TIMEOUT_NS);
        self.ends(Action::Suspend(SuspendSpec { vgpu, path, stop, stop_timeout_ns, options }))
    }

    fn resumed(&mut self, path: &Path, to: HostId) -> Result<(), String> {
        let (vgpu, path, options) = (self.vgpu, path.to_path_buf(), ResumeOptions::default());
        self.ends(Action::Resume(ResumeSpec { vgpu, path, to, options }))
    }

    /// The job ends with the right bytes.
    fn finish(mut self) {
        assert!(self.world.run_until_settled(self.world.now_ns() + 1_000_000_000));
        self.world.check_leaks();
        self.world.check_guests();
        assert_eq!(self.world.problems(), [] as [String; 0]);
        assert!(self.world.job_reports().iter().all(|job| job.ok));
    }
}

/// The newest version that a record of a file has.
fn newest(path: &Path) -> u8 {
    let mut newest = 0;
    read_state(path, None, |record| newest = newest.max(record.version)).unwrap();
    newest
}

#[test]
fn a_vgpu_moves_to_an_older_build_and_back() {
    for live in [None, Some(Live { rounds_max: 2, pages_enough: 0, downtime: None })] {
        let mut case = case();
        for to in [case.older, case.newer, case.older] {
            case.moved(to, live).unwrap();
            case.pass(100_000);
        }
        case.finish();
    }
}

#[test]
fn a_file_of_an_older_build_is_resumed_by_a_newer_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.state");
    let mut case = case();
    // The newer build writes what it is asked for.
    case.suspended(&path, 1).unwrap();
    assert_eq!(newest(&path), 1);
    case.resumed(&path, case.older).unwrap();
    // The older one can write nothing newer.
    case.suspended(&path, 2).unwrap();
    assert_eq!(newest(&path), 1);
    case.resumed(&path, case.newer).unwrap();
    case.finish();
}

#[test]
fn a_newer_file_is_refused_by_an_older_build_by_name_and_is_as_good_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.state");
    let mut case = case();
    case.suspended(&path, 2).unwrap();
    assert_eq!(newest(&path), 2);
    let why = case.resumed(&path, case.older).unwrap_err();
    let named = "has version 2, and versions 1 to 1 are read";
    assert!(why.contains("the state is newer: the vgpu record") && why.contains(named), "{why}");
    case.resumed(&path, case.newer).unwrap();
    case.finish();
}
