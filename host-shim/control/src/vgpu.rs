//! How a vGPU is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A vGPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VgpuStatus {
    /// Its name.
    pub name: String,
    /// Its own id, which it keeps wherever it goes: 32 hexadecimal digits.
    pub uuid: String,
    /// The host that it is on.
    pub host: String,
    /// The GPU's number of it, 1 to 32.
    pub gfid: u8,
    /// Its state of a migration, as `include/uapi/linux/vfio.h` names it.
    pub state: String,
    /// What is being done to it, if something is: `create`, `destroy`, `migrate`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<String>,
    /// The profile of its host that has its framebuffer, such as `GW512-64Q`, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The placement id that it has in that profile, if its place is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<u32>,
    /// Bytes of its framebuffer.
    pub framebuffer_bytes: u64,
    /// Where that begins in the GPU's.
    pub framebuffer_base: u64,
    /// Bytes of its aperture, BAR2.
    pub aperture_bytes: u64,
    /// Where that begins in the GPU's BAR.
    pub aperture_base: u64,
    /// Its channels.
    pub channels: u16,
    /// What it is due of the engines.
    pub share: ShareStatus,
    /// Whether a virtual machine has it.
    pub attached: bool,
    /// Whether a migration manager is connected to it.
    pub managed: bool,
    /// The socket for the virtual machine.
    pub socket: PathBuf,
    /// The socket for migration managers.
    pub migration_socket: PathBuf,
    /// What was measured of it since it came to this host.
    pub stats: VgpuStats,
}

/// What a vGPU is due of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareStatus {
    /// Length of its turns relative to the others'.
    pub weight: u8,
    /// Its fixed part, in hundredths of a percent; 0: as its framebuffer is of the GPU's.
    pub part: u16,
    /// What it may have at most, in the same unit; 0: its part.
    pub cap: u16,
}

/// What was measured of a vGPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VgpuStats {
    /// By engine.
    pub engines: Vec<EngineStatus>,
    /// How long it had an engine each time that it left one: its slices.
    pub slices: Histogram,
    /// How long it took to let go of one with work left: its preemptions.
    pub preemptions: Histogram,
    /// Channels of it that have faulted.
    pub faults: u64,
    /// Interrupts, doorbells, faults or resets that were too many in a window.
    pub abuses: u64,
    /// Moves, suspends and resumes of this vGPU that this server has carried out.
    pub moves: u64,
    /// Those that did not come to pass.
    pub moves_failed: u64,
    /// How long it stood still in each of its moves.
    pub blackouts: Histogram,
    /// Bytes a second that it wrote between the rounds of its last move, where it had some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty_bytes_per_second: Option<u64>,
}

/// A vGPU and an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineStatus {
    /// `compute` or `copy`.
    pub engine: String,
    /// How long it had it, in nanoseconds of the GPU.
    pub busy_ns: u64,
    /// Which part of the engine's time it had in the last second or so, 0 to 1.
    pub share: f64,
    /// What it has had too much, in nanoseconds, when it last left it.
    pub debt_ns: u64,
    /// How often it has left it.
    pub switches: u64,
}

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// How often at most so long: by bounds that grow, each count with those before.
    pub buckets: Vec<Bucket>,
    /// How often at all.
    pub count: u64,
    /// How long all together, in nanoseconds.
    pub sum_ns: u64,
}

/// A bound of a [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// At most so long, in nanoseconds.
    pub le_ns: u64,
    /// So often.
    pub count: u64,
}
