//! What must hold whatever happens.

use crate::owners::Claim;
use crate::report::{MoveReport, NeighbourReport, Place};
use crate::vgpu::Home;
use crate::world::{VgpuId, World};
use godwit_shim::Host;
use godwit_sim_gpu::Region;
use godwit_types::Gfid;
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

    /// No byte of one vGPU may lie where another could see it: looks through all memory of
    /// all hosts for the canaries of vGPUs that do not belong there. It is done at the end of
    /// every transfer; this is for the end of a run.
    pub fn check_leaks(&mut self) {
        let finders: Vec<Finder<'_>> =
            self.vgpus.iter().map(|vgpu| Finder::new(&vgpu.canary)).collect();
        let claims = self.claims();
        let mut found = Vec::new();
        for (at, node) in self.hosts.iter().enumerate() {
            let mut visit = |region: Region, offset: u64, bytes: &[u8]| {
                for (id, finder) in finders.iter().enumerate() {
                    let own = |claim: &Claim| claim.vgpu.0 == id && claim.at.0.0 == at;
                    let may_be = |claim: &Claim| may_hold(&node.host, region, claim.at.1);
                    if let Some(hit) = finder.find(bytes)
                        && !claims.iter().filter(|claim| own(claim)).any(may_be)
                    {
                        let (host, vgpu) = (&node.name, &self.vgpus[id].name);
                        let place = offset + hit as u64;
                        found.push(format!("{host}: bytes of {vgpu} in {region:?} at {place:#x}"));
                    }
                }
            };
            if let Err(error) = node.host.card().gpu().for_each_data(&mut visit) {
                found.push(format!("{}: {error}", node.name));
            }
        }
        for what in found {
            self.problem(what);
        }
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
        self.leaks_due = true;
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

/// Whether a vGPU that a host has by this id may have bytes of its memory there: in its partition,
/// and in the slots of its transfer. A context has registers only.
fn may_hold(host: &Host, region: Region, gfid: Gfid) -> bool {
    match region {
        Region::Partition(home) => home == gfid,
        Region::Slot(slot) => host.may_slot_hold(slot, gfid),
        Region::Context => false,
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
