//! Who runs next, for how long, and what happens to an engine that does not let go.

use crate::deadline::{ESCALATE_NS, PREEMPT_DEADLINE_NS, RESET_DEADLINE_NS};
use crate::engine::{Engine, bit};
use crate::message::{Action, Event, StopMode};
use crate::runlist::{Current, Doing, Why};
use crate::trace::trace;
use crate::tsg::TsgState;
use crate::vgpu::Phase;
use godwit_types::{
    ChannelFault, ChannelId, Gfid, Index, PreemptMode, RunlistEvent, RunlistId, RunlistState,
    SLICE_FEW_VGPUS, SLICE_NS_FEW, SLICE_NS_MANY, TsgId,
};

impl Engine {
    /// Queues a group that has work, or parks it while its vGPU stands still.
    pub(crate) fn enqueue(&mut self, tsg: TsgId) {
        let group = self.tsgs[tsg];
        let Some(gfid) = group.gfid else { return };
        let vgpu = &mut self.vgpus[gfid];
        // A group that already stands where a stop wants it is not run for it.
        let may_run = match vgpu.draining() {
            Some(stop) => !group.stands_at(stop.wanted()),
            None => vgpu.may_run(),
        };
        if may_run {
            vgpu.ready[group.runlist].push(&mut self.tsgs, tsg);
            self.runlists[group.runlist].ready |= bit(gfid);
            self.tsgs[tsg].state.enter(tsg, TsgState::Queued);
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
        let entry = &mut self.runlists[runlist];
        if entry.current.is_none() {
            return;
        }
        entry.preempt_seq = entry.preempt_seq.wrapping_add(1);
        let seq = entry.preempt_seq;
        entry.ask(runlist, Doing::Preempting { seq, mode, deadline_ns, why });
        self.act(Action::Preempt(runlist, mode, seq));
    }

    /// Puts the next group on an engine that is empty.
    pub(crate) fn schedule(&mut self, runlist: RunlistId) {
        let entry = &self.runlists[runlist];
        if entry.current.is_some() || entry.lost || entry.ready == 0 || !self.has_action_room() {
            return;
        }
        let Some((gfid, tsg)) = self.pick(runlist) else {
            return;
        };
        let slice_end_ns = self.after(self.slice_ns());
        let entry = &mut self.runlists[runlist];
        entry.run_seq = entry.run_seq.wrapping_add(1);
        let seq = entry.run_seq;
        let current = Current { tsg, gfid, slice_end_ns, doing: Doing::Running };
        entry.current.enter(runlist, Some(current));
        self.tsgs[tsg].state.enter(tsg, TsgState::Current { again: false });
        self.act(Action::Start(runlist, tsg, seq));
        // A group that runs only to reach a boundary is asked for it at once.
        if let Some(stop) = self.vgpus[gfid].draining() {
            let look_ns = self.after(PREEMPT_DEADLINE_NS);
            self.preempt(runlist, stop.wanted(), look_ns, Why::Stop);
        }
    }

    fn pick(&mut self, runlist: RunlistId) -> Option<(Gfid, TsgId)> {
        let index = self.runlists[runlist].next_ready()?;
        let gfid = Gfid::from_index(index as usize)?;
        let tsg = self.vgpus[gfid].ready[runlist].pop(&mut self.tsgs);
        let entry = &mut self.runlists[runlist];
        if self.vgpus[gfid].ready[runlist].is_empty() {
            entry.ready &= !bit(gfid);
        }
        entry.last = index as u8;
        let tsg = tsg?;
        self.tsgs[tsg].used = true;
        Some((gfid, tsg))
    }

    fn slice_ns(&self) -> u64 {
        let present = self.vgpus.iter().filter(|(_, vgpu)| *vgpu.phase != Phase::Absent).count();
        if present as u32 <= SLICE_FEW_VGPUS { SLICE_NS_FEW } else { SLICE_NS_MANY }
    }

    /// An answer of a runlist. One whose number answers nothing is counted and dropped.
    pub(crate) fn runlist_event(&mut self, runlist: RunlistId, event: RunlistEvent) {
        let entry = &self.runlists[runlist];
        let current = *entry.current;
        let run_seq = entry.run_seq;
        match (event, current) {
            (RunlistEvent::Idle { seq }, Some(current)) if seq == run_seq => {
                match current.doing {
                    // The reset's own answer ends it.
                    Doing::Resetting { .. } => {}
                    Doing::Running | Doing::Preempting { .. } | Doing::Probing { .. } => {
                        self.left(runlist, None);
                    }
                }
            }
            (RunlistEvent::Preempted { seq }, Some(Current { doing, .. })) => match doing {
                Doing::Preempting { seq: asked, mode, .. }
                | Doing::Probing { seq: asked, mode, .. }
                    if seq == asked =>
                {
                    self.left(runlist, Some(mode));
                }
                // Late, after the reset was asked for: the reset's answer ends it.
                _ => self.stale(),
            },
            (
                RunlistEvent::Reset { seq },
                Some(Current { doing: Doing::Resetting { seq: asked, .. }, .. }),
            ) if seq == asked => {
                self.left(runlist, Some(PreemptMode::Instruction));
            }
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
    fn left(&mut self, runlist: RunlistId, at: Option<PreemptMode>) {
        let Some(current) = *self.runlists[runlist].current else {
            return;
        };
        self.runlists[runlist].current.enter(runlist, None);
        let again = *self.tsgs[current.tsg].state == TsgState::Current { again: true };
        self.tsgs[current.tsg].left_at = at;
        self.tsgs[current.tsg].state.enter(current.tsg, TsgState::Idle);
        if at.is_some() || again {
            self.enqueue(current.tsg);
        }
        self.wake(current.gfid);
        self.check_drained(current.gfid);
    }

    /// What an engine that did not answer holds: nothing, then the acknowledge was lost;
    /// something, then it is reset.
    pub(crate) fn probed(&mut self, runlist: RunlistId, state: RunlistState) {
        let deadline_ns = self.after(PREEMPT_DEADLINE_NS);
        let Some(current) = *self.runlists[runlist].current else { return };
        let Doing::Probing { seq, mode, why } = current.doing else { return };
        match state {
            RunlistState::Empty => {
                self.counters.lost_acks = self.counters.lost_acks.wrapping_add(1);
                self.left(runlist, Some(mode));
            }
            RunlistState::Resident(_) if why == Why::Stop => {
                let doing = Doing::Preempting { seq, mode, deadline_ns, why };
                self.runlists[runlist].ask(runlist, doing);
            }
            RunlistState::Resident(_) => self.reset_engine(runlist, 1),
        }
    }

    pub(crate) fn reset_engine(&mut self, runlist: RunlistId, tries: u8) {
        self.counters.resets = self.counters.resets.wrapping_add(1);
        let deadline_ns = self.after(RESET_DEADLINE_NS);
        let entry = &mut self.runlists[runlist];
        if entry.current.is_none() {
            return;
        }
        entry.reset_seq = entry.reset_seq.wrapping_add(1);
        let seq = entry.reset_seq;
        entry.ask(runlist, Doing::Resetting { seq, deadline_ns, tries });
        self.act(Action::Reset(runlist, seq));
    }

    /// An engine that cannot be emptied is out of service; its group's channels have failed.
    /// The group stays on it as far as anyone knows, so that its vGPU never counts as still.
    pub(crate) fn lose_engine(&mut self, runlist: RunlistId) {
        let entry = &mut self.runlists[runlist];
        entry.lost = true;
        let Some(current) = entry.current.facts() else { return };
        if let Doing::Resetting { deadline_ns, .. } = &mut current.doing {
            *deadline_ns = u64::MAX;
        }
        let tsg = current.tsg;
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
                let deadline_ns = self.after(PREEMPT_DEADLINE_NS);
                self.preempt(runlist, PreemptMode::Instruction, deadline_ns, Why::Slice);
            }
        }
    }

    /// Whether somebody waits for this engine.
    pub(crate) fn contended(&self, runlist: RunlistId) -> bool {
        self.runlists[runlist].ready != 0
    }
}
