//! What a hypervisor does about a vGPU's accesses over the bus: windows onto guest memory and onto
//! peers, the way to peers, and the log of guest memory that the vGPU writes.
//!
//! Windows and logs are this host's. They are in no state and no file: whoever takes a vGPU in maps
//! its own before it is started, and they end when the vGPU leaves.

use crate::host::{Answer, Host, HostError, Pending};
use godwit_sim_gpu::{DmaError, DmaLogError, DmaRange, DmaTarget, DmaWindow};
use godwit_types::Gfid;
use godwit_wire::mailbox::{Command, Reject};

impl Host {
    /// Maps a window for a vGPU: onto guest memory, or onto part of the aperture (BAR2) of another
    /// vGPU of this host, as VFIO maps a peer's BAR.
    ///
    /// # Errors
    ///
    /// When there is no such vGPU or peer, there are 256 windows already, or the window is not of
    /// whole pages, overlaps another or does not lie in what it leads to. Nothing has changed.
    pub fn dma_map(&mut self, gfid: Gfid, window: DmaWindow) -> Result<(), DmaError> {
        if let DmaTarget::Peer { gfid: peer, offset } = window.target
            && let Some(info) = self.vgpu(peer)
        {
            let (byte_count, len) = (window.byte_count, info.profile.bar_bytes);
            if offset.checked_add(byte_count).is_none_or(|end| end > len) {
                return Err(DmaError::Outside { offset, byte_count, len });
            }
        }
        self.card.gpu_mut().dma_map(gfid, window)
    }

    /// Unmaps a window, named by exactly the addresses that it was mapped with. A copy that uses it
    /// ends with a fault of its channel.
    ///
    /// # Errors
    ///
    /// When there is none of these.
    pub fn dma_unmap(&mut self, gfid: Gfid, iova: u64, byte_count: u64) -> Result<(), DmaError> {
        self.card.gpu_mut().dma_unmap(gfid, iova, byte_count)
    }

    /// Unmaps all windows of a vGPU.
    pub fn dma_unmap_all(&mut self, gfid: Gfid) {
        self.card.gpu_mut().dma_unmap_all(gfid);
    }

    /// The windows of a vGPU, in the order of their addresses.
    pub fn dma_windows(&self, gfid: Gfid) -> impl Iterator<Item = &DmaWindow> {
        self.card.gpu().dma_windows(gfid)
    }

    /// Logs from now on which guest memory the vGPU writes, in 1 to 64 ranges of whole pages of
    /// `page_bytes`, a power of two from 4 KiB to 1 GiB. Reads and accesses to peers are not
    /// logged. Returns the bytes of the pages that are really logged: more than was asked for where
    /// the ranges have more than 2^25 pages.
    ///
    /// # Errors
    ///
    /// When a log is kept already, or ranges or page are not as said.
    pub fn dma_log_start(
        &mut self,
        gfid: Gfid,
        ranges: &[DmaRange],
        page_bytes: u64,
    ) -> Result<u64, DmaLogError> {
        self.card.gpu_mut().dma_log_start(gfid, ranges, page_bytes)
    }

    /// Sets the bit of each page of `range` that was written since it was reported last, and clears
    /// the log of them in the same step. Bit `n % 8` of byte `n / 8` is for the `n`-th page of
    /// `page_bytes`, which need not be those of the log; no bit is ever cleared. After an error
    /// inside the device everything counts as written.
    ///
    /// # Errors
    ///
    /// When nothing is logged, or not all of the range is, or the bitmap is too short. Nothing has
    /// changed.
    pub fn dma_log_report(
        &mut self,
        gfid: Gfid,
        range: DmaRange,
        page_bytes: u64,
        bitmap: &mut [u8],
    ) -> Result<(), DmaLogError> {
        self.card.gpu_mut().dma_log_report(gfid, range, page_bytes, bitmap)
    }

    /// Logs no more, and forgets what was not reported.
    ///
    /// # Errors
    ///
    /// When nothing is logged.
    pub fn dma_log_stop(&mut self, gfid: Gfid) -> Result<(), DmaLogError> {
        self.card.gpu_mut().dma_log_stop(gfid)
    }

    /// Opens or closes the way of a vGPU's channels to its peers, and waits until that is so: when
    /// this returns for a way that is closed, no access to a peer is under way.
    ///
    /// # Errors
    ///
    /// When there is no such vGPU, or the device does not come to it in time: then all is as
    /// before.
    pub fn set_peer(&mut self, gfid: Gfid, open: bool) -> Result<(), HostError> {
        self.settled(gfid, Command::SetPeer { open })
    }
}

/// A change of the way to peers that is under way, for those who do not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerChange {
    gfid: Gfid,
    open: bool,
    pending: Pending,
}

impl PeerChange {
    /// Asks the firmware to open or close the way of a vGPU's channels to its peers.
    pub fn new(host: &mut Host, gfid: Gfid, open: bool) -> Self {
        Self { gfid, open, pending: host.send(gfid, Command::SetPeer { open }) }
    }

    /// Whether it is done; asks again after a restart of the firmware.
    ///
    /// # Errors
    ///
    /// When it is refused: all is as before.
    pub fn step(&mut self, host: &mut Host) -> Result<bool, Reject> {
        match host.poll_answer(&self.pending) {
            Answer::Waiting => Ok(false),
            Answer::Done => Ok(true),
            Answer::Refused(why) => Err(why),
            Answer::Void => {
                *self = Self::new(host, self.gfid, self.open);
                Ok(false)
            }
        }
    }
}
