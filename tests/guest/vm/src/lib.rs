//! The program that drives a vGPU in a virtual machine of the tests, the virtual machine's own
//! kernel and all. It finds the function, runs kernels, copies to and from its own memory, waits
//! for interrupts, and checks all that comes back, round after round, whatever happens to the
//! machine.
//!
//! ```text
//!  Rounds ──▶ Guest ──▶ Linux: sysfs for the BARs, UIO for interrupts and memory for DMA
//! ```

#![forbid(unsafe_code)]

mod bench;
mod completions;
mod guest;
mod linux;
mod rounds;
mod work;

pub use bench::{Bench, bench};
pub use guest::Guest;
pub use linux::Linux;
pub use rounds::{Round, Rounds};
pub use work::Work;
