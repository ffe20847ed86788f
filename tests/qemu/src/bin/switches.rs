//! Instructions from the end of a slice to the next group's start: `cargo xtask bench sched`.

#![forbid(unsafe_code)]

use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_qemu::{SwitchCount, switch_counts};
use std::error::Error;
use std::process::ExitCode;

/// The most instructions from the end of a slice to the next start.
const START_MAX: u32 = 1_000;
/// What all channels may cost more than the fewest, in percent.
const MORE_MAX: u32 = 5;

/// Counts the instructions of the firmware from the end of a slice to the next start, in QEMU.
#[derive(Debug, Parser)]
struct Options {
    /// The board.
    #[arg(long, default_value = "qemu-virt-rv64")]
    board: String,
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
            ExitCode::from(2)
        }
    }
}

/// Whether the bars are held.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let counts = switch_counts(&options.board)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&counts)?);
    } else {
        println!("{}", table(&options.board, &counts));
    }
    let few = counts.first().map_or(0, |count| count.start);
    let most = counts.get(2).map_or(0, |count| count.start);
    let all_hold = counts.iter().all(|count| count.start <= START_MAX);
    let is_flat = most * 100 <= few * (100 + MORE_MAX);
    if !all_hold {
        eprintln!("missed: at most {START_MAX} instructions to the next start");
    }
    if !is_flat {
        eprintln!("missed: {most} instructions with all channels, {few} with the fewest");
    }
    Ok(all_hold && is_flat)
}

fn table(board: &str, counts: &[SwitchCount]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let header =
        ["board", "vGPUs", "channels", "policy", "turns", "to the next start", "whole call"];
    table.set_header(header);
    for count in counts {
        table.add_row([
            board.to_owned(),
            count.vgpus.to_string(),
            count.channels.to_string(),
            count.policy.to_owned(),
            count.turns.to_owned(),
            count.start.to_string(),
            count.call.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
