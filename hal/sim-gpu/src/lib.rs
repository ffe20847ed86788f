//! A simulated GPU that serves the registers.
//!
//! [`Gpu`] takes requests out of a register map and puts answers in, through the device's view
//! of the map that `godwit-mmio` gives, and time passes for it only when it is told to. Each
//! vGPU's partition is a memory file of its own; kernels are RV64IMAC programs that are really
//! run. What things cost is [`Costs`], what goes wrong on demand is [`Fault`].
//!
//! An engine:
//!
//! ```text
//!          start            loaded            out of work, or
//!   Empty ───────▶ Load ───────────▶ Run ─────────────────────▶ Save ───▶ Empty
//!     ▲                                    preempted and at                 │ idle and
//!     │                                    the boundary                     │ preempt are
//!     └──────── Reset ◀──── reset, from any of them                         ▼ answered
//! ```

#![forbid(unsafe_code)]

mod bar;
mod board;
mod channel;
mod compute;
mod context;
mod copy_ring;
mod costs;
mod dirty;
mod dma;
mod engine;
mod fault;
mod gpu;
#[cfg(test)]
mod harness;
mod partition;
mod residue;
mod staging;
mod stats;
#[cfg(test)]
mod tests;

pub use bar::BarError;
pub use costs::{CostRow, Costs};
pub use dma::{
    DMA_LOG_RANGES_MAX, DMA_WINDOWS_MAX, DmaError, DmaLogError, DmaRange, DmaTarget, DmaWindow,
    LOG_PAGE_BYTES_MAX, WireAccess, WireRequest,
};
pub use fault::Fault;
pub use gpu::{Gpu, GpuConfig, Region, Stop};
pub use partition::Partition;
pub use residue::Residue;
pub use staging::{Staging, StagingError};
pub use stats::{Stay, VgpuStats};
