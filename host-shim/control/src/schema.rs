//! One schema for all.

use crate::{Ask, Told};
use schemars::JsonSchema;

/// Both directions, for the schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
struct Protocol {
    /// A line of a client.
    ask: Ask,
    /// A line of a server.
    told: Told,
}

/// The JSON schema of both directions.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Protocol).to_value()
}
