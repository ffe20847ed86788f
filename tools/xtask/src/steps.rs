//! `cargo xtask test` and `prepush`: one list of steps, cheap ones first.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::command::Cmd;
use crate::cuts::Cuts;
use crate::flips::Flips;
use crate::layers::{self, Rules};
use crate::prereq::{self, BOARD_TARGETS, FIRMWARE_TARGET, RV32_TARGET};
use crate::registers;
use crate::resets::Resets;
use crate::seeds::Seeds;
use crate::size;
use crate::tidy;
use crate::workspace::Workspace;

/// The feature that turns typed events into log records.
const LOG_FEATURE: &str = "defmt";
/// The program that always has it, and with it all that is built beside it.
const IMAGE: &str = "godwit-image";

/// One thing to check.
#[derive(Debug)]
struct Step {
    name: &'static str,
    work: Work,
}

/// What a step does.
#[derive(Debug)]
enum Work {
    /// Programs, one after the other.
    Programs(Vec<Cmd>),
    /// A check of our own, and the command that does it alone.
    Check(fn(&Workspace) -> Result<()>, &'static str),
}

impl Step {
    fn programs(name: &'static str, programs: impl IntoIterator<Item = Cmd>) -> Self {
        Self { name, work: Work::Programs(programs.into_iter().collect()) }
    }

    fn run(&self, workspace: &Workspace) -> Result<()> {
        match &self.work {
            Work::Programs(programs) => programs.iter().try_for_each(|cmd| {
                println!("$ {cmd}");
                cmd.run(workspace.root())
            }),
            Work::Check(check, _) => check(workspace),
        }
    }
}

/// How to do a step again by hand.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Programs(programs) => {
                programs.iter().try_for_each(|cmd| write!(f, "\n    {cmd}"))
            }
            Work::Check(_, repeat) => write!(f, "\n    {repeat}"),
        }
    }
}

/// What to run.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Choice {
    /// A part to leave out. `vm`: the tests in virtual machines, which take root once.
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) without: Vec<Part>,
}

/// A part of the tests that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The tests in virtual machines.
    Vm,
}

impl Part {
    /// The package that has the tests of this part, and no others.
    const fn package(self) -> &'static str {
        match self {
            Self::Vm => "godwit-vm",
        }
    }

    /// What is not known when it was left out, and how to run it.
    fn not_run(self) -> String {
        match self {
            Self::Vm => format!(
                "NOT RUN: the tests in virtual machines, since `--without vm` left them out; run \
                 them with `cargo xtask vm`, as root, and then `cargo test --package {}`",
                self.package()
            ),
        }
    }
}

/// Runs every step, or up to the first that fails.
pub(crate) fn run_all(workspace: &Workspace, choice: &Choice) -> Result<()> {
    prereq::ensure(prereq::TEST)?;
    if !choice.without.contains(&Part::Vm) {
        prereq::ensure(prereq::VM)?;
    }
    let steps = all(workspace, choice)?;
    let took = in_order(&steps, workspace)?;
    println!("\n{}", summary(&steps, &took));
    println!("{} passed, 0 failed", steps.len());
    for part in &choice.without {
        println!("{}", part.not_run());
    }
    Ok(())
}

/// All tests of the workspace, but for those of the parts that are left out.
fn cargo_test(choice: &Choice) -> Cmd {
    let left_out = choice.without.iter().flat_map(|part| ["--exclude", part.package()]);
    // With a compiler for the template in C, which other runs of the tests may lack.
    Cmd::cargo(["test", "--workspace"]).args(left_out).env("GODWIT_REQUIRE_CROSS_COMPILER", "1")
}

/// How long each step took; the error says how to repeat the one that failed.
fn in_order(steps: &[Step], workspace: &Workspace) -> Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(steps.len());
    for (step, number) in steps.iter().zip(1..) {
        println!("\n== {number}/{}: {}", steps.len(), step.name);
        let start = Instant::now();
        if let Err(error) = step.run(workspace) {
            bail!("step {number}, {}, failed: {error:#}\nTo repeat it:{step}", step.name);
        }
        took.push(start.elapsed());
    }
    Ok(took)
}

fn summary(steps: &[Step], took: &[Duration]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["step", "seconds"]);
    for (step, took) in steps.iter().zip(took) {
        table.add_row([step.name.to_owned(), seconds(*took)]);
    }
    table.add_row(["all".to_owned(), seconds(took.iter().sum())]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// The steps, in order.
fn all(workspace: &Workspace, choice: &Choice) -> Result<Vec<Step>> {
    let rules = Rules::load(workspace)?;
    let logging = logging(workspace, &rules.no_std);
    let docs = Cmd::cargo(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings");
    let reproduce = ["xtask", "image", "--board", "qemu-virt-rv64", "--reproduce"];
    let deny = ["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    Ok(vec![
        Step::programs("format", [Cmd::cargo(["fmt", "--all", "--", "--check"])]),
        Step { name: "tidy", work: Work::Check(tidy::run, "cargo xtask tidy") },
        Step { name: "layers", work: Work::Check(layers::run, "cargo xtask layers") },
        Step { name: "registers", work: Work::Check(registers::check, registers::REFRESH) },
        Step::programs("clippy, host", [clippy(&["--workspace", "--all-targets"])]),
        Step::programs("clippy, firmware target", on_target(clippy, &rules.no_std, &logging)),
        Step::programs("build, firmware target", on_target(build, &rules.no_std, &logging)),
        Step { name: "size", work: Work::Check(size::run, "cargo xtask size") },
        Step::programs("rustdoc", [docs]),
        Step::programs("cargo deny", [Cmd::cargo(deny)]),
        Step::programs("cargo test", [cargo_test(choice)]),
        Step::programs("flips", [Flips::sample().command()]),
        Step::programs("seeds", [Seeds::sample().command()]),
        Step::programs("cuts", [Cuts::sample().command()]),
        Step::programs("resets", [Resets::sample().command()]),
        Step::programs("image, built twice", [Cmd::cargo(reproduce)]),
    ])
}

/// Those of `crates` that have the log feature.
fn logging(workspace: &Workspace, crates: &[String]) -> Vec<String> {
    let packages = workspace.metadata().workspace_packages();
    let has = |name: &&String| {
        packages.iter().any(|p| p.name.as_str() == *name && p.features.contains_key(LOG_FEATURE))
    };
    crates.iter().filter(has).cloned().collect()
}

fn clippy(args: &[&str]) -> Cmd {
    Cmd::cargo(["clippy"]).args(args.iter().copied()).args(["--", "-D", "warnings"])
}

fn build(args: &[&str]) -> Cmd {
    Cmd::cargo(["build", "--release"]).args(args.iter().copied())
}

/// What is to be done for the firmware's own target, where there is no standard library to fall
/// back on: without logging, with it, then for the device programs, and at last for the image and
/// the boot stage on the targets of their other boards, and the image on the template board.
fn on_target(what: fn(&[&str]) -> Cmd, no_std: &[String], logging: &[String]) -> Vec<Cmd> {
    let target = ["--target", FIRMWARE_TARGET];
    let with = |crates: &[String], features: &[String]| {
        let mut args: Vec<&str> = target.to_vec();
        args.extend(crates.iter().flat_map(|name| ["--package", name]));
        args.extend(features.iter().flat_map(|feature| ["--features", feature]));
        what(&args)
    };
    let features: Vec<String> =
        logging.iter().map(|name| format!("{name}/{LOG_FEATURE}")).collect();
    let bare: Vec<String> = no_std.iter().filter(|name| *name != IMAGE).cloned().collect();
    let mut out = vec![with(&bare, &[])];
    if !logging.is_empty() {
        out.push(with(logging, &features));
    }
    let programs = "godwit-programs".to_owned();
    let device = format!("{programs}/device");
    out.push(with(&[programs], &[device]));
    let image = |target| what(&["--target", target, "--package", IMAGE]);
    out.push(image(FIRMWARE_TARGET));
    out.extend(BOARD_TARGETS.map(image));
    out.push(what(&["--target", RV32_TARGET, "--package", "godwit-boot"]));
    // The board that others copy is in no list, so nothing else would build it.
    out.push(image(FIRMWARE_TARGET).env("GODWIT_BOARD", "template"));
    out
}

#[cfg(test)]
mod tests {
    use super::{
        Choice, Cmd, Duration, IMAGE, Part, Step, Work, Workspace, build, cargo_test, clippy,
        in_order, on_target, summary,
    };

    fn failing(_: &Workspace) -> anyhow::Result<()> {
        anyhow::bail!("two files are too long")
    }

    #[test]
    fn firmware_is_checked_with_and_without_logging() {
        let crates = ["a".to_owned(), "b".to_owned(), IMAGE.to_owned()];
        let lines: Vec<String> =
            on_target(clippy, &crates, &crates[1..2]).iter().map(Cmd::to_string).collect();
        let target = "cargo clippy --target riscv64imac-unknown-none-elf";
        assert_eq!(
            lines,
            [
                format!("{target} --package a --package b -- -D warnings"),
                format!("{target} --package b --features b/defmt -- -D warnings"),
                format!(
                    "{target} --package godwit-programs --features godwit-programs/device \
                     -- -D warnings"
                ),
                format!("{target} --package godwit-image -- -D warnings"),
                "cargo clippy --target riscv32imac-unknown-none-elf --package godwit-image \
                 -- -D warnings"
                    .to_owned(),
                "cargo clippy --target thumbv7em-none-eabihf --package godwit-image \
                 -- -D warnings"
                    .to_owned(),
                "cargo clippy --target riscv32imac-unknown-none-elf --package godwit-boot \
                 -- -D warnings"
                    .to_owned(),
                format!("GODWIT_BOARD=template {target} --package godwit-image -- -D warnings"),
            ]
        );
        let built = on_target(build, &crates, &[]);
        assert_eq!(built.len(), 7);
        assert_eq!(
            built[0].to_string(),
            "cargo build --release --target riscv64imac-unknown-none-elf --package a --package b"
        );
    }

    #[test]
    fn what_is_left_out_is_not_tested_and_named() {
        let all = cargo_test(&Choice::default()).to_string();
        assert!(all.ends_with("cargo test --workspace"), "{all}");
        let some = cargo_test(&Choice { without: vec![Part::Vm] }).to_string();
        assert!(some.ends_with("cargo test --workspace --exclude godwit-vm"), "{some}");
        assert!(Part::Vm.not_run().contains("`cargo test --package godwit-vm`"));
    }

    #[test]
    fn the_first_failure_ends_the_run_and_says_how_to_repeat_it() {
        let workspace = Workspace::load().unwrap();
        let fine = || Step::programs("fine", [Cmd::new("true")]);
        let tidy = || Step { name: "tidy", work: Work::Check(failing, "cargo xtask tidy") };
        assert_eq!(in_order(&[fine(), fine()], &workspace).unwrap().len(), 2);
        let error = in_order(&[fine(), tidy(), fine()], &workspace).unwrap_err().to_string();
        assert_eq!(
            error,
            "step 2, tidy, failed: two files are too long\nTo repeat it:\n    cargo xtask tidy"
        );
        let broken = Step::programs("broken", [Cmd::new("false").args(["now"])]);
        let error = in_order(&[broken], &workspace).unwrap_err().to_string();
        assert!(error.ends_with("To repeat it:\n    false now"), "{error}");
    }

    #[test]
    fn the_summary_has_a_row_for_each_step_and_the_sum() {
        let steps = [Step::programs("one", []), Step::programs("two", [])];
        let took = [Duration::from_millis(1_500), Duration::from_millis(2_000)];
        let table = summary(&steps, &took).to_string();
        for row in [["one", "1.5"], ["two", "2.0"], ["all", "3.5"]] {
            assert!(
                table.lines().any(|line| row.iter().all(|cell| line.contains(cell))),
                "{table}"
            );
        }
    }
}
