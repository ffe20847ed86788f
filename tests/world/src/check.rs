//! What must hold whatever happens.

use crate::report::{MoveReport, NeighbourReport};
use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_sim_gpu::Region;
use godwit_types::Gfid;
use memchr::memmem::Finder;

/// Shortest window before a move in which a neighbour's progress is measured.
const WINDOW_NS_MIN: u64 = 5_000_000;
/// Problems that are kept; the first ones tell most.
const PROBLEMS_MAX: usize = 32;

impl World {
    pub(crate) fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(format!("at {} ns: {what}", self.now_ns));
        }
    }

    /// Exactly one owner: no vGPU may run on two hosts, and one that is at home may run
    /// there and nowhere else.
    pub(crate) fn check_owners(&mut self) {
        for at in 0..self.moves.len() {
            let one = &self.moves[at];
            let Some((to, gfid)) = one.home() else { continue };
            let vgpu = one.vgpu;
            let there = self.runs(to, gfid);
            let here = match self.vgpus[vgpu.0].home {
                Home::Host(host, gfid) if host == one.from => self.runs(host, gfid),
                _ => false,
            };
            if there && (here || !one.is_committed()) {
                let name = self.vgpus[vgpu.0].name.clone();
                self.problem(format!("{name} runs at its destination, and is the source's"));
            }
        }
    }

    fn runs(&self, host: HostId, gfid: Gfid) -> bool {
        self.hosts[host.0].host.card().pump().engine().is_running(gfid)
    }

    /// The guest's clock never goes back, wherever the guest is.
    pub(crate) fn check_guest_time(&mut self, id: VgpuId) {
        let node = &self.vgpus[id.0];
        let Home::Host(host, gfid) = node.home else { return };
        let (device, before) = (node.device, node.guest_time_ns);
        let mut bars = crate::bars::HostBars { host: &mut self.hosts[host.0].host, gfid };
        match device.guest_time_ns(&mut bars) {
            Ok(now) if now >= before => self.vgpus[id.0].guest_time_ns = now,
            Ok(now) => {
                let name = self.vgpus[id.0].name.clone();
                self.problem(format!("{name}'s clock went back from {before} to {now}"));
            }
            Err(error) => self.problem(format!("a clock cannot be read: {error}")),
        }
    }

    /// No byte of one vGPU may lie where another could see it: looks through all memory of
    /// all hosts for the canaries of vGPUs that do not belong there. With transfers under
    /// way, staging may hold bytes of the vGPU that is transferred.
    pub fn check_leaks(&mut self) {
        let mut found = Vec::new();
        for at in 0..self.hosts.len() {
            for id in (0..self.vgpus.len()).map(VgpuId) {
                let finder = Finder::new(&self.vgpus[id.0].canary);
                let mut visit = |region: Region, offset: u64, bytes: &[u8]| {
                    if let Some(hit) = finder.find(bytes)
                        && !self.belongs(HostId(at), id, region)
                    {
                        let (host, vgpu) = (&self.hosts[at].name, &self.vgpus[id.0].name);
                        let place = offset + hit as u64;
                        found.push(format!("{host}: bytes of {vgpu} in {region:?} at {place:#x}"));
                    }
                };
                if let Err(error) = self.hosts[at].host.card().gpu().for_each_data(&mut visit) {
                    found.push(format!("{}: {error}", self.hosts[at].name));
                }
            }
        }
        for what in found {
            self.problem(what);
        }
    }

    /// Whether a vGPU's bytes may be in a place.
    fn belongs(&self, at: HostId, id: VgpuId, region: Region) -> bool {
        let home = matches!(region, Region::Partition(gfid)
            if self.vgpus[id.0].home == Home::Host(at, gfid));
        if home {
            return true;
        }
        let mut transfers = self
            .moves
            .iter()
            .filter(|one| one.vgpu == id)
            .flat_map(|one| [Some(one.from), one.home().map(|(host, _)| host)])
            .chain(self.suspends.iter().filter(|one| one.vgpu == id).map(|one| Some(one.host)))
            .chain(self.resumes.iter().filter(|one| one.vgpu == id).map(|one| Some(one.host)))
            .flatten();
        transfers.any(|host| host == at) && !matches!(region, Region::Context)
    }

    /// Ends the bookkeeping of a transfer: the vGPU is free for the next, and what its
    /// neighbours attained is noted.
    pub(crate) fn finish_transfer(&mut self, report: MoveReport, began_ns: u64) {
        self.vgpus[report.vgpu.0].in_transfer = false;
        let transfer = self.reports.len();
        let hosts: Vec<HostId> =
            [report.old, report.new].into_iter().flatten().map(|place| place.host).collect();
        let window_ns = (self.now_ns - began_ns).max(WINDOW_NS_MIN);
        for id in (0..self.vgpus.len()).map(VgpuId) {
            let node = &self.vgpus[id.0];
            let Home::Host(host, _) = node.home else { continue };
            if id == report.vgpu || !hosts.contains(&host) || !self.worked_through(id, began_ns) {
                continue;
            }
            let before = node.samples.rate(began_ns.saturating_sub(window_ns), began_ns);
            let during = node.samples.rate(began_ns, self.now_ns);
            if let (Some(before), Some(during)) = (before, during) {
                self.neighbours.push(NeighbourReport { vgpu: id, transfer, before, during });
            }
        }
        self.reports.push(report);
    }

    /// Whether a vGPU had work all the time, so that its progress is what it was given.
    fn worked_through(&self, id: VgpuId, _since_ns: u64) -> bool {
        self.has_work(id) && !self.vgpus[id.0].in_transfer
    }
}
