//! Goal: a host is emptied as planned, what fails in the middle undoes nothing that is done, nobody
//! else notices, and the moves take no more of the links than they may.
//! Method: a host with four vGPUs at work and two others with neighbours; the world's own checks
//! are on throughout, and what is on the wire is added up from what the links have kept of it.

use godwit_shim::Live;
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, EvacuateSpec, EvacuationReport, HostId, HostSpec, JobSource, JobSpec, MoveSpec,
    Trigger, VgpuId, VgpuSpec, World, WorldConfig,
};

const MIB: u64 = 1 << 20;
const MS: u64 = 1_000_000;
const LIVE: Live = Live { rounds_max: 4, pages_enough: 64, downtime: None };
/// Bytes a second: a small part of what a link has.
const CAP: u64 = 200_000_000;

/// One host to be emptied, two to go to, and one more.
struct Scene {
    world: World,
    hosts: [HostId; 4],
    /// Those that leave, the largest first.
    leavers: Vec<VgpuId>,
    stays: Vec<VgpuId>,
}

fn host(world: &mut World, name: &str, fb_mib: u64) -> HostId {
    let spec = HostSpec {
        name: name.into(),
        fb_bytes: fb_mib * MIB,
        bar_bytes: 128 * MIB,
        context_bytes: 16 * MIB,
        start_ns: 77,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    world.add_host(spec).unwrap()
}

/// A vGPU with a pass over 1 MiB of input.
fn vgpu(world: &mut World, name: &str, host: HostId, fb_mib: u64) -> VgpuId {
    let profile = Profile {
        fb_bytes: fb_mib * MIB,
        bar_bytes: 6 * MIB,
        channel_count: 8,
        context_bytes: 32 * 1024,
    };
    let spec = VgpuSpec { name: name.into(), host, profile, share: Share::DEFAULT };
    let vgpu = world.add_vgpu(spec).unwrap();
    let source = JobSource::Kernel(godwit_kernels::Job::histogram(3, 1 << 20, 64, 4, 1));
    let name = format!("{name}.job");
    world.add_job(JobSpec { name, vgpu, source, repeat: 1, endless: false }).unwrap();
    vgpu
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new(WorldConfig { seed: 11, costs: Costs::default() });
        let hosts = [("a", 64), ("b", 32), ("c", 64), ("d", 64)];
        let hosts = hosts.map(|(name, fb_mib)| host(&mut world, name, fb_mib));
        let stays = [1, 2].map(|at| vgpu(&mut world, &format!("stays{at}"), hosts[at], 8)).into();
        let sizes = [("one", 16), ("two", 12), ("three", 8), ("four", 7)];
        let leavers = sizes.map(|(name, fb_mib)| vgpu(&mut world, name, hosts[0], fb_mib)).into();
        for to in &hosts[1..] {
            // Keeps what is sent.
            world.plan_cuts(hosts[0], *to, &[]);
        }
        Self { world, hosts, leavers, stays }
    }

    fn spec(&self, parallel: usize, bandwidth: Option<u64>) -> EvacuateSpec {
        EvacuateSpec {
            from: self.hosts[0],
            to: vec![self.hosts[1], self.hosts[2]],
            parallel,
            bandwidth,
            live: Some(LIVE),
            stop: StopMode::Instruction,
            stop_timeout_ns: 640 * MS,
        }
    }

    fn evacuate(&mut self, spec: EvacuateSpec) {
        self.world.schedule(Trigger::At(2 * MS), Action::Evacuate(spec));
    }

    /// Lets all come to its end and checks all that must hold whatever has failed. Returns how the
    /// evacuation ended and how many moves were under way at most.
    fn settle(&mut self) -> (EvacuationReport, usize) {
        let mut most = 0;
        while !self.world.is_settled() {
            assert!(self.world.now_ns() < 10_000 * MS, "{:?}", self.world.transfers());
            self.world.step();
            most = most.max(self.world.transfers().len());
        }
        self.world.check_leaks();
        self.world.check_guests();
        assert_eq!(self.world.problems(), [] as [String; 0]);
        for job in self.world.job_reports() {
            assert!(job.ok, "{} is {}", job.name, job.state);
        }
        for (vgpu, at) in self.stays.iter().zip([1, 2]) {
            assert_eq!(self.world.home_of(*vgpu), Some(self.hosts[at]));
        }
        let report = self.world.evacuation_reports().next().unwrap();
        assert!(report.is_over());
        for leg in &report.legs {
            let done = leg.outcome == Some(Ok(()));
            let home = if done { leg.to } else { Some(self.hosts[0]) };
            assert_eq!(self.world.home_of(leg.vgpu), home, "{leg:?}");
        }
        (report, most)
    }

    /// Where each vGPU was to go, and how it ended.
    fn told(&self, report: &EvacuationReport) -> Vec<(String, String, String)> {
        let told = report.legs.iter().map(|leg| {
            let to = leg.to.map_or("-", |to| self.world.host_name(to));
            let outcome = match leg.outcome.clone().unwrap() {
                Ok(()) => "moved".into(),
                Err(why) => why,
            };
            (self.world.vgpu_name(leg.vgpu).into(), to.into(), outcome)
        });
        told.collect()
    }

    /// All frames between the host and the two others: when each began, and how long it was.
    fn frames(&self) -> Vec<(u64, u64)> {
        let [a, b, c, _] = self.hosts;
        let sent = [b, c].map(|to| self.world.transcript(a, to));
        let mut frames: Vec<(u64, u64)> =
            sent.into_iter().flatten().map(|frame| (frame.start_ns, frame.byte_count)).collect();
        frames.sort_unstable();
        frames
    }
}

fn told(list: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    list.iter().map(|(vgpu, to, how)| ((*vgpu).into(), (*to).into(), (*how).into())).collect()
}

/// What is left of a host for two and one, and of the other for the others.
const PLAN: [(&str, &str, &str); 4] =
    [("one", "b", "moved"), ("two", "c", "moved"), ("three", "b", "moved"), ("four", "c", "moved")];

#[test]
fn all_vgpus_leave_for_where_they_fit_best_some_at_a_time() {
    for parallel in [1, 2, 4] {
        let mut scene = Scene::new();
        scene.evacuate(scene.spec(parallel, None));
        let (report, most) = scene.settle();
        assert_eq!(scene.told(&report), told(&PLAN), "{parallel} at a time");
        assert_eq!(most, parallel);
        assert_eq!(scene.world.vgpu_count(scene.hosts[0]), 0);
        let middle = scene.world.move_reports().iter().filter(|it| it.job.is_some()).count();
        assert_eq!(middle, 4, "each was in the middle of its job");
    }
}

#[test]
fn all_moves_together_keep_the_cap_over_any_10_ms_and_use_it() {
    let mut scene = Scene::new();
    scene.evacuate(scene.spec(3, Some(CAP)));
    let (report, most) = scene.settle();
    assert_eq!((scene.told(&report), most), (told(&PLAN), 3));
    let frames = scene.frames();
    // Hellos are the links' own.
    let frames: Vec<(u64, u64)> = frames.into_iter().filter(|(_, count)| *count > 16).collect();
    let longest = frames.iter().map(|(_, count)| *count).max().unwrap();
    let mut fullest = 0;
    for (at, (start_ns, _)) in frames.iter().enumerate() {
        let window = frames[at..].iter().take_while(|(ns, _)| *ns < start_ns + 10 * MS);
        let bytes: u64 = window.map(|(_, count)| *count).sum();
        let allowed = CAP / 100 + longest;
        assert!(bytes <= allowed, "{bytes} bytes in the 10 ms from {start_ns} ns on, of {allowed}");
        fullest = fullest.max(bytes);
    }
    // Three moves at once have always something to send.
    assert!(fullest >= CAP / 100 / 10 * 9, "{fullest} bytes in 10 ms at most: the cap is not used");
    let mut free = Scene::new();
    free.evacuate(free.spec(3, None));
    free.settle();
    let lasts = |scene: &Scene| {
        let frames = scene.frames();
        frames.last().unwrap().0 - frames[0].0
    };
    assert!(lasts(&free) < lasts(&scene), "without the cap it is faster");
}

#[test]
fn moves_under_a_cap_take_turns() {
    let mut scene = Scene::new();
    scene.evacuate(scene.spec(4, Some(CAP / 2)));
    scene.settle();
    let reports = scene.world.move_reports();
    // Each of them needs about as many bytes, so no one is through before others have begun.
    let [first, .., last] = reports else { panic!("{reports:?}") };
    assert!(first.total_ns * 2 > last.total_ns, "{} ns, {} ns", first.total_ns, last.total_ns);
}

#[test]
fn the_smallest_cap_ends_no_move() {
    let mut scene = Scene::new();
    // Each has all that it says long before it is through.
    scene.evacuate(EvacuateSpec { live: None, ..scene.spec(4, Some(2 * MIB)) });
    let (report, most) = scene.settle();
    assert_eq!((scene.told(&report), most), (told(&PLAN), 4));
    assert!(scene.world.move_reports().iter().all(|it| it.total_ns > 2_000 * MS));
}

#[test]
fn a_link_that_is_cut_fails_what_goes_over_it_and_nothing_else() {
    let mut scene = Scene::new();
    let [a, b, ..] = scene.hosts;
    let mut spec = scene.spec(2, Some(CAP));
    // The second round of copying is slow enough to be met.
    spec.live = Some(Live { pages_enough: 0, ..LIVE });
    scene.evacuate(spec);
    scene.world.schedule(Trigger::Transfers(1), Action::CutLink(a, b, 3 * MS));
    let (report, _) = scene.settle();
    let told = scene.told(&report);
    let failed: Vec<_> = told.iter().filter(|(.., outcome)| outcome != "moved").collect();
    assert!(!failed.is_empty() && failed.len() < told.len(), "{told:?}");
    for (_, to, outcome) in failed {
        assert_eq!((to.as_str(), outcome.as_str()), ("b", "the link was lost"));
    }
    assert_eq!(scene.world.move_reports()[0].outcome, Ok(()), "what was done before stays");
    let done = told.len() - scene.world.vgpu_count(scene.hosts[0]);
    assert_eq!(told.iter().filter(|(.., outcome)| outcome == "moved").count(), done);
}

#[test]
fn a_vgpu_that_a_destination_declines_stays_and_the_others_move() {
    let mut scene = Scene::new();
    let [_, b, _, d] = scene.hosts;
    // It takes the room that the plan has for the third.
    let late = vgpu(&mut scene.world, "late", d, 8);
    let spec = MoveSpec {
        vgpu: late,
        to: b,
        live: None,
        stop: StopMode::Instruction,
        stop_timeout_ns: 640 * MS,
    };
    scene.evacuate(scene.spec(1, None));
    scene.world.schedule(Trigger::Transfers(1), Action::Move(spec));
    let (report, _) = scene.settle();
    let told = scene.told(&report);
    let outcomes: Vec<&str> = told.iter().map(|(.., outcome)| outcome.as_str()).collect();
    assert_eq!([outcomes[0], outcomes[1], outcomes[3]], ["moved"; 3], "{told:?}");
    assert!(outcomes[2].contains("room"), "{told:?}");
    assert_eq!(scene.world.home_of(late), Some(b));
}

#[test]
fn one_that_fits_nowhere_is_told_why_and_the_others_move() {
    let mut scene = Scene::new();
    let large = vgpu(&mut scene.world, "large", scene.hosts[0], 20);
    let only = EvacuateSpec { to: vec![scene.hosts[1]], ..scene.spec(2, None) };
    scene.evacuate(only);
    let (report, _) = scene.settle();
    let told = scene.told(&report);
    let [moved @ .., one, two] = &told[..] else { panic!("{told:?}") };
    let [(large_name, ..), ..] = moved else { panic!("{told:?}") };
    assert_eq!(large_name, scene.world.vgpu_name(large), "the largest has been served first");
    for (_, to, outcome) in [one, two] {
        let begins = "refused: it fits nowhere: on `b` it needs ";
        assert!(to == "-" && outcome.starts_with(begins), "{told:?}");
    }
}

#[test]
fn an_event_of_a_vgpu_that_is_to_leave_waits_and_a_second_evacuation_too() {
    let mut scene = Scene::new();
    let [a, _, _, d] = scene.hosts;
    let (vgpu, stop) = (scene.leavers[3], StopMode::Instruction);
    scene.evacuate(scene.spec(1, None));
    let away = MoveSpec { vgpu, to: d, live: None, stop, stop_timeout_ns: 640 * MS };
    scene.world.schedule(Trigger::At(2 * MS + 1), Action::Move(away));
    let again = EvacuateSpec { to: Vec::new(), ..scene.spec(1, None) };
    scene.world.schedule(Trigger::At(2 * MS + 2), Action::Evacuate(again));
    while !scene.world.is_settled() {
        scene.world.step();
    }
    let reports: Vec<EvacuationReport> = scene.world.evacuation_reports().collect();
    let [first, second] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(scene.told(first), told(&PLAN));
    assert_eq!(second.legs, [], "nobody was left on {a:?}");
    assert_eq!(scene.world.home_of(vgpu), Some(d), "it went on when it was there");
    assert_eq!(scene.world.problems(), [] as [String; 0]);
}

#[test]
fn a_move_elsewhere_is_as_fast_beside_an_evacuation_with_a_cap() {
    let elsewhere = |evacuates: bool| {
        let mut scene = Scene::new();
        let [_, _, c, d] = scene.hosts;
        let vgpu = vgpu(&mut scene.world, "elsewhere", d, 8);
        let stop = StopMode::Instruction;
        let spec = MoveSpec { vgpu, to: c, live: None, stop, stop_timeout_ns: 640 * MS };
        if evacuates {
            let to = vec![scene.hosts[1]];
            scene.evacuate(EvacuateSpec { to, ..scene.spec(1, Some(CAP / 10)) });
        }
        scene.world.schedule(Trigger::At(4 * MS), Action::Move(spec));
        while !scene.world.is_settled() {
            scene.world.step();
        }
        let reports = scene.world.move_reports().iter();
        reports.filter(|report| report.vgpu == vgpu).map(|it| it.total_ns).next().unwrap()
    };
    let (alone, beside) = (elsewhere(false), elsewhere(true));
    // Steps of the world have other ends then.
    assert!(beside.abs_diff(alone) * 50 < alone, "{beside} ns, alone {alone} ns");
}
