//! Moves vGPUs over links that end at every place that matters, and prints what fails.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_world::Way;
use godwit_world::cuts::{self, Case, Fate, Layout, OVER_MAX_NS, Outcome, Place};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ends links at every record's end, at every byte of every message that is no data, and at random
/// bytes of each phase, and checks that exactly one side has the vGPU afterwards.
#[derive(Parser)]
struct Args {
    /// How many random bytes of each phase, from each side, of each kind of move, and each way that
    /// the link may go on.
    #[arg(long, default_value_t = 1_000)]
    count: u64,
    /// The first seed of the random ones.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only every so many of the places that are not random.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// One case alone, as a failure prints it.
    #[arg(long, num_args = 5, value_names = ["KIND", "WAY", "BYTE", "SEED", "FATE"])]
    only: Option<Vec<String>>,
}

/// Cases, each with its phase, and those that are random last.
fn cases(args: &Args, layouts: &[(bool, Layout); 2]) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |live, place: Place, seed| {
        for fate in [Fate::Heals, Fate::Dies] {
            cases.push(Case { live, way: place.way, at_byte: place.at_byte, seed, fate });
        }
    };
    for (live, layout) in layouts {
        let places = layout.boundaries.iter().chain(&layout.others);
        for (place, seed) in places.zip(0..).step_by(args.every as usize) {
            add(*live, *place, seed);
        }
    }
    for (live, layout) in layouts {
        for way in [Way::Forth, Way::Back] {
            // Each phase as often as the others, however few bytes it has.
            for ((_, range), number) in layout.phases(way).zip(0..) {
                for seed in args.first..args.first + args.count {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    rng.set_stream(64 * (1 + way as u64) + 2 * number + u64::from(*live));
                    add(*live, Place { way, at_byte: rng.random_range(range.clone()) }, seed);
                }
            }
        }
    }
    cases
}

/// What came of all cases.
#[derive(Default)]
struct Totals {
    failed: u64,
    moved: u64,
    stayed: u64,
    resolved: u64,
    over_ns: u64,
    phases: BTreeMap<(String, &'static str), u64>,
}

impl Totals {
    fn add(&mut self, case: &Case, phase: &'static str, outcome: &Outcome) {
        self.failed += u64::from(!outcome.problems.is_empty());
        self.moved += u64::from(outcome.moved);
        self.stayed += u64::from(!outcome.moved);
        self.resolved += u64::from(outcome.resolved);
        self.over_ns = self.over_ns.max(outcome.over_ns);
        let way = if case.way == Way::Forth { "from the source" } else { "from the destination" };
        *self.phases.entry((way.to_owned(), phase)).or_default() += 1;
    }

    fn print(&self) {
        for ((way, phase), count) in &self.phases {
            println!("{way}, {phase}: {count} cuts");
        }
        println!(
            "the vGPU moved {} times and stayed {} times; an operator decided {} times; over at \
             most {} ns of virtual time after the end of the silence (the bar is {OVER_MAX_NS})",
            self.moved, self.stayed, self.resolved, self.over_ns
        );
        println!("{} cuts passed, {} failed", self.moved + self.stayed - self.failed, self.failed);
    }
}

fn run(case: &Case, layouts: &[(bool, Layout); 2], totals: &Mutex<Totals>) {
    let outcome = std::panic::catch_unwind(|| cuts::run(case))
        .unwrap_or_else(|_| Outcome { problems: vec!["it panicked".into()], ..Outcome::default() });
    let layout = layouts.iter().find(|(live, _)| *live == case.live);
    let place = Place { way: case.way, at_byte: case.at_byte };
    let phase = layout.map_or("end", |(_, layout)| layout.phase(place));
    totals.lock().unwrap_or_else(|held| held.into_inner()).add(case, phase, &outcome);
    if !outcome.problems.is_empty() {
        println!("cut in phase `{phase}` fails; to repeat it: cargo xtask cuts --only {case}");
        for problem in outcome.problems {
            println!("  {problem}");
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let layouts = [false, true].map(|live| (live, Layout::of(live)));
    let cases = match &args.only {
        None => cases(&args, &layouts),
        Some(words) => match words.join(" ").parse() {
            Ok(case) => vec![case],
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        },
    };
    let (next, totals) = (AtomicUsize::new(0), Mutex::new(Totals::default()));
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(case, &layouts, &totals);
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_else(|held| held.into_inner());
    totals.print();
    if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
