//! Builds, runs and checks the Godwit workspace: `cargo xtask --help` lists the commands.

#![forbid(unsafe_code)]

mod bench;
mod command;
mod crowd;
mod cuts;
mod demo;
mod flips;
mod golden;
mod hostile;
mod image;
mod install;
mod layers;
mod machines;
mod prereq;
mod registers;
mod resets;
mod seeds;
mod size;
mod source;
mod steps;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::crowd::Crowd;
use crate::cuts::Cuts;
use crate::flips::Flips;
use crate::golden::Golden;
use crate::hostile::Hostile;
use crate::image::Image;
use crate::install::Install;
use crate::machines::Machines;
use crate::resets::Resets;
use crate::seeds::Seeds;
use crate::size::Size;
use crate::steps::Choice;
use crate::vm::Vm;
use crate::workspace::Workspace;

/// Builds, runs and checks the Godwit workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Task {
    /// Builds the `godwit` command and runs `godwit demo`.
    Demo {
        /// Handed to `godwit demo` as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Checks and tests everything, stopping at the first failure.
    Test(Choice),
    /// What to run before a push: the same steps as `test`.
    Prepush(Choice),
    /// Moves vGPUs over links that end at any byte.
    Cuts(Cuts),
    /// Runs the seeded world over a range of seeds.
    Seeds(Seeds),
    /// Cuts the firmware's power in the middle of saves and restores.
    Resets(Resets),
    /// Flips bits of state files, plain and sealed, each of which must be found.
    Flips(Flips),
    /// Sends a vGPU's sockets messages by chance, which must harm their sender alone.
    Hostile(Hostile),
    /// Has many operators ask a server at once, half of them hostile.
    Crowd(Crowd),
    /// Migrates, suspends and cuts off virtual machines with a vGPU.
    Machines(Machines),
    /// Writes golden files that are missing: the bytes of what is frozen.
    Golden(Golden),
    /// Measures the firmware's images and holds them to `linker/budget.toml`.
    Size(Size),
    /// Measures what things take of this machine's time.
    #[command(subcommand)]
    Bench(Bench),
    /// Writes a board's image: ELF file, signed image file, map and sizes.
    Image(Image),
    /// Installs the command with what belongs to it, and the C library.
    Install(Install),
    /// Checks which crate uses which, against `tools/xtask/layers.toml`.
    Layers,
    /// Writes the register reference, `hal/regs/REGISTERS.md`, from the map.
    Registers,
    /// Checks sizes and plain text, with the exceptions in `tools/xtask/tidy.toml`.
    Tidy,
    /// Makes the folder with QEMU and a guest's kernel that virtual machines run from.
    Vm(Vm),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does one task; its exit status is that of the program it ran last.
fn run(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match task {
        Task::Demo { args } => return demo::run(&workspace, &args),
        Task::Test(choice) | Task::Prepush(choice) => steps::run_all(&workspace, &choice)?,
        Task::Cuts(cuts) => return cuts.run(&workspace),
        Task::Seeds(seeds) => return seeds.run(&workspace),
        Task::Resets(resets) => return resets.run(&workspace),
        Task::Flips(flips) => return flips.run(&workspace),
        Task::Hostile(hostile) => return hostile.run(&workspace),
        Task::Crowd(crowd) => return crowd.run(&workspace),
        Task::Machines(machines) => return machines.run(&workspace),
        Task::Golden(golden) => return golden.run(&workspace),
        Task::Bench(bench) => return bench.run(&workspace),
        Task::Size(size) => size.run(&workspace)?,
        Task::Image(image) => image.run(&workspace)?,
        Task::Install(install) => install.run(&workspace)?,
        Task::Layers => layers::run(&workspace)?,
        Task::Registers => registers::write(&workspace)?,
        Task::Tidy => tidy::run(&workspace)?,
        Task::Vm(vm) => vm.run(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Task};
    use crate::steps::Part;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_part_is_left_out_by_its_name() {
        let Task::Test(choice) = Cli::parse_from(["x", "test", "--without", "vm"]).task else {
            panic!("not a test");
        };
        assert_eq!(choice.without, [Part::Vm]);
        assert!(Cli::try_parse_from(["x", "test", "--without", "all"]).is_err());
    }

    #[test]
    fn demo_hands_its_arguments_on() {
        for line in [["x", "demo", "--", "--seed", "7"].as_slice(), &["x", "demo", "--seed", "7"]] {
            let Task::Demo { args } = Cli::parse_from(line).task else {
                panic!("not a demo");
            };
            assert_eq!(args, ["--seed", "7"]);
        }
    }
}
