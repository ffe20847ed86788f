//! Whole moves: what a guest had under way is under way at the other device.

use super::rig::Rig;
use super::verdict::{Verdict, differ, done, holds, same};
use super::{Bench, Device, Side, Work, rules, state};
use state::{PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STOP, STOP_COPY};
use std::format;

rules!("moves":
    a_job_ends_with_the_right_bytes_at_the_other_device,
    a_job_goes_there_and_back,
    a_job_goes_on_at_the_source_if_it_is_not_moved,
    the_source_goes_on_whatever_was_read,
    a_state_can_be_written_again,
    doorbells_and_interrupts_come_once,
    guest_memory_is_reached_from_the_other_device,
    rounds_that_go_on_and_on_end_right,
    a_state_may_be_written_while_it_is_read,
    a_restart_of_the_firmware_costs_a_session_at_most,
    a_restart_in_resuming_costs_the_state_at_most,
);

const FIRST: Side = Side::First;
const SECOND: Side = Side::Second;

/// Ways from RUNNING to a device whose state is read.
const WAYS: [&[u32]; 6] = [
    &[STOP_COPY],
    &[STOP, STOP_COPY],
    &[RUNNING_P2P, STOP, STOP_COPY],
    &[PRE_COPY, STOP_COPY],
    &[PRE_COPY, PRE_COPY_P2P, STOP_COPY],
    &[PRE_COPY_P2P, PRE_COPY, PRE_COPY_P2P, STOP_COPY],
];

/// Moves the guest from one device to the other, and lets it run.
fn transfer<B: Bench>(rig: &mut Rig<'_, B>, from: Side, ways: &[u32]) -> Verdict {
    let to = from.other();
    let bytes = rig.save(from, ways)?;
    rig.load(to, &bytes)?;
    rig.same_memory()?;
    rig.bench.hand_over(to);
    rig.go(to, RUNNING)
}

/// A job that is under way.
fn job<B: Bench>(rig: &mut Rig<'_, B>, ns: u64) -> Verdict {
    rig.power_on();
    rig.start(FIRST, Work::Job)?;
    rig.run(ns);
    same("the result of a job under way", rig.bench.result(FIRST), None)
}

/// It comes to its end there.
fn ends<B: Bench>(rig: &mut Rig<'_, B>, side: Side) -> Verdict {
    for _ in 0..super::PATIENCE_NS / 500_000 {
        rig.run(500_000);
        if let Some(right) = rig.bench.result(side) {
            return holds("the job's bytes are right", right);
        }
    }
    Err(differ("the job", "it goes on and on", "an end"))
}

fn a_job_ends_with_the_right_bytes_at_the_other_device<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for (turn, ways) in (0..).zip(WAYS) {
        job(rig, 100_000 + 57_321 * turn)?;
        transfer(rig, FIRST, ways)?;
        ends(rig, SECOND)?;
    }
    Ok(())
}

fn a_job_goes_there_and_back<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    job(rig, 100_000)?;
    for (from, ways) in [(FIRST, WAYS[3]), (SECOND, WAYS[0]), (FIRST, WAYS[4])] {
        transfer(rig, from, ways)?;
        rig.run(50_000);
        same("the result of a job under way", rig.bench.result(from.other()), None)?;
    }
    ends(rig, SECOND)
}

fn a_job_goes_on_at_the_source_if_it_is_not_moved<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for (turn, ways) in (0..).zip(WAYS) {
        job(rig, 100_000 + 57_321 * turn)?;
        rig.save(FIRST, ways)?;
        rig.go(FIRST, RUNNING)?;
        ends(rig, FIRST)?;
    }
    Ok(())
}

fn the_source_goes_on_whatever_was_read<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in [PRE_COPY, PRE_COPY_P2P, STOP_COPY] {
        for bytes_max in [0, 1, 5_000, 1 << 24] {
            job(rig, 200_000)?;
            rig.go(FIRST, at)?;
            rig.read(FIRST, 4096, bytes_max)?;
            rig.go(FIRST, RUNNING)?;
            ends(rig, FIRST)?;
        }
    }
    Ok(())
}

/// A stream is bytes: whoever keeps it can write it once more, to either device.
fn a_state_can_be_written_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    job(rig, 200_000)?;
    let bytes = rig.save(FIRST, &[PRE_COPY, STOP_COPY])?;
    rig.load(SECOND, &bytes)?;
    rig.go(SECOND, RUNNING)?;
    rig.bench.pass(300_000);
    rig.load(SECOND, &bytes)?;
    rig.same_memory()?;
    rig.load(FIRST, &bytes)?;
    rig.same_memory()?;
    rig.go(FIRST, RUNNING)?;
    ends(rig, FIRST)
}

/// Work that was rung for is done once, and its interrupt comes once, wherever the move finds it:
/// not begun, under way, or told to nobody yet.
fn doorbells_and_interrupts_come_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for ns in [0, 300, 800, 1_400, 2_000, 2_600, 3_500, 6_000, 50_000] {
        for ways in [WAYS[0], WAYS[4]] {
            rig.power_on();
            rig.works(FIRST)?;
            rig.start(FIRST, Work::Short)?;
            rig.bench.pass(ns);
            transfer(rig, FIRST, ways)?;
            rig.run(100_000);
            let times = rig.bench.progress(SECOND, Work::Short);
            same(format!("times that it was done, {ns} ns after its doorbell"), times, 2)?;
            let interrupts = rig.bench.interrupts(FIRST) + rig.bench.interrupts(SECOND);
            same(format!("interrupts, {ns} ns after its doorbell"), interrupts, 2)?;
            rig.works(SECOND)?;
        }
    }
    Ok(())
}

fn guest_memory_is_reached_from_the_other_device<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for ways in [WAYS[0], WAYS[4]] {
        rig.power_on();
        rig.start(FIRST, Work::GuestMemory)?;
        rig.goes_on(FIRST, Work::GuestMemory)?;
        transfer(rig, FIRST, ways)?;
        for _ in 0..4 {
            rig.goes_on(SECOND, Work::GuestMemory)?;
        }
    }
    Ok(())
}

fn rounds_that_go_on_and_on_end_right<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    job(rig, 50_000)?;
    rig.go(FIRST, PRE_COPY)?;
    let mut bytes = std::vec::Vec::new();
    for round in 0..12 {
        bytes.extend(rig.read(FIRST, 30_000, 1 << 22)?);
        rig.run(30_000);
        if round == 6 {
            rig.go(FIRST, PRE_COPY_P2P)?;
        }
    }
    same("the result of a job under way", rig.bench.result(FIRST), None)?;
    bytes.extend(rig.save(FIRST, &[STOP_COPY])?);
    rig.load(SECOND, &bytes)?;
    rig.same_memory()?;
    rig.bench.hand_over(SECOND);
    rig.go(SECOND, RUNNING)?;
    ends(rig, SECOND)
}

/// What is read in pre-copy is written at once, as a monitor does it.
fn a_state_may_be_written_while_it_is_read<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    job(rig, 100_000)?;
    rig.go(SECOND, RESUMING)?;
    rig.go(FIRST, PRE_COPY)?;
    for _ in 0..5 {
        let bytes = rig.read(FIRST, 10_000, 1 << 22)?;
        done("a write in RESUMING", rig.write(SECOND, &bytes, 7_001))?;
        rig.run(20_000);
    }
    rig.go(FIRST, STOP_COPY)?;
    let bytes = rig.read_out(FIRST)?;
    done("a write in RESUMING", rig.write(SECOND, &bytes, 7_001))?;
    rig.go(SECOND, STOP)?;
    rig.same_memory()?;
    rig.bench.hand_over(SECOND);
    rig.go(SECOND, RUNNING)?;
    ends(rig, SECOND)
}

/// Whatever becomes of the session: the device stays in its state, leaves it when it is asked to,
/// and what it was doing is right in the end.
fn a_restart_of_the_firmware_costs_a_session_at_most<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in state::ASKED.into_iter().filter(|at| *at != RESUMING) {
        for bytes_max in [0, 5_000, 1 << 24] {
            job(rig, 100_000)?;
            rig.go(FIRST, at)?;
            if state::saves(at) {
                rig.read(FIRST, 4096, bytes_max)?;
            }
            rig.bench.restart_firmware(FIRST);
            if at == STOP_COPY {
                // It may be lost, and is told so; what was read before is of no use then.
                let _ = rig.read_out(FIRST);
            }
            let name = state::name(at);
            same("the state after a restart", state::name(rig.state(FIRST)), name)?;
            rig.go(FIRST, RUNNING)?;
            transfer(rig, FIRST, WAYS[3])?;
            ends(rig, SECOND)?;
        }
    }
    Ok(())
}

/// Either the state is there, or it is not taken: never a part of it.
fn a_restart_in_resuming_costs_the_state_at_most<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for part in 0..=4 {
        job(rig, 100_000)?;
        let bytes = rig.save(FIRST, &[STOP_COPY])?;
        let (some, rest) = bytes.split_at(bytes.len() * part / 4);
        rig.go(SECOND, RESUMING)?;
        done("a write in RESUMING", rig.write(SECOND, some, 4096))?;
        rig.bench.restart_firmware(SECOND);
        let written = rig.write(SECOND, rest, 4096);
        let taken = written.and_then(|()| rig.device(SECOND).set_state(STOP));
        if taken.is_err() {
            rig.reset(SECOND)?;
            rig.load(SECOND, &bytes)?;
        }
        rig.same_memory()?;
        rig.bench.hand_over(SECOND);
        rig.go(SECOND, RUNNING)?;
        ends(rig, SECOND)?;
    }
    Ok(())
}
