//! A migration without a vGPU, to compare with.

use super::VmError;
use super::limit::Limit;
use super::machine::{ASK, await_completed};
use super::qmp::{Event, Qmp};
use super::settings::Settings;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Migrates a machine without a vGPU, as QEMU does by itself, with its own limit of the pause or
/// with that of [`super::migrate`], which is short at first. Returns how long its guest stood
/// still. The machine at the source ends.
///
/// # Errors
///
/// When it is not moved.
pub fn migrate_plainly(
    from: &Path,
    to: &Path,
    uri: &str,
    is_short: bool,
) -> Result<Duration, VmError> {
    let (mut from, mut to) = (Qmp::connect(from)?, Qmp::connect(to)?);
    let before = Settings::set(&mut from, false)?;
    Settings::set(&mut to, false)?;
    to.ask("migrate-incoming", json!({ "uri": uri }))?;
    let mut limit = match is_short {
        true => Some(Limit::set(&mut from, None, before.downtime_limit())?),
        false => None,
    };
    from.ask("migrate", json!({ "uri": uri }))?;
    let paused = loop {
        let migration = from.migration()?;
        if let Some(limit) = &mut limit {
            limit.look(&mut from, migration.passes)?;
        }
        if let Some(paused) = from.event(ASK, Event::stop)? {
            break paused;
        }
        if migration.has_failed() || migration.status == "completed" {
            return Err(VmError::Migration(migration.why));
        }
    };
    await_completed(&mut from, None)?;
    await_completed(&mut to, None)?;
    to.ask("cont", json!({}))?;
    let pause = paused.elapsed();
    let _ = from.ask("quit", json!({}));
    Ok(pause)
}
