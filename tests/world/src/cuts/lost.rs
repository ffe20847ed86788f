//! Moves whose processes end where their link does, as after a loss of power, and are started anew.
//!
//! Each side has a world of its own. Nothing of a process that ends is left but its journal, in a
//! real file, and the state that the source keeps. The vGPU never runs twice. It is lost only with
//! the host on which it runs, or by decision; and where neither side can know whose it is, both
//! operators are told, and what they decide ends it.

use super::process::{Disk, Process, token};
use super::{Case, Ends, Fate, Kind, NOTICE_MAX_NS, Outcome};
use crate::link::{Link, Pace};
use crate::{LinkCut, SentFrame, Way};
use godwit_shim::{Decision, LinkMessage, MoveStage, Side};
use godwit_sim_gpu::Costs;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STEP_NS: u64 = 10_000;
/// A step while nothing is said.
const IDLE_NS: u64 = 1_000_000;
/// A process ends within this after its link.
const ENDS_MAX_NS: u64 = 500_000;
/// Or within this, where it is to end while the vGPU starts.
const START_NS: u64 = 60_000;
/// When nothing was said for so long, nothing more comes by itself: longer than a source takes to
/// tell its operator.
const QUIET_NS: u64 = 800_000_000;
/// Everything is over within this.
const OVER_NS: u64 = 20_000_000_000;

const SIDES: [Side; 2] = [Side::Source, Side::Destination];

fn way(from: Side) -> Way {
    match from {
        Side::Source => Way::Forth,
        Side::Destination => Way::Back,
    }
}

/// A process that is to end, and when it and the next one of its side do.
#[derive(Clone, Copy, Debug)]
struct Loss {
    side: Side,
    at_ns: u64,
    again_ns: u64,
}

struct Pair {
    kind: Kind,
    folder: tempfile::TempDir,
    processes: [Option<Process>; 2],
    link: Link,
    /// Cuts that each side knows of, and whether it waits for a new link.
    known: [(u32, bool); 2],
    /// What a process says that has only its journal.
    out: [Vec<LinkMessage>; 2],
    losses: Vec<Loss>,
    /// How far each side was when its process ended.
    lost_at: [Option<MoveStage>; 2],
    /// It ran where it was taken in, and ended with its host.
    has_run: bool,
    now_ns: u64,
    /// When something was said last.
    said_ns: u64,
    outcome: Outcome,
}

impl Pair {
    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let now_ns = 1_000_000_000;
        let process = |side| Process::first(kind, side, &Disk::new(folder.path(), side), now_ns);
        let [mut source, destination] = SIDES.map(process);
        source.send(kind, now_ns);
        let mut link = Link::default();
        (link.wanted, link.transcript) = (true, Some(Vec::new()));
        Self {
            kind,
            processes: [Some(source), Some(destination)],
            folder,
            link,
            known: [(0, false); 2],
            out: [Vec::new(), Vec::new()],
            losses: Vec::new(),
            lost_at: [None; 2],
            has_run: false,
            now_ns,
            said_ns: now_ns,
            outcome: Outcome::default(),
        }
    }

    fn pace(&self) -> Pace {
        let costs = Costs::default();
        let (byte_ps, latency_ns) = (costs.link_byte_ps, costs.link_latency_ns);
        Pace { now_ns: self.now_ns, byte_ps, latency_ns }
    }

    fn step(&mut self) {
        let quiet = self.now_ns > self.said_ns + 10 * IDLE_NS && self.losses.is_empty();
        let step_ns = if quiet { IDLE_NS } else { STEP_NS };
        self.now_ns += step_ns;
        self.lose_and_start();
        for process in self.processes.iter_mut().flatten() {
            process.step(self.now_ns);
        }
        if self.processes.iter().flatten().map(Process::running).sum::<usize>() > 1 {
            self.outcome.problems.push(format!("at {} ns it runs on both", self.now_ns));
        }
        let pace = self.pace();
        self.link.connect(pace);
        self.tell_of_link();
        for side in SIDES {
            self.deliver(side);
            self.send(side, step_ns);
        }
    }

    /// Ends the processes that are to, and starts their sides anew.
    fn lose_and_start(&mut self) {
        for loss in std::mem::take(&mut self.losses) {
            let Loss { side, at_ns, again_ns } = loss;
            let at = side as usize;
            if at_ns <= self.now_ns
                && at_ns != 0
                && let Some(mut process) = self.processes[at].take()
            {
                // What its card has done last, the process does not hear of.
                process.step_card(self.now_ns);
                self.lost_at[at] = process.stage();
                self.has_run |= side == Side::Destination && process.running() > 0;
                self.out[at].clear();
                self.losses.push(Loss { at_ns: 0, ..loss });
            } else if at_ns == 0 && again_ns <= self.now_ns {
                let disk = Disk::new(self.folder.path(), side);
                self.processes[at] = Some(Process::anew(self.kind, side, &disk, self.now_ns));
                // It looks for its peer, and does not know of earlier links.
                self.known[at] = (self.link.known_cuts(at, self.now_ns), true);
                self.said_ns = self.now_ns;
            } else {
                self.losses.push(loss);
            }
        }
    }

    /// Tells each side that the link was lost when it notices, and when it is there again.
    fn tell_of_link(&mut self) {
        let is_cut = self.link.is_cut(self.now_ns);
        for (at, process) in self.processes.iter_mut().enumerate() {
            let Some(process) = process else { continue };
            let known = self.link.known_cuts(at, self.now_ns);
            let (cuts, waits) = &mut self.known[at];
            let lost = *cuts != known;
            let back = (lost || *waits) && !is_cut;
            *cuts = known;
            *waits = (lost || *waits) && is_cut;
            if lost {
                process.link_lost(self.now_ns);
            }
            if back {
                self.out[at].extend(process.link_back());
            }
        }
    }

    fn deliver(&mut self, from: Side) {
        let to = 1 - from as usize;
        loop {
            let message = self.link.receive(way(from), self.now_ns).expect("the link is sound");
            let Some(message) = message else { return };
            self.said_ns = self.now_ns;
            let answer = self.processes[to].as_mut().and_then(|it| it.take(message, self.now_ns));
            self.out[to].extend(answer);
        }
    }

    fn send(&mut self, from: Side, window_ns: u64) {
        let at = from as usize;
        let pace = self.pace();
        while !self.known[at].1 && self.link.takes(way(from), self.now_ns, window_ns) {
            let Some(process) = &mut self.processes[at] else { return };
            let message = match self.out[at].is_empty() {
                false => Some(self.out[at].remove(0)),
                true => process.world.remote_message(),
            };
            let Some(message) = message else { return };
            self.link.send(way(from), pace, &message);
        }
    }

    /// Whether nothing is open on either side.
    fn is_over(&mut self) -> bool {
        self.losses.is_empty()
            && self.processes.iter_mut().all(|it| it.as_mut().is_some_and(Process::is_over))
    }

    /// `at_start`: it is not the link that ends first, but a process when the vGPU is about to
    /// start.
    fn carry(&mut self, case: &Case, at_start: bool, rng: &mut ChaCha8Rng) {
        let end_ns = self.now_ns + OVER_NS;
        let mut lost = false;
        while !self.is_over() {
            if self.now_ns >= end_ns {
                return self.outcome.problems.push("the move is not over".into());
            }
            self.step();
            let [_, destination] = &mut self.processes;
            let starts = destination.as_mut().and_then(Process::stage) == Some(MoveStage::Running);
            if !lost && (self.link.known_cuts(0, u64::MAX) > 0 || at_start && starts) {
                lost = true;
                let ends_max_ns = if at_start { START_NS } else { ENDS_MAX_NS };
                self.plan(case, ends_max_ns, rng);
            }
            if self.losses.is_empty() && self.now_ns > self.said_ns + QUIET_NS {
                self.decide(rng);
            }
            if !self.outcome.problems.is_empty() {
                return;
            }
        }
    }

    /// The link has ended, and with it, or soon after, whoever is to.
    fn plan(&mut self, case: &Case, ends_max_ns: u64, rng: &mut ChaCha8Rng) {
        let Fate::Lost(which) = case.fate else { return };
        for side in SIDES.into_iter().filter(|side| which.has(*side)) {
            let late = if rng.random_ratio(1, 2) { rng.random_range(0..ends_max_ns) } else { 0 };
            let down_ns = rng.random_range(1_000..ENDS_MAX_NS);
            let at_ns = self.now_ns + late;
            self.losses.push(Loss { side, at_ns, again_ns: at_ns + down_ns });
        }
        // There is no link before whoever is to end is there again.
        let last_ns = self.losses.iter().map(|loss| loss.again_ns).max().unwrap_or(self.now_ns);
        let notice_ns = [0, 1].map(|_| rng.random_range(0..NOTICE_MAX_NS));
        self.link.cut(self.now_ns, last_ns + STEP_NS - self.now_ns, notice_ns);
        self.said_ns = self.now_ns;
    }

    /// Nobody can say whose it is. Both operators know that, and decide alike.
    fn decide(&mut self, rng: &mut ChaCha8Rng) {
        let now_ns = self.now_ns;
        let [Some(source), Some(destination)] = &mut self.processes else { return };
        let stages = (source.stage(), destination.stage());
        if stages != (Some(MoveStage::Committed), Some(MoveStage::Running))
            || !destination.is_unsure()
        {
            return self.outcome.problems.push(format!("nobody goes on: {stages:?}"));
        }
        if !source.knows_of_doubt() || destination.told.is_empty() {
            return self.outcome.problems.push("an operator was not told".into());
        }
        let to_source = rng.random_ratio(1, 2);
        let (here, there) = match to_source {
            true => (Decision::RunHere, Decision::Gone),
            false => (Decision::Gone, Decision::RunHere),
        };
        for side in if rng.random_ratio(1, 2) { [0, 1] } else { [1, 0] } {
            let decided = match side {
                0 => source.resolve(here, now_ns),
                _ => destination.resolve(there, now_ns),
            };
            if let Err(why) = decided {
                self.outcome.problems.push(format!("{:?}: {why}", SIDES[side]));
            }
        }
        self.outcome.resolved = true;
        self.said_ns = now_ns;
    }

    /// The move is over: what both journals say agrees with where the vGPU is.
    fn finish(mut self) -> Outcome {
        let problems = &mut self.outcome.problems;
        let [Some(source), Some(destination)] = &mut self.processes else {
            problems.push("a process is not there".into());
            return self.outcome;
        };
        source.finish(problems);
        destination.finish(problems);
        let owners = (source.has_it(), destination.has_it());
        let stages = (source.stage(), destination.stage());
        use MoveStage::{Aborted, Closed, Done, Offered, Released, Started};
        let given = match stages {
            (Some(Done), Some(Started | Closed)) => true,
            (Some(Aborted), None | Some(Released)) => false,
            _ => {
                problems.push(format!("the journals do not agree: {stages:?}"));
                return self.outcome;
            }
        };
        if self.has_run && !given && !self.outcome.resolved {
            problems.push("it has run at the destination, and goes on from before".into());
        }
        self.outcome.ends = match (owners, given) {
            ((false, true), true) => Ends::Moved,
            ((true, false), false) => Ends::Stayed,
            // It ran where a host has ended, or was decided to have.
            ((false, false), true)
                if matches!(self.lost_at[1], Some(Started | Closed)) || self.outcome.resolved =>
            {
                Ends::WithItsHost
            }
            ((false, false), false) if matches!(self.lost_at[0], Some(Offered | Aborted)) => {
                Ends::WithItsHost
            }
            _ => {
                problems.push(format!("{owners:?} have it, and the journals say {stages:?}"));
                Ends::Stayed
            }
        };
        self.outcome
    }
}

/// Runs one case.
pub(super) fn run(case: &Case) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
    let mut pair = Pair::new(case.kind);
    // Few bytes are on their way when it starts, so that few cuts would find it at that.
    let at_start = rng.random_ratio(1, 8);
    if !at_start {
        let (Case { way, at_byte, .. }, down_ns, notice_ns) = (*case, STEP_NS, [0, 0]);
        pair.link.planned.push_back(LinkCut { way, at_byte, down_ns, notice_ns });
    }
    pair.carry(case, at_start, &mut rng);
    pair.finish()
}

/// What is said in a move between processes that do not end.
pub(super) fn frames(kind: Kind) -> Vec<SentFrame> {
    let mut pair = Pair::new(kind);
    for _ in 0..10_000_000 {
        pair.step();
        let [Some(source), Some(destination)] = &mut pair.processes else { break };
        let stages = (source.stage(), destination.stage());
        if stages == (Some(MoveStage::Done), Some(MoveStage::Closed)) {
            let frames = pair.link.transcript.take().unwrap_or_default();
            assert!(frames.iter().flat_map(|it| &it.message).all(|it| *it.token() == token()));
            return frames;
        }
    }
    panic!("a move between processes does not end: {:?}", pair.outcome.problems)
}
