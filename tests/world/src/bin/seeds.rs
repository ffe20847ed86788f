//! Runs seeds of the world, and prints those that fail.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_world::chaos;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs seeds of the world with faults, restarts and cut links, and checks each.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// Prints what each seed did.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let next = AtomicU64::new(args.first);
    let end = args.first.saturating_add(args.count);
    let failed = AtomicU64::new(0);
    let totals = std::sync::Mutex::new(chaos::Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = std::panic::catch_unwind(|| chaos::run(seed));
                    let problems = match outcome {
                        Ok(outcome) => {
                            if args.verbose {
                                println!("GODWIT_SEED={seed}: {}", outcome.totals);
                            }
                            let mut totals = totals.lock().unwrap_or_else(|held| held.into_inner());
                            totals.add(&outcome.totals);
                            outcome.problems
                        }
                        Err(_) => vec!["it panicked".into()],
                    };
                    if !problems.is_empty() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        println!("GODWIT_SEED={seed} fails:");
                        for problem in problems {
                            println!("  {problem}");
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    let totals = totals.into_inner().unwrap_or_else(|held| held.into_inner());
    println!("{totals}");
    println!("{} seeds passed, {failed} failed", args.count - failed);
    let shortfalls = totals.shortfalls(args.count);
    for shortfall in &shortfalls {
        println!("too little happened: {shortfall}");
    }
    if failed == 0 && shortfalls.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
