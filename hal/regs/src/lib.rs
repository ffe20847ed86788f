//! The register map as data: offsets, bits, parse and encode. This crate reads and writes
//! nothing.
//!
//! Rules of the map, which make it serve as real MMIO and as pages shared with another
//! process:
//!
//! - 32-bit words only, and each word has **one writer**: firmware, device or host.
//! - A request is its arguments, then a release fence, then a sequence number; the
//!   acknowledge echoes the number.
//! - A pending bit is a *bell* word and an *acknowledge* word that differ in that bit: no
//!   queue, so no storm can overflow one, and nothing is write-one-to-clear.
//! - 64-bit time is read high, low, high.
//! - At start each side loads the sequence numbers from the other's words.
//! - Requests that a device finds at the same time take effect in the order of the blocks in
//!   the map.

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

pub mod bits;
pub mod boot;
pub mod copy;
pub mod crash;
pub mod fifo;
pub mod flash;
pub mod guest;
pub mod log;
pub mod map;
mod place;
pub mod request;
pub mod switch_entry;
mod table;
pub mod window;

pub use map::{BLOCKS, MAP_BYTES, Word};
pub use table::{Block, Field, Register, Value, Writer};
