//! Machines with vGPUs in larger counts: `machines --help`.

#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use godwit::vm::Step;
use godwit_vm::{Cut, Mode, Pair, Site, Vm, VmOptions};
use godwit_vm_env::VmEnv;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use std::env::current_exe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Migrates and suspends machines with vGPUs, and measures them.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Migrates one machine between two servers, again and again.
    Moves {
        /// How often.
        #[arg(long, default_value_t = 50)]
        count: u32,
    },
    /// Suspends and resumes one machine, and restarts the servers each time.
    Suspends {
        /// How often.
        #[arg(long, default_value_t = 20)]
        count: u32,
    },
    /// Ends the destination's machine, its server, and the link, at each step.
    Cuts,
    /// Cuts all links to the destination at some time of each migration.
    Torn {
        /// How often.
        #[arg(long, default_value_t = 30)]
        count: u32,
        /// Where the times come from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measures the pause beside that of a machine without a vGPU, and the aperture.
    Bench {
        /// Migrations of each.
        #[arg(long, default_value_t = 10)]
        count: u32,
    },
}

/// The bars: the pause beside that of the same machine without a vGPU, with the same limit, and the
/// aperture beside memory.
const PAUSE_MOST: f64 = 1.5;
const APERTURE_LEAST: f64 = 0.9;

/// What the guest says of its memory.
#[derive(Debug, Deserialize)]
struct BenchLine {
    bench: Speeds,
}

/// How fast the aperture is beside memory.
#[derive(Debug, Deserialize)]
struct Speeds {
    read_ratio: f64,
    write_ratio: f64,
    copy_ratio: f64,
}

/// Rounds by which it is known how long one takes.
const PACE_ROUNDS: u32 = 20;

fn program() -> Result<PathBuf> {
    let own = current_exe()?;
    Ok(own.parent().context("a folder")?.join("godwit-under-test"))
}

fn moves(count: u32) -> Result<Vec<f64>> {
    let mut pair = Pair::start(&program()?)?;
    let mut pauses = Vec::new();
    for number in 1..=count {
        let moved = pair.migrate().with_context(|| format!("migration {number}"))?;
        println!(
            "{number}: the guest stood still for {:.1} ms; {} bytes of the vGPU, {} of them then",
            moved.pause_ms, moved.vgpu_bytes, moved.vgpu_stopped_bytes
        );
        pauses.push(moved.pause_ms);
    }
    let last = pair.await_rounds(1)?;
    println!("{count} migrations; the last round: {last:?}");
    Ok(pauses)
}

fn torn(count: u32, seed: u64) -> Result<()> {
    let mut pair = Pair::start(&program()?)?;
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let whole_ms = pair.migrate()?.total_ms;
    for number in 1..=count {
        // Half of them near the end, where most happens in little time.
        let least = if number % 2 == 0 { 0.75 } else { 0.0 };
        let after = Duration::from_secs_f64(whole_ms / 1e3 * chance.random_range(least..1.0));
        let what = pair.migrate_torn(after);
        let what = what.with_context(|| format!("number {number} of seed {seed}, {after:?}"))?;
        println!("{number}: after {after:.1?}: {what}");
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Migrates a machine with a vGPU at work, and the same without the vGPU, in turn.
fn bench(count: u32) -> Result<()> {
    let mut pair = Pair::start(&program()?)?;
    let began = Instant::now();
    pair.await_rounds(PACE_ROUNDS)?;
    let round_ms = began.elapsed().as_millis() as u64 / u64::from(PACE_ROUNDS);
    let mut plain = Pair::without_device(&program()?, round_ms)?;
    println!("a round of the guest takes {round_ms} ms");
    let (mut with, mut without, mut short) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=count {
        // Each has the processors to itself.
        pair.vm()?.freeze(true)?;
        without.push(plain.migrate_plainly(false)?);
        short.push(plain.migrate_plainly(true)?);
        plain.vm()?.freeze(true)?;
        pair.vm()?.freeze(false)?;
        pair.await_rounds(2)?;
        let moved = pair.migrate().with_context(|| format!("migration {number}"))?;
        plain.vm()?.freeze(false)?;
        with.push(moved.pause_ms);
        println!(
            "{number}: with a vGPU {:.1} ms ({:.1?}), without {:.1} ms, with our limit {:.1} ms",
            moved.pause_ms,
            moved.steps_ms,
            without.last().unwrap_or(&f64::NAN),
            short.last().unwrap_or(&f64::NAN)
        );
    }
    drop((plain, pair));
    let [with, without, short] = [with, without, short].map(median);
    println!(
        "medians of {count}: the pause with a vGPU is {with:.1} ms; without one {without:.1} ms as \
         QEMU does it, {:.2} times, and {short:.1} ms with the same limit, {:.2} times",
        with / without,
        with / short
    );
    let folder = tempfile::tempdir()?;
    let site = Site::start(&program()?, folder.path(), godwit_vm::Place::Front)?;
    let options = VmOptions {
        name: "bench".to_owned(),
        folder: folder.path().to_owned(),
        device: Some(site.device()),
        incoming: false,
        mode: Mode::Bench,
        is_unusual: false,
    };
    let mut vm = Vm::start(&VmEnv::find()?, &options)?;
    let line = vm.await_line(Duration::from_secs(120), |line| {
        line.find("{\"bench\"").map(|at| line[at..].to_owned())
    })?;
    println!("the aperture beside ordinary memory: {line}");
    let line: BenchLine = serde_json::from_str(&line)?;
    let speeds = line.bench;
    let ratios = [speeds.read_ratio, speeds.write_ratio, speeds.copy_ratio];
    ensure!(with <= PAUSE_MOST * short, "MISSED: the pause is to be {PAUSE_MOST} times at most");
    let slow = ratios.iter().any(|ratio| *ratio < APERTURE_LEAST);
    ensure!(!slow, "MISSED: the aperture is to have {APERTURE_LEAST} of memory's speed at least");
    Ok(())
}

fn run(what: What) -> Result<()> {
    match what {
        What::Moves { count } => {
            let pauses = moves(count)?;
            println!("median pause {:.1} ms", median(pauses));
        }
        What::Suspends { count } => {
            let mut pair = Pair::start(&program()?)?;
            for number in 1..=count {
                pair.suspend_and_resume().with_context(|| format!("suspend {number}"))?;
            }
            println!("{count} suspends and resumes");
        }
        What::Cuts => {
            let mut pair = Pair::start(&program()?)?;
            for (step, cut) in Step::ALL.into_iter().flat_map(|s| Cut::ALL.map(|cut| (s, cut))) {
                pair.migrate_cut(step, cut).with_context(|| format!("{step:?} {cut:?}"))?;
                println!("{step:?} {cut:?}: the guest runs on at the source");
            }
        }
        What::Torn { count, seed } => torn(count, seed)?,
        What::Bench { count } => bench(count)?,
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Cli::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
