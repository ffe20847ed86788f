//! Only who is guilty pays: an engine is reset for work that did not obey a preempt request, and
//! no other channel loses anything by it.

use crate::world::{JobId, World};
use godwit_guest::JobState;
use godwit_sim_gpu::Stay;
use godwit_types::{ChannelFault, Gfid};

/// What work has to let go of an engine, if its group has no grace period.
const DEADLINE_NS: u64 = 1_000_000;
/// It counts from the firmware's decision, which the device hears of some instructions later.
const DECISION_NS: u64 = 10_000;

impl World {
    /// Takes note of channels of a host that did not let go of an engine when they were asked to.
    pub(crate) fn note_unwilling(&mut self, at: usize) {
        let node = &mut self.hosts[at];
        let fresh = node.host.card_mut().gpu_mut().take_unwilling();
        node.unwilling.extend(fresh);
        if node.unwilling.is_empty() {
            return;
        }
        let claims = self.claims();
        let vgpu = |gfid: Gfid| {
            let claim = claims.iter().find(|claim| (claim.at.0.0, claim.at.1) == (at, gfid));
            claim.map(|claim| claim.vgpu)
        };
        let Self { hosts, vgpus, .. } = self;
        // A place that is nobody's now will be known to be somebody's soon.
        hosts[at].unwilling.retain(|(gfid, channel)| match vgpu(*gfid) {
            Some(vgpu) => {
                vgpus[vgpu.0].unwilling.insert(*channel);
                false
            }
            None => true,
        });
    }

    /// An engine is reset when work has had its time to let go, and no sooner.
    pub(crate) fn check_resets(&mut self, at: usize, stays: &[Stay]) {
        let node = &self.hosts[at];
        // A firmware that takes over knows nothing of what the one before has asked.
        if node.turns.firmware != node.firmware() {
            return;
        }
        let reset_ns = self.config.costs.engine_reset_ns;
        let had_ns = |stay: &Stay| stay.empty_ns.checked_sub(reset_ns)?.checked_sub(stay.asked_ns?);
        let early = |stay: &&Stay| {
            stay.reset && had_ns(stay).is_none_or(|ns| ns < DEADLINE_NS - DECISION_NS)
        };
        let took_ns = |stay: &Stay| Some(stay.empty_ns.saturating_sub(stay.asked_ns?));
        let slowest_ns = stays.iter().filter_map(took_ns).max().unwrap_or(0);
        let what = stays.iter().find(early).map(|stay| {
            let (name, gfid, had_ns) = (&node.name, stay.gfid, had_ns(stay));
            format!("{name}: {:?} was reset too early for {gfid:?}: {had_ns:?} ns", stay.runlist)
        });
        if let Some(what) = what {
            self.problem(what);
        }
        let turns = &mut self.hosts[at].turns;
        turns.slowest_ns = turns.slowest_ns.max(slowest_ns);
    }

    /// A job has ended: if an engine reset has ended it, that was its own doing.
    pub(crate) fn check_guilt(&mut self, id: JobId) {
        let job = &self.jobs[id.0];
        let reset = job.state() == JobState::Faulted(ChannelFault::EngineReset);
        let unwilling = &self.vgpus[job.vgpu.0].unwilling;
        let guilty = job.channel().is_some_and(|channel| unwilling.contains(&channel.id()));
        if reset && !guilty {
            self.problem(format!("job {}: lost to a reset for which others are guilty", job.name));
        }
    }
}
