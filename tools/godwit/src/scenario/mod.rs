//! Scenarios: what a TOML file says, checked into types that cannot hold a mistake. The format
//! is described in this package's `SCENARIO.md`.

mod check;
mod mistake;
mod model;
mod raw;
mod value;

pub use mistake::ScenarioError;
pub use model::{
    Action, CostModel, Evacuation, Event, Expect, Expected, Host, HostRef, Job, JobRef, KeyFile,
    MoveKind, Program, Scenario, StateFile, Stop, Trigger, Vgpu, VgpuRef, Work,
};

pub(crate) use check::evacuate::EvacuateOptions;
pub(crate) use mistake::listed;
pub(crate) use model::Service;
pub(crate) use value::{parse_percent, parse_time};

use crate::files;
use mistake::Mistake;
use std::path::Path;

/// Bytes of a scenario file.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Scenario {
    /// Reads a scenario from its file; relative paths in it start at the file's folder. With
    /// `seed`, that one counts and not the file's.
    ///
    /// # Errors
    ///
    /// Every mistake that was found, with its place.
    pub fn load(path: &Path, seed: Option<u64>) -> Result<Self, ScenarioError> {
        Self::parse(path, &text(path)?, path.parent().unwrap_or(Path::new("")), seed)
    }

    /// Its vGPUs.
    pub fn vgpu_refs(&self) -> impl Iterator<Item = VgpuRef> + use<> {
        (0..self.vgpus.len()).map(VgpuRef)
    }

    /// Its jobs.
    pub fn job_refs(&self) -> impl Iterator<Item = JobRef> + use<> {
        (0..self.jobs.len()).map(JobRef)
    }

    /// The vGPU of a name.
    pub fn vgpu_named(&self, name: &str) -> Option<VgpuRef> {
        self.vgpus.iter().position(|vgpu| vgpu.name == name).map(VgpuRef)
    }

    /// The host of a name.
    pub fn host_named(&self, name: &str) -> Option<HostRef> {
        self.hosts.iter().position(|host| host.name == name).map(HostRef)
    }

    /// Reads a scenario from its text; `path` is what mistakes call it, `base` is where
    /// relative paths in it start. With `seed`, that one counts and not the text's.
    ///
    /// # Errors
    ///
    /// Every mistake that was found, with its place.
    pub fn parse(
        path: &Path,
        text: &str,
        base: &Path,
        seed: Option<u64>,
    ) -> Result<Self, ScenarioError> {
        check::scenario(path, text, base, seed)
    }
}

impl Service {
    /// Reads what is to be served from its file; a relative path in it starts at the file's folder.
    pub(crate) fn load(path: &Path) -> Result<Self, ScenarioError> {
        check::service(path, &text(path)?, path.parent().unwrap_or(Path::new("")))
    }
}

/// The text of a file.
fn text(path: &Path) -> Result<String, ScenarioError> {
    let allowed = "a TOML file of up to 1 MiB";
    let bytes = files::read(path, FILE_BYTES_MAX)
        .map_err(|why| ScenarioError::whole(path, format!("the file {why}"), allowed))?;
    String::from_utf8(bytes).map_err(|error| not_text(path, &error))
}

/// Shows the line in which the text stops being text.
fn not_text(path: &Path, error: &std::string::FromUtf8Error) -> ScenarioError {
    let at = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes());
    let mistake = Mistake {
        span: at..at + char::REPLACEMENT_CHARACTER.len_utf8(),
        what: "a byte that is no UTF-8".to_owned(),
        allowed: "text in UTF-8".to_owned(),
    };
    ScenarioError::new(path, &text, vec![mistake])
}
