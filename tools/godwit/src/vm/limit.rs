//! How long QEMU may let the guest stand still.

use super::VmError;
use super::qmp::Qmp;
use serde_json::json;
use std::time::Duration;

/// See the module. It is short at first, for which it sends more of the memory before, and longer
/// where that does not come to an end.
#[derive(Debug)]
pub(super) struct Limit {
    now_ms: u64,
    most_ms: u64,
    /// It was asked for: where it cannot be kept, nothing is migrated.
    is_asked: bool,
    /// Passes over the memory after which it is longer.
    passes: u64,
}

impl Limit {
    /// What it is at first.
    const FIRST_MS: u64 = 10;
    /// Passes over the memory with each.
    const PASSES: u64 = 4;

    /// Passes with the longest that was asked for.
    const LAST_PASSES: u64 = 60;

    /// Up to what was asked for, or what QEMU has.
    pub(super) fn set(
        qmp: &mut Qmp,
        asked: Option<Duration>,
        own_ms: Option<u64>,
    ) -> Result<Self, VmError> {
        let asked_ms = asked.map(|most| u64::try_from(most.as_millis()).unwrap_or(u64::MAX));
        let most_ms = asked_ms.or(own_ms).unwrap_or(Self::FIRST_MS);
        let (now_ms, is_asked) = (Self::FIRST_MS.min(most_ms), asked.is_some());
        let limit = Self { now_ms, most_ms, is_asked, passes: Self::PASSES };
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
        } else if self.is_asked && passes > self.passes + Self::LAST_PASSES {
            let why = format!(
                "after {passes} passes over the memory the guest would still stand still for more \
                 than {} ms",
                self.most_ms
            );
            return Err(VmError::Migration(why));
        }
        Ok(())
    }
}
