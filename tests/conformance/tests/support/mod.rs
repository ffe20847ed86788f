//! Benches for the tests.

mod flawed;
mod flaws;
mod gpu;

pub(crate) use flawed::Flawed;
pub(crate) use flaws::Flaw;
pub(crate) use gpu::{Firmware, GpuBench};
