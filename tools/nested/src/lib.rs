//! Cargo run from inside a cargo run, for another target: what build scripts need that put
//! programs for a device into programs for a host.

#![forbid(unsafe_code)]

mod cargo;
mod flat;
mod script;

pub use cargo::{cargo_build, remap, target_is_installed};
pub use flat::{Flat, flat};
pub use script::{build, copy, fail};
