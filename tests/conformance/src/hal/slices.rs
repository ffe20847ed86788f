//! Preemption at a time that is given beforehand: the end of a slice.

use super::preempt::{BLOCKS, blocks, ended, running};
use super::rig::{DATA_AT, Rig, STEP_NS, config};
use super::verdict::{Verdict, holds, nothing, same};
use super::{Bench, Work, rules};
use godwit_hal::{Runlists, Timer};
use godwit_types::{PreemptMode, RunlistEvent, RunlistId, RunlistState};

rules!("preempt at a time":
    work_goes_on_until_the_time_and_then_lets_go,
    it_may_be_asked_for_together_with_the_start,
    wfi_waits_for_the_entry_that_runs_at_the_time,
    cta_waits_for_the_block_that_runs_at_the_time,
    a_time_that_has_passed_preempts_at_once,
    a_later_time_takes_the_place_of_an_earlier,
    an_earlier_time_takes_the_place_of_a_later,
    a_preemption_at_once_takes_the_place_of_a_time,
    a_reset_takes_the_place_of_a_time,
    a_group_that_ends_before_the_time_takes_it_along,
    a_group_without_work_takes_the_time_along,
    a_time_for_a_group_that_has_left_is_void,
);

const COMPUTE: RunlistId = RunlistId::COMPUTE;
const INSTRUCTION: PreemptMode = PreemptMode::Instruction;
const SOON_NS: u64 = 40 * STEP_NS;

/// Asks for a preemption that comes in so much time; when it comes, and the request's number.
fn preempt_in<B: Bench>(rig: &mut Rig<'_, B>, mode: PreemptMode, ns: u64) -> (u64, u32) {
    let hardware = rig.hardware();
    let at_ns = hardware.now_ns() + ns;
    let seq = hardware.last_requests(COMPUTE).1.wrapping_add(1);
    hardware.preempt_at(COMPUTE, mode, seq, at_ns);
    (at_ns, seq)
}

/// Until shortly before this time nothing is answered, and the group of a channel holds the
/// engine.
fn holds_the_engine<B: Bench>(rig: &mut Rig<'_, B>, guest: u16, until_ns: u64) -> Verdict {
    let now_ns = rig.hardware().now_ns();
    let ns = until_ns.saturating_sub(now_ns + 3 * STEP_NS);
    nothing("an answer before the time", rig.answer_within(COMPUTE, ns))?;
    let group = config(0, guest, COMPUTE).tsg;
    let state = rig.hardware().runlist_state(COMPUTE);
    same("the engine before the time", state, RunlistState::Resident(group))
}

/// The request is answered once, with its number, and the engine is empty.
fn lets_go<B: Bench>(rig: &mut Rig<'_, B>, seq: u32) -> Verdict {
    let answer = rig.answer(COMPUTE);
    same("answer to `preempt_at`", answer, Some(RunlistEvent::Preempted { seq }))?;
    same("the engine", rig.hardware().runlist_state(COMPUTE), RunlistState::Empty)?;
    nothing("another answer", rig.answer_within(COMPUTE, 4 * STEP_NS))
}

/// Work that ends at no boundary lets go at this time, and soon.
fn lets_go_at<B: Bench>(rig: &mut Rig<'_, B>, (at_ns, seq): (u64, u32)) -> Verdict {
    holds_the_engine(rig, 0, at_ns)?;
    let answer = rig.answer(COMPUTE);
    same("answer to `preempt_at`", answer, Some(RunlistEvent::Preempted { seq }))?;
    let now_ns = rig.hardware().now_ns();
    holds("the time of the answer", (at_ns..=at_ns + SOON_NS).contains(&now_ns))?;
    same("the engine", rig.hardware().runlist_state(COMPUTE), RunlistState::Empty)?;
    nothing("another answer", rig.answer_within(COMPUTE, 2 * SOON_NS))
}

/// What is started now is not taken off at this time, which was another group's.
fn is_left_alone<B: Bench>(rig: &mut Rig<'_, B>, at_ns: u64) -> Verdict {
    rig.bind(0, 1, COMPUTE);
    rig.push(1, Work::Endless);
    rig.start(COMPUTE, 1);
    rig.pass(8 * STEP_NS);
    holds("the time is still to come", rig.hardware().now_ns() < at_ns)?;
    holds_the_engine(rig, 1, at_ns + SOON_NS)
}

fn work_goes_on_until_the_time_and_then_lets_go<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    let wanted = preempt_in(rig, INSTRUCTION, SOON_NS);
    let last = rig.hardware().last_requests(COMPUTE).1;
    same("number of the last preempt request", last, wanted.1)?;
    lets_go_at(rig, wanted)
}

fn it_may_be_asked_for_together_with_the_start<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, Work::Endless);
    // Again and again, as the slices of a group that never ends.
    for _ in 0..4 {
        rig.start(COMPUTE, 0);
        let wanted = preempt_in(rig, INSTRUCTION, SOON_NS);
        lets_go_at(rig, wanted)?;
    }
    Ok(())
}

fn wfi_waits_for_the_entry_that_runs_at_the_time<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, blocks())?;
    rig.push(0, Work::Mark { at: DATA_AT + 0x1000, value: 1 });
    let (_, seq) = preempt_in(rig, PreemptMode::Wfi, 2 * STEP_NS);
    lets_go(rig, seq)?;
    same("blocks that have ended", ended(rig), u64::from(BLOCKS))?;
    same("the entry behind it", rig.peek(DATA_AT + 0x1000), 0)
}

fn cta_waits_for_the_block_that_runs_at_the_time<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, blocks())?;
    let before = ended(rig);
    let (_, seq) = preempt_in(rig, PreemptMode::Cta, 2 * STEP_NS);
    lets_go(rig, seq)?;
    let after = ended(rig);
    holds("the block in flight has ended", after > before)?;
    holds("blocks that had not begun have not ended", after < u64::from(BLOCKS))
}

fn a_time_that_has_passed_preempts_at_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    for past_ns in [0, 1, SOON_NS, u64::MAX] {
        let hardware = rig.hardware();
        let at_ns = hardware.now_ns().saturating_sub(past_ns);
        let seq = hardware.last_requests(COMPUTE).1.wrapping_add(1);
        hardware.preempt_at(COMPUTE, INSTRUCTION, seq, at_ns);
        let answer = rig.answer_within(COMPUTE, SOON_NS);
        same("answer to `preempt_at`", answer, Some(RunlistEvent::Preempted { seq }))?;
        rig.start(COMPUTE, 0);
        rig.pass(8 * STEP_NS);
    }
    Ok(())
}

fn a_later_time_takes_the_place_of_an_earlier<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    preempt_in(rig, INSTRUCTION, SOON_NS);
    rig.pass(STEP_NS);
    let wanted = preempt_in(rig, INSTRUCTION, 4 * SOON_NS);
    lets_go_at(rig, wanted)
}

fn an_earlier_time_takes_the_place_of_a_later<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    let (later_ns, _) = preempt_in(rig, INSTRUCTION, 6 * SOON_NS);
    rig.pass(STEP_NS);
    let wanted = preempt_in(rig, INSTRUCTION, SOON_NS);
    lets_go_at(rig, wanted)?;
    is_left_alone(rig, later_ns)
}

fn a_preemption_at_once_takes_the_place_of_a_time<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    let (at_ns, seq) = preempt_in(rig, INSTRUCTION, 2 * SOON_NS);
    rig.pass(STEP_NS);
    let seq = seq.wrapping_add(1);
    rig.hardware().request_preempt(COMPUTE, INSTRUCTION, seq);
    let answer = rig.answer_within(COMPUTE, SOON_NS);
    same("answer to `request_preempt`", answer, Some(RunlistEvent::Preempted { seq }))?;
    is_left_alone(rig, at_ns)
}

fn a_reset_takes_the_place_of_a_time<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    // Longer than any reset takes.
    let (at_ns, _) = preempt_in(rig, INSTRUCTION, super::PATIENCE_NS);
    let seq = rig.hardware().last_requests(COMPUTE).2.wrapping_add(1);
    rig.hardware().request_reset(COMPUTE, seq);
    let answer = rig.answer_within(COMPUTE, super::PATIENCE_NS / 2);
    same("answer to `request_reset`", answer, Some(RunlistEvent::Reset { seq }))?;
    is_left_alone(rig, at_ns)
}

/// The group of the first channel runs out of work.
fn ends<B: Bench>(rig: &mut Rig<'_, B>, start: u32) -> Verdict {
    let answer = rig.answer_within(COMPUTE, SOON_NS);
    same("answer to `start`", answer, Some(RunlistEvent::Idle { seq: start }))
}

fn a_group_that_ends_before_the_time_takes_it_along<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, Work::Mark { at: DATA_AT, value: 1 });
    let start = rig.start(COMPUTE, 0);
    let (at_ns, _) = preempt_in(rig, INSTRUCTION, 4 * SOON_NS);
    ends(rig, start)?;
    is_left_alone(rig, at_ns)
}

fn a_group_without_work_takes_the_time_along<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    // No channel is bound to it, so that no context is ever loaded.
    let start = rig.start(COMPUTE, 5);
    let (at_ns, _) = preempt_in(rig, INSTRUCTION, 4 * SOON_NS);
    ends(rig, start)?;
    is_left_alone(rig, at_ns)
}

fn a_time_for_a_group_that_has_left_is_void<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, Work::Mark { at: DATA_AT, value: 1 });
    let start = rig.start(COMPUTE, 0);
    // The group has long run out of work when the request comes, and nobody has looked.
    rig.bench.pass(100 * STEP_NS);
    let (at_ns, _) = preempt_in(rig, INSTRUCTION, 4 * SOON_NS);
    ends(rig, start)?;
    is_left_alone(rig, at_ns)
}
