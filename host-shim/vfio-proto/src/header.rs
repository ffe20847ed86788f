//! The 16 bytes at the front of every message, in both directions.

use crate::layout::{RawHeader, read};
use crate::{Limits, WireError};
use zerocopy::IntoBytes as _;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;

const TYPE: u32 = 0xf;
const TYPE_REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

macro_rules! commands {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        /// What a message is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Command {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Command {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The command of this number.
            pub fn new(number: u16) -> Option<Self> {
                Self::ALL.iter().copied().find(|command| *command as u16 == number)
            }
        }
    };
}

commands! {
    /// The first message: versions and capabilities.
    Version = 1,
    /// The device may reach a range of bus addresses.
    DmaMap = 2,
    /// It may no longer.
    DmaUnmap = 3,
    /// What the device is.
    DeviceGetInfo = 4,
    /// What a region is.
    DeviceGetRegionInfo = 5,
    /// Descriptors by which writes to a region are passed on (ioeventfd).
    DeviceGetRegionIoFds = 6,
    /// What an interrupt is.
    DeviceGetIrqInfo = 7,
    /// Binds, masks and raises interrupts.
    DeviceSetIrqs = 8,
    /// Reads a region.
    RegionRead = 9,
    /// Writes a region.
    RegionWrite = 10,
    /// The server reads guest memory.
    DmaRead = 11,
    /// The server writes guest memory.
    DmaWrite = 12,
    /// Resets the device.
    DeviceReset = 13,
    /// Several writes to regions.
    RegionWriteMulti = 15,
    /// Migration states and logs of DMA.
    DeviceFeature = 16,
    /// Reads a migration state.
    MigDataRead = 17,
    /// Writes a migration state.
    MigDataWrite = 18,
}

/// Whether a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// It asks.
    Command {
        /// No answer is wanted, not even that it failed.
        no_reply: bool,
    },
    /// It answers.
    Reply {
        /// The error number, if it failed; 0 where the peer did not say which.
        error: Option<u32>,
    },
}

/// A header whose lengths were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by whoever asks, and echoed in the answer. Each direction has its own.
    pub id: u16,
    /// The number of the command: see [`Command::new`]. It is kept as it came, since an answer
    /// echoes it, known or not.
    pub command: u16,
    /// Whether it asks or answers.
    pub kind: MessageKind,
    body_bytes: u32,
}

impl Header {
    /// A header of a command with a body of so many bytes.
    pub fn command(id: u16, command: Command, body_bytes: u32) -> Self {
        let kind = MessageKind::Command { no_reply: false };
        Self { id, command: command as u16, kind, body_bytes }
    }

    /// Reads a header, before anything is allocated for its body.
    ///
    /// # Errors
    ///
    /// When the length is not that of a message, or above [`Limits::message_bytes`], or it neither
    /// asks nor answers. Nothing that follows can be understood then.
    pub fn parse(bytes: &[u8; HEADER_BYTES], limits: &Limits) -> Result<Self, WireError> {
        let raw: RawHeader = read(bytes)?;
        let (size, most) = (raw.size.get(), limits.message_bytes());
        let flags = raw.flags.get();
        let body = size.checked_sub(HEADER_BYTES as u32).filter(|_| size <= most);
        let body_bytes = body.ok_or(WireError::Size { size, most })?;
        let kind = match flags & TYPE {
            0 => MessageKind::Command { no_reply: flags & NO_REPLY != 0 },
            TYPE_REPLY => {
                let failed = flags & ERROR != 0;
                MessageKind::Reply { error: failed.then_some(raw.error.get()) }
            }
            other => return Err(WireError::Kind(other)),
        };
        Ok(Self { id: raw.id.get(), command: raw.command.get(), kind, body_bytes })
    }

    /// Bytes after the header.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes as usize
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let (flags, error) = match self.kind {
            MessageKind::Command { no_reply } => (if no_reply { NO_REPLY } else { 0 }, 0),
            MessageKind::Reply { error: None } => (TYPE_REPLY, 0),
            MessageKind::Reply { error: Some(error) } => (TYPE_REPLY | ERROR, error),
        };
        let raw = RawHeader {
            id: self.id.into(),
            command: self.command.into(),
            size: (self.body_bytes + HEADER_BYTES as u32).into(),
            flags: flags.into(),
            error: error.into(),
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(raw.as_bytes());
        bytes
    }

    /// The header of an answer to this command.
    pub fn answer(&self, body_bytes: u32) -> Self {
        let kind = MessageKind::Reply { error: None };
        Self { id: self.id, command: self.command, kind, body_bytes }
    }

    /// The answer that this command failed, with a number of Linux.
    pub fn failure(&self, errno: i32) -> [u8; HEADER_BYTES] {
        let kind = MessageKind::Reply { error: Some(errno.unsigned_abs()) };
        Self { kind, body_bytes: 0, ..*self }.encode()
    }
}

/// A whole message: a header that says how long it is, and the body that `fill` appends.
pub(crate) fn message(header: Header, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    fill(&mut bytes);
    let body_bytes = (bytes.len() - HEADER_BYTES) as u32;
    bytes[..HEADER_BYTES].copy_from_slice(&Header { body_bytes, ..header }.encode());
    bytes
}
