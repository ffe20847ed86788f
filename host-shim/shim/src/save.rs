//! Saving a vGPU: drives the firmware's save and turns what it tells into a state stream.
//!
//! How many rounds there are, and when the vGPU is stopped, is for the caller to say.

mod error;
mod undo;

pub use error::SaveError;

use crate::host::{Answer, Host, Pending, VgpuInfo};
use crate::outgoing::Outgoing;
use crate::share;
use crate::stream::{RecordBody, StreamVersion};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use godwit_sim_gpu::Staging;
use godwit_types::{Gfid, SlotId, Throttle};
use godwit_wire::mailbox::{Command, Event, Reject, SlotData, StopMode};
use godwit_wire::record::{self, Descriptor, Kind};
use std::io::{self, Write};
use undo::Undo;

/// Bytes of a slot that are read at once: their CRC is made while the nearest cache has them.
const PIECE_BYTES: usize = 16 * 1024;
/// Bytes that may wait for the link before no more slots are lent: bounds the memory.
pub(crate) const BUFFERED_MAX: usize = 2 * 1024 * 1024;

/// What is saved, and how it is brought to a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveOptions {
    /// The vGPU's own id.
    pub uuid: [u8; 16],
    /// Number of this transfer; larger than that of any before of this vGPU.
    pub token: u64,
    /// How it is stopped.
    pub stop: StopMode,
    /// How long that may take, in nanoseconds.
    pub stop_timeout_ns: u64,
}

/// What a save has produced so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveStats {
    /// Rounds that began while the vGPU ran.
    pub rounds: u32,
    /// Bytes of pages sent while it ran.
    pub precopy_bytes: u64,
    /// Bytes of pages sent after it was stopped.
    pub stop_bytes: u64,
    /// Bytes of everything else.
    pub state_bytes: u64,
    /// The hardest throttle that the vGPU had.
    pub throttle: Throttle,
}

impl Default for SaveStats {
    fn default() -> Self {
        Self {
            rounds: 0,
            precopy_bytes: 0,
            stop_bytes: 0,
            state_bytes: 0,
            throttle: Throttle::NONE,
        }
    }
}

/// How far a save is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveState {
    /// The descriptor is written; [`Saver::go_on`] when whoever gets it agrees.
    Described,
    /// Under way.
    Working,
    /// The vGPU runs and nothing is under way: [`Saver::round`], or [`Saver::stop`].
    Between,
    /// The whole state is written. The vGPU stands still.
    Complete,
    /// It is over without a state. The vGPU is as it was before.
    Undone(SaveError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Described,
    /// A command is awaited, then `then`.
    Awaiting(Pending, Next),
    /// A round's pages come, until its end.
    Round,
    /// A round has ended, or none has begun.
    Between,
    /// Records and contexts come.
    Records,
    Complete,
    /// Things are being taken back; why.
    Undoing(SaveError, Undo),
    Undone(SaveError),
}

impl Phase {
    /// Whether the vGPU runs, and rounds go on or may.
    fn is_of_rounds(self) -> bool {
        matches!(self, Self::Between | Self::Round | Self::Awaiting(_, Next::Round))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Round,
    Stopped,
    Records,
    /// The vGPU runs again, and the round that began in its standstill goes on.
    RunsOn,
}

/// A save that is under way.
#[derive(Debug)]
pub struct Saver {
    gfid: Gfid,
    options: SaveOptions,
    phase: Phase,
    out: Outgoing,
    staging: Staging,
    round: u32,
    /// Pages of the round that is under way or was last, once they are counted.
    round_pages: Option<u32>,
    throttle: Throttle,
    /// Slots are lent, so that a round's pages come.
    lends: bool,
    /// A round has begun and not ended; and the last one began in the standstill.
    in_round: bool,
    last: bool,
    /// Bytes that the round which began last has written so far.
    round_bytes: u64,
    stats: SaveStats,
    generation: u32,
    /// The firmware has agreed to save, and has to be told of the end.
    begun: bool,
    /// The stop is to be sent when no answer is awaited.
    stop_asked: bool,
    stopped: bool,
    /// A vGPU that stands still is left so when the save is taken back.
    stays: bool,
    /// A firmware that restarts while the vGPU runs costs the save its rounds, and not more.
    begins_anew: bool,
    /// Rounds had to begin anew since this was asked last.
    began_anew: bool,
}

impl Saver {
    /// Starts to save a vGPU that runs: writes the descriptor.
    ///
    /// `None`: the host has no such vGPU.
    pub fn new(host: &mut Host, gfid: Gfid, options: SaveOptions) -> Option<Self> {
        let VgpuInfo { profile, share, .. } = *host.vgpu(gfid)?;
        let descriptor = Descriptor {
            uuid: options.uuid,
            token: options.token,
            fb_bytes: profile.fb_bytes,
            bar_bytes: profile.bar_bytes,
            channel_count: profile.channel_count,
            context_bytes: profile.context_bytes,
            context_layout: host.identity().context_layout,
            share: share::to_wire(share).into(),
        };
        let mut saver = Self {
            gfid,
            options,
            phase: Phase::Described,
            out: Outgoing::new(host.stream_version()),
            staging: host.staging(),
            round: 0,
            round_pages: None,
            throttle: Throttle::NONE,
            lends: true,
            in_round: false,
            last: false,
            round_bytes: 0,
            stats: SaveStats::default(),
            generation: host.generation(),
            begun: false,
            stop_asked: false,
            stopped: false,
            stays: false,
            begins_anew: false,
            began_anew: false,
        };
        saver.write(Kind::Descriptor, &descriptor);
        Some(saver)
    }

    /// Writes what follows the descriptor in this version, and not in the newest of the host. To be
    /// said before [`Self::go_on`].
    pub fn set_version(&mut self, version: StreamVersion) {
        self.out.set_version(version);
    }

    /// Which vGPU is saved.
    pub fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// What was produced so far.
    pub fn stats(&self) -> SaveStats {
        self.stats
    }

    /// Bytes of the stream that wait to be taken.
    pub fn buffered(&self) -> usize {
        self.out.bytes.len()
    }

    /// Takes bytes of the stream, in order.
    pub fn take(&mut self, bytes_max: usize) -> Vec<u8> {
        self.out.bytes.take(bytes_max)
    }

    /// Writes the bytes of the stream that wait, without copying them.
    ///
    /// # Errors
    ///
    /// When the writer fails; what it has not taken waits on.
    pub fn write_to(&mut self, writer: &mut impl Write) -> io::Result<()> {
        self.out.bytes.write_to(writer)
    }

    /// Pages of the round that is under way or was last, as they were counted at its beginning;
    /// `None` until then. Those of a round that began in a standstill are what is left to save.
    pub fn round_pages(&self) -> Option<u32> {
        self.round_pages
    }

    /// Whether the round that is under way, or was last, has begun in the standstill.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Bytes that the round which is under way has written so far.
    pub(crate) fn round_bytes(&self) -> Option<u64> {
        self.in_round.then_some(self.round_bytes)
    }

    /// Whether the vGPU stands still.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whoever gets the stream has agreed to the descriptor.
    pub fn go_on(&mut self, host: &mut Host) {
        self.notice_restart(host);
        if self.phase == Phase::Described {
            self.phase = Phase::Between;
        }
    }

    /// Makes a round: of all pages that may hold data, or of those that were written since the
    /// last. From now on the vGPU has this part of its own turns.
    pub fn round(&mut self, host: &mut Host, throttle: Throttle) {
        self.notice_restart(host);
        if self.phase == Phase::Between {
            self.throttle = throttle;
            self.stats.throttle = self.stats.throttle.max(throttle);
            self.begin_round(host);
        }
    }

    fn begin_round(&mut self, host: &mut Host) {
        (self.round_pages, self.round_bytes) = (None, 0);
        let throttle = self.throttle.shift();
        let command = if self.begun { Command::SaveRound { throttle } } else { Command::SaveBegin };
        self.begun = true;
        (self.in_round, self.last) = (true, self.stopped);
        self.phase = Phase::Awaiting(host.send(self.gfid, command), Next::Round);
    }

    /// Whether pages are fetched now, or only counted. What was lent before is used.
    pub fn set_fetching(&mut self, fetching: bool) {
        self.lends = fetching;
    }

    /// Stops the vGPU, makes the last round and saves the rest. A round that is under way ends
    /// before. The guest does not run any more.
    pub fn stop(&mut self, host: &mut Host) {
        self.notice_restart(host);
        let rounds = self.phase.is_of_rounds();
        self.stop_asked |= rounds && !self.stopped;
        self.send_stop(host);
    }

    /// Sends a stop that was asked for, unless an answer is awaited.
    fn send_stop(&mut self, host: &mut Host) {
        if self.stop_asked && matches!(self.phase, Phase::Between | Phase::Round) {
            self.stop_asked = false;
            let SaveOptions { stop: mode, stop_timeout_ns: timeout_ns, .. } = self.options;
            let pending = host.send(self.gfid, Command::Stop { mode, timeout_ns });
            self.phase = Phase::Awaiting(pending, Next::Stopped);
        }
    }

    /// Saves a vGPU that stands still already, and leaves it so in the end, whatever comes of it.
    pub fn save_still(&mut self, host: &mut Host) {
        self.notice_restart(host);
        if self.phase == Phase::Between {
            (self.stopped, self.stays) = (true, true);
            self.begin_round(host);
        }
    }

    /// Leaves the vGPU standing still, if it does when the save is taken back.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// From now on a firmware that restarts while the vGPU runs costs the save its rounds, and not
    /// more: the next one is of everything there is.
    pub fn begin_anew_after_restarts(&mut self) {
        self.begins_anew = true;
    }

    /// Whether rounds had to begin anew since this was asked last.
    pub fn take_began_anew(&mut self) -> bool {
        std::mem::take(&mut self.began_anew)
    }

    /// Takes the stop back during the last round: the vGPU runs again, and the round becomes one of
    /// many. `false`: it is too late for that.
    pub fn run_on(&mut self, host: &mut Host) -> bool {
        self.notice_restart(host);
        let may = self.phase == Phase::Round && self.last;
        if may {
            let pending = host.send(self.gfid, Command::Start);
            self.phase = Phase::Awaiting(pending, Next::RunsOn);
        }
        may
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, host: &mut Host) -> SaveState {
        self.notice_restart(host);
        self.send_stop(host);
        while self.advance(host) {}
        self.lend(host);
        match self.phase {
            Phase::Described => SaveState::Described,
            Phase::Between => SaveState::Between,
            Phase::Complete => SaveState::Complete,
            Phase::Undone(why) => SaveState::Undone(why),
            Phase::Awaiting(..) | Phase::Round | Phase::Records | Phase::Undoing(..) => {
                SaveState::Working
            }
        }
    }

    /// One step. Returns whether there may be more.
    fn advance(&mut self, host: &mut Host) -> bool {
        match self.phase {
            Phase::Described | Phase::Between | Phase::Complete | Phase::Undone(_) => false,
            Phase::Awaiting(pending, next) => match host.poll_answer(&pending) {
                Answer::Waiting | Answer::Void => false,
                Answer::Done => {
                    self.answered(host, next);
                    true
                }
                Answer::Refused(Reject::Deadline) if next == Next::Stopped => {
                    self.undo(host, SaveError::Deadline);
                    true
                }
                Answer::Refused(why) => {
                    self.undo(host, SaveError::Refused(why));
                    true
                }
            },
            Phase::Round | Phase::Records => match host.poll_event(self.gfid) {
                None => false,
                Some(event) => {
                    if let Err(why) = self.event(host, &event) {
                        self.undo(host, why);
                    }
                    true
                }
            },
            Phase::Undoing(why, undo) => self.advance_undo(host, why, undo),
        }
    }

    fn answered(&mut self, host: &mut Host, next: Next) {
        match next {
            Next::Round => {
                self.phase = Phase::Round;
                self.send_stop(host);
            }
            Next::Stopped => {
                self.stopped = true;
                if self.in_round {
                    self.phase = Phase::Round;
                } else {
                    self.begin_round(host);
                }
            }
            Next::Records => self.phase = Phase::Records,
            Next::RunsOn => {
                (self.stopped, self.last) = (false, false);
                self.phase = Phase::Round;
            }
        }
    }

    fn event(&mut self, host: &mut Host, event: &Event) -> Result<(), SaveError> {
        match *event {
            Event::Round { pages, .. } => {
                self.round_pages = Some(pages);
                self.stats.rounds += u32::from(!self.stopped);
            }
            Event::Pages { data, .. } => self.pages(host, &data)?,
            Event::RoundEnd { .. } => self.round_end(host),
            Event::Vgpu { ref record, .. } => self.write(Kind::Vgpu, record),
            Event::Channel { ref record, .. } => self.write(Kind::Channel, record),
            Event::Context { channel, at, data, .. } => {
                let payload = self.slot(host, &data)?;
                let context = record::Context { channel, at };
                self.stats.state_bytes +=
                    self.out.checked_record(Kind::Context, &context, payload, data.crc);
            }
            Event::Saved { .. } => self.saved(host),
            Event::Failed { why, .. } => return Err(SaveError::Failed(why)),
            _ => {}
        }
        Ok(())
    }

    /// Reads a slot's data and gives the slot back. The CRC is that which the copy engine
    /// computed when it read the framebuffer, so an error on the way is found here. It goes on
    /// with the bytes, to whoever reads the stream.
    fn slot(&mut self, host: &mut Host, data: &SlotData) -> Result<Vec<u8>, SaveError> {
        let slot = SlotId::new(data.slot).ok_or(SaveError::BadSlot)?;
        if data.byte_count > godwit_types::SLOT_BYTES {
            return Err(SaveError::BadSlot);
        }
        let mut payload = self.out.bytes.buffer(data.byte_count as usize);
        let mut crc = Crc::new(CrcAlgorithm::Crc32Iscsi);
        for (index, piece) in payload.chunks_mut(PIECE_BYTES).enumerate() {
            self.staging.read(slot, (index * PIECE_BYTES) as u32, piece)?;
            crc.update(piece);
        }
        host.slots.give_back(slot);
        if crc.finalize() as u32 == data.crc { Ok(payload) } else { Err(SaveError::BadCrc) }
    }

    fn pages(&mut self, host: &mut Host, data: &SlotData) -> Result<(), SaveError> {
        let slot = SlotId::new(data.slot).ok_or(SaveError::BadSlot)?;
        let runs = self.staging.runs(slot)?;
        let payload = self.slot(host, data)?;
        if runs.is_empty() {
            return Ok(()); // the log was empty, and a round has one gather at least
        }
        let written = self.out.pages(self.round, &runs, payload, data.crc);
        self.round_bytes += written;
        if self.stopped {
            self.stats.stop_bytes += written;
        } else {
            self.stats.precopy_bytes += written;
        }
        Ok(())
    }

    fn round_end(&mut self, host: &mut Host) {
        self.round += 1;
        self.in_round = false;
        if self.stopped && !self.last {
            self.begin_round(host);
        } else if self.stopped {
            let pending = host.send(self.gfid, Command::SaveState);
            self.phase = Phase::Awaiting(pending, Next::Records);
        } else {
            self.phase = Phase::Between;
        }
    }

    fn saved(&mut self, host: &mut Host) {
        if let Some(function) = host.function_mut(self.gfid) {
            let (record, payload) = function.save();
            self.stats.state_bytes += self.out.record(Kind::Function, &record, payload);
        }
        self.stats.state_bytes += self.out.finish();
        self.phase = Phase::Complete;
    }

    fn write<T: RecordBody>(&mut self, kind: Kind, body: &T) {
        self.stats.state_bytes += self.out.record(kind, body, Vec::new());
    }

    /// Lends slots to the firmware, unless too much waits for the link.
    fn lend(&mut self, host: &mut Host) {
        let working = matches!(
            self.phase,
            Phase::Awaiting(_, Next::Round | Next::Records) | Phase::Round | Phase::Records
        );
        let lends = self.begun && working && self.lends;
        while lends && self.out.bytes.len() < BUFFERED_MAX && host.lend_slot(self.gfid) {}
    }
}
