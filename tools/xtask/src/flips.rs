//! `cargo xtask flips`: bits of states, frames and journals are flipped, and each must be found.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// Which bits to flip.
#[derive(Clone, Debug, Args)]
pub(crate) struct Flips {
    /// How many random bits of each large file.
    #[arg(long, default_value_t = 100_000)]
    count: u32,
    /// Every so many bits of all else.
    #[arg(long, default_value_t = 1)]
    every: u32,
    /// With how many random bits flipped each state is restored and each move carried out.
    #[arg(long, default_value_t = 1_000)]
    restores: u32,
    /// Where the random bits come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One bit alone, as a failure prints it.
    #[arg(long, num_args = 2, value_names = ["KIND", "BIT"])]
    only: Option<Vec<String>>,
}

impl Flips {
    /// The bits that a full test flips.
    pub(crate) const fn sample() -> Self {
        Self { count: 2_000, every: 97, restores: 50, seed: 1, only: None }
    }

    /// The command that flips them.
    pub(crate) fn command(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-world", "--bin", "flips", "--"];
        let Self { count, every, restores, seed, only } = self;
        let numbers = [
            ("--count", u64::from(*count)),
            ("--every", (*every).into()),
            ("--restores", (*restores).into()),
            ("--seed", *seed),
        ];
        let numbers = numbers.into_iter().flat_map(|(name, it)| [name.to_owned(), it.to_string()]);
        let only = only.iter().flat_map(|only| [vec!["--only".to_owned()], only.clone()].concat());
        Cmd::cargo(run).args(numbers.chain(only))
    }

    /// Flips them; the exit status becomes ours.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        prereq::ensure(prereq::BUILD)?;
        Ok(passed_on(self.command().status(workspace.root())?))
    }
}

#[cfg(test)]
mod tests {
    use super::Flips;

    #[test]
    fn a_failure_is_repeated_as_it_was_printed() {
        let only = Some(vec!["large-sealed".to_owned(), "345".to_owned()]);
        let flips = Flips { count: 9, every: 2, restores: 4, seed: 3, only };
        let line = flips.command().to_string();
        let end =
            "--bin flips -- --count 9 --every 2 --restores 4 --seed 3 --only large-sealed 345";
        assert!(line.ends_with(end), "{line}");
    }
}
