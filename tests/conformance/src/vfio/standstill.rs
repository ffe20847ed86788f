//! A device that is stopped does nothing, and answers.

use super::rig::Rig;
use super::verdict::{Verdict, done, same};
use super::{Bench, Side, Work, rules, state};
use state::{ASKED, RESUMING, RUNNING, STOP, STOP_COPY};
use std::format;

rules!("standstill":
    nothing_runs_in_stop,
    nothing_runs_in_stop_copy,
    nothing_runs_while_the_state_is_read,
    nothing_runs_in_resuming,
    nothing_reaches_the_guests_memory,
    no_interrupt_comes,
    a_doorbell_waits_until_it_runs,
    registers_are_answered_in_every_state,
    it_goes_on_where_it_stood,
);

const FIRST: Side = Side::First;

fn at_work<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::Writer)?;
    rig.goes_on(FIRST, Work::Writer)
}

fn nothing_runs_in_stop<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    rig.go(FIRST, STOP)?;
    rig.stands_still(FIRST)
}

fn nothing_runs_in_stop_copy<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    rig.go(FIRST, STOP_COPY)?;
    rig.stands_still(FIRST)
}

fn nothing_runs_while_the_state_is_read<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    rig.go(FIRST, STOP_COPY)?;
    let before = rig.bench.memory(FIRST);
    rig.read(FIRST, 1000, 100_000)?;
    rig.stands_still(FIRST)?;
    rig.read_out(FIRST)?;
    rig.stands_still(FIRST)?;
    same("its memory is what it was", rig.bench.memory(FIRST) == before, true)
}

fn nothing_runs_in_resuming<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    let bytes = rig.save(FIRST, &[STOP_COPY])?;
    rig.go(FIRST, RESUMING)?;
    rig.stands_still(FIRST)?;
    let (some, rest) = bytes.split_at(bytes.len() / 2);
    done("a write in RESUMING", rig.write(FIRST, some, some.len()))?;
    rig.stands_still(FIRST)?;
    done("a write in RESUMING", rig.write(FIRST, rest, rest.len()))?;
    rig.stands_still(FIRST)?;
    rig.go(FIRST, STOP)?;
    rig.stands_still(FIRST)
}

fn nothing_reaches_the_guests_memory<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for to in [STOP, STOP_COPY, RESUMING] {
        rig.power_on();
        rig.start(FIRST, Work::GuestMemory)?;
        rig.goes_on(FIRST, Work::GuestMemory)?;
        rig.go(FIRST, to)?;
        rig.stands_still(FIRST)?;
    }
    Ok(())
}

/// At whatever time before its end the device is stopped: the interrupt comes before, or waits.
fn no_interrupt_comes<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for ns in [0, 400, 900, 1_500, 2_500, 5_000] {
        for to in [STOP, STOP_COPY] {
            rig.power_on();
            rig.works(FIRST)?;
            rig.start(FIRST, Work::Short)?;
            rig.bench.pass(ns);
            rig.go(FIRST, to)?;
            rig.stands_still(FIRST)?;
            rig.go(FIRST, RUNNING)?;
            rig.run(100_000);
            same("times that it was done", rig.bench.progress(FIRST, Work::Short), 2)?;
            same("interrupts in the end", rig.bench.interrupts(FIRST), 2)?;
        }
    }
    Ok(())
}

fn a_doorbell_waits_until_it_runs<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.works(FIRST)?;
    rig.start(FIRST, Work::Short)?;
    // Its own doorbell may be answered by now; `stands_still` rings another time.
    rig.go(FIRST, STOP)?;
    rig.stands_still(FIRST)?;
    rig.go(FIRST, RUNNING)?;
    rig.run(100_000);
    same("times that it was done", rig.bench.progress(FIRST, Work::Short), 2)?;
    rig.works(FIRST)
}

fn registers_are_answered_in_every_state<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let before = rig.bench.registers(FIRST);
    for to in ASKED {
        rig.power_on();
        rig.go(FIRST, to)?;
        let what = format!("registers in {}", state::name(to));
        same(what, rig.bench.registers(FIRST), before.clone())?;
    }
    // In the middle of a state that is written, too.
    rig.power_on();
    let bytes = rig.save(FIRST, &[STOP_COPY])?;
    rig.go(FIRST, RESUMING)?;
    let half = bytes.len() / 2;
    done("a write in RESUMING", rig.write(FIRST, &bytes[..half], half))?;
    same("registers in RESUMING", rig.bench.registers(FIRST), before)
}

fn it_goes_on_where_it_stood<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::Job)?;
    while rig.bench.result(FIRST).is_none() {
        rig.run(100_000);
        rig.go(FIRST, STOP)?;
        rig.stands_still(FIRST)?;
        rig.go(FIRST, RUNNING)?;
    }
    same("its result is right", rig.bench.result(FIRST), Some(true))
}
