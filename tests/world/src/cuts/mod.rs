//! Moves over links that end: at any byte, in either direction, and more than once.
//!
//! A case moves a vGPU in the middle of a kernel and ends the connection at one byte. Either it
//! comes back after a while, or never, and then an operator decides on both sides. Both ends may
//! take their time to notice, the next connections may end, too, and old messages may come again.
//! Whatever happens, exactly one side runs the vGPU soon afterwards, nothing of it is left on the
//! other, and its kernel ends with the right bytes.
//!
//! In others a process ends with its link, and is started anew with its journal and what was kept
//! of the state (`lost`).

mod case;
mod layout;
mod lost;
mod process;

pub use case::{Case, Fate, Kind, Lost, NoCase};
pub use layout::{Layout, Place};

use crate::{
    Action, HostId, HostSpec, JobId, JobSource, JobSpec, LinkCut, LinkFlip, MoveSpec, SentFrame,
    Trigger, VgpuId, VgpuSpec, Way, World, WorldConfig,
};
use godwit_shim::{Decision, DestinationState, Side, SourceState};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MIB: u64 = 1 << 20;
/// A move is over within this, after the link is there again for good or the operator has decided:
/// some messages, a start or a release.
pub const OVER_MAX_NS: u64 = 5_000_000;
/// A connection is away for less than this.
const DOWN_MAX_NS: u64 = 600_000;
/// An end notices within this that it is.
const NOTICE_MAX_NS: u64 = 400_000;
/// Bytes of a connection after the first within which it may end: its hello and some messages.
const LATER_MAX_BYTES: u64 = 160;
/// Everything is over within this.
const LIMIT_NS: u64 = 10_000_000_000;
/// The job's instruction at which the move begins.
const BEGIN: u64 = 5_000;

/// Where a vGPU ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ends {
    /// On the destination.
    Moved,
    /// On the source.
    #[default]
    Stayed,
    /// With the process on whose card it ran, or was decided to have run.
    WithItsHost,
}

/// How a case ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was wrong; nothing may be.
    pub problems: Vec<String>,
    /// Where the vGPU ended.
    pub ends: Ends,
    /// An operator had to decide.
    pub resolved: bool,
    /// From the last time that both could talk, or that an operator has decided, until the move
    /// was over, in nanoseconds of virtual time.
    pub over_ns: u64,
}

/// A world in which one vGPU is moved, with a neighbour where it comes to.
struct Scene {
    world: World,
    from: HostId,
    to: HostId,
    vgpu: VgpuId,
    job: JobId,
}

/// One of the two hosts.
fn host_spec(name: &str, start_ns: u64) -> HostSpec {
    HostSpec {
        name: name.into(),
        fb_bytes: 32 * MIB,
        bar_bytes: 32 * MIB,
        context_bytes: 4 * MIB,
        start_ns,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    }
}

impl Scene {
    /// The same each time, so that places of one run are those of any other until its link ends.
    fn new(kind: Kind) -> Self {
        // A move is to take few instructions of the kernel.
        let costs = Costs { kernel_instruction_ps: 9_973, ..Costs::default() };
        let mut world = World::new(WorldConfig { seed: 11, costs });
        world.set_seal(kind.seal());
        let [from, to] = [("a", 1_000_000_007), ("b", 77)]
            .map(|(name, start_ns)| world.add_host(host_spec(name, start_ns)).expect("a host"));
        let (vgpu, job) = add(&mut world, "moved", from, 12);
        add(&mut world, "far", to, 2);
        let live = kind.live();
        let (stop, stop_timeout_ns) = (StopMode::Instruction, 640_000_000);
        let spec = MoveSpec { vgpu, to, live, stop, stop_timeout_ns };
        let when = Trigger::After { job, instructions: BEGIN };
        world.schedule(when, Action::Move(spec));
        Self { world, from, to, vgpu, job }
    }
}

/// What is moved.
const PROFILE: Profile =
    Profile { fb_bytes: 8 * MIB, bar_bytes: 6 * MIB, channel_count: 4, context_bytes: 16 * 1024 };

/// What it runs.
fn kernel(iterations: u64) -> JobSource {
    JobSource::Kernel(godwit_kernels::Job::sha256_chain(3, 4, 2, iterations))
}

fn add(world: &mut World, name: &str, host: HostId, iterations: u64) -> (VgpuId, JobId) {
    let spec = VgpuSpec { name: name.into(), host, profile: PROFILE, share: Share::DEFAULT };
    let vgpu = world.add_vgpu(spec).expect("a vGPU");
    let source = kernel(iterations);
    let name = format!("{name}.job");
    let job = JobSpec { name, vgpu, source, repeat: 1, endless: false };
    (vgpu, world.add_job(job).expect("a job"))
}

/// What follows from a case's seed.
#[derive(Debug)]
struct Script {
    cuts: Vec<LinkCut>,
    /// Messages of before come again when there is a connection again.
    again: bool,
    /// Where the operator may choose, the source gets it.
    to_source: bool,
    rng: ChaCha8Rng,
}

impl Script {
    fn new(case: &Case) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
        let mut cut = |way, at_byte| LinkCut {
            way,
            at_byte,
            down_ns: rng.random_range(1_000..DOWN_MAX_NS),
            notice_ns: [0, 1].map(|_| match rng.random_ratio(1, 2) {
                true => 0,
                false => rng.random_range(0..NOTICE_MAX_NS),
            }),
        };
        let mut cuts = vec![cut(case.way, case.at_byte)];
        let later = [cut(Way::Forth, 0), cut(Way::Back, 0), cut(Way::Forth, 0)];
        let count = if rng.random_ratio(1, 2) { rng.random_range(1..=later.len()) } else { 0 };
        for cut in later.into_iter().take(count) {
            let at_byte = rng.random_range(0..LATER_MAX_BYTES);
            let way = if rng.random_ratio(1, 2) { Way::Forth } else { Way::Back };
            cuts.push(LinkCut { way, at_byte, ..cut });
        }
        if case.fate == Fate::Dies
            && let Some(last) = cuts.last_mut()
        {
            last.down_ns = u64::MAX;
        }
        let (again, to_source) = (rng.random_ratio(1, 2), rng.random_ratio(1, 2));
        Self { cuts, again, to_source, rng }
    }
}

/// A run that is under way.
struct Run {
    scene: Scene,
    script: Script,
    outcome: Outcome,
    /// Both could talk at the end of the last step, and since when.
    talks: bool,
    since_ns: u64,
    steps: u64,
}

/// Runs one case.
///
/// # Panics
///
/// When the world cannot be made, or something in it has a bug that it asserts.
pub fn run(case: &Case) -> Outcome {
    if matches!(case.fate, Fate::Lost(_)) {
        return lost::run(case);
    }
    let mut scene = Scene::new(case.kind);
    let script = Script::new(case);
    scene.world.plan_cuts(scene.from, scene.to, &script.cuts);
    carried(scene, script)
}

/// Carries out a live move with a bit of its connection flipped.
///
/// # Panics
///
/// As [`run`].
pub fn flipped(way: Way, bit: u64) -> Outcome {
    let mut scene = Scene::new(Kind::Live);
    scene.world.plan_flip(scene.from, scene.to, LinkFlip { way, bit });
    let (cuts, rng) = (Vec::new(), ChaCha8Rng::seed_from_u64(bit));
    carried(scene, Script { cuts, again: false, to_source: false, rng })
}

/// What is said in a move whose link holds.
///
/// # Panics
///
/// When such a move fails.
pub fn frames(kind: Kind) -> Vec<SentFrame> {
    let Scene { mut world, from, to, .. } = Scene::new(kind);
    world.plan_cuts(from, to, &[]);
    assert!(world.run_until_settled(LIMIT_NS), "{:?}", world.transfers());
    assert_eq!(world.move_reports()[0].outcome, Ok(()));
    world.transcript(from, to).to_vec()
}

fn carried(scene: Scene, script: Script) -> Outcome {
    let outcome = Outcome::default();
    let mut run = Run { scene, script, outcome, talks: false, since_ns: 0, steps: 0 };
    while run.scene.world.move_reports().is_empty() || run.scene.world.is_transferring() {
        if run.scene.world.now_ns() >= LIMIT_NS {
            let doing = run.scene.world.transfers();
            run.outcome.problems.push(format!("the move is not over: {doing:?}"));
            return run.outcome;
        }
        run.step();
    }
    run.outcome.over_ns = run.scene.world.now_ns() - run.since_ns;
    run.finish()
}

impl Run {
    fn step(&mut self) {
        let Scene { world, from, to, .. } = &mut self.scene;
        world.step();
        let talks = world.can_talk(*from, *to);
        let now_ns = world.now_ns();
        if talks && !std::mem::replace(&mut self.talks, talks) {
            let first = std::mem::replace(&mut self.since_ns, now_ns) == 0;
            if self.script.again && !first {
                self.say_again();
            }
        }
        self.talks = talks;
        self.steps += 1;
        if talks && self.steps.is_multiple_of(8) {
            self.meddle();
        }
        let dead_ns = self.scene.world.dead_since(self.scene.from, self.scene.to);
        if dead_ns.is_some_and(|dead_ns| now_ns > dead_ns + NOTICE_MAX_NS) {
            self.decide();
        }
    }

    /// Says some of what was said before once more.
    fn say_again(&mut self) {
        let Scene { world, from, to, .. } = &mut self.scene;
        let sent = world.transcript(*from, *to).to_vec();
        for _ in 0..self.script.rng.random_range(1..=6) {
            let frame = &sent[self.script.rng.random_range(0..sent.len())];
            let (from, to) = if frame.way == Way::Forth { (*from, *to) } else { (*to, *from) };
            if let Some(message) = &frame.message {
                world.send_again(from, to, message);
            }
        }
    }

    /// An operator who decides while the two can talk is refused, and nothing changes.
    fn meddle(&mut self) {
        for side in [Side::Source, Side::Destination] {
            for decision in [Decision::RunHere, Decision::Gone] {
                let vgpu = self.scene.vgpu;
                if self.scene.world.resolve(vgpu, side, decision).is_ok() {
                    let what = format!("{side:?} obeys {decision:?} while the two can talk");
                    self.outcome.problems.push(what);
                }
            }
        }
    }

    /// An operator who sees both sides decides where nobody else can, and so that they agree.
    fn decide(&mut self) {
        let Some((source, destination)) = self.scene.world.sides(self.scene.vgpu) else { return };
        let committed = source == SourceState::Committed;
        let at_source = |decision| (Side::Source, decision);
        let at_destination = |decision| (Side::Destination, decision);
        let wanted = match (source, destination) {
            (SourceState::Committed, Some(DestinationState::Running(_))) => {
                vec![at_source(Decision::Gone)]
            }
            (SourceState::Committed, Some(DestinationState::Undone(_))) => {
                vec![at_source(Decision::RunHere)]
            }
            (SourceState::Committed, Some(DestinationState::Ready)) if self.script.to_source => {
                vec![at_source(Decision::RunHere), at_destination(Decision::Gone)]
            }
            (SourceState::Committed, Some(DestinationState::Ready)) => {
                vec![at_source(Decision::Gone), at_destination(Decision::RunHere)]
            }
            (SourceState::Undone(_), Some(DestinationState::Ready)) => {
                vec![at_destination(Decision::Gone)]
            }
            _ => return,
        };
        for (side, decision) in wanted {
            if let Err(why) = self.scene.world.resolve(self.scene.vgpu, side, decision) {
                // A source that was told that it is gone releases it for a while.
                if !(committed && why.contains("is done")) {
                    self.outcome.problems.push(format!("{side:?} {decision:?}: {why}"));
                }
            } else {
                self.outcome.resolved = true;
                self.since_ns = self.scene.world.now_ns();
            }
        }
    }

    /// The move is over: one host has the vGPU, and its kernel ends as it must.
    fn finish(mut self) -> Outcome {
        let Scene { world, from, to, vgpu, job } = &mut self.scene;
        let settled = world.run_until_settled(LIMIT_NS);
        world.check_leaks();
        world.check_guests();
        let problems = &mut self.outcome.problems;
        problems.extend(world.problems().iter().cloned());
        if !settled {
            problems.push("it does not settle".into());
        }
        for report in world.job_reports() {
            if !report.ok {
                problems.push(format!("{} is {}", report.name, report.state));
            }
            if report.job == *job && report.instructions <= BEGIN {
                problems.push(format!("{} has only run {}", report.name, report.instructions));
            }
        }
        let moved = world.move_reports()[0].outcome.is_ok();
        self.outcome.ends = if moved { Ends::Moved } else { Ends::Stayed };
        let home = if moved { *to } else { *from };
        let counts = [*from, *to].map(|host| world.vgpu_count(host));
        let wanted = if moved { [0, 2] } else { [1, 1] };
        if world.home_of(*vgpu) != Some(home) || counts != wanted {
            problems.push(format!("it is on {:?}, of {counts:?}", world.home_of(*vgpu)));
        }
        if self.outcome.over_ns > OVER_MAX_NS {
            problems.push(format!("the move was over only after {} ns", self.outcome.over_ns));
        }
        self.outcome
    }
}
