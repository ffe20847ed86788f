//! What a server says.

use crate::{Evacuation, Event, HostStatus, Moved, Progress, Refusal, Suspended, VgpuStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A line of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The vGPUs that there are, in the order of their hosts and ids.
    Vgpus(Vec<VgpuStatus>),
    /// One vGPU, as it is now.
    Vgpu(Box<VgpuStatus>),
    /// The hosts that there are.
    Hosts(Vec<HostStatus>),
    /// One host, as it is now.
    Host(Box<HostStatus>),
    /// A vGPU is gone, with all that it had; its name.
    Destroyed(String),
    /// A vGPU is in a file.
    Suspended(Suspended),
    /// What was decided is done; the vGPU's name.
    Resolved(String),
    /// A vGPU is awaited on this host. What follows is no line any more.
    Receiving(String),
    /// A vGPU runs elsewhere.
    Moved(Moved),
    /// A host was emptied, as far as could be.
    Evacuated(Evacuation),
    /// What has happened of late.
    Events(Vec<Event>),
    /// Something has happened. Not the last line.
    Event(Event),
    /// How far something is that was asked for. Not the last line.
    Progress(Progress),
    /// It was not done, and why.
    Error(Refusal),
}

impl Told {
    /// Whether it is the last line of an answer.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Event(_) | Self::Progress(_))
    }
}
