//! The engine as an image for a microcontroller.
//!
//! ```text
//!   start ─▶ wait for the device ─▶ turn, turn, … ─▶ rest ─▶ sleep ─┐
//!                                     ▲                             │ the host's call
//!                                     └─────────────────────────────┘
//! ```
//!
//! What differs between boards is in `board`; a board is one file there, a linker script, and
//! a row of `BOARDS` in `godwit_regs::window`. Built for a host, this is an empty program.

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
mod crash;
#[cfg(target_os = "none")]
mod line;
#[cfg(target_os = "none")]
mod log;
#[cfg(target_os = "none")]
#[cfg_attr(board = "template", allow(dead_code, reason = "the template names no register"))]
mod register;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod sizes;

/// There is no image for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: `cargo run` in its folder boots it in QEMU");
}
