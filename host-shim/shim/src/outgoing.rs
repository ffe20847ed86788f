//! A state stream on its way out.

use crate::chunks::Chunks;
use crate::stream::{RecordBody, StreamVersion, Writer};
use godwit_regs::copy::PageRun;
use godwit_wire::record::{self, Kind};

/// Records become bytes that wait to be taken. Payloads are moved, not copied.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    writer: Writer,
    pub(crate) bytes: Chunks,
}

impl Outgoing {
    /// A stream in this version.
    pub(crate) fn new(version: StreamVersion) -> Self {
        let mut outgoing = Self::default();
        outgoing.set_version(version);
        outgoing
    }

    /// What follows the descriptor is in this version.
    pub(crate) fn set_version(&mut self, version: StreamVersion) {
        self.writer.set_version(version);
    }

    /// Writes one record. Returns how many bytes it takes.
    pub(crate) fn record<T: RecordBody>(&mut self, kind: Kind, body: &T, payload: Vec<u8>) -> u64 {
        let crc = crc_fast::crc32_iscsi(&payload);
        self.checked_record(kind, body, payload, crc)
    }

    /// The same where the payload is known to have this CRC-32C.
    pub(crate) fn checked_record<T: RecordBody>(
        &mut self,
        kind: Kind,
        body: &T,
        payload: Vec<u8>,
        crc: u32,
    ) -> u64 {
        let head = self.writer.head(kind, body, payload.len(), crc);
        let byte_count = (head.len() + payload.len()) as u64;
        self.bytes.push(head);
        self.bytes.push(payload);
        byte_count
    }

    /// Writes the bytes of some pages, which have this CRC-32C.
    pub(crate) fn pages(
        &mut self,
        round: u32,
        runs: &[PageRun],
        payload: Vec<u8>,
        crc: u32,
    ) -> u64 {
        let runs = runs
            .iter()
            .map(|run| record::PageRun { first: run.first, count: run.count, zero: run.zero })
            .collect();
        self.checked_record(Kind::Pages, &record::Pages { round, runs }, payload, crc)
    }

    /// Writes the trailer, which ends the stream. Returns how many bytes it takes.
    pub(crate) fn finish(&mut self) -> u64 {
        let trailer = self.writer.clone().finish();
        let byte_count = trailer.len() as u64;
        self.bytes.push(trailer);
        byte_count
    }
}
