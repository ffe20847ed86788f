//! Benchmarks of the image in QEMU: `cargo xtask bench image`.

#![forbid(unsafe_code)]

use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_qemu::{Bench, bench};
use godwit_shim::QemuBoard;
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

/// Measures what the firmware's image takes of its host's time in QEMU.
#[derive(Debug, Parser)]
struct Options {
    /// One board only.
    #[arg(long)]
    board: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every figure is below its bar.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let mut all: BTreeMap<&str, Bench> = BTreeMap::new();
    for board in QemuBoard::ALL {
        let name = board.board().name;
        if options.board.as_ref().is_none_or(|wanted| wanted == name) {
            all.insert(name, bench(name).map_err(|error| format!("{name}: {error}"))?);
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        println!("{}", table(&all));
    }
    if all.is_empty() {
        return Err("there is no such board".into());
    }
    Ok(all.values().flat_map(Bench::rows).all(|(.., is_held)| is_held))
}

fn table(all: &BTreeMap<&str, Bench>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["board", "what", "measured", "below", "verdict"]);
    for (board, bench) in all {
        for (what, figure, bar, is_held) in bench.rows() {
            let verdict = match (bar, is_held) {
                (None, _) => "",
                (Some(_), true) => "met",
                (Some(_), false) => "missed",
            };
            let bar = bar.map_or_else(String::new, |bar| bar.to_string());
            table.add_row([
                (*board).to_owned(),
                what.to_owned(),
                format!("{figure:.2}"),
                bar,
                verdict.to_owned(),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
