//! What there is to be read in pre-copy (`VFIO_MIG_GET_PRECOPY_INFO`).

use super::device::PrecopyInfo;
use super::rig::Rig;
use super::verdict::{Verdict, done, holds, refused, same};
use super::{Bench, Device, Side, Work, errno, rules, state};
use state::{ASKED, ERROR, PRE_COPY, PRE_COPY_P2P, RESUMING, STOP, STOP_COPY};
use std::format;

rules!("precopy":
    initial_bytes_begin_above_0,
    initial_bytes_fall_to_0_as_data_is_read,
    dirty_bytes_begin_at_0,
    dirty_bytes_are_what_was_written_since,
    without_bytes_there_is_no_data,
    it_is_refused_outside_of_precopy,
    asking_changes_nothing,
    a_restart_of_the_firmware_begins_anew,
    a_restart_in_the_middle_of_a_round_begins_anew,
    after_a_restart_the_state_is_whole,
);

const FIRST: Side = Side::First;

fn info<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict<PrecopyInfo> {
    let what = format!("precopy info in {}", state::name(rig.state(FIRST)));
    done(what, rig.device(FIRST).precopy_info())
}

/// A device in pre-copy, whose guest has written to its memory.
fn begun<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.write_memory(FIRST, 0x3000, &[3; 40_000])?;
    rig.go(FIRST, PRE_COPY)
}

fn initial_bytes_begin_above_0<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in [PRE_COPY, PRE_COPY_P2P] {
        rig.power_on();
        rig.go(FIRST, at)?;
        holds("initial_bytes are above 0", info(rig)?.initial_bytes > 0)?;
    }
    Ok(())
}

fn initial_bytes_fall_to_0_as_data_is_read<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    begun(rig)?;
    let (mut before, mut readable) = (info(rig)?.initial_bytes, true);
    while readable {
        let bytes = rig.read(FIRST, 1000, 1000)?;
        let now = info(rig)?;
        holds("initial_bytes never grow", now.initial_bytes <= before)?;
        same("reinit", now.reinit, false)?;
        readable = bytes.len() == 1000;
        holds("initial_bytes fall", now.initial_bytes < before || !readable || before == 0)?;
        before = now.initial_bytes;
    }
    same("initial_bytes when all is read", before, 0)
}

fn dirty_bytes_begin_at_0<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    begun(rig)?;
    same("dirty_bytes at first", info(rig)?.dirty_bytes, 0)?;
    let first = rig.read_out(FIRST)?;
    holds("there is something to read", first.len() > 40_000)?;
    let now = info(rig)?;
    same("initial_bytes when all is read", now.initial_bytes, 0)?;
    same("dirty_bytes when nothing was written", now.dirty_bytes, 0)
}

fn dirty_bytes_are_what_was_written_since<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    begun(rig)?;
    info(rig)?;
    rig.read_out(FIRST)?;
    for round in 1..4 {
        rig.write_memory(FIRST, 0x4000, &[round; 10_000])?;
        let now = info(rig)?;
        holds("dirty_bytes tell of what was written", now.dirty_bytes >= 10_000)?;
        same("initial_bytes after their end", now.initial_bytes, 0)?;
        rig.read(FIRST, 1000, 5000)?;
        let later = info(rig)?;
        holds("dirty_bytes fall as it is read", later.dirty_bytes < now.dirty_bytes)?;
        holds("and are not 0 before it is", later.dirty_bytes > 0)?;
        rig.read_out(FIRST)?;
        same("dirty_bytes when all is read", info(rig)?.dirty_bytes, 0)?;
    }
    Ok(())
}

/// Both are 0 where the next read finds nothing, and not where it finds something.
fn without_bytes_there_is_no_data<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    begun(rig)?;
    for round in 0..20 {
        if round == 10 {
            rig.write_memory(FIRST, 0x4000, &[9; 10_000])?;
        }
        let now = info(rig)?;
        let bytes = rig.read(FIRST, 8192, 8192)?;
        let told = now.initial_bytes + now.dirty_bytes;
        same("there is data when bytes are told", told != 0, !bytes.is_empty())?;
        holds("no less is told than there is", told >= bytes.len() as u64)?;
    }
    Ok(())
}

fn it_is_refused_outside_of_precopy<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED.into_iter().filter(|at| *at != PRE_COPY && *at != PRE_COPY_P2P) {
        for before in [PRE_COPY, at] {
            rig.power_on();
            rig.go_by(FIRST, &[before, at])?;
            let result = rig.device(FIRST).precopy_info();
            refused(format!("precopy info in {}", state::name(at)), result, errno::EINVAL)?;
        }
    }
    rig.power_on();
    rig.go(FIRST, RESUMING)?;
    super::verdict::fails("a state of no bytes", rig.device(FIRST).set_state(STOP))?;
    if rig.state(FIRST) == ERROR {
        refused("precopy info in ERROR", rig.device(FIRST).precopy_info(), errno::EINVAL)?;
    }
    Ok(())
}

fn asking_changes_nothing<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::Writer)?;
    rig.go(FIRST, PRE_COPY)?;
    let mut bytes = std::vec::Vec::new();
    for _ in 0..20 {
        info(rig)?;
        bytes.extend(rig.read(FIRST, 3000, 30_000)?);
        info(rig)?;
        info(rig)?;
        rig.run(5_000);
    }
    bytes.extend(rig.save(FIRST, &[STOP_COPY])?);
    rig.move_on(&bytes, Work::Writer)
}

/// After a restart: told once, and all counts as it did at first.
fn begins_anew<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.bench.restart_firmware(FIRST);
    let now = info(rig)?;
    same("reinit after a restart", now.reinit, true)?;
    holds("initial_bytes are above 0 again", now.initial_bytes > 0)?;
    same("dirty_bytes begin at 0 again", now.dirty_bytes, 0)?;
    same("reinit when asked again", info(rig)?.reinit, false)?;
    let before = info(rig)?.initial_bytes;
    rig.read(FIRST, 1000, 10_000)?;
    holds("initial_bytes fall again", info(rig)?.initial_bytes < before)?;
    rig.read_out(FIRST)?;
    same("initial_bytes when all is read", info(rig)?.initial_bytes, 0)
}

fn a_restart_of_the_firmware_begins_anew<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    begun(rig)?;
    same("reinit at first", info(rig)?.reinit, false)?;
    rig.read_out(FIRST)?;
    same("reinit before the restart", info(rig)?.reinit, false)?;
    begins_anew(rig)?;
    begins_anew(rig)?;
    // Where no session is open there is nothing to begin anew.
    rig.go(FIRST, state::RUNNING)?;
    rig.bench.restart_firmware(FIRST);
    rig.go(FIRST, PRE_COPY)?;
    same("reinit of a new session", info(rig)?.reinit, false)
}

fn a_restart_in_the_middle_of_a_round_begins_anew<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for bytes_max in [0, 10, 20_000] {
        rig.power_on();
        begun(rig)?;
        // Where nobody has asked or read, nothing has begun that could begin anew.
        info(rig)?;
        rig.read(FIRST, 1000, bytes_max)?;
        begins_anew(rig)?;
    }
    // And of a later one.
    rig.power_on();
    begun(rig)?;
    rig.read_out(FIRST)?;
    rig.write_memory(FIRST, 0x4000, &[4; 20_000])?;
    info(rig)?;
    rig.read(FIRST, 1000, 5_000)?;
    begins_anew(rig)
}

/// Whenever the firmware has restarted, and whether anybody was told: what comes out is right. A
/// page that was sent and has been zeroed since must be so at the destination.
fn after_a_restart_the_state_is_whole<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for asks in [false, true] {
        for bytes_max in [0, 5_000, 100_000, 1 << 24] {
            rig.power_on();
            rig.start(FIRST, Work::Writer)?;
            rig.write_memory(FIRST, 0x3000, &[3; 40_000])?;
            rig.go(FIRST, PRE_COPY)?;
            let mut bytes = rig.read(FIRST, 4096, bytes_max)?;
            rig.write_memory(FIRST, 0x4000, &[0; 20_000])?;
            rig.bench.restart_firmware(FIRST);
            rig.run(20_000);
            if asks {
                same("reinit after a restart", info(rig)?.reinit, bytes_max != 0)?;
            }
            bytes.extend(rig.read(FIRST, 4096, bytes_max)?);
            bytes.extend(rig.save(FIRST, &[STOP_COPY])?);
            rig.move_on(&bytes, Work::Writer)?;
        }
    }
    Ok(())
}
