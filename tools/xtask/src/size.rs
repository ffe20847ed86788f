//! `cargo xtask size`: how much of its microcontroller an image takes, by the image itself.
//!
//! Sizes are those of the ELF file's sections. The stack is the deepest of all paths through the
//! call graph, which is read from the machine code: each function's instructions are followed on
//! every path with what is known of the registers, so that the stack pointer is known at every
//! call. A recursion, a call or a jump that cannot be resolved, and a stack pointer that cannot
//! be followed are errors. The same walk shows that no instruction that traps can be reached.
//! Instructions are counted by the boards themselves, in one scenario in QEMU.
//!
//! What is taken for granted:
//!
//! - a jump by a word from a read-only table goes to one of the table's entries, and one into a
//!   run of jumps to one of them;
//! - functions keep the registers and the stack pointer that their core's convention says;
//! - whoever has a pointer into a function's frame writes there and above, but not to where the
//!   function has saved its return address;
//! - what a Cortex-M takes from the stack into its program counter or its link register was saved
//!   there;
//! - RISC-V takes one trap at a time: the handler does not fault, and does not enable interrupts;
//! - a Cortex-M's priorities are as after a reset, so that one interrupt or fault, one hard fault
//!   and one NMI can be on the stack at the same time, each with the largest frame there is.

mod budget;
mod check;
mod flow;
mod graph;
mod image;
mod insn;
mod instructions;
mod report;
mod roots;
#[cfg(test)]
mod tests;
mod value;

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;
use godwit_nested::cargo_build;
use godwit_regs::flash;
use godwit_regs::window::{BOARDS, Board};

use crate::prereq;
use crate::workspace::Workspace;

use self::budget::Budgets;
use self::report::{BootRow, Row};

/// The profile of what is flashed.
pub(crate) const PROFILE: &str = "firmware";
/// The package and the program of an image.
pub(crate) const IMAGE: &str = "godwit-image";

/// The package and the program of a boot stage.
const BOOT: &str = "godwit-boot";

/// Which images to measure.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Size {
    /// One board only.
    #[arg(long)]
    board: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Measures every board's image.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    Size::default().run(workspace)
}

impl Size {
    /// Builds images, measures them and holds them to their budgets.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<()> {
        prereq::ensure(prereq::RUN_IMAGES)?;
        let budgets = Budgets::load(workspace)?;
        let mut rows = Vec::new();
        for board in BOARDS.iter().filter(|b| self.board.as_ref().is_none_or(|n| n == b.name)) {
            let mut row = row(board, &build(IMAGE, board, workspace)?, &budgets)?;
            if flash::place(board.name).is_some_and(|place| place.bank.is_some()) {
                row.add_boot_stage(&build(BOOT, board, workspace)?, budgets.boot(board.name)?)?;
            }
            rows.push(row);
        }
        if rows.is_empty() {
            let names: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
            bail!("there is no such board; there are {}", names.join(", "));
        }
        self.add_instructions(&mut rows, &budgets, workspace)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        } else {
            print(&rows);
        }
        let count: usize = rows.iter().map(|row| row.problems.len()).sum();
        if count > 0 {
            bail!("{count} of these are over budget or may not be in an image");
        }
        Ok(())
    }

    fn add_instructions(
        &self,
        rows: &mut [Row],
        budgets: &Budgets,
        workspace: &Workspace,
    ) -> Result<()> {
        let counts = instructions::count(self.board.as_deref(), workspace)?;
        for row in rows {
            let counted = counts.get(row.board);
            let counted = counted.with_context(|| format!("{} is not counted", row.board))?;
            row.add_instructions(*counted, *budgets.instructions(row.board)?);
        }
        Ok(())
    }
}

/// Measures one image.
pub(crate) fn measure(board: &Board, elf: &[u8], workspace: &Workspace) -> Result<Row> {
    row(board, elf, &Budgets::load(workspace)?)
}

fn row(board: &Board, elf: &[u8], budgets: &Budgets) -> Result<Row> {
    let found = check::image(elf).with_context(|| format!("the image of {}", board.name))?;
    Ok(Row::new(board.name, found, *budgets.of(board.name)?, budgets.goal))
}

fn build(program: &str, board: &Board, workspace: &Workspace) -> Result<Vec<u8>> {
    let target_dir = workspace.target_dir().join("images");
    let mut cargo = cargo_build(workspace.root(), board.target, PROFILE, &target_dir);
    cargo.args(["--package", program, "--quiet"]).env("GODWIT_BOARD", board.name);
    if !cargo.status().context("cannot start cargo")?.success() {
        bail!("the {program} of {} does not build", board.name);
    }
    let path = target_dir.join(board.target).join(PROFILE).join(program);
    fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn print(rows: &[Row]) {
    println!("{}", report::table(rows));
    for row in rows {
        println!("\n{}: the stack at its deepest", row.board);
        for (name, bytes) in &row.deepest {
            println!("{bytes:>8}  {name}");
        }
        if let Some(boot) = &row.boot {
            let BootRow { flash_bytes, budget } = boot;
            println!("{}: the boot stage takes {flash_bytes} bytes of {budget}", row.board);
        }
        for problem in &row.problems {
            println!("{}: {problem}", row.board);
        }
    }
}
