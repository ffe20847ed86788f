//! What the host has set for a vGPU on the bus, which a vGPU that takes its place has, too.

use crate::host::Host;
use godwit_sim_gpu::{DmaRange, DmaTarget, DmaWindow};
use godwit_types::Gfid;

/// Windows, and the log of guest memory. On a card they end with the vGPU's memory, but a virtual
/// machine monitor knows of one device that is reset or written, and maps nothing anew for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bus {
    windows: Vec<DmaWindow>,
    /// Those of other vGPUs that lead to this one.
    peers: Vec<(Gfid, DmaWindow)>,
    log: Option<(Vec<DmaRange>, u64)>,
}

impl Bus {
    /// What there is.
    pub(super) fn of(host: &Host, gfid: Gfid) -> Self {
        let leads_here = |window: &&DmaWindow| match window.target {
            DmaTarget::Peer { gfid: peer, .. } => peer == gfid,
            DmaTarget::Memory { .. } | DmaTarget::Wire => false,
        };
        let others = host.vgpus().map(|(other, _)| other);
        let peers = others.flat_map(|other| {
            host.dma_windows(other).filter(leads_here).map(move |window| (other, window.clone()))
        });
        Self {
            windows: host.dma_windows(gfid).cloned().collect(),
            peers: peers.collect(),
            log: host.card().gpu().dma_log(gfid),
        }
    }

    /// Sets it again for a vGPU that was just made. All that is logged counts as written, since
    /// nobody knows what the one before it has written last.
    pub(super) fn set(&self, host: &mut Host, gfid: Gfid) {
        let own = self.windows.iter().map(|window| (gfid, window));
        let peers = self.peers.iter().map(|(peer, window)| (*peer, window));
        for (from, window) in own.chain(peers) {
            // One whose other end has left meanwhile has ended with it.
            let _ = host.dma_map(from, window.clone());
        }
        if let Some((ranges, page_bytes)) = &self.log
            && host.dma_log_start(gfid, ranges, *page_bytes).is_ok()
        {
            host.card_mut().gpu_mut().dma_log_lose(gfid);
        }
    }
}
