//! The engine on a device that answers at once, unless it is told not to.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod sharing;

use godwit_engine::{
    Action, Command, Engine, Event, Input, Reject, Request, RetainedPhase, RetainedVgpu, StopMode,
};
use godwit_types::{
    ChannelId, CopyDone, CopyOp, CopyRequest, CopyStatus, Engines, Gfid, GuestChannelId,
    GuestTsgId, Identity, Placement, PreemptMode, Profile, RingConfig, RunlistEvent, RunlistId,
    RunlistState, Share, Switch, TsgId,
};
pub(crate) use sharing::{SLICE, near, parts, scheduling, sharing};

const MIB: u64 = 1 << 20;
pub(crate) const MS: u64 = 1_000_000;

pub(crate) const DEVICE: Identity = Identity {
    fb_bytes: 64 * MIB,
    bar_bytes: 64 * MIB,
    context_bytes: 64 * MIB,
    context_layout: 1,
    engines: Engines::ALL,
};

pub(crate) const PROFILE: Profile =
    Profile { fb_bytes: MIB, bar_bytes: MIB, channel_count: 4, context_bytes: 4096 };

/// What becomes of an engine's answers to preempt requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    Given,
    /// The engine becomes empty, and does not say so.
    Lost,
    /// It keeps its group.
    Hangs,
    /// It keeps its group, and does not even obey a reset.
    Dead,
    /// It keeps its group for so long, in nanoseconds, and then obeys.
    Late(u64),
}

/// One engine of the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runlist {
    pub(crate) on: Option<TsgId>,
    pub(crate) ack: Ack,
    /// The last preempt request.
    pub(crate) asked: Option<(PreemptMode, u32)>,
    /// A preempt request that comes later.
    pub(crate) timed: Option<(PreemptMode, u32, u64)>,
    /// An answer that comes later: to which request, and when.
    late: Option<(u32, u64)>,
    pub(crate) run_seq: u32,
    reset_seq: u32,
}

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) now_ns: u64,
    /// Answered: partitions, apertures, copies, peers.
    pub(crate) partitions: bool,
    pub(crate) apertures: bool,
    pub(crate) copies: bool,
    pub(crate) peers: bool,
    /// What was asked about peers, in order.
    pub(crate) ways: Vec<(Gfid, bool)>,
    /// All copies that were asked for.
    pub(crate) copied: Vec<CopyRequest>,
    /// Copies that were not answered.
    pub(crate) waiting: Vec<CopyRequest>,
    pub(crate) runlists: [Runlist; 2],
    pub(crate) events: Vec<Event>,
    pub(crate) switches: Vec<Switch>,
    /// Vectors that were raised, and whose.
    pub(crate) injected: Vec<(Gfid, u32)>,
    /// What the device counts of every vGPU's interrupts.
    pub(crate) interrupts: u32,
    /// What was retained last.
    retained: Vec<RetainedVgpu>,
    alarm_ns: Option<u64>,
    id: u32,
}

pub(crate) fn gfid(raw: u8) -> Gfid {
    Gfid::new(raw).unwrap()
}

pub(crate) fn channel(raw: u16) -> GuestChannelId {
    GuestChannelId::new(raw).unwrap()
}

impl Rig {
    pub(crate) fn new() -> Self {
        let idle = Runlist {
            on: None,
            ack: Ack::Given,
            asked: None,
            timed: None,
            late: None,
            run_seq: 0,
            reset_seq: 0,
        };
        Self {
            engine: Engine::new(DEVICE),
            now_ns: 0,
            partitions: true,
            apertures: true,
            copies: true,
            peers: true,
            ways: Vec::new(),
            copied: Vec::new(),
            waiting: Vec::new(),
            runlists: [idle; 2],
            events: Vec::new(),
            switches: Vec::new(),
            injected: Vec::new(),
            interrupts: 0,
            retained: Vec::new(),
            alarm_ns: None,
            id: 0,
        }
    }

    pub(crate) fn give(&mut self, input: Input) {
        self.engine.handle(&input, self.now_ns).expect("the engine has room");
        self.settle();
    }

    /// Performs what the engine wants, until it wants nothing more.
    pub(crate) fn settle(&mut self) {
        loop {
            let more = self.engine.proceed(self.now_ns);
            let Some(action) = self.engine.poll_action() else {
                if more {
                    continue;
                }
                break;
            };
            if let Some(input) = self.perform(action) {
                self.engine.handle(&input, self.now_ns).expect("the engine takes answers");
            }
        }
        self.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
        assert_eq!(self.engine.counters().overruns, 0);
    }

    /// What an action announces must be in the record when it is performed.
    fn check_retained(&self, action: &Action, copy: Option<CopyRequest>) {
        let phase =
            |gfid| self.retained.iter().find(|vgpu| vgpu.gfid == gfid).map(|vgpu| vgpu.phase);
        let broken = |gfid| matches!(phase(gfid), Some(RetainedPhase::Broken));
        let runs = |gfid| matches!(phase(gfid), Some(RetainedPhase::Running { .. }));
        let right = match *action {
            Action::SetPartition(gfid) | Action::ClearPartition(gfid) => broken(gfid),
            Action::Start(_, tsg, _) => runs(gfid_of(tsg)),
            Action::SetRoute(gfid, open) => !open || runs(gfid),
            Action::Copy => copy.is_none_or(|request| match request.op {
                CopyOp::FillFb { .. } | CopyOp::Scatter { .. } | CopyOp::SlotToContext { .. } => {
                    broken(request.gfid)
                }
                _ => true,
            }),
            Action::Unbind(channel) => phase(gfid_of_channel(channel)).is_some(),
            Action::Retain
            | Action::Preempt(..)
            | Action::PreemptAt(..)
            | Action::Reset(..)
            | Action::Probe(_)
            | Action::Alarm(_)
            | Action::Bind(..)
            | Action::BindAperture(..)
            | Action::Inject(..)
            | Action::SetPeers(..)
            | Action::Record(_)
            | Action::CountInterrupts(_)
            | Action::ReadVectors(_) => true,
        };
        assert!(right, "{action:?} with {:?} retained", self.retained);
    }

    fn perform(&mut self, action: Action) -> Option<Input> {
        let copy = (action == Action::Copy).then(|| self.engine.poll_copy()).flatten();
        self.check_retained(&action, copy);
        if action == Action::Retain {
            self.retained = self.engine.retained().collect();
        }
        self.copied.extend(copy);
        if let Action::ClearPartition(gfid) = action {
            self.check_scrubbed(gfid);
        }
        match action {
            Action::SetPartition(gfid) | Action::ClearPartition(gfid) => {
                self.partitions.then_some(Input::PartitionSet(gfid))
            }
            Action::BindAperture(gfid, _) => self.apertures.then_some(Input::ApertureSet(gfid)),
            Action::SetPeers(gfid, open) => {
                self.ways.push((gfid, open));
                self.peers.then_some(Input::PeersSet(gfid))
            }
            Action::ReadVectors(gfid) => Some(Input::Vectors(gfid, 0)),
            Action::Alarm(at_ns) => {
                self.alarm_ns = (at_ns != u64::MAX).then_some(at_ns);
                None
            }
            Action::Copy if self.copies => copy.as_ref().map(done),
            Action::Copy => {
                self.waiting.extend(copy);
                None
            }
            Action::Start(runlist, tsg, seq) => {
                let entry = self.runlist(runlist);
                (entry.on, entry.run_seq, entry.asked) = (Some(tsg), seq, None);
                entry.timed = None;
                None
            }
            Action::Preempt(runlist, mode, seq) => self.preempt(runlist, mode, seq),
            Action::PreemptAt(runlist, mode, seq, at_ns) => {
                self.runlist(runlist).timed = Some((mode, seq, at_ns));
                self.take_timed(runlist)
            }
            Action::Reset(runlist, seq) => {
                let entry = self.runlist(runlist);
                entry.reset_seq = seq;
                if entry.ack == Ack::Dead {
                    return None;
                }
                entry.on = None;
                Some(Input::Runlist(runlist, RunlistEvent::Reset { seq }))
            }
            Action::Probe(runlist) => {
                let on = self.runlist(runlist).on;
                let state = on.map_or(RunlistState::Empty, RunlistState::Resident);
                Some(Input::Probed(runlist, state))
            }
            Action::Record(runlist) => {
                let switch = self.engine.switch(runlist)?;
                self.switches.push(switch);
                Some(Input::Interrupts(switch.gfid, self.interrupts))
            }
            Action::CountInterrupts(gfid) => Some(Input::Interrupts(gfid, self.interrupts)),
            Action::Retain | Action::Bind(..) | Action::Unbind(_) | Action::SetRoute(..) => None,
            Action::Inject(gfid, vectors) => {
                self.injected.push((gfid, vectors));
                None
            }
        }
    }

    fn preempt(&mut self, runlist: RunlistId, mode: PreemptMode, seq: u32) -> Option<Input> {
        let now_ns = self.now_ns;
        let entry = self.runlist(runlist);
        entry.asked = Some((mode, seq));
        entry.timed = None;
        match entry.ack {
            Ack::Given => {
                entry.on = None;
                Some(Input::Runlist(runlist, RunlistEvent::Preempted { seq }))
            }
            Ack::Lost => {
                entry.on = None;
                None
            }
            Ack::Hangs | Ack::Dead => None,
            Ack::Late(ns) => {
                // Whoever is asked again is no more obedient.
                let at_ns = entry.late.map_or(now_ns + ns, |(_, at_ns)| at_ns);
                entry.late = Some((seq, at_ns));
                None
            }
        }
    }

    /// An answer that is late and comes now.
    fn take_late(&mut self, runlist: RunlistId) -> Option<Input> {
        let now_ns = self.now_ns;
        let entry = self.runlist(runlist);
        let (seq, _) = entry.late.take_if(|(_, at_ns)| *at_ns <= now_ns)?;
        entry.on = None;
        Some(Input::Runlist(runlist, RunlistEvent::Preempted { seq }))
    }

    /// A preempt request whose time has come.
    fn take_timed(&mut self, runlist: RunlistId) -> Option<Input> {
        let now_ns = self.now_ns;
        let due = self.runlist(runlist).timed.take_if(|(_, _, at_ns)| *at_ns <= now_ns);
        due.and_then(|(mode, seq, _)| self.preempt(runlist, mode, seq))
    }

    pub(crate) fn runlist(&mut self, runlist: RunlistId) -> &mut Runlist {
        &mut self.runlists[usize::from(runlist.raw())]
    }

    /// Lets time pass, with the alarm ringing whenever it is due.
    pub(crate) fn pass(&mut self, ns: u64) {
        let end_ns = self.now_ns + ns;
        loop {
            let timed = self.runlists.iter().filter_map(|runlist| runlist.timed);
            let timed = timed.map(|(_, _, at_ns)| at_ns);
            let late = self.runlists.iter().filter_map(|runlist| runlist.late);
            let late = late.map(|(_, at_ns)| at_ns);
            let next_ns = timed.chain(late).chain(self.alarm_ns).min();
            let Some(at_ns) = next_ns.filter(|at_ns| *at_ns <= end_ns) else { break };
            self.now_ns = self.now_ns.max(at_ns);
            for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
                if let Some(input) = self.take_timed(runlist) {
                    self.give(input);
                }
                if let Some(input) = self.take_late(runlist) {
                    self.give(input);
                }
            }
            if self.alarm_ns.take_if(|at_ns| *at_ns <= self.now_ns).is_some() {
                self.give(Input::Alarm);
            }
        }
        self.now_ns = end_ns;
    }

    /// Asks for something; returns the request's number.
    pub(crate) fn ask(&mut self, raw: u8, command: Command) -> u32 {
        self.id += 1;
        let request = Request { id: self.id, gfid: gfid(raw), command };
        self.engine.request(&request, self.now_ns).expect("the engine has room");
        self.settle();
        self.id
    }

    /// What became of a request: `None` if it was not answered.
    pub(crate) fn answer(&self, id: u32) -> Option<Result<(), Reject>> {
        self.events.iter().find_map(|event| match *event {
            Event::Done { id: done } if done == id => Some(Ok(())),
            Event::Refused { id: refused, why } if refused == id => Some(Err(why)),
            _ => None,
        })
    }

    pub(crate) fn must(&mut self, raw: u8, command: Command) {
        let id = self.ask(raw, command);
        assert_eq!(self.answer(id), Some(Ok(())), "{command:?}");
    }

    pub(crate) fn create(&mut self, raw: u8) -> u32 {
        let at = u64::from(raw) - 1;
        let placement = Placement {
            fb_base: at * MIB,
            bar_base: at * MIB,
            channel_base: (raw - 1).into(),
            context_base: at * MIB,
        };
        // Blocks of channels lie side by side.
        let placement =
            Placement { channel_base: placement.channel_base * PROFILE.channel_count, ..placement };
        self.ask(raw, Command::Create { profile: PROFILE, placement, share: Share::DEFAULT })
    }

    /// A vGPU that runs, with its channel 0 open on the compute engine and rung.
    pub(crate) fn busy(&mut self, raw: u8) {
        let id = self.create(raw);
        assert_eq!(self.answer(id), Some(Ok(())));
        self.must(raw, Command::Start);
        let ring = RingConfig::new(0, 4, PROFILE.fb_bytes).unwrap();
        let (tsg, runlist) = (GuestTsgId::new(0).unwrap(), RunlistId::COMPUTE);
        self.must(raw, Command::OpenChannel { channel: channel(0), tsg, runlist, ring, grace: 0 });
        self.ring(raw);
    }

    /// A vGPU that runs and has nothing to do, with its channel 0 open on the compute engine.
    pub(crate) fn idle(&mut self, raw: u8, share: Share, grace: u8) {
        let id = self.create(raw);
        assert_eq!(self.answer(id), Some(Ok(())));
        self.must(raw, Command::SetShare(share));
        self.must(raw, Command::Start);
        let ring = RingConfig::new(0, 4, PROFILE.fb_bytes).unwrap();
        let (tsg, runlist) = (GuestTsgId::new(0).unwrap(), RunlistId::COMPUTE);
        self.must(raw, Command::OpenChannel { channel: channel(0), tsg, runlist, ring, grace });
    }

    /// How long a vGPU had the compute engine since `from_ns`, stays that have ended only.
    pub(crate) fn attained_ns(&self, raw: u8, from_ns: u64) -> u64 {
        let stays = self.switches.iter().filter(|switch| switch.gfid == gfid(raw));
        stays
            .map(|switch| {
                let had_ns = u64::from(switch.run_ns) + u64::from(switch.preempt_ns);
                had_ns.min(switch.at_ns.saturating_sub(from_ns))
            })
            .sum()
    }

    /// Whose group is on the compute engine.
    pub(crate) fn on(&self) -> Option<u8> {
        self.runlists[0].on.map(|tsg| gfid_of(tsg).raw())
    }

    /// The engine's reset, which takes as long as somebody lets it, is done.
    pub(crate) fn finish_reset(&mut self, runlist: RunlistId) {
        let entry = self.runlist(runlist);
        (entry.on, entry.ack) = (None, Ack::Given);
        let seq = entry.reset_seq;
        self.give(Input::Runlist(runlist, RunlistEvent::Reset { seq }));
    }

    /// Its work on the compute engine is done.
    pub(crate) fn finish(&mut self) {
        self.finish_and(&[]);
    }

    /// Its work on the compute engine is done, and before the firmware rests, this comes too.
    pub(crate) fn finish_and(&mut self, inputs: &[Input]) {
        let entry = &mut self.runlists[0];
        let idle = Input::Runlist(RunlistId::COMPUTE, RunlistEvent::Idle { seq: entry.run_seq });
        (entry.on, entry.timed) = (None, None);
        for input in core::iter::once(&idle).chain(inputs) {
            self.engine.handle(input, self.now_ns).expect("the engine has room");
        }
        self.settle();
    }

    /// Rings its channel 0.
    pub(crate) fn ring(&mut self, raw: u8) {
        let base = u16::from(raw - 1) * PROFILE.channel_count;
        self.give(Input::Doorbell(channel(0).at_base(base).unwrap()));
    }

    pub(crate) fn stop(&mut self, raw: u8, timeout_ns: u64) -> u32 {
        let mode = StopMode::Pinned(PreemptMode::Instruction);
        self.ask(raw, Command::Stop { mode, timeout_ns })
    }

    /// The device answers a copy after all.
    pub(crate) fn answer_copy(&mut self) {
        let request = self.waiting.remove(0);
        self.give(done(&request));
    }

    /// The copy engine fails.
    pub(crate) fn fail_copy(&mut self) {
        let request = self.waiting.remove(0);
        let Input::Copied(done) = done(&request) else { unreachable!() };
        self.give(Input::Copied(CopyDone { status: CopyStatus::Error, ..done }));
    }

    /// Since the vGPU was to be made absent, fills have gone over all that is its own, no further,
    /// and all of them were answered.
    fn check_scrubbed(&self, who: Gfid) {
        let left = self.waiting.iter().filter(|request| request.gfid == who);
        assert_eq!(left.collect::<Vec<_>>(), [] as [&CopyRequest; 0]);
        let ops: Vec<CopyOp> = self.copies_of(who).collect();
        let found = |op: CopyOp| ops.iter().filter(|other| **other == op).count();
        let context_bytes = u64::from(PROFILE.channel_count) * u64::from(PROFILE.context_bytes);
        let at = (u64::from(who.raw()) - 1) * MIB;
        let partition = CopyOp::FillFb { at: 0, byte_count: PROFILE.fb_bytes };
        let contexts = CopyOp::FillContext { at, byte_count: context_bytes };
        let fills = ops
            .iter()
            .filter(|op| matches!(op, CopyOp::FillFb { .. } | CopyOp::FillContext { .. }));
        assert!(found(partition) != 0 && found(contexts) != 0, "{ops:?}");
        // Channels that were closed have had their own buffers filled.
        let within = |op: &CopyOp| match *op {
            CopyOp::FillFb { .. } => *op == partition,
            CopyOp::FillContext { at: from, byte_count } => {
                at <= from && from + byte_count <= at + context_bytes
            }
            _ => true,
        };
        assert!(fills.into_iter().all(within), "{ops:?}");
    }

    /// What the copy engine was asked to do for a vGPU.
    pub(crate) fn copies_of(&self, who: Gfid) -> impl Iterator<Item = CopyOp> {
        self.copied.iter().filter(move |request| request.gfid == who).map(|request| request.op)
    }

    pub(crate) fn is_told(&self, event: Event) -> bool {
        self.events.contains(&event)
    }
}

/// Blocks of channels and groups lie side by side.
fn gfid_of(tsg: TsgId) -> Gfid {
    gfid((tsg.raw() / PROFILE.channel_count) as u8 + 1)
}

fn gfid_of_channel(channel: ChannelId) -> Gfid {
    gfid((channel.raw() / PROFILE.channel_count) as u8 + 1)
}

fn done(request: &CopyRequest) -> Input {
    let (tag, status) = (request.tag, CopyStatus::Done);
    // A round without pages: the one after the last.
    Input::Copied(CopyDone { tag, status, pages: u32::MAX, byte_count: 0, crc: 0 })
}
