//! What a migration has come to.

use super::VmError;
use super::steps::Step;
use godwit_shim::Token;
use serde::Serialize;
use std::collections::BTreeMap;

/// A migration that has come to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// The migration, as the journal has it.
    pub token: String,
    /// How long the guest stood still, in milliseconds.
    pub pause_ms: f64,
    /// How long all of it took, in milliseconds.
    pub total_ms: f64,
    /// How long each step took, in milliseconds. From [`Step::Stop`] on the guest stands still.
    pub steps_ms: BTreeMap<Step, f64>,
    /// Bytes of the machine's memory that were sent.
    pub memory_bytes: u64,
    /// Bytes of the vGPU's state that were sent.
    pub vgpu_bytes: u64,
    /// Bytes of these that were sent while it stood still.
    pub vgpu_stopped_bytes: u64,
}

/// Whose the machine is after a migration that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// Nothing was done: whatever it was, it is.
    Untouched,
    /// The source's: it runs on there, with its jobs.
    Source,
    /// The source's, but it could not be made to run on: `godwit resolve` tries again.
    SourceStopped,
    /// It is not known whether it runs at the destination: `godwit resolve` decides.
    Unknown,
}

/// A migration that has failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}{}", step.name(), sentence(*.whose, token))]
pub struct NotMoved {
    /// The step in which it has.
    pub step: Step,
    /// Why.
    pub why: VmError,
    /// Whose the machine is now.
    pub whose: Whose,
    /// The migration, as the journal has it.
    pub token: String,
}

fn sentence(whose: Whose, token: &str) -> String {
    match whose {
        Whose::Untouched => "; nothing was done".to_owned(),
        Whose::Source => "; the machine runs on at the source".to_owned(),
        Whose::SourceStopped => format!(
            "; the machine is the source's, and could not be made to run on there: `godwit \
             resolve` tries it again for migration {token}, with `run-here`"
        ),
        Whose::Unknown => format!(
            "; whether the machine runs at the destination is not known: `godwit resolve` lists \
             migration {token} and decides"
        ),
    }
}

impl NotMoved {
    /// Nothing was done.
    pub(super) fn at_once(why: VmError, token: &Token) -> Box<Self> {
        let (step, whose, token) = (Step::Connect, Whose::Untouched, token.to_string());
        Box::new(Self { step, why, whose, token })
    }
}
