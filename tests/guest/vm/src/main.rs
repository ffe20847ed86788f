//! See the library. `godwit-vm-guest jobs` does rounds until the machine ends, `bench` measures the
//! aperture; each line on standard output is a JSON object.

#![forbid(unsafe_code)]

use anyhow::{Result, bail};
use godwit_vm_guest::{Linux, Rounds, bench};
use serde_json::json;
use std::env::args;
use std::process::ExitCode;

fn run(mode: &str) -> Result<()> {
    let mut linux = Linux::open()?;
    match mode {
        "jobs" => {
            let mut rounds = Rounds::new(&mut linux)?;
            loop {
                println!("{}", serde_json::to_string(&rounds.round(&mut linux)?)?);
            }
        }
        "bench" => {
            println!("{}", json!({ "bench": bench(&linux)? }));
            Ok(())
        }
        other => bail!("`{other}` is no mode: `jobs` and `bench` are"),
    }
}

fn main() -> ExitCode {
    match run(args().nth(1).as_deref().unwrap_or("jobs")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", json!({ "failed": format!("{error:#}") }));
            ExitCode::FAILURE
        }
    }
}
