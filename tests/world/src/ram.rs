//! A guest's memory. It stays with the guest wherever its vGPU goes: each host that has the vGPU
//! maps it anew before the vGPU is started there, and logs what the vGPU writes of it.

use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_sim_gpu::{DmaRange, DmaTarget, DmaWindow};
use godwit_sys::MemFile;
use godwit_types::{Gfid, PAGE_BYTES};
use std::io;
use std::sync::Arc;

/// Where the bus has it.
pub(crate) const RAM_AT: u64 = 1 << 32;
/// How much there is.
pub(crate) const RAM_BYTES: u64 = 2 << 20;
/// Where the bus has the aperture of a vGPU's peer.
pub(crate) const PEER_AT: u64 = 1 << 40;

const ALL: DmaRange = DmaRange { iova: RAM_AT, byte_count: RAM_BYTES };
const PAGE: u64 = PAGE_BYTES as u64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ram {
    pub(crate) memory: Arc<MemFile>,
    /// What was in it when the log was looked at last. The guest's CPU writes none of it.
    seen: Vec<u8>,
}

impl Ram {
    pub(crate) fn new() -> io::Result<Self> {
        let memory = Arc::new(MemFile::new("godwit-guest", RAM_BYTES)?);
        Ok(Self { memory, seen: vec![0; RAM_BYTES as usize] })
    }
}

impl World {
    /// Maps a vGPU's guest memory where it is being made or restored, once that host has it.
    pub(crate) fn map_ram(&mut self, vgpu: VgpuId, host: HostId, gfid: Gfid) {
        let to = &mut self.hosts[host.0].host;
        if to.card().gpu().partition(gfid).is_none() || to.dma_windows(gfid).next().is_some() {
            return;
        }
        self.keep_file(vgpu, host, gfid);
        let memory = Arc::clone(&self.vgpus[vgpu.0].ram.memory);
        let to = &mut self.hosts[host.0].host;
        let DmaRange { iova, byte_count } = ALL;
        let target = DmaTarget::Memory { memory, offset: 0 };
        let window = DmaWindow { iova, byte_count, read: true, write: true, target };
        let mapped = to.dma_map(gfid, window).map_err(|error| error.to_string());
        let logged = mapped.and_then(|()| {
            to.dma_log_start(gfid, &[ALL], PAGE).map(drop).map_err(|error| error.to_string())
        });
        if let Err(why) = logged {
            self.problem(format!("{}: its memory is not mapped: {why}", self.vgpu_name(vgpu)));
        }
    }

    /// Whatever has changed in a guest's memory since the last look must be in the log of the host
    /// that its vGPU is on.
    pub(crate) fn check_ram(&mut self, vgpu: VgpuId) {
        let Home::Host(host, gfid) = self.vgpus[vgpu.0].home else { return };
        let mut bitmap = [0; (RAM_BYTES / PAGE / 8) as usize];
        let reported = self.hosts[host.0].host.dma_log_report(gfid, ALL, PAGE, &mut bitmap);
        let ram = &mut self.vgpus[vgpu.0].ram;
        let mut now = vec![0; RAM_BYTES as usize];
        let read = ram.memory.read(0, &mut now);
        let before = std::mem::replace(&mut ram.seen, now);
        let pages = before.chunks(PAGE as usize).zip(ram.seen.chunks(PAGE as usize));
        let changed = pages.enumerate().filter(|(_, (before, now))| before != now);
        let missed: Vec<usize> =
            changed.map(|(at, _)| at).filter(|at| bitmap[at / 8] >> (at % 8) & 1 == 0).collect();
        let name = self.vgpu_name(vgpu).to_owned();
        if let Err(error) = reported {
            self.problem(format!("{name}: the log of its guest's memory: {error}"));
        }
        if let Err(error) = read {
            self.problem(format!("{name}: its guest's memory: {error}"));
        }
        if !missed.is_empty() {
            self.problem(format!("{name}: it wrote pages {missed:?} that no log has"));
        }
    }

    /// Lets a vGPU's work reach the aperture of another on its host, from bus address `1 << 40` on,
    /// until one of them leaves.
    ///
    /// # Panics
    ///
    /// When they are not on one host, or it refuses.
    pub fn connect(&mut self, vgpu: VgpuId, peer: VgpuId) {
        let homes = [vgpu, peer].map(|id| self.vgpus[id.0].home.clone());
        let [Home::Host(host, gfid), Home::Host(other, peer_gfid)] = homes else {
            panic!("both are on a host");
        };
        assert_eq!(host, other, "peers are on one host");
        let byte_count = self.vgpus[peer.0].profile.bar_bytes;
        let target = DmaTarget::Peer { gfid: peer_gfid, offset: 0 };
        let window = DmaWindow { iova: PEER_AT, byte_count, read: true, write: true, target };
        self.hosts[host.0].host.dma_map(gfid, window).expect("a free address");
    }

    /// Opens or closes a vGPU's way to its peers, and waits until that is so.
    pub fn set_peer(&mut self, vgpu: VgpuId, open: bool) {
        let Home::Host(host, gfid) = self.vgpus[vgpu.0].home else { return };
        if let Err(error) = self.hosts[host.0].host.set_peer(gfid, open) {
            self.problem(format!("{}: {error}", self.vgpu_name(vgpu)));
        }
    }
}
