//! How a host is, and what can be created there.

use crate::{PolicyName, Sizes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A host: a GPU and its vGPUs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Framebuffer for vGPUs, in bytes.
    pub framebuffer: Room,
    /// BAR for their apertures, in bytes.
    pub bar: Room,
    /// Hardware channels.
    pub channels: Room,
    /// Ids of vGPUs.
    pub vgpus: Room,
    /// Who gets an engine's time.
    pub policy: PolicyName,
    /// A turn of average length, in nanoseconds.
    pub slice_ns: u64,
    /// Over how many turns an overshoot is paid back.
    pub averaging: u8,
    /// Of which sizes its vGPUs may be.
    pub sizes: Sizes,
    /// Its firmware.
    pub firmware: Firmware,
    /// What came and went.
    pub moves: HostMoves,
    /// What can be created, the largest first.
    pub profiles: Vec<ProfileStatus>,
}

/// Something that a host shares out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Room {
    /// All that there is.
    pub total: u64,
    /// What is free.
    pub free: u64,
    /// The largest piece of that.
    pub piece: u64,
}

/// A host's firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Firmware {
    /// How often it ended by itself and was started again.
    pub losses: u64,
    /// Whether it is given up: the GPU answers nothing then.
    pub lost: bool,
    /// Bytes of its log that were overwritten before they were read.
    pub log_lost_bytes: u64,
    /// Times that a vGPU left an engine and was not counted, since that was overwritten before it
    /// was read.
    pub switches_lost: u64,
}

/// What came to a host and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostMoves {
    /// vGPUs that have come.
    pub came: u64,
    /// vGPUs that have gone.
    pub gone: u64,
    /// Moves from here that did not come to pass.
    pub failed: u64,
}

/// What can be created on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileStatus {
    /// Its name: the GPU, MiB of framebuffer, and a series, such as `GW512-64Q`.
    pub name: String,
    /// Bytes of the framebuffer.
    pub framebuffer_bytes: u64,
    /// Bytes of the aperture.
    pub aperture_bytes: u64,
    /// Channels.
    pub channels: u16,
    /// So many fit on an empty host.
    pub instances_max: u32,
    /// So many more can be created now.
    pub creatable: u32,
    /// Where they may be, by placement id.
    pub placements: Vec<PlacementStatus>,
}

/// A slot of a GPU's framebuffer that a vGPU of a profile may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlacementStatus {
    /// Its number: where it begins, in units of the smallest profile.
    pub id: u32,
    /// Whether it is free.
    pub free: bool,
}
