//! Bytes to records: bounded, in order, whole.

use super::seal;
use super::version::{RecordBody, StreamVersion};
use bytes::{Bytes, BytesMut};
use godwit_wire::record::{
    Channel, Context, Descriptor, Function, HEADER_BYTES, Header, Kind, OPTIONAL, Pages, Trailer,
    Vgpu,
};
use sha2::{Digest, Sha256};

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the record of the same name says what it is")]
pub enum Body {
    Descriptor(Descriptor),
    Pages(Box<Pages>),
    Vgpu(Vgpu),
    Channel(Channel),
    Context(Context),
    Function(Function),
    Trailer(Trailer),
}

/// One record that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub body: Body,
    /// Version that it was written in.
    pub version: u8,
    /// Its bulk bytes: part of what was fed, and not copied.
    pub payload: Bytes,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It ends before its trailer.
    #[error("the state is truncated: it ends after {at} bytes, before its trailer")]
    Truncated {
        /// Bytes that there were.
        at: u64,
    },
    /// A header with a kind, flag or length that cannot be.
    #[error("the state is damaged: the record at byte {at} has a malformed header")]
    BadHeader {
        /// First byte of the record.
        at: u64,
    },
    /// A checksum does not agree.
    #[error("the state is damaged: the {part} of the record at byte {at} does not have its CRC")]
    BadCrc {
        /// First byte of the record.
        at: u64,
        /// Which part.
        part: &'static str,
    },
    /// A body that is no value of its kind.
    #[error("the state is damaged: the body of the record at byte {at} is malformed")]
    BadBody {
        /// First byte of the record.
        at: u64,
    },
    /// A record of a newer version.
    #[error(
        "the state is newer: the {kind} record at byte {at} has version {version}, and versions 1 \
         to {newest} are read"
    )]
    Newer {
        /// First byte of the record.
        at: u64,
        /// Its kind.
        kind: &'static str,
        /// Its version.
        version: u8,
        /// The newest that is read.
        newest: u8,
    },
    /// A record of a version from before the format was frozen.
    #[error(
        "the state is older: the {kind} record at byte {at} has version 0, which was not stable, \
         and versions 1 to {newest} are read"
    )]
    Unfrozen {
        /// First byte of the record.
        at: u64,
        /// Its kind.
        kind: &'static str,
        /// The newest that is read.
        newest: u8,
    },
    /// A sealed stream, of which nothing can be read.
    #[error("the state is sealed, and no key was given to open it with")]
    Sealed,
    /// A mandatory record of a kind that is not known.
    #[error("the state has a mandatory record of unknown kind {kind} at byte {at}")]
    UnknownKind {
        /// First byte of the record.
        at: u64,
        /// Its kind.
        kind: u16,
    },
    /// A record in a place where it cannot stand.
    #[error("the state is damaged: the record at byte {at} is out of order")]
    OutOfOrder {
        /// First byte of the record.
        at: u64,
    },
    /// The trailer does not agree with what came before.
    #[error("the state is damaged: its records are not those that the trailer counts")]
    BadTrailer,
    /// Bytes after the trailer.
    #[error("the state is damaged: there are bytes after its trailer")]
    AfterEnd,
}

/// Takes bytes in any segmentation and hands out checked records. Holds at most one record,
/// whose lengths are bounded before they are believed.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    version: StreamVersion,
    buffer: BytesMut,
    /// Bytes of the records that were handed out, and of those of them that hold pages.
    at: u64,
    page_bytes: u64,
    digest: Sha256,
    record_count: u64,
    last: Option<Kind>,
}

impl Reader {
    /// A stream of which nothing is known, of any version.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, of a version up to this.
    pub fn up_to(version: StreamVersion) -> Self {
        Self { version, ..Self::default() }
    }

    /// Takes bytes. Call [`Self::next_record`] until it gives none before giving more, so
    /// that no more than one record and these bytes are held.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes bytes that are the caller's no more: nothing is copied when none wait.
    pub fn feed_owned(&mut self, bytes: BytesMut) {
        if self.buffer.is_empty() {
            self.buffer = bytes;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// Bytes of the records so far that hold pages, and of all others.
    pub fn bytes(&self) -> (u64, u64) {
        (self.page_bytes, self.at - self.page_bytes)
    }

    /// Whether the trailer was handed out.
    pub fn is_complete(&self) -> bool {
        self.last == Some(Kind::Trailer)
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    ///
    /// [`StreamError::Truncated`] before the trailer.
    pub fn finish(&self) -> Result<(), StreamError> {
        if self.is_complete() {
            Ok(())
        } else {
            Err(StreamError::Truncated { at: self.at + self.buffer.len() as u64 })
        }
    }

    /// The next record, or `None` when more bytes are needed. A record that is not known and
    /// may be skipped is skipped.
    ///
    /// # Errors
    ///
    /// See [`StreamError`]. The stream is not usable any more.
    pub fn next_record(&mut self) -> Result<Option<Record>, StreamError> {
        loop {
            if self.is_complete() {
                return if self.buffer.is_empty() { Ok(None) } else { Err(StreamError::AfterEnd) };
            }
            let at = self.at;
            if at == 0 && seal::is_sealed(&self.buffer) {
                return Err(StreamError::Sealed);
            }
            let Some(raw) = self.buffer.first_chunk::<HEADER_BYTES>().copied() else {
                return Ok(None);
            };
            let header = Header::parse(&raw).map_err(|_| StreamError::BadHeader { at })?;
            let body_end = HEADER_BYTES + header.body_bytes as usize;
            let end = body_end + header.payload_bytes as usize;
            let Some(body) = self.buffer.get(HEADER_BYTES..body_end) else { return Ok(None) };
            Header::check(&raw, body)
                .map_err(|_| StreamError::BadCrc { at, part: "header or body" })?;
            let body = self.parse(&header, body)?;
            let Some(payload) = self.buffer.get(body_end..end) else { return Ok(None) };
            if crc_fast::crc32_iscsi(payload) != header.payload_crc {
                return Err(StreamError::BadCrc { at, part: "payload" });
            }
            let payload = self.buffer.split_to(end).freeze().slice(body_end..);
            self.at += end as u64;
            let kind = Kind::new(header.kind);
            if kind == Some(Kind::Pages) {
                self.page_bytes += end as u64;
            }
            if kind != Some(Kind::Trailer) {
                self.digest.update(raw);
                self.record_count += 1;
            }
            if let Some(body) = body {
                self.last = kind;
                let Header { version, payload_crc, .. } = header;
                return Ok(Some(Record { body, version, payload, payload_crc }));
            }
        }
    }

    /// Decodes a body whose CRC is right. `None`: it is not known and may be skipped.
    fn parse(&self, header: &Header, body: &[u8]) -> Result<Option<Body>, StreamError> {
        let at = self.at;
        let Some(kind) = Kind::new(header.kind) else {
            let known_start = self.last.is_some();
            if header.flags & OPTIONAL != 0 && known_start {
                return Ok(None);
            }
            return Err(StreamError::UnknownKind { at, kind: header.kind });
        };
        let (version, newest) = (header.version, self.version.of(kind));
        match version {
            0 => return Err(StreamError::Unfrozen { at, kind: kind.name(), newest }),
            _ if version > newest => {
                return Err(StreamError::Newer { at, kind: kind.name(), version, newest });
            }
            _ => {}
        }
        if !self.may_follow(kind) {
            return Err(StreamError::OutOfOrder { at });
        }
        let bulk = matches!(kind, Kind::Pages | Kind::Context | Kind::Function);
        if !bulk && header.payload_bytes != 0 {
            return Err(StreamError::BadBody { at });
        }
        let parsed = match kind {
            Kind::Descriptor => Descriptor::decode_as(version, body).map(Body::Descriptor),
            Kind::Pages => Pages::decode_as(version, body).map(Box::new).map(Body::Pages),
            Kind::Vgpu => Vgpu::decode_as(version, body).map(Body::Vgpu),
            Kind::Channel => Channel::decode_as(version, body).map(Body::Channel),
            Kind::Context => Context::decode_as(version, body).map(Body::Context),
            Kind::Function => Function::decode_as(version, body).map(Body::Function),
            Kind::Trailer => Trailer::decode_as(version, body).map(Body::Trailer),
        }
        .map_err(|_| StreamError::BadBody { at })?;
        if let Body::Trailer(trailer) = &parsed {
            self.check_trailer(trailer)?;
        }
        Ok(Some(parsed))
    }

    /// Records come in the order of their kinds; those of which there may be many repeat.
    fn may_follow(&self, kind: Kind) -> bool {
        match self.last {
            None => kind == Kind::Descriptor,
            Some(last) if last == kind => {
                matches!(kind, Kind::Pages | Kind::Channel | Kind::Context)
            }
            // A vGPU's own record is what the rest hangs on.
            Some(Kind::Descriptor | Kind::Pages) => matches!(kind, Kind::Pages | Kind::Vgpu),
            Some(last) => last < kind && (kind != Kind::Trailer || last == Kind::Function),
        }
    }

    fn check_trailer(&self, trailer: &Trailer) -> Result<(), StreamError> {
        let digest: [u8; 32] = self.digest.clone().finalize().into();
        if trailer.record_count == self.record_count && trailer.digest == digest {
            Ok(())
        } else {
            Err(StreamError::BadTrailer)
        }
    }
}
