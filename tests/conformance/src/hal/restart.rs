//! A new driver over the same device loses nothing and takes nothing twice.
//!
//! What an earlier driver had acknowledged and not handed out is the exception: a firmware that
//! starts counts every bound channel as rung, and asks the engines what they hold.

use super::rig::{DATA_AT, Rig, STEP_NS, channel, config, gfid, slot};
use super::verdict::{Fact, Verdict, differ, holds, nothing, same};
use super::{Bench, Work, rules};
use godwit_hal::{
    Channels, CopyRing, Interrupts, MESSAGE_BYTES_MAX, MESSAGES_MAX, Mailbox, Retained,
    RetainedSlot, Routes, Runlists, Timer,
};
use godwit_regs::guest::DOORBELL_URGENT;
use godwit_types::{
    CopyOp, CopyRequest, CopyStatus, PreemptMode, RunlistEvent, RunlistId, RunlistState,
};

rules!("restart":
    a_doorbell_before_it_is_handed_out_after_it,
    a_doorbell_that_was_taken_does_not_come_again,
    a_hint_before_it_is_handed_out_after_it,
    a_fault_before_it_is_handed_out_after_it,
    slots_are_bound_as_they_were,
    an_engine_holds_what_it_held,
    requests_count_on_from_the_last,
    answers_to_the_driver_before_are_not_taken_for_ones_own,
    copies_of_the_driver_before_are_answered_to_nobody,
    commands_are_taken_once,
    events_that_wait_are_not_lost,
    pending_vectors_stay,
    interrupts_are_counted_on,
    an_alarm_that_was_taken_does_not_ring_again,
    retained_slots_stay,
    it_can_be_done_again_and_again,
);

const COMPUTE: RunlistId = RunlistId::COMPUTE;

fn a_doorbell_before_it_is_handed_out_after_it<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let id = rig.bind(0, 2, COMPUTE);
    rig.bench.ring(gfid, 2);
    rig.bench.pass(STEP_NS);
    rig.bench.restart();
    same("the doorbell", rig.until(Channels::poll_doorbell), Some(id))
}

fn a_doorbell_that_was_taken_does_not_come_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let id = rig.bind(0, 2, COMPUTE);
    rig.bench.ring(gfid, 2);
    same("the doorbell", rig.until(Channels::poll_doorbell), Some(id))?;
    rig.bench.restart();
    rig.pass(STEP_NS);
    nothing("the doorbell again", rig.hardware().poll_doorbell())?;
    // And one that rings after it is not lost.
    rig.bench.ring(gfid, 2);
    same("the next doorbell", rig.until(Channels::poll_doorbell), Some(id))
}

fn a_hint_before_it_is_handed_out_after_it<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.bind(0, 2, COMPUTE);
    rig.bench.ring(gfid, 2 | DOORBELL_URGENT);
    rig.bench.pass(STEP_NS);
    rig.bench.restart();
    same("the hint", rig.until(Channels::poll_hint), Some(gfid))?;
    rig.bench.restart();
    rig.pass(STEP_NS);
    nothing("the hint again", rig.hardware().poll_hint())
}

fn a_fault_before_it_is_handed_out_after_it<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let id = rig.bind(0, 1, COMPUTE);
    rig.push(1, Work::Faulty);
    rig.start(COMPUTE, 1);
    rig.bench.pass(100 * STEP_NS);
    rig.bench.restart();
    let fault = rig.until(Channels::poll_fault);
    same("the channel that faulted", fault.map(|(id, _)| id), Some(id))?;
    rig.bench.restart();
    rig.pass(STEP_NS);
    nothing("the fault again", rig.hardware().poll_fault().map(|(id, _)| id))?;
    let why = rig.hardware().channel_fault(id);
    same("why it stands still", why, fault.map(|(_, fault)| fault))
}

fn slots_are_bound_as_they_were<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let bound = rig.bind(0, 4, RunlistId::COPY);
    let unbound = rig.bind(0, 5, COMPUTE);
    rig.hardware().unbind_channel(unbound);
    rig.pass(STEP_NS);
    rig.bench.restart();
    let expected = config(0, 4, RunlistId::COPY);
    same("a bound slot", rig.hardware().read_channel(bound), Some(expected))?;
    nothing("an unbound slot", rig.hardware().read_channel(unbound))
}

fn an_engine_holds_what_it_held<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, Work::Endless);
    rig.start(COMPUTE, 0);
    rig.pass(20 * STEP_NS);
    rig.bench.restart();
    let expected = RunlistState::Resident(config(0, 0, COMPUTE).tsg);
    same("the engine", rig.hardware().runlist_state(COMPUTE), expected)?;
    let seq = rig.hardware().last_requests(COMPUTE).1.wrapping_add(1);
    rig.hardware().request_preempt(COMPUTE, PreemptMode::Instruction, seq);
    let answer = rig.answer(COMPUTE);
    same("answer to `request_preempt`", answer, Some(RunlistEvent::Preempted { seq }))
}

fn requests_count_on_from_the_last<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    for value in 1..4 {
        rig.push(0, Work::Mark { at: DATA_AT, value });
        let before = rig.start(COMPUTE, 0);
        let answer = rig.answer(COMPUTE);
        same("answer to `start`", answer, Some(RunlistEvent::Idle { seq: before }))?;
        rig.bench.restart();
        same("the last start request", rig.hardware().last_requests(COMPUTE).0, before)?;
        same("what was written", rig.peek(DATA_AT), u64::from(value))?;
    }
    Ok(())
}

fn answers_to_the_driver_before_are_not_taken_for_ones_own<B: Bench>(
    rig: &mut Rig<'_, B>,
) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    rig.push(0, Work::Mark { at: DATA_AT, value: 1 });
    let before = rig.start(COMPUTE, 0);
    rig.bench.pass(100 * STEP_NS);
    rig.bench.restart();
    // What the engine answered meanwhile may be told or not, but under its own number.
    let old = RunlistEvent::Idle { seq: before };
    let seq = rig.start(COMPUTE, 0);
    loop {
        match rig.answer(COMPUTE) {
            Some(event) if event == old => {}
            other => return same("the answer", other, Some(RunlistEvent::Idle { seq })),
        }
    }
}

fn copies_of_the_driver_before_are_answered_to_nobody<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    for tag in 0xa000..0xa003 {
        let op = CopyOp::FillSlot { slot: slot(1) };
        holds("room", rig.hardware().submit_copy(&CopyRequest { tag, gfid: gfid(0), op }))?;
    }
    rig.bench.pass(STEP_NS);
    rig.bench.restart();
    // Room or not, in time there is some again, and the next answer is the new driver's.
    holds(
        "room in time",
        rig.until(|hardware| (hardware.copy_room() > 0).then_some(())).is_some(),
    )?;
    let op = CopyOp::FillSlot { slot: slot(2) };
    let request = CopyRequest { tag: 0xb000, gfid: gfid(0), op };
    holds("room", rig.hardware().submit_copy(&request))?;
    let done = rig.until(CopyRing::poll_copy);
    let found = done.map_or(Fact::Nothing, |done| Fact::Copy(done.tag, done.status));
    let expected = Fact::Copy(0xb000, CopyStatus::Done);
    if found == expected { Ok(()) } else { Err(differ("the next answer", found, expected)) }
}

fn commands_are_taken_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let mut into = [0; MESSAGE_BYTES_MAX];
    for length in 1..4 {
        holds("room", rig.bench.send(&[7; MESSAGE_BYTES_MAX][..length]))?;
    }
    same("the first command", rig.hardware().receive(&mut into), Some(1))?;
    rig.bench.restart();
    holds("`collect` while commands wait", rig.hardware().collect())?;
    same("the second command", rig.hardware().receive(&mut into), Some(2))?;
    rig.bench.restart();
    same("the third command", rig.hardware().receive(&mut into), Some(3))?;
    nothing("a fourth command", rig.hardware().receive(&mut into))
}

fn events_that_wait_are_not_lost<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let mut into = [0; MESSAGE_BYTES_MAX];
    holds("room", rig.hardware().send(&[1]).is_ok())?;
    rig.bench.restart();
    same("room then", rig.hardware().event_room(), MESSAGES_MAX - 1)?;
    holds("room", rig.hardware().send(&[2, 2]).is_ok())?;
    same("the event of before", rig.bench.receive(&mut into), Some(1))?;
    same("the event of after", rig.bench.receive(&mut into), Some(2))
}

fn pending_vectors_stay<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.hardware().inject_vectors(gfid, 0b10);
    rig.pass(STEP_NS);
    rig.bench.restart();
    same("vectors that are pending", rig.hardware().pending_vectors(gfid), 0b10)?;
    rig.hardware().inject_vectors(gfid, 0b100);
    rig.pass(STEP_NS);
    same("vectors that the host takes", rig.bench.take_vectors(gfid), 0b110)
}

fn interrupts_are_counted_on<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    for count in 1..4 {
        rig.hardware().inject_vectors(gfid, 1);
        rig.pass(STEP_NS);
        rig.bench.restart();
        same("interrupts of the vGPU", rig.hardware().interrupts(gfid), count)?;
    }
    Ok(())
}

fn an_alarm_that_was_taken_does_not_ring_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.hardware().set_alarm(Some(0));
    let rang = |hardware: &mut B::Hardware| hardware.poll_alarm().then_some(());
    holds("the alarm", rig.until(rang).is_some())?;
    rig.bench.restart();
    rig.pass(20 * STEP_NS);
    same("the alarm again", rig.hardware().poll_alarm(), false)?;
    rig.hardware().set_alarm(Some(0));
    holds("the next alarm", rig.until(rang).is_some())
}

fn retained_slots_stay<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.hardware().store(RetainedSlot::A, 0, &[0xaa; 300]);
    rig.hardware().store(RetainedSlot::B, 0, &[0xbb; 300]);
    rig.bench.restart();
    for (slot, byte) in [(RetainedSlot::A, 0xaa), (RetainedSlot::B, 0xbb)] {
        let mut into = [0; 300];
        rig.hardware().load(slot, 0, &mut into);
        holds("its content", into == [byte; 300])?;
    }
    Ok(())
}

fn it_can_be_done_again_and_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    for round in 1..20 {
        rig.bench.restart();
        rig.push(0, Work::Mark { at: DATA_AT, value: round });
        rig.bench.ring(gfid(0), 0);
        let rang = rig.until(Channels::poll_doorbell);
        same("the doorbell", rang, Some(channel(0, 0)))?;
        rig.run_idle(COMPUTE, 0)?;
        rig.copy_ends(0, CopyOp::FillSlot { slot: slot(0) }, CopyStatus::Done)?;
        same("what the work wrote", rig.peek(DATA_AT), u64::from(round))?;
    }
    Ok(())
}
