//! The header of an image file.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `GODWITIM` |
//! | 8 | 4 | version of the header: 1 |
//! | 12 | 4 | bytes of the header: 192 |
//! | 16 | 32 | the board's name, zeros after it |
//! | 48 | 8 | version of the image: major, minor, patch, each of 16 bits, then zeros |
//! | 56 | 4 | security version |
//! | 60 | 4 | bytes of the payload |
//! | 64 | 8 | address that the payload loads at |
//! | 72 | 8 | address that it starts at |
//! | 80 | 16 | zeros |
//! | 96 | 32 | SHA-256 of the payload |
//! | 128 | 64 | Ed25519 signature of all of the header before it |
//!
//! Numbers are little-endian. The payload follows.

use crate::bytes::{double, field, is_blank, put, word};
use crate::{Refusal, Version};
use core::fmt;
use godwit_regs::flash::SLOT_BYTES;
use static_assertions::const_assert;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 192;
/// Those of them that are signed.
pub(crate) const SIGNED_BYTES: usize = 128;
/// The most bytes that a payload may have.
pub(crate) const PAYLOAD_BYTES_MAX: usize = SLOT_BYTES - HEADER_BYTES;
const_assert!(PAYLOAD_BYTES_MAX == 1_048_384); // as the refusal says

const MAGIC: [u8; 8] = *b"GODWITIM";
const FORMAT: u32 = 1;

const FORMAT_AT: usize = 8;
const HEADER_BYTES_AT: usize = 12;
const BOARD_AT: usize = 16;
const VERSION_AT: usize = 48;
const SECURITY_VERSION_AT: usize = 56;
const LENGTH_AT: usize = 60;
const LOAD_AT: usize = 64;
const ENTRY_AT: usize = 72;
const ZEROS_AT: usize = 80;
const SHA256_AT: usize = 96;

/// A board's name, as a header has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BoardName([u8; BOARD_BYTES]);

const BOARD_BYTES: usize = VERSION_AT - BOARD_AT;

impl BoardName {
    /// A name of lower-case letters, digits and `-`; `None` when it is another, or too long.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; BOARD_BYTES];
        if name.len() > BOARD_BYTES {
            return None;
        }
        put(&mut bytes, 0, name.as_bytes());
        Self::parse(bytes)
    }

    pub(crate) fn parse(bytes: [u8; BOARD_BYTES]) -> Option<Self> {
        let mut parts = bytes.splitn(2, |byte| *byte == 0);
        let name = parts.next()?;
        let sound = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let zeros = parts.next().is_none_or(|rest| rest.iter().all(|byte| *byte == 0));
        (!name.is_empty() && name.iter().all(sound) && zeros).then_some(Self(bytes))
    }

    pub(crate) const fn bytes(&self) -> &[u8; BOARD_BYTES] {
        &self.0
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        // It is ASCII, since it was made or parsed.
        core::str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Debug for BoardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a header says, besides its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The board that it is for.
    pub board: BoardName,
    /// Which image this is.
    pub version: Version,
    /// What the guard against rollbacks compares.
    pub security_version: u32,
    /// Address that the payload loads at.
    pub load: u64,
    /// Address that it starts at.
    pub entry: u64,
    /// Bytes of the payload.
    pub length: u32,
    /// SHA-256 of the payload.
    pub sha256: [u8; 32],
}

impl Header {
    /// The signed bytes, with zeros for the signature.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let [major, minor, patch] = self.version.parts();
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, FORMAT_AT, &FORMAT.to_le_bytes());
        put(&mut bytes, HEADER_BYTES_AT, &(HEADER_BYTES as u32).to_le_bytes());
        put(&mut bytes, BOARD_AT, &self.board.0);
        put(&mut bytes, VERSION_AT, &major.to_le_bytes());
        put(&mut bytes, VERSION_AT + 2, &minor.to_le_bytes());
        put(&mut bytes, VERSION_AT + 4, &patch.to_le_bytes());
        put(&mut bytes, SECURITY_VERSION_AT, &self.security_version.to_le_bytes());
        put(&mut bytes, LENGTH_AT, &self.length.to_le_bytes());
        put(&mut bytes, LOAD_AT, &self.load.to_le_bytes());
        put(&mut bytes, ENTRY_AT, &self.entry.to_le_bytes());
        put(&mut bytes, SHA256_AT, &self.sha256);
        bytes
    }

    /// Reads a header, which proves nothing yet: what it says is bounded, and not signed.
    ///
    /// # Errors
    ///
    /// [`Refusal`], the first that meets it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Refusal::Truncated)?;
        let magic: [u8; 8] = field(bytes, 0).ok_or(Refusal::Truncated)?;
        if is_blank(&magic) {
            return Err(Refusal::Empty);
        }
        if magic != MAGIC {
            return Err(Refusal::Magic);
        }
        // From here on every offset is within the header.
        if word(bytes, FORMAT_AT) != Some(FORMAT) {
            return Err(Refusal::Format);
        }
        let header = Self::fields(bytes).ok_or(Refusal::Header)?;
        if header.length == 0 || header.length as usize > PAYLOAD_BYTES_MAX {
            return Err(Refusal::Length);
        }
        Ok(header)
    }

    fn fields(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if word(bytes, HEADER_BYTES_AT)? != HEADER_BYTES as u32 {
            return None;
        }
        let part = |at| field(bytes, at).map(u16::from_le_bytes);
        let [major, minor, patch] =
            [part(VERSION_AT)?, part(VERSION_AT + 2)?, part(VERSION_AT + 4)?];
        let zeros: [u8; SHA256_AT - ZEROS_AT] = field(bytes, ZEROS_AT)?;
        if part(VERSION_AT + 6)? != 0 || zeros != [0; SHA256_AT - ZEROS_AT] {
            return None;
        }
        Some(Self {
            board: BoardName::parse(field(bytes, BOARD_AT)?)?,
            version: Version { major, minor, patch },
            security_version: word(bytes, SECURITY_VERSION_AT)?,
            load: double(bytes, LOAD_AT)?,
            entry: double(bytes, ENTRY_AT)?,
            length: word(bytes, LENGTH_AT)?,
            sha256: field(bytes, SHA256_AT)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_boards_are_plain() {
        assert_eq!(BoardName::new("qemu-virt-rv64").unwrap().as_str(), "qemu-virt-rv64");
        let longest = "a2345678901234567890123456789012";
        assert_eq!(BoardName::new(longest).unwrap().as_str(), longest);
        for name in ["", "Board", "a b", "a\0b", "a23456789012345678901234567890123"] {
            assert_eq!(BoardName::new(name), None, "{name:?}");
        }
    }

    /// These bytes are in other people's flash. Never edit them; add a format 2.
    #[test]
    fn format_1_bytes_are_frozen() {
        let header = Header {
            board: BoardName::new("b").unwrap(),
            version: Version::new([1, 2, 3]),
            security_version: 4,
            load: 0x8000_0000,
            entry: 0x8000_0010,
            length: 5,
            sha256: [6; 32],
        };
        let mut frozen = [0; HEADER_BYTES];
        frozen[..20].copy_from_slice(b"GODWITIM\x01\0\0\0\xc0\0\0\0b\0\0\0");
        frozen[48..64].copy_from_slice(&[1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0]);
        frozen[64..80].copy_from_slice(&[0, 0, 0, 128, 0, 0, 0, 0, 16, 0, 0, 128, 0, 0, 0, 0]);
        frozen[96..128].fill(6);
        assert_eq!(header.encode(), frozen);
        assert_eq!(Header::parse(&frozen), Ok(header));
    }
}
