//! Instructions of the firmware's longest calls, counted by the boards themselves in QEMU.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::budget::Instructions;
use crate::command::Cmd;
use crate::workspace::Workspace;

/// Runs the program that counts, on one board or on all.
pub(crate) fn count(
    board: Option<&str>,
    workspace: &Workspace,
) -> Result<BTreeMap<String, Instructions>> {
    let run = ["run", "--quiet", "--package", "godwit-qemu", "--bin", "counts", "--"];
    let named = board.map(|name| ["--board", name]);
    let cmd = Cmd::cargo(run).args(named.into_iter().flatten());
    let said = cmd.stdout(workspace.root())?;
    serde_json::from_str(&said).with_context(|| format!("`{cmd}` prints something else: {said}"))
}
