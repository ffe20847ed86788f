//! Guest memory: windows that the machine maps, and messages for those that it does not share.

use crate::connection::Message;
use crate::device::{Device, Who};
use crate::refusal::Refusal;
use godwit_shim::Host;
use godwit_sim_gpu::{DmaTarget, DmaWindow, WireAccess};
use godwit_vfio_proto::{DmaAccess, DmaFlags, DmaMap, DmaReply, DmaUnmap};
use std::os::fd::OwnedFd;

/// Messages to the machine that it has not answered, at most.
const OUTSTANDING_MAX: usize = 32;

/// What an answer of the machine is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outstanding {
    /// An access of the device, by its number there.
    Device(u64),
    /// Pages that are sent again: so many bytes from here on.
    Pages(u64, u64),
    /// The MSI-X table, likewise.
    Table(u64, u64),
}

impl Device {
    /// Maps a window. Where its memory cannot be mapped without danger, or comes with no
    /// descriptor, it is reached by messages.
    pub(crate) fn dma_map(
        &mut self,
        host: &mut Host,
        map: &DmaMap,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Refusal> {
        let end = map.offset + map.length;
        let memory = fds.into_iter().next().and_then(|fd| self.mappings.map(fd, end));
        let target = match memory {
            Some(memory) => DmaTarget::Memory { memory, offset: map.offset },
            None => DmaTarget::Wire,
        };
        let window = DmaWindow {
            iova: map.iova,
            byte_count: map.length,
            read: map.flags.contains(DmaFlags::READ),
            write: map.flags.contains(DmaFlags::WRITE),
            target,
        };
        Ok(host.dma_map(self.gfid, window)?)
    }

    pub(crate) fn dma_unmap(&mut self, host: &mut Host, unmap: DmaUnmap) -> Result<(), Refusal> {
        match unmap {
            DmaUnmap::One { iova, length } => Ok(host.dma_unmap(self.gfid, iova, length)?),
            DmaUnmap::All => {
                host.dma_unmap_all(self.gfid);
                Ok(())
            }
        }
    }

    /// Sends the machine what the device wants of its memory.
    pub(crate) fn carry(&mut self, host: &mut Host) {
        while self.may_send()
            && let Some(request) = host.card_mut().gpu_mut().dma_next_request(self.gfid)
        {
            let iova = request.iova;
            let access = match &request.access {
                WireAccess::Read { byte_count } => {
                    DmaAccess::Read { iova, count: (*byte_count).into() }
                }
                WireAccess::Write(data) => DmaAccess::Write { iova, data },
            };
            self.send(&access, Outstanding::Device(request.id));
        }
    }

    /// Whether one more message may go to the machine.
    pub(crate) fn may_send(&self) -> bool {
        let known = self.machine.as_ref().is_some_and(|machine| machine.is_known());
        known && self.outstanding.len() < OUTSTANDING_MAX
    }

    pub(crate) fn send(&mut self, access: &DmaAccess<'_>, what: Outstanding) {
        let Some(machine) = &mut self.machine else { return };
        self.last_id = self.last_id.wrapping_add(1);
        self.outstanding.insert(self.last_id, what);
        machine.connection.send(access.message(self.last_id), Vec::new());
    }

    /// The machine has answered.
    pub(crate) fn answered(
        &mut self,
        host: &mut Host,
        who: Who,
        message: &Message,
        error: Option<u32>,
    ) {
        let id = message.header.id;
        let asked = (who == Who::Machine).then(|| self.outstanding.remove(&id)).flatten();
        let Some(asked) = asked else {
            return self.note("an answer to nothing that was asked is dropped");
        };
        let limits = self.machine.as_ref().map(|machine| *machine.connection.limits());
        let reply = match (error, limits) {
            (None, Some(limits)) => DmaReply::parse(&message.header, &message.body, &limits).ok(),
            _ => None,
        };
        if reply.is_none() {
            let number = error.unwrap_or(0);
            self.note(format_args!("the machine refuses an access to its memory: errno {number}"));
        }
        match (asked, reply) {
            (Outstanding::Device(id), reply) => {
                let bytes = reply.map(|reply| match reply {
                    DmaReply::Read { data, .. } => data,
                    DmaReply::Written { .. } => &[],
                });
                host.card_mut().gpu_mut().dma_answer(self.gfid, id, bytes);
            }
            (Outstanding::Table(iova, count), reply) => {
                self.table_answered(id, reply == Some(DmaReply::Written { iova, count }));
            }
            (Outstanding::Pages(iova, count), reply) => {
                if reply != Some(DmaReply::Written { iova, count })
                    && let Some(stopping) = &mut self.stopping
                {
                    stopping.page_failed();
                }
            }
        }
    }
}
