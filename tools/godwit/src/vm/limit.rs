//! How long QEMU may let the guest stand still.

use super::VmError;
use super::qmp::Qmp;
use serde_json::{Value, json};
use std::time::Duration;

/// See the module. It is short at first, for which it sends more of the
/// memory before, and longer where that does not come to an end.
#[derive(Debug)]
pub(super) struct Limit {
    now_ms: u64,
    most_ms: u64,
    /// Passes over the memory after which it is longer.
    passes: u64,
}

impl Limit {
    /// What it is at first.
    const FIRST_MS: u64 = 10;
    /// Passes over the memory with each.
    const PASSES: u64 = 4;

    /// Up to what was asked for, or what QEMU has.
    pub(super) fn set(qmp: &mut Qmp, most: Option<Duration>) -> Result<Self, VmError> {
        let most_ms = match most {
            Some(most) => u64::try_from(most.as_millis()).unwrap_or(u64::MAX),
            None => {
                let set = qmp.ask("query-migrate-parameters", json!({}))?;
                set.get("downtime-limit").and_then(Value::as_u64).unwrap_or(Self::FIRST_MS)
            }
        };
        let now_ms = Self::FIRST_MS.min(most_ms);
        let limit = Self { now_ms, most_ms, passes: Self::PASSES };
        limit.tell(qmp)?;
        Ok(limit)
    }

    fn tell(&self, qmp: &mut Qmp) -> Result<(), VmError> {
        qmp.ask("migrate-set-parameters", json!({ "downtime-limit": self.now_ms }))?;
        Ok(())
    }

    /// So many passes over the memory were made.
    pub(super) fn look(&mut self, qmp: &mut Qmp, passes: u64) -> Result<(), VmError> {
        if passes > self.passes && self.now_ms < self.most_ms {
            self.now_ms = self.most_ms.min(2 * self.now_ms);
            self.passes = passes + Self::PASSES;
            self.tell(qmp)?;
        }
        Ok(())
    }
}
