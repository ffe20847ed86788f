//! Instructions of the firmware's longest calls, as JSON: `cargo xtask size` has a budget of them.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_qemu::{Counts, counts};
use godwit_shim::QemuBoard;
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

/// Counts the instructions of the firmware's longest calls in QEMU, and prints JSON.
#[derive(Debug, Parser)]
struct Options {
    /// One board only.
    #[arg(long)]
    board: Option<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut all: BTreeMap<&str, Counts> = BTreeMap::new();
    for board in QemuBoard::ALL {
        let name = board.board().name;
        if options.board.as_ref().is_none_or(|wanted| wanted == name) {
            all.insert(name, counts(name).map_err(|error| format!("{name}: {error}"))?);
        }
    }
    println!("{}", serde_json::to_string_pretty(&all)?);
    Ok(())
}
