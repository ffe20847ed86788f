//! `cargo xtask resets`: the firmware's power is cut in the middle of saves and restores.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// Which cuts to make.
#[derive(Clone, Debug, Args)]
pub(crate) struct Resets {
    /// In the host's process, only before every so many words that the firmware writes.
    #[arg(long, default_value_t = 1)]
    every: u32,
    /// In the host's process, takeovers that are cut before each word, too: those after every so
    /// many words; 0: none.
    #[arg(long, default_value_t = 32)]
    takeovers: u32,
    /// Cuts in QEMU, each at another instruction.
    #[arg(long, default_value_t = 500)]
    count: u32,
    /// One cut alone, as a failure prints it.
    #[arg(long, num_args = 3..=4, value_names = ["SCENE", "CALLS", "INSTRUCTIONS", "WORDS"])]
    only: Option<Vec<u32>>,
}

impl Resets {
    /// The cuts that a full test makes.
    pub(crate) const fn sample() -> Self {
        Self { every: 8, takeovers: 1000, count: 24, only: None }
    }

    /// The command that makes them.
    pub(crate) fn command(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-qemu", "--bin", "resets", "--"];
        let mut args = vec![
            "--every".to_owned(),
            self.every.to_string(),
            "--takeovers".to_owned(),
            self.takeovers.to_string(),
            "--count".to_owned(),
            self.count.to_string(),
        ];
        if let Some(only) = &self.only {
            args.push("--only".to_owned());
            args.extend(only.iter().map(u32::to_string));
        }
        Cmd::cargo(run).args(args)
    }

    /// Makes them; the exit status becomes ours.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        prereq::ensure(prereq::TEST)?;
        Ok(passed_on(self.command().status(workspace.root())?))
    }
}

#[cfg(test)]
mod tests {
    use super::Resets;

    #[test]
    fn a_failure_is_repeated_as_it_was_printed() {
        let only = Some(vec![1, 0, 345, 6]);
        let line = Resets { every: 1, takeovers: 32, count: 500, only }.command().to_string();
        assert!(line.ends_with("--takeovers 32 --count 500 --only 1 0 345 6"), "{line}");
    }
}
