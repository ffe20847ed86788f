//! Records to bytes.

use super::version::{RecordBody, StreamVersion};
use godwit_wire::record::{BODY_BYTES_MAX, Header, Kind, PAYLOAD_BYTES_MAX, Trailer};
use sha2::{Digest, Sha256};

/// Encodes the records of one stream, and keeps what the trailer needs.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    version: StreamVersion,
    digest: Sha256,
    record_count: u64,
}

impl Writer {
    /// A stream without records, of the newest version.
    pub fn new() -> Self {
        Self::default()
    }

    /// Encodes what follows in this version. The descriptor is the same in all of them, so the
    /// version may be chosen when its reader has answered.
    pub fn set_version(&mut self, version: StreamVersion) {
        self.version = version;
    }

    /// Encodes one record.
    ///
    /// # Panics
    ///
    /// As [`Self::head`].
    pub fn record<T: RecordBody>(&mut self, kind: Kind, body: &T, payload: &[u8]) -> Vec<u8> {
        let crc = crc_fast::crc32_iscsi(payload);
        let mut bytes = self.head(kind, body, payload.len(), crc);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Encodes one record up to its payload, which is to follow: so many bytes with this CRC-32C.
    ///
    /// # Panics
    ///
    /// When the body or the payload is over its limit, which their types and the size of a
    /// staging slot rule out.
    pub fn head<T: RecordBody>(
        &mut self,
        kind: Kind,
        body: &T,
        payload_bytes: usize,
        payload_crc: u32,
    ) -> Vec<u8> {
        let payload_bytes = payload_bytes as u64;
        assert!(payload_bytes <= PAYLOAD_BYTES_MAX, "a payload fits a staging slot");
        let mut buffer = [0; BODY_BYTES_MAX];
        let version = self.version.of(kind);
        let body = body.encode_as(version, &mut buffer).expect("a body fits its limit");
        let header = Header {
            kind: kind as u16,
            version,
            flags: 0,
            body_bytes: body.len() as u32,
            payload_bytes,
            payload_crc,
        }
        .encode(body);
        if kind != Kind::Trailer {
            self.digest.update(header);
            self.record_count += 1;
        }
        [&header, body].concat()
    }

    /// Encodes the trailer, which ends the stream.
    pub fn finish(mut self) -> Vec<u8> {
        let trailer = Trailer {
            record_count: self.record_count,
            digest: self.digest.clone().finalize().into(),
        };
        self.head(Kind::Trailer, &trailer, 0, 0)
    }
}
