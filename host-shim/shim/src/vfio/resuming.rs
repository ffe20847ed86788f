//! The data session in which a vGPU's state is written.

use super::{MigrationError, map_again, wait, wipe};
use crate::host::{Host, VgpuInfo};
use crate::restore::{RestoreError, RestoreState, Restorer, Wanted};
use crate::stream::StreamError;
use godwit_sim_gpu::DmaWindow;
use godwit_types::Gfid;

#[derive(Debug)]
pub(super) struct Resuming {
    gfid: Gfid,
    home: VgpuInfo,
    restorer: Restorer,
    /// The vGPU's DMA windows, which it has again when the state is in place.
    windows: Vec<DmaWindow>,
}

impl Resuming {
    /// A state is to be written over what the vGPU is.
    pub(super) fn new(host: &Host, gfid: Gfid, home: VgpuInfo) -> Self {
        let wanted = Wanted { profile: Some(home.profile), uuid: None, token: None };
        Self { gfid, home, restorer: Restorer::new(host, wanted), windows: Vec::new() }
    }

    /// Takes bytes, and works on all of them that it can. What the vGPU was is gone as soon as it
    /// is known that the state fits.
    pub(super) fn write(&mut self, host: &mut Host, bytes: &[u8]) -> Result<(), MigrationError> {
        if self.restorer.step(host) == RestoreState::Ready && !bytes.is_empty() {
            return Err(RestoreError::Stream(StreamError::AfterEnd).into());
        }
        self.restorer.feed(bytes);
        self.work(host, false)
    }

    /// Works until it needs more bytes, or `whole`, until all is in place.
    fn work(&mut self, host: &mut Host, whole: bool) -> Result<(), MigrationError> {
        loop {
            let described = wait(host, |host| match self.restorer.step(host) {
                RestoreState::Described => Some(Ok(true)),
                RestoreState::Ready => Some(Ok(false)),
                RestoreState::Undone(why) => Some(Err(why)),
                RestoreState::Working => {
                    (!whole && self.restorer.wants_bytes()).then_some(Ok(false))
                }
            })??;
            if !described {
                return Ok(());
            }
            self.windows = wipe(host, self.gfid)?;
            let VgpuInfo { placement, share, .. } = self.home;
            self.restorer.accept_at(host, self.gfid, placement, share);
        }
    }

    /// No more bytes come: whether what came is a whole state, which is in place then. Returns the
    /// vGPU's own id, and the number of its transfer.
    pub(super) fn finish(&mut self, host: &mut Host) -> Result<([u8; 16], u64), MigrationError> {
        self.restorer.finish();
        self.work(host, true)?;
        map_again(host, self.gfid, std::mem::take(&mut self.windows))?;
        let descriptor = self.restorer.descriptor();
        let descriptor = descriptor.ok_or(MigrationError::WrongState)?;
        Ok((descriptor.uuid, descriptor.token))
    }

    /// Takes back what is not complete. What the vGPU was is not there again for that. Returns its
    /// DMA windows.
    pub(super) fn give_up(mut self, host: &mut Host) -> Result<Vec<DmaWindow>, MigrationError> {
        self.restorer.give_up(host);
        wait(host, |host| match self.restorer.step(host) {
            RestoreState::Undone(_) => Some(()),
            _ => None,
        })?;
        Ok(self.windows)
    }
}
