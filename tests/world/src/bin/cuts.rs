//! Moves vGPUs over links that end at every place that matters, and prints what fails.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_world::Way;
use godwit_world::cuts::{self, Case, Ends, Fate, Kind, Layout, OVER_MAX_NS, Outcome, Place};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ends links at every record's end, at every byte of every message that is no data, and at random
/// bytes of each phase, and processes with them, and checks that exactly one side has the vGPU
/// afterwards.
#[derive(Parser)]
struct Args {
    /// How many random bytes of each phase, from each side, of each kind of move, and each way that
    /// the link may go on; of moves whose processes end, a tenth as many.
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

/// Which bytes there are in moves of each kind, in one world and between processes.
struct Layouts {
    links: Vec<(Kind, Layout)>,
    processes: Vec<(Kind, Layout)>,
}

impl Layouts {
    fn new() -> Self {
        let [stop, live, ..] = Kind::ALL;
        let links = [stop, live].map(|kind| (kind, Layout::of(kind))).into();
        let processes = Kind::ALL.map(|kind| (kind, Layout::of_processes(kind))).into();
        Self { links, processes }
    }

    fn phase(&self, case: &Case) -> &'static str {
        let all = if is_of_link(case.fate) { &self.links } else { &self.processes };
        let layout = all.iter().find(|(kind, _)| *kind == case.kind);
        let place = Place { way: case.way, at_byte: case.at_byte };
        layout.map_or("end", |(_, layout)| layout.phase(place))
    }
}

fn is_of_link(fate: Fate) -> bool {
    Fate::OF_LINKS.contains(&fate)
}

/// Cases that are not random, and those that are.
fn cases(args: &Args, layouts: &Layouts) -> Vec<Case> {
    let links = (&layouts.links, &Fate::OF_LINKS[..], args.count);
    let processes = (&layouts.processes, &Fate::OF_PROCESSES[..], args.count.div_ceil(10));
    let all = [links, processes];
    let fixed = all.map(|(layouts, fates, _)| fixed(args, layouts, fates));
    let random = all.map(|(layouts, fates, count)| random(args, layouts, fates, count));
    fixed.into_iter().chain(random).flatten().collect()
}

fn at(kind: Kind, place: Place, seed: u64, fates: &[Fate]) -> impl Iterator<Item = Case> {
    let Place { way, at_byte } = place;
    fates.iter().map(move |fate| Case { kind, way, at_byte, seed, fate: *fate })
}

fn fixed(args: &Args, layouts: &[(Kind, Layout)], fates: &[Fate]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, layout) in layouts {
        let places = layout.boundaries.iter().chain(&layout.others);
        for (place, seed) in places.zip(0..).step_by(args.every as usize) {
            cases.extend(at(*kind, *place, seed, fates));
        }
    }
    cases
}

fn random(args: &Args, layouts: &[(Kind, Layout)], fates: &[Fate], count: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, layout) in layouts {
        for way in [Way::Forth, Way::Back] {
            // Each phase as often as the others, however few bytes it has.
            for ((_, range), number) in layout.phases(way).zip(0..) {
                for seed in args.first..args.first + count {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    rng.set_stream(64 * (1 + way as u64) + 4 * number + *kind as u64);
                    let at_byte = rng.random_range(range.clone());
                    cases.extend(at(*kind, Place { way, at_byte }, seed, fates));
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
    passed: u64,
    over_ns: u64,
    phases: BTreeMap<(String, &'static str), u64>,
    ends: BTreeMap<(Fate, Kind), Row>,
}

/// What came of those of one fate and kind.
#[derive(Default)]
struct Row {
    moved: u64,
    stayed: u64,
    with_host: u64,
    resolved: u64,
}

impl Totals {
    fn add(&mut self, case: &Case, phase: &'static str, outcome: &Outcome) {
        let failed = !outcome.problems.is_empty();
        self.failed += u64::from(failed);
        self.passed += u64::from(!failed);
        let row = self.ends.entry((case.fate, case.kind)).or_default();
        match outcome.ends {
            Ends::Moved => row.moved += 1,
            Ends::Stayed => row.stayed += 1,
            Ends::WithItsHost => row.with_host += 1,
        }
        row.resolved += u64::from(outcome.resolved);
        self.over_ns = self.over_ns.max(outcome.over_ns);
        let way = if case.way == Way::Forth { "from the source" } else { "from the destination" };
        *self.phases.entry((way.to_owned(), phase)).or_default() += 1;
    }

    fn print(&self) {
        for ((way, phase), count) in &self.phases {
            println!("{way}, {phase}: {count} cuts");
        }
        for ((fate, kind), row) in &self.ends {
            let Row { moved, stayed, with_host, resolved } = row;
            println!(
                "{fate}, {kind}: moved {moved} times, stayed {stayed} times, ended with the host \
                 that ran it {with_host} times; operators decided {resolved} times"
            );
        }
        println!(
            "over at most {} ns of virtual time after the end of the silence (the bar is \
             {OVER_MAX_NS})",
            self.over_ns
        );
        println!("{} cuts passed, {} failed", self.passed, self.failed);
    }
}

fn run(case: &Case, layouts: &Layouts, totals: &Mutex<Totals>) {
    let outcome = std::panic::catch_unwind(|| cuts::run(case))
        .unwrap_or_else(|_| Outcome { problems: vec!["it panicked".into()], ..Outcome::default() });
    let phase = layouts.phase(case);
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
    let layouts = Layouts::new();
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
