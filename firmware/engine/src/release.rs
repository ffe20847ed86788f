//! Making vGPUs, and making them absent: whatever phase one is in, its memory, contexts and
//! slots are zero before anyone else can have them.

use crate::channel::ChannelState;
use crate::copy::CopyKind;
use crate::deadline::{COPY_DEADLINE_NS, DEVICE_DEADLINE_NS, PREEMPT_DEADLINE_NS};
use crate::engine::{Engine, Step, bit};
use crate::message::Reject;
use crate::message::{Action, Window};
use crate::save::Save;
use crate::tsg::{Tsg, TsgQueue, TsgState};
use crate::vgpu::{Phase, ReleaseStep, Stop, Vgpu};
use godwit_types::{
    ChannelId, CopyDone, CopyOp, CopyStatus, Gfid, Placement, PreemptMode, Profile, RUNLIST_COUNT,
    RunlistId, Share, SwitchCause, Table, TsgId,
};

/// Fills that scrub a vGPU: its partition, its context buffers.
const FILLS: u8 = 2;

impl Engine {
    pub(crate) fn create(
        &mut self,
        id: u32,
        gfid: Gfid,
        profile: Profile,
        placement: Placement,
        share: Share,
    ) -> Result<(), Reject> {
        if self.vgpus[gfid].is_present() {
            return Err(Reject::VgpuExists);
        }
        profile.check().map_err(Reject::Profile)?;
        if !share.is_valid() {
            return Err(Reject::OutOfRange);
        }
        placement.check(&profile, &self.device).map_err(Reject::Placement)?;
        for (_, other) in self.vgpus.iter() {
            if other.is_present() {
                placement
                    .apart(&profile, &other.placement, &other.profile)
                    .map_err(Reject::Placement)?;
            }
        }
        let epoch = self.vgpus[gfid].epoch;
        let deadline_ns = self.after(DEVICE_DEADLINE_NS);
        self.vgpus[gfid] = Vgpu { profile, placement, share, epoch, ..Vgpu::ABSENT };
        self.hinted &= !bit(gfid);
        self.enter_phase(gfid, Phase::Creating { id, deadline_ns });
        // Written before the device is told, so that a restart knows what to take back.
        self.act(Action::Retain);
        self.act(Action::SetPartition(gfid));
        Ok(())
    }

    /// A partition was set or cleared: a vGPU has come or gone.
    pub(crate) fn partition_set(&mut self, gfid: Gfid) {
        match *self.vgpus[gfid].phase {
            Phase::Creating { id, .. } => {
                self.act(Action::SetRoute(gfid, false));
                self.standing(gfid, 0, true);
                self.act(Action::Retain);
                self.done(id);
            }
            Phase::Releasing { id, step: ReleaseStep::Partition { .. } } => {
                self.enter_phase(gfid, Phase::Absent);
                let epoch = self.vgpus[gfid].epoch;
                self.vgpus[gfid] = Vgpu { epoch, ..Vgpu::ABSENT };
                self.act(Action::Retain);
                if let Some(id) = id {
                    self.done(id);
                }
            }
            Phase::Absent
            | Phase::Running
            | Phase::Stopping(_)
            | Phase::Stopped { .. }
            | Phase::Resuming { .. }
            | Phase::Starting { .. }
            | Phase::Failed
            | Phase::Releasing { .. } => {}
        }
    }

    /// Starts to make a vGPU absent.
    pub(crate) fn release(&mut self, id: u32, gfid: Gfid) -> Result<(), Reject> {
        // Whoever waits for an earlier command of this vGPU will not get what was asked.
        match *self.vgpus[gfid].phase {
            Phase::Creating { .. } | Phase::Releasing { id: Some(_), .. } => {
                return Err(Reject::WrongPhase);
            }
            Phase::Releasing { id: None, step } => {
                self.release_again(id, gfid, step);
                return Ok(());
            }
            Phase::Stopping(Stop { id: waiting, .. }) | Phase::Starting { id: waiting, .. } => {
                self.refuse(waiting, Reject::WrongPhase);
            }
            Phase::Absent
            | Phase::Running
            | Phase::Stopped { .. }
            | Phase::Resuming { .. }
            | Phase::Failed => {}
        }
        if let Save::Ending { id: Some(waiting), .. } = *self.vgpus[gfid].save {
            self.refuse(waiting, Reject::WrongPhase);
        }
        self.begin_release(id, gfid);
        Ok(())
    }

    /// Somebody asks for a release that was late and goes on: what the device did not answer
    /// is asked again.
    fn release_again(&mut self, id: u32, gfid: Gfid, step: ReleaseStep) {
        let deadline_ns = self.after(DEVICE_DEADLINE_NS);
        let step = match step {
            ReleaseStep::Drain { .. } => {
                ReleaseStep::Drain { deadline_ns: self.after(COPY_DEADLINE_NS) }
            }
            ReleaseStep::Aperture { .. } => {
                self.act(Action::BindAperture(gfid, Window::Blocked));
                ReleaseStep::Aperture { deadline_ns }
            }
            ReleaseStep::Partition { .. } => {
                self.act(Action::ClearPartition(gfid));
                ReleaseStep::Partition { deadline_ns }
            }
            ReleaseStep::Channels(_) | ReleaseStep::Scrub(_) | ReleaseStep::Scrubbing => step,
        };
        self.enter_phase(gfid, Phase::Releasing { id: Some(id), step });
        self.wake(gfid);
    }

    fn begin_release(&mut self, id: u32, gfid: Gfid) {
        let deadline_ns = self.after(COPY_DEADLINE_NS);
        let vgpu = &mut self.vgpus[gfid];
        vgpu.save.enter(gfid, Save::None);
        vgpu.untold = 0;
        vgpu.watch.untold = 0;
        let step = ReleaseStep::Drain { deadline_ns };
        self.enter_phase(gfid, Phase::Releasing { id: Some(id), step });
        self.act(Action::Retain);
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            self.runlists[runlist].ready &= !crate::engine::bit(gfid);
            self.force_off(runlist, gfid);
        }
        let none = Table::new([TsgQueue::EMPTY; RUNLIST_COUNT as usize]);
        self.vgpus[gfid].ready = none.clone();
        self.vgpus[gfid].parked = none;
        self.wake(gfid);
    }

    /// Takes a vGPU's group off an engine, by force if need be.
    fn force_off(&mut self, runlist: RunlistId, gfid: Gfid) {
        use crate::runlist::{Doing, Why};
        let Some(current) = *self.runlists[runlist].current else {
            return;
        };
        let milder = match current.doing {
            Doing::Running => true,
            Doing::Preempting { why, .. } => why != Why::Slice,
            Doing::Probing { .. } | Doing::Resetting { .. } => false,
        };
        if current.gfid == gfid && milder {
            let deadline = self.after(PREEMPT_DEADLINE_NS);
            self.caused(runlist, SwitchCause::Stop);
            self.preempt(runlist, PreemptMode::Instruction, deadline, Why::Slice);
        }
    }

    /// One step of a release.
    pub(crate) fn step_release(&mut self, gfid: Gfid) -> Step {
        let Phase::Releasing { id, step } = *self.vgpus[gfid].phase else {
            return Step::Rests;
        };
        let next = match step {
            ReleaseStep::Drain { .. } => {
                if self.vgpus[gfid].copies != 0 || self.on_engine(gfid) {
                    return Step::Rests;
                }
                self.act(Action::BindAperture(gfid, Window::Blocked));
                ReleaseStep::Aperture { deadline_ns: self.after(DEVICE_DEADLINE_NS) }
            }
            ReleaseStep::Channels(from) => {
                if from >= self.vgpus[gfid].profile.channel_count {
                    self.release_peers(gfid);
                    self.act(Action::SetRoute(gfid, false));
                    self.act(Action::BindAperture(gfid, Window::Gone));
                    ReleaseStep::Scrub(FILLS)
                } else {
                    self.free_channel(gfid, from);
                    ReleaseStep::Channels(from.wrapping_add(1))
                }
            }
            ReleaseStep::Scrub(0) => match self.scrub_slot(gfid) {
                Some(step) => return step,
                None => ReleaseStep::Scrubbing,
            },
            ReleaseStep::Scrub(left) => {
                if !self.may_copy() {
                    return Step::Waits;
                }
                self.fill(gfid, left);
                ReleaseStep::Scrub(left.wrapping_sub(1))
            }
            ReleaseStep::Scrubbing => {
                if self.vgpus[gfid].copies != 0 {
                    return Step::Rests;
                }
                // A slot whose scrub failed still counts as this vGPU's.
                if let Some(step) = self.scrub_slot(gfid) {
                    return step;
                }
                self.act(Action::ClearPartition(gfid));
                ReleaseStep::Partition { deadline_ns: self.after(DEVICE_DEADLINE_NS) }
            }
            ReleaseStep::Aperture { .. } | ReleaseStep::Partition { .. } => return Step::Rests,
        };
        self.enter_phase(gfid, Phase::Releasing { id, step: next });
        Step::Went
    }

    fn fill(&mut self, gfid: Gfid, which: u8) {
        let vgpu = &self.vgpus[gfid];
        let op = if which == FILLS {
            CopyOp::FillFb { at: 0, byte_count: vgpu.profile.fb_bytes }
        } else {
            let byte_count = vgpu.profile.context_total();
            CopyOp::FillContext { at: vgpu.placement.context_base, byte_count }
        };
        self.copy(gfid, CopyKind::Scrub, None, op);
    }

    /// A fill is done. If it failed, the release has: whoever waits for it may ask again, and
    /// until then the memory is nobody's.
    pub(crate) fn scrubbed(&mut self, gfid: Gfid, done: &CopyDone) {
        if done.status == CopyStatus::Done {
            return;
        }
        if let Phase::Releasing { id, step: ReleaseStep::Scrub(_) | ReleaseStep::Scrubbing } =
            *self.vgpus[gfid].phase
        {
            self.enter_phase(gfid, Phase::Failed);
            self.refuse_if_asked(id);
        }
    }

    /// Frees a channel and its group, whatever state they are in.
    fn free_channel(&mut self, gfid: Gfid, raw: u16) {
        let hardware = self.vgpus[gfid].placement.channel_base.saturating_add(raw);
        if let Some(tsg) = TsgId::new(hardware) {
            self.tsgs[tsg].state.enter(tsg, TsgState::Idle);
            self.tsgs[tsg] = Tsg::EMPTY;
        }
        let Some(channel) = ChannelId::new(hardware) else {
            return;
        };
        if *self.channels[channel].state != ChannelState::Free {
            self.channels[channel].free(channel);
            self.act(Action::Unbind(channel));
        }
    }

    pub(crate) fn release_aperture_set(&mut self, gfid: Gfid) {
        if let Phase::Releasing { id, step: ReleaseStep::Aperture { .. } } = *self.vgpus[gfid].phase
        {
            self.enter_phase(gfid, Phase::Releasing { id, step: ReleaseStep::Channels(0) });
            self.wake(gfid);
        }
    }

    /// The vGPUs that are meant, by bit.
    pub(crate) fn mask(&self, meant: impl Fn(&Vgpu) -> bool) -> u32 {
        self.vgpus
            .iter()
            .filter(|(_, vgpu)| meant(vgpu))
            .fold(0, |mask, (gfid, _)| mask | crate::engine::bit(gfid))
    }
}
