//! One host: a card, and what the host knows of its vGPUs.

use crate::card::{Card, CardError};
use crate::client::Client;
use crate::function::Function;
use crate::loss::LossCause;
use crate::mcu::Mcu;
use crate::share::{self, AbuseReport};
use crate::slots::Slots;
use crate::stream::StreamVersion;
use crate::tally::{self, Tally};
use godwit_mmio::{SharedWords, SwitchReader};
use godwit_sim_gpu::{BarError, GpuConfig, Staging, Stop};
use godwit_types::{Engines, Gfid, Identity, Placement, Profile, Scheduling, Share, SlotId};
use godwit_wire::mailbox::{self, Command, Event, Reject};
use std::collections::{BTreeMap, VecDeque};

/// Why a host could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The card has no room.
    #[error("there is no room for a vGPU of {profile:?}")]
    NoRoom {
        /// What was to be placed.
        profile: Profile,
    },
    /// The firmware refused.
    #[error("the firmware refuses: {0:?}")]
    Refused(Reject),
    /// Its firmware is gone for good.
    #[error("the firmware is lost, again and again: restart it")]
    Lost,
    /// An access through the aperture met nothing.
    #[error("the aperture cannot be reached: {0:?}")]
    Bar(BarError),
}

/// What a host knows of a vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VgpuInfo {
    /// What it is.
    pub profile: Profile,
    /// Where it sits.
    pub placement: Placement,
    /// What it is due of the engines.
    pub share: Share,
}

/// A command that was sent and whose answer is awaited. If the firmware restarts meanwhile
/// the command is void, and whoever waits decides what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    id: u32,
    generation: u32,
}

impl Pending {
    /// Whether the firmware has restarted since it was sent.
    pub(crate) fn is_void(&self, host: &Host) -> bool {
        self.generation != host.generation
    }
}

/// What became of a pending command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Waiting,
    Done,
    Refused(Reject),
    /// The firmware has restarted, and the answer will not come.
    Void,
}

/// Where nothing is known to happen on a card, somebody looks again after so long.
const IDLE_STEP_NS: u64 = 100_000;
/// Answers that are kept for those who wait: far more than commands can be under way.
const ANSWERS_MAX: usize = 1024;

/// A host.
#[derive(Debug)]
pub struct Host {
    pub(crate) card: Card,
    pub(crate) client: Client,
    pub(crate) vgpus: BTreeMap<Gfid, VgpuInfo>,
    pub(crate) functions: BTreeMap<Gfid, Function>,
    answers: BTreeMap<u32, Result<(), Reject>>,
    inbox: BTreeMap<Gfid, VecDeque<Event>>,
    pub(crate) slots: Slots,
    /// Slots that were lent to the firmware and not yet taken on, by command.
    credits: BTreeMap<u32, SlotId>,
    pub(crate) generation: u32,
    present: u32,
    running: u32,
    pub(crate) tally: Tally,
    pub(crate) abuses: Vec<AbuseReport>,
    /// Faults of channels that were told, by vGPU.
    pub(crate) faults: BTreeMap<Gfid, u64>,
    pub(crate) switches: SwitchReader<SharedWords>,
    /// How its vGPUs take turns.
    pub(crate) scheduling: Scheduling,
    stream_version: StreamVersion,
}

impl Host {
    /// Powers a host's card on and starts its firmware.
    ///
    /// # Errors
    ///
    /// When the system gives no memory files, or the microcontroller does not start, or its
    /// firmware speaks another version.
    pub fn new(config: GpuConfig, mcu: &Mcu) -> Result<Self, CardError> {
        let card = Card::new(config, mcu)?;
        let client = Client::new(card.words().clone());
        let switches = SwitchReader::new(card.words().clone());
        let mut host = Self {
            card,
            client,
            vgpus: BTreeMap::new(),
            functions: BTreeMap::new(),
            answers: BTreeMap::new(),
            inbox: BTreeMap::new(),
            slots: Slots::new(),
            credits: BTreeMap::new(),
            generation: 0,
            present: 0,
            running: 0,
            tally: Tally::default(),
            abuses: Vec::new(),
            faults: BTreeMap::new(),
            switches,
            scheduling: Scheduling::DEFAULT,
            stream_version: StreamVersion::NEWEST,
        };
        // The firmware says that it has started: commands are meant for one start of it.
        host.card.start()?;
        host.await_start()?;
        Ok(host)
    }

    /// The card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The card, to break and watch.
    pub fn card_mut(&mut self) -> &mut Card {
        &mut self.card
    }

    /// How large the card is.
    ///
    /// # Panics
    ///
    /// When the card has not come up, which [`Self::new`] rules out.
    pub fn identity(&mut self) -> Identity {
        self.client.view().identity().expect("the card is up")
    }

    /// The newest version of a state stream that this host writes and reads.
    pub fn stream_version(&self) -> StreamVersion {
        self.stream_version
    }

    /// Keeps the host to streams of up to this version, as a build that knows no newer one is.
    pub fn set_stream_version(&mut self, version: StreamVersion) {
        self.stream_version = version;
    }

    /// Time of the card.
    pub fn now_ns(&self) -> u64 {
        self.card.gpu().now_ns()
    }

    /// Messages so far between the host and its firmware: while it stands still, no transfer
    /// goes on by itself.
    pub fn message_count(&self) -> u64 {
        self.client.message_count()
    }

    /// Lets time pass on the card, and takes what the firmware tells.
    pub fn run(&mut self, until_ns: u64) -> Stop {
        self.client.flush();
        let stop = self.card.run(until_ns);
        self.take_events();
        stop
    }

    /// Lets the firmware take what was sent, and takes what it tells.
    pub fn settle(&mut self) {
        self.client.flush();
        self.card.settle();
        self.take_events();
    }

    /// Restarts the firmware under everything.
    pub fn restart_firmware(&mut self) {
        // What it has told so far is still in the ring, and true.
        self.take_events();
        self.card.restart_firmware();
        self.take_events();
    }

    pub(crate) fn take_events(&mut self) {
        self.take_told();
        // Whoever has started is what there is: whom it does not have is lost.
        let missing = self.tally.take_missing();
        if missing != 0 {
            self.card.note(LossCause::Vgpus(tally::gfids(missing).collect()));
        }
    }

    /// The same, and whom a start of the firmware does not have is not given up.
    pub(crate) fn take_told(&mut self) {
        while let Some(event) = self.client.poll() {
            self.take_event(event);
            self.client.flush();
        }
        self.retry_functions();
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Started { generation, present, running } => {
                self.restarted(generation, present, running);
            }
            Event::Done { id } => self.answer(id, Ok(())),
            Event::Refused { id, why } => self.answer(id, Err(why)),
            Event::Taken { slot } => {
                if let Some(slot) = SlotId::new(slot) {
                    self.slots.give_back(slot);
                }
            }
            Event::Free { slot } => {
                if let Some(slot) = SlotId::new(slot) {
                    self.slots.scrubbed(slot);
                }
            }
            Event::ChannelFault { gfid, channel, fault } => {
                self.count_fault(gfid);
                if let Some(function) = self.function(gfid) {
                    function.faulted(channel, fault);
                }
            }
            Event::Closed { gfid, channel } => {
                if let Some(function) = self.function(gfid) {
                    function.closed(channel);
                }
            }
            Event::Round { gfid, .. }
            | Event::Pages { gfid, .. }
            | Event::RoundEnd { gfid }
            | Event::Vgpu { gfid, .. }
            | Event::Channel { gfid, .. }
            | Event::Context { gfid, .. }
            | Event::Saved { gfid }
            | Event::Failed { gfid, .. } => {
                if let Some(gfid) = Gfid::new(gfid) {
                    self.inbox.entry(gfid).or_default().push_back(event);
                }
            }
            Event::Abuse { gfid, abuse, measure } => {
                self.abuses.extend(AbuseReport::new(gfid, abuse, measure));
            }
            // We send nothing that cannot be decoded; an engine that is lost shows in its
            // channels' faults.
            Event::Malformed | Event::EngineLost { .. } => {}
        }
    }

    fn function(&mut self, gfid: u8) -> Option<&mut Function> {
        self.functions.get_mut(&Gfid::new(gfid)?)
    }

    fn answer(&mut self, id: u32, answer: Result<(), Reject>) {
        if let Some(slot) = self.credits.remove(&id) {
            self.slots.answered(slot, answer.is_ok());
            return;
        }
        for function in self.functions.values_mut() {
            if function.answered(id, answer) {
                return;
            }
        }
        self.tally.answered(id, answer.is_ok());
        self.answers.insert(id, answer);
        // Who gave up did not wait for every answer.
        if self.answers.len() > ANSWERS_MAX {
            self.answers.pop_first();
        }
    }

    fn restarted(&mut self, generation: u32, present: u32, running: u32) {
        self.generation = generation;
        self.client.restarted(generation);
        self.present = present;
        self.running = running;
        self.tally.restarted(present, running, tally::word(self.vgpus.keys().copied()));
        self.answers.clear();
        self.inbox.clear();
        self.credits.clear();
        self.slots.restarted();
    }

    /// Asks again for channels whose request a restart has made void.
    fn retry_functions(&mut self) {
        for (gfid, function) in &mut self.functions {
            function.retry(*gfid, self.generation, &mut self.client);
        }
    }

    /// Lends a slot to the firmware for a save. `false`: there is none.
    pub(crate) fn lend_slot(&mut self, gfid: Gfid) -> bool {
        let Some(slot) = self.slots.take(gfid) else { return false };
        self.slots.asked(slot);
        let id = self.client.send(gfid, Command::Credit { slot: slot.raw() });
        self.credits.insert(id, slot);
        true
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, gfid: Gfid, command: Command) -> Pending {
        let id = self.client.send(gfid, command);
        self.tally.sent(id, gfid, &command);
        Pending { id, generation: self.generation }
    }

    /// What became of a command; an answer is told once.
    pub(crate) fn poll_answer(&mut self, pending: &Pending) -> Answer {
        match self.answers.remove(&pending.id) {
            Some(Ok(())) => Answer::Done,
            Some(Err(why)) => Answer::Refused(why),
            None if pending.generation != self.generation => Answer::Void,
            None => Answer::Waiting,
        }
    }

    /// Names the start of the firmware that the host knows of; every start has another.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether the firmware said at its last start that it has this vGPU.
    pub(crate) fn was_present(&self, gfid: Gfid) -> bool {
        self.present & (1 << (gfid.raw() - 1)) != 0
    }

    /// Whether the firmware said at its last start that this vGPU runs.
    pub(crate) fn was_running(&self, gfid: Gfid) -> bool {
        self.running & (1 << (gfid.raw() - 1)) != 0
    }

    /// The next event of a transfer of this vGPU.
    pub(crate) fn poll_event(&mut self, gfid: Gfid) -> Option<Event> {
        self.inbox.get_mut(&gfid)?.pop_front()
    }

    /// Whether no transfer has a staging slot, and all of them are scrubbed.
    pub fn is_staging_free(&self) -> bool {
        self.slots.are_free()
    }

    /// Whether a slot may hold bytes of this vGPU: its transfer has it, or it is not scrubbed
    /// yet. One that is free is zero.
    pub fn may_slot_hold(&self, slot: SlotId, gfid: Gfid) -> bool {
        self.slots.may_hold(slot, gfid)
    }

    pub(crate) fn staging(&self) -> Staging {
        self.card.gpu().staging().clone()
    }

    /// That nothing that is asked for is ever answered.
    pub fn lost_for_good(&self) -> Option<HostError> {
        self.card.is_lost().then_some(HostError::Lost)
    }

    /// Notes a vGPU and asks the firmware to make it.
    pub(crate) fn create(
        &mut self,
        gfid: Gfid,
        profile: Profile,
        placement: Placement,
        share: Share,
    ) -> Pending {
        self.vgpus.insert(gfid, VgpuInfo { profile, placement, share });
        self.functions.insert(gfid, Function::new(profile));
        self.inbox.remove(&gfid);
        self.client.view().drop_vectors(gfid);
        let command = Command::Create {
            profile: mailbox::Profile {
                fb_bytes: profile.fb_bytes,
                bar_bytes: profile.bar_bytes,
                channel_count: profile.channel_count,
                context_bytes: profile.context_bytes,
            },
            placement: mailbox::Placement {
                fb_base: placement.fb_base,
                bar_base: placement.bar_base,
                channel_base: placement.channel_base,
                context_base: placement.context_base,
            },
            share: share::to_wire(share),
        };
        self.send(gfid, command)
    }

    /// Forgets a vGPU that the firmware has released.
    pub(crate) fn forget(&mut self, gfid: Gfid) {
        self.tally.forget(gfid);
        self.vgpus.remove(&gfid);
        self.functions.remove(&gfid);
        self.inbox.remove(&gfid);
    }

    /// Makes a vGPU and lets it run, and waits for both: for start-up, before anything else
    /// goes on.
    ///
    /// # Errors
    ///
    /// When there is no room or the firmware refuses.
    pub fn create_running(
        &mut self,
        profile: Profile,
        share: Share,
        avoid: Option<&Placement>,
    ) -> Result<Gfid, HostError> {
        let (gfid, placement) = self.place(&profile, avoid)?;
        let pending = self.create(gfid, profile, placement, share);
        if let Err(why) = self.wait(&pending) {
            if why == Reject::Deadline {
                // The firmware has it, and can only release it.
                let pending = self.send(gfid, Command::Release);
                self.wait(&pending).map_err(HostError::Refused)?;
            }
            self.forget(gfid);
            return Err(HostError::Refused(why));
        }
        let pending = self.send(gfid, Command::Start);
        if let Err(why) = self.wait(&pending) {
            self.release(gfid)?;
            return Err(HostError::Refused(why));
        }
        Ok(gfid)
    }

    /// Lets the card go on to the next thing that happens there.
    pub(crate) fn go_on(&mut self) {
        let now_ns = self.now_ns();
        let next_ns = self.card.gpu().next_event_ns().unwrap_or(now_ns + IDLE_STEP_NS);
        self.run(next_ns.clamp(now_ns + 1, now_ns + IDLE_STEP_NS));
    }

    /// The vGPUs of this host, in order.
    pub fn vgpus(&self) -> impl Iterator<Item = (Gfid, &VgpuInfo)> {
        self.vgpus.iter().map(|(gfid, info)| (*gfid, info))
    }

    /// What the host knows of a vGPU.
    pub fn vgpu(&self, gfid: Gfid) -> Option<&VgpuInfo> {
        self.vgpus.get(&gfid)
    }

    /// Engines that a vGPU's guest has channels on.
    pub fn engines_in_use(&self, gfid: Gfid) -> Engines {
        self.functions.get(&gfid).map_or(Engines::NONE, Function::engines)
    }

    /// The guest-visible registers of a vGPU, by channel, to save and restore them.
    pub(crate) fn function_mut(&mut self, gfid: Gfid) -> Option<&mut Function> {
        self.functions.get_mut(&gfid)
    }
}
