//! Actions that wait to be performed, and what is looked up for them.

use crate::engine::Engine;
use crate::message::{Action, Window};
use godwit_types::{
    Aperture, BarMode, COPY_RING_ENTRIES, CopyRequest, Gfid, Placement, Profile, Route,
};
use heapless::Deque;

/// Actions that may wait.
const ACTIONS_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Actions {
    queue: Deque<Action, ACTIONS_MAX>,
    copies: Deque<CopyRequest, { COPY_RING_ENTRIES as usize }>,
}

impl Actions {
    pub(crate) const NONE: Self = Self { queue: Deque::new(), copies: Deque::new() };

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn room(&self) -> usize {
        ACTIONS_MAX.saturating_sub(self.queue.len())
    }
}

impl Engine {
    pub(crate) fn act(&mut self, action: Action) {
        self.act_here(action);
    }

    /// The same, for the few places where a call costs too much.
    #[inline(always)]
    pub(crate) fn act_here(&mut self, action: Action) {
        if self.actions.queue.push_back(action).is_err() {
            self.overrun();
        }
    }

    pub(crate) fn act_copy(&mut self, request: CopyRequest) {
        match self.actions.copies.push_back(request) {
            Ok(()) => self.act(Action::Copy),
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
        self.actions.queue.pop_front()
    }

    /// The operation of the next [`Action::Copy`].
    #[must_use = "a copy that is not submitted is lost work"]
    pub fn poll_copy(&mut self) -> Option<CopyRequest> {
        self.actions.copies.pop_front()
    }

    /// Where a vGPU sits, and what it is.
    pub fn home(&self, gfid: Gfid) -> (Placement, Profile) {
        let vgpu = &self.vgpus[gfid];
        (vgpu.placement, vgpu.profile)
    }

    /// A vGPU's window.
    pub fn aperture(&self, gfid: Gfid, window: Window) -> Aperture {
        let vgpu = &self.vgpus[gfid];
        let (mode, byte_count) = match window {
            Window::Direct => (BarMode::Direct, vgpu.profile.bar_bytes),
            Window::Blocked => (BarMode::Blocked, vgpu.profile.bar_bytes),
            Window::Gone => (BarMode::Blocked, 0),
        };
        Aperture { bar_base: vgpu.placement.bar_base, fb_offset: 0, byte_count, mode }
    }

    /// A guest's view.
    pub fn route(&self, gfid: Gfid, interrupts_open: bool) -> Route {
        let vgpu = &self.vgpus[gfid];
        Route {
            channel_base: vgpu.placement.channel_base,
            channel_count: vgpu.profile.channel_count,
            time_offset_ns: vgpu.time_offset_ns,
            interrupts_open,
        }
    }
}
