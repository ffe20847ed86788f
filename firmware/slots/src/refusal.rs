//! Why an image does not boot.

use core::fmt;

/// Why an image is refused: by the tools with this text, by the boot stage with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Refusal {
    /// There is none.
    Empty = 1,
    /// Shorter than a header, or than its header says.
    Truncated = 2,
    /// Bytes are left over.
    TooLong = 3,
    /// It does not begin as an image does.
    Magic = 4,
    /// A version of the header that is not known.
    Format = 5,
    /// A field of the header can have no such value.
    Header = 6,
    /// It has no bytes, or more than a slot has room for.
    Length = 7,
    /// Header and signature are not what the key's owner signed.
    Signature = 8,
    /// It is for another board.
    Board = 9,
    /// It would load where the board has no memory for it.
    Load = 10,
    /// It would start outside of itself.
    Entry = 11,
    /// The payload is not the one that was signed.
    Hash = 12,
    /// Its security version is below the guard.
    RolledBack = 13,
    /// The flash has no public key to check it with.
    Key = 14,
}

impl Refusal {
    /// Each one.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::Truncated,
        Self::TooLong,
        Self::Magic,
        Self::Format,
        Self::Header,
        Self::Length,
        Self::Signature,
        Self::Board,
        Self::Load,
        Self::Entry,
        Self::Hash,
        Self::RolledBack,
        Self::Key,
    ];

    /// Its number, which is never 0.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The one with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }

    /// Its name, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::TooLong => "too-long",
            Self::Magic => "magic",
            Self::Format => "format",
            Self::Header => "header",
            Self::Length => "length",
            Self::Signature => "signature",
            Self::Board => "board",
            Self::Load => "load",
            Self::Entry => "entry",
            Self::Hash => "hash",
            Self::RolledBack => "rolled-back",
            Self::Key => "key",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no image",
            Self::Truncated => "it is cut off: bytes of the header or of the payload are missing",
            Self::TooLong => "bytes are left over: an image ends with its payload",
            Self::Magic => "it is no image: an image begins with `GODWITIM`",
            Self::Format => "its header has an unknown version: version 1 is allowed",
            Self::Header => {
                "its header is malformed: 192 bytes, a board's name in lower case, and zeros where \
                 nothing is defined are allowed"
            }
            Self::Length => {
                "its length cannot be: from one byte to a slot's room (1048384) is allowed"
            }
            Self::Signature => {
                "its signature is wrong: it was changed after it was signed, or was signed with \
                 another key"
            }
            Self::Board => "it is for another board",
            Self::Load => "it would load outside of the memory that its board has for an image",
            Self::Entry => "it would start outside of itself",
            Self::Hash => "its payload is not the one that was signed: the SHA-256 differs",
            Self::RolledBack => {
                "it is a rollback: its security version is below the lowest that is allowed"
            }
            Self::Key => "the flash has no sound public key of this board to check it with",
        })
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_number() {
        for one in Refusal::ALL {
            assert_eq!(Refusal::from_code(one.code()), Some(one));
        }
        assert_eq!(Refusal::from_code(0), None);
    }
}
