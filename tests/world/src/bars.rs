//! A guest's BARs, as its host serves them.

use godwit_guest::Bars;
use godwit_shim::{Host, HostError};
use godwit_types::Gfid;

/// The BARs of one vGPU.
#[derive(Debug)]
pub struct HostBars<'a> {
    /// The host that it is on.
    pub host: &'a mut Host,
    /// Which of the host's.
    pub gfid: Gfid,
}

impl Bars for HostBars<'_> {
    type Error = HostError;

    fn read32(&mut self, offset: u32) -> Result<u32, HostError> {
        Ok(self.host.bar0_read(self.gfid, offset))
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), HostError> {
        self.host.bar0_write(self.gfid, offset, value);
        Ok(())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), HostError> {
        self.host.bar2_read(self.gfid, at, into)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), HostError> {
        self.host.bar2_write(self.gfid, at, from)
    }
}
