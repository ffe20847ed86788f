//! The register map in use: the firmware's side implements the traits of `godwit-hal`, and
//! the device's and the host's sides are views of the same words.
//!
//! All three are written over [`Words`], so that one driver serves real MMIO, a microcontroller
//! whose RAM is a shared file, and a simulated GPU in the same process.

#![no_std]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(any(feature = "host", test))]
extern crate std;

pub mod device;
mod firmware;
mod host;
mod log;
mod rest;
#[cfg(any(feature = "host", test))]
mod shared;
mod window;
mod words;

pub use firmware::{AttentionWord, Mmio, leave_engines};
pub use host::{HostView, SendError, SwitchRead, SwitchReader, device_time_ns};
pub use log::{LogRing, LogWords};
pub use rest::{Burst, Callee, Caller};
#[cfg(any(feature = "host", test))]
pub use shared::{SharedRetained, SharedWords, WordMemory};
pub use window::{Window, WindowRetained};
pub use words::{MmioWords, Words};
