//! `cargo xtask machines`: virtual machines with a vGPU in larger counts than a test has.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_vm_env::VmEnv;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// What to do with them.
#[derive(Clone, Debug, Args)]
pub(crate) struct Machines {
    /// `moves`, `suspends`, `cuts` or `bench`, with options: see `cargo xtask machines -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    args: Vec<String>,
}

impl Machines {
    /// Does it; the exit status becomes ours.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        run(workspace, "dev", &self.args)
    }
}

/// Runs the program of the machines, which starts another that is built beside it.
pub(crate) fn run(workspace: &Workspace, profile: &str, args: &[String]) -> Result<ExitCode> {
    prereq::ensure(prereq::BUILD)?;
    VmEnv::make(workspace.target_dir(), &mut |what| println!("{what}"))?;
    let package = ["--profile", profile, "--package", "godwit-vm"];
    let build = Cmd::cargo(["build"]).args(package).args(["--bins"]);
    build.run(workspace.root())?;
    let run = Cmd::cargo(["run"]).args(package).args(["--bin", "machines", "--"]);
    Ok(passed_on(run.args(args.iter().cloned()).status(workspace.root())?))
}
