//! Who runs next, for how long, and what happens to an engine that does not let go.

use crate::deadline::{ESCALATE_NS, PREEMPT_DEADLINE_NS, RESET_DEADLINE_NS};
use crate::engine::{Engine, bit};
use crate::message::Action;
use crate::message::{Event, StopMode};
use crate::runlist::{Current, Doing, Gone, Stint, Time, Why};
use crate::trace::trace;
use crate::tsg::TsgState;
use crate::turns::Choice;
use godwit_types::{
    Abuse, ChannelFault, ChannelId, GRACE_UNIT_NS, Gfid, PreemptMode, RunlistEvent, RunlistId,
    RunlistState, Switch, SwitchCause, TsgId,
};

impl Engine {
    /// Queues a group that has work, or parks it while its vGPU stands still.
    pub(crate) fn enqueue(&mut self, tsg: TsgId) {
        // It may be its vGPU's first, whose turn nobody has looked at.
        let runlist = self.tsgs[tsg].runlist;
        self.runlists[runlist].turn.unseen = true;
        self.enqueue_here(tsg);
    }

    #[inline(always)]
    fn enqueue_here(&mut self, tsg: TsgId) {
        let group = self.tsgs[tsg];
        let Some(gfid) = group.gfid else { return };
        let vgpu = &mut self.vgpus[gfid];
        // A group that already stands where a stop wants it is not run for it.
        let may_run = match vgpu.draining() {
            Some(stop) => !group.stands_at(stop.wanted()),
            None => vgpu.may_run(),
        };
        if may_run {
            if self.hinted & bit(gfid) == 0 {
                vgpu.ready[group.runlist].push(&mut self.tsgs, tsg);
            } else {
                vgpu.ready[group.runlist].push_front(&mut self.tsgs, tsg);
            }
            self.runlists[group.runlist].ready |= bit(gfid);
            self.tsgs[tsg].state.enter(tsg, TsgState::Queued);
            self.queued(group.runlist, gfid);
        } else {
            vgpu.parked[group.runlist].push(&mut self.tsgs, tsg);
            self.tsgs[tsg].state.enter(tsg, TsgState::Parked);
        }
    }

    /// Takes a group that has no channel left out of its queue: it may come back with another
    /// engine, and a stop does not wait for it.
    pub(crate) fn unqueue(&mut self, gfid: Gfid, tsg: TsgId) {
        let runlist = self.tsgs[tsg].runlist;
        let vgpu = &mut self.vgpus[gfid];
        match *self.tsgs[tsg].state {
            TsgState::Queued => {
                vgpu.ready[runlist].remove(&mut self.tsgs, tsg);
                if vgpu.ready[runlist].is_empty() {
                    self.runlists[runlist].ready &= !bit(gfid);
                }
            }
            TsgState::Parked => vgpu.parked[runlist].remove(&mut self.tsgs, tsg),
            TsgState::Idle | TsgState::Current { .. } => {}
        }
        self.tsgs[tsg].state.enter(tsg, TsgState::Idle);
        self.check_drained(gfid);
    }

    /// Moves the parked groups of a vGPU that runs again to its queues.
    pub(crate) fn unpark(&mut self, gfid: Gfid) {
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            let mut parked = core::mem::take(&mut self.vgpus[gfid].parked[runlist]);
            while let Some(tsg) = parked.pop(&mut self.tsgs) {
                self.enqueue(tsg);
            }
        }
    }

    /// Sorts the queued groups of a vGPU that is being stopped: those that stand at the
    /// wanted boundary are parked, the others have to run up to it.
    pub(crate) fn park(&mut self, gfid: Gfid) {
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            let mut ready = core::mem::take(&mut self.vgpus[gfid].ready[runlist]);
            self.runlists[runlist].ready &= !bit(gfid);
            while let Some(tsg) = ready.pop(&mut self.tsgs) {
                self.enqueue(tsg);
            }
        }
    }

    /// Takes a group off the engine if it is there, since its guest wants a channel closed: by
    /// force if need be, which is its own loss.
    pub(crate) fn evict(&mut self, tsg: TsgId) {
        let runlist = self.tsgs[tsg].runlist;
        if let Some(current) = *self.runlists[runlist].current
            && current.tsg == tsg
            && matches!(current.doing, Doing::Running | Doing::Preempting { why: Why::Stop, .. })
        {
            self.caused(runlist, SwitchCause::Stop);
            let deadline_ns = self.after(PREEMPT_DEADLINE_NS);
            self.preempt(runlist, PreemptMode::Instruction, deadline_ns, Why::Slice);
        }
    }

    /// Asks the engine to let go of what it runs.
    pub(crate) fn preempt(
        &mut self,
        runlist: RunlistId,
        mode: PreemptMode,
        deadline_ns: u64,
        why: Why,
    ) {
        let Some(Current { gfid, .. }) = *self.runlists[runlist].current else { return };
        self.want(runlist, gfid);
        let entry = &mut self.runlists[runlist];
        entry.preempt_seq = entry.preempt_seq.wrapping_add(1);
        let seq = entry.preempt_seq;
        entry.ask(runlist, Doing::Preempting { mode, why }, deadline_ns);
        self.act(Action::Preempt(runlist, mode, seq));
        let stint = &mut self.runlists[runlist].stint;
        stint.asked_ns = stint.asked_ns.min(self.now_ns);
    }

    /// Says why a group is to leave its engine, if it was not asked to already.
    pub(crate) fn caused(&mut self, runlist: RunlistId, cause: SwitchCause) {
        let stint = &mut self.runlists[runlist].stint;
        if stint.asked_ns == u64::MAX {
            stint.cause = cause;
        }
    }

    /// How long a group may go on to a milder boundary when its slice is over.
    pub(crate) fn grace_ns(&self, tsg: TsgId) -> u64 {
        u64::from(self.tsgs[tsg].grace).wrapping_mul(GRACE_UNIT_NS)
    }

    /// The mildest boundary at which a group may leave when its slice is over, and how long it may
    /// take to it: that of its grace period.
    pub(crate) fn mildest(&self, tsg: TsgId) -> (PreemptMode, u64) {
        match self.grace_ns(tsg) / 2 {
            0 => (PreemptMode::Instruction, PREEMPT_DEADLINE_NS),
            half_ns => (PreemptMode::Wfi, half_ns),
        }
    }

    /// Notes that others want an engine, if they do: from now on all the time of it is charged.
    #[inline(never)]
    fn want(&mut self, runlist: RunlistId, gfid: Gfid) -> bool {
        let wanted = self.contended(runlist, gfid);
        if wanted {
            self.runlists[runlist].stint.want(self.now_ns);
        }
        wanted
    }

    /// Has the device take the group on an engine off when its slice is over, if others want the
    /// engine: the end of a slice then costs no instruction.
    pub(crate) fn arm_slice(&mut self, runlist: RunlistId) {
        let entry = &self.runlists[runlist];
        let Some(Current { tsg, gfid, doing: Doing::Running }) = *entry.current else { return };
        if entry.stint.wanted || !self.want(runlist, gfid) {
            return;
        }
        let (mode, wait_ns) = self.mildest(tsg);
        let now_ns = self.now_ns;
        let entry = &mut self.runlists[runlist];
        let at_ns = entry.stint.slice_end_ns;
        entry.deadline_ns = at_ns.max(now_ns).saturating_add(wait_ns);
        entry.preempt_seq = entry.preempt_seq.wrapping_add(1);
        let seq = entry.preempt_seq;
        self.act(Action::PreemptAt(runlist, mode, seq, at_ns));
    }

    /// Asks the engine to let go at once of what it runs for another reason.
    pub(crate) fn take_off(&mut self, runlist: RunlistId, cause: SwitchCause) {
        if let Some(current) = *self.runlists[runlist].current
            && current.doing == Doing::Running
        {
            self.caused(runlist, cause);
            self.preempt(
                runlist,
                PreemptMode::Instruction,
                self.after(PREEMPT_DEADLINE_NS),
                Why::Slice,
            );
        }
    }

    /// Puts the next group on an engine that is empty.
    #[inline(never)] // one function with all that follows from it, as `left` is
    pub(crate) fn schedule(&mut self, runlist: RunlistId) {
        let waiting = self.waiting(runlist);
        let entry = &self.runlists[runlist];
        if waiting != 0 && entry.current.is_none() && !entry.lost {
            self.start_next(runlist, waiting);
        }
    }

    #[inline(always)]
    fn start_next(&mut self, runlist: RunlistId, waiting: u32) {
        let Some(Choice { gfid, slice_ns, time }) = self.choose(runlist, waiting) else {
            return;
        };
        let Some(tsg) = self.pick(runlist, gfid) else {
            return;
        };
        let now_ns = self.now_ns;
        let entry = &mut self.runlists[runlist];
        entry.run_seq = entry.run_seq.wrapping_add(1);
        let seq = entry.run_seq;
        entry.stint = Stint::new(time, now_ns, slice_ns);
        entry.current.enter_here(runlist, Some(Current { tsg, gfid, doing: Doing::Running }));
        self.tsgs[tsg].state.enter(tsg, TsgState::Current { again: false });
        self.act_here(Action::Start(runlist, tsg, seq));
        // A group that runs only to reach a boundary is asked for it at once.
        if let Some(stop) = self.vgpus[gfid].draining() {
            self.caused(runlist, SwitchCause::Stop);
            let look_ns = self.after(PREEMPT_DEADLINE_NS);
            self.preempt(runlist, stop.wanted(), look_ns, Why::Stop);
        }
    }

    /// The group of a vGPU that has waited longest.
    #[inline(always)]
    fn pick(&mut self, runlist: RunlistId, gfid: Gfid) -> Option<TsgId> {
        let tsg = self.vgpus[gfid].ready[runlist].pop(&mut self.tsgs);
        if self.vgpus[gfid].ready[runlist].is_empty() {
            self.runlists[runlist].ready &= !bit(gfid);
        }
        let tsg = tsg?;
        self.tsgs[tsg].used = true;
        Some(tsg)
    }

    /// An answer of a runlist. One whose number answers nothing is counted and dropped.
    pub(crate) fn runlist_event(&mut self, runlist: RunlistId, event: RunlistEvent) {
        let entry = &self.runlists[runlist];
        let Some(Current { tsg, doing, .. }) = *entry.current else { return self.stale() };
        match (event, doing) {
            // A reset's own answer ends it.
            (RunlistEvent::Idle { seq }, Doing::Resetting { .. }) if seq == entry.run_seq => {}
            (
                RunlistEvent::Idle { seq },
                Doing::Running | Doing::Preempting { .. } | Doing::Probing { .. },
            ) if seq == entry.run_seq => {
                self.left(runlist, None, Some(SwitchCause::Idle));
            }
            (
                RunlistEvent::Preempted { seq },
                Doing::Preempting { mode, .. } | Doing::Probing { mode, .. },
            ) if seq == entry.preempt_seq => {
                self.left(runlist, Some(mode), None);
            }
            // Its slice was over, of which the device took care.
            (RunlistEvent::Preempted { seq }, Doing::Running)
                if seq == entry.preempt_seq && entry.stint.wanted =>
            {
                let (mode, _) = self.mildest(tsg);
                let stint = &mut self.runlists[runlist].stint;
                stint.asked_ns = stint.slice_end_ns;
                self.left(runlist, Some(mode), None);
            }
            (RunlistEvent::Reset { seq }, Doing::Resetting { .. }) if seq == entry.reset_seq => {
                self.left(runlist, Some(PreemptMode::Instruction), Some(SwitchCause::Reset));
            }
            // One to a preempt request may come late, after a reset was asked for.
            (
                RunlistEvent::Idle { .. }
                | RunlistEvent::Preempted { .. }
                | RunlistEvent::Reset { .. },
                _,
            ) => self.stale(),
        }
    }

    fn stale(&mut self) {
        self.counters.stale_acks = self.counters.stale_acks.wrapping_add(1);
    }

    /// The engine is empty. `at`: the boundary its group left at; `None`: its work is done.
    /// `cause`: why it left, if not for what it was asked for.
    ///
    /// What is called from here to the next start is inlined, since calls would be a third of it.
    #[inline(never)]
    fn left(&mut self, runlist: RunlistId, at: Option<PreemptMode>, cause: Option<SwitchCause>) {
        let Some(current) = *self.runlists[runlist].current else {
            return;
        };
        let stint = self.runlists[runlist].stint;
        self.runlists[runlist].current.enter_here(runlist, None);
        self.charge(runlist, current.gfid, &stint);
        if cause.is_none() && stint.cause == SwitchCause::Hint && stint.time == Time::Own {
            self.charge_ahead(runlist, current.gfid, &stint);
        }
        let again = *self.tsgs[current.tsg].state == TsgState::Current { again: true };
        self.tsgs[current.tsg].left_at = at;
        self.tsgs[current.tsg].state.enter(current.tsg, TsgState::Idle);
        if at.is_some() || again {
            self.enqueue_here(current.tsg);
        }
        self.check_drained(current.gfid);
        if self.vgpus[current.gfid].has_steps() {
            self.wake(current.gfid);
        }
        let cause = cause.unwrap_or(stint.cause);
        let Current { tsg, gfid, .. } = current;
        let debt_ns = self.vgpus[gfid].accounts[runlist].debt_ns();
        let Stint { since_ns, slice_end_ns, asked_ns, .. } = stint;
        self.runlists[runlist].gone = Gone {
            tsg,
            gfid: Some(gfid),
            since_ns,
            slice_end_ns,
            asked_ns,
            at_ns: self.now_ns,
            mode: at,
            cause,
            debt_ns,
        };
        // First the next group, then what is told of this one.
        self.refresh();
        self.schedule(runlist);
        self.act_here(Action::Record(runlist));
    }

    /// What is told of the group that has left an engine last.
    pub fn switch(&self, runlist: RunlistId) -> Option<Switch> {
        let gone = &self.runlists[runlist].gone;
        let Gone { tsg, gfid, since_ns, slice_end_ns, asked_ns, at_ns, mode, cause, debt_ns } =
            *gone;
        let gfid = gfid?;
        let until_ns = asked_ns.min(at_ns);
        let narrow = |ns: u64| u32::try_from(ns).unwrap_or(u32::MAX);
        Some(Switch {
            at_ns,
            runlist,
            gfid,
            tsg,
            cause,
            mode: mode.filter(|_| cause != SwitchCause::Reset),
            run_ns: narrow(until_ns.saturating_sub(since_ns)),
            slice_ns: narrow(slice_end_ns.saturating_sub(since_ns)),
            preempt_ns: narrow(at_ns.saturating_sub(until_ns)),
            debt_ns,
        })
    }

    /// What an engine that did not answer holds: nothing, then the acknowledge was lost;
    /// something, then it is reset.
    pub(crate) fn probed(&mut self, runlist: RunlistId, state: RunlistState) {
        let deadline_ns = self.after(PREEMPT_DEADLINE_NS);
        let Some(current) = *self.runlists[runlist].current else { return };
        let Doing::Probing { mode, why } = current.doing else { return };
        match state {
            RunlistState::Empty => {
                self.counters.lost_acks = self.counters.lost_acks.wrapping_add(1);
                self.left(runlist, Some(mode), None);
            }
            RunlistState::Resident(_) if why == Why::Stop => {
                let doing = Doing::Preempting { mode, why };
                self.runlists[runlist].ask(runlist, doing, deadline_ns);
            }
            RunlistState::Resident(_) => self.reset_engine(runlist, 1),
        }
    }

    pub(crate) fn reset_engine(&mut self, runlist: RunlistId, tries: u8) {
        self.counters.resets = self.counters.resets.wrapping_add(1);
        let deadline_ns = self.after(RESET_DEADLINE_NS);
        let entry = &mut self.runlists[runlist];
        let Some(Current { gfid, .. }) = *entry.current else { return };
        entry.reset_seq = entry.reset_seq.wrapping_add(1);
        let seq = entry.reset_seq;
        entry.ask(runlist, Doing::Resetting { tries }, deadline_ns);
        self.act(Action::Reset(runlist, seq));
        if tries == 1 {
            self.count(gfid, Abuse::Resets, 1, None);
        }
    }

    /// An engine that cannot be emptied is out of service; its group's channels have failed.
    /// The group stays on it as far as anyone knows, so that its vGPU never counts as still.
    pub(crate) fn lose_engine(&mut self, runlist: RunlistId) {
        let entry = &mut self.runlists[runlist];
        entry.lost = true;
        let Some(current) = *entry.current else { return };
        let tsg = current.tsg;
        entry.deadline_ns = u64::MAX;
        trace!(error, "{}: out of service", runlist);
        for raw in 0..godwit_types::CHANNEL_COUNT {
            let Some(id) = ChannelId::new(raw) else { break };
            if self.channels[id].tsg == tsg {
                self.channel_fault(id, ChannelFault::EngineReset);
            }
        }
        self.tell(Event::EngineLost(runlist));
    }

    /// Asks the engines for what they run of a vGPU that is being stopped.
    pub(crate) fn preempt_vgpu(&mut self, gfid: Gfid) {
        let Some(stop) = self.vgpus[gfid].draining() else {
            return;
        };
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            let Some(current) = *self.runlists[runlist].current else {
                continue;
            };
            // One that is being taken off already will be sorted when it has left.
            if current.gfid != gfid || current.doing != Doing::Running {
                continue;
            }
            let (deadline_ns, why) = match stop.mode {
                StopMode::Pinned(_) => (self.after(PREEMPT_DEADLINE_NS), Why::Stop),
                StopMode::Escalate => (self.after(ESCALATE_NS), Why::Escalate),
            };
            self.caused(runlist, SwitchCause::Stop);
            self.preempt(runlist, stop.first_mode(), deadline_ns, why);
        }
    }

    /// Takes back what a refused stop asked of the engines: the group is taken off between
    /// two instructions and queued again, since an engine that waits for a boundary starts
    /// nothing new. That is the scheduler's own doing, so an engine that hangs is recovered
    /// as at the end of a slice.
    pub(crate) fn cancel_preempts(&mut self, gfid: Gfid) {
        for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
            if let Some(current) = *self.runlists[runlist].current
                && current.gfid == gfid
                && matches!(current.doing, Doing::Preempting { why: Why::Stop, .. })
            {
                self.caused(runlist, SwitchCause::Stop);
                let deadline_ns = self.after(PREEMPT_DEADLINE_NS);
                self.preempt(runlist, PreemptMode::Instruction, deadline_ns, Why::Slice);
            }
        }
    }
}
