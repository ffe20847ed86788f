//! Scenarios with the firmware in QEMU, for the tests.

#![forbid(unsafe_code)]

mod flash;
mod jobs;
pub mod resets;
mod run;

pub use flash::{booted, flashed, image_file};
pub use jobs::at_once;
pub use run::{json, json_and_log, logging_mcu, mcu, outcome};
