//! Saving: rounds of pages while the vGPU runs, then what is only true of one that stands
//! still. Bulk bytes go from the framebuffer to staging slots that the host lends; the engine
//! names them and tells their CRCs.

use crate::channel::ChannelState;
use crate::copy::{CopyKind, SlotUse};
use crate::engine::{Engine, Step};
use crate::message::{ChannelRecord, Event, Failure, Reject, VgpuRecord};
use crate::trace::trace;
use crate::transition::{State, Transition};
use crate::tsg::TsgState;
use crate::vgpu::Phase;
use godwit_types::{
    CopyDone, CopyOp, CopyStatus, Gfid, GuestChannelId, RunlistId, SLOT_BYTES, SlotId, SlotRange,
    Throttle,
};

/// How far a save has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)] // `None` is zero
pub(crate) enum Save {
    None,
    /// Logging is being started.
    Beginning,
    /// The log is being taken.
    Flipping,
    /// Pages of the round are copied, from this one on; `busy`: into a slot just now.
    Gathering {
        next: u32,
        busy: bool,
    },
    /// A round has ended.
    Between,
    /// The records of channels are told, from this one on. The vGPU's was.
    Records {
        next: u16,
    },
    /// Contexts are copied, from this channel and byte on; `busy`: into a slot just now.
    Contexts {
        channel: u16,
        at: u32,
        busy: bool,
    },
    /// Everything was told.
    Complete,
    /// A copy failed: it can only be ended.
    Failed,
    /// It is over; slots are scrubbed and logging stops. `id`: who waits for it; `None`: it was
    /// late, and goes on by itself.
    Ending {
        id: Option<u32>,
        step: Ending,
    },
}

/// How far a save has come, without what it does next there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum SaveName {
    None,
    Beginning,
    Flipping,
    Gathering,
    Between,
    Records,
    Contexts,
    Complete,
    Failed,
    Ending(Ending),
}

impl State for Save {
    type Of = Gfid;
    type Name = SaveName;

    fn name(&self) -> SaveName {
        match *self {
            Self::None => SaveName::None,
            Self::Beginning => SaveName::Beginning,
            Self::Flipping => SaveName::Flipping,
            Self::Gathering { .. } => SaveName::Gathering,
            Self::Between => SaveName::Between,
            Self::Records { .. } => SaveName::Records,
            Self::Contexts { .. } => SaveName::Contexts,
            Self::Complete => SaveName::Complete,
            Self::Failed => SaveName::Failed,
            Self::Ending { step, .. } => SaveName::Ending(step),
        }
    }

    #[inline(never)]
    fn tell(transition: &Transition<Gfid, SaveName>) {
        match transition.to {
            SaveName::Failed => trace!(warn, "{}", transition),
            _ => trace!(debug, "{}", transition),
        }
    }
}

/// What an ending save waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum Ending {
    /// The copy ring has nothing of this vGPU.
    Drain,
    /// Slots are scrubbed.
    Slots,
    /// Logging is being stopped.
    Log,
}

impl Save {
    /// Whether it is in the part that needs the vGPU to stand still.
    pub(crate) fn is_past_rounds(self) -> bool {
        matches!(self, Self::Records { .. } | Self::Contexts { .. } | Self::Complete)
    }

    pub(crate) fn takes_credit(self) -> bool {
        !matches!(self, Self::None | Self::Ending { .. })
    }
}

impl Engine {
    pub(crate) fn save_begin(&mut self, gfid: Gfid) -> Result<(), Reject> {
        let vgpu = &self.vgpus[gfid];
        if !matches!(*vgpu.phase, Phase::Running | Phase::Stopped { .. })
            || !matches!(*vgpu.save, Save::None)
        {
            return Err(Reject::WrongPhase);
        }
        if !self.may_copy() {
            return Err(self.no_room());
        }
        self.vgpus[gfid].save.enter(gfid, Save::Beginning);
        self.copy(gfid, CopyKind::Log, None, CopyOp::DirtyStart);
        Ok(())
    }

    pub(crate) fn save_round(&mut self, gfid: Gfid, throttle: Throttle) -> Result<(), Reject> {
        if !matches!(*self.vgpus[gfid].save, Save::Between) {
            return Err(Reject::WrongPhase);
        }
        if !self.may_copy() {
            return Err(self.no_room());
        }
        self.throttle(gfid, throttle);
        self.flip(gfid);
        Ok(())
    }

    fn throttle(&mut self, gfid: Gfid, throttle: Throttle) {
        self.vgpus[gfid].throttle = throttle;
        self.counted = false; // what it may have of others' turns, too
    }

    fn flip(&mut self, gfid: Gfid) {
        let vgpu = &mut self.vgpus[gfid];
        vgpu.save.enter(gfid, Save::Flipping);
        vgpu.flipped_in = match &*vgpu.phase {
            Phase::Stopped { proof, .. } => Some(proof.epoch()),
            _ => None,
        };
        let bar_bytes = self.vgpus[gfid].profile.bar_bytes;
        self.copy(gfid, CopyKind::Log, None, CopyOp::DirtyFlip { bar_bytes });
    }

    pub(crate) fn save_state(&mut self, gfid: Gfid) -> Result<(), Reject> {
        let vgpu = &self.vgpus[gfid];
        let Phase::Stopped { proof, guest_time_ns, .. } = &*vgpu.phase else {
            return Err(Reject::WrongPhase);
        };
        // A round of an earlier standstill is stale: it may have run in between.
        if !matches!(*vgpu.save, Save::Between)
            || vgpu.closing != 0
            || vgpu.flipped_in != Some(proof.epoch())
        {
            return Err(Reject::WrongPhase);
        }
        let (channel_count, context_count) = self.count_channels(gfid);
        let record = VgpuRecord {
            guest_time_ns: *guest_time_ns,
            pending_vectors: vgpu.vectors,
            channel_count,
            context_count,
            debts_ns: [RunlistId::COMPUTE, RunlistId::COPY].map(|id| vgpu.accounts[id].debt_ns()),
        };
        self.vgpus[gfid].save.enter(gfid, Save::Records { next: 0 });
        self.tell(Event::Vgpu(gfid, record));
        self.wake(gfid);
        Ok(())
    }

    /// Ends a save in whatever state it is.
    pub(crate) fn save_end(&mut self, id: u32, gfid: Gfid) -> Result<(), Reject> {
        match *self.vgpus[gfid].save {
            Save::None | Save::Ending { id: Some(_), .. } => Err(Reject::WrongPhase),
            Save::Ending { id: None, step } => {
                self.vgpus[gfid].save.enter(gfid, Save::Ending { id: Some(id), step });
                Ok(())
            }
            Save::Beginning
            | Save::Flipping
            | Save::Gathering { .. }
            | Save::Between
            | Save::Records { .. }
            | Save::Contexts { .. }
            | Save::Complete
            | Save::Failed => {
                self.throttle(gfid, Throttle::NONE);
                self.vgpus[gfid]
                    .save
                    .enter(gfid, Save::Ending { id: Some(id), step: Ending::Drain });
                self.wake(gfid);
                Ok(())
            }
        }
    }

    /// A vGPU's open channels, and those of them whose groups have run.
    fn count_channels(&self, gfid: Gfid) -> (u16, u16) {
        let (mut channels, mut contexts) = (0u16, 0u16);
        for raw in 0..self.vgpus[gfid].profile.channel_count {
            let Some(record) = self.channel_record(gfid, raw) else {
                continue;
            };
            channels = channels.wrapping_add(1);
            contexts = contexts.wrapping_add(u16::from(record.used));
        }
        (channels, contexts)
    }

    fn channel_record(&self, gfid: Gfid, raw: u16) -> Option<ChannelRecord> {
        let channel = GuestChannelId::new(raw)?;
        let id = self.hardware_channel(gfid, channel).ok()?;
        let entry = &self.channels[id];
        let fault = match *entry.state {
            ChannelState::Open => None,
            ChannelState::Faulted(fault) => Some(fault),
            ChannelState::Free | ChannelState::Closing => return None,
        };
        let group = &self.tsgs[entry.tsg];
        Some(ChannelRecord {
            grace: self.tsgs[entry.tsg].grace,
            channel,
            tsg: entry.tsg.to_guest(self.vgpus[gfid].placement.channel_base)?,
            runlist: group.runlist,
            ring: entry.ring()?,
            fault,
            pending: *group.state != TsgState::Idle,
            used: group.used,
            left_at: group.left_at,
        })
    }

    /// One step of a save.
    pub(crate) fn step_save(&mut self, gfid: Gfid) -> Step {
        match *self.vgpus[gfid].save {
            Save::Gathering { next, busy: false } => self.step_gather(gfid, next),
            Save::Records { next } => self.step_records(gfid, next),
            Save::Contexts { channel, at, busy: false } => self.step_contexts(gfid, channel, at),
            Save::Ending { id, step } => self.step_ending(gfid, id, step),
            Save::None
            | Save::Beginning
            | Save::Flipping
            | Save::Gathering { .. }
            | Save::Between
            | Save::Contexts { .. }
            | Save::Complete
            | Save::Failed => Step::Rests,
        }
    }

    fn step_gather(&mut self, gfid: Gfid, next: u32) -> Step {
        if next == u32::MAX {
            if !self.has_event_room() {
                return Step::Waits;
            }
            self.vgpus[gfid].save.enter(gfid, Save::Between);
            self.tell(Event::RoundEnd { gfid });
            return Step::Rests;
        }
        let Some(slot) = self.credited_slot(gfid) else {
            return Step::Rests;
        };
        if !self.may_copy() {
            return Step::Waits;
        }
        self.vgpus[gfid].save.enter(gfid, Save::Gathering { next, busy: true });
        self.copy(gfid, CopyKind::Gather, Some(slot), CopyOp::Gather { first: next, slot });
        Step::Rests
    }

    fn step_records(&mut self, gfid: Gfid, next: u16) -> Step {
        if next >= self.vgpus[gfid].profile.channel_count {
            self.vgpus[gfid].save.enter(gfid, Save::Contexts { channel: 0, at: 0, busy: false });
            return Step::Went;
        }
        if !self.has_event_room() {
            return Step::Waits;
        }
        if let Some(record) = self.channel_record(gfid, next) {
            self.tell(Event::Channel(gfid, record));
        }
        self.vgpus[gfid].save.enter(gfid, Save::Records { next: next.wrapping_add(1) });
        Step::Went
    }

    fn step_contexts(&mut self, gfid: Gfid, channel: u16, at: u32) -> Step {
        let profile = self.vgpus[gfid].profile;
        if channel >= profile.channel_count {
            if !self.has_event_room() {
                return Step::Waits;
            }
            self.vgpus[gfid].save.enter(gfid, Save::Complete);
            self.tell(Event::Saved { gfid });
            return Step::Rests;
        }
        let used = self.channel_record(gfid, channel).is_some_and(|record| record.used);
        if !used || at >= profile.context_bytes {
            self.vgpus[gfid].save.enter(
                gfid,
                Save::Contexts { channel: channel.wrapping_add(1), at: 0, busy: false },
            );
            return Step::Went;
        }
        let Some(slot) = self.credited_slot(gfid) else {
            return Step::Rests;
        };
        let Some(guest) = GuestChannelId::new(channel) else {
            return Step::Rests;
        };
        if !self.may_copy() {
            return Step::Waits;
        }
        let byte_count = profile.context_bytes.wrapping_sub(at).min(SLOT_BYTES);
        let from = self.context_at(gfid, guest).wrapping_add(u64::from(at));
        self.vgpus[gfid].save.enter(gfid, Save::Contexts { channel, at, busy: true });
        let to = SlotRange { slot, byte_count };
        self.copy(gfid, CopyKind::ContextOut, Some(slot), CopyOp::ContextToSlot { at: from, to });
        Step::Rests
    }

    fn step_ending(&mut self, gfid: Gfid, id: Option<u32>, step: Ending) -> Step {
        match step {
            Ending::Drain => {
                if self.vgpus[gfid].copies != 0 {
                    return Step::Rests;
                }
                self.vgpus[gfid].save.enter(gfid, Save::Ending { id, step: Ending::Slots });
                Step::Went
            }
            Ending::Slots => {
                if let Some(step) = self.scrub_slot(gfid) {
                    return step;
                }
                if self.vgpus[gfid].copies != 0 {
                    return Step::Rests;
                }
                if !self.may_copy() {
                    return Step::Waits;
                }
                self.vgpus[gfid].save.enter(gfid, Save::Ending { id, step: Ending::Log });
                self.copy(gfid, CopyKind::Log, None, CopyOp::DirtyStop);
                Step::Rests
            }
            Ending::Log => Step::Rests,
        }
    }

    /// The log was started, taken or stopped.
    pub(crate) fn logged(&mut self, gfid: Gfid, done: &CopyDone) {
        let failed = done.status != CopyStatus::Done;
        match *self.vgpus[gfid].save {
            Save::Beginning | Save::Flipping if failed => self.save_failed(gfid, done.status),
            Save::Beginning => self.flip(gfid),
            Save::Flipping => {
                let vgpu = &mut self.vgpus[gfid];
                vgpu.save.enter(gfid, Save::Gathering { next: 0, busy: false });
                self.tell(Event::Round { gfid, pages: done.pages });
            }
            // Logging that could not be stopped costs time and harms nothing.
            Save::Ending { id, step: Ending::Log } => {
                self.vgpus[gfid].save.enter(gfid, Save::None);
                if let Some(id) = id {
                    self.done(id);
                }
            }
            Save::None
            | Save::Gathering { .. }
            | Save::Between
            | Save::Records { .. }
            | Save::Contexts { .. }
            | Save::Complete
            | Save::Failed
            | Save::Ending { .. } => {}
        }
    }

    /// Pages are in a slot.
    pub(crate) fn gathered(&mut self, gfid: Gfid, slot: SlotId, done: &CopyDone) {
        let Save::Gathering { .. } = *self.vgpus[gfid].save else {
            return self.keep_slot(gfid, slot);
        };
        if done.status != CopyStatus::Done {
            self.keep_slot(gfid, slot);
            return self.save_failed(gfid, done.status);
        }
        self.slots[slot].held = SlotUse::Host;
        self.vgpus[gfid].save.enter(gfid, Save::Gathering { next: done.pages, busy: false });
        let to = SlotRange { slot, byte_count: done.byte_count };
        self.tell(Event::Pages { gfid, to, crc: done.crc });
    }

    /// Part of a context is in a slot.
    pub(crate) fn context_out(&mut self, gfid: Gfid, slot: SlotId, done: &CopyDone) {
        let Save::Contexts { channel, at, .. } = *self.vgpus[gfid].save else {
            return self.keep_slot(gfid, slot);
        };
        if done.status != CopyStatus::Done {
            self.keep_slot(gfid, slot);
            return self.save_failed(gfid, done.status);
        }
        let Some(guest) = GuestChannelId::new(channel) else {
            return;
        };
        self.slots[slot].held = SlotUse::Host;
        let next = at.saturating_add(done.byte_count.max(1));
        self.vgpus[gfid].save.enter(gfid, Save::Contexts { channel, at: next, busy: false });
        let to = SlotRange { slot, byte_count: done.byte_count };
        self.tell(Event::Context { gfid, channel: guest, at, to, crc: done.crc });
    }

    /// A slot whose content nobody wants: it waits for its scrub.
    fn keep_slot(&mut self, gfid: Gfid, slot: SlotId) {
        self.lend_slot(gfid, slot, SlotUse::Credit);
    }

    /// A save cannot go on; the vGPU itself is unharmed.
    fn save_failed(&mut self, gfid: Gfid, status: CopyStatus) {
        self.vgpus[gfid].save.enter(gfid, Save::Failed);
        self.tell(Event::Failed { gfid, why: Failure::Copy(status) });
    }
}
