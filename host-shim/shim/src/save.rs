//! Saving a vGPU: drives the firmware's save and turns what it tells into a state stream.

use crate::host::{Answer, Host, Pending, VgpuInfo};
use crate::outgoing::Outgoing;
use crate::release::Start;
use crate::share;
use godwit_sim_gpu::{Staging, StagingError};
use godwit_types::{Gfid, SlotId};
use godwit_wire::mailbox::{Command, Event, Failure, Reject, SlotData, StopMode};
use godwit_wire::record::{self, Descriptor, Kind};
use std::io::{self, Write};

/// Bytes that may wait for the link before no more slots are lent: bounds the memory.
const BUFFERED_MAX: usize = 2 * 1024 * 1024;

/// When a live move stops the vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// After this many rounds at the latest; at least one is made.
    pub rounds_max: u32,
    /// As soon as a round had this many pages or fewer.
    pub pages_enough: u32,
}

/// How to save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePlan {
    /// The vGPU's own id.
    pub uuid: [u8; 16],
    /// Number of this transfer; larger than that of any before of this vGPU.
    pub token: u64,
    /// Rounds while the vGPU runs; `None`: it is stopped first.
    pub live: Option<Live>,
    /// How it is stopped.
    pub stop: StopMode,
    /// How long that may take, in nanoseconds.
    pub stop_timeout_ns: u64,
}

/// What a save has produced so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaveStats {
    /// Rounds that began while the vGPU ran.
    pub rounds: u32,
    /// Bytes of pages sent while it ran.
    pub precopy_bytes: u64,
    /// Bytes of pages sent after it was stopped.
    pub stop_bytes: u64,
    /// Bytes of everything else.
    pub state_bytes: u64,
}

/// Why a save ended without a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The vGPU could not be stopped at the boundary in time; it runs on.
    #[error("refused: the boundary was not reached in time")]
    Deadline,
    /// The firmware refused a step.
    #[error("refused by the firmware: {0:?}")]
    Refused(Reject),
    /// The copy engine failed.
    #[error("failed: {0:?}")]
    Failed(Failure),
    /// Bytes in a slot do not have the CRC that the copy engine computed.
    #[error("failed: bytes in a staging slot do not have their CRC")]
    BadCrc,
    /// A slot's table of runs makes no sense.
    #[error("failed: a staging slot is malformed")]
    BadSlot,
    /// The firmware was restarted in the middle.
    #[error("failed: the firmware was restarted")]
    Restarted,
    /// The caller gave up.
    #[error("given up")]
    GivenUp,
    /// The vGPU stands still, and the firmware refuses to let it run again.
    #[error("failed, and the vGPU cannot be started again: {0:?}")]
    NotStarted(Reject),
}

impl From<StagingError> for SaveError {
    fn from(_: StagingError) -> Self {
        Self::BadSlot
    }
}

/// How far a save is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveState {
    /// The descriptor is written; [`Saver::go_on`] when whoever gets it agrees.
    Described,
    /// Under way.
    Working,
    /// The guest is to be paused, since its vGPU stops next; then [`Saver::guest_paused`].
    WantsPause,
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
    Round {
        stopped: bool,
    },
    WantsPause,
    /// Records and contexts come.
    Records,
    Complete,
    /// Things are being taken back; why.
    Undoing(SaveError, Undo),
    Undone(SaveError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Round { stopped: bool },
    Stopped,
    Records,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    /// A stop is under way; whether it comes to pass decides what is to be done.
    Stop(Pending),
    End(Pending),
    Start(Start),
}

/// A save that is under way.
#[derive(Debug)]
pub struct Saver {
    gfid: Gfid,
    plan: SavePlan,
    phase: Phase,
    out: Outgoing,
    staging: Staging,
    round: u32,
    round_pages: u32,
    stats: SaveStats,
    generation: u32,
    /// The firmware has agreed to save, and has to be told of the end.
    begun: bool,
    stopped: bool,
}

impl Saver {
    /// Starts to save a vGPU that runs: writes the descriptor.
    ///
    /// `None`: the host has no such vGPU.
    pub fn new(host: &mut Host, gfid: Gfid, plan: SavePlan) -> Option<Self> {
        let VgpuInfo { profile, share, .. } = *host.vgpu(gfid)?;
        let descriptor = Descriptor {
            uuid: plan.uuid,
            token: plan.token,
            fb_bytes: profile.fb_bytes,
            bar_bytes: profile.bar_bytes,
            channel_count: profile.channel_count,
            context_bytes: profile.context_bytes,
            context_layout: host.identity().context_layout,
            share: share::to_wire(share),
        };
        let mut saver = Self {
            gfid,
            plan,
            phase: Phase::Described,
            out: Outgoing::default(),
            staging: host.staging(),
            round: 0,
            round_pages: 0,
            stats: SaveStats::default(),
            generation: host.generation(),
            begun: false,
            stopped: false,
        };
        saver.write(Kind::Descriptor, &descriptor);
        Some(saver)
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

    /// Whoever gets the stream has agreed to the descriptor.
    pub fn go_on(&mut self, host: &mut Host) {
        self.notice_restart(host);
        if self.phase == Phase::Described {
            if self.plan.live.is_some() {
                self.begin(host, false);
            } else {
                self.phase = Phase::WantsPause;
            }
        }
    }

    fn begin(&mut self, host: &mut Host, stopped: bool) {
        self.begun = true;
        let pending = host.send(self.gfid, Command::SaveBegin);
        self.phase = Phase::Awaiting(pending, Next::Round { stopped });
        self.lend(host);
    }

    /// The guest does not run any more.
    pub fn guest_paused(&mut self, host: &mut Host) {
        self.notice_restart(host);
        if self.phase == Phase::WantsPause {
            let mode = self.plan.stop;
            let timeout_ns = self.plan.stop_timeout_ns;
            let pending = host.send(self.gfid, Command::Stop { mode, timeout_ns });
            self.phase = Phase::Awaiting(pending, Next::Stopped);
        }
    }

    /// Gives up, unless it is over: the vGPU runs on when [`Self::step`] says that it is
    /// undone. A complete save is given up too.
    pub fn give_up(&mut self, host: &mut Host) {
        self.notice_restart(host);
        if !matches!(self.phase, Phase::Undoing(..) | Phase::Undone(_)) {
            self.undo(host, SaveError::GivenUp);
        }
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, host: &mut Host) -> SaveState {
        self.notice_restart(host);
        while self.advance(host) {}
        self.lend(host);
        match self.phase {
            Phase::Described => SaveState::Described,
            Phase::WantsPause => SaveState::WantsPause,
            Phase::Complete => SaveState::Complete,
            Phase::Undone(why) => SaveState::Undone(why),
            Phase::Awaiting(..) | Phase::Round { .. } | Phase::Records | Phase::Undoing(..) => {
                SaveState::Working
            }
        }
    }

    /// A firmware that has restarted knows nothing of a save. Noticed before anything is sent,
    /// so that what is sent to the new one is not taken for void.
    fn notice_restart(&mut self, host: &mut Host) {
        if host.generation() == self.generation {
            return;
        }
        self.generation = host.generation();
        let stands_still = !host.was_running(self.gfid);
        match self.phase {
            // All bytes are out and the vGPU stands still: nothing is lost.
            Phase::Complete => self.begun = false,
            // A start is asked for again by itself.
            Phase::Undone(_) | Phase::Described | Phase::Undoing(_, Undo::Start(_)) => {}
            Phase::WantsPause if !self.begun => {}
            Phase::Undoing(why, _) => self.resume(host, why, stands_still),
            _ => self.resume(host, SaveError::Restarted, stands_still),
        }
    }

    /// Lets the vGPU run again if it stands still; then it is undone.
    fn resume(&mut self, host: &mut Host, why: SaveError, stands_still: bool) {
        self.begun = false;
        self.phase = if stands_still {
            Phase::Undoing(why, Undo::Start(Start::new(host, self.gfid)))
        } else {
            Phase::Undone(why)
        };
    }

    fn undo(&mut self, host: &mut Host, why: SaveError) {
        if let Phase::Awaiting(pending, Next::Stopped) = self.phase
            && why == SaveError::GivenUp
        {
            self.phase = Phase::Undoing(why, Undo::Stop(pending));
            return;
        }
        if self.begun {
            self.begun = false;
            host.slots.end(self.gfid);
            let pending = host.send(self.gfid, Command::SaveEnd);
            self.phase = Phase::Undoing(why, Undo::End(pending));
        } else {
            self.resume(host, why, self.stopped);
        }
    }

    /// One step. Returns whether there may be more.
    fn advance(&mut self, host: &mut Host) -> bool {
        match self.phase {
            Phase::Described | Phase::WantsPause | Phase::Complete | Phase::Undone(_) => false,
            Phase::Awaiting(pending, next) => match host.poll_answer(&pending) {
                Answer::Waiting | Answer::Void => false,
                Answer::Done => {
                    self.answered(host, next);
                    true
                }
                Answer::Refused(Reject::Deadline) => {
                    self.undo(host, SaveError::Deadline);
                    true
                }
                Answer::Refused(why) => {
                    self.undo(host, SaveError::Refused(why));
                    true
                }
            },
            Phase::Round { .. } | Phase::Records => match host.poll_event(self.gfid) {
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

    fn advance_undo(&mut self, host: &mut Host, why: SaveError, undo: Undo) -> bool {
        // What an ended save still tells is for nobody.
        while host.poll_event(self.gfid).is_some() {}
        match undo {
            Undo::Stop(pending) => match host.poll_answer(&pending) {
                Answer::Waiting | Answer::Void => false,
                answer @ (Answer::Done | Answer::Refused(_)) => {
                    self.stopped = answer == Answer::Done;
                    self.phase = Phase::Undone(why);
                    self.undo(host, why);
                    true
                }
            },
            Undo::End(pending) => match host.poll_answer(&pending) {
                Answer::Waiting | Answer::Void => false,
                Answer::Done | Answer::Refused(_) => {
                    let stopped = self.stopped;
                    self.resume(host, why, stopped);
                    true
                }
            },
            Undo::Start(mut start) => match start.step(host) {
                Ok(done) => {
                    let undoing = Phase::Undoing(why, Undo::Start(start));
                    self.phase = if done { Phase::Undone(why) } else { undoing };
                    done
                }
                Err(refusal) => {
                    self.phase = Phase::Undone(SaveError::NotStarted(refusal));
                    true
                }
            },
        }
    }

    fn answered(&mut self, host: &mut Host, next: Next) {
        match next {
            Next::Round { stopped } => self.phase = Phase::Round { stopped },
            Next::Stopped => {
                self.stopped = true;
                if self.begun {
                    let pending = host.send(self.gfid, Command::SaveRound);
                    self.phase = Phase::Awaiting(pending, Next::Round { stopped: true });
                } else {
                    self.begin(host, true);
                }
            }
            Next::Records => self.phase = Phase::Records,
        }
    }

    fn event(&mut self, host: &mut Host, event: &Event) -> Result<(), SaveError> {
        match *event {
            Event::Round { pages, .. } => {
                self.round_pages = pages;
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
        self.staging.read(slot, 0, &mut payload)?;
        host.slots.give_back(slot);
        if crc_fast::crc32_iscsi(&payload) == data.crc {
            Ok(payload)
        } else {
            Err(SaveError::BadCrc)
        }
    }

    fn pages(&mut self, host: &mut Host, data: &SlotData) -> Result<(), SaveError> {
        let slot = SlotId::new(data.slot).ok_or(SaveError::BadSlot)?;
        let runs = self.staging.runs(slot)?;
        let payload = self.slot(host, data)?;
        let written = self.out.pages(self.round, &runs, payload, data.crc);
        if self.stopped {
            self.stats.stop_bytes += written;
        } else {
            self.stats.precopy_bytes += written;
        }
        Ok(())
    }

    fn round_end(&mut self, host: &mut Host) {
        self.round += 1;
        if self.stopped {
            let pending = host.send(self.gfid, Command::SaveState);
            self.phase = Phase::Awaiting(pending, Next::Records);
            return;
        }
        let enough = self.plan.live.is_none_or(|live| {
            self.round_pages <= live.pages_enough || self.round >= live.rounds_max
        });
        self.phase = if enough {
            Phase::WantsPause
        } else {
            let pending = host.send(self.gfid, Command::SaveRound);
            Phase::Awaiting(pending, Next::Round { stopped: false })
        };
    }

    fn saved(&mut self, host: &mut Host) {
        if let Some(function) = host.function_mut(self.gfid) {
            let (record, payload) = function.save();
            self.stats.state_bytes += self.out.record(Kind::Function, &record, payload);
        }
        self.stats.state_bytes += self.out.finish();
        self.phase = Phase::Complete;
    }

    fn write<T: serde::Serialize>(&mut self, kind: Kind, body: &T) {
        self.stats.state_bytes += self.out.record(kind, body, Vec::new());
    }

    /// Lends slots to the firmware, unless too much waits for the link.
    fn lend(&mut self, host: &mut Host) {
        let working = matches!(
            self.phase,
            Phase::Awaiting(_, Next::Round { .. } | Next::Records)
                | Phase::Round { .. }
                | Phase::Records
        );
        while self.begun
            && working
            && self.out.bytes.len() < BUFFERED_MAX
            && host.lend_slot(self.gfid)
        {}
    }
}
