//! `cargo xtask seeds`: the seeded world, over a range of seeds.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// How many seeds a full test takes.
pub(crate) const SAMPLE_COUNT: u64 = 256;

/// How many worlds run at once unless told otherwise.
const JOBS: u32 = 2;

/// Which seeds to run.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Seeds {
    /// How many seeds.
    #[arg(long)]
    count: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many to run at the same time.
    #[arg(long, default_value_t = JOBS)]
    jobs: u32,
}

impl Seeds {
    /// The seeds that a full test runs.
    pub(crate) const fn sample() -> Self {
        Self { count: SAMPLE_COUNT, first: 0, jobs: JOBS }
    }

    /// The command that runs them.
    pub(crate) fn command(self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-world", "--bin", "seeds", "--"];
        let Self { count, first, jobs } = self;
        Cmd::cargo(run).args([
            "--count".to_owned(),
            count.to_string(),
            "--first".to_owned(),
            first.to_string(),
            "--jobs".to_owned(),
            jobs.to_string(),
        ])
    }

    /// Runs them; the exit status of the world becomes ours.
    pub(crate) fn run(self, workspace: &Workspace) -> Result<ExitCode> {
        prereq::ensure(prereq::BUILD)?;
        Ok(passed_on(self.command().status(workspace.root())?))
    }
}

#[cfg(test)]
mod tests {
    use super::Seeds;

    #[test]
    fn the_world_gets_the_whole_range() {
        let line = Seeds { count: 3, first: 40, jobs: 1 }.command().to_string();
        assert!(line.ends_with("--bin seeds -- --count 3 --first 40 --jobs 1"), "{line}");
    }
}
