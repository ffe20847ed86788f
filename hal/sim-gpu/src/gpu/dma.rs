//! What a host sets up for accesses over the bus, and what it learns of them.

use super::Gpu;
use crate::dma::{DmaError, DmaLogError, DmaRange, DmaTarget, DmaWindow, Log, WireRequest};
use godwit_types::{Gfid, PAGE_BYTES};
use roaring::RoaringTreemap;

impl Gpu {
    /// Maps a window for a vGPU: its copies and semaphores reach what is behind it.
    ///
    /// # Errors
    ///
    /// When it cannot be as asked, or overlaps another; nothing has changed.
    pub fn dma_map(&mut self, gfid: Gfid, window: DmaWindow) -> Result<(), DmaError> {
        if self.board.partition(gfid).is_none() {
            return Err(DmaError::NoVgpu(gfid));
        }
        let target_bytes = match &window.target {
            DmaTarget::Memory { memory, .. } => memory.len(),
            DmaTarget::Peer { gfid: peer, .. } if *peer == gfid => {
                return Err(DmaError::Own(gfid));
            }
            DmaTarget::Peer { gfid: peer, .. } => {
                let partition = self.board.partition(*peer).ok_or(DmaError::NoPeer(*peer))?;
                partition.file().len()
            }
            DmaTarget::Wire => u64::MAX,
        };
        window.check(target_bytes)?;
        self.board.vgpus[gfid].dma.map(window)
    }

    /// Unmaps a window, which is named by exactly its addresses. What uses it faults from then on.
    ///
    /// # Errors
    ///
    /// When there is none of these.
    pub fn dma_unmap(&mut self, gfid: Gfid, iova: u64, byte_count: u64) -> Result<(), DmaError> {
        let vgpu = &mut self.board.vgpus[gfid];
        vgpu.dma.unmap(iova, byte_count)?;
        vgpu.wire.forget(iova, byte_count);
        Ok(())
    }

    /// Unmaps all windows of a vGPU.
    pub fn dma_unmap_all(&mut self, gfid: Gfid) {
        let vgpu = &mut self.board.vgpus[gfid];
        vgpu.dma.clear();
        vgpu.wire.clear();
    }

    /// The windows of a vGPU, in the order of their addresses.
    pub fn dma_windows(&self, gfid: Gfid) -> impl Iterator<Item = &DmaWindow> {
        self.board.vgpus[gfid].dma.iter()
    }

    /// Logs from now on which guest memory a vGPU writes, by pages of so many bytes. Returns the
    /// bytes of the pages that it is logged by: more than asked for where the log would be too
    /// long otherwise.
    ///
    /// # Errors
    ///
    /// When a log is kept already, or the ranges or the page cannot be.
    pub fn dma_log_start(
        &mut self,
        gfid: Gfid,
        ranges: &[DmaRange],
        page_bytes: u64,
    ) -> Result<u64, DmaLogError> {
        if self.board.partition(gfid).is_none() {
            return Err(DmaLogError::NoVgpu);
        }
        if self.board.vgpus[gfid].dma_log.is_some() {
            return Err(DmaLogError::Started);
        }
        let log = Log::start(ranges, page_bytes)?;
        let page_bytes = log.page_bytes();
        self.board.vgpus[gfid].dma_log = Some(log);
        Ok(page_bytes)
    }

    /// Sets, in a bitmap with a bit for each page of `page_bytes`, those that were written since
    /// they were reported last, and clears the log of them. Clears no bit of the bitmap.
    ///
    /// # Errors
    ///
    /// When nothing is logged, or not all of the range is, or the bitmap is too short; nothing has
    /// changed.
    pub fn dma_log_report(
        &mut self,
        gfid: Gfid,
        range: DmaRange,
        page_bytes: u64,
        bitmap: &mut [u8],
    ) -> Result<(), DmaLogError> {
        let log = self.board.vgpus[gfid].dma_log.as_mut().ok_or(DmaLogError::NotStarted)?;
        log.report(range, page_bytes, bitmap)
    }

    /// What is logged, in the order of its addresses, and the bytes of its pages; `None`: nothing.
    pub fn dma_log(&self, gfid: Gfid) -> Option<(Vec<DmaRange>, u64)> {
        let log = self.board.vgpus[gfid].dma_log.as_ref()?;
        Some((log.ranges().collect(), log.page_bytes()))
    }

    /// All that is logged counts as written.
    pub fn dma_log_lose(&mut self, gfid: Gfid) {
        if let Some(log) = &mut self.board.vgpus[gfid].dma_log {
            log.lose();
        }
    }

    /// Logs no more.
    ///
    /// # Errors
    ///
    /// When nothing is logged.
    pub fn dma_log_stop(&mut self, gfid: Gfid) -> Result<(), DmaLogError> {
        let log = self.board.vgpus[gfid].dma_log.take();
        log.map(drop).ok_or(DmaLogError::NotStarted)
    }

    /// The next access of a vGPU to guest memory that is not mapped ([`DmaTarget::Wire`]): whoever
    /// takes it carries it out, in the order in which they are taken, and answers it.
    pub fn dma_next_request(&mut self, gfid: Gfid) -> Option<WireRequest> {
        self.board.vgpus[gfid].wire.next_request()
    }

    /// What came of such an access: the bytes of a read, anything for a write; `None`: it failed,
    /// and the channel that reads faults. An answer that nobody waits for is dropped.
    pub fn dma_answer(&mut self, gfid: Gfid, id: u64, bytes: Option<&[u8]>) {
        self.board.vgpus[gfid].wire.answer(id, bytes);
    }

    /// The oldest such write that is under way: the guest may not see it yet, nor those after it.
    pub fn dma_oldest_write(&self, gfid: Gfid) -> Option<u64> {
        self.board.vgpus[gfid].wire.oldest_write()
    }

    /// The number of the last such access, which is above that of all before it.
    pub fn dma_last_request(&self, gfid: Gfid) -> u64 {
        self.board.vgpus[gfid].wire.last_id()
    }

    /// Notes from now on, or anew, which pages of guest memory a vGPU writes through mappings. The
    /// machine that the memory is of does not see such writes. `false`: notes them no more.
    pub fn dma_note_unseen(&mut self, gfid: Gfid, note: bool) {
        self.board.vgpus[gfid].dma_unseen = note.then(RoaringTreemap::new);
    }

    /// Takes the first run of whole pages of 4 KiB that were noted so, up to `most` bytes and one
    /// page at least: its bus address and its bytes. Pages that are in no mapping any more are
    /// passed over.
    pub fn dma_take_unseen(&mut self, gfid: Gfid, most: usize) -> Option<(u64, Vec<u8>)> {
        let page_bytes = u64::from(PAGE_BYTES);
        let mut first = None;
        let mut bytes = Vec::new();
        loop {
            let pages = self.board.vgpus[gfid].dma_unseen.as_mut()?;
            let Some(page) = pages.min() else { break };
            let iova = page * page_bytes;
            if let Some(first) = first
                && (iova != first + bytes.len() as u64
                    || bytes.len() as u64 + page_bytes > most as u64)
            {
                break;
            }
            pages.remove(page);
            match (self.board.mapped_page(gfid, iova), first) {
                (Some(page), _) => {
                    bytes.extend(page);
                    first = first.or(Some(iova));
                }
                (None, None) => {}
                (None, Some(_)) => break,
            }
        }
        first.map(|iova| (iova, bytes))
    }
}
