//! Cuts the firmware's power in the middle of saves and restores, and checks what is left.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_qemu::resets::{Cut, Scene, Shown, run, spread};
use godwit_qemu::{at_once, mcu};
use godwit_shim::Mcu;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Cuts the firmware's power in the middle of saves and restores: in this process before every
/// word that the firmware writes, and again before every word of the takeover after some of these,
/// in QEMU at many instructions.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// In this process, only every so many words.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// In this process, takeovers that are cut, too: those after every so many words; 0: none.
    #[arg(long, default_value_t = 32)]
    takeovers: u32,
    /// Cuts in QEMU, over all scenes.
    #[arg(long, default_value_t = 500)]
    count: u32,
    /// How many at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// One cut alone: the scene's number, calls, and instructions, or words without calls, and then
    /// words of the takeover.
    #[arg(long, num_args = 3..=4, value_names = ["SCENE", "CALLS", "INSTRUCTIONS", "WORDS"])]
    only: Option<Vec<u32>>,
}

/// The shortest scene has some more words than these.
const FIRST_MAX: u32 = 400;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(only) = &args.only {
        return one(only);
    }
    let mut failed = 0;
    for scene in Scene::ALL {
        let shown = shown(scene, &Mcu::Native, None);
        if !shown.problems.is_empty() {
            println!("{scene:?}, with nothing cut, fails: {:?}", shown.problems);
            return ExitCode::FAILURE;
        }
        let totals = every_word(scene, &args);
        println!("{scene:?}, in this process: {totals}");
        failed += totals.failed;
        // Each thread comes to the end once; every other run must have been cut.
        if totals.cuts == 0 || totals.cuts + args.jobs < totals.runs {
            println!("{scene:?}, in this process, fails: too few of these were cut");
            failed += 1;
        }
        if args.takeovers != 0 {
            let totals = every_takeover(scene, &args);
            println!("{scene:?}, in this process, cut again while it takes over: {totals}");
            failed += totals.failed;
            if totals.cuts_again == 0 {
                println!("{scene:?}, in this process, fails: no takeover was cut");
                failed += 1;
            }
        }
    }
    if args.count != 0 {
        let board = mcu("qemu-virt-rv64");
        let each = args.count.div_ceil(Scene::ALL.len() as u32);
        for scene in Scene::ALL {
            let totals = in_qemu(scene, each, &board, args.jobs);
            println!("{scene:?}, in QEMU: {totals}");
            failed += totals.failed;
            if totals.cuts < each {
                println!("{scene:?}, in QEMU, fails: {each} were to be cut");
                failed += 1;
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(only: &[u32]) -> ExitCode {
    let &[number, calls, instructions, ref takeover @ ..] = only else { return ExitCode::FAILURE };
    let Some(&scene) = Scene::ALL.get(number as usize) else { return ExitCode::FAILURE };
    let place = if calls == 0 { Mcu::Native } else { mcu("qemu-virt-rv64") };
    let cut = Cut { calls, instructions, takeover: takeover.first().copied() };
    let shown = shown(scene, &place, Some(cut));
    println!("{shown:?}");
    if shown.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(scene: Scene, place: &Mcu, cut: Option<Cut>) -> Shown {
    let whole = || -> Result<Shown, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        Ok(run(scene, place, cut, folder.path())?)
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(whole)) {
        Ok(Ok(shown)) => shown,
        Ok(Err(error)) => Shown { problems: vec![error.to_string()], ..Shown::default() },
        Err(_) => Shown { problems: vec!["it panicked".to_owned()], ..Shown::default() },
    }
}

/// Cuts before each word, until a transfer ends before it is cut.
fn every_word(scene: Scene, args: &Args) -> Totals {
    let (next, end) = (AtomicU32::new(1), AtomicU32::new(u32::MAX));
    let totals = Mutex::new(Totals::default());
    at_once(args.jobs, || {
        loop {
            let words = next.fetch_add(args.every, Ordering::Relaxed);
            if words >= end.load(Ordering::Relaxed) {
                return;
            }
            let cut = Cut { calls: 0, instructions: words, takeover: None };
            let shown = shown(scene, &Mcu::Native, Some(cut));
            if !shown.cut {
                // The transfer ends before it writes as much; what is wrong is wrong without.
                end.fetch_min(words, Ordering::Relaxed);
            }
            note(&totals, scene, cut, &shown);
        }
    });
    totals.into_inner().unwrap_or_default()
}

/// Cuts before some words, and each time again before each word of the takeover, until one ends
/// before it is cut.
fn every_takeover(scene: Scene, args: &Args) -> Totals {
    // Few cuts are not to begin with one after which there is nothing to take over.
    let first = 1 + args.takeovers.min(FIRST_MAX) / 2;
    let (next, end) = (AtomicU32::new(first), AtomicU32::new(u32::MAX));
    let totals = Mutex::new(Totals::default());
    at_once(args.jobs, || {
        loop {
            let words = next.fetch_add(args.takeovers, Ordering::Relaxed);
            if words >= end.load(Ordering::Relaxed) {
                return;
            }
            for again in 0.. {
                let cut = Cut { calls: 0, instructions: words, takeover: Some(again) };
                let shown = shown(scene, &Mcu::Native, Some(cut));
                note(&totals, scene, cut, &shown);
                if !shown.cut {
                    end.fetch_min(words, Ordering::Relaxed);
                }
                if !shown.cut_again {
                    break;
                }
            }
        }
    });
    totals.into_inner().unwrap_or_default()
}

/// Cuts at instructions that are spread over all of each call of the transfer.
fn in_qemu(scene: Scene, count: u32, board: &Mcu, jobs: u32) -> Totals {
    let next = AtomicU32::new(0);
    let totals = Mutex::new(Totals::default());
    let is_enough = || {
        let totals = totals.lock().unwrap_or_else(|held| held.into_inner());
        totals.cuts >= count || totals.runs >= 2 * count
    };
    let calls = shown(scene, board, None).calls;
    at_once(jobs, || {
        loop {
            if is_enough() {
                return;
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            let cut = spread(number, &calls);
            let shown = shown(scene, board, Some(cut));
            note(&totals, scene, cut, &shown);
        }
    });
    totals.into_inner().unwrap_or_default()
}

/// What all cuts of a kind have shown.
#[derive(Debug, Default)]
struct Totals {
    runs: u32,
    cuts: u32,
    cuts_again: u32,
    went_through: u32,
    failed: u32,
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { runs, cuts, cuts_again, went_through, failed } = self;
        let again = match cuts_again {
            0 => String::new(),
            count => format!(" and again in {count}"),
        };
        write!(
            f,
            "{runs} runs, power cut in {cuts}{again}, of which {went_through} transfers \
             went through and the others were done again; {failed} failed"
        )
    }
}

fn note(totals: &Mutex<Totals>, scene: Scene, cut: Cut, shown: &Shown) {
    let mut totals = totals.lock().unwrap_or_else(|held| held.into_inner());
    totals.runs += 1;
    totals.cuts += u32::from(shown.cut);
    totals.cuts_again += u32::from(shown.cut_again);
    totals.went_through += u32::from(shown.cut && shown.went_through);
    if !shown.problems.is_empty() {
        totals.failed += 1;
        let number = Scene::ALL.into_iter().position(|one| one == scene).unwrap_or_default();
        let Cut { calls, instructions, takeover } = cut;
        let again = takeover.map_or_else(String::new, |words| format!(" {words}"));
        println!("cargo xtask resets --only {number} {calls} {instructions}{again} fails:");
        for problem in &shown.problems {
            println!("  {problem}");
        }
    }
}
