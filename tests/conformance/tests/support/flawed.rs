//! Drivers that break one rule each.

use super::flaws::Flaw;
use super::gpu::Firmware;
use godwit_hal::{
    Apertures, Attention, Channels, CopyRing, Identity, Interrupts, Liveness, MESSAGE_BYTES_MAX,
    Mailbox, MailboxFull, Partitions, Retained, RetainedSlot, Routes, Runlists, Telemetry, Timer,
};
use godwit_mmio::SharedRetained;
use godwit_regs::map::SWITCH_ENTRIES;
use godwit_types::{
    Aperture, ChannelConfig, ChannelFault, ChannelId, CopyDone, CopyOp, CopyRequest, CopyStatus,
    Gfid, Placement, PreemptMode, Profile, Route, RunlistEvent, RunlistId, RunlistState, Switch,
    TsgId,
};

/// The vGPU in the suite's first place.
const FIRST: Gfid = Gfid::new(1).unwrap();
/// Its second channel.
const SECOND_CHANNEL: ChannelId = ChannelId::new(1).unwrap();

/// A driver with one flaw.
#[derive(Debug)]
pub(crate) struct Flawed {
    inner: Firmware,
    flaw: Flaw,
    own: SharedRetained,
    count: u32,
    bell: Option<ChannelId>,
    event: Option<RunlistEvent>,
    bound: Option<Gfid>,
    late: Option<CopyDone>,
    hint: Option<Gfid>,
    slice: Option<(PreemptMode, u32, u64)>,
    raised_before: u32,
    own_peers: Option<bool>,
}

impl Flawed {
    /// The driver with flaw number `flaw` of [`Flaw::ALL`].
    pub(crate) fn new(mut inner: Firmware, flaw: u32) -> Self {
        let flaw = Flaw::ALL[flaw as usize];
        if flaw == Flaw::StartsWithoutBells {
            inner.collect();
            while inner.poll_doorbell().is_some() {}
        }
        if flaw == Flaw::StartsWithoutHints {
            inner.collect();
            while inner.poll_hint().is_some() {}
        }
        let asked = flaw == Flaw::AnswersForTheOneBefore && !inner.are_peers_open(FIRST);
        let bound = asked.then_some(FIRST);
        let raised_before = match flaw {
            Flaw::CountsItsOwnInterrupts => inner.interrupts(FIRST),
            _ => 0,
        };
        Self {
            inner,
            flaw,
            own: SharedRetained::default(),
            count: 0,
            bell: None,
            event: None,
            bound,
            late: None,
            hint: None,
            slice: None,
            raised_before,
            own_peers: None,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// Whether this is the `every`-th time.
    fn counts_to(&mut self, every: u32) -> bool {
        self.count += 1;
        self.count.is_multiple_of(every)
    }
}

impl Interrupts for Flawed {
    fn collect(&mut self) -> bool {
        self.inner.collect()
    }
}

impl Timer for Flawed {
    fn now_ns(&self) -> u64 {
        let now_ns = self.inner.now_ns();
        if self.has(Flaw::HasAShortClock) { now_ns & 0xffff_ffff } else { now_ns }
    }

    fn set_alarm(&mut self, at_ns: Option<u64>) {
        let now_ns = self.inner.now_ns();
        match at_ns {
            None if self.has(Flaw::NeverClearsTheAlarm) => {}
            Some(at_ns) if self.has(Flaw::WaitsForTheFuture) && at_ns <= now_ns => {}
            _ => self.inner.set_alarm(at_ns),
        }
    }

    fn poll_alarm(&mut self) -> bool {
        self.inner.poll_alarm()
    }
}

impl Runlists for Flawed {
    fn start(&mut self, runlist: RunlistId, tsg: TsgId, seq: u32) {
        self.inner.start(runlist, tsg, seq);
        if let Some((mode, seq, at_ns)) = self.slice.filter(|_| self.has(Flaw::KeepsTheTime)) {
            self.inner.preempt_at(runlist, mode, seq.wrapping_add(1), at_ns);
        }
    }

    fn preempt_at(&mut self, runlist: RunlistId, mode: PreemptMode, seq: u32, at_ns: u64) {
        let now_ns = self.inner.now_ns();
        let earlier = self.slice.replace((mode, seq, at_ns));
        let (mode, at_ns) = match (self.flaw, earlier) {
            (Flaw::LetsSlicesRunOn, _) => return,
            (Flaw::SkipsSlicesThatAreOver, _) if at_ns <= now_ns => return,
            (Flaw::IgnoresTheTime, _) => (mode, 0),
            (Flaw::EndsSlicesTooLate, _) => (PreemptMode::Wfi, at_ns),
            (Flaw::EndsSlicesTooSoon, _) => (PreemptMode::Instruction, at_ns),
            (Flaw::KeepsTheFirstTime, Some((mode, _, at_ns))) => (mode, at_ns),
            _ => (mode, at_ns),
        };
        self.inner.preempt_at(runlist, mode, seq, at_ns);
    }

    fn request_preempt(&mut self, runlist: RunlistId, mode: PreemptMode, seq: u32) {
        let mode = match self.flaw {
            Flaw::PreemptsTooSoon | Flaw::PreemptsWithinABlock => PreemptMode::Instruction,
            Flaw::PreemptsTooLate => PreemptMode::Wfi,
            _ => mode,
        };
        match self.slice.filter(|_| self.has(Flaw::WaitsForTheSlice)) {
            Some((mode, _, at_ns)) => self.inner.preempt_at(runlist, mode, seq, at_ns),
            None => self.inner.request_preempt(runlist, mode, seq),
        }
    }

    fn request_reset(&mut self, runlist: RunlistId, seq: u32) {
        if !self.has(Flaw::NeverResets) {
            self.inner.request_reset(runlist, seq);
        }
    }

    fn poll_runlist(&mut self, runlist: RunlistId) -> Option<RunlistEvent> {
        let event = self.inner.poll_runlist(runlist);
        match event {
            Some(RunlistEvent::Preempted { seq }) if self.has(Flaw::AnswersAnotherNumber) => {
                Some(RunlistEvent::Preempted { seq: seq + 1 })
            }
            None if self.has(Flaw::AnswersTwice) => self.event.take(),
            _ => {
                self.event = event;
                event
            }
        }
    }

    fn runlist_state(&self, runlist: RunlistId) -> RunlistState {
        self.inner.runlist_state(runlist)
    }

    fn last_requests(&self, runlist: RunlistId) -> (u32, u32, u32) {
        if self.has(Flaw::ForgetsItsNumbers) {
            return (0, 0, 0);
        }
        self.inner.last_requests(runlist)
    }
}

impl Telemetry for Flawed {
    fn record(&mut self, switch: &Switch) {
        self.count += 1;
        match self.flaw {
            Flaw::RecordsLess => self.inner.record(&Switch { mode: None, ..*switch }),
            Flaw::DropsASwitch if self.count.is_multiple_of(4) => {}
            Flaw::StopsWhenTheRingIsFull if self.count > SWITCH_ENTRIES => {}
            _ => self.inner.record(switch),
        }
    }
}

impl Channels for Flawed {
    fn poll_hint(&mut self) -> Option<Gfid> {
        if self.has(Flaw::HintsAtEveryDoorbell) && self.bell.is_none() {
            self.bell = self.inner.poll_doorbell();
            let config = self.bell.and_then(|bell| self.inner.read_channel(bell));
            return config.map(|config| config.gfid);
        }
        if let Some(again) = self.hint.take() {
            return Some(again);
        }
        let hint = self.inner.poll_hint()?;
        if self.has(Flaw::DropsHints) && self.counts_to(2) {
            return self.inner.poll_hint();
        }
        self.hint = self.has(Flaw::RepeatsAHint).then_some(hint);
        Some(hint)
    }

    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn bind_channel(&mut self, channel: ChannelId, config: &ChannelConfig) {
        self.inner.bind_channel(channel, config);
    }

    fn unbind_channel(&mut self, channel: ChannelId) {
        if !self.has(Flaw::NeverUnbinds) {
            self.inner.unbind_channel(channel);
        }
    }

    fn read_channel(&self, channel: ChannelId) -> Option<ChannelConfig> {
        let config = self.inner.read_channel(channel)?;
        if self.has(Flaw::ReadsBackLess) {
            return Some(ChannelConfig { fault: None, ..config });
        }
        Some(config)
    }

    fn channel_fault(&self, channel: ChannelId) -> Option<ChannelFault> {
        self.inner.channel_fault(channel)
    }

    fn poll_doorbell(&mut self) -> Option<ChannelId> {
        if let Some(again) = self.bell.take() {
            return Some(again);
        }
        let bell = self.inner.poll_doorbell()?;
        if self.has(Flaw::DropsADoorbell) && self.counts_to(4) {
            return self.inner.poll_doorbell();
        }
        self.bell = self.has(Flaw::RepeatsADoorbell).then_some(bell);
        Some(bell)
    }

    fn poll_fault(&mut self) -> Option<(ChannelId, ChannelFault)> {
        let fault = self.inner.poll_fault();
        fault.filter(|_| !self.has(Flaw::KeepsFaults))
    }
}

impl Partitions for Flawed {
    fn set_partition(&mut self, gfid: Gfid, placement: &Placement, profile: &Profile) {
        if self.has(Flaw::CountsSinceThePartition) {
            self.raised_before = self.inner.interrupts(gfid);
        }
        self.inner.set_partition(gfid, placement, profile);
    }

    fn clear_partition(&mut self, gfid: Gfid) {
        if self.has(Flaw::NeverClearsAPartition) {
            self.bound = Some(gfid);
        } else {
            self.inner.clear_partition(gfid);
        }
    }

    fn poll_partition(&mut self) -> Option<Gfid> {
        let early = self.bound.take_if(|_| self.flaw == Flaw::NeverClearsAPartition);
        early.or_else(|| self.inner.poll_partition())
    }
}

impl Apertures for Flawed {
    fn bind_aperture(&mut self, gfid: Gfid, aperture: &Aperture) {
        self.inner.bind_aperture(gfid, aperture);
        self.bound = self.has(Flaw::AnswersTooEarly).then_some(gfid);
    }

    fn poll_aperture(&mut self) -> Option<Gfid> {
        match self.bound.take() {
            Some(early) => Some(early),
            None if self.has(Flaw::AnswersTooEarly) => None,
            None => self.inner.poll_aperture(),
        }
    }
}

impl Routes for Flawed {
    fn set_route(&mut self, gfid: Gfid, route: &Route) {
        let mut route = *route;
        route.interrupts_open |= self.has(Flaw::NeverClosesARoute);
        if self.has(Flaw::ForgetsTheOffset) {
            route.time_offset_ns = 0;
        }
        self.inner.set_route(gfid, &route);
    }

    fn inject_vectors(&mut self, gfid: Gfid, vectors: u32) {
        if !(self.has(Flaw::LosesInjections) && self.counts_to(2)) {
            self.inner.inject_vectors(gfid, vectors);
        }
    }

    fn set_peers(&mut self, gfid: Gfid, open: bool) {
        let earlier = self.own_peers.replace(open);
        match self.flaw {
            Flaw::NeverClosesPeers => self.inner.set_peers(gfid, true),
            Flaw::StopsAllForPeers if !open => {
                self.inner.unbind_channel(SECOND_CHANNEL);
                self.inner.set_peers(gfid, open);
            }
            Flaw::AnswersPeersTooEarly => {
                self.inner.set_peers(gfid, open);
                self.bound = Some(gfid);
            }
            Flaw::ClosesEverybodysPeers => {
                self.inner.set_peers(FIRST, open);
                self.inner.set_peers(gfid, open);
            }
            Flaw::KeepsTheFirstOfPeers if earlier.is_some() => {}
            _ => self.inner.set_peers(gfid, open),
        }
    }

    fn poll_peers(&mut self) -> Option<Gfid> {
        match self.flaw {
            Flaw::AnswersPeersTooEarly | Flaw::AnswersForTheOneBefore => {
                self.bound.take().or_else(|| self.inner.poll_peers())
            }
            _ => self.inner.poll_peers(),
        }
    }

    fn are_peers_open(&self, gfid: Gfid) -> bool {
        match self.flaw {
            Flaw::ForgetsPeers => self.own_peers.unwrap_or(true),
            _ => self.inner.are_peers_open(gfid),
        }
    }

    fn pending_vectors(&self, gfid: Gfid) -> u32 {
        self.inner.pending_vectors(gfid)
    }

    fn interrupts(&self, gfid: Gfid) -> u32 {
        match self.flaw {
            Flaw::CountsWhatIsPending => self.inner.pending_vectors(gfid).count_ones(),
            _ => self.inner.interrupts(gfid).wrapping_sub(self.raised_before),
        }
    }
}

impl CopyRing for Flawed {
    fn copy_room(&self) -> u8 {
        self.inner.copy_room()
    }

    fn submit_copy(&mut self, request: &CopyRequest) -> bool {
        if self.has(Flaw::StopsTheLogFirst) && request.op == CopyOp::DirtyStart {
            let stop = CopyRequest { op: CopyOp::DirtyStop, ..*request };
            self.count += u32::from(self.inner.submit_copy(&stop));
        }
        self.inner.submit_copy(request) || self.has(Flaw::TakesMoreCopiesThanItCan)
    }

    fn poll_copy(&mut self) -> Option<CopyDone> {
        if self.has(Flaw::StopsTheLogFirst) && self.count > 0 {
            self.inner.poll_copy()?; // that of the stop, of which nobody knows
            self.count -= 1;
        }
        if self.has(Flaw::AnswersCopiesOutOfOrder) && self.late.is_none() {
            self.late = self.inner.poll_copy();
            return None;
        }
        let done = self.inner.poll_copy().or_else(|| self.late.take())?;
        if self.has(Flaw::IgnoresTheCrc) && done.status == CopyStatus::BadCrc {
            return Some(CopyDone { status: CopyStatus::Done, ..done });
        }
        Some(done)
    }
}

impl Mailbox for Flawed {
    fn exchange_version(&mut self, version: u32) -> u32 {
        self.inner.exchange_version(version)
    }

    fn receive(&mut self, into: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<usize> {
        let length = self.inner.receive(into)?;
        Some(length.saturating_sub(usize::from(self.has(Flaw::CutsCommands))))
    }

    fn event_room(&self) -> u32 {
        self.inner.event_room()
    }

    fn send(&mut self, message: &[u8]) -> Result<(), MailboxFull> {
        let most = message.len().min(MESSAGE_BYTES_MAX);
        let message = if self.has(Flaw::CutsEvents) { &message[..most] } else { message };
        self.inner.send(message)
    }
}

impl Attention for Flawed {
    type Line = <Firmware as Attention>::Line;

    fn attention(&mut self) -> &mut Self::Line {
        self.inner.attention()
    }
}

impl Retained for Flawed {
    fn load(&self, slot: RetainedSlot, at: usize, into: &mut [u8]) {
        match self.flaw {
            Flaw::HasOneRetainedSlot => self.inner.load(RetainedSlot::A, at, into),
            Flaw::RetainsInItsOwnMemory => self.own.load(slot, at, into),
            _ => self.inner.load(slot, at, into),
        }
    }

    fn store(&mut self, slot: RetainedSlot, at: usize, bytes: &[u8]) {
        match self.flaw {
            Flaw::HasOneRetainedSlot => self.inner.store(RetainedSlot::A, at, bytes),
            Flaw::RetainsInItsOwnMemory => self.own.store(slot, at, bytes),
            _ => self.inner.store(slot, at, bytes),
        }
    }
}

impl Liveness for Flawed {
    fn beat(&mut self) {
        if !self.has(Flaw::HasNoHeartbeat) {
            self.inner.beat();
        }
    }

    fn idle(&mut self) {
        self.inner.idle();
    }
}
