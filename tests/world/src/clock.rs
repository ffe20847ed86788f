//! Guests' clocks: they go on exactly while their vGPUs run, wherever that is.

use crate::bars::HostBars;
use crate::host::HostNode;
use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_types::Gfid;
use std::ops::Range;

/// How far a stop or a start may be from the step of the world in which it is seen: a firmware
/// takes some turns from the one to the other.
const SLACK_NS: u64 = 20_000;

/// One guest's clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// What it showed at the last look, and where and when on that card; none before the first.
    look: Option<Look>,
    /// For how long its vGPU has run since, at least and at most.
    ran_ns: Range<u64>,
    /// Where it ran at the end of the last step, if it did.
    runs: Option<HostId>,
    /// It has run since the last look without a stop.
    steady: bool,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    shown_ns: u64,
    at: (HostId, Gfid),
    device_ns: u64,
}

impl Clock {
    /// A step has passed, in which each host's time has gone on by so much; `runs`: where it
    /// runs at its end.
    fn pass(&mut self, steps_ns: &[u64], runs: Option<HostId>) {
        let whole = self.runs.is_some() && self.runs == runs;
        let step_ns = runs.or(self.runs).map_or(0, |host| steps_ns[host.0]);
        self.ran_ns.start += if whole { step_ns } else { 0 };
        self.ran_ns.end += step_ns;
        self.steady &= whole;
        self.runs = runs;
    }

    /// What the clock may show now.
    fn allowed(&self, at: (HostId, Gfid), device_ns: u64) -> Range<u64> {
        let Some(last) = self.look else { return 0..u64::MAX };
        if self.steady && last.at == at {
            let now_ns = last.shown_ns + (device_ns - last.device_ns);
            return now_ns..now_ns + 1;
        }
        let least = last.shown_ns + self.ran_ns.start.saturating_sub(SLACK_NS);
        least..last.shown_ns + self.ran_ns.end + SLACK_NS
    }

    fn looked(&mut self, look: Look) {
        *self = Self { look: Some(look), ran_ns: 0..0, runs: self.runs, steady: true };
    }

    /// It may have stood still for less than a step, which no step tells.
    pub(crate) fn may_have_stood(&mut self) {
        self.steady = false;
    }

    /// Makes the clock wrong, to see that it is noticed.
    #[cfg(test)]
    pub(crate) fn disturb(&mut self, by_ns: i64) {
        let look = self.look.as_mut().expect("it was looked at");
        look.shown_ns = look.shown_ns.strict_add_signed(by_ns);
    }
}

impl World {
    /// Counts a step for every vGPU that ran in it.
    pub(crate) fn note_running(&mut self) {
        let steps_ns: Vec<u64> = self.hosts.iter_mut().map(HostNode::step_ns).collect();
        let (running, claims) = (self.running(), self.claims());
        let runs = |id| claims.iter().find(|it| it.vgpu == id && running.contains(&it.at));
        let runs = (0..self.vgpus.len()).map(|id| runs(VgpuId(id)).map(|claim| claim.at.0));
        let runs: Vec<Option<HostId>> = runs.collect();
        for (node, runs) in self.vgpus.iter_mut().zip(runs) {
            node.clock.pass(&steps_ns, runs);
        }
    }

    /// The guest's clock has gone on for as long as its vGPU has run since it looked last: it
    /// never goes back, does not leap, and stands still while the vGPU does.
    pub(crate) fn check_guest_time(&mut self, id: VgpuId) {
        let node = &self.vgpus[id.0];
        let Home::Host(host, gfid) = node.home else { return };
        let (device, at) = (node.device, (host, gfid));
        let shim = &mut self.hosts[host.0].host;
        let device_ns = shim.now_ns();
        let shown_ns = match device.guest_time_ns(&mut HostBars { host: shim, gfid }) {
            Ok(shown_ns) => shown_ns,
            Err(error) => return self.problem(format!("a clock cannot be read: {error}")),
        };
        let allowed = self.vgpus[id.0].clock.allowed(at, device_ns);
        if !allowed.contains(&shown_ns) {
            let name = self.vgpus[id.0].name.clone();
            self.problem(format!("{name}'s clock shows {shown_ns}, which is not in {allowed:?}"));
        }
        self.vgpus[id.0].clock.looked(Look { shown_ns, at, device_ns });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: HostId = HostId(0);
    const THERE: HostId = HostId(1);

    fn clock() -> (Clock, Gfid) {
        let gfid = Gfid::new(1).unwrap();
        let mut clock = Clock { runs: Some(HERE), ..Clock::default() };
        clock.looked(Look { shown_ns: 1_000_000, at: (HERE, gfid), device_ns: 50_000_000 });
        (clock, gfid)
    }

    #[test]
    fn a_clock_that_never_stood_still_is_known_to_the_nanosecond() {
        let (mut clock, gfid) = clock();
        clock.pass(&[100_000, 7], Some(HERE));
        assert_eq!(clock.allowed((HERE, gfid), 50_100_007), 1_100_007..1_100_008);
    }

    #[test]
    fn a_clock_stands_still_from_stop_to_start() {
        let (mut clock, gfid) = clock();
        clock.pass(&[10_000, 9], Some(HERE)); // ran
        clock.pass(&[10_000, 9], None); // stopped somewhere in here
        clock.pass(&[900_000_000; 2], None);
        clock.pass(&[9, 10_000], Some(THERE)); // started somewhere in here
        clock.pass(&[9, 30_000], Some(THERE));
        let allowed = clock.allowed((THERE, gfid), 7);
        assert_eq!(allowed, 1_000_000 + 40_000 - SLACK_NS..1_000_000 + 60_000 + SLACK_NS);
    }
}
