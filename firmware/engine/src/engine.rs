//! The root: takes inputs, hands out actions and events, and leaves the rest to the machines.

use crate::channel::{Channel, ChannelState};
use crate::copy::Slot;
use crate::message::{Command, Event, Input, Reject, Request};
use crate::queue::Actions;
use crate::runlist::Runlist;
use crate::share::Rules;
use crate::tsg::{Tsg, TsgState, Tsgs};
use crate::vgpu::{Phase, Vgpu};
use godwit_types::{
    CHANNEL_COUNT, COPY_RING_ENTRIES, ChannelId, Gfid, GuestChannelId, Identity, Index,
    RUNLIST_COUNT, RunlistId, SLOT_COUNT, SlotId, Table, VGPU_COUNT,
};
use heapless::Deque;

const EVENTS_MAX: usize = 64;
/// Room that one input may need for actions; the most are those that scrub all slots.
const ACTION_ROOM: usize = SLOT_COUNT as usize + 8;
/// Places in the event queue that are kept for answers the engine owes: one for each
/// operation of the copy ring, and one for each vGPU that is on its way to a phase.
const EVENTS_OWED: usize = COPY_RING_ENTRIES as usize + VGPU_COUNT as usize;

/// What became of a step that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// There is nothing to do until an input says so.
    Rests,
    /// There is no room for it: in the copy ring, or for events.
    Waits,
    /// Something was done, and there may be more.
    Went,
}

/// There is no room for an input or a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Things that are counted and end nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Acknowledges that answer nothing: late, doubled, or with a wrong number.
    pub stale_acks: u32,
    /// Acknowledges that never came although the engine had become empty.
    pub lost_acks: u32,
    /// Engine resets.
    pub resets: u32,
    /// Doorbells of channels that are not open.
    pub stray_doorbells: u32,
    /// Answers of the copy ring that nobody waits for.
    pub stray_copies: u32,
    /// Times a queue had no room where room is reserved: our own bug.
    pub overruns: u32,
}

/// The engine. See the crate's documentation for its states.
///
/// What is used most comes first, and tables come last: an instruction reaches 2 to 4 KiB from
/// where the engine begins, and what lies beyond takes two or three.
#[derive(Debug)]
#[repr(C)]
pub struct Engine {
    pub(crate) device: Identity,
    pub(crate) runlists: Table<RunlistId, Runlist, { RUNLIST_COUNT as usize }>,
    pub(crate) counters: Counters,
    pub(crate) rules: Rules,
    /// What follows from the vGPUs that there are was computed since one has come, gone or changed.
    pub(crate) counted: bool,
    /// vGPUs, by bit, that take turns.
    pub(crate) sharing: u32,
    /// Those of them that may have others' time.
    pub(crate) elastic: u32,
    /// Those that did too much of something, and have no turns.
    pub(crate) paused: u32,
    /// Those whose next doorbell is urgent.
    pub(crate) hinted: u32,
    /// A turn of average length; the shortest that is worth a switch; that of nobody; all of one
    /// round.
    pub(crate) slice_ns: u32,
    pub(crate) shortest_ns: u32,
    pub(crate) nobody_ns: u32,
    pub(crate) round_ns: u64,
    /// When the first vGPU is late with its phase, or the device with its peers; `u64::MAX`: none
    /// will be.
    pub(crate) phases_due_ns: u64,
    /// When the first window ends in which something is done about a vGPU.
    pub(crate) lift_due_ns: Option<u64>,
    /// Operations of the copy ring that are under way.
    pub(crate) copies: u8,
    /// vGPUs, by bit, of a firmware before this one whose apertures are being bound again.
    pub(crate) recovering: u32,
    /// vGPUs, by bit, that have more to do without being asked.
    busy: u32,
    /// What the alarm is set to; `u64::MAX`: nothing.
    pub(crate) alarm_ns: u64,
    /// Time of the input that is being handled.
    pub(crate) now_ns: u64,
    /// When the copy ring is late with what it does; `None`: it has nothing to do.
    pub(crate) copy_deadline_ns: Option<u64>,
    /// It was late, and has not answered since.
    pub(crate) copy_late: bool,
    /// When the apertures that are being bound again are late.
    pub(crate) recover_deadline_ns: Option<u64>,
    pub(crate) slots: Table<SlotId, Slot, { SLOT_COUNT as usize }>,
    pub(crate) actions: Actions,
    events: Deque<Event, EVENTS_MAX>,
    pub(crate) vgpus: Table<Gfid, Vgpu, { VGPU_COUNT as usize }>,
    pub(crate) tsgs: Tsgs,
    pub(crate) channels: Table<ChannelId, Channel, { CHANNEL_COUNT as usize }>,
}

/// A vGPU's bit in a mask of vGPUs.
pub(crate) fn bit(gfid: Gfid) -> u32 {
    1u32.wrapping_shl(gfid.index() as u32)
}

/// The vGPUs of a mask.
pub(crate) fn each(mut mask: u32) -> impl Iterator<Item = Gfid> {
    core::iter::from_fn(move || {
        let gfid = Gfid::from_index(mask.trailing_zeros() as usize)?;
        mask &= mask.wrapping_sub(1);
        Some(gfid)
    })
}

impl Engine {
    /// An engine for a device on which nothing runs. A firmware that may have run before
    /// uses [`Self::recover`].
    ///
    /// All of its bytes are zero, and types say `repr` where they need it for that: so an image
    /// has it among the variables that start as zero, and no copy of it in its flash.
    pub const fn new(device: Identity) -> Self {
        Self {
            device,
            vgpus: Table::new([const { Vgpu::ABSENT }; VGPU_COUNT as usize]),
            channels: Table::new([Channel::FREE; CHANNEL_COUNT as usize]),
            tsgs: Tsgs::new([Tsg::EMPTY; CHANNEL_COUNT as usize]),
            runlists: Table::new([Runlist::EMPTY; RUNLIST_COUNT as usize]),
            slots: Table::new([Slot::HOST; SLOT_COUNT as usize]),
            counters: Counters {
                stale_acks: 0,
                lost_acks: 0,
                resets: 0,
                stray_doorbells: 0,
                stray_copies: 0,
                overruns: 0,
            },
            rules: Rules::START,
            counted: false,
            sharing: 0,
            elastic: 0,
            paused: 0,
            hinted: 0,
            slice_ns: 0,
            shortest_ns: 0,
            nobody_ns: 0,
            round_ns: 0,
            phases_due_ns: 0,
            lift_due_ns: None,
            copies: 0,
            recovering: 0,
            busy: 0,
            alarm_ns: 0,
            now_ns: 0,
            copy_deadline_ns: None,
            copy_late: false,
            recover_deadline_ns: None,
            actions: Actions::NONE,
            events: Deque::new(),
        }
    }

    /// Takes one input. Touches no device and reads no clock. Take its actions, and call
    /// [`Self::proceed`] when there is no input left.
    ///
    /// # Errors
    ///
    /// [`Full`]: take actions, then give the input again; nothing has changed.
    pub fn handle(&mut self, input: &Input, now_ns: u64) -> Result<(), Full> {
        self.now_ns = now_ns;
        // What was looked at for an action of ours is always taken: the room that is kept is
        // more than it needs.
        let answer =
            matches!(input, Input::Probed(..) | Input::Vectors(..) | Input::Interrupts(..));
        if !answer && !self.has_action_room() {
            return Err(Full);
        }
        match *input {
            // First, since an engine waits for its next group.
            Input::Runlist(runlist, event) => self.runlist_event(runlist, event),
            Input::Hint(gfid) => self.hint(gfid),
            Input::Doorbell(channel) => self.doorbell(channel),
            Input::Fault(channel, fault) => self.channel_fault(channel, fault),
            Input::Probed(runlist, state) => self.probed(runlist, state),
            Input::Alarm => self.alarm(),
            Input::Copied(done) => self.copied(done),
            Input::PartitionSet(gfid) => self.partition_set(gfid),
            Input::ApertureSet(gfid) => self.aperture_set(gfid),
            Input::PeersSet(gfid) => self.peers_set(gfid),
            Input::Vectors(gfid, vectors) => self.vectors_read(gfid, vectors),
            Input::Interrupts(gfid, raised) => self.interrupts(gfid, raised),
        }
        Ok(())
    }

    /// Takes something that the host wants, as [`Self::handle`] takes an input. A request that is
    /// refused is answered with [`Event::Refused`].
    ///
    /// # Errors
    ///
    /// [`Full`], when there is no room: take actions and events, then ask again; nothing has
    /// changed.
    pub fn request(&mut self, request: &Request, now_ns: u64) -> Result<(), Full> {
        self.now_ns = now_ns;
        if !self.has_action_room() || !self.has_event_room() || self.recovering != 0 {
            return Err(Full);
        }
        match self.command(request) {
            Err(Reject::Full) => return Err(Full),
            Err(why) => self.refuse(request.id, why),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Goes on with what needs no input, a step for each vGPU: transfers, releases, schedules.
    /// Call it after actions and events were taken, and again while it returns that there is
    /// more to do or something new to take.
    #[must_use = "what is left to do is not done by itself"]
    pub fn proceed(&mut self, now_ns: u64) -> bool {
        self.now_ns = now_ns;
        let mut more = false;
        for gfid in each(self.busy) {
            if !self.has_action_room() {
                break;
            }
            match self.step_vgpu(gfid) {
                Step::Rests => self.busy &= !bit(gfid),
                Step::Waits => {}
                Step::Went => more = true,
            }
        }
        self.refresh();
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            if self.has_action_room() {
                self.schedule(runlist);
                self.arm_slice(runlist);
                self.look_ahead(runlist);
            }
        }
        self.arm();
        more || !self.actions.is_empty()
    }

    /// Computes what follows from vGPUs that have come, gone or changed.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        if !self.counted {
            self.recount();
        }
    }

    /// The next event.
    #[must_use = "an event that is not sent is lost"]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a vGPU may run: for those who check that it does so on one device only.
    pub fn is_running(&self, gfid: Gfid) -> bool {
        matches!(*self.vgpus[gfid].phase, Phase::Running | Phase::Stopping(_))
    }

    /// Whether the group of a channel is queued, parked or on an engine, so that nothing that
    /// was rung for is forgotten; `None` when the channel is not open. For those who check that
    /// no doorbell is lost.
    pub fn holds_work(&self, gfid: Gfid, channel: GuestChannelId) -> Option<bool> {
        let entry = &self.channels[self.hardware_channel(gfid, channel).ok()?];
        match *entry.state {
            ChannelState::Open => Some(*self.tsgs[entry.tsg].state != TsgState::Idle),
            ChannelState::Free | ChannelState::Faulted(_) | ChannelState::Closing => None,
        }
    }

    pub(crate) fn has_action_room(&self) -> bool {
        self.actions.is_empty() || self.actions.room() >= ACTION_ROOM
    }

    /// Whether there is room for an event that nothing forces us to send now.
    #[inline(never)] // many places, none of them hot
    pub(crate) fn has_event_room(&self) -> bool {
        self.events.len().saturating_add(EVENTS_OWED) < EVENTS_MAX.saturating_sub(1)
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.push_back(event).is_err() {
            self.counters.overruns = self.counters.overruns.wrapping_add(1);
        }
    }

    /// Says that a vGPU may have something to do by itself.
    pub(crate) fn wake(&mut self, gfid: Gfid) {
        self.busy |= bit(gfid);
    }

    /// One step of a vGPU that has more to do.
    fn step_vgpu(&mut self, gfid: Gfid) -> Step {
        self.step_release(gfid)
            .max(self.step_save(gfid))
            .max(self.step_closing(gfid))
            .max(self.step_untold(gfid))
            .max(self.step_abuse(gfid))
            .max(self.step_cleaning(gfid))
    }

    fn command(&mut self, request: &Request) -> Result<(), Reject> {
        // Its command is not copied: that would hold every field of every command apart.
        let (id, gfid) = (request.id, request.gfid);
        let absent = !self.vgpus[gfid].is_present();
        let needs_none = matches!(
            request.command,
            Command::Create { .. } | Command::SetScheduling(_) | Command::SetLimits(_)
        );
        if absent && !needs_none {
            return Err(Reject::NoSuchVgpu);
        }
        match request.command {
            Command::Create { profile, placement, share } => {
                self.create(id, gfid, profile, placement, share)
            }
            Command::Release => self.release(id, gfid),
            Command::Start => self.start(id, gfid),
            Command::Stop { mode, timeout_ns } => self.stop(id, gfid, mode, timeout_ns),
            Command::OpenChannel { channel, tsg, runlist, ring, grace } => {
                let on = (runlist, grace);
                self.open_channel(gfid, channel, tsg, on, ring).map(|()| self.done(id))
            }
            Command::CloseChannel { channel } => {
                self.close_channel(gfid, channel).map(|()| self.done(id))
            }
            Command::SaveBegin => self.save_begin(gfid).map(|()| self.done(id)),
            Command::SaveRound(throttle) => self.save_round(gfid, throttle).map(|()| self.done(id)),
            Command::SaveState => self.save_state(gfid).map(|()| self.done(id)),
            Command::SaveEnd => self.save_end(id, gfid),
            Command::Credit { slot } => self.credit(gfid, slot).map(|()| self.done(id)),
            Command::RestoreBegin => self.restore_begin(gfid).map(|()| self.done(id)),
            Command::LoadVgpu(record) => self.load_vgpu(gfid, &record).map(|()| self.done(id)),
            Command::LoadChannel(record) => {
                self.load_channel(gfid, &record).map(|()| self.done(id))
            }
            Command::LoadPages { from, crc } => {
                self.claim_slot(gfid, from.slot);
                self.load_pages(gfid, from, crc).map(|()| self.done(id))
            }
            Command::LoadContext { channel, at, from, crc } => {
                self.claim_slot(gfid, from.slot);
                self.load_context(gfid, channel, at, from, crc).map(|()| self.done(id))
            }
            Command::RestoreEnd => self.restore_end(gfid).map(|()| self.done(id)),
            Command::SetShare(share) => self.set_share(gfid, share).map(|()| self.done(id)),
            Command::SetScheduling(how) => self.set_scheduling(how).map(|()| self.done(id)),
            Command::SetLimits(limits) => self.set_limits(limits).map(|()| self.done(id)),
            Command::SetPeer { open } => self.set_peer(id, gfid, open),
        }
    }

    pub(crate) fn refuse(&mut self, id: u32, why: Reject) {
        self.tell(Event::Refused { id, why });
    }

    pub(crate) fn done(&mut self, id: u32) {
        self.tell(Event::Done { id });
    }
}
