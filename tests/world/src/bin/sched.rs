//! How well the scheduler shares an engine's time: `cargo xtask bench sched`.

#![forbid(unsafe_code)]

use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_types::Policy;
use godwit_world::sched::{EngineFigures, Figures, Part, Setup, measure};
use std::error::Error;
use std::process::ExitCode;

/// Well-behaved vGPUs beside the five hostile ones.
const GROUPS: [u32; 3] = [2, 8, 27];
const POLICIES: [(&str, Policy); 3] = [
    ("best-effort", Policy::BestEffort),
    ("equal-share", Policy::EqualShare),
    ("fixed-share", Policy::FixedShare),
];
/// What things cost: factors.
const SCALES: [(&str, (u64, u64)); 3] = [("1", (1, 1)), ("0.1", (1, 10)), ("10", (10, 1))];
/// The least index of Jain's among those that behave well.
const JAIN_MIN: f64 = 0.9999;
/// Least and most time that makes sense: measures against abuse last until a window of 60 s ends.
const SECONDS: std::ops::RangeInclusive<f64> = 0.1..=50.0;

/// Measures, in virtual time, what vGPUs attain of an engine beside five hostile ones.
#[derive(Debug, Parser)]
struct Options {
    /// Virtual seconds of each window, 0.1 to 50.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// So many well-behaved vGPUs only: 2, 8 or 27.
    #[arg(long)]
    group: Option<u32>,
    /// One policy only: best-effort, equal-share or fixed-share.
    #[arg(long)]
    policy: Option<String>,
    /// One factor of the costs only: 1, 0.1 or 10.
    #[arg(long)]
    scale: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every bar is held.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    if !SECONDS.contains(&options.seconds) {
        return Err("`--seconds` takes 0.1 to 50".into());
    }
    let mut all = Vec::new();
    for setup in setups(options) {
        if !options.json {
            eprintln!("{:?}, {} + 5, costs x {:?}", setup.policy, setup.well_behaved, setup.scale);
        }
        all.push(measure(&setup)?);
    }
    if all.is_empty() {
        return Err("there is no such group, policy or scale".into());
    }
    let missed: Vec<String> = all.iter().flat_map(missed).collect();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        println!("{}\n{}", shares(&all), switches(&all));
        println!(
            "virtual time; a kernel's instruction and a copied byte take 100 times the model's, \
             contexts of a group as long as the A100's whole one; hostile %: more than due"
        );
    }
    for what in &missed {
        eprintln!("missed: {what}");
    }
    Ok(missed.is_empty())
}

fn setups(options: &Options) -> Vec<Setup> {
    let window_ns = (options.seconds * 1e9) as u64;
    let mut setups = Vec::new();
    for (scale_name, scale) in SCALES {
        for (policy_name, policy) in POLICIES {
            for well_behaved in GROUPS {
                let wanted = options.scale.as_ref().is_none_or(|name| name == scale_name)
                    && options.policy.as_ref().is_none_or(|name| name == policy_name)
                    && options.group.is_none_or(|group| group == well_behaved);
                let (hangs, uneven, limited) = (false, false, true);
                let setup =
                    Setup { policy, well_behaved, scale, window_ns, hangs, uneven, limited };
                if wanted {
                    setups.push(setup);
                    setups.extend(more(setup));
                }
            }
        }
    }
    setups
}

/// What one group is measured with besides: without limits on abuse nobody is stopped, so that
/// whoever faults does so in all of the window.
fn more(setup: Setup) -> Vec<Setup> {
    let unlimited = Setup { limited: false, ..setup };
    let uneven = Setup { uneven: true, ..setup };
    let hangs = Setup { hangs: true, ..setup };
    match (setup.well_behaved, setup.policy) {
        (8, Policy::EqualShare) => {
            vec![unlimited, uneven, Setup { limited: false, ..hangs }, hangs]
        }
        (8, Policy::FixedShare) => vec![unlimited, uneven],
        (27, Policy::EqualShare | Policy::FixedShare) => vec![unlimited],
        _ => Vec::new(),
    }
}

/// The largest error that is allowed, in percent of the window.
fn error_max(figures: &Figures) -> f64 {
    if figures.well_behaved == 27 { 1.0 } else { 0.1 }
}

fn engines(figures: &Figures) -> [(&'static str, &EngineFigures); 2] {
    [("compute", &figures.compute), ("copy", &figures.copy)]
}

/// The bars that are missed.
fn missed(figures: &Figures) -> Vec<String> {
    let mut missed = Vec::new();
    let limit = error_max(figures);
    for (name, engine) in engines(figures) {
        let what = format!(
            "{} + {}, {}, costs x {}, {name}",
            figures.well_behaved, figures.hostile, figures.policy, figures.scale
        );
        // Best effort promises nobody a share, and nobody more than one either.
        let promised = figures.policy != "best effort";
        let error = engine.hostile_excess.max(if promised { engine.share_error } else { 0.0 });
        if error > limit {
            missed.push(format!("{what}: share error {error:.4} % of at most {limit} %"));
        }
        if engine.jain.is_nan() || engine.jain < JAIN_MIN {
            missed.push(format!("{what}: Jain's index {:.6} of at least {JAIN_MIN}", engine.jain));
        }
    }
    missed
}

fn table(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(left) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn setting(figures: &Figures) -> [String; 4] {
    let mut note = String::new();
    for (is, what) in [
        (figures.hangs, ", one hangs"),
        (figures.uneven, ", uneven"),
        (!figures.limited, ", no limits"),
    ] {
        note.push_str(if is { what } else { "" });
    }
    [
        figures.policy.to_owned(),
        format!("{} + {}{note}", figures.well_behaved, figures.hostile),
        figures.scale.to_string(),
        String::new(),
    ]
}

fn shares(all: &[Figures]) -> Table {
    let header =
        ["policy", "vGPUs", "costs x", "engine", "error %", "hostile %", "Jain", "hints", "resets"];
    let mut table = table(&header, 4);
    for figures in all {
        for (name, engine) in engines(figures) {
            let [policy, vgpus, scale, _] = setting(figures);
            table.add_row([
                policy,
                vgpus,
                scale,
                name.to_owned(),
                format!("{:.4}", engine.share_error),
                format!("{:.4}", engine.hostile_excess),
                format!("{:.6}", engine.jain),
                engine.causes.hint.to_string(),
                engine.causes.reset.to_string(),
            ]);
        }
    }
    table
}

fn switches(all: &[Figures]) -> Table {
    let header =
        ["policy", "vGPUs", "costs x", "engine", "count", "preempt", "save", "decide", "load"];
    let mut table = table(&header, 4);
    for figures in all {
        for (name, engine) in engines(figures) {
            let [policy, vgpus, scale, _] = setting(figures);
            let parts = [Part::Preempt, Part::Save, Part::Decide, Part::Load].map(|part| {
                let part = engine.switches.part(part);
                let us = |ns: u64| ns as f64 / 1e3;
                format!("{:.1} / {:.1} / {:.1}", us(part.p50_ns), us(part.p99_ns), us(part.max_ns))
            });
            let count = engine.switches.count.to_string();
            table.add_row([policy, vgpus, scale, name.to_owned(), count].into_iter().chain(parts));
        }
    }
    table
}
