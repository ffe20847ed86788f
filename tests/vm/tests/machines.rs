//! Goal: an unmodified machine with a vGPU works, is migrated and suspended with its jobs, and runs
//! on where a migration fails. Method: QEMU and Linux, with a program in it that checks all that it
//! gets back; larger counts are for `machines`, the program.

#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use godwit::vm::{Step, Whose};
use godwit_vm::{Cut, Pair};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_godwit-under-test"))
}

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
    for (step, cut) in Step::ALL.into_iter().zip(Cut::ALL.into_iter().cycle()) {
        pair.migrate_cut(step, cut).map_err(|error| error.context(format!("{step:?} {cut:?}")))?;
    }
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
    for _ in 0..2 {
        pair.suspend_and_resume()?;
    }
    Ok(())
}

#[test]
fn where_nothing_is_heard_of_the_start_one_machine_runs_and_resolve_says_which() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = Pair::start(program())?;
    let (failed, mut from) = pair.migrate_unheard()?;
    ensure!(failed.whose == Whose::Unknown && failed.step == Step::Start, "{failed}");
    let resolve = |more: &[&str]| -> Result<String> {
        let said = Command::new(program()).arg("resolve").arg(pair.state()).args(more).output()?;
        let text = String::from_utf8(said.stdout)?;
        ensure!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
        Ok(text)
    };
    let listed = resolve(&[])?;
    ensure!(listed.contains("committed"), "{listed}");
    ensure!(listed.contains("source: machine `postmigrate`, vGPU STOP_COPY"), "{listed}");
    resolve(&["--token", &failed.token, "gone"])?;
    from.await_end(std::time::Duration::from_secs(20))?;
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
