//! What was measured, for people and for programs.

use anyhow::{Context, Result};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::budget::{Instructions, Sizes};
use super::check::Findings;
use super::image::Image;

/// One board's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) board: &'static str,
    pub(crate) measured: Sizes,
    pub(crate) budget: Sizes,
    pub(crate) goal: Sizes,
    /// How the stack comes to be as deep as it is.
    pub(crate) deepest: Vec<(String, u64)>,
    /// Instructions, where they were counted.
    pub(crate) instructions: Option<InstructionRow>,
    /// Its boot stage, where it has one and that was measured.
    pub(crate) boot: Option<BootRow>,
    /// What no image may have.
    pub(crate) problems: Vec<String>,
}

/// Instructions of the longest calls.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct InstructionRow {
    pub(crate) measured: Instructions,
    pub(crate) budget: Instructions,
}

/// A boot stage's figures.
#[derive(Debug, Serialize)]
pub(crate) struct BootRow {
    /// Code and constants.
    pub(crate) flash_bytes: u64,
    pub(crate) budget: u64,
}

impl Row {
    /// A board's figures against its budget.
    pub(crate) fn new(board: &'static str, found: Findings, budget: Sizes, goal: Sizes) -> Self {
        let Findings { sizes, deepest, mut problems } = found;
        for ((what, bytes), (_, most)) in sizes.rows().into_iter().zip(budget.rows()) {
            if bytes > most {
                problems.push(format!("{what} is {bytes} bytes, {} over budget", bytes - most));
            }
        }
        Self {
            board,
            measured: sizes,
            budget,
            goal,
            deepest,
            instructions: None,
            boot: None,
            problems,
        }
    }
}

impl Row {
    /// Adds the instructions of the board's longest calls.
    pub(crate) fn add_instructions(&mut self, measured: Instructions, budget: Instructions) {
        for ((what, count), (_, most)) in measured.rows().into_iter().zip(budget.rows()) {
            if count > most {
                let over = count - most;
                self.problems
                    .push(format!("{what} takes {count} instructions, {over} over budget"));
            }
        }
        self.instructions = Some(InstructionRow { measured, budget });
    }

    /// Adds the figures of the board's boot stage. Its path to what panics is not looked at: see
    /// `firmware/boot`.
    pub(crate) fn add_boot_stage(&mut self, elf: &[u8], budget: u64) -> Result<()> {
        let flash_bytes = Image::parse(elf).context("the boot stage")?.flash_bytes;
        if flash_bytes > budget {
            let over = flash_bytes - budget;
            self.problems
                .push(format!("its boot stage is {flash_bytes} bytes, {over} over budget"));
        }
        self.boot = Some(BootRow { flash_bytes, budget });
        Ok(())
    }
}

/// All boards' figures, a line for each thing that is measured.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    let header = ["board", "what", "measured", "budget", "left", "goal"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for row in rows {
        let budgets = row.budget.rows().into_iter().zip(row.goal.rows());
        for ((what, bytes), ((_, budget), (_, goal))) in
            row.measured.rows().into_iter().zip(budgets)
        {
            let what = format!("bytes of {what}");
            table.add_row(line(row.board, what, bytes, budget, goal.to_string()));
        }
        let Some(InstructionRow { measured, budget }) = &row.instructions else { continue };
        for ((what, count), (_, budget)) in measured.rows().into_iter().zip(budget.rows()) {
            let what = format!("instructions: {what}");
            table.add_row(line(row.board, what, count, budget, String::new()));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn line(board: &str, what: String, measured: u64, budget: u64, goal: String) -> [String; 6] {
    let left = i128::from(budget) - i128::from(measured);
    [board.to_owned(), what, measured.to_string(), budget.to_string(), left.to_string(), goal]
}
