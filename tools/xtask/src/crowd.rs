//! `cargo xtask crowd`: many operators at once, half of them hostile.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// How many.
#[derive(Clone, Debug, Args)]
pub(crate) struct Crowd {
    /// How many clients.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..=1000))]
    count: u64,
    /// What the hostile ones say by chance.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

impl Crowd {
    fn command(&self) -> Cmd {
        let test = ["test", "--release", "--package", "godwit-server", "--test", "served", "--"];
        Cmd::cargo(test)
            .args([
                "--exact",
                "crowd::a_crowd_of_operators_is_served_and_harms_nobody",
                "--nocapture",
            ])
            .env("GODWIT_SEED", self.seed.to_string())
            .env("GODWIT_CROWD", self.count.to_string())
    }

    /// Has them connect and ask; the exit status becomes ours.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        prereq::ensure(prereq::BUILD)?;
        Ok(passed_on(self.command().status(workspace.root())?))
    }
}
