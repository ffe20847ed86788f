//! `cargo xtask cuts`: moves over links that end, at every place that matters.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// Which links to end, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Cuts {
    /// How many random bytes of each phase, from each side, of each kind of move, and each way that
    /// the link may go on; of moves whose processes end, a tenth as many.
    #[arg(long, default_value_t = 1_000)]
    count: u64,
    /// The first seed of the random ones.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Of the ends of records, and the bytes of messages without data, only every so many.
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// One cut alone, as a failure prints it.
    #[arg(long, num_args = 5, value_names = ["KIND", "WAY", "BYTE", "SEED", "FATE"])]
    only: Option<Vec<String>>,
}

impl Cuts {
    /// The cuts that a full test makes.
    pub(crate) const fn sample() -> Self {
        Self { count: 20, first: 0, every: 2, only: None }
    }

    /// The command that makes them.
    pub(crate) fn command(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-world", "--bin", "cuts", "--"];
        let mut args = vec![
            "--count".to_owned(),
            self.count.to_string(),
            "--first".to_owned(),
            self.first.to_string(),
            "--every".to_owned(),
            self.every.to_string(),
        ];
        if let Some(only) = &self.only {
            args.push("--only".to_owned());
            args.extend(only.iter().cloned());
        }
        Cmd::cargo(run).args(args)
    }

    /// Makes them; the exit status of the world becomes ours.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        prereq::ensure(prereq::BUILD)?;
        Ok(passed_on(self.command().status(workspace.root())?))
    }
}

#[cfg(test)]
mod tests {
    use super::Cuts;

    #[test]
    fn a_failure_is_repeated_as_it_was_printed() {
        let only = Some(["live", "back", "12", "7", "dies"].map(str::to_owned).to_vec());
        let line = Cuts { count: 1_000, first: 0, every: 1, only }.command().to_string();
        assert!(line.ends_with("--first 0 --every 1 --only live back 12 7 dies"), "{line}");
    }
}
