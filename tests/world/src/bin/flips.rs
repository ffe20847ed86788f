//! Flips bits of state files, and prints those that nobody notices.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_world::flips::{Kind, Subject};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Flips bits of state files, plain and sealed, each of which must be found.
#[derive(Parser)]
struct Args {
    /// How many random bits of each large file.
    #[arg(long, default_value_t = 100_000)]
    count: usize,
    /// Every so many bits of each small file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Where the random bits come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// One bit alone, as a failure prints it.
    #[arg(long, num_args = 2, value_names = ["FILE", "BIT"])]
    only: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.only {
        Some(only) => one(&only[0], &only[1]),
        None => all(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Flips one bit; whether it is found.
fn one(file: &str, bit: &str) -> Result<bool, Box<dyn Error>> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.to_string() == file).ok_or_else(|| {
        let names = Kind::ALL.map(|kind| kind.to_string());
        format!("there is no file `{file}`, but {}", names.join(", "))
    })?;
    let subject = Subject::new(kind)?;
    let bit: usize = bit.parse()?;
    if bit >= subject.bit_count() {
        return Err(format!("the {kind} file has {} bits", subject.bit_count()).into());
    }
    let refusal = subject.refusal(Some(bit));
    println!("{kind}, bit {bit}: {}", refusal.as_deref().unwrap_or("not found"));
    Ok(refusal.is_some())
}

/// Flips all bits that are asked for; whether each is found.
fn all(args: &Args) -> Result<bool, Box<dyn Error>> {
    println!("seed {}", args.seed);
    let (mut flipped, mut missed) = (0, 0);
    for kind in Kind::ALL {
        let subject = Subject::new(kind)?;
        let bits = subject.bits(args.every as usize, args.count, args.seed);
        let unfound = unfound(&subject, &bits, args.jobs);
        let bytes = subject.bit_count() / 8;
        println!("{kind}: {bytes} bytes, {} bits flipped, {} not found", bits.len(), unfound.len());
        for bit in &unfound {
            println!("  not found; to repeat it: cargo xtask flips --only {kind} {bit}");
        }
        flipped += bits.len();
        missed += unfound.len();
    }
    println!("{flipped} bits flipped, {missed} not found");
    Ok(missed == 0)
}

fn unfound(subject: &Subject, bits: &[usize], jobs: u32) -> Vec<usize> {
    let (next, unfound) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(bit) = bits.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if subject.refusal(Some(*bit)).is_none() {
                        unfound.lock().unwrap_or_else(|held| held.into_inner()).push(*bit);
                    }
                }
            });
        }
    });
    let mut unfound = unfound.into_inner().unwrap_or_else(|held| held.into_inner());
    unfound.sort_unstable();
    unfound
}
