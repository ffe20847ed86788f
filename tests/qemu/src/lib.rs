//! Scenarios with the firmware in QEMU, for tests, measurements and benchmarks.

#![forbid(unsafe_code)]

mod bench;
mod counts;
mod flash;
mod jobs;
mod other;
pub mod resets;
mod rig;
mod run;
mod switches;

pub use bench::{Bench, bench};
pub use counts::{Counts, counts};
pub use flash::{booted, flashed, image_file, image_file_of};
pub use jobs::at_once;
pub use other::{
    image_that_does_not_ask, image_that_forgets, image_that_logs, image_that_retains,
    image_that_speaks,
};
pub use rig::{Rig, Work};
pub use run::{json, json_and_log, logging_mcu, mcu, outcome, outcome_and_log};
pub use switches::{SwitchCount, switch_counts};
