//! Records of the state stream.
//!
//! A record is a header of 24 bytes, a `postcard` body, and for bulk a raw payload:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 2 | kind; 0 is illegal |
//! | 2 | 1 | version of the body, from 1 |
//! | 3 | 1 | flags; bit 0: may be skipped by who does not know the kind |
//! | 4 | 4 | body length |
//! | 8 | 8 | payload length |
//! | 16 | 4 | CRC-32C of the payload |
//! | 20 | 4 | CRC-32C of the header up to here and the body |
//!
//! All integers are little-endian. Order: descriptor, rounds of pages, vGPU, channels,
//! contexts, function, trailer.
//!
//! Bodies are frozen by version: [`v1`] has all of them, and a shape that has changed since stands
//! in a later module beside it. The names in this module are the newest of each. A *stream* has a
//! version too, which says what version its records have ([`Kind::version_in`]).

pub mod v1;
pub mod v2;

use crate::codec::{WireError, crc32c};

pub use v1::{Channel, Context, Descriptor, Function, PageRun, Pages, RUNS_MAX, Share, Trailer};
pub use v2::Vgpu;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 24;
/// Longest body in bytes.
pub const BODY_BYTES_MAX: usize = 512;
/// Longest payload in bytes: what a staging slot holds.
pub const PAYLOAD_BYTES_MAX: u64 = 256 * 1024;
/// Oldest stream version. One of version 0 is of a build from before the format was frozen.
pub const STREAM_VERSION_MIN: u8 = 1;
/// Newest stream version.
pub const STREAM_VERSION_MAX: u8 = 2;
/// Flag: who does not know the kind may skip the record.
pub const OPTIONAL: u8 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// [`Descriptor`], the first.
    Descriptor = 1,
    /// [`Pages`] with their bytes as payload.
    Pages = 2,
    /// [`Vgpu`].
    Vgpu = 3,
    /// [`Channel`].
    Channel = 4,
    /// [`Context`] with its bytes as payload.
    Context = 5,
    /// [`Function`] with its channel registers as payload.
    Function = 6,
    /// [`Trailer`], the last.
    Trailer = 7,
}

impl Kind {
    /// `None` for a kind that this version does not know.
    pub const fn new(raw: u16) -> Option<Self> {
        Some(match raw {
            1 => Self::Descriptor,
            2 => Self::Pages,
            3 => Self::Vgpu,
            4 => Self::Channel,
            5 => Self::Context,
            6 => Self::Function,
            7 => Self::Trailer,
            _ => return None,
        })
    }

    /// Version of such a record in a stream of this version: the newest that is not above it.
    ///
    /// The descriptor's is 1 in every stream: it is sent before the other side has said what it
    /// reads.
    pub const fn version_in(self, stream_version: u8) -> u8 {
        match self {
            Self::Vgpu if stream_version >= 2 => 2,
            Self::Descriptor
            | Self::Pages
            | Self::Vgpu
            | Self::Channel
            | Self::Context
            | Self::Function
            | Self::Trailer => 1,
        }
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::Pages => "pages",
            Self::Vgpu => "vgpu",
            Self::Channel => "channel",
            Self::Context => "context",
            Self::Function => "function",
            Self::Trailer => "trailer",
        }
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// A [`Kind`]'s number, or one that this version does not know.
    pub kind: u16,
    /// Of the body.
    pub version: u8,
    /// [`OPTIONAL`] or nothing.
    pub flags: u8,
    /// Length of the body.
    pub body_bytes: u32,
    /// Length of the payload.
    pub payload_bytes: u64,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

impl Header {
    /// The header as it is written before `body`.
    pub fn encode(&self, body: &[u8]) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = self
            .kind
            .to_le_bytes()
            .into_iter()
            .chain([self.version, self.flags])
            .chain(self.body_bytes.to_le_bytes())
            .chain(self.payload_bytes.to_le_bytes())
            .chain(self.payload_crc.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        let crc = Self::crc(&bytes, body);
        for (to, from) in bytes.iter_mut().skip(HEADER_BYTES - 4).zip(crc.to_le_bytes()) {
            *to = from;
        }
        bytes
    }

    /// Reads a header, and bounds its lengths. The CRC, which covers the body, is for
    /// [`Self::check`].
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`]: kind 0, an unknown flag, or a length over its limit.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, WireError> {
        let [
            k0,
            k1,
            version,
            flags,
            b0,
            b1,
            b2,
            b3,
            p0,
            p1,
            p2,
            p3,
            p4,
            p5,
            p6,
            p7,
            c0,
            c1,
            c2,
            c3,
            _,
            _,
            _,
            _,
        ] = *bytes;
        let header = Self {
            kind: u16::from_le_bytes([k0, k1]),
            version,
            flags,
            body_bytes: u32::from_le_bytes([b0, b1, b2, b3]),
            payload_bytes: u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]),
            payload_crc: u32::from_le_bytes([c0, c1, c2, c3]),
        };
        if header.kind == 0
            || header.flags & !OPTIONAL != 0
            || header.body_bytes as usize > BODY_BYTES_MAX
            || header.payload_bytes > PAYLOAD_BYTES_MAX
        {
            return Err(WireError::Malformed);
        }
        Ok(header)
    }

    /// Checks the header's CRC over its bytes and the body's.
    ///
    /// # Errors
    ///
    /// [`WireError::BadCrc`].
    pub fn check(bytes: &[u8; HEADER_BYTES], body: &[u8]) -> Result<(), WireError> {
        let [.., c0, c1, c2, c3] = *bytes;
        if Self::crc(bytes, body) == u32::from_le_bytes([c0, c1, c2, c3]) {
            Ok(())
        } else {
            Err(WireError::BadCrc)
        }
    }

    fn crc(bytes: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
        let mut covered = [0; HEADER_BYTES - 4 + BODY_BYTES_MAX];
        let parts = bytes.iter().take(HEADER_BYTES - 4).chain(body.iter().take(BODY_BYTES_MAX));
        let mut length = 0usize;
        for (to, from) in covered.iter_mut().zip(parts) {
            *to = *from;
            length = length.wrapping_add(1);
        }
        crc32c(covered.get(..length).unwrap_or(&covered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            kind: Kind::Pages as u16,
            version: 1,
            flags: 0,
            body_bytes: 3,
            payload_bytes: 4096,
            payload_crc: 0x0102_0304,
        }
    }

    #[test]
    fn a_header_reads_back_as_written() {
        let bytes = sample().encode(b"abc");
        assert_eq!(Header::parse(&bytes), Ok(sample()));
        assert_eq!(Header::check(&bytes, b"abc"), Ok(()));
        assert_eq!(Header::check(&bytes, b"abd"), Err(WireError::BadCrc));
    }

    #[test]
    fn every_flipped_bit_of_header_and_body_is_found() {
        let good = sample().encode(b"abc");
        for bit in 0..8 * HEADER_BYTES {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = Header::parse(&bytes).is_ok() && Header::check(&bytes, b"abc").is_ok();
            assert!(!accepted, "bit {bit}");
        }
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        let long = Header { body_bytes: BODY_BYTES_MAX as u32 + 1, ..sample() };
        assert_eq!(Header::parse(&long.encode(&[])), Err(WireError::Malformed));
        let huge = Header { payload_bytes: PAYLOAD_BYTES_MAX + 1, ..sample() };
        assert_eq!(Header::parse(&huge.encode(&[])), Err(WireError::Malformed));
    }

    #[test]
    fn the_longest_body_fits() {
        let run = PageRun { first: u32::MAX, count: u32::MAX, zero: true };
        let runs = core::iter::repeat_n(run, RUNS_MAX).collect();
        let mut buffer = [0; BODY_BYTES_MAX];
        assert!(crate::encode(&Pages { round: u32::MAX, runs }, &mut buffer).is_ok());
    }
}
