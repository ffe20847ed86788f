//! What a transfer costs the vGPUs beside it.

use crate::report::{MoveReport, NeighbourReport, Place, Throughput};
use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_types::{SLICE_FEW_VGPUS, SLICE_NS_FEW, SLICE_NS_MANY};

/// A time in which a neighbour's progress is of interest: it begins with a transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    vgpu: VgpuId,
    transfer: usize,
    from_ns: u64,
    window_ns: u64,
    due: Throughput,
}

impl World {
    /// Remembers, of a transfer that has just ended, when its neighbours' progress is of interest.
    pub(crate) fn note_neighbours(&mut self, report: &MoveReport, began_ns: u64) {
        let transfer = self.reports.len();
        let places = [report.old, report.new].into_iter().flatten();
        let mut hosts: Vec<HostId> = places.map(|place: Place| place.host).collect();
        hosts.dedup();
        for host in hosts {
            let beside: Vec<VgpuId> = self.at_home(host).filter(|id| *id != report.vgpu).collect();
            let total_ns = (self.now_ns - began_ns).max(1);
            for vgpu in &beside {
                let turns = self.turns(*vgpu, &beside);
                let rounds_of = turns.into_iter().max().unwrap_or(0).max(1);
                let window_ns = total_ns.next_multiple_of(self.slice_ns(host) * rounds_of);
                let (vgpu, from_ns, due) = (*vgpu, began_ns, self.due(turns));
                self.windows.push(Window { vgpu, transfer, from_ns, window_ns, due });
            }
        }
    }

    fn at_home(&self, at: HostId) -> impl Iterator<Item = VgpuId> {
        let homes = self.vgpus.iter().map(|vgpu| &vgpu.home).enumerate();
        let here =
            homes.filter(move |(_, home)| matches!(home, Home::Host(host, _) if *host == at));
        here.map(|(id, _)| VgpuId(id))
    }

    /// A host's time slices, with one vGPU more than it has now: that which left, or which came.
    fn slice_ns(&self, host: HostId) -> u64 {
        let few = self.at_home(host).count() < SLICE_FEW_VGPUS as usize;
        if few { SLICE_NS_FEW } else { SLICE_NS_MANY }
    }

    /// How many vGPUs take turns on the compute engine and on the copy engine, if this one has
    /// work for it: the vGPU that is transferred is one of them.
    fn turns(&self, vgpu: VgpuId, beside: &[VgpuId]) -> [u64; 2] {
        [true, false].map(|computes| {
            let works = |id: &&VgpuId| {
                let mut jobs = self.vgpus[id.0].jobs.iter().map(|job| &self.jobs[job.0]);
                jobs.any(|job| job.computes() == computes && !job.has_ended())
            };
            if works(&&vgpu) { beside.iter().filter(works).count() as u64 + 1 } else { 0 }
        })
    }

    /// The share of one among so many. What switching takes comes off it.
    fn due(&self, [compute, copy]: [u64; 2]) -> Throughput {
        let costs = &self.config.costs;
        let share = |whole: u64, turns| whole.checked_div(turns).unwrap_or(0);
        Throughput {
            instructions_per_ms: share(1_000_000_000 / costs.kernel_instruction_ps, compute),
            copied_bytes_per_ms: share(1_000_000_000_000 / costs.copied_byte_fs, copy),
        }
    }

    /// What neighbours attained in whole rounds of the scheduler from the beginning of a transfer
    /// to its end or beyond, and in a window as long just before it; only those that had work
    /// throughout.
    pub fn neighbour_reports(&self) -> Vec<NeighbourReport> {
        let report = |window: &Window| {
            let Window { vgpu, transfer, from_ns, window_ns, due } = *window;
            let samples = &self.vgpus[vgpu.0].samples;
            let before = samples.rate(from_ns.checked_sub(window_ns)?, from_ns)?;
            let during = samples.rate(from_ns, from_ns + window_ns)?;
            Some(NeighbourReport { vgpu, transfer, window_ns, before, during, due })
        };
        self.windows.iter().filter_map(report).collect()
    }
}
