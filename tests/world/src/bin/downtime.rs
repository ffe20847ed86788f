//! How long a vGPU stands still when it moves: `cargo xtask bench downtime`.

#![forbid(unsafe_code)]

use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_shim::Live;
use godwit_world::downtime::{Kept, Kind, Outcome, bounded, kept, run, standstill};
use serde::Serialize;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: u64 = 1 << 20;
/// Framebuffers that are moved.
const SIZES: [u64; 3] = [256 * MIB, 1024 * MIB, 4096 * MIB];
/// What things cost: factors.
const SCALES: [(f64, (u64, u64)); 3] = [(1.0, (1, 1)), (0.1, (1, 10)), (10.0, (10, 1))];
/// The most that the blackout may be of a stop-and-copy's, in percent, at 1 GiB.
const BLACKOUT_PERCENT_MAX: f64 = 5.0;
/// How far apart the blackouts of all sizes may be, in percent of the least.
const SPREAD_PERCENT_MAX: f64 = 20.0;
/// The bound of the seeds, in nanoseconds.
const DOWNTIME_NS: u64 = 20_000_000;
/// The least that a neighbour keeps, in percent.
const KEPT_PERCENT_MIN: f64 = 99.9;

/// Measures, in virtual time, how long a vGPU that writes all the time stands still when it moves,
/// and what that costs the vGPUs beside it.
#[derive(Debug, Parser)]
struct Options {
    /// One factor of the costs only: 1, 0.1 or 10.
    #[arg(long)]
    scale: Option<f64>,
    /// Framebuffers up to so many MiB only.
    #[arg(long, default_value_t = 4096)]
    mib_max: u64,
    /// So many seeds of moves with a bound of 20 ms, of a vGPU that writes faster than the link
    /// carries.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Virtual seconds of the windows in which neighbours are looked at.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Everything that is measured. Times are virtual nanoseconds.
#[derive(Debug, Default, Serialize)]
struct Figures {
    blackouts: Vec<Blackout>,
    seeds: Vec<Seed>,
    neighbours: Vec<Neighbour>,
    missed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Blackout {
    costs_scale: f64,
    fb_bytes: u64,
    stop_and_copy_ns: u64,
    live_ns: u64,
    percent: f64,
    rounds: u32,
    total_ns: u64,
}

#[derive(Debug, Serialize)]
struct Seed {
    seed: u64,
    moved: Result<(), String>,
    blackout_ns: Option<u64>,
    rounds: u32,
    /// The least part of its own turns that it had meanwhile, as a power of two below 1.
    throttle: u8,
}

#[derive(Debug, Serialize)]
struct Neighbour {
    costs_scale: f64,
    kind: &'static str,
    name: String,
    moves: u32,
    without: u64,
    with: u64,
    percent: f64,
}

/// Whether every bar is held.
fn measure(options: &Options) -> Result<bool, Box<dyn Error>> {
    let scales = || SCALES.into_iter().filter(|(at, _)| options.scale.is_none_or(|it| it == *at));
    if scales().next().is_none() {
        return Err("`--scale` takes 1, 0.1 or 10".into());
    }
    if !(0.1..=100.0).contains(&options.seconds) {
        return Err("`--seconds` takes 0.1 to 100".into());
    }
    let mut figures = Figures::default();
    for scale in scales() {
        blackouts(options, scale, &mut figures)?;
    }
    seeds(options, &mut figures)?;
    for (costs_scale, scale) in scales() {
        for kind in Kind::ALL {
            let (all, moves) = kept(kind, scale, (options.seconds * 1e9) as u64)?;
            let all = all.into_iter().map(|it| neighbour(it, kind, costs_scale, moves));
            figures.neighbours.extend(all);
        }
    }
    let slow = figures.neighbours.iter().filter(|it| it.percent < KEPT_PERCENT_MIN);
    let slow: Vec<_> = slow
        .map(|it| {
            let Neighbour { kind, name, costs_scale, percent, .. } = it;
            format!("{name}, {kind} moves, costs x {costs_scale}: {percent:.3} % kept")
        })
        .collect();
    figures.missed.extend(slow);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        print(&figures);
    }
    for what in &figures.missed {
        eprintln!("missed: {what}");
    }
    Ok(figures.missed.is_empty())
}

fn blackouts(
    options: &Options,
    (costs_scale, scale): (f64, (u64, u64)),
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let first = figures.blackouts.len();
    for fb_bytes in SIZES.into_iter().filter(|size| *size <= options.mib_max * MIB) {
        let of = |live: Option<Live>| -> Result<Outcome, Box<dyn Error>> {
            let outcome = run(&standstill(fb_bytes, live, scale))?;
            outcome.moved.clone()?;
            Ok(outcome)
        };
        let live = of(Some(Live { rounds_max: 5, pages_enough: 64, downtime: None }))?;
        let still = of(None)?;
        let none = || "it was not stopped in the middle of its kernel";
        let live_ns = live.blackout_ns.ok_or_else(none)?;
        let stop_and_copy_ns = still.blackout_ns.ok_or_else(none)?;
        let percent = live_ns as f64 * 100.0 / stop_and_copy_ns as f64;
        if fb_bytes == 1024 * MIB && percent > BLACKOUT_PERCENT_MAX {
            figures.missed.push(format!(
                "costs x {costs_scale}: the blackout is {percent:.2} % of a stop-and-copy's"
            ));
        }
        figures.blackouts.push(Blackout {
            costs_scale,
            fb_bytes,
            stop_and_copy_ns,
            live_ns,
            percent,
            rounds: live.rounds,
            total_ns: live.total_ns,
        });
    }
    let all = figures.blackouts[first..].iter().map(|it| it.live_ns);
    let (least, most) = (all.clone().min().unwrap_or(1), all.max().unwrap_or(1));
    let spread = (most - least) as f64 * 100.0 / least.max(1) as f64;
    if spread > SPREAD_PERCENT_MAX {
        figures.missed.push(format!("costs x {costs_scale}: blackouts are {spread:.1} % apart"));
    }
    Ok(())
}

/// Moves that are bound, each in a world of its own, two at a time.
fn seeds(options: &Options, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let next = AtomicU64::new(options.first);
    let end = options.first.saturating_add(options.seeds);
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(&bounded(seed, DOWNTIME_NS));
                    let one = match outcome {
                        Ok(outcome) => Seed {
                            seed,
                            moved: outcome.moved,
                            blackout_ns: outcome.blackout_ns,
                            rounds: outcome.rounds,
                            throttle: outcome.throttle.shift(),
                        },
                        Err(error) => Seed {
                            seed,
                            moved: Err(error.to_string()),
                            blackout_ns: None,
                            rounds: 0,
                            throttle: 0,
                        },
                    };
                    all.lock().unwrap_or_else(|held| held.into_inner()).push(one);
                }
            });
        }
    });
    figures.seeds = all.into_inner()?;
    figures.seeds.sort_by_key(|seed| seed.seed);
    for Seed { seed, moved, blackout_ns, .. } in &figures.seeds {
        let repeat = format!("(`--first {seed} --seeds 1`)");
        match (moved, blackout_ns) {
            (Err(why), _) => figures.missed.push(format!("seed {seed}: {why} {repeat}")),
            (Ok(()), None) => figures.missed.push(format!("seed {seed}: no blackout {repeat}")),
            (Ok(()), Some(ns)) if *ns > DOWNTIME_NS => {
                figures.missed.push(format!("seed {seed}: {} {repeat}", ms(*ns)));
            }
            (Ok(()), Some(_)) => {}
        }
    }
    Ok(())
}

fn neighbour(kept: Kept, kind: Kind, costs_scale: f64, moves: u32) -> Neighbour {
    let [without, with] = kept.done;
    let percent = with as f64 * 100.0 / without.max(1) as f64;
    let kind = kind.name();
    Neighbour { costs_scale, kind, name: kept.name, moves, without, with, percent }
}

fn ms(ns: u64) -> String {
    format!("{:.3} ms", ns as f64 / 1e6)
}

fn table(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(left) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn print(figures: &Figures) {
    let header = ["costs x", "framebuffer", "stop-and-copy", "live", "%", "rounds", "total"];
    let mut blackouts = table(&header, 0);
    for it in &figures.blackouts {
        blackouts.add_row([
            it.costs_scale.to_string(),
            format!("{} MiB", it.fb_bytes / MIB),
            ms(it.stop_and_copy_ns),
            ms(it.live_ns),
            format!("{:.2}", it.percent),
            it.rounds.to_string(),
            ms(it.total_ns),
        ]);
    }
    println!("{blackouts}\nhow long a vGPU stands still that writes to 16 MiB all the time");
    let moved: Vec<_> = figures.seeds.iter().filter_map(|seed| seed.blackout_ns).collect();
    if !figures.seeds.is_empty() {
        let within = moved.iter().filter(|ns| **ns <= DOWNTIME_NS).count();
        let throttled = figures.seeds.iter().filter(|seed| seed.throttle != 0).count();
        println!(
            "{within} of {} moves within a bound of {}, the longest {}; {throttled} were throttled",
            figures.seeds.len(),
            ms(DOWNTIME_NS),
            ms(moved.iter().copied().max().unwrap_or(0)),
        );
    }
    let header = ["costs x", "moves are", "neighbour", "moves", "without", "with", "% kept"];
    let mut neighbours = table(&header, 3);
    for it in &figures.neighbours {
        neighbours.add_row([
            it.costs_scale.to_string(),
            it.kind.to_owned(),
            it.name.clone(),
            it.moves.to_string(),
            it.without.to_string(),
            it.with.to_string(),
            format!("{:.3}", it.percent),
        ]);
    }
    println!("{neighbours}\ninstructions or bytes without moves, and while another vGPU moves");
}
