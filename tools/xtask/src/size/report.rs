//! What was measured, for people and for programs.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::budget::Sizes;
use super::check::Findings;

/// One board's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) board: &'static str,
    pub(crate) measured: Sizes,
    pub(crate) budget: Sizes,
    pub(crate) goal: Sizes,
    /// How the stack comes to be as deep as it is.
    pub(crate) deepest: Vec<(String, u64)>,
    /// What no image may have.
    pub(crate) problems: Vec<String>,
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
        Self { board, measured: sizes, budget, goal, deepest, problems }
    }
}

/// All boards' figures, a line for each thing that is measured.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    let header = ["board", "bytes of", "measured", "budget", "left", "goal"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for row in rows {
        let budgets = row.budget.rows().into_iter().zip(row.goal.rows());
        for ((what, bytes), ((_, budget), (_, goal))) in
            row.measured.rows().into_iter().zip(budgets)
        {
            let left = i128::from(budget) - i128::from(bytes);
            let cells = [bytes.to_string(), budget.to_string(), left.to_string(), goal.to_string()];
            table.add_row([row.board.to_owned(), what.to_owned()].into_iter().chain(cells));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
