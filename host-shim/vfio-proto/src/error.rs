//! What can be wrong with a message.

use crate::features::DMA_RANGES_MAX;

/// What is wrong with a message, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length that no message has.
    #[error("a message of {size} bytes: 16 to {most} are allowed")]
    Size {
        /// What the header says.
        size: u32,
        /// The most that is allowed.
        most: u32,
    },
    /// A message that neither asks nor answers.
    #[error("a message of type {0}: 0 (command) and 1 (reply) are allowed")]
    Kind(u32),
    /// A command that there is not, or not here.
    #[error("command {0} is not supported")]
    Command(u16),
    /// A body that is too short or too long for what it says.
    #[error("a body of {found} bytes, where {wanted} are needed")]
    Length {
        /// Bytes that there are.
        found: usize,
        /// Bytes that there must be.
        wanted: usize,
    },
    /// `argsz` is too small for what it covers.
    #[error("argsz is {found}: {wanted} at least is needed")]
    Argsz {
        /// What it is.
        found: u32,
        /// What it must be at least.
        wanted: u32,
    },
    /// Flags that mean nothing.
    #[error("flags {0:#x} mean nothing here")]
    Flags(u32),
    /// Another count of file descriptors than the message speaks of.
    #[error("{found} file descriptors, where {allowed} are allowed")]
    Fds {
        /// How many came.
        found: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// More bytes at a time than was agreed.
    #[error("{found} bytes of data at once: up to {most} are allowed")]
    Data {
        /// How many.
        found: u64,
        /// The most that is allowed.
        most: u32,
    },
    /// More entries than a message may have.
    #[error("{0} ranges: up to {DMA_RANGES_MAX} are allowed")]
    Ranges(u32),
    /// A page that no memory has.
    #[error("a page of {0:#x} bytes: a power of two is allowed")]
    Page(u64),
    /// A range that is empty or ends past the last address.
    #[error("a range of {length:#x} bytes from {iova:#x} on is empty, or ends past 64 bits")]
    Range {
        /// Its first address.
        iova: u64,
        /// Its length.
        length: u64,
    },
    /// A feature that there is not, or without that method.
    #[error("feature {0} has no such method here")]
    Feature(u16),
    /// Text of capabilities that is none.
    #[error("the capabilities are not as they must be: {0}")]
    Capabilities(String),
    /// Versions that do not go together.
    #[error("version {0}.{1}: 0.0 and 0.1 are supported")]
    Version(u16, u16),
    /// An answer, where a command is wanted.
    #[error("an answer, where a command is wanted")]
    NoCommand,
    /// A command, where an answer is wanted.
    #[error("a command, where an answer is wanted")]
    NoAnswer,
    /// An answer that says that the command failed, with the number of Linux; 0 where the peer did
    /// not say which.
    #[error("the command failed: errno {0}")]
    Failed(u32),
    /// An answer to something that was not asked.
    #[error("an answer to command {found}, where command {wanted} was asked")]
    Answer {
        /// What it answers.
        found: u16,
        /// What was asked.
        wanted: u16,
    },
}

impl WireError {
    /// Whether nothing that follows on the connection can be understood. All others are told to
    /// the peer as the failure of one command.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Kind(_))
    }

    /// The number of Linux that the peer is told: `EINVAL`, as libvfio-user has it, and `E2BIG` for
    /// more ranges than a message may have, as Linux has it.
    pub fn errno(&self) -> i32 {
        const EINVAL: i32 = 22;
        const E2BIG: i32 = 7;
        match self {
            Self::Ranges(_) => E2BIG,
            _ => EINVAL,
        }
    }
}
