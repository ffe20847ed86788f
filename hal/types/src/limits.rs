//! What the tables are sized for. Each figure is a limit of the firmware, not of one device:
//! a device reports its own, which may be lower.

use static_assertions::const_assert;

/// Channel slots of a device (2,048 a runlist in NVIDIA's open manuals).
pub const CHANNEL_COUNT: u16 = 2048;
/// vGPUs of a device (32 without MIG in NVIDIA's open kernel modules).
pub const VGPU_COUNT: u8 = 32;
/// Runlists of a device: one for the compute engine, one for the guests' copy engine.
pub const RUNLIST_COUNT: u8 = 2;
/// Channels that one time-slice group may hold.
pub const TSG_CHANNELS_MAX: u16 = 128;
/// Interrupt vectors of one vGPU; one word holds a bit for each.
pub const VECTOR_COUNT: u8 = 32;
/// The vector by which a guest learns that a channel of it faulted.
pub const FAULT_VECTOR: u8 = VECTOR_COUNT.wrapping_sub(1);
/// Staging slots between the copy engine and the host.
pub const SLOT_COUNT: u8 = 16;
/// Bytes of data in one staging slot.
pub const SLOT_BYTES: u32 = 256 * 1024;
/// Page runs that one staging slot can describe, when pages are gathered into it.
pub const SLOT_RUNS_MAX: usize = 32;
/// The granule of dirty tracking, of partitions and of apertures.
pub const PAGE_BYTES: u32 = 4096;
/// Entries of the firmware's privileged copy ring.
pub const COPY_RING_ENTRIES: u8 = 16;

/// The shortest time slice, the longest, and the defaults of NVIDIA's vGPU schedulers.
pub const SLICE_NS_MIN: u64 = 1_000_000;
/// See [`SLICE_NS_MIN`].
pub const SLICE_NS_MAX: u64 = 30_000_000;
/// Default slice with up to [`SLICE_FEW_VGPUS`] vGPUs on a runlist.
pub const SLICE_NS_FEW: u64 = 2_000_000;
/// Default slice with more.
pub const SLICE_NS_MANY: u64 = 1_000_000;
/// Up to this many vGPUs the longer default slice is used.
pub const SLICE_FEW_VGPUS: u32 = 8;

/// Unit of a group's grace period.
pub const GRACE_UNIT_NS: u64 = 100_000;
/// The longest grace period, in that unit: 10 ms.
pub const GRACE_MAX: u8 = 100;

/// Largest partition of one vGPU: page numbers are 32 bits wide on the wire.
pub const FB_BYTES_MAX: u64 = 1 << 40;
/// Largest context buffer of one channel.
pub const CONTEXT_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Ring sizes, as powers of two of entries.
pub const RING_LOG2_MIN: u8 = 1;
/// See [`RING_LOG2_MIN`].
pub const RING_LOG2_MAX: u8 = 12;

const_assert!(CHANNEL_COUNT.is_power_of_two()); // tables mask with COUNT - 1
const_assert!(VGPU_COUNT.is_power_of_two());
const_assert!(RUNLIST_COUNT.is_power_of_two());
const_assert!(SLOT_COUNT.is_power_of_two());
const_assert!(COPY_RING_ENTRIES.is_power_of_two());
const_assert!(SLOT_BYTES.is_multiple_of(PAGE_BYTES));
const_assert!(SLICE_NS_MIN <= SLICE_NS_MANY && SLICE_NS_FEW <= SLICE_NS_MAX);
