//! Records of the state stream.
//!
//! A record is a header of 24 bytes, a `postcard` body, and for bulk a raw payload:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 2 | kind; 0 is illegal |
//! | 2 | 1 | version of the body; 0: not frozen yet |
//! | 3 | 1 | flags; bit 0: may be skipped by who does not know the kind |
//! | 4 | 4 | body length |
//! | 8 | 8 | payload length |
//! | 16 | 4 | CRC-32C of the payload |
//! | 20 | 4 | CRC-32C of the header up to here and the body |
//!
//! All integers are little-endian. Order: descriptor, rounds of pages, vGPU, channels,
//! contexts, function, trailer.

use crate::codec::{WireError, crc32c};
use serde::{Deserialize, Serialize};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 24;
/// Longest body in bytes.
pub const BODY_BYTES_MAX: usize = 512;
/// Longest payload in bytes: what a staging slot holds.
pub const PAYLOAD_BYTES_MAX: u64 = 256 * 1024;
/// Page runs of one pages record.
pub const RUNS_MAX: usize = 32;
/// Version of the bodies below. They are not frozen yet, so a stream of another build may
/// not be readable.
pub const VERSION: u8 = 0;
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

/// What the stream holds, so that a destination which cannot take it says so at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The vGPU's own id, which it keeps wherever it goes.
    pub uuid: [u8; 16],
    /// Counts the moves and suspends of this vGPU, so that a stale stream is known.
    pub token: u64,
    /// Bytes of its partition.
    pub fb_bytes: u64,
    /// Bytes of its aperture.
    pub bar_bytes: u64,
    /// Channels.
    pub channel_count: u16,
    /// Bytes of each channel's context buffer.
    pub context_bytes: u32,
    /// Version of what the device writes to a context buffer.
    pub context_layout: u32,
    /// What it was due of the engines where it comes from.
    pub share: crate::mailbox::Share,
}

/// Pages of the partition. The payload has the bytes of those that are not zero, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Round, counted from 0.
    pub round: u32,
    /// Which pages.
    pub runs: heapless::Vec<PageRun, RUNS_MAX>,
}

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRun {
    /// First page of the partition.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// All of them are zero and have no bytes in the payload.
    pub zero: bool,
}

/// A vGPU's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vgpu {
    /// The guest's time when it was stopped.
    pub guest_time_ns: u64,
    /// Interrupts that were raised and not taken, by bit.
    pub pending_vectors: u32,
    /// Channel records that follow.
    pub channel_count: u16,
    /// Channels whose contexts follow.
    pub context_count: u16,
}

/// A channel's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The guest's number.
    pub channel: u16,
    /// Its group, as the guest knows it.
    pub tsg: u16,
    /// Its engine.
    pub runlist: u8,
    /// Base of its ring in the partition.
    pub ring_base: u64,
    /// Entries of its ring, as a power of two.
    pub ring_log2: u8,
    /// Grace period of its group, in units of 100 microseconds.
    pub grace: u8,
    /// Why it stands still for good; 0: it does not.
    pub fault: u8,
    /// Its group has work, or a doorbell that was not served.
    pub pending: bool,
    /// Its context follows.
    pub used: bool,
    /// Boundary its group left the engine at: 0 work done, 1 WFI, 2 CTA, 3 instruction.
    pub left_at: u8,
}

/// Part of a channel's context; the payload has its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Whose.
    pub channel: u16,
    /// First byte in the context buffer.
    pub at: u32,
}

/// What the guest has written to its function's registers and the device does not keep. The
/// payload has, for each channel from 0 on, the five words before `Control`, and 1 if its last
/// request was refused; little-endian words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Channels that have words in the payload.
    pub channel_count: u16,
}

/// The end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// Records before this one.
    pub record_count: u64,
    /// SHA-256 over all their headers, which hold the CRCs of everything else.
    pub digest: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            kind: Kind::Pages as u16,
            version: VERSION,
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
