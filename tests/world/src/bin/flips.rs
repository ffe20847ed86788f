//! Flips bits of states, frames and journals, and prints those that nobody notices.

#![forbid(unsafe_code)]

use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_world::flips::{Card, Kind, Subject};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Flips bits of state files and streams, plain and sealed, of the frames of a move and of a
/// journal: each must be found, and nothing be left of what had it.
#[derive(Parser)]
struct Args {
    /// How many random bits of each large file.
    #[arg(long, default_value_t = 100_000)]
    count: usize,
    /// Every so many bits of all else.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// With how many random bits flipped each state is restored and each move carried out.
    #[arg(long, default_value_t = 1_000)]
    restores: usize,
    /// Where the random bits come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// One bit alone, as a failure prints it.
    #[arg(long, num_args = 2, value_names = ["KIND", "BIT"])]
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

/// Flips one bit; whether it is found, and nothing left.
fn one(name: &str, bit: &str) -> Result<bool, Box<dyn Error>> {
    let kind = Kind::ALL.iter().find(|(_, of)| *of == name).ok_or_else(|| {
        let names = Kind::ALL.map(|(_, name)| name);
        format!("there is no kind `{name}`; allowed: {}", names.join(", "))
    })?;
    let subject = Subject::new(kind.0)?;
    let bits = subject.bit_count();
    let bit: usize = bit
        .parse()
        .ok()
        .filter(|bit| *bit < bits)
        .ok_or_else(|| format!("{name} has no bit `{bit}`; allowed: 0 to {}", bits - 1))?;
    let refusal = subject.refusal(Some(bit))?;
    println!("{name}, bit {bit}: {}", refusal.as_deref().unwrap_or("not found"));
    let wrong = subject.wrong_after(bit, &mut Card::new()?);
    wrong.iter().for_each(|what| println!("  {what}"));
    Ok(refusal.is_some() && wrong.is_empty())
}

/// Flips all bits that are asked for; whether each is found, and nothing left.
fn all(args: &Args) -> Result<bool, Box<dyn Error>> {
    let mut table = Table::new();
    let header = ["", "bytes", "bits flipped", "not found", "taken in", "left something"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let (mut totals, mut failed) = ([0; 5], Vec::new());
    for (kind, name) in Kind::ALL {
        let subject = Subject::new(kind)?;
        let bits = subject.bits(args.every as usize, args.count, args.seed);
        let unfound = picked(&bits, args.jobs, || {
            let subject = &subject;
            Ok(move |bit| Ok(subject.refusal(Some(bit))?.is_none()))
        })?;
        let taken = subject.bits_to_take(args.restores, args.seed);
        let left = picked(&taken, args.jobs, || {
            let (subject, mut card) = (&subject, Card::new()?);
            Ok(move |bit| Ok(!subject.wrong_after(bit, &mut card).is_empty()))
        })?;
        let bytes = subject.bit_count() / 8;
        let row = [bytes, bits.len(), unfound.len(), taken.len(), left.len()];
        totals.iter_mut().zip(row).for_each(|(total, it)| *total += it);
        table.add_row([name.to_owned()].into_iter().chain(row.map(|it| it.to_string())));
        failed.extend(unfound.iter().map(|bit| format!("not found: {name} {bit}")));
        failed.extend(left.iter().map(|bit| format!("left something: {name} {bit}")));
    }
    table.add_row(["all".to_owned()].into_iter().chain(totals.map(|it| it.to_string())));
    println!("{table}\nseed {}", args.seed);
    for what in &failed {
        println!("{what}; to repeat it: cargo xtask flips --only KIND BIT");
    }
    Ok(failed.is_empty())
}

/// Those of the bits for which it is so, in order. Each thread has a test of its own.
fn picked<T>(
    bits: &[usize],
    jobs: u32,
    test: impl Fn() -> Result<T, Box<dyn Error>> + Sync,
) -> Result<Vec<usize>, Box<dyn Error>>
where
    T: FnMut(usize) -> Result<bool, Box<dyn Error>>,
{
    let (next, picked) = (AtomicUsize::new(0), Mutex::new((Vec::new(), None)));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let tried = test().and_then(|mut test| {
                    while let Some(bit) = bits.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if test(*bit)? {
                            picked.lock().unwrap_or_else(|held| held.into_inner()).0.push(*bit);
                        }
                    }
                    Ok(())
                });
                if let Err(error) = tried {
                    let mut picked = picked.lock().unwrap_or_else(|held| held.into_inner());
                    picked.1 = Some(error.to_string());
                }
            });
        }
    });
    let (mut picked, error) = picked.into_inner().unwrap_or_else(|held| held.into_inner());
    picked.sort_unstable();
    error.map_or(Ok(picked), |error| Err(error.into()))
}
