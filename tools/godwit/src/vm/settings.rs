//! Settings of a QEMU that a migration changes, as they were before.

use super::qmp::{Qmp, QmpError};
use serde_json::{Value, json};

const EVENTS: &str = "events";
const WAITS: &str = "pause-before-switchover";

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    capabilities: Vec<(String, bool)>,
    /// In milliseconds.
    downtime_limit: Option<u64>,
}

impl Settings {
    /// Has QEMU tell of events, and wait before it switches over or not. Returns what was before.
    pub(super) fn set(qmp: &mut Qmp, waits: bool) -> Result<Self, QmpError> {
        let said = qmp.ask("query-migrate-capabilities", json!({}))?;
        let all = said.as_array().into_iter().flatten();
        let capabilities = all.filter_map(|one| {
            let name = one.get("capability")?.as_str()?;
            [EVENTS, WAITS]
                .contains(&name)
                .then_some((name.to_owned(), one.get("state")?.as_bool()?))
        });
        let capabilities = capabilities.collect();
        let parameters = qmp.ask("query-migrate-parameters", json!({}))?;
        let downtime_limit = parameters.get("downtime-limit").and_then(Value::as_u64);
        set(qmp, &[(EVENTS.to_owned(), true), (WAITS.to_owned(), waits)])?;
        Ok(Self { capabilities, downtime_limit })
    }

    /// For how long the guest might stand still, in milliseconds.
    pub(super) fn downtime_limit(&self) -> Option<u64> {
        self.downtime_limit
    }

    /// As before.
    pub(super) fn put_back(&self, qmp: &mut Qmp) -> Result<(), QmpError> {
        set(qmp, &self.capabilities)?;
        if let Some(limit) = self.downtime_limit {
            qmp.ask("migrate-set-parameters", json!({ "downtime-limit": limit }))?;
        }
        Ok(())
    }
}

fn set(qmp: &mut Qmp, capabilities: &[(String, bool)]) -> Result<(), QmpError> {
    let capabilities: Vec<Value> = capabilities
        .iter()
        .map(|(name, state)| json!({ "capability": name, "state": state }))
        .collect();
    qmp.ask("migrate-set-capabilities", json!({ "capabilities": capabilities }))?;
    Ok(())
}
