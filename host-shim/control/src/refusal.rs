//! Why something is not done.

use core::fmt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The line is no question.
    BadRequest,
    /// A value is out of its range.
    BadValue,
    /// There is no such vGPU.
    NoVgpu,
    /// There is no such host.
    NoHost,
    /// There is no such profile.
    NoProfile,
    /// There is no such file.
    NoFile,
    /// The name is taken.
    Taken,
    /// It does not fit.
    NoRoom,
    /// A machine or a migration manager has it.
    Attached,
    /// Something else is done to it.
    Busy,
    /// The client may not.
    Forbidden,
    /// So many are served or under way that no more are.
    TooMany,
    /// The host's firmware is lost.
    FirmwareLost,
    /// It was tried, and has failed; all is as it was before, unless the words say otherwise.
    Failed,
}

/// Why something is not done, and what would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// What kind of reason.
    pub code: Code,
    /// Why, in words.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Refusal {
    /// For this reason.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string(), help: None }
    }

    /// And this is to be done.
    #[must_use]
    pub fn help(self, help: impl fmt::Display) -> Self {
        Self { help: Some(help.to_string()), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
