//! Actions that wait to be performed, in little room: what a vGPU's own tables say is looked up
//! when the action is taken.

use crate::engine::Engine;
use crate::message::Action;
use godwit_types::{
    Aperture, BarMode, COPY_RING_ENTRIES, ChannelId, CopyRequest, Gfid, GuestChannelId,
    PreemptMode, RunlistId, TsgId,
};
use heapless::Deque;
use static_assertions::const_assert;

/// Actions that may wait.
pub(crate) const ACTIONS_MAX: usize = 64;

/// What becomes of a vGPU's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Direct,
    Blocked,
    /// Its part of the BAR is free for others.
    Gone,
}

/// An action, without what can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    Retain,
    Start(RunlistId, TsgId, u32),
    Preempt(RunlistId, PreemptMode, u32),
    Reset(RunlistId, u32),
    Probe(RunlistId),
    /// `u64::MAX`: none.
    Alarm(u64),
    Bind(ChannelId, Gfid, GuestChannelId),
    Unbind(ChannelId),
    SetPartition(Gfid),
    ClearPartition(Gfid),
    BindAperture(Gfid, Window),
    /// Whether vectors may be raised.
    SetRoute(Gfid, bool),
    Inject(Gfid, u32),
    ReadVectors(Gfid),
    /// The group that has left this engine last.
    Record(RunlistId),
    /// The oldest of the copies.
    Copy,
}

const_assert!(size_of::<Queued>() <= 16);

/// See the module.
#[derive(Debug)]
pub(crate) struct Actions {
    queue: Deque<Queued, ACTIONS_MAX>,
    copies: Deque<CopyRequest, { COPY_RING_ENTRIES as usize }>,
}

impl Actions {
    pub(crate) const NONE: Self =
        Self { queue: Deque::new(), copies: Deque::new() };

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn room(&self) -> usize {
        ACTIONS_MAX.saturating_sub(self.queue.len())
    }
}

impl Engine {
    pub(crate) fn act(&mut self, action: Queued) {
        if self.actions.queue.push_back(action).is_err() {
            self.overrun();
        }
    }

    pub(crate) fn act_copy(&mut self, request: CopyRequest) {
        match self.actions.copies.push_back(request) {
            Ok(()) => self.act(Queued::Copy),
            Err(_) => self.overrun(),
        }
    }

    #[cold]
    fn overrun(&mut self) {
        self.counters.overruns = self.counters.overruns.wrapping_add(1);
    }

    /// The next action; perform them in order.
    #[must_use = "an action that is not performed is lost work"]
    #[inline]
    pub fn poll_action(&mut self) -> Option<Action> {
        Some(match self.actions.queue.pop_front()? {
            Queued::Retain => Action::Retain,
            Queued::Start(runlist, tsg, seq) => Action::Start(runlist, tsg, seq),
            Queued::Preempt(runlist, mode, seq) => Action::Preempt(runlist, mode, seq),
            Queued::Reset(runlist, seq) => Action::Reset(runlist, seq),
            Queued::Probe(runlist) => Action::Probe(runlist),
            Queued::Alarm(at_ns) => Action::Alarm((at_ns != u64::MAX).then_some(at_ns)),
            Queued::Record(runlist) => Action::Record(self.switch(runlist)?),
            Queued::Copy => Action::Copy(self.actions.copies.pop_front()?),
            other => return self.looked_up(other),
        })
    }

    #[inline(never)]
    fn looked_up(&self, action: Queued) -> Option<Action> {
        Some(match action {
            Queued::Bind(id, gfid, guest) => Action::Bind(id, self.config(gfid, guest)?),
            Queued::Unbind(id) => Action::Unbind(id),
            Queued::SetPartition(gfid) => {
                let vgpu = &self.vgpus[gfid];
                Action::SetPartition(gfid, vgpu.placement, vgpu.profile)
            }
            Queued::ClearPartition(gfid) => Action::ClearPartition(gfid),
            Queued::BindAperture(gfid, window) => {
                Action::BindAperture(gfid, self.aperture(gfid, window))
            }
            Queued::SetRoute(gfid, open) => Action::SetRoute(gfid, self.route(gfid, open)),
            Queued::Inject(gfid, vectors) => Action::Inject(gfid, vectors),
            Queued::ReadVectors(gfid) => Action::ReadVectors(gfid),
            Queued::Retain
            | Queued::Start(..)
            | Queued::Preempt(..)
            | Queued::Reset(..)
            | Queued::Probe(_)
            | Queued::Alarm(_)
            | Queued::Record(_)
            | Queued::Copy => return None,
        })
    }

    fn aperture(&self, gfid: Gfid, window: Window) -> Aperture {
        let vgpu = &self.vgpus[gfid];
        let (mode, byte_count) = match window {
            Window::Direct => (BarMode::Direct, vgpu.profile.bar_bytes),
            Window::Blocked => (BarMode::Blocked, vgpu.profile.bar_bytes),
            Window::Gone => (BarMode::Blocked, 0),
        };
        Aperture { bar_base: vgpu.placement.bar_base, fb_offset: 0, byte_count, mode }
    }
}
