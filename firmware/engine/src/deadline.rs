//! When things are late: engines that do not let go, apertures that are not bound, a copy ring
//! that does not answer. Every wait of the engine ends here at the latest.

use crate::engine::{Engine, bit, each};
use crate::message::{Action, Window};
use crate::message::{Event, Failure, Reject};
use crate::runlist::{Current, Doing, Why};
use crate::save::Save;
use crate::vgpu::{Phase, ReleaseStep};
use godwit_types::{COPY_RING_ENTRIES, Gfid, PreemptMode, RunlistId, TsgId};

/// How long an engine may take to stop between two instructions before it counts as hung.
/// (The slowest published save of a whole context is far below: 40 µs for 44 MB.)
pub(crate) const PREEMPT_DEADLINE_NS: u64 = 1_000_000;
/// How long each milder mode is tried first when a stop may escalate.
pub(crate) const ESCALATE_NS: u64 = 2_000_000;
/// How long an engine reset may take, and how often it is tried.
pub(crate) const RESET_DEADLINE_NS: u64 = 10_000_000;
const RESET_TRIES: u8 = 3;
/// How long the device may take to bind an aperture or a partition. (PCI Express gives a
/// completion 50 ms by default: none that an aperture waits for is on its way after that.)
pub(crate) const DEVICE_DEADLINE_NS: u64 = 1_000_000_000;
/// How long one operation of the copy ring may take: the longest is to fill a whole
/// framebuffer, which is tenths of a second for the largest.
pub(crate) const COPY_DEADLINE_NS: u64 = 10_000_000_000;
/// How often the interrupts are counted of a vGPU that has an engine for itself: otherwise they
/// are at each switch.
const LOOK_NS: u64 = 1_000_000_000;

impl Engine {
    /// The time in so many nanoseconds.
    #[inline(never)] // ten instructions on a core of 32 bits
    pub(crate) fn after(&self, ns: u64) -> u64 {
        self.after_here(ns)
    }

    /// The same, for the few places where a call costs too much.
    #[inline(always)]
    pub(crate) fn after_here(&self, ns: u64) -> u64 {
        self.now_ns.saturating_add(ns)
    }

    /// Looks at all deadlines.
    pub(crate) fn alarm(&mut self) {
        self.alarm_ns = u64::MAX;
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            self.runlist_deadline(runlist);
        }
        if self.copy_deadline_ns.is_some_and(|at| at <= self.now_ns) {
            self.copy_ring_late();
        }
        if self.recover_deadline_ns.is_some_and(|at| at <= self.now_ns) {
            // A guest that meets a closed aperture is better than a host that waits for ever.
            self.recovered_all();
        }
        if self.lift_due_ns.is_some_and(|at| at <= self.now_ns) {
            self.lift_due();
        }
        self.refresh();
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            // A turn may be over that was kept for one without work.
            self.schedule(runlist);
        }
        let now_ns = self.now_ns;
        if self.phases_due_ns > now_ns {
            return;
        }
        let late = self.mask(|vgpu| vgpu.deadline_ns() <= now_ns);
        for gfid in each(late) {
            // The alarm is set again for those that there is no room for now.
            if self.has_action_room() {
                self.peers_late(gfid);
                self.vgpu_deadline(gfid);
            }
        }
        self.count_phases();
    }

    fn runlist_deadline(&mut self, runlist: RunlistId) {
        let Some(current) = *self.runlists[runlist].current else {
            return;
        };
        let stint = &self.runlists[runlist].stint;
        let late = self.runlists[runlist].deadline_ns <= self.now_ns;
        match current.doing {
            // A group that goes on to where a stop wants it has no more than its slice.
            Doing::Preempting { why: Why::Stop, .. }
                if stint.slice_end_ns <= self.now_ns && self.contended(runlist, current.gfid) =>
            {
                let deadline_ns = self.after(PREEMPT_DEADLINE_NS);
                self.preempt(runlist, PreemptMode::Instruction, deadline_ns, Why::Slice);
            }
            Doing::Preempting { mode, why } if late => {
                self.preempt_late(runlist, current.tsg, mode, why);
            }
            // The device was to take it off at the end of its slice.
            Doing::Running if late && stint.wanted => {
                let slice_end_ns = stint.slice_end_ns;
                self.runlists[runlist].stint.asked_ns = slice_end_ns;
                let (mode, _) = self.mildest(current.tsg);
                self.preempt_late(runlist, current.tsg, mode, Why::Slice);
            }
            Doing::Resetting { tries } if late => {
                if tries < RESET_TRIES {
                    self.reset_engine(runlist, tries.wrapping_add(1));
                } else {
                    self.lose_engine(runlist);
                }
            }
            Doing::Running if self.look_ns(runlist) <= self.now_ns => {
                self.runlists[runlist].looked_ns = self.now_ns;
                self.act(Action::CountInterrupts(current.gfid));
            }
            Doing::Running
            | Doing::Preempting { .. }
            | Doing::Probing { .. }
            | Doing::Resetting { .. } => {}
        }
    }

    /// When the interrupts of whoever has an engine for itself are counted next.
    fn look_ns(&self, runlist: RunlistId) -> u64 {
        let entry = &self.runlists[runlist];
        entry.looked_ns.max(entry.stint.since_ns).saturating_add(LOOK_NS)
    }

    /// An engine has not let go in time: it is asked for a boundary that comes sooner, or it is
    /// looked at what it holds.
    fn preempt_late(&mut self, runlist: RunlistId, tsg: TsgId, mode: PreemptMode, why: Why) {
        match (why, mode.escalated()) {
            (Why::Escalate | Why::Slice, Some(sooner)) => {
                let milder = match why {
                    Why::Slice => self.grace_ns(tsg) / 2,
                    Why::Escalate | Why::Stop => ESCALATE_NS,
                };
                let hard = sooner == PreemptMode::Instruction;
                let wait = if hard { PREEMPT_DEADLINE_NS } else { milder };
                self.preempt(runlist, sooner, self.after(wait), why);
            }
            (Why::Escalate | Why::Slice | Why::Stop, _) => {
                self.runlists[runlist].ask(runlist, Doing::Probing { mode, why }, u64::MAX);
                self.act(Action::Probe(runlist));
            }
        }
    }

    /// The device has not answered in time, or a boundary was not reached: whoever waits is
    /// told, and the vGPU is where it can be asked again.
    #[inline(never)] // where the goals of its jumps are known is where their table is at hand
    fn vgpu_deadline(&mut self, gfid: Gfid) {
        if self.vgpus[gfid].phase.deadline_ns() > self.now_ns {
            return;
        }
        match *self.vgpus[gfid].phase {
            Phase::Stopping(stop) => self.stop_deadline(gfid, stop),
            Phase::Creating { id, .. } => {
                self.enter_phase(gfid, Phase::Failed);
                self.refuse(id, Reject::Deadline);
            }
            Phase::Starting { id, guest_time_ns, .. } => {
                self.act(Action::BindAperture(gfid, Window::Blocked));
                self.standing(gfid, guest_time_ns, false);
                self.act(Action::Retain);
                self.refuse(id, Reject::Deadline);
            }
            Phase::Releasing { id, step } => {
                let step = match step {
                    ReleaseStep::Drain { .. } => ReleaseStep::Drain { deadline_ns: u64::MAX },
                    ReleaseStep::Aperture { .. } => ReleaseStep::Aperture { deadline_ns: u64::MAX },
                    ReleaseStep::Partition { .. } => {
                        ReleaseStep::Partition { deadline_ns: u64::MAX }
                    }
                    other => other,
                };
                self.enter_phase(gfid, Phase::Releasing { id: None, step });
                self.refuse_if_asked(id);
            }
            Phase::Absent
            | Phase::Running
            | Phase::Stopped { .. }
            | Phase::Resuming { .. }
            | Phase::Failed => {}
        }
    }

    pub(crate) fn refuse_if_asked(&mut self, id: Option<u32>) {
        if let Some(id) = id {
            self.refuse(id, Reject::Deadline);
        }
    }

    /// The copy ring does not answer. What waits for it, or for room in it, has failed; if an
    /// answer comes after all, it is taken, and what nobody waits for any more goes on.
    fn copy_ring_late(&mut self) {
        self.copy_late = true;
        self.copy_deadline_ns = Some(self.after(COPY_DEADLINE_NS));
        let full = self.copies >= COPY_RING_ENTRIES;
        let waiting = self
            .vgpus
            .iter()
            .filter(|(_, vgpu)| vgpu.copies != 0 || full)
            .fold(0, |mask, (gfid, _)| mask | bit(gfid));
        for gfid in each(waiting) {
            self.copies_late(gfid);
        }
    }

    fn copies_late(&mut self, gfid: Gfid) {
        match *self.vgpus[gfid].save {
            Save::Ending { id, step } => {
                self.vgpus[gfid].save.enter(gfid, Save::Ending { id: None, step });
                self.refuse_if_asked(id);
            }
            Save::Beginning | Save::Flipping | Save::Gathering { .. } | Save::Contexts { .. } => {
                self.vgpus[gfid].save.enter(gfid, Save::Failed);
                self.tell(Event::Failed { gfid, why: Failure::Late });
            }
            Save::None | Save::Between | Save::Records { .. } | Save::Complete | Save::Failed => {}
        }
        match *self.vgpus[gfid].phase {
            Phase::Resuming { .. } => {
                self.enter_phase(gfid, Phase::Failed);
                self.act(Action::Retain);
                self.tell(Event::Failed { gfid, why: Failure::Late });
            }
            Phase::Releasing { id, step } => {
                self.enter_phase(gfid, Phase::Releasing { id: None, step });
                self.refuse_if_asked(id);
            }
            Phase::Absent
            | Phase::Creating { .. }
            | Phase::Running
            | Phase::Stopping(_)
            | Phase::Stopped { .. }
            | Phase::Starting { .. }
            | Phase::Failed => {}
        }
    }

    /// Sets the alarm to the earliest deadline, if that has changed.
    pub(crate) fn arm(&mut self) {
        let ours = [self.copy_deadline_ns, self.recover_deadline_ns, self.lift_due_ns];
        let due_ns = ours.into_iter().flatten().fold(self.phases_due_ns, u64::min);
        let due_ns = due_ns.min(self.runlist_due_ns(RunlistId::COMPUTE));
        let due_ns = due_ns.min(self.runlist_due_ns(RunlistId::COPY));
        if due_ns != self.alarm_ns {
            self.alarm_ns = due_ns;
            self.act(Action::Alarm(due_ns));
        }
    }

    /// When an engine has to be looked at.
    fn runlist_due_ns(&self, runlist: RunlistId) -> u64 {
        let entry = &self.runlists[runlist];
        let Some(Current { gfid, doing, .. }) = *entry.current else {
            // Others wait, and the turn is kept for one that has no work.
            let end_ns = entry.turn.end_ns().filter(|_| self.waiting(runlist) != 0);
            return end_ns.unwrap_or(u64::MAX);
        };
        let slice_end_ns = entry.stint.slice_end_ns;
        match doing {
            Doing::Running if entry.stint.wanted => entry.deadline_ns,
            Doing::Preempting { why: Why::Stop, .. } if self.contended(runlist, gfid) => {
                entry.deadline_ns.min(slice_end_ns)
            }
            Doing::Preempting { .. } | Doing::Resetting { .. } => entry.deadline_ns,
            Doing::Running => self.look_ns(runlist),
            Doing::Probing { .. } => u64::MAX,
        }
    }
}
