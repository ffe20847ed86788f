//! Engines, driven through the registers as the firmware drives them.

mod contexts;
mod dma;
mod entries;
mod peers;
mod preempt;
mod release;
mod slices;
mod stays;
mod stubborn;
mod wire;

use crate::harness::Rig;
use godwit_types::{RunlistEvent, RunlistId};

const COMPUTE: RunlistId = RunlistId::COMPUTE;
const COPY: RunlistId = RunlistId::COPY;
/// A time in which every engine that can let go has let go.
const SOON_NS: u64 = 100_000;
const CHUNK: u64 = 64 * 1024;

/// Bytes of a context without a launch.
const BARE_CONTEXT: u64 = 96;

fn compute_rig() -> Rig {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, COMPUTE);
    rig
}

fn copy_rig() -> Rig {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, COPY);
    rig
}

fn preempted(seq: u32) -> Option<RunlistEvent> {
    Some(RunlistEvent::Preempted { seq })
}
