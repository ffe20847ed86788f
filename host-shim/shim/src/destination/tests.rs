//! Both sides of a move, where the journal fails or its host starts anew.

mod lost;

use super::*;
use crate::host::Host;
use crate::journal::{Journal, JournalEntry, JournalStorage};
use crate::mcu::Mcu;
use crate::save::SaveOptions;
use crate::source::{Source, SourceState};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Identity, Profile, Share};
use godwit_wire::mailbox::StopMode;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MIB: u64 = 1 << 20;
const STEP_NS: u64 = 100_000;
const TOKEN: Token = Token { uuid: [7; 16], number: 1 };

/// Keeps entries while its disk is there.
#[derive(Debug)]
struct Disk(Arc<AtomicBool>);

impl JournalStorage for Disk {
    fn append(&mut self, _: &JournalEntry) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(io::Error::other("no room")),
        }
    }

    fn rewrite(&mut self, _: &[JournalEntry]) -> io::Result<()> {
        self.append(&JournalEntry { token: TOKEN, stage: MoveStage::Offered, resolved: false })
    }
}

struct Node {
    host: Host,
    journal: Journal,
    disk: Arc<AtomicBool>,
}

impl Node {
    fn new(entries: &[JournalEntry]) -> Self {
        let identity = Identity {
            fb_bytes: 32 * MIB,
            bar_bytes: 32 * MIB,
            context_bytes: 4 * MIB,
            context_layout: 1,
            engines: Engines::ALL,
        };
        let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
        let disk = Arc::new(AtomicBool::new(true));
        let journal = Journal::with_storage(Box::new(Disk(disk.clone())), entries);
        Self { host: Host::new(config, &Mcu::Native).unwrap(), journal, disk }
    }

    fn site(&mut self, now_ns: u64) -> Site<'_> {
        Site { host: &mut self.host, journal: &mut self.journal, now_ns }
    }

    fn set_disk(&self, works: bool) {
        self.disk.store(works, Ordering::Relaxed);
    }

    fn running(&self) -> usize {
        self.host.vgpus().filter(|(gfid, _)| self.host.card().is_running(*gfid)).count()
    }
}

struct Rig {
    from: Node,
    to: Node,
    source: Source,
    destination: Option<Destination>,
    /// Whether messages come through.
    linked: bool,
    now_ns: u64,
    /// What the destination has said.
    said: Vec<LinkMessage>,
    troubles: [Vec<String>; 2],
}

impl Rig {
    fn new() -> Self {
        let (mut from, to) = (Node::new(&[]), Node::new(&[]));
        let profile =
            Profile { fb_bytes: 8 * MIB, bar_bytes: MIB, channel_count: 2, context_bytes: 4096 };
        let gfid = from.host.create_running(profile, Share::DEFAULT, None).unwrap();
        let Token { uuid, number: token } = TOKEN;
        let stop = StopMode::Instruction;
        let options = SaveOptions { uuid, token, stop, stop_timeout_ns: 10_000_000 };
        let source = Source::new(&mut from.site(0), gfid, options, None).unwrap();
        let (said, troubles) = (Vec::new(), [Vec::new(), Vec::new()]);
        Self { from, to, source, destination: None, linked: true, now_ns: 0, said, troubles }
    }

    fn step(&mut self) -> (SourceState, Option<DestinationState>) {
        self.now_ns += STEP_NS;
        let now_ns = self.now_ns;
        self.from.host.run(now_ns);
        self.to.host.run(now_ns);
        let mut source = self.source.step(&mut self.from.site(now_ns));
        if source == SourceState::WantsPause {
            self.source.guest_paused(&mut self.from.site(now_ns));
            source = self.source.step(&mut self.from.site(now_ns));
        }
        let state = self.destination.as_mut().map(|it| it.step(&mut self.to.site(now_ns)));
        self.troubles[0].extend(self.source.take_trouble());
        self.troubles[1].extend(self.destination.as_mut().and_then(Destination::take_trouble));
        while self.linked
            && let Some(message) = self.source.poll_message()
        {
            let site = &mut self.to.site(now_ns);
            match (&mut self.destination, message) {
                (Some(destination), message) => destination.handle(site, message),
                (None, LinkMessage::Offer(token, version)) => {
                    self.destination = Some(Destination::new(site, token, version, None));
                }
                (None, message) => {
                    if let Some(answer) = site.journal.reply(&message).unwrap() {
                        self.said.push(answer.clone());
                        self.source.handle(&mut self.from.site(now_ns), &answer);
                    }
                }
            }
        }
        while self.linked
            && let Some(message) = self.destination.as_mut().and_then(|it| it.poll_message())
        {
            self.said.push(message.clone());
            self.source.handle(&mut self.from.site(now_ns), &message);
        }
        assert!(self.from.running() + self.to.running() <= 1);
        (source, state)
    }

    /// Steps until both sides are so.
    fn until(&mut self, is_so: impl Fn(&Self, &SourceState, Option<&DestinationState>) -> bool) {
        let mut last = None;
        for _ in 0..100_000 {
            let (source, destination) = self.step();
            if is_so(self, &source, destination.as_ref()) {
                return;
            }
            last = Some((source, destination));
        }
        panic!("it does not come to that: {last:?}");
    }

    fn pass(&mut self, ns: u64) {
        let until_ns = self.now_ns + ns;
        while self.now_ns < until_ns {
            self.step();
        }
    }

    fn count(&self, wanted: &LinkMessage) -> usize {
        self.said.iter().filter(|message| *message == wanted).count()
    }

    fn cut(&mut self) {
        self.linked = false;
        self.source.link_lost(&mut self.from.site(self.now_ns));
        if let Some(destination) = &mut self.destination {
            destination.link_lost(&mut self.to.site(self.now_ns));
        }
    }

    /// The source takes `Ready`, and its answer does not come through.
    fn until_committed_and_cut(&mut self) {
        while self.stage(Side::Source) != Some(MoveStage::Committed) {
            self.step();
            let polled = self.destination.as_mut().and_then(Destination::poll_message);
            assert_eq!(polled, None);
        }
        self.cut();
    }

    fn mend(&mut self) {
        self.linked = true;
        self.source.link_back();
        self.destination.iter_mut().for_each(Destination::link_back);
    }

    fn stage(&self, side: Side) -> Option<MoveStage> {
        let node = if side == Side::Source { &self.from } else { &self.to };
        node.journal.stage(side, &TOKEN)
    }

    fn resolve(&mut self, side: Side, decision: Decision) -> Result<(), String> {
        let now_ns = self.now_ns;
        let refusal = match (side, &mut self.destination) {
            (Side::Source, _) => self.source.resolve(&mut self.from.site(now_ns), decision),
            (Side::Destination, Some(it)) => it.resolve(&mut self.to.site(now_ns), decision),
            (Side::Destination, None) => self.to.journal.resolve(side, &TOKEN, decision).map(drop),
        };
        refusal.map_err(|refusal| refusal.to_string())
    }

    /// The destination's host ends and starts anew, and nothing of its card is left.
    fn restart_destination(&mut self) {
        let entries: Vec<_> = self.to.journal.entries().copied().collect();
        self.to = Node::new(&entries);
        self.destination = None;
        self.to.journal.host_started().unwrap();
    }

    fn moved(&mut self) {
        self.until(|_, source, destination| {
            *source == SourceState::Moved
                && matches!(destination, Some(DestinationState::Running(_)))
        });
        assert_eq!((self.from.running(), self.to.running()), (0, 1));
        assert_eq!(self.stage(Side::Source), Some(MoveStage::Done));
    }

    fn moved_by_decision(&mut self) {
        self.until(|_, source, destination| {
            *source == SourceState::Moved
                && matches!(destination, Some(DestinationState::Running(_)))
        });
        assert_eq!((self.from.running(), self.to.running()), (0, 1));
    }

    fn stayed(&mut self) {
        self.until(|_, source, _| matches!(source, SourceState::Undone(_)));
        assert_eq!((self.from.running(), self.to.running()), (1, 0));
        assert_eq!(self.stage(Side::Source), Some(MoveStage::Aborted));
    }
}

fn is_committed(_: &Rig, source: &SourceState, _: Option<&DestinationState>) -> bool {
    *source == SourceState::Committed
}

fn is_ready(_: &Rig, _: &SourceState, destination: Option<&DestinationState>) -> bool {
    destination == Some(&DestinationState::Ready)
}

fn is_starting(rig: &Rig, _: &SourceState, _: Option<&DestinationState>) -> bool {
    matches!(rig.destination, Some(Destination { phase: Phase::Starting(_), .. }))
}

#[test]
fn a_commit_that_cannot_be_written_is_asked_for_until_it_can() {
    let mut rig = Rig::new();
    rig.until(is_ready);
    rig.to.set_disk(false);
    rig.until(is_committed);
    rig.pass(8 * ALIVE_NS);
    assert_eq!(rig.stage(Side::Destination), Some(MoveStage::Ready));
    let asked = rig.count(&LinkMessage::Query(TOKEN));
    assert!((6..=8).contains(&asked), "{asked}");
    assert_eq!(rig.troubles[1].len(), 1, "{:?}", rig.troubles);
    // Nobody asks over a link that is not there.
    rig.cut();
    rig.pass(4 * ALIVE_NS);
    rig.mend();
    rig.pass(ALIVE_NS);
    assert!(rig.count(&LinkMessage::Query(TOKEN)) <= asked + 2);
    rig.to.set_disk(true);
    rig.moved();
    assert_eq!(rig.troubles[1].len(), 1, "{:?}", rig.troubles);
}

#[test]
fn the_source_hears_that_it_runs_once_that_is_written() {
    let mut rig = Rig::new();
    rig.until(is_starting);
    rig.to.set_disk(false);
    rig.pass(4 * ALIVE_NS);
    assert_eq!((rig.from.running(), rig.to.running()), (0, 1), "it runs");
    assert_eq!(rig.stage(Side::Destination), Some(MoveStage::Running));
    rig.cut();
    rig.mend();
    rig.pass(4 * ALIVE_NS);
    assert_eq!(rig.stage(Side::Source), Some(MoveStage::Committed));
    assert_eq!(rig.count(&LinkMessage::Done(TOKEN)), 0);
    assert_eq!(rig.troubles[1].len(), 1, "{:?}", rig.troubles);
    rig.to.set_disk(true);
    rig.moved();
    assert_eq!(rig.stage(Side::Destination), Some(MoveStage::Closed));
}

#[test]
fn a_decision_that_was_not_written_is_not_made_and_can_be_made_again() {
    for decision in [Decision::RunHere, Decision::Gone] {
        let mut rig = Rig::new();
        rig.until(is_ready);
        // What it says of the commit is lost.
        rig.until_committed_and_cut();
        for (side, decision) in [(Side::Source, decision), (Side::Destination, opposite(decision))]
        {
            let before = rig.stage(side);
            let node = if side == Side::Source { &rig.from } else { &rig.to };
            node.set_disk(false);
            for _ in 0..2 {
                let why = rig.resolve(side, decision).unwrap_err();
                assert!(why.contains("cannot be written"), "{why}");
                rig.pass(ALIVE_NS);
                assert_eq!(rig.stage(side), before, "{side:?} {decision:?}");
            }
            let node = if side == Side::Source { &rig.from } else { &rig.to };
            node.set_disk(true);
            rig.resolve(side, decision).unwrap();
        }
        match decision {
            Decision::RunHere => rig.stayed(),
            Decision::Gone => rig.moved_by_decision(),
        }
    }
}

#[test]
fn a_vgpu_of_another_profile_than_was_announced_stays_where_it_is() {
    let mut rig = Rig::new();
    rig.until(|rig, _, _| rig.destination.is_some());
    let profile =
        Profile { fb_bytes: 8 * MIB, bar_bytes: 2 * MIB, channel_count: 2, context_bytes: 4096 };
    rig.destination.iter_mut().for_each(|it| it.want_profile(profile));
    rig.stayed();
    let SourceState::Undone(why) = rig.step().0 else { panic!("{:?}", rig.source.stats()) };
    assert!(why.contains("another profile"), "{why}");
}

fn opposite(decision: Decision) -> Decision {
    match decision {
        Decision::RunHere => Decision::Gone,
        Decision::Gone => Decision::RunHere,
    }
}

#[test]
fn a_destination_that_ends_while_it_starts_leaves_it_to_operators() {
    for decision in [Decision::RunHere, Decision::Gone] {
        let mut rig = Rig::new();
        rig.until(is_starting);
        rig.cut();
        rig.restart_destination();
        assert!(rig.to.journal.is_unsure(&TOKEN));
        rig.mend();
        rig.pass(10 * SILENCE_MAX_NS);
        assert_eq!(rig.stage(Side::Source), Some(MoveStage::Committed));
        assert_eq!(rig.stage(Side::Destination), Some(MoveStage::Running));
        assert_eq!((rig.from.running(), rig.to.running()), (0, 0));
        assert!(rig.said.iter().all(|it| !matches!(it, LinkMessage::Done(_))));
        let told = &rig.troubles[0];
        assert!(told.len() == 1 && told[0].contains("is not known"), "{told:?}");
        // What is decided there is heard of here.
        rig.resolve(Side::Destination, decision).unwrap();
        assert!(rig.resolve(Side::Destination, decision).is_err());
        match decision {
            Decision::Gone => rig.stayed(),
            Decision::RunHere => {
                rig.until(|_, source, _| *source == SourceState::Moved);
                assert_eq!(rig.stage(Side::Destination), Some(MoveStage::Closed));
            }
        }
    }
}

#[test]
fn an_operator_at_the_source_decides_when_the_destination_cannot_say() {
    for decision in [Decision::RunHere, Decision::Gone] {
        let mut rig = Rig::new();
        rig.until(is_starting);
        rig.restart_destination();
        rig.cut();
        rig.mend();
        rig.pass(STEP_NS);
        let why = rig.resolve(Side::Source, decision).unwrap_err();
        assert!(why.contains("the peer can be reached"), "{why}");
        rig.pass(SILENCE_MAX_NS);
        rig.resolve(Side::Source, decision).unwrap();
        rig.cut();
        rig.mend();
        let (stage, then) = match decision {
            Decision::RunHere => {
                rig.stayed();
                (MoveStage::Aborted, MoveStage::Released)
            }
            Decision::Gone => {
                rig.until(|_, source, _| *source == SourceState::Moved);
                rig.cut();
                rig.mend();
                rig.step();
                (MoveStage::Done, MoveStage::Closed)
            }
        };
        assert_eq!(rig.stage(Side::Source), Some(stage));
        assert_eq!(rig.stage(Side::Destination), Some(then), "it needs no decision of its own");
    }
}

#[test]
fn one_that_is_stuck_is_told_of_on_both_sides_and_can_be_let_go_of() {
    let mut rig = Rig::new();
    rig.until(is_starting);
    let site = &mut rig.to.site(rig.now_ns);
    let destination = rig.destination.as_mut().unwrap();
    destination.not_started(site, false, "it cannot be started");
    rig.pass(SILENCE_MAX_NS);
    let told = &rig.troubles[0];
    assert!(told.len() == 1 && told[0].contains("it cannot be started"), "{told:?}");
    // Here its start went through all the same, which only an operator can see.
    rig.to.set_disk(false);
    rig.resolve(Side::Destination, Decision::Gone).unwrap_err();
    assert!(matches!(rig.step().1, Some(DestinationState::Stuck(_))));
    rig.to.set_disk(true);
    rig.resolve(Side::Destination, Decision::Gone).unwrap();
    rig.until(|_, _, destination| matches!(destination, Some(DestinationState::Undone(_))));
    rig.stayed();
}
