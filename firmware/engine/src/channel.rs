//! Channels: opened, rung, faulted, closed.

use crate::copy::CopyKind;
use crate::engine::{Engine, Step};
use crate::message::Action;
use crate::message::{Event, Reject};
use crate::trace::trace;
use crate::transition::{Now, State, Transition};
use crate::tsg::{Tsg, TsgState};
use crate::vgpu::Phase;
use godwit_types::{
    Abuse, ChannelConfig, ChannelFault, ChannelId, CopyDone, CopyOp, CopyStatus, FAULT_VECTOR,
    GRACE_MAX, Gfid, GuestChannelId, GuestTsgId, RingConfig, RunlistId, TSG_CHANNELS_MAX, TsgId,
};
use static_assertions::const_assert;

/// How far a channel has come in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)] // `Free` is zero
pub(crate) enum ChannelState {
    Free,
    Open,
    /// The device stopped it, or it came so in a saved state.
    Faulted(ChannelFault),
    /// Its group is being taken off the engine, or its context scrubbed.
    Closing,
}

impl State for ChannelState {
    type Of = ChannelId;
    type Name = Self;

    fn name(&self) -> Self {
        *self
    }

    #[inline(never)]
    fn tell(transition: &Transition<ChannelId, Self>) {
        trace!(debug, "{}", transition);
    }
}

/// One channel slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    /// Ring base in units of `RingConfig::ALIGN`, which keeps a channel small.
    ring_units: u32,
    pub(crate) tsg: TsgId,
    ring_log2: u8,
    pub(crate) state: Now<ChannelState>,
    /// The host was not told of its fault.
    pub(crate) untold: bool,
}

impl Engine {
    /// Bytes that the engine's tables hold for each channel: its own entry, and one of a group.
    pub const CHANNEL_BYTES: usize = size_of::<Channel>().saturating_add(size_of::<Tsg>());
}

const_assert!(Engine::CHANNEL_BYTES <= 32);

impl Channel {
    const NO_TSG: TsgId = match TsgId::new(0) {
        Some(tsg) => tsg,
        None => unreachable!(),
    };

    pub(crate) const FREE: Self = Self {
        ring_units: 0,
        tsg: Self::NO_TSG,
        ring_log2: 0,
        state: Now::new(ChannelState::Free),
        untold: false,
    };

    /// Opens the slot `id`, which this is.
    pub(crate) fn open(&mut self, id: ChannelId, tsg: TsgId, ring: RingConfig) {
        let units = ring.base().wrapping_shr(RingConfig::ALIGN.trailing_zeros());
        self.ring_units = units as u32;
        self.tsg = tsg;
        self.ring_log2 = ring.entries_log2();
        self.untold = false;
        self.state.enter(id, ChannelState::Open);
    }

    /// Marks the slot `id`, which this is, as stopped by a fault of which the host is not told.
    pub(crate) fn fail(&mut self, id: ChannelId, fault: ChannelFault) {
        self.untold = true;
        self.state.enter(id, ChannelState::Faulted(fault));
    }

    /// Frees the slot `id`, which this is.
    pub(crate) fn free(&mut self, id: ChannelId) {
        self.state.enter(id, ChannelState::Free);
        *self = Self::FREE;
    }

    pub(crate) fn ring(&self) -> Option<RingConfig> {
        let base = u64::from(self.ring_units).wrapping_mul(RingConfig::ALIGN);
        RingConfig::unplaced(base, self.ring_log2)
    }
}

impl Engine {
    /// The hardware channel of a guest's channel, if the vGPU has it.
    pub(crate) fn hardware_channel(
        &self,
        gfid: Gfid,
        channel: GuestChannelId,
    ) -> Result<ChannelId, Reject> {
        let vgpu = &self.vgpus[gfid];
        if channel.raw() >= vgpu.profile.channel_count {
            return Err(Reject::NoSuchChannel);
        }
        channel.at_base(vgpu.placement.channel_base).ok_or(Reject::NoSuchChannel)
    }

    /// The channels that a vGPU has, open or not: the guest's numbers and the hardware's.
    pub(crate) fn channels_of(
        &self,
        gfid: Gfid,
    ) -> impl Iterator<Item = (GuestChannelId, ChannelId)> + use<> {
        let vgpu = &self.vgpus[gfid];
        let (count, base) = (vgpu.profile.channel_count, vgpu.placement.channel_base);
        (0..count).filter_map(move |raw| {
            let guest = GuestChannelId::new(raw)?;
            Some((guest, guest.at_base(base)?))
        })
    }

    /// First byte of a channel's context buffer.
    pub(crate) fn context_at(&self, gfid: Gfid, channel: GuestChannelId) -> u64 {
        let vgpu = &self.vgpus[gfid];
        let offset = u64::from(vgpu.profile.context_bytes).wrapping_mul(u64::from(channel.raw()));
        vgpu.placement.context_base.wrapping_add(offset)
    }

    pub(crate) fn open_channel(
        &mut self,
        gfid: Gfid,
        channel: GuestChannelId,
        tsg: GuestTsgId,
        (runlist, grace): (RunlistId, u8),
        ring: RingConfig,
    ) -> Result<(), Reject> {
        if !matches!(*self.vgpus[gfid].phase, Phase::Running | Phase::Stopped { .. }) {
            return Err(Reject::WrongPhase);
        }
        if self.vgpus[gfid].watch.is_banned() {
            return Err(Reject::Banned);
        }
        self.add_channel(gfid, channel, tsg, (runlist, grace), ring)?;
        self.bind(gfid, channel);
        if let Phase::Stopped { pristine, .. } = self.vgpus[gfid].phase.facts() {
            *pristine = false;
        }
        Ok(())
    }

    /// Enters a channel and its group in the tables.
    pub(crate) fn add_channel(
        &mut self,
        gfid: Gfid,
        channel: GuestChannelId,
        tsg: GuestTsgId,
        (runlist, grace): (RunlistId, u8),
        ring: RingConfig,
    ) -> Result<(), Reject> {
        let id = self.hardware_channel(gfid, channel)?;
        if !self.device.engines.has(runlist) {
            return Err(Reject::NoSuchEngine);
        }
        if grace > GRACE_MAX {
            return Err(Reject::OutOfRange);
        }
        let vgpu = &self.vgpus[gfid];
        if tsg.raw() >= vgpu.profile.channel_count {
            return Err(Reject::NoSuchChannel);
        }
        let tsg = tsg.at_base(vgpu.placement.channel_base).ok_or(Reject::NoSuchChannel)?;
        let ring = RingConfig::new(ring.base(), ring.entries_log2(), vgpu.profile.fb_bytes)
            .ok_or(Reject::Ring)?;
        if *self.channels[id].state != ChannelState::Free {
            return Err(Reject::ChannelOpen);
        }
        let group = &mut self.tsgs[tsg];
        if group.members == 0 {
            group.runlist = runlist;
            group.gfid = Some(gfid);
            group.grace = grace;
            group.used = false;
            group.left_at = None;
        } else if group.runlist != runlist {
            return Err(Reject::TsgElsewhere);
        } else if group.grace != grace {
            return Err(Reject::Grace);
        }
        if u16::from(group.members) >= TSG_CHANNELS_MAX {
            return Err(Reject::TsgFull);
        }
        group.members = group.members.wrapping_add(1);
        self.channels[id].open(id, tsg, ring);
        Ok(())
    }

    /// What a channel's slot is bound to.
    pub fn channel_config(&self, gfid: Gfid, channel: GuestChannelId) -> Option<ChannelConfig> {
        let id = self.hardware_channel(gfid, channel).ok()?;
        let entry = &self.channels[id];
        Some(ChannelConfig {
            gfid,
            guest: channel,
            tsg: entry.tsg,
            runlist: self.tsgs[entry.tsg].runlist,
            ring: entry.ring()?,
            context_at: self.context_at(gfid, channel),
            context_bytes: self.vgpus[gfid].profile.context_bytes,
            grace: self.tsgs[entry.tsg].grace,
            fault: match *entry.state {
                ChannelState::Faulted(fault) => Some(fault),
                ChannelState::Free | ChannelState::Open | ChannelState::Closing => None,
            },
        })
    }

    pub(crate) fn bind(&mut self, gfid: Gfid, channel: GuestChannelId) {
        if let Ok(id) = self.hardware_channel(gfid, channel) {
            self.act(Action::Bind(id, gfid, channel));
        }
    }

    /// Queues the channel's group, or keeps it parked while its vGPU stands still.
    pub(crate) fn doorbell(&mut self, channel: ChannelId) {
        let entry = self.channels[channel];
        match *entry.state {
            // A fault is told by the error register, not by dropped bells.
            ChannelState::Open | ChannelState::Faulted(_) => {
                if *entry.state == ChannelState::Open {
                    self.ring_tsg(entry.tsg);
                }
                if let Some(gfid) = self.tsgs[entry.tsg].gfid {
                    self.count(gfid, Abuse::Doorbells, 1, Some(channel));
                }
            }
            ChannelState::Free | ChannelState::Closing => {
                self.counters.stray_doorbells = self.counters.stray_doorbells.wrapping_add(1);
            }
        }
    }

    pub(crate) fn ring_tsg(&mut self, tsg: TsgId) {
        match *self.tsgs[tsg].state {
            TsgState::Idle => self.enqueue(tsg),
            TsgState::Current { .. } => {
                self.tsgs[tsg].state.enter(tsg, TsgState::Current { again: true });
            }
            TsgState::Queued | TsgState::Parked => {}
        }
    }

    /// The device stopped a channel; the rest of its group goes on.
    pub(crate) fn channel_fault(&mut self, channel: ChannelId, fault: ChannelFault) {
        if *self.channels[channel].state != ChannelState::Open {
            return;
        }
        if let Some(gfid) = self.fail_channel(channel, fault)
            && fault != ChannelFault::EngineReset
        {
            self.count(gfid, Abuse::Faults, 1, Some(channel));
        }
    }

    /// A channel stands still for good; whose it is.
    pub(crate) fn fail_channel(&mut self, channel: ChannelId, fault: ChannelFault) -> Option<Gfid> {
        let entry = &mut self.channels[channel];
        entry.fail(channel, fault);
        let gfid = self.tsgs[entry.tsg].gfid?;
        let vgpu = &mut self.vgpus[gfid];
        vgpu.untold = vgpu.untold.wrapping_add(1);
        self.wake(gfid);
        Some(gfid)
    }

    /// Raises the vector by which a guest learns of a fault, or keeps it until it may be raised.
    fn interrupt(&mut self, gfid: Gfid) {
        let vector = 1u32.wrapping_shl(FAULT_VECTOR.into());
        match *self.vgpus[gfid].phase {
            Phase::Stopped { .. } => self.vgpus[gfid].vectors |= vector,
            _ => self.act(Action::Inject(gfid, vector)),
        }
    }

    /// Tells the host of faults as the event queue has room. A storm of faults is one mark
    /// for each channel, so none is lost and nothing overflows.
    pub(crate) fn step_untold(&mut self, gfid: Gfid) -> Step {
        if self.vgpus[gfid].untold == 0 {
            return Step::Rests;
        }
        for (guest, id) in self.channels_of(gfid) {
            let entry = self.channels[id];
            let ChannelState::Faulted(fault) = *entry.state else {
                continue;
            };
            if !entry.untold {
                continue;
            }
            if !self.has_event_room() || !self.has_action_room() {
                return Step::Waits;
            }
            self.channels[id].untold = false;
            self.interrupt(gfid);
            self.tell(Event::ChannelFault { gfid, channel: guest, fault });
        }
        self.vgpus[gfid].untold = 0;
        Step::Rests
    }

    pub(crate) fn close_channel(
        &mut self,
        gfid: Gfid,
        channel: GuestChannelId,
    ) -> Result<(), Reject> {
        // A save has its list of channels; it must not change under it.
        let vgpu = &self.vgpus[gfid];
        if !matches!(*vgpu.phase, Phase::Running | Phase::Stopped { .. })
            || vgpu.save.is_past_rounds()
        {
            return Err(Reject::WrongPhase);
        }
        let id = self.hardware_channel(gfid, channel)?;
        match *self.channels[id].state {
            ChannelState::Open | ChannelState::Faulted(_) => {}
            ChannelState::Free | ChannelState::Closing => {
                return Err(Reject::ChannelClosed);
            }
        }
        let entry = &mut self.channels[id];
        entry.state.enter(id, ChannelState::Closing);
        entry.untold = false;
        let vgpu = &mut self.vgpus[gfid];
        vgpu.closing = vgpu.closing.wrapping_add(1);
        let tsg = self.channels[id].tsg;
        self.evict(tsg);
        self.wake(gfid);
        Ok(())
    }

    /// Scrubs a channel that is being closed once its group has left the engine; one at a
    /// time for each vGPU, so that an answer needs no number.
    pub(crate) fn step_closing(&mut self, gfid: Gfid) -> Step {
        if self.vgpus[gfid].closing == 0 || self.vgpus[gfid].scrubbing.is_some() {
            return Step::Rests;
        }
        for (guest, id) in self.channels_of(gfid) {
            let entry = self.channels[id];
            if *entry.state != ChannelState::Closing
                || matches!(*self.tsgs[entry.tsg].state, TsgState::Current { .. })
            {
                continue;
            }
            if !self.has_action_room() || !self.may_copy() {
                return Step::Waits;
            }
            self.vgpus[gfid].scrubbing = Some(guest);
            let byte_count = u64::from(self.vgpus[gfid].profile.context_bytes);
            let at = self.context_at(gfid, guest);
            self.copy(gfid, CopyKind::Close, None, CopyOp::FillContext { at, byte_count });
            // Last, so that a restart in between finds the channel bound and closes it again.
            self.act(Action::Unbind(id));
            return Step::Went;
        }
        Step::Rests
    }

    /// The context of a channel that is being closed was scrubbed. If that failed, it is
    /// tried again.
    pub(crate) fn closed(&mut self, gfid: Gfid, done: &CopyDone) {
        let Some(channel) = self.vgpus[gfid].scrubbing.take() else {
            return;
        };
        let Ok(id) = self.hardware_channel(gfid, channel) else {
            return;
        };
        if done.status != CopyStatus::Done || *self.channels[id].state != ChannelState::Closing {
            return;
        }
        let tsg = self.channels[id].tsg;
        self.channels[id].free(id);
        self.tsgs[tsg].members = self.tsgs[tsg].members.saturating_sub(1);
        if self.tsgs[tsg].members == 0 {
            self.unqueue(gfid, tsg);
        }
        let vgpu = &mut self.vgpus[gfid];
        vgpu.closing = vgpu.closing.saturating_sub(1);
        self.tell(Event::Closed { gfid, channel });
    }
}
