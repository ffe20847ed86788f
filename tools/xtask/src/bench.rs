//! `cargo xtask bench`: what things take of this machine's time. Never part of a test.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::command::{Cmd, passed_on};
use crate::prereq;
use crate::workspace::Workspace;

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// The firmware's images in QEMU: ready after the start, idle, a doorbell and back. Fails
    /// when a bar is missed.
    Image(ImageBench),
}

/// How to measure images.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImageBench {
    /// One board only.
    #[arg(long)]
    board: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Bench {
    /// Measures; the exit status of the benchmark becomes ours.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        let Self::Image(bench) = self;
        prereq::ensure(prereq::RUN_IMAGES)?;
        Ok(passed_on(bench.command().status(workspace.root())?))
    }
}

impl ImageBench {
    fn command(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-qemu", "--bin", "bench", "--"];
        let board = self.board.iter().flat_map(|name| ["--board", name]);
        Cmd::cargo(run).args(board).args(self.json.then_some("--json"))
    }
}

#[cfg(test)]
mod tests {
    use super::ImageBench;

    #[test]
    fn the_benchmark_gets_the_options() {
        let all = ImageBench { board: None, json: false }.command().to_string();
        assert!(all.ends_with("--bin bench --"), "{all}");
        let one = ImageBench { board: Some("b".to_owned()), json: true }.command().to_string();
        assert!(one.ends_with("--bin bench -- --board b --json"), "{one}");
    }
}
