//! The firmware's images, as they were built with this crate.

#![forbid(unsafe_code)]

mod elf;

pub use elf::{boot_stage, image};
