//! See the library. `godwit-vm-guest jobs` does rounds until the machine ends, `work MS` the same
//! without a vGPU, each in so many milliseconds, and `bench` measures the aperture; each line on
//! standard output is a JSON object.

#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use godwit_vm_guest::{Linux, Rounds, Work, bench};
use serde::Serialize;
use serde_json::json;
use std::env::args;
use std::process::ExitCode;
use std::time::Duration;

fn say(line: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

fn run(mode: &str, number: Option<&str>) -> Result<()> {
    match mode {
        "jobs" => {
            let mut linux = Linux::open()?;
            let mut rounds = Rounds::new(&mut linux)?;
            loop {
                say(&rounds.round(&mut linux)?)?;
            }
        }
        "work" => {
            let ms = number.context("`work` needs the milliseconds of a round")?;
            let ms = ms.parse().context("milliseconds are a number")?;
            let mut work = Work::new(Duration::from_millis(ms));
            loop {
                say(&work.round()?)?;
            }
        }
        "bench" => say(&json!({ "bench": bench(&Linux::open()?)? })),
        other => bail!("`{other}` is no mode: `jobs`, `work` and `bench` are"),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = args().collect();
    let word = |at: usize| words.get(at).map(String::as_str);
    match run(word(1).unwrap_or("jobs"), word(2)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", json!({ "failed": format!("{error:#}") }));
            ExitCode::FAILURE
        }
    }
}
