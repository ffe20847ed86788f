//! What the engine's loop may ask of the hardware (`godwit-hal`).
//!
//! The traits are small and split by who needs them; control is apart from data, and no
//! implementation calls back. A long operation is *started* with a sequence number, and its
//! answer, which echoes the number, is a later poll. What a silicon team implements is
//! [`Hardware`], which is all of them together.
//!
//! The device's delays and its line to the host are `embedded-hal`'s: board start-up uses
//! [`embedded_hal::delay::DelayNs`], and the host's attention is an
//! [`embedded_hal::digital::OutputPin`], high while the host is wanted.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod hardware;
mod host;
mod vgpu;
mod work;

pub use godwit_types::Identity;
pub use hardware::Hardware;
pub use host::{
    Attention, Liveness, MESSAGE_BYTES_MAX, MESSAGES_MAX, Mailbox, MailboxFull, RETAINED_BYTES,
    Retained, RetainedSlot,
};
pub use vgpu::{Apertures, Partitions, Routes};
pub use work::{Channels, CopyRing, Interrupts, Runlists, Telemetry, Timer};
