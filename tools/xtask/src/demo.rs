//! `cargo xtask demo`: from a clean clone to a moving vGPU in one command.

use std::env::consts::EXE_SUFFIX;
use std::process::ExitCode;

use anyhow::Result;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// Builds the command line and runs its demo, whose exit status becomes ours.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    prereq::ensure(prereq::BUILD)?;
    Cmd::cargo(["build", "--release", "--package", "godwit"]).run(workspace.root())?;
    let binary = workspace.target_dir().join(format!("release/godwit{EXE_SUFFIX}"));
    let demo = Cmd::new(binary.to_string_lossy()).args(["demo"]).args(args);
    Ok(passed_on(demo.status(workspace.root())?))
}
