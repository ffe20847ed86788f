//! Bodies of version 2: those that differ from version 1.
//!
//! **Frozen**, as [`super::v1`] is.

use super::v1;
use serde::{Deserialize, Serialize};

/// A vGPU's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vgpu {
    /// The guest's time when it was stopped.
    pub guest_time_ns: u64,
    /// Interrupts that were raised and not taken, by bit.
    pub pending_vectors: u32,
    /// Channel records that follow.
    pub channel_count: u16,
    /// Channels whose contexts follow.
    pub context_count: u16,
    /// What it has had too much of each engine's time, compute and copy, in nanoseconds. Whoever
    /// restores it bounds them.
    pub debts_ns: [u32; 2],
}

/// A vGPU of version 1 owes nothing.
impl From<v1::Vgpu> for Vgpu {
    fn from(vgpu: v1::Vgpu) -> Self {
        let v1::Vgpu { guest_time_ns, pending_vectors, channel_count, context_count } = vgpu;
        Self { guest_time_ns, pending_vectors, channel_count, context_count, debts_ns: [0; 2] }
    }
}

/// What it owes is not carried along.
impl From<Vgpu> for v1::Vgpu {
    fn from(vgpu: Vgpu) -> Self {
        let Vgpu { guest_time_ns, pending_vectors, channel_count, context_count, .. } = vgpu;
        Self { guest_time_ns, pending_vectors, channel_count, context_count }
    }
}
