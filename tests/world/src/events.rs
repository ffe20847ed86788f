//! What can happen in the world, and when.

use crate::evacuate::EvacuateSpec;
use crate::vgpu::Home;
use crate::world::{HostId, JobId, VgpuId, World};
use godwit_regs::guest::{DOORBELL, DOORBELL_URGENT};
use godwit_shim::{FileOptions, Live, Mishap, ResumeOptions};
use godwit_sim_gpu::Fault;
use godwit_types::{Limits, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use std::path::PathBuf;
use std::sync::Arc;

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At this virtual time, in nanoseconds.
    At(u64),
    /// When the job's vGPU has run so many instructions since the job began; exactly then. If
    /// the job ends before, at its end.
    After {
        /// Which job.
        job: JobId,
        /// How many.
        instructions: u64,
    },
    /// When this many transfers have ended.
    Transfers(usize),
}

/// A move to be made.
#[derive(Clone, Copy, Debug)]
pub struct MoveSpec {
    /// Which vGPU.
    pub vgpu: VgpuId,
    /// Where to.
    pub to: HostId,
    /// Rounds before the stop; `None`: stop-and-copy.
    pub live: Option<Live>,
    /// At what boundary it is stopped.
    pub stop: StopMode,
    /// How long the stop may take, in nanoseconds.
    pub stop_timeout_ns: u64,
}

/// A suspend to be made.
#[derive(Clone, Debug)]
pub struct SuspendSpec {
    /// Which vGPU.
    pub vgpu: VgpuId,
    /// The file.
    pub path: PathBuf,
    /// At what boundary it is stopped.
    pub stop: StopMode,
    /// How long the stop may take, in nanoseconds.
    pub stop_timeout_ns: u64,
    /// How the file is written.
    pub options: FileOptions,
}

/// A resume to be made, of a vGPU that is in a file.
#[derive(Clone, Debug)]
pub struct ResumeSpec {
    /// Which vGPU the file is to hold.
    pub vgpu: VgpuId,
    /// The file.
    pub path: PathBuf,
    /// Where to.
    pub to: HostId,
    /// How the file is read.
    pub options: ResumeOptions,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// A vGPU is moved.
    Move(MoveSpec),
    /// All vGPUs of a host are moved to others.
    Evacuate(EvacuateSpec),
    /// A vGPU is suspended.
    Suspend(SuspendSpec),
    /// A vGPU is resumed.
    Resume(ResumeSpec),
    /// A device breaks.
    Fault(HostId, Fault),
    /// A firmware is restarted.
    RestartFirmware(HostId),
    /// A firmware ends by itself, after so many instructions of its next call that has as many.
    CrashFirmware(HostId, Mishap, u32),
    /// A firmware is replaced by another image, an ELF file.
    UpdateFirmware(HostId, Arc<[u8]>),
    /// A host's vGPUs take turns in another way from now on.
    Schedule(HostId, Scheduling),
    /// A vGPU is due something else from now on; while it is in transfer or in a file, that waits.
    Share(VgpuId, Share),
    /// A vGPU's way to its peers is opened or closed; while it is in transfer or in a file, that
    /// waits.
    Peer(VgpuId, bool),
    /// On a host something else is too much from now on.
    Limit(HostId, Limits),
    /// A guest rings for each of its jobs once more, and says that latency matters.
    Ring(VgpuId),
    /// The links between two hosts are cut for so many nanoseconds.
    CutLink(HostId, HostId, u64),
    /// The links between two hosts carry nothing for so many nanoseconds, and nobody is told.
    StallLink(HostId, HostId, u64),
}

/// Names an action that was scheduled, in the order in which they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(pub(crate) usize);

/// An action that waits for its trigger.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: EventId,
    pub(crate) trigger: Trigger,
    pub(crate) action: Action,
}

impl World {
    /// Does what is due.
    pub(crate) fn trigger(&mut self) {
        let mut at = 0;
        while at < self.pending.len() {
            if self.is_due(&self.pending[at].trigger) && self.is_free(&self.pending[at].action) {
                let pending = self.pending.remove(at);
                match pending.action {
                    Action::Fault(host, fault) => self.injected.push((pending.id, host, fault)),
                    Action::CrashFirmware(host, ..) => self.crashes.push((pending.id, host)),
                    Action::UpdateFirmware(host, image) => {
                        let done = self.update_firmware(host, &image);
                        self.updates.push((pending.id, done));
                        continue;
                    }
                    Action::Evacuate(spec) => {
                        self.begin_evacuation(Some(pending.id), spec);
                        continue;
                    }
                    _ => {}
                }
                self.act(pending.action);
            } else {
                at += 1;
            }
        }
    }

    /// Has something happen when its trigger comes.
    pub fn schedule(&mut self, trigger: Trigger, action: Action) -> EventId {
        let id = EventId(self.scheduled);
        self.scheduled += 1;
        self.pending.push(Pending { id, trigger, action });
        id
    }

    /// Whether something still waits for its trigger.
    pub fn is_pending(&self, id: EventId) -> bool {
        self.pending.iter().any(|pending| pending.id == id)
    }

    /// Scheduled faults that were injected and have met nothing yet.
    pub fn unmet_faults(&self) -> Vec<EventId> {
        let mut unmet = Vec::new();
        for (at, node) in self.hosts.iter().enumerate() {
            let mut left = node.host.card().gpu().pending_faults().to_vec();
            // Of faults that are alike the device takes the oldest first.
            for (id, _, fault) in self.injected.iter().rev().filter(|(_, host, _)| host.0 == at) {
                if let Some(found) = left.iter().position(|pending| pending == fault) {
                    left.swap_remove(found);
                    unmet.push(*id);
                }
            }
        }
        // A crash that is arranged takes the place of one that was before.
        let waits = |(id, host): &(EventId, HostId)| {
            let last = self.crashes.iter().rfind(|(_, other)| other == host);
            let waits = self.hosts[host.0].host.card().is_crash_arranged();
            (waits && last.is_some_and(|(last, _)| last == id)).then_some(*id)
        };
        unmet.extend(self.crashes.iter().filter_map(waits));
        unmet.sort_unstable();
        unmet
    }

    /// How scheduled updates of firmware ended.
    pub fn updates(&self) -> &[(EventId, Result<(), String>)] {
        &self.updates
    }

    fn is_due(&self, trigger: &Trigger) -> bool {
        match *trigger {
            Trigger::At(at_ns) => at_ns <= self.now_ns,
            Trigger::After { job, instructions } => {
                let job = &self.jobs[job.0];
                job.has_ended() || job.instructions(self).is_some_and(|done| done >= instructions)
            }
            Trigger::Transfers(count) => self.reports.len() >= count,
        }
    }

    /// One transfer of a vGPU at a time: what is due meanwhile waits.
    fn is_free(&self, action: &Action) -> bool {
        match action {
            Action::Move(MoveSpec { vgpu, .. }) | Action::Suspend(SuspendSpec { vgpu, .. }) => {
                !self.vgpus[vgpu.0].in_transfer && !self.is_to_leave(*vgpu)
            }
            Action::Evacuate(spec) => self.can_evacuate(spec.from),
            Action::Resume(spec) => !self.vgpus[spec.vgpu.0].in_transfer,
            Action::Share(vgpu, _) | Action::Peer(vgpu, _) => {
                let vgpu = &self.vgpus[vgpu.0];
                !vgpu.in_transfer && matches!(vgpu.home, Home::Host(..))
            }
            Action::Fault(..)
            | Action::RestartFirmware(_)
            | Action::CrashFirmware(..)
            | Action::UpdateFirmware(..)
            | Action::Schedule(..)
            | Action::Limit(..)
            | Action::Ring(_)
            | Action::CutLink(..)
            | Action::StallLink(..) => true,
        }
    }

    /// Makes something happen now.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Move(spec) => self.begin_move(&spec),
            Action::Evacuate(spec) => self.begin_evacuation(None, spec),
            Action::Suspend(spec) => self.begin_suspend(&spec),
            Action::Resume(spec) => self.begin_resume(&spec),
            Action::Fault(host, fault) => self.inject(host, fault),
            Action::RestartFirmware(host) => self.restart_firmware(host),
            Action::CrashFirmware(host, mishap, instructions) => {
                self.crash_firmware(host, mishap, instructions);
            }
            Action::UpdateFirmware(host, image) => {
                if let Err(why) = self.update_firmware(host, &image) {
                    self.problems.push(why);
                }
            }
            Action::Schedule(host, how) => self.set_scheduling(host, how),
            Action::Limit(host, limits) => self.set_limits(host, &limits),
            Action::Ring(vgpu) => self.ring(vgpu),
            Action::Share(vgpu, share) => self.set_share(vgpu, share),
            Action::Peer(vgpu, open) => self.set_peer(vgpu, open),
            Action::CutLink(a, b, ns) => self.cut_link(a, b, ns),
            Action::StallLink(a, b, ns) => self.stall_link(a, b, ns),
        }
    }

    fn set_scheduling(&mut self, host: HostId, how: Scheduling) {
        let node = &mut self.hosts[host.0];
        match node.host.set_scheduling(how) {
            Ok(()) => node.scheduling = how,
            Err(error) => self.problems.push(format!("{}: {error}", node.name)),
        }
    }

    fn set_share(&mut self, vgpu: VgpuId, share: Share) {
        let node = &mut self.vgpus[vgpu.0];
        let Home::Host(host, gfid) = node.home else { return };
        match self.hosts[host.0].host.set_share(gfid, share) {
            Ok(()) => node.share = share,
            Err(error) => self.problems.push(format!("{}: {error}", node.name)),
        }
    }

    fn set_limits(&mut self, host: HostId, limits: &Limits) {
        let node = &mut self.hosts[host.0];
        if let Err(error) = node.host.set_limits(limits) {
            self.problems.push(format!("{}: {error}", node.name));
        }
    }

    /// A guest rings for each of its channels and says that latency matters, as it may at any time.
    fn ring(&mut self, vgpu: VgpuId) {
        let node = &self.vgpus[vgpu.0];
        let Home::Host(host, gfid) = node.home else { return };
        if node.paused {
            return;
        }
        for job in &node.jobs {
            if let Some(channel) = self.jobs[job.0].channel() {
                let token = u32::from(channel.id().raw()) | DOORBELL_URGENT;
                self.hosts[host.0].host.bar0_write(gfid, DOORBELL, token);
            }
        }
    }

    /// When the next action is due by time; one that is due and waits is not counted.
    pub(crate) fn next_trigger_ns(&self) -> Option<u64> {
        self.pending
            .iter()
            .filter_map(|pending| match pending.trigger {
                Trigger::At(at_ns) if at_ns > self.now_ns => Some(at_ns),
                Trigger::At(_) | Trigger::After { .. } | Trigger::Transfers(_) => None,
            })
            .min()
    }
}
