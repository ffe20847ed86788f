//! What must hold whatever happens.

use crate::report::{MoveReport, NeighbourReport, Place};
use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_sim_gpu::Region;
use memchr::memmem::Finder;

/// Shortest window in which a neighbour's progress is measured: some turns of every vGPU.
const WINDOW_NS_MIN: u64 = 40_000_000;
/// Problems that are kept; the first ones tell most.
const PROBLEMS_MAX: usize = 32;

impl World {
    pub(crate) fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(format!("at {} ns: {what}", self.now_ns));
        }
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
        let (transfer, ended_ns) = (self.reports.len(), self.now_ns);
        let window_ns = (ended_ns - began_ns).max(WINDOW_NS_MIN);
        let on = |place: Option<Place>, host| place.is_some_and(|place| place.host == host);
        for id in (0..self.vgpus.len()).map(VgpuId) {
            let Home::Host(host, _) = self.vgpus[id.0].home else { continue };
            if id == report.vgpu {
                continue;
            }
            // Where the vGPU leaves, its neighbours have more afterwards; where it arrives,
            // they have less: the window holds the move and what is on its other side.
            let from_ns = if on(report.old, host) {
                Some(began_ns)
            } else if on(report.new, host) {
                ended_ns.checked_sub(window_ns)
            } else {
                None
            };
            if let Some(from_ns) = from_ns {
                self.windows.push(Window { vgpu: id, transfer, from_ns, window_ns });
            }
        }
        self.reports.push(report);
    }

    /// What neighbours attained in a window that holds a move, and in one as long just before
    /// it; only those that had work throughout.
    pub fn neighbour_reports(&self) -> Vec<NeighbourReport> {
        let report = |window: &Window| {
            let Window { vgpu, transfer, from_ns, window_ns } = *window;
            let samples = &self.vgpus[vgpu.0].samples;
            let before = samples.rate(from_ns.checked_sub(window_ns)?, from_ns)?;
            let during = samples.rate(from_ns, from_ns + window_ns)?;
            Some(NeighbourReport { vgpu, transfer, before, during })
        };
        self.windows.iter().filter_map(report).collect()
    }
}

/// A time in which a neighbour's progress is of interest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    vgpu: VgpuId,
    transfer: usize,
    from_ns: u64,
    window_ns: u64,
}
