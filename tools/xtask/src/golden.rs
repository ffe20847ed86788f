//! `cargo xtask golden`: the bytes of what is frozen.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// Which files to write.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Golden {
    /// Those, too, that hold other bytes than today's encoders make: only right when what they hold
    /// was never released.
    #[arg(long)]
    overwrite: bool,
}

impl Golden {
    fn command(self) -> Cmd {
        let run = ["run", "--package", "godwit-golden", "--bin", "golden", "--"];
        Cmd::cargo(run).args(self.overwrite.then_some("--overwrite"))
    }

    /// Writes them; the exit status says whether all hold what today's encoders make.
    pub(crate) fn run(self, workspace: &Workspace) -> Result<ExitCode> {
        prereq::ensure(prereq::BUILD)?;
        Ok(passed_on(self.command().status(workspace.root())?))
    }
}

#[cfg(test)]
mod tests {
    use super::Golden;

    #[test]
    fn nothing_is_overwritten_unless_that_is_asked_for() {
        let line = |overwrite| Golden { overwrite }.command().to_string();
        assert!(line(false).ends_with("--bin golden --"), "{}", line(false));
        assert!(line(true).ends_with("--bin golden -- --overwrite"), "{}", line(true));
    }
}
