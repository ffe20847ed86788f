//! A host in the world.

use crate::turns::Turns;
use godwit_shim::{Host, Journal, Site};
use godwit_types::{Engines, Gfid, GuestChannelId, Scheduling};
use std::collections::BTreeMap;

/// A host to be powered on. Sizes are bytes and multiples of 4 KiB.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// For reports.
    pub name: String,
    /// Framebuffer for partitions.
    pub fb_bytes: u64,
    /// BAR for apertures.
    pub bar_bytes: u64,
    /// Memory for context buffers.
    pub context_bytes: u64,
    /// What its timer shows at time 0 of the world.
    pub start_ns: u64,
    /// Version of the contexts that its device writes.
    pub context_layout: u32,
    /// Its GPU's engines for guests.
    pub engines: Engines,
    /// How its vGPUs take turns.
    pub scheduling: Scheduling,
}

/// A host.
#[derive(Debug)]
pub(crate) struct HostNode {
    pub(crate) name: String,
    pub(crate) host: Host,
    pub(crate) journal: Journal,
    pub(crate) restarts: u32,
    /// How its vGPUs take turns, as its firmware was told.
    pub(crate) scheduling: Scheduling,
    pub(crate) fb_bytes: u64,
    pub(crate) turns: Turns,
    /// Channels that did not obey a preempt request, and of which it is not known whose they are.
    pub(crate) unwilling: Vec<(Gfid, GuestChannelId)>,
    start_ns: u64,
    /// Time of the world that it had reached at the end of the last step.
    stepped_ns: u64,
    /// For each vGPU when it was looked at last: the work that its card had done for it, and
    /// whether its firmware said that it runs.
    pub(crate) work: BTreeMap<Gfid, (u64, bool)>,
}

impl HostNode {
    pub(crate) fn new(spec: HostSpec, host: Host) -> Self {
        let (name, start_ns, scheduling) = (spec.name, spec.start_ns, spec.scheduling);
        Self {
            name,
            host,
            journal: Journal::in_memory(),
            restarts: 0,
            scheduling,
            fb_bytes: spec.fb_bytes,
            turns: Turns::default(),
            unwilling: Vec::new(),
            start_ns,
            stepped_ns: 0,
            work: BTreeMap::new(),
        }
    }

    /// What a side of a move works on, at this time of the world.
    pub(crate) fn site(&mut self, now_ns: u64) -> Site<'_> {
        Site { host: &mut self.host, journal: &mut self.journal, now_ns }
    }

    /// Losses and restarts of its firmware.
    pub(crate) fn firmware(&self) -> (usize, u32) {
        (self.host.card().losses().len(), self.restarts)
    }

    /// Device time of a time of the world.
    pub(crate) fn device_ns(&self, world_ns: u64) -> u64 {
        self.start_ns + world_ns
    }

    /// Time of the world of a device time.
    pub(crate) fn world_ns(&self, device_ns: u64) -> u64 {
        device_ns.saturating_sub(self.start_ns)
    }

    /// Where this host is in the time of the world.
    pub(crate) fn now_ns(&self) -> u64 {
        self.world_ns(self.host.now_ns())
    }

    /// How far its own time has gone since the last call: hosts run some turns of their firmware
    /// ahead of the world's clock.
    pub(crate) fn step_ns(&mut self) -> u64 {
        let now_ns = self.now_ns();
        now_ns - std::mem::replace(&mut self.stepped_ns, now_ns)
    }
}
