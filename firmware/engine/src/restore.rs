//! Restoring: records come in, are checked for order and meaning, and are bound to the new
//! home. Nothing runs until everything was consumed.

use crate::account::Account;
use crate::channel::ChannelState;
use crate::copy::{CopyKind, SlotUse};
use crate::engine::{Engine, Step};
use crate::message::Action;
use crate::message::{ChannelRecord, Event, Failure, Reject, VgpuRecord};
use crate::save::Save;
use crate::tsg::TsgState;
use crate::vgpu::{Expected, Phase};
use godwit_types::{
    CopyDone, CopyOp, CopyStatus, Gfid, GuestChannelId, SLOT_BYTES, SlotId, SlotRange,
};

impl Engine {
    pub(crate) fn restore_begin(&mut self, gfid: Gfid) -> Result<(), Reject> {
        let Phase::Stopped { pristine: true, guest_time_ns, .. } = *self.vgpus[gfid].phase else {
            return Err(Reject::WrongPhase);
        };
        self.enter_phase(gfid, Phase::Resuming { expected: None, guest_time_ns });
        self.act(Action::Retain);
        Ok(())
    }

    pub(crate) fn load_vgpu(&mut self, gfid: Gfid, record: &VgpuRecord) -> Result<(), Reject> {
        let vgpu = &mut self.vgpus[gfid];
        let Phase::Resuming { expected, guest_time_ns } = vgpu.phase.facts() else {
            return Err(Reject::WrongPhase);
        };
        if expected.is_some()
            || record.channel_count > vgpu.profile.channel_count
            || record.context_count > record.channel_count
        {
            return Err(Reject::Record);
        }
        *guest_time_ns = record.guest_time_ns;
        *expected = Some(Expected {
            channels: record.channel_count,
            contexts: record.context_count,
            context: None,
        });
        vgpu.vectors = record.pending_vectors;
        for ((_, account), debt_ns) in vgpu.accounts.iter_mut().zip(record.debts_ns) {
            *account = Account::owing(debt_ns);
        }
        Ok(())
    }

    fn expected(&mut self, gfid: Gfid) -> Result<&mut Expected, Reject> {
        match self.vgpus[gfid].phase.facts() {
            Phase::Resuming { expected: Some(expected), .. } => Ok(expected),
            Phase::Resuming { expected: None, .. } => Err(Reject::Record),
            Phase::Absent
            | Phase::Creating { .. }
            | Phase::Running
            | Phase::Stopping(_)
            | Phase::Stopped { .. }
            | Phase::Starting { .. }
            | Phase::Failed
            | Phase::Releasing { .. } => Err(Reject::WrongPhase),
        }
    }

    pub(crate) fn load_channel(
        &mut self,
        gfid: Gfid,
        record: &ChannelRecord,
    ) -> Result<(), Reject> {
        if self.expected(gfid)?.channels == 0 {
            return Err(Reject::Record);
        }
        let id = self.hardware_channel(gfid, record.channel)?;
        let on = (record.runlist, record.grace);
        self.add_channel(gfid, record.channel, record.tsg, on, record.ring)?;
        let tsg = self.channels[id].tsg;
        let group = &mut self.tsgs[tsg];
        group.used = record.used;
        group.left_at = record.left_at;
        if let Some(fault) = record.fault {
            self.channels[id].fail(id, fault);
            let vgpu = &mut self.vgpus[gfid];
            vgpu.untold = vgpu.untold.wrapping_add(1);
        }
        // With its fault, which a firmware after this one has to find again.
        self.bind(gfid, record.channel);
        if record.pending && *self.tsgs[tsg].state == TsgState::Idle {
            self.enqueue(tsg);
        }
        let expected = self.expected(gfid)?;
        expected.channels = expected.channels.saturating_sub(1);
        Ok(())
    }

    /// Checks that a slot is the host's and may hold this vGPU's bytes.
    fn loadable(&self, gfid: Gfid, from: SlotRange) -> Result<(), Reject> {
        let slot = self.slots[from.slot];
        if slot.held != SlotUse::Host || slot.gfid.is_some_and(|other| other != gfid) {
            return Err(Reject::SlotInUse);
        }
        if from.byte_count > SLOT_BYTES {
            return Err(Reject::Record);
        }
        if self.may_copy() { Ok(()) } else { Err(Reject::Full) }
    }

    pub(crate) fn load_pages(
        &mut self,
        gfid: Gfid,
        from: SlotRange,
        crc: u32,
    ) -> Result<(), Reject> {
        if !matches!(*self.vgpus[gfid].phase, Phase::Resuming { .. }) {
            return Err(Reject::WrongPhase);
        }
        self.loadable(gfid, from)?;
        self.copy(gfid, CopyKind::Load, Some(from.slot), CopyOp::Scatter { from, crc });
        Ok(())
    }

    /// Contexts come one after the other, each in order and whole.
    pub(crate) fn load_context(
        &mut self,
        gfid: Gfid,
        channel: GuestChannelId,
        at: u32,
        from: SlotRange,
        crc: u32,
    ) -> Result<(), Reject> {
        let context_bytes = self.vgpus[gfid].profile.context_bytes;
        let id = self.hardware_channel(gfid, channel)?;
        let expected = *self.expected(gfid)?;
        let starts = expected.context.is_none() && at == 0 && expected.contexts != 0;
        if !(starts || expected.context == Some((channel, at))) {
            return Err(Reject::Record);
        }
        let known = !matches!(*self.channels[id].state, ChannelState::Free | ChannelState::Closing);
        let end = at.saturating_add(from.byte_count);
        if !known
            || !self.tsgs[self.channels[id].tsg].used
            || from.byte_count == 0
            || end > context_bytes
        {
            return Err(Reject::Record);
        }
        self.loadable(gfid, from)?;
        let whole = end == context_bytes;
        let expected = self.expected(gfid)?;
        expected.context = (!whole).then_some((channel, end));
        expected.contexts = expected.contexts.saturating_sub(u16::from(whole));
        let to = self.context_at(gfid, channel).wrapping_add(u64::from(at));
        let op = CopyOp::SlotToContext { from, at: to, crc };
        self.copy(gfid, CopyKind::Load, Some(from.slot), op);
        Ok(())
    }

    /// A slot was copied to its place, or could not be.
    pub(crate) fn loaded(&mut self, gfid: Gfid, slot: SlotId, done: &CopyDone) {
        self.lend_slot(gfid, slot, SlotUse::Host);
        if !matches!(*self.vgpus[gfid].phase, Phase::Resuming { .. }) {
            return;
        }
        if done.status == CopyStatus::Done {
            self.tell(Event::Taken { slot });
            return;
        }
        self.enter_phase(gfid, Phase::Failed);
        self.act(Action::Retain);
        self.tell(Event::Failed { gfid, why: Failure::Copy(done.status) });
    }

    /// Everything was given. What is missing is an error that leaves the vGPU as it is, to be
    /// completed or released.
    pub(crate) fn restore_end(&mut self, gfid: Gfid) -> Result<(), Reject> {
        let expected = *self.expected(gfid)?;
        if expected.channels != 0
            || expected.contexts != 0
            || expected.context.is_some()
            || self.vgpus[gfid].copies != 0
        {
            return Err(Reject::Incomplete);
        }
        let Phase::Resuming { guest_time_ns, .. } = *self.vgpus[gfid].phase else {
            return Err(Reject::WrongPhase);
        };
        self.standing(gfid, guest_time_ns, false);
        self.act(Action::Retain);
        self.vgpus[gfid].cleaning = true;
        self.wake(gfid);
        Ok(())
    }

    /// Scrubs the slots that a restore has used.
    pub(crate) fn step_cleaning(&mut self, gfid: Gfid) -> Step {
        if !self.vgpus[gfid].cleaning {
            return Step::Rests;
        }
        if !matches!(*self.vgpus[gfid].save, Save::None) {
            // The end of the save scrubs them.
            self.vgpus[gfid].cleaning = false;
            return Step::Rests;
        }
        match self.scrub_slot(gfid) {
            Some(step) => step,
            None => {
                self.vgpus[gfid].cleaning = self.vgpus[gfid].copies != 0;
                Step::Rests
            }
        }
    }
}
