//! Scenarios with the firmware in QEMU, for the tests.

#![forbid(unsafe_code)]

mod run;

pub use run::{json, json_and_log, logging_mcu, mcu, outcome};
