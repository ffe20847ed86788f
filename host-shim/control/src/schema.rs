//! One schema for all.

use crate::{Ask, Told};
use schemars::JsonSchema;

/// A line, in either direction.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
enum Line {
    /// Of a client.
    Ask(Ask),
    /// Of a server.
    Told(Told),
}

/// The JSON schema of a line, in either direction.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Line).to_value()
}
