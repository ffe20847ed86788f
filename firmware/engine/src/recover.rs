//! Taking over from a firmware that is gone: what it had written before it acted, and what
//! the registers say now.

use crate::copy::CopyKind;
use crate::deadline::{DEVICE_DEADLINE_NS, PREEMPT_DEADLINE_NS};
use crate::engine::Engine;
use crate::message::Event;
use crate::message::{Action, Window};
use crate::runlist::{Current, Doing, Stint, Time, Why};
use crate::tsg::TsgState;
use crate::vgpu::{Phase, Vgpu};
use godwit_types::{
    ChannelConfig, ChannelFault, ChannelId, CopyOp, Epoch, Gfid, Identity, Index, Placement,
    PreemptMode, Profile, RunlistId, RunlistState, SLOT_COUNT, Share, SlotId, SwitchCause, TsgId,
};

/// A phase as it is retained. What is on its way somewhere is retained as where it came from,
/// so that a restart takes it back there; what cannot go back is [`Self::Broken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RetainedPhase {
    /// It runs. Guest time less device time is kept.
    Running {
        /// Guest time less device time.
        time_offset_ns: u64,
    },
    /// It stands still.
    Stopped {
        /// The guest's time.
        guest_time_ns: u64,
        /// Vectors that wait for its start.
        vectors: u32,
        /// It has never run and has no channel.
        pristine: bool,
    },
    /// It was being made, restored or released: it can only be released.
    Broken,
}

/// What is retained of one vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RetainedVgpu {
    /// Which.
    pub gfid: Gfid,
    /// Where it stood.
    pub phase: RetainedPhase,
    /// What it is.
    pub profile: Profile,
    /// Where it sits.
    pub placement: Placement,
    /// Of its last standstill.
    pub epoch: Epoch,
    /// What it is due of the engines.
    pub share: Share,
}

/// What a restarted firmware reads from the device.
pub trait Registers {
    /// What a slot is bound to.
    fn channel(&self, channel: ChannelId) -> Option<ChannelConfig>;

    /// Why a channel stands still, if it does.
    fn fault(&self, channel: ChannelId) -> Option<ChannelFault>;

    /// Whether the way of a vGPU's channels to its peers is open, or was to be.
    fn are_peers_open(&self, gfid: Gfid) -> bool;

    /// What an engine holds, and the numbers of its last start, preempt and reset requests.
    fn runlist(&self, runlist: RunlistId) -> (RunlistState, (u32, u32, u32));
}

impl Engine {
    /// What is to be retained, when [`Action::Retain`] is performed.
    pub fn retained(&self) -> impl Iterator<Item = RetainedVgpu> + Clone {
        self.vgpus.iter().filter_map(|(gfid, vgpu)| {
            let phase = match *vgpu.phase {
                Phase::Absent => return None,
                Phase::Running | Phase::Stopping(_) => {
                    RetainedPhase::Running { time_offset_ns: vgpu.time_offset_ns }
                }
                Phase::Stopped { guest_time_ns, pristine, .. } => {
                    RetainedPhase::Stopped { guest_time_ns, vectors: vgpu.vectors, pristine }
                }
                Phase::Starting { guest_time_ns, .. } => {
                    let vectors = vgpu.vectors;
                    RetainedPhase::Stopped { guest_time_ns, vectors, pristine: false }
                }
                Phase::Creating { .. }
                | Phase::Resuming { .. }
                | Phase::Failed
                | Phase::Releasing { .. } => RetainedPhase::Broken,
            };
            let (profile, placement, epoch) = (vgpu.profile, vgpu.placement, vgpu.epoch);
            Some(RetainedVgpu { gfid, phase, profile, placement, epoch, share: vgpu.share })
        })
    }

    /// Takes over one vGPU of a firmware that is gone. Take its actions before the next.
    pub fn recover_vgpu(&mut self, retained: &RetainedVgpu, registers: &impl Registers) {
        self.recover_phase(retained);
        self.vgpus[retained.gfid].peers.closed = !registers.are_peers_open(retained.gfid);
        self.recover_channels(retained.gfid, registers);
    }

    /// Takes over the engines, after all vGPUs. What ran runs on; what stood still stands
    /// still; transfers are void, and the host is told with [`Event::Started`].
    ///
    /// Every channel counts as rung, since a doorbell may have been acknowledged and not
    /// acted on: a group without work is idle again at once.
    pub fn recover(&mut self, device: Identity, registers: &impl Registers, now_ns: u64) {
        self.device = device;
        self.now_ns = now_ns;
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            self.recover_runlist(runlist, registers);
        }
        for raw in 0..u16::MAX {
            let Some(tsg) = TsgId::new(raw) else { break };
            if self.tsgs[tsg].members != 0 && *self.tsgs[tsg].state == TsgState::Idle {
                self.enqueue(tsg);
            }
        }
        self.act(Action::Alarm(u64::MAX));
        self.act(Action::Retain);
        if self.recovering == 0 {
            self.tell_started();
        } else {
            self.recover_deadline_ns = Some(self.after(DEVICE_DEADLINE_NS));
        }
        let _ = self.proceed(now_ns);
    }

    /// An aperture is bound again; once all are, guests can go on and the host is told.
    pub(crate) fn recovered(&mut self, gfid: Gfid) {
        self.recovering &= !crate::engine::bit(gfid);
        if self.recovering == 0 {
            self.recovered_all();
        }
    }

    pub(crate) fn recovered_all(&mut self) {
        self.recovering = 0;
        self.recover_deadline_ns = None;
        self.tell_started();
    }

    fn tell_started(&mut self) {
        let present = self.mask(Vgpu::is_present);
        let running = self.mask(|vgpu| matches!(*vgpu.phase, Phase::Running));
        self.tell(Event::Started { present, running });
        // After it, since the host counts the scrubs from there.
        self.scrub_all_slots();
    }

    fn recover_phase(&mut self, retained: &RetainedVgpu) {
        let gfid = retained.gfid;
        let vgpu = &mut self.vgpus[gfid];
        vgpu.profile = retained.profile;
        vgpu.placement = retained.placement;
        vgpu.epoch = retained.epoch;
        vgpu.share = retained.share;
        self.recovering |= crate::engine::bit(gfid);
        self.act(Action::SetPartition(gfid));
        match retained.phase {
            RetainedPhase::Running { time_offset_ns } => {
                self.enter_phase(gfid, Phase::Running);
                self.vgpus[gfid].time_offset_ns = time_offset_ns;
                self.act(Action::SetRoute(gfid, true));
                self.act(Action::BindAperture(gfid, Window::Direct));
            }
            RetainedPhase::Stopped { guest_time_ns, vectors, pristine } => {
                self.vgpus[gfid].vectors = vectors;
                self.recover_standing(gfid, guest_time_ns, pristine);
            }
            RetainedPhase::Broken => {
                self.enter_phase(gfid, Phase::Failed);
                self.act(Action::BindAperture(gfid, Window::Blocked));
            }
        }
    }

    fn recover_standing(&mut self, gfid: Gfid, guest_time_ns: u64, pristine: bool) {
        self.act(Action::SetRoute(gfid, false));
        self.act(Action::BindAperture(gfid, Window::Blocked));
        self.standing(gfid, guest_time_ns, pristine);
    }

    fn recover_channels(&mut self, gfid: Gfid, registers: &impl Registers) {
        for (guest, id) in self.channels_of(gfid) {
            let Some(config) = registers.channel(id) else {
                continue;
            };
            if config.gfid != gfid || config.guest != guest {
                continue;
            }
            let group = &mut self.tsgs[config.tsg];
            group.runlist = config.runlist;
            group.gfid = Some(gfid);
            group.members = group.members.saturating_add(1);
            group.grace = config.grace;
            group.used = true;
            group.left_at = Some(PreemptMode::Instruction);
            self.channels[id].open(id, config.tsg, config.ring);
            if let Some(fault) = registers.fault(id).or(config.fault) {
                self.channels[id].fail(id, fault);
                self.vgpus[gfid].untold = self.vgpus[gfid].untold.saturating_add(1);
            }
        }
        self.wake(gfid);
    }

    fn recover_runlist(&mut self, runlist: RunlistId, registers: &impl Registers) {
        let (state, (run_seq, preempt_seq, reset_seq)) = registers.runlist(runlist);
        let entry = &mut self.runlists[runlist];
        entry.run_seq = run_seq;
        entry.preempt_seq = preempt_seq;
        entry.reset_seq = reset_seq;
        let RunlistState::Resident(tsg) = state else {
            return;
        };
        let Some(gfid) = self.tsgs[tsg].gfid else {
            // Nobody's: it must not go on.
            let seq = reset_seq.wrapping_add(1);
            self.runlists[runlist].reset_seq = seq;
            self.act(Action::Reset(runlist, seq));
            return;
        };
        self.tsgs[tsg].state.enter(tsg, TsgState::Current { again: true });
        self.runlists[runlist].stint = Stint::new(Time::Own, self.now_ns, 0);
        let current = Current { tsg, gfid, doing: Doing::Running };
        self.runlists[runlist].current.enter(runlist, Some(current));
        // Its answer may have come while nobody listened; asked again, it comes again.
        let deadline_ns = self.after(PREEMPT_DEADLINE_NS);
        self.caused(runlist, SwitchCause::Stop);
        self.preempt(runlist, PreemptMode::Instruction, deadline_ns, Why::Slice);
    }

    /// Nobody knows whose bytes the slots hold.
    fn scrub_all_slots(&mut self) {
        for raw in 0..SLOT_COUNT {
            let Some(slot) = SlotId::new(raw) else { break };
            self.start_scrub(slot);
        }
    }

    /// Scrubs a slot for no vGPU, until it succeeds.
    pub(crate) fn start_scrub(&mut self, slot: SlotId) {
        let Some(nobody) = Gfid::from_index(0) else { return };
        self.copy(nobody, CopyKind::StartScrub, Some(slot), CopyOp::FillSlot { slot });
    }
}
