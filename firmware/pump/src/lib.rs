//! The one loop that joins engine, hardware and wire.
//!
//! It decides nothing and loses nothing: what the engine could not take is offered again, an
//! event that finds no room is kept, and what a device or host says becomes a typed input or
//! an answer that names the mistake. Bulk bytes never pass through it.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod boot;
mod encode;
mod held;
mod parse;
mod perform;
mod trace;
mod turn;

pub use boot::{Mismatch, PROTOCOL_VERSION};
pub use godwit_wire::retained::VERSION as RETAINED_VERSION;
pub use turn::{Pump, Turn};
