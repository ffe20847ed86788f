//! `cargo xtask hostile`: messages by chance to a vGPU's sockets, from many seeds.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// Which seeds.
#[derive(Clone, Debug, Args)]
pub(crate) struct Hostile {
    /// How many seeds, of 20,000 messages each.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// The first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Hostile {
    fn command(&self) -> Cmd {
        let test = ["test", "--release", "--package", "godwit-server", "--test", "hostile", "--"];
        Cmd::cargo(test)
            .args(["--exact", "fuzz::whatever_is_sent_harms_its_sender_alone", "--nocapture"])
            .env("GODWIT_SEED", self.seed.to_string())
            .env("GODWIT_SEEDS", self.count.to_string())
    }

    /// Sends them; the exit status becomes ours.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        prereq::ensure(prereq::BUILD)?;
        Ok(passed_on(self.command().status(workspace.root())?))
    }
}
