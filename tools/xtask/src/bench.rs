//! `cargo xtask bench`: what things take of this machine's time. Never part of a test.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::command::{Cmd, passed_on};
use crate::machines;
use crate::prereq;
use crate::workspace::Workspace;

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// The firmware's images in QEMU: ready after the start, idle, a doorbell and back. Fails
    /// when a bar is missed.
    Image(ImageBench),
    /// The scheduler: what vGPUs attain beside hostile ones, in virtual time, and the instructions
    /// from the end of a slice to the next start. Fails when a bar is missed.
    Sched(SchedBench),
    /// Moves: how long a vGPU stands still that writes all the time, with and without a bound, and
    /// what moves cost the vGPUs beside it, in virtual time. Fails when a bar is missed.
    Downtime(DowntimeBench),
    /// A save to a pipe and a restore from one, beside memcpy and the pipe alone. Fails when a bar
    /// is missed.
    Save(SaveBench),
    /// Virtual machines: the pause of one that is migrated with its vGPU beside one without it,
    /// and the aperture beside memory, from the guest. Fails when a bar is missed.
    Vm(VmBench),
}

/// How to measure virtual machines.
#[derive(Clone, Debug, Args)]
pub(crate) struct VmBench {
    /// Migrations of each.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

/// How to measure saves and restores.
#[derive(Clone, Debug, Args)]
pub(crate) struct SaveBench {
    /// Bytes of the framebuffer, all of them dirty: whole MiB, 64 MiB to 16 GiB; 1 GiB unless told.
    #[arg(long)]
    bytes: Option<u64>,
    /// Rounds, 1 to 1,000; 10 unless told.
    #[arg(long)]
    rounds: Option<u64>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// How to measure the scheduler.
#[derive(Clone, Debug, Args)]
pub(crate) struct SchedBench {
    /// Virtual seconds of each window, 0.1 to 50; 10 unless told.
    #[arg(long)]
    seconds: Option<f64>,
    /// So many well-behaved vGPUs only: 2, 8 or 27.
    #[arg(long)]
    group: Option<u32>,
    /// One policy only: best-effort, equal-share or fixed-share.
    #[arg(long)]
    policy: Option<String>,
    /// One factor of the costs only: 1, 0.1 or 10.
    #[arg(long)]
    scale: Option<String>,
    /// Prints JSON: an array for the shares, then one for the instructions.
    #[arg(long)]
    json: bool,
}

/// How to measure moves.
#[derive(Clone, Debug, Args)]
pub(crate) struct DowntimeBench {
    /// Passed on: see `--help` of it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl DowntimeBench {
    fn command(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-world", "--bin", "downtime", "--"];
        Cmd::cargo(run).args(self.options.iter().cloned())
    }
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
        prereq::ensure(prereq::RUN_IMAGES)?;
        match self {
            Self::Save(bench) => Ok(passed_on(bench.command().status(workspace.root())?)),
            Self::Image(bench) => Ok(passed_on(bench.command().status(workspace.root())?)),
            Self::Sched(bench) => bench.run(workspace),
            Self::Downtime(bench) => Ok(passed_on(bench.command().status(workspace.root())?)),
            Self::Vm(bench) => {
                let args = ["bench".to_owned(), "--count".to_owned(), bench.count.to_string()];
                machines::run(workspace, "release", &args)
            }
        }
    }
}

impl ImageBench {
    fn command(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-qemu", "--bin", "bench", "--"];
        let board = self.board.iter().flat_map(|name| ["--board", name]);
        Cmd::cargo(run).args(board).args(self.json.then_some("--json"))
    }
}

impl SaveBench {
    fn command(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-world", "--bin", "save", "--"];
        Cmd::cargo(run)
            .args(option("bytes", self.bytes.map(|bytes| bytes.to_string())))
            .args(option("rounds", self.rounds.map(|rounds| rounds.to_string())))
            .args(self.json.then_some("--json"))
    }
}

fn option(name: &str, value: Option<String>) -> impl Iterator<Item = String> {
    value.map(|value| [format!("--{name}"), value]).into_iter().flatten()
}

impl SchedBench {
    /// Both halves, whatever becomes of the first.
    fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        let shares = self.shares().status(workspace.root())?;
        let switches = self.switches().status(workspace.root())?;
        Ok(passed_on(if shares.success() { switches } else { shares }))
    }

    fn shares(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-world", "--bin", "sched", "--"];
        Cmd::cargo(run)
            .args(option("seconds", self.seconds.map(|seconds| seconds.to_string())))
            .args(option("group", self.group.map(|group| group.to_string())))
            .args(option("policy", self.policy.clone()))
            .args(option("scale", self.scale.clone()))
            .args(self.json.then_some("--json"))
    }

    fn switches(&self) -> Cmd {
        let run = ["run", "--release", "--package", "godwit-qemu", "--bin", "switches", "--"];
        Cmd::cargo(run).args(self.json.then_some("--json"))
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageBench, SaveBench, SchedBench};

    #[test]
    fn the_benchmark_of_saves_gets_the_options() {
        let none = SaveBench { bytes: None, rounds: None, json: false }.command().to_string();
        assert!(none.ends_with("--bin save --"), "{none}");
        let all = SaveBench { bytes: Some(1 << 26), rounds: Some(3), json: true };
        let all = all.command().to_string();
        assert!(all.ends_with("--bin save -- --bytes 67108864 --rounds 3 --json"), "{all}");
    }

    #[test]
    fn the_benchmark_of_the_scheduler_gets_the_options() {
        let none =
            SchedBench { seconds: None, group: None, policy: None, scale: None, json: false };
        assert!(none.shares().to_string().ends_with("--bin sched --"));
        let some = SchedBench { seconds: Some(0.5), group: Some(8), json: true, ..none };
        let command = some.shares().to_string();
        assert!(command.ends_with("--bin sched -- --seconds 0.5 --group 8 --json"), "{command}");
        assert!(some.switches().to_string().ends_with("--bin switches -- --json"));
    }

    #[test]
    fn the_benchmark_gets_the_options() {
        let all = ImageBench { board: None, json: false }.command().to_string();
        assert!(all.ends_with("--bin bench --"), "{all}");
        let one = ImageBench { board: Some("b".to_owned()), json: true }.command().to_string();
        assert!(one.ends_with("--bin bench -- --board b --json"), "{one}");
    }
}
