//! The C ABI of the host shim: vGPUs of a card, for drivers that are not written in Rust.
//!
//! ```text
//!   C ──▶ abi: pointers and handles are checked ──▶ worker: a thread for each card ──▶ Host
//! ```
//!
//! What a C program sees is `include/godwit.h`, which cbindgen makes of [`abi`] and [`types`].
//! It is installed as `libgodwit.so.0` and `libgodwit.a`.
//!
//! A card is of one thread, since its firmware is, so a call is a message to that thread and an
//! answer. Handles are numbers that are looked up and never followed, so a wrong one is an error.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod abi;
mod answer;
mod boundary;
mod failure;
mod files;
mod handles;
mod machine;
mod memory;
mod numbers;
pub mod types;
mod worker;

pub use types::{
    Device, DeviceConfig, DmaRange, DmaWindow, Event, FileOptions, Limits, PrecopyInfo, Scheduling,
    Share, Vgpu, VgpuConfig, VgpuInfo,
};
