//! Ids, units, limits and tables that every part of Godwit shares.
//!
//! This crate depends on no other crate of Godwit. Times are nanoseconds of the device's
//! timer and end in `_ns`; sizes and addresses are bytes unless a name says otherwise.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod channel;
mod copy;
mod id;
mod limits;
mod proof;
mod runlist;
mod share;
mod switch;
mod table;
mod vgpu;

pub use channel::{ChannelConfig, ChannelFault, RingConfig};
pub use copy::{CopyDone, CopyOp, CopyRequest, CopyStatus, SlotRange};
pub use id::{
    ChannelId, Epoch, Gfid, GuestChannelId, GuestTsgId, RunlistId, SlotId, TsgId, Vector,
};
pub use limits::{
    CHANNEL_COUNT, CONTEXT_BYTES_MAX, COPY_RING_ENTRIES, FAULT_VECTOR, FB_BYTES_MAX, GRACE_MAX,
    GRACE_UNIT_NS, PAGE_BYTES, RING_LOG2_MAX, RING_LOG2_MIN, RUNLIST_COUNT, SLICE_FEW_VGPUS,
    SLICE_NS_FEW, SLICE_NS_MANY, SLICE_NS_MAX, SLICE_NS_MIN, SLOT_BYTES, SLOT_COUNT, SLOT_RUNS_MAX,
    TSG_CHANNELS_MAX, VECTOR_COUNT, VGPU_COUNT,
};
pub use proof::Quiesced;
pub use runlist::{PreemptMode, RunlistEvent, RunlistState};
pub use share::{Abuse, Limit, Limits, Measure, Policy, Scheduling, Share, Throttle};
pub use switch::{Switch, SwitchCause};
pub use table::{Index, Table};
pub use vgpu::{
    Aperture, BarMode, Engines, Identity, Placement, PlacementError, Profile, ProfileError, Route,
};
