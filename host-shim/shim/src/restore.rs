//! Restoring a vGPU: takes a state stream and drives the firmware's restore. Whatever goes
//! wrong, the firmware scrubs what was written, and the host is as it was before.

use crate::host::{Answer, Host, Pending};
use crate::release::Release;
use crate::share;
use crate::stream::{Body, Reader, Record, StreamError};
use bytes::BytesMut;
use godwit_regs::copy::PageRun;
use godwit_sim_gpu::Staging;
use godwit_types::{Gfid, Identity, Placement, Profile, ProfileError, Share, SlotId};
use godwit_wire::mailbox::{Command, Event, Failure, Reject, SlotData};
use godwit_wire::record::{Context, Descriptor, Function};

/// Commands that may be on their way before their answers are awaited.
const COMMANDS_MAX: usize = 8;

/// Why a restore failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The stream is not whole, not ours, or damaged.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// No vGPU of ours has such a profile.
    #[error("the state is of a vGPU whose profile is not allowed here: {0:?}")]
    Profile(ProfileError),
    /// The state is of a vGPU of another profile than the one it is meant for.
    #[error("the state is of another profile: it has {found:?}, and {wanted:?} is wanted")]
    OtherProfile {
        /// What the state has.
        found: Profile,
        /// What the caller wants.
        wanted: Profile,
    },
    /// The state is another vGPU's.
    #[error("the state is of vGPU {found:032x}, and vGPU {wanted:032x} is wanted")]
    OtherVgpu {
        /// Whose it is.
        found: u128,
        /// Whose the caller wants.
        wanted: u128,
    },
    /// The state is the vGPU's own, of another time.
    #[error(
        "the state is of transfer {found} of this vGPU, and that of transfer {wanted} is wanted"
    )]
    OtherTransfer {
        /// The number in the state.
        found: u64,
        /// The number that the caller wants.
        wanted: u64,
    },
    /// The card cannot load contexts of this layout.
    #[error("the state has contexts of layout {found}, and this card loads layout {wanted}")]
    Layout {
        /// What the state has.
        found: u32,
        /// What the card loads.
        wanted: u32,
    },
    /// The card has no room.
    #[error("the card has no room for a vGPU with {} bytes of framebuffer", .0.fb_bytes)]
    NoRoom(Profile),
    /// The firmware refused a record or a step.
    #[error("refused by the firmware: {0:?}")]
    Refused(Reject),
    /// The copy engine failed.
    #[error("failed: {0:?}")]
    Failed(Failure),
    /// A record does not fit the vGPU.
    #[error("a record of the state does not fit the vGPU")]
    BadRecord,
    /// The firmware was restarted in the middle.
    #[error("failed: the firmware was restarted")]
    Restarted,
    /// The caller gave up.
    #[error("given up")]
    GivenUp,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreState {
    /// Takes bytes.
    Working,
    /// The descriptor is known and fits the card; [`Restorer::accept`] to go on.
    Described,
    /// Everything is in place and checked. The vGPU stands still.
    Ready,
    /// It failed, and nothing of it is left on the card.
    Undone(RestoreError),
}

/// What a state must be of, as far as the caller prescribes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What the vGPU is.
    pub profile: Option<Profile>,
    /// Which vGPU.
    pub uuid: Option<[u8; 16]>,
    /// Which of its transfers; an older one is of a past that is over.
    pub token: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    Reading,
    Described,
    Creating(Pending),
    Beginning(Pending),
    Loading,
    Ending(Pending),
    Ready,
    Undoing(RestoreError, Release),
    Undone(RestoreError),
}

/// A restore that is under way.
#[derive(Debug)]
pub struct Restorer {
    reader: Reader,
    phase: Phase,
    descriptor: Option<Descriptor>,
    wanted: Wanted,
    home: Option<(Gfid, Placement)>,
    staging: Staging,
    generation: u32,
    pending: Vec<Pending>,
    /// A record that waits for a slot.
    held: Option<Record>,
    /// The reader has no whole record: it needs more bytes.
    hungry: bool,
    /// No more bytes come.
    ended: bool,
    /// The records before the trailer were all given to the firmware.
    complete: bool,
}

fn profile(descriptor: &Descriptor) -> Profile {
    Profile {
        fb_bytes: descriptor.fb_bytes,
        bar_bytes: descriptor.bar_bytes,
        channel_count: descriptor.channel_count,
        context_bytes: descriptor.context_bytes,
    }
}

fn check(
    descriptor: &Descriptor,
    wanted: &Wanted,
    device: &Identity,
) -> Result<Profile, RestoreError> {
    let found = profile(descriptor);
    found.check().map_err(RestoreError::Profile)?;
    if let Some(wanted) = wanted.profile
        && wanted != found
    {
        return Err(RestoreError::OtherProfile { found, wanted });
    }
    if let Some(uuid) = wanted.uuid
        && uuid != descriptor.uuid
    {
        let (found, wanted) = (u128::from_be_bytes(descriptor.uuid), u128::from_be_bytes(uuid));
        return Err(RestoreError::OtherVgpu { found, wanted });
    }
    if let Some(wanted) = wanted.token
        && wanted != descriptor.token
    {
        return Err(RestoreError::OtherTransfer { found: descriptor.token, wanted });
    }
    if descriptor.context_layout != device.context_layout {
        let (found, wanted) = (descriptor.context_layout, device.context_layout);
        return Err(RestoreError::Layout { found, wanted });
    }
    Ok(found)
}

impl Restorer {
    /// A restore onto this host.
    pub fn new(host: &Host, wanted: Wanted) -> Self {
        Self {
            reader: Reader::up_to(host.stream_version()),
            phase: Phase::Reading,
            descriptor: None,
            wanted,
            home: None,
            staging: host.staging(),
            generation: host.generation(),
            pending: Vec::new(),
            held: None,
            hungry: true,
            ended: false,
            complete: false,
        }
    }

    /// Takes no other profile than this. To be called before the descriptor has come.
    pub fn want_profile(&mut self, profile: Profile) {
        self.wanted.profile = Some(profile);
    }

    /// What the stream says of itself.
    pub fn descriptor(&self) -> Option<&Descriptor> {
        self.descriptor.as_ref()
    }

    /// Bytes of the stream so far that hold pages, and all others.
    pub fn bytes(&self) -> (u64, u64) {
        self.reader.bytes()
    }

    /// Where the vGPU is being restored.
    pub fn home(&self) -> Option<(Gfid, Placement)> {
        self.home
    }

    /// Whether it takes more bytes now. Given only then, no more than one record and the
    /// bytes of one call are held.
    pub fn wants_bytes(&self) -> bool {
        self.hungry && !self.ended && matches!(self.phase, Phase::Reading | Phase::Loading)
    }

    /// Takes bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.hungry = false;
        self.reader.feed(bytes);
    }

    /// Takes bytes of the stream that are the caller's no more, without copying them.
    pub fn feed_owned(&mut self, bytes: BytesMut) {
        self.hungry = false;
        self.reader.feed_owned(bytes);
    }

    /// No more bytes come: what is missing is an error.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// The next record, if it is there.
    fn next_record(&mut self) -> Result<Option<Record>, RestoreError> {
        let record = self.reader.next_record()?;
        if record.is_none() {
            self.hungry = true;
            if self.ended {
                self.reader.finish()?;
            }
        }
        Ok(record)
    }

    /// Goes on with the vGPU that the descriptor names, at this place, which is free.
    pub fn accept_at(&mut self, host: &mut Host, gfid: Gfid, placement: Placement, share: Share) {
        self.notice_restart(host);
        let (Phase::Described, Some(descriptor)) = (&self.phase, &self.descriptor) else { return };
        let profile = profile(descriptor);
        self.home = Some((gfid, placement));
        self.phase = Phase::Creating(host.create(gfid, profile, placement, share));
    }

    /// Goes on with the vGPU that the descriptor names, at a place away from `avoid`.
    pub fn accept(&mut self, host: &mut Host, avoid: Option<&Placement>) {
        self.notice_restart(host);
        let (Phase::Described, Some(descriptor)) = (&self.phase, &self.descriptor) else { return };
        let profile = profile(descriptor);
        let share = share::from_wire(descriptor.share.into());
        match host.place(&profile, avoid) {
            Ok((gfid, placement)) => {
                self.home = Some((gfid, placement));
                self.phase = Phase::Creating(host.create(gfid, profile, placement, share));
            }
            Err(_) => self.phase = Phase::Undone(RestoreError::NoRoom(profile)),
        }
    }

    /// Gives up, ready or not: everything is scrubbed when [`Self::step`] says that it is
    /// undone.
    pub fn give_up(&mut self, host: &mut Host) {
        self.notice_restart(host);
        if !matches!(self.phase, Phase::Undoing(..) | Phase::Undone(_)) {
            self.undo(host, RestoreError::GivenUp);
        }
    }

    fn undo(&mut self, host: &mut Host, why: RestoreError) {
        self.held = None;
        self.phase = match self.home {
            Some((gfid, _)) => Phase::Undoing(why, Release::new(host, gfid)),
            None => Phase::Undone(why),
        };
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, host: &mut Host) -> RestoreState {
        self.notice_restart(host);
        while self.advance(host).unwrap_or_else(|why| {
            self.undo(host, why);
            true
        }) {}
        match &self.phase {
            Phase::Described => RestoreState::Described,
            Phase::Ready => RestoreState::Ready,
            Phase::Undone(why) => RestoreState::Undone(*why),
            _ => RestoreState::Working,
        }
    }

    /// A firmware that has restarted may know the vGPU, as broken or as standing still.
    /// Noticed before anything is sent, so that what is sent to the new one is not void.
    fn notice_restart(&mut self, host: &mut Host) {
        if host.generation() == self.generation {
            return;
        }
        self.generation = host.generation();
        let Some((gfid, _)) = self.home else { return };
        let why = match self.phase {
            // What is undone is asked for again by itself.
            Phase::Ready | Phase::Undoing(..) | Phase::Undone(_) => return,
            _ => RestoreError::Restarted,
        };
        if host.was_present(gfid) {
            self.undo(host, why);
        } else {
            host.forget(gfid);
            self.home = None;
            self.phase = Phase::Undone(why);
        }
    }

    /// One step. Returns whether there may be more.
    fn advance(&mut self, host: &mut Host) -> Result<bool, RestoreError> {
        match self.phase {
            Phase::Reading => self.advance_reading(host),
            Phase::Creating(pending) => {
                let Some(()) = answer(host, &pending)? else { return Ok(false) };
                let Some((gfid, _)) = self.home else { return Ok(false) };
                self.phase = Phase::Beginning(host.send(gfid, Command::RestoreBegin));
                Ok(true)
            }
            Phase::Beginning(pending) => {
                let Some(()) = answer(host, &pending)? else { return Ok(false) };
                self.phase = Phase::Loading;
                Ok(true)
            }
            Phase::Loading => self.advance_loading(host),
            Phase::Ending(pending) => {
                let Some(()) = answer(host, &pending)? else { return Ok(false) };
                self.phase = Phase::Ready;
                Ok(false)
            }
            Phase::Undoing(why, ref mut release) => {
                if release.step(host) {
                    self.home = None;
                    self.phase = Phase::Undone(why);
                }
                Ok(false)
            }
            Phase::Described | Phase::Ready | Phase::Undone(_) => Ok(false),
        }
    }

    fn advance_reading(&mut self, host: &mut Host) -> Result<bool, RestoreError> {
        let Some(record) = self.next_record()? else { return Ok(false) };
        let Body::Descriptor(descriptor) = record.body else {
            return Err(RestoreError::BadRecord);
        };
        check(&descriptor, &self.wanted, &host.identity())?;
        self.descriptor = Some(descriptor);
        self.phase = Phase::Described;
        Ok(false)
    }

    fn advance_loading(&mut self, host: &mut Host) -> Result<bool, RestoreError> {
        let Some((gfid, _)) = self.home else { return Ok(false) };
        while let Some(event) = host.poll_event(gfid) {
            if let Event::Failed { why, .. } = event {
                return Err(RestoreError::Failed(why));
            }
        }
        let mut waiting = Vec::new();
        for pending in self.pending.drain(..) {
            match host.poll_answer(&pending) {
                Answer::Done => {}
                Answer::Waiting | Answer::Void => waiting.push(pending),
                Answer::Refused(why) => return Err(RestoreError::Refused(why)),
            }
        }
        self.pending = waiting;
        if self.complete {
            // The trailer is the last: bytes behind it are an error.
            self.reader.next_record()?;
            if self.pending.is_empty() && !host.slots.is_busy(gfid) {
                host.slots.end(gfid);
                self.phase = Phase::Ending(host.send(gfid, Command::RestoreEnd));
                return Ok(true);
            }
            return Ok(false);
        }
        if self.pending.len() >= COMMANDS_MAX {
            return Ok(false);
        }
        let record = match self.held.take() {
            Some(record) => record,
            None => match self.next_record()? {
                Some(record) => record,
                None => return Ok(false),
            },
        };
        self.load(host, gfid, record)
    }

    /// Gives one record to the firmware. `false`: it waits for a slot.
    fn load(&mut self, host: &mut Host, gfid: Gfid, record: Record) -> Result<bool, RestoreError> {
        let command = match &record.body {
            Body::Descriptor(_) => return Err(RestoreError::BadRecord),
            Body::Trailer(_) => {
                self.complete = true;
                return Ok(true);
            }
            Body::Function(body) => return self.load_function(host, gfid, *body, &record.payload),
            Body::Vgpu(body) => Command::LoadVgpu(*body),
            Body::Channel(body) => {
                if let Some(function) = host.function_mut(gfid) {
                    function.restored(body);
                }
                Command::LoadChannel(*body)
            }
            Body::Pages(_) | Body::Context(_) => {
                let Some(slot) = host.slots.take(gfid) else {
                    self.held = Some(record);
                    return Ok(false);
                };
                let command = self.stage(slot, &record)?;
                host.slots.named(slot);
                command
            }
        };
        self.pending.push(host.send(gfid, command));
        Ok(true)
    }

    fn load_function(
        &mut self,
        host: &mut Host,
        gfid: Gfid,
        body: Function,
        payload: &[u8],
    ) -> Result<bool, RestoreError> {
        host.function_mut(gfid)
            .and_then(|function| function.restore(body, payload))
            .ok_or(RestoreError::BadRecord)?;
        Ok(true)
    }

    /// Puts a record's bytes into a slot, and its pages into the slot's table.
    fn stage(&self, slot: SlotId, record: &Record) -> Result<Command, RestoreError> {
        let bad = |_| RestoreError::BadRecord;
        let byte_count = record.payload.len() as u32;
        let data = SlotData { slot: slot.raw(), byte_count, crc: record.payload_crc };
        let command = match &record.body {
            Body::Context(Context { channel, at }) => {
                Command::LoadContext { channel: *channel, at: *at, data }
            }
            Body::Pages(pages) => {
                let runs: Vec<PageRun> = pages
                    .runs
                    .iter()
                    .map(|run| PageRun { first: run.first, count: run.count, zero: run.zero })
                    .collect();
                self.staging.set_runs(slot, &runs).map_err(bad)?;
                Command::LoadPages(data)
            }
            _ => return Err(RestoreError::BadRecord),
        };
        // Last: the bytes are there only together with a command, which has them scrubbed.
        self.staging.write(slot, 0, &record.payload).map_err(bad)?;
        Ok(command)
    }
}

fn answer(host: &mut Host, pending: &Pending) -> Result<Option<()>, RestoreError> {
    match host.poll_answer(pending) {
        Answer::Waiting | Answer::Void => Ok(None),
        Answer::Done => Ok(Some(())),
        Answer::Refused(why) => Err(RestoreError::Refused(why)),
    }
}
