//! What can go wrong between a guest and its device.

use godwit_regs::guest::{ID_VALUE, VERSION_VALUE};
use thiserror::Error;

/// Why the guest could not do what it was asked to.
#[derive(Debug, Error)]
pub enum GuestError {
    /// The way to the device is broken. Work in progress is in an unknown state.
    #[error("the device's BARs cannot be reached")]
    Bars(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something else answers at the start of BAR0.
    #[error(
        "this is not a Godwit vGPU: ID reads {found:#010x}, not {known:#010x}",
        known = ID_VALUE
    )]
    NotGodwit {
        /// What ID reads as.
        found: u32,
    },
    /// The device has a register map that this guest does not know.
    #[error(
        "the vGPU's register map has version {found}; this guest knows {known}",
        known = VERSION_VALUE
    )]
    Version {
        /// What VERSION reads as.
        found: u32,
    },
    /// A size that the device reports cannot be.
    #[error("the vGPU reports {value:#x} as its {what}, which cannot be")]
    Size {
        /// Which size.
        what: &'static str,
        /// What it reads as.
        value: u64,
    },
    /// The clock's high half changed under every attempt to read it.
    #[error("the vGPU's clock cannot be read: its high half changes at each look")]
    Clock,
    /// The vGPU has no such channel or group.
    #[error("the vGPU has {count} channels and groups; there is no {what} {number}")]
    NoSuch {
        /// A channel or a group.
        what: &'static str,
        /// The number asked for.
        number: u16,
        /// How many there are.
        count: u16,
    },
    /// The ring's place or size is not allowed.
    #[error(
        "a ring of 2^{log2} entries at {base:#x} is impossible: 2^1 to 2^12 entries of 64 bytes \
         and the 512 before them begin at a multiple of 512 and end within the aperture of \
         {aperture_bytes:#x} bytes"
    )]
    Ring {
        /// First byte of USERD.
        base: u64,
        /// Number of entries, as a power of two.
        log2: u8,
        /// Bytes that the guest can write.
        aperture_bytes: u64,
    },
    /// The channel exists already, or was refused; it must be destroyed first.
    #[error("channel {channel} is not free (status {status}); destroy it first")]
    ChannelInUse {
        /// The channel.
        channel: u16,
        /// What its status reads as.
        status: u32,
    },
    /// The channel of a running job is there no more.
    #[error("channel {channel} is gone while it has work")]
    ChannelGone {
        /// The channel.
        channel: u16,
    },
    /// More entries than the ring has room for. None was written.
    #[error("{needed} entries do not fit the ring: there is room for {room}")]
    RingFull {
        /// Entries that were to be submitted.
        needed: usize,
        /// Entries that can be.
        room: u32,
    },
    /// GP_GET is ahead of GP_PUT, or too far behind it.
    #[error("GP_GET reads {get} while GP_PUT is {put} in a ring of {entries} entries")]
    Get {
        /// What GP_GET reads as.
        get: u32,
        /// The guest's own count.
        put: u32,
        /// Entries of the ring.
        entries: u32,
    },
    /// A status that the map does not have.
    #[error("channel {channel} has the unknown status {status}")]
    Status {
        /// The channel.
        channel: u16,
        /// What its status reads as.
        status: u32,
    },
    /// A faulted channel with an error that the map does not have.
    #[error("channel {channel} has faulted with the unknown error {code}")]
    Fault {
        /// The channel.
        channel: u16,
        /// What its error reads as.
        code: u32,
    },
    /// A job is started once.
    #[error("the job is started already")]
    Started,
}

impl GuestError {
    pub(crate) fn bars(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Bars(Box::new(error))
    }
}
