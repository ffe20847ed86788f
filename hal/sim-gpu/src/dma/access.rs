//! Accesses over the bus, and those that may go either way.

use super::{DmaTarget, DmaWindow, Fetch};
use crate::board::Board;
use crate::partition::Partition;
use godwit_regs::fifo::Address;
use godwit_sys::MemFile;
use godwit_types::{ChannelFault, Gfid, PAGE_BYTES};
use std::sync::atomic::Ordering;

const PAGE_LOG2: u32 = PAGE_BYTES.trailing_zeros();

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Where the first bytes of an access over the bus are.
enum Place<'a> {
    Memory(&'a MemFile, u64),
    Peer(Gfid, &'a Partition, u64),
    Wire,
}

impl DmaWindow {
    const fn allows(&self, access: Access) -> bool {
        match access {
            Access::Read => self.read,
            Access::Write => self.write,
        }
    }
}

impl Board {
    /// Where an address leads, and how many of the bytes are there.
    fn dma_part(
        &self,
        gfid: Gfid,
        iova: u64,
        byte_count: u64,
        access: Access,
    ) -> Result<(Place<'_>, u64), ChannelFault> {
        let (window, at) = self.vgpus[gfid].dma.find(iova).ok_or(ChannelFault::Dma)?;
        if !window.allows(access) {
            return Err(ChannelFault::Dma);
        }
        let part = byte_count.min(window.byte_count - (iova - window.iova));
        let place = match &window.target {
            DmaTarget::Memory { memory, .. } => Place::Memory(memory, at),
            DmaTarget::Peer { gfid, .. } => {
                self.peer_place(*gfid, at, part).ok_or(ChannelFault::Dma)?
            }
            DmaTarget::Wire => Place::Wire,
        };
        Ok((place, part))
    }

    /// Where bytes of a peer's aperture are, while it is open.
    fn peer_place(&self, peer: Gfid, at: u64, byte_count: u64) -> Option<Place<'_>> {
        let place = self.vgpus[peer].bar.reach(at, byte_count)?;
        let partition = self.partition(peer)?;
        let end = place.checked_add(byte_count)?;
        (end <= partition.file().len()).then_some(Place::Peer(peer, partition, place))
    }

    /// Checks that all of an access over the bus would pass now.
    fn check_dma(
        &self,
        gfid: Gfid,
        mut iova: u64,
        byte_count: u64,
        access: Access,
    ) -> Result<(), ChannelFault> {
        let end = iova.checked_add(byte_count).ok_or(ChannelFault::Dma)?;
        while iova < end {
            let (_, part) = self.dma_part(gfid, iova, end - iova, access)?;
            iova += part;
        }
        Ok(())
    }

    /// Checks that all of an access would pass now.
    pub(crate) fn check_access(
        &self,
        gfid: Gfid,
        address: Address,
        byte_count: u64,
        access: Access,
    ) -> Result<(), ChannelFault> {
        if address.is_bus() {
            return self.check_dma(gfid, address.at, byte_count, access);
        }
        let end = address.at.checked_add(byte_count);
        match (self.partition(gfid), end) {
            (Some(partition), Some(end)) if end <= partition.file().len() => Ok(()),
            _ => Err(ChannelFault::OutOfPartition),
        }
    }

    /// Whether the bytes of a read are at hand. Those that are not are asked for.
    pub(crate) fn fetch(
        &mut self,
        gfid: Gfid,
        address: Address,
        byte_count: u64,
    ) -> Result<bool, ChannelFault> {
        if !address.is_bus() {
            return Ok(true);
        }
        let end = address.at.checked_add(byte_count).ok_or(ChannelFault::Dma)?;
        let (mut iova, mut here) = (address.at, true);
        while iova < end {
            let (place, part) = self.dma_part(gfid, iova, end - iova, Access::Read)?;
            if let Place::Wire = place {
                match self.vgpus[gfid].wire.fetch(iova, part) {
                    Fetch::Here => {}
                    Fetch::Waiting => here = false,
                    Fetch::Failed => return Err(ChannelFault::Dma),
                }
            }
            iova += part;
        }
        Ok(here)
    }

    /// Reads bytes for a vGPU, all of which are at hand.
    pub(crate) fn read_at(
        &mut self,
        gfid: Gfid,
        address: Address,
        into: &mut [u8],
    ) -> Result<(), ChannelFault> {
        if !address.is_bus() {
            let partition = self.partition(gfid).ok_or(ChannelFault::OutOfPartition)?;
            return partition.read(address.at, into).map_err(|_| ChannelFault::OutOfPartition);
        }
        let (mut iova, mut rest) = (address.at, into);
        while !rest.is_empty() {
            let (place, part) = self.dma_part(gfid, iova, rest.len() as u64, Access::Read)?;
            let (bytes, left) = rest.split_at_mut(part as usize);
            let read = match place {
                Place::Memory(memory, at) => memory.read(at, bytes).is_ok(),
                Place::Peer(_, partition, at) => partition.read(at, bytes).is_ok(),
                Place::Wire => self.vgpus[gfid].wire.take(iova, bytes),
            };
            if !read {
                return Err(ChannelFault::Dma);
            }
            (iova, rest) = (iova + part, left);
        }
        Ok(())
    }

    /// Writes bytes for a vGPU. Those that go to its own partition or to guest memory are logged
    /// where there is a log. Those that go to a peer come to it as a CPU's do, through its
    /// aperture, and no log knows of them.
    pub(crate) fn write_at(
        &mut self,
        gfid: Gfid,
        address: Address,
        from: &[u8],
    ) -> Result<(), ChannelFault> {
        if !address.is_bus() {
            let partition = self.partition_mut(gfid).ok_or(ChannelFault::OutOfPartition)?;
            return partition.write(address.at, from).map_err(|_| ChannelFault::OutOfPartition);
        }
        let (mut iova, mut rest) = (address.at, from);
        while !rest.is_empty() {
            let (place, part) = self.dma_part(gfid, iova, rest.len() as u64, Access::Write)?;
            let (bytes, left) = rest.split_at(part as usize);
            match place {
                Place::Memory(memory, at) => {
                    memory.write(at, bytes).map_err(|_| ChannelFault::Dma)?;
                    self.log_dma(gfid, iova, part);
                }
                Place::Peer(peer, partition, at) => {
                    partition.file().write(at, bytes).map_err(|_| ChannelFault::Dma)?;
                    self.note_write(peer);
                }
                // The machine that takes the message knows itself what it writes.
                Place::Wire => self.vgpus[gfid].wire.write(iova, bytes),
            }
            (iova, rest) = (iova + part, left);
        }
        Ok(())
    }

    /// Reads a semaphore; `None`: it is asked for.
    pub(crate) fn load_at(
        &mut self,
        gfid: Gfid,
        address: Address,
    ) -> Result<Option<u32>, ChannelFault> {
        if !address.is_bus() {
            let word = self.load_word(gfid, address.at);
            return word.map(Some).ok_or(ChannelFault::OutOfPartition);
        }
        if let (Place::Memory(memory, at), _) = self.dma_part(gfid, address.at, 4, Access::Read)? {
            // What the guest's CPU wrote before it released this is there when this is seen.
            let word = memory.word(at).map_err(|_| ChannelFault::Dma)?;
            return Ok(Some(u32::from_le(word.load(Ordering::Acquire))));
        }
        if !self.fetch(gfid, address, 4)? {
            return Ok(None);
        }
        let mut bytes = [0; 4];
        self.read_at(gfid, address, &mut bytes)?;
        Ok(Some(u32::from_le_bytes(bytes)))
    }

    /// Writes a semaphore.
    pub(crate) fn store_at(
        &mut self,
        gfid: Gfid,
        address: Address,
        value: u32,
    ) -> Result<(), ChannelFault> {
        if !address.is_bus() {
            return self.store_word(gfid, address.at, value).ok_or(ChannelFault::OutOfPartition);
        }
        if let (Place::Memory(memory, at), _) = self.dma_part(gfid, address.at, 4, Access::Write)? {
            // After all that was copied before it, as the guest's CPU sees it.
            let word = memory.word(at).map_err(|_| ChannelFault::Dma)?;
            word.store(value.to_le(), Ordering::Release);
            self.log_dma(gfid, address.at, 4);
            return Ok(());
        }
        self.write_at(gfid, address, &value.to_le_bytes())
    }

    /// Whether an access goes to a peer, in part or as a whole.
    pub(crate) fn reaches_peer(&self, gfid: Gfid, address: Address, byte_count: u64) -> bool {
        address.is_bus() && self.vgpus[gfid].dma.reach_peer(address.at, byte_count)
    }

    /// A page of guest memory that is mapped.
    pub(crate) fn mapped_page(&self, gfid: Gfid, iova: u64) -> Option<Vec<u8>> {
        let (window, at) = self.vgpus[gfid].dma.find(iova)?;
        let DmaTarget::Memory { memory, .. } = &window.target else { return None };
        let mut bytes = vec![0; PAGE_BYTES as usize];
        memory.read(at, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Whether the vGPU must wait before it writes to this address.
    pub(crate) fn is_wire_full(&self, gfid: Gfid, address: Address) -> bool {
        address.is_bus() && !self.vgpus[gfid].wire.has_room()
    }

    fn log_dma(&mut self, gfid: Gfid, iova: u64, byte_count: u64) {
        let vgpu = &mut self.vgpus[gfid];
        if let Some(pages) = &mut vgpu.dma_unseen {
            pages.insert_range(iova >> PAGE_LOG2..=(iova + byte_count - 1) >> PAGE_LOG2);
        }
        let Some(log) = &mut vgpu.dma_log else { return };
        if self.faults.take_dma_log_lost() {
            log.lose();
        }
        log.mark(iova, byte_count);
    }
}
