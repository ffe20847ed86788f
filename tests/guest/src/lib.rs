//! The guest's side of a vGPU: what a guest's driver does, over its BARs alone.
//!
//! [`Device::probe`] finds out what the vGPU is, [`Kernel::parse`] reads a compiled kernel, and
//! a [`Job`] loads it, creates a channel, launches and reads the result back, or does the like
//! for the copy engine ([`CopySpec`]). [`Channel`] is for whoever wants to submit by hand.
//!
//! ```text
//!           start            READY, entries submitted          all entries done
//! Planned ────────▶ Creating ─────────────────────▶ Running ─────────────────▶ Done
//!                      │  └──────────────┬────────────┘
//!                      ▼                 ▼
//!                   Refused           Faulted
//! ```
//!
//! All that is kept here, a channel's PUT above all, is plain data of the guest's. A move of
//! the vGPU to another GPU never touches it, and it must go on working after one.
//!
//! Offsets in BAR2 are addresses in the partition, whose start BAR2 shows.

#![forbid(unsafe_code)]

mod arch;
mod bars;
mod channel;
mod copy;
mod device;
mod elf;
mod error;
#[cfg(test)]
mod fake;
mod job;
mod kernel;
mod plan;
mod work;

pub use bars::{Bars, load_word, store_word};
pub use channel::{Channel, ChannelStatus, Group};
pub use copy::CopySpec;
pub use device::Device;
pub use elf::ElfError;
pub use error::GuestError;
pub use job::{Job, JobSpec};
pub use kernel::{Kernel, Segment, SegmentOutside};
pub use plan::{JobError, Region};
pub use work::JobState;
