//! What a client asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A line of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Which vGPUs there are.
    List {},
    /// How a vGPU is.
    Show {
        /// Its name.
        vgpu: String,
    },
    /// Which hosts there are, and what can be created there.
    Hosts {},
    /// How a host is.
    Host {
        /// Its name.
        host: String,
    },
    /// Makes a vGPU, which runs at once.
    Create(Create),
    /// Removes a vGPU, and all that it has.
    Destroy {
        /// Its name.
        vgpu: String,
    },
    /// Changes how the vGPUs of a host take turns, and of which sizes they may be.
    Policy(Policy),
    /// Changes what a vGPU is due of the engines.
    Share(Share),
    /// Saves a vGPU to a file of the server, and removes it.
    Suspend(Suspend),
    /// Makes a vGPU of such a file, which goes on.
    Resume(Resume),
    /// Moves a vGPU to another host, while it runs.
    Migrate(Migrate),
    /// Moves all vGPUs of a host to others.
    Evacuate(Evacuate),
    /// Decides about a move to or from another server that is gone for good.
    Resolve {
        /// The vGPU.
        vgpu: String,
        /// Whose it is from now on.
        decision: Decision,
    },
    /// What has happened.
    Events(Events),
    /// Another server sends a vGPU over this connection, which after the answer
    /// ([`crate::Told::Receiving`]) is a link of moves: of the shim's messages, and no more lines.
    Receive(Receive),
}

/// Whose a vGPU is from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// This server's: it runs here, and never there.
    RunHere,
    /// Not this server's: what is left of it here is removed.
    Gone,
}

/// A vGPU that another server sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receive {
    /// Its name here.
    pub vgpu: String,
    /// The host; without it, the one where it leaves the least room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Names the move: the vGPU's id in 32 hexadecimal digits, a colon, and a number.
    pub token: String,
    /// Bytes of its framebuffer.
    pub framebuffer_bytes: u64,
    /// Bytes of its aperture.
    pub aperture_bytes: u64,
    /// Its channels.
    pub channels: u16,
    /// Bytes of each channel's context.
    pub context_bytes: u32,
}

/// A vGPU that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Its name: 1 to 32 letters, digits, `-` and `_`.
    pub vgpu: String,
    /// The host; without it, the one where it leaves the least room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What it is: a profile of the host, such as `GW512-64Q` ([`crate::ProfileStatus`]).
    pub profile: String,
    /// Where in the framebuffer, by a placement id of the profile ([`crate::ProfileStatus`]);
    /// without it, the first that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<u32>,
    /// Length of its turns relative to the others', 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
}

/// How the vGPUs of a host take turns. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The host.
    pub host: String,
    /// Who gets an engine's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
    /// A turn of average length, in nanoseconds: 1 to 30 ms; 0 is the default for so many vGPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_ns: Option<u64>,
    /// Over how many turns an overshoot is paid back: 1 to 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaging: Option<u8>,
    /// Of which sizes its vGPUs may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
}

/// Who gets an engine's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// vGPUs with work take turns; idle time goes to whoever has work.
    BestEffort,
    /// vGPUs that run take turns, with work or without.
    EqualShare,
    /// Each has a fixed part.
    FixedShare,
}

/// Of which sizes the vGPUs of a host may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sizes {
    /// Of any, side by side.
    Mixed,
    /// All of one: what the first has.
    Homogeneous,
}

/// What a vGPU is due of the engines. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The vGPU.
    pub vgpu: String,
    /// Length of its turns relative to the others', 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// Its fixed part of each engine, in hundredths of a percent, to 10000; 0: as much as its
    /// partition is of the framebuffer. For `fixed-share`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u16>,
    /// Up to this much it may have when others do not use theirs, in the same unit; 0: its part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u16>,
}

/// A vGPU that is to be suspended. No machine has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspend {
    /// The vGPU.
    pub vgpu: String,
    /// The file's name in the server's folder of states, without `.state`; without it, the vGPU's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A vGPU that is to be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The file's name in the server's folder of states, without `.state`.
    pub file: String,
    /// The host; without it, the one where it leaves the least room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its name here; without it, the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vgpu: Option<String>,
}

/// How a vGPU is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KindOfMove {
    /// Its memory is copied in rounds while it runs.
    #[default]
    Live,
    /// It is stopped first.
    StopAndCopy,
}

/// A vGPU that is to be moved. No machine has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// The vGPU.
    pub vgpu: String,
    /// A host of this server, or the address of another server's control socket: `unix:PATH` or
    /// `tcp:HOST:PORT`.
    pub to: String,
    /// The host of the other server; without it, the one where it leaves the least room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How.
    #[serde(default)]
    pub kind: KindOfMove,
    /// How long it may stand still, in nanoseconds; the move is given up where that cannot be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_downtime_ns: Option<u64>,
}

/// A host that is to be emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evacuate {
    /// The host.
    pub host: String,
    /// Where its vGPUs may go; without it, to all other hosts of this server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// So many move at a time, 1 to 32; without it, 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u8>,
    /// How.
    #[serde(default)]
    pub kind: KindOfMove,
    /// How long each may stand still, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_downtime_ns: Option<u64>,
}

/// What has happened, and what happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Goes on with what happens from then on, an [`crate::Told::Event`] each, until the client
    /// goes.
    #[serde(default)]
    pub follow: bool,
    /// Only those with a number above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}
