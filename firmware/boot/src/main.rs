//! The boot stage: what the core starts with, out of flash.
//!
//! ```text
//!   start ─▶ check both slots ─▶ choose ─▶ copy ─▶ check the copy ─▶ say what boots ─▶ jump
//!                                   │                    │
//!                                   └────────────────────┴─▶ crash record, and stand still
//! ```
//!
//! It runs from the flash and has its variables and its stack above all that an image loads.
//! It writes nothing to the flash: which slot is preferred, and the guard against rollbacks, are
//! the host's to write (`godwit image`). In the window it writes its own record, or the crash
//! record when neither slot boots.
//!
//! Its own code denies what could panic, as the image's does. The code of the signature's crates
//! holds checks that panic, and nobody has proven that none can be reached: `cargo xtask size`
//! holds this program to its budget of flash only. A panic ends in a crash record and a core
//! that stands still, so that nothing unchecked starts.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
mod start;

/// There is no boot stage for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: `godwit image flash` puts it into a flash file");
}
