//! Preemption, in each mode and in bad times.

use super::rig::{DATA_AT, PATIENCE_NS, Rig, STEP_NS};
use super::verdict::{Verdict, holds, needs, nothing, same};
use super::{Bench, Trouble, Work, rules};
use godwit_hal::Runlists;
use godwit_types::{PreemptMode, RunlistEvent, RunlistId, RunlistState};

rules!("preempt":
    an_empty_engine_answers_in_each_mode,
    wfi_waits_for_all_of_the_entry,
    cta_waits_for_the_blocks_in_flight,
    instruction_does_not_wait,
    what_was_preempted_goes_on_where_it_was,
    a_newer_request_takes_the_place_of_an_older,
    work_that_ends_meanwhile_answers_both,
    an_answer_that_is_late_still_has_its_number,
    an_answer_that_comes_twice_is_taken_once,
    an_engine_that_hangs_is_reset,
);

const COMPUTE: RunlistId = RunlistId::COMPUTE;
pub(super) const BLOCKS: u32 = 8;

/// Asks for a preemption; the number of the request.
fn preempt<B: Bench>(rig: &mut Rig<'_, B>, mode: PreemptMode) -> u32 {
    let hardware = rig.hardware();
    let seq = hardware.last_requests(COMPUTE).1.wrapping_add(1);
    hardware.request_preempt(COMPUTE, mode, seq);
    seq
}

/// A channel whose work is well under way.
pub(super) fn running<B: Bench>(rig: &mut Rig<'_, B>, work: Work) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, work);
    rig.start(COMPUTE, 0);
    rig.pass(8 * STEP_NS);
    Ok(())
}

pub(super) fn blocks() -> Work {
    Work::Blocks { at: DATA_AT, count: BLOCKS }
}

/// How many blocks have ended.
pub(super) fn ended<B: Bench>(rig: &mut Rig<'_, B>) -> u64 {
    (0..u64::from(BLOCKS)).map(|index| u64::from(rig.peek(DATA_AT + 8 * index) != 0)).sum()
}

/// The preempt request is answered with its number, and the engine is empty.
fn lets_go<B: Bench>(rig: &mut Rig<'_, B>, seq: u32) -> Verdict {
    let answer = rig.answer(COMPUTE);
    same("answer to `request_preempt`", answer, Some(RunlistEvent::Preempted { seq }))?;
    same("the engine", rig.hardware().runlist_state(COMPUTE), RunlistState::Empty)
}

fn an_empty_engine_answers_in_each_mode<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for mode in [PreemptMode::Wfi, PreemptMode::Cta, PreemptMode::Instruction] {
        let seq = preempt(rig, mode);
        lets_go(rig, seq)?;
    }
    Ok(())
}

fn wfi_waits_for_all_of_the_entry<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, blocks())?;
    rig.push(0, Work::Mark { at: DATA_AT + 0x1000, value: 1 });
    let seq = preempt(rig, PreemptMode::Wfi);
    lets_go(rig, seq)?;
    same("blocks that have ended", ended(rig), u64::from(BLOCKS))?;
    same("the entry behind it", rig.peek(DATA_AT + 0x1000), 0)
}

fn cta_waits_for_the_blocks_in_flight<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, blocks())?;
    let before = ended(rig);
    let seq = preempt(rig, PreemptMode::Cta);
    lets_go(rig, seq)?;
    let after = ended(rig);
    holds("the block in flight has ended", after > before)?;
    holds("blocks that had not begun have not ended", after < u64::from(BLOCKS))
}

fn instruction_does_not_wait<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    let seq = preempt(rig, PreemptMode::Instruction);
    lets_go(rig, seq)
}

fn what_was_preempted_goes_on_where_it_was<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, blocks())?;
    for mode in [PreemptMode::Instruction, PreemptMode::Cta, PreemptMode::Instruction] {
        let seq = preempt(rig, mode);
        lets_go(rig, seq)?;
        let before = ended(rig);
        rig.pass(400 * STEP_NS);
        same("blocks that end while nothing runs", ended(rig), before)?;
        rig.start(COMPUTE, 0);
        rig.pass(4 * STEP_NS);
    }
    let start = rig.hardware().last_requests(COMPUTE).0;
    let answer = rig.answer(COMPUTE);
    same("the end of the work", answer, Some(RunlistEvent::Idle { seq: start }))?;
    same("blocks that have ended", ended(rig), u64::from(BLOCKS))
}

fn a_newer_request_takes_the_place_of_an_older<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    let wfi = preempt(rig, PreemptMode::Wfi);
    let early = rig.answer_within(COMPUTE, 20 * STEP_NS);
    nothing("an answer to WFI of work without end", early)?;
    preempt(rig, PreemptMode::Cta);
    let early = rig.answer_within(COMPUTE, 20 * STEP_NS);
    nothing("an answer to CTA of a block without end", early)?;
    let seq = preempt(rig, PreemptMode::Instruction);
    same("numbers count up", seq, wfi.wrapping_add(2))?;
    lets_go(rig, seq)?;
    rig.pass(20 * STEP_NS);
    nothing("an answer to what was replaced", rig.hardware().poll_runlist(COMPUTE))
}

fn work_that_ends_meanwhile_answers_both<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, Work::Mark { at: DATA_AT, value: 1 });
    let start = rig.start(COMPUTE, 0);
    // The group has long run out of work when the request comes, and nobody has looked.
    rig.bench.pass(100 * STEP_NS);
    let seq = preempt(rig, PreemptMode::Instruction);
    let first = rig.answer(COMPUTE);
    same("the first answer", first, Some(RunlistEvent::Idle { seq: start }))?;
    lets_go(rig, seq)
}

fn an_answer_that_is_late_still_has_its_number<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    const LATE_NS: u64 = PATIENCE_NS / 4;
    running(rig, Work::Endless)?;
    let can = rig.bench.provoke(Trouble::PreemptAnsweredLate(COMPUTE, LATE_NS));
    needs(can, "the bench cannot delay an answer")?;
    let seq = preempt(rig, PreemptMode::Instruction);
    let early = rig.answer_within(COMPUTE, LATE_NS / 2);
    nothing("an answer before its time", early)?;
    same("the engine", rig.hardware().runlist_state(COMPUTE), RunlistState::Empty)?;
    lets_go(rig, seq)
}

fn an_answer_that_comes_twice_is_taken_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    let can = rig.bench.provoke(Trouble::PreemptAnsweredTwice(COMPUTE));
    needs(can, "the bench cannot double an answer")?;
    let seq = preempt(rig, PreemptMode::Instruction);
    lets_go(rig, seq)?;
    let again = rig.answer_within(COMPUTE, 20 * STEP_NS);
    nothing("the answer again", again)
}

fn an_engine_that_hangs_is_reset<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    running(rig, Work::Endless)?;
    let can = rig.bench.provoke(Trouble::EngineHang(COMPUTE));
    needs(can, "the bench cannot hang an engine")?;
    preempt(rig, PreemptMode::Instruction);
    nothing("an answer of an engine that hangs", rig.answer_within(COMPUTE, 100 * STEP_NS))?;
    let seq = rig.hardware().last_requests(COMPUTE).2.wrapping_add(1);
    rig.hardware().request_reset(COMPUTE, seq);
    let answer = rig.answer(COMPUTE);
    same("answer to `request_reset`", answer, Some(RunlistEvent::Reset { seq }))?;
    nothing("another answer", rig.answer_within(COMPUTE, 20 * STEP_NS))
}
