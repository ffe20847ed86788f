//! Writes golden files that are missing, and none that are there.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_golden::{Found, all, compare, write};
use std::io;
use std::process::ExitCode;

/// Writes golden files that are missing.
#[derive(Parser)]
struct Args {
    /// Writes those, too, that are there and hold other bytes: only right when what they hold was
    /// never released.
    #[arg(long)]
    overwrite: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every file holds what today's encoders make.
fn run(args: &Args) -> io::Result<bool> {
    let (mut written, mut others) = (0, Vec::new());
    let goldens = all()?;
    for golden in &goldens {
        match compare(golden)? {
            Found::Same => {}
            Found::Other if !args.overwrite => others.push(golden.name),
            Found::Missing | Found::Other => {
                write(golden)?;
                written += 1;
                println!("{}: written, {} bytes", golden.name, golden.bytes.len());
            }
        }
    }
    println!(
        "{} golden files, {written} written, {} other than today's",
        goldens.len(),
        others.len()
    );
    for name in &others {
        eprintln!(
            "{name}: today's encoder makes other bytes, and these are frozen: mend the encoder, or \
             add a version beside it (`--overwrite` if they were never released)"
        );
    }
    Ok(others.is_empty())
}
