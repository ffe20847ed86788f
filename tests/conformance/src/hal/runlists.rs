//! Runlists: start and reset.

use super::rig::{DATA_AT, PATIENCE_NS, Rig, STEP_NS, config};
use super::verdict::{Verdict, holds, nothing, same};
use super::{Bench, Work, rules};
use godwit_hal::{Channels, Runlists};
use godwit_types::{RunlistEvent, RunlistId, RunlistState};

rules!("runlists":
    a_group_runs_until_it_has_no_more_work,
    a_group_without_work_is_idle_at_once,
    an_answer_echoes_the_number_even_past_the_last,
    the_engine_holds_the_group_that_runs,
    engines_run_side_by_side,
    the_last_requests_are_what_was_written,
    a_reset_empties_the_engine,
    an_empty_engine_answers_a_reset,
    work_goes_on_after_a_reset,
);

const COMPUTE: RunlistId = RunlistId::COMPUTE;
const COPY: RunlistId = RunlistId::COPY;

fn a_group_runs_until_it_has_no_more_work<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    for (guest, runlist) in [(0, COMPUTE), (1, COPY)] {
        rig.bind(0, guest, runlist);
        nothing("an answer to nothing", rig.hardware().poll_runlist(runlist))?;
        let at = DATA_AT + 16 * u64::from(guest);
        rig.push(guest, Work::Mark { at, value: 3 });
        rig.push(guest, Work::Mark { at: at + 8, value: 4 });
        rig.run_idle(runlist, guest)?;
        same("the first mark", rig.peek(at), 3)?;
        same("the second mark", rig.peek(at + 8), 4)?;
        same("the engine", rig.hardware().runlist_state(runlist), RunlistState::Empty)?;
        rig.pass(STEP_NS);
        nothing("a second answer", rig.hardware().poll_runlist(runlist))?;
    }
    Ok(())
}

fn a_group_without_work_is_idle_at_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.run_idle(COMPUTE, 0)?;
    // Nor has a group that no channel is bound to.
    rig.run_idle(COMPUTE, 5)
}

fn an_answer_echoes_the_number_even_past_the_last<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    for seq in [0x8000_0000, u32::MAX, 0, 1, 0xdead_beef] {
        rig.hardware().start(COMPUTE, config(0, 0, COMPUTE).tsg, seq);
        let answer = rig.answer(COMPUTE);
        same("answer to `start`", answer, Some(RunlistEvent::Idle { seq }))?;
    }
    Ok(())
}

fn the_engine_holds_the_group_that_runs<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 3, COMPUTE);
    rig.push(3, Work::Endless);
    same("the engine at first", rig.hardware().runlist_state(COMPUTE), RunlistState::Empty)?;
    rig.start(COMPUTE, 3);
    rig.pass(20 * STEP_NS);
    let group = config(0, 3, COMPUTE).tsg;
    let state = rig.hardware().runlist_state(COMPUTE);
    same("the engine", state, RunlistState::Resident(group))?;
    same("the other engine", rig.hardware().runlist_state(COPY), RunlistState::Empty)?;
    nothing("an end of work without end", rig.hardware().poll_runlist(COMPUTE))
}

fn engines_run_side_by_side<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.bind(0, 1, COPY);
    rig.push(0, Work::Endless);
    rig.push(1, Work::Mark { at: DATA_AT, value: 5 });
    rig.start(COMPUTE, 0);
    rig.pass(STEP_NS);
    rig.run_idle(COPY, 1)?;
    same("what the other engine wrote", rig.peek(DATA_AT), 5)
}

fn the_last_requests_are_what_was_written<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    let hardware = rig.hardware();
    hardware.start(COMPUTE, config(0, 0, COMPUTE).tsg, 21);
    hardware.request_preempt(COMPUTE, godwit_types::PreemptMode::Cta, 22);
    hardware.request_reset(COMPUTE, 23);
    let (start, preempt, reset) = hardware.last_requests(COMPUTE);
    same("number of the start request", start, 21)?;
    same("number of the preempt request", preempt, 22)?;
    same("number of the reset request", reset, 23)?;
    let (start, _, _) = hardware.last_requests(COPY);
    same("number of the other runlist's", start, 0)
}

/// Asks for a reset, and drops what else is answered before it.
fn reset<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let seq = rig.hardware().last_requests(COMPUTE).2.wrapping_add(1);
    rig.hardware().request_reset(COMPUTE, seq);
    let answer = rig.answer_within(COMPUTE, PATIENCE_NS);
    same("answer to `request_reset`", answer, Some(RunlistEvent::Reset { seq }))
}

fn a_reset_empties_the_engine<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, Work::Endless);
    rig.start(COMPUTE, 0);
    rig.pass(20 * STEP_NS);
    reset(rig)?;
    same("the engine", rig.hardware().runlist_state(COMPUTE), RunlistState::Empty)?;
    rig.pass(20 * STEP_NS);
    nothing("an answer of what was on it", rig.hardware().poll_runlist(COMPUTE))
}

fn an_empty_engine_answers_a_reset<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for _ in 0..2 {
        reset(rig)?;
    }
    same("the engine", rig.hardware().runlist_state(COMPUTE), RunlistState::Empty)
}

fn work_goes_on_after_a_reset<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.bind(0, 1, COMPUTE);
    rig.push(0, Work::Endless);
    rig.start(COMPUTE, 0);
    rig.pass(20 * STEP_NS);
    reset(rig)?;
    rig.push(1, Work::Mark { at: DATA_AT, value: 6 });
    rig.run_idle(COMPUTE, 1)?;
    same("what another group wrote then", rig.peek(DATA_AT), 6)?;
    let bound = rig.hardware().read_channel(super::rig::channel(0, 0)).is_some();
    holds("the slot that was reset is still bound", bound)
}
