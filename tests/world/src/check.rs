//! What must hold whatever happens.

use crate::owners::Claim;
use crate::report::MoveReport;
use crate::world::World;
use godwit_shim::Host;
use godwit_sim_gpu::Region;
use godwit_types::Gfid;
use memchr::memmem::Finder;

/// Problems that are kept; the first ones tell most.
const PROBLEMS_MAX: usize = 32;

impl World {
    pub(crate) fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(format!("at {} ns: {what}", self.now_ns));
        }
    }

    /// No byte of one vGPU may lie where another could see it: looks through all memory of
    /// all hosts and all guests for the canaries of vGPUs that do not belong there, and through
    /// files of partitions that were released for any byte at all. It is done at the end of every
    /// transfer; this is for the end of a run.
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
        for (own, vgpu) in self.vgpus.iter().enumerate() {
            let mut visit = |at: u64, bytes: &[u8]| {
                for (id, finder) in finders.iter().enumerate().filter(|(id, _)| *id != own) {
                    if let Some(hit) = finder.find(bytes) {
                        let (place, other) = (at + hit as u64, &self.vgpus[id].name);
                        let whose = &vgpu.name;
                        found.push(format!("{whose}'s guest: bytes of {other} at {place:#x}"));
                    }
                }
            };
            if let Err(error) = vgpu.ram.memory.for_each_data(&mut visit) {
                found.push(format!("{}'s guest: {error}", vgpu.name));
            }
        }
        found.extend(self.released_files());
        for what in found {
            self.problem(what);
        }
    }

    /// Ends the bookkeeping of a transfer: the vGPU is free for the next, and what its
    /// neighbours attain is noted.
    pub(crate) fn finish_transfer(&mut self, report: MoveReport, began_ns: u64) {
        self.vgpus[report.vgpu.0].in_transfer = false;
        self.check_ram(report.vgpu);
        self.note_neighbours(&report, began_ns);
        self.reports.push(report);
        self.leaks_due = true;
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
