//! Goal: an unmodified machine with a vGPU works, is migrated and suspended with its jobs, and runs
//! on where a migration fails. Method: QEMU and Linux, with a program in it that checks all that it
//! gets back; larger counts are for `machines`, the program.

#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, ensure};
use godwit::vm::{Step, Whose};
use godwit_vm::{Cut, Pair};
use rustix::process::Signal;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_godwit-under-test"))
}

/// In the middle of the memory, which takes some hundreds of milliseconds.
const SENDS: Duration = Duration::from_millis(150);

/// How long QEMU may take alone until its guest stands still.
const ALONE: Duration = Duration::from_secs(20);

/// Machines take a core each: one test at a time has some.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn a_machine_is_migrated_there_and_back_and_runs_on_where_that_fails() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::start(program())?;
    for _ in 0..2 {
        let moved = pair.migrate()?;
        println!("{moved:?}");
        ensure!(moved.vgpu_bytes > moved.vgpu_stopped_bytes && moved.pause_ms > 0.0);
    }
    // Each step, and each kind of end; `machines cuts` has all pairs of them.
    // At the last one's the source has been told of it, and the destination not.
    let some = Step::ALL.into_iter().zip(Cut::ALL.into_iter().cycle());
    for (step, cut) in some.chain([(Step::PreCopy, Cut::Machine)]) {
        pair.migrate_cut(step, cut).map_err(|error| error.context(format!("{step:?} {cut:?}")))?;
    }
    // Whoever uses this QEMU next finds it as it was.
    let limit = pair.vm()?.command("query-migrate-parameters")?;
    ensure!(limit.contains("\"downtime-limit\": 300"), "{limit}");
    let all = pair.vm()?.command("query-migrate-capabilities")?;
    let all: serde_json::Value = serde_json::from_str(&all)?;
    let mut all = all["return"].as_array().into_iter().flatten();
    let waits = all.find(|one| one["capability"] == "pause-before-switchover");
    ensure!(waits.is_some_and(|one| one["state"] == false), "{waits:?}");
    for slow in [Step::Stop, Step::SwitchOver] {
        pair.migrate_slowly(slow).map_err(|error| error.context(format!("{slow:?}")))?;
    }
    pair.migrate()?;
    Ok(())
}

#[test]
fn a_machine_is_suspended_and_resumed_by_other_processes_in_another_place() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::start(program())?;
    pair.suspend_and_resume()?;
    // A migration leaves nothing behind that a suspend would trip over, and the other way round.
    let moved = pair.migrate_by_command(None)?;
    ensure!(moved.success && moved.json()?["pause_ms"].is_number(), "{moved:?}");
    pair.suspend_and_resume()?;
    // One that stands still is not suspended, and stands still.
    pair.vm()?.command("stop")?;
    let refused = pair.suspend()?;
    ensure!(!refused.success && refused.said.contains("must be `running`"), "{refused:?}");
    ensure!(pair.vm()?.command("query-status")?.contains("paused"), "it was started");
    pair.vm()?.command("cont")?;
    pair.await_rounds(2)?;
    Ok(())
}

/// The migration that the journal has open, and what is said of it.
fn open_migration(pair: &Pair) -> Result<(String, String)> {
    let listed = pair.resolve(&[])?;
    let open = listed.text.lines().find(|line| line.contains("offered"));
    let token = open.and_then(|line| line.split(' ').next());
    Ok((token.with_context(|| format!("{listed:?}"))?.to_owned(), listed.text))
}

#[test]
fn whoever_ends_a_migration_in_the_middle_of_it_does_not_lose_the_machine() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::start(program())?;
    let ended = pair.migrate_by_command(Some((Step::Memory.name(), SENDS, Signal::TERM)))?;
    let told = ended.json()?;
    ensure!(!ended.success && told["whose"] == "source", "{ended:?}");
    pair.await_rounds(2)?;
    let killed = pair.migrate_by_command(Some((Step::Memory.name(), SENDS, Signal::KILL)))?;
    ensure!(!killed.success && killed.text.is_empty(), "{killed:?}");
    // QEMU goes on alone until it waits to be told that it may switch over; or, on a machine that
    // does much else, nobody has told it to begin.
    let end = Instant::now() + ALONE;
    let token = loop {
        let (token, text) = open_migration(&pair)?;
        if text.contains("it runs at neither") || Instant::now() > end {
            break token;
        }
    };
    let gone = pair.resolve(&["--token", &token, "gone"])?;
    ensure!(!gone.success && gone.said.contains("all there is of it"), "{gone:?}");
    let here = pair.resolve(&["--token", &token, "run-here"])?;
    ensure!(here.success, "{here:?}");
    pair.await_rounds(2)?;
    pair.migrate()?;
    Ok(())
}

#[test]
fn where_nothing_is_heard_of_the_start_one_machine_runs_and_resolve_says_which() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::start(program())?;
    let (failed, mut from) = pair.migrate_unheard()?;
    ensure!(failed.whose == Whose::Unknown && failed.step == Step::Start, "{failed}");
    let token = ["--token", &failed.token];
    let listed = pair.resolve(&[])?.text;
    ensure!(listed.contains("committed") && listed.contains("cannot be seen"), "{listed}");
    ensure!(listed.contains("source: machine `postmigrate`, vGPU STOP_COPY"), "{listed}");
    // What cannot be seen is not decided: it would run twice, or nowhere.
    for whose in ["run-here", "gone"] {
        let refused = pair.resolve(&[token[0], token[1], whose])?;
        ensure!(!refused.success && refused.said.contains("--force"), "{refused:?}");
    }
    pair.mend_link()?;
    let listed = pair.resolve(&[])?.text;
    ensure!(listed.contains("it runs at the destination"), "{listed}");
    let here = pair.resolve(&[token[0], token[1], "run-here"])?;
    ensure!(!here.success && here.said.contains("runs at the destination"), "{here:?}");
    let gone = pair.resolve(&[token[0], token[1], "gone"])?;
    ensure!(gone.success, "{gone:?}");
    from.await_end(Duration::from_secs(20))?;
    pair.await_rounds(2)?;
    Ok(())
}

#[test]
fn a_machine_that_shares_no_memory_and_has_its_vgpu_behind_a_bridge_is_migrated() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::unusual(program())?;
    pair.await_rounds(3)?;
    pair.migrate()?;
    Ok(())
}
