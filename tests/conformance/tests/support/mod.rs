//! Benches for the tests.

mod flawed;
mod gpu;

pub(crate) use flawed::{Flaw, Flawed};
pub(crate) use gpu::{Firmware, GpuBench};
