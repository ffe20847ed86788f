//! What a vGPU reaches over the bus: windows that its host has mapped, as an IOMMU does, onto guest
//! memory or onto another vGPU's aperture.
//!
//! Windows belong to the host that mapped them. They are no part of a vGPU's state, and end with
//! its partition, or with that of the peer behind them.

mod access;
mod log;
#[cfg(test)]
mod tests;
mod wire;

pub use log::{DMA_LOG_RANGES_MAX, DmaLogError, DmaRange, LOG_PAGE_BYTES_MAX};
pub use wire::{WireAccess, WireRequest};

pub(crate) use access::Access;
pub(crate) use log::Log;
pub(crate) use wire::{Fetch, Wire};

use godwit_sys::MemFile;
use godwit_types::{Gfid, PAGE_BYTES};
use std::sync::Arc;

/// Windows of one vGPU.
pub const DMA_WINDOWS_MAX: usize = 256;

/// What is behind a window.
#[derive(Clone, Debug)]
pub enum DmaTarget {
    /// Guest memory.
    Memory {
        /// The memory that the guest has, too.
        memory: Arc<MemFile>,
        /// First byte of it: a multiple of 4 KiB.
        offset: u64,
    },
    /// The aperture of another vGPU of this card.
    Peer {
        /// Which vGPU.
        gfid: Gfid,
        /// First byte of its aperture: a multiple of 4 KiB.
        offset: u64,
    },
    /// Guest memory that is not mapped here: the host carries each access as a message.
    Wire,
}

/// Bus addresses that lead somewhere.
#[derive(Clone, Debug)]
pub struct DmaWindow {
    /// The first of them: a multiple of 4 KiB.
    pub iova: u64,
    /// How many: a multiple of 4 KiB, and not 0.
    pub byte_count: u64,
    /// The device may read.
    pub read: bool,
    /// The device may write.
    pub write: bool,
    /// Where they lead.
    pub target: DmaTarget,
}

/// Why a window cannot be mapped or unmapped. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaError {
    /// No such vGPU has a partition.
    #[error("there is no vGPU {0:?} to map a window for")]
    NoVgpu(Gfid),
    /// A window without bytes, or with an end past the last address.
    #[error(
        "{byte_count:#x} bytes from bus address {iova:#x} on are no window: it has at least one \
         page, and ends within 64 bits"
    )]
    Length {
        /// First address.
        iova: u64,
        /// Length in bytes.
        byte_count: u64,
    },
    /// Something is no multiple of a page.
    #[error("{0:#x} is no multiple of 4 KiB: address, length and offset of a window are")]
    Unaligned(u64),
    /// Neither reads nor writes are allowed.
    #[error("a window that may neither be read nor written leads nowhere")]
    NoAccess,
    /// Some of the addresses are taken.
    #[error(
        "{byte_count:#x} bytes from bus address {iova:#x} on overlap the window of \
         {taken_bytes:#x} bytes at {taken:#x}: unmap that first"
    )]
    Overlaps {
        /// First address.
        iova: u64,
        /// Length in bytes.
        byte_count: u64,
        /// First address of the window that is there.
        taken: u64,
        /// Its length in bytes.
        taken_bytes: u64,
    },
    /// There are as many windows as there may be.
    #[error("a vGPU has no more than {DMA_WINDOWS_MAX} windows")]
    TooMany,
    /// The window does not lie in what it leads to.
    #[error(
        "{byte_count:#x} bytes from {offset:#x} on are not within the {len:#x} bytes that the \
         window leads to"
    )]
    Outside {
        /// First byte of the target.
        offset: u64,
        /// Length in bytes.
        byte_count: u64,
        /// Length of the target.
        len: u64,
    },
    /// No vGPU of this card is there to be reached.
    #[error("there is no vGPU {0:?} on this card to be a peer")]
    NoPeer(Gfid),
    /// A vGPU is no peer of its own.
    #[error("vGPU {0:?} reaches its own framebuffer without a window")]
    Own(Gfid),
    /// There is no window of exactly these addresses.
    #[error(
        "there is no window of {byte_count:#x} bytes at bus address {iova:#x}: windows are \
         unmapped whole"
    )]
    NotMapped {
        /// First address.
        iova: u64,
        /// Length in bytes.
        byte_count: u64,
    },
}

impl DmaWindow {
    fn end(&self) -> u64 {
        self.iova.saturating_add(self.byte_count)
    }

    fn overlaps(&self, iova: u64, byte_count: u64) -> bool {
        self.iova < iova.saturating_add(byte_count) && iova < self.end()
    }

    const fn offset(&self) -> u64 {
        match self.target {
            DmaTarget::Memory { offset, .. } | DmaTarget::Peer { offset, .. } => offset,
            DmaTarget::Wire => 0,
        }
    }

    pub(crate) const fn peer(&self) -> Option<Gfid> {
        match self.target {
            DmaTarget::Memory { .. } | DmaTarget::Wire => None,
            DmaTarget::Peer { gfid, .. } => Some(gfid),
        }
    }

    /// Checks all that does not depend on other windows; `target_bytes`: what it leads to.
    pub(crate) fn check(&self, target_bytes: u64) -> Result<(), DmaError> {
        let &Self { iova, byte_count, read, write, .. } = self;
        let offset = self.offset();
        for value in [iova, byte_count, offset] {
            if !value.is_multiple_of(PAGE_BYTES.into()) {
                return Err(DmaError::Unaligned(value));
            }
        }
        if byte_count == 0 || iova.checked_add(byte_count).is_none() {
            return Err(DmaError::Length { iova, byte_count });
        }
        if !read && !write {
            return Err(DmaError::NoAccess);
        }
        match offset.checked_add(byte_count) {
            Some(end) if end <= target_bytes => Ok(()),
            _ => Err(DmaError::Outside { offset, byte_count, len: target_bytes }),
        }
    }
}

/// The windows of one vGPU, in the order of their addresses.
#[derive(Debug, Default)]
pub(crate) struct Windows(Vec<DmaWindow>);

impl Windows {
    pub(crate) fn map(&mut self, window: DmaWindow) -> Result<(), DmaError> {
        let &DmaWindow { iova, byte_count, .. } = &window;
        if let Some(taken) = self.0.iter().find(|other| other.overlaps(iova, byte_count)) {
            let (taken, taken_bytes) = (taken.iova, taken.byte_count);
            return Err(DmaError::Overlaps { iova, byte_count, taken, taken_bytes });
        }
        if self.0.len() == DMA_WINDOWS_MAX {
            return Err(DmaError::TooMany);
        }
        let place = self.0.partition_point(|other| other.iova < iova);
        self.0.insert(place, window);
        Ok(())
    }

    pub(crate) fn unmap(&mut self, iova: u64, byte_count: u64) -> Result<(), DmaError> {
        let meant = |window: &DmaWindow| window.iova == iova && window.byte_count == byte_count;
        let place = self.0.iter().position(meant);
        let place = place.ok_or(DmaError::NotMapped { iova, byte_count })?;
        self.0.remove(place);
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops those that lead to this vGPU.
    pub(crate) fn forget_peer(&mut self, gfid: Gfid) {
        self.0.retain(|window| window.peer() != Some(gfid));
    }

    /// The window that an address is in, and how far into what it leads to.
    fn find(&self, iova: u64) -> Option<(&DmaWindow, u64)> {
        let place = self.0.partition_point(|window| window.end() <= iova);
        let window = self.0.get(place).filter(|window| window.iova <= iova)?;
        Some((window, window.offset() + (iova - window.iova)))
    }

    /// Whether some of these addresses lead to a peer.
    pub(crate) fn reach_peer(&self, iova: u64, byte_count: u64) -> bool {
        let peers = self.0.iter().filter(|window| window.peer().is_some());
        peers.into_iter().any(|window| window.overlaps(iova, byte_count))
    }

    /// Whether one of them leads to memory that is not mapped.
    pub(crate) fn has_wire(&self) -> bool {
        self.0.iter().any(|window| matches!(window.target, DmaTarget::Wire))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &DmaWindow> {
        self.0.iter()
    }
}
