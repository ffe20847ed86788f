//! The MSI-X table, which a migration manager writes.
//!
//! QEMU emulates it and tells nobody what is in it, so it is not here: the manager's write goes to
//! where the guest has it, which is in the machine's memory at the address of its BAR, as a write
//! of the device ([`DmaAccess::Write`]). It is answered when the machine has answered.

use crate::config_space::MSIX_BAR;
use crate::device::{Device, Who};
use crate::migration::PATIENCE;
use crate::refusal::Refusal;
use crate::wire::Outstanding;
use godwit_types::VECTOR_COUNT;
use godwit_vfio_proto::{DmaAccess, Header, RegionAccess, Reply};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// Bytes of an entry: an address, data and a mask.
const ENTRY_BYTES: u64 = 16;
const TABLE_BYTES: u64 = VECTOR_COUNT as u64 * ENTRY_BYTES;

/// A write that the machine has not answered yet.
#[derive(Debug)]
pub(crate) struct TableWrite {
    header: Header,
    access: RegionAccess,
    /// The number of the message to the machine.
    id: u16,
    end: Instant,
}

impl TableWrite {
    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

impl Device {
    /// Sends the machine what a manager writes to the table.
    pub(crate) fn table_write(
        &mut self,
        header: &Header,
        access: RegionAccess,
        data: &[u8],
    ) -> Result<(), Refusal> {
        let RegionAccess { offset, count, .. } = access;
        let whole = offset.is_multiple_of(4) && count.is_multiple_of(4);
        if !whole || offset + u64::from(count) > TABLE_BYTES {
            let why = format!("whole words of the {TABLE_BYTES} bytes of the table are allowed");
            return Err(Refusal::new(why));
        }
        let Some(base) = self.config.memory_bar(MSIX_BAR) else {
            let why = "the guest has not given BAR 4 an address, or not switched on its memory \
                       and its bus master";
            return Err(Refusal::with(Errno::NXIO, why));
        };
        if self.machine.is_none() {
            return Err(Refusal::with(Errno::NOTCONN, "no machine is there to write it to"));
        }
        if !self.may_send() {
            return Err(Refusal::with(Errno::BUSY, "the machine has much to answer already"));
        }
        let iova = base + offset;
        self.send(&DmaAccess::Write { iova, data }, Outstanding::Table(iova, count.into()));
        let (header, id, end) = (*header, self.last_id, Instant::now() + PATIENCE);
        self.table = Some(TableWrite { header, access, id, end });
        Ok(())
    }

    /// The machine has answered such a write.
    pub(crate) fn table_answered(&mut self, id: u16, is_done: bool) {
        if self.table.as_ref().is_some_and(|write| write.id == id) {
            self.finish_table(if is_done { Ok(()) } else { Err(Errno::IO) });
        }
    }

    /// Goes on with a write that is not answered yet.
    pub(crate) fn step_table(&mut self) {
        let Some(write) = &self.table else { return };
        if self.machine.is_none() {
            self.finish_table(Err(Errno::NOTCONN));
        } else if write.left().is_zero() {
            self.finish_table(Err(Errno::TIMEDOUT));
        }
    }

    fn finish_table(&mut self, result: Result<(), Errno>) {
        let Some(TableWrite { header, access, .. }) = self.table.take() else { return };
        let reply = match result {
            Ok(()) => Reply::RegionWritten(access).encode(&header),
            Err(errno) => {
                self.note(format_args!("the machine did not take the MSI-X table: {errno}"));
                header.failure(errno.raw_os_error()).to_vec()
            }
        };
        self.answer_later(Who::Manager, &header, reply);
    }
}
