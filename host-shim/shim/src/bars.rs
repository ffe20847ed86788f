//! What a guest reaches of its vGPU: BAR0, BAR2 and interrupts.

use crate::host::{Host, HostError};
use godwit_sim_gpu::BarError;
use godwit_types::Gfid;

impl Host {
    /// A guest's read of BAR0.
    pub fn bar0_read(&mut self, gfid: Gfid, offset: u32) -> u32 {
        let time_ns = self.client.view().guest_time_ns(gfid);
        self.functions.get(&gfid).map_or(0, |function| function.read(offset, time_ns))
    }

    /// A guest's write to BAR0.
    pub fn bar0_write(&mut self, gfid: Gfid, offset: u32, value: u32) {
        let Some(function) = self.functions.get_mut(&gfid) else { return };
        if function.is_doorbell(offset) {
            // A token that names no channel rings nothing; the guest harms only itself.
            self.card.gpu_mut().ring(gfid, value);
            return;
        }
        function.write(gfid, self.generation, offset, value, &mut self.client);
    }

    /// A guest's read of its aperture, BAR2.
    ///
    /// # Errors
    ///
    /// When the aperture is blocked or does not reach so far.
    pub fn bar2_read(&mut self, gfid: Gfid, at: u64, into: &mut [u8]) -> Result<(), HostError> {
        let base = self.aperture(gfid, at, into.len())?;
        self.card.gpu_mut().bar_read(base + at, into).map_err(HostError::Bar)
    }

    /// A guest's write to its aperture, BAR2.
    ///
    /// # Errors
    ///
    /// When the aperture is blocked or does not reach so far; nothing is written.
    pub fn bar2_write(&mut self, gfid: Gfid, at: u64, from: &[u8]) -> Result<(), HostError> {
        let base = self.aperture(gfid, at, from.len())?;
        self.card.gpu_mut().bar_write(base + at, from).map_err(HostError::Bar)
    }

    /// Bounds an access by the guest's own aperture, whatever lies beside it in the BAR.
    fn aperture(&self, gfid: Gfid, at: u64, byte_count: usize) -> Result<u64, HostError> {
        let info = self.vgpus.get(&gfid).ok_or(HostError::Bar(BarError::Unbound))?;
        match at.checked_add(byte_count as u64) {
            Some(end) if end <= info.profile.bar_bytes => Ok(info.placement.bar_base),
            _ => Err(HostError::Bar(BarError::Unbound)),
        }
    }

    /// A vGPU's interrupts that are pending, a bit each.
    pub fn pending_vectors(&mut self, gfid: Gfid) -> u32 {
        self.client.view().pending_vectors(gfid)
    }

    /// Takes those of a vGPU's interrupts that can be signalled to its guest now, a bit each; the
    /// others stay pending, and go with the vGPU's state.
    pub fn take_vectors_of(&mut self, gfid: Gfid, vectors: u32) -> u32 {
        self.client.view().take_vectors_of(gfid, vectors)
    }

    /// Takes a vGPU's interrupts, to signal them to its guest.
    pub fn take_vectors(&mut self, gfid: Gfid) -> u32 {
        self.client.view().take_vectors(gfid)
    }
}
