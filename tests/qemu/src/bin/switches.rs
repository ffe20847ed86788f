//! Instructions from the end of a slice to the next group's start, as JSON.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_qemu::switch_counts;
use std::error::Error;
use std::process::ExitCode;

/// Counts the instructions of the firmware from the end of a slice to the next start, in QEMU.
#[derive(Debug, Parser)]
struct Options {
    /// The board.
    #[arg(long, default_value = "qemu-virt-rv64")]
    board: String,
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
    println!("{}", serde_json::to_string_pretty(&switch_counts(&options.board)?)?);
    Ok(())
}
