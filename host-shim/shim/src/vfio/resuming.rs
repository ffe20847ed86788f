//! The data session in which a vGPU's state is written.

use super::bus::Bus;
use super::{MigrationError, wait, wipe};
use crate::host::{Host, VgpuInfo};
use crate::restore::{RestoreError, RestoreState, Restorer, Wanted};
use crate::stream::StreamError;
use godwit_types::Gfid;

#[derive(Debug)]
pub(super) struct Resuming {
    gfid: Gfid,
    restorer: Restorer,
}

impl Resuming {
    /// A state is to be written over what the vGPU is.
    pub(super) fn new(host: &Host, gfid: Gfid, home: &VgpuInfo) -> Self {
        let wanted = Wanted { profile: Some(home.profile), uuid: None, token: None };
        Self { gfid, restorer: Restorer::new(host, wanted) }
    }

    /// Takes bytes, and works on all of them that it can. What the vGPU was is gone as soon as it
    /// is known that the state fits; its place, and what it has on the bus, are those given.
    pub(super) fn write(
        &mut self,
        host: &mut Host,
        bytes: &[u8],
        place: (&VgpuInfo, &Bus),
    ) -> Result<(), MigrationError> {
        if self.restorer.step(host) == RestoreState::Ready && !bytes.is_empty() {
            return Err(RestoreError::Stream(StreamError::AfterEnd).into());
        }
        self.restorer.feed(bytes);
        self.work(host, place, false)
    }

    /// Works until it needs more bytes, or `whole`, until all is in place.
    fn work(
        &mut self,
        host: &mut Host,
        (home, bus): (&VgpuInfo, &Bus),
        whole: bool,
    ) -> Result<(), MigrationError> {
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
            wipe(host, self.gfid)?;
            self.restorer.accept_at(host, self.gfid, home.placement, home.share);
            wait(host, |host| match self.restorer.step(host) {
                RestoreState::Undone(why) => Some(Err(why)),
                _ => host.card().gpu().partition(self.gfid).is_some().then_some(Ok(())),
            })??;
            bus.set(host, self.gfid);
        }
    }

    /// No more bytes come: whether what came is a whole state, which is in place then. Returns the
    /// vGPU's own id, and the number of its transfer.
    pub(super) fn finish(
        &mut self,
        host: &mut Host,
        place: (&VgpuInfo, &Bus),
    ) -> Result<([u8; 16], u64), MigrationError> {
        self.restorer.finish();
        self.work(host, place, true)?;
        let descriptor = self.restorer.descriptor();
        let descriptor = descriptor.ok_or(MigrationError::WrongState)?;
        Ok((descriptor.uuid, descriptor.token))
    }

    /// Takes back what is not complete. What the vGPU was is not there again for that.
    pub(super) fn give_up(mut self, host: &mut Host) -> Result<(), MigrationError> {
        self.restorer.give_up(host);
        wait(host, |host| match self.restorer.step(host) {
            RestoreState::Undone(_) => Some(()),
            _ => None,
        })
    }
}
