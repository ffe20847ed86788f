//! Mailbox messages, state records and the retained record, as bytes.
//!
//! Everything here is plain numbers: what they mean is checked once, at the edge, by whoever
//! turns them into types that cannot hold a bad value. The bodies are `postcard`; the header
//! of a state record is fixed.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(test)]
extern crate std;

mod codec;
pub mod mailbox;
pub mod record;
pub mod retained;

pub use codec::{WireError, crc32c, decode, encode};
