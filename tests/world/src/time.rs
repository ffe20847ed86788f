//! The clock: everything goes on in step.

use crate::events::Trigger;
use crate::vgpu::Home;
use crate::world::{VgpuId, World};
use godwit_sim_gpu::Stop;

/// Longest step. Hosts run apart within one step, which is no longer than a message takes to
/// get from one to another.
const STEP_NS: u64 = 10_000;
/// How often guests look at their jobs and progress is noted.
const GUEST_NS: u64 = 100_000;

impl World {
    /// Lets one step of time pass, and everything happen that falls into it.
    pub fn step(&mut self) {
        let messages = self.message_count();
        self.quiet = messages == self.messages_seen;
        self.messages_seen = messages;
        let until_ns = self.next_ns();
        let window_ns = until_ns - self.now_ns;
        self.set_watches();
        for at in 0..self.hosts.len() {
            self.run_host(at, until_ns);
        }
        let guests = until_ns / GUEST_NS != self.now_ns / GUEST_NS;
        self.now_ns = until_ns;
        self.connect_links();
        self.deliver();
        self.step_moves(window_ns);
        self.step_evacuations();
        self.step_suspends();
        self.trigger();
        self.note_running();
        if guests {
            // A host that was asked something is ahead, and so is what its guests find.
            (0..self.hosts.len()).for_each(|at| self.note_unwilling(at));
            self.step_guests();
            self.note_abuses();
            self.note_progress();
        }
        self.check_owners();
        if std::mem::take(&mut self.leaks_due) {
            self.check_leaks();
        }
    }

    /// Lets time pass until everything has settled, at most until `limit_ns`. Returns whether
    /// it has.
    pub fn run_until_settled(&mut self, limit_ns: u64) -> bool {
        while !self.is_settled() {
            if self.now_ns >= limit_ns {
                return false;
            }
            self.step();
        }
        true
    }

    /// The end of the next step: the next thing that is known to happen, within a step while
    /// transfers go on.
    fn next_ns(&self) -> u64 {
        let mut next = self.now_ns + GUEST_NS - self.now_ns % GUEST_NS;
        for node in &self.hosts {
            if let Some(at) = node.host.card().gpu().next_event_ns() {
                next = next.min(node.world_ns(at).max(self.now_ns + STEP_NS));
            }
        }
        for link in self.links.values() {
            next = next.min(link.next_ns().unwrap_or(u64::MAX).max(self.now_ns + 1));
        }
        next = next.min(self.next_trigger_ns().unwrap_or(u64::MAX).max(self.now_ns + 1));
        let goes_on = self.is_transferring() && !self.quiet;
        if goes_on { next.min(self.now_ns + STEP_NS) } else { next }
    }

    /// Messages so far on all mailboxes and links.
    fn message_count(&self) -> u64 {
        let mailboxes = self.hosts.iter().map(|node| node.host.message_count());
        mailboxes.chain(self.links.values().map(|link| link.messages)).sum()
    }

    fn run_host(&mut self, at: usize, until_ns: u64) {
        loop {
            let node = &mut self.hosts[at];
            if node.now_ns() >= until_ns {
                return;
            }
            let device_ns = node.device_ns(until_ns);
            let stop = node.host.run(device_ns);
            self.check_doorbells(at);
            self.note_unwilling(at);
            self.check_turns(at);
            if let Stop::Watch(gfid) = stop {
                let node = &mut self.hosts[at];
                node.host.card_mut().gpu_mut().watch(gfid, None);
                // The world's clock is where this host is: what was waited for happens now.
                self.now_ns = self.now_ns.max(self.hosts[at].now_ns().min(until_ns));
                self.trigger();
            }
        }
    }

    /// Has each device stop at the instruction that a trigger waits for.
    fn set_watches(&mut self) {
        for id in (0..self.vgpus.len()).map(VgpuId) {
            let Home::Host(host, gfid) = self.vgpus[id.0].home else { continue };
            let earlier = self.vgpus[id.0].earlier.instructions;
            let now = self.counts(id).instructions;
            let wanted = self.pending.iter().filter_map(|pending| match pending.trigger {
                Trigger::After { job, instructions } if self.jobs[job.0].vgpu == id => {
                    let began = now - self.jobs[job.0].instructions(self)?;
                    Some(began + instructions)
                }
                _ => None,
            });
            if let Some(total) = wanted.min() {
                let count = total.saturating_sub(earlier);
                self.hosts[host.0].host.card_mut().gpu_mut().watch(gfid, Some(count));
            }
        }
    }

    fn note_progress(&mut self) {
        for id in (0..self.vgpus.len()).map(VgpuId) {
            let counts = self.counts(id);
            let node = &self.vgpus[id.0];
            let at_home = matches!(node.home, Home::Host(..)) && !node.paused;
            let busy = at_home && !node.in_transfer && self.has_work(id);
            self.vgpus[id.0].samples.note(
                self.now_ns,
                counts.instructions,
                counts.copied_bytes,
                busy,
            );
        }
    }
}
