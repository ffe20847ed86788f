//! Goal: nothing that does not answer holds the engine up.
//! Method: a device that keeps silent in one respect at a time.

mod rig;

use godwit_engine::{Command, Event, Failure, Input, Reject, StopMode};
use godwit_types::{ChannelFault, PreemptMode, RunlistEvent, RunlistId, SlotId};
use rig::{Ack, MS, Rig, channel, gfid};

const SECOND: u64 = 1_000 * MS;

#[test]
fn a_partition_that_is_not_set_is_refused_and_can_be_released() {
    let mut rig = Rig::new();
    rig.partitions = false;
    let created = rig.create(1);
    rig.pass(SECOND - 1);
    assert_eq!(rig.answer(created), None);
    rig.pass(1);
    assert_eq!(rig.answer(created), Some(Err(Reject::Deadline)));
    rig.partitions = true;
    rig.must(1, Command::Release);
    let again = rig.create(1);
    assert_eq!(rig.answer(again), Some(Ok(())));
}

#[test]
fn a_start_that_is_not_bound_is_refused_and_can_be_asked_again() {
    let mut rig = Rig::new();
    rig.create(1);
    rig.apertures = false;
    let started = rig.ask(1, Command::Start);
    rig.pass(SECOND);
    assert_eq!(rig.answer(started), Some(Err(Reject::Deadline)));
    assert!(!rig.engine.is_running(gfid(1)));
    rig.apertures = true;
    rig.must(1, Command::Start);
    assert!(rig.engine.is_running(gfid(1)));
}

#[test]
fn a_stop_whose_aperture_stays_busy_is_refused_whatever_its_mode() {
    for mode in [StopMode::Pinned(PreemptMode::Instruction), StopMode::Escalate] {
        let mut rig = Rig::new();
        rig.busy(1);
        rig.apertures = false;
        let stopped = rig.ask(1, Command::Stop { mode, timeout_ns: MS });
        // To the deadline, and as long for the aperture to be opened again.
        rig.pass(2 * SECOND);
        assert_eq!(rig.answer(stopped), Some(Err(Reject::Deadline)), "{mode:?}");
        assert!(rig.engine.is_running(gfid(1)));
        assert_eq!(rig.engine.counters().resets, 0);
    }
}

#[test]
fn a_release_that_is_late_goes_on_and_is_told_to_who_asks_again() {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.apertures = false;
    let first = rig.ask(1, Command::Release);
    let twice = rig.ask(1, Command::Release);
    assert_eq!(rig.answer(twice), Some(Err(Reject::WrongPhase)));
    rig.pass(SECOND);
    assert_eq!(rig.answer(first), Some(Err(Reject::Deadline)));
    let taken = rig.create(1);
    assert_eq!(rig.answer(taken), Some(Err(Reject::VgpuExists)));
    let second = rig.ask(1, Command::Release);
    rig.apertures = true;
    rig.give(Input::ApertureSet(gfid(1)));
    assert_eq!(rig.answer(second), Some(Ok(())));
}

#[test]
fn a_copy_ring_that_is_silent_ends_a_save_and_no_more() {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.copies = false;
    rig.must(1, Command::SaveBegin);
    rig.must(1, Command::Credit { slot: SlotId::new(3).unwrap() });
    rig.pass(10 * SECOND);
    assert!(rig.is_told(Event::Failed { gfid: gfid(1), why: Failure::Late }));
    let ended = rig.ask(1, Command::SaveEnd);
    rig.pass(10 * SECOND);
    assert_eq!(rig.answer(ended), Some(Err(Reject::Deadline)));
    assert!(rig.engine.is_running(gfid(1)));
    // It answers after all, and the end comes by itself: slot scrubbed, log stopped.
    rig.copies = true;
    rig.answer_copy();
    assert!(rig.is_told(Event::Free { slot: SlotId::new(3).unwrap() }));
    rig.must(1, Command::SaveBegin);
}

#[test]
fn a_copy_ring_that_is_silent_holds_a_release_up_and_nobody_gets_the_memory() {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.copies = false;
    let released = rig.ask(1, Command::Release);
    rig.pass(10 * SECOND);
    assert_eq!(rig.answer(released), Some(Err(Reject::Deadline)));
    let again = rig.ask(1, Command::Release);
    rig.copies = true;
    while !rig.waiting.is_empty() {
        rig.answer_copy();
    }
    assert_eq!(rig.answer(again), Some(Ok(())));
}

#[test]
fn as_many_stops_as_there_are_vgpus_may_be_late_at_once() {
    let mut rig = Rig::new();
    for raw in 1..=32 {
        rig.busy(raw);
    }
    rig.apertures = false;
    let stops: Vec<u32> = (1..=32).map(|raw| rig.stop(raw, 50 * MS)).collect();
    rig.pass(3 * SECOND);
    for id in stops {
        assert_eq!(rig.answer(id), Some(Err(Reject::Deadline)));
    }
}

/// Two vGPUs with work on one engine, whose first slice is over.
fn contended(ack: Ack) -> Rig {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.busy(2);
    rig.runlist(RunlistId::COMPUTE).ack = ack;
    rig.pass(2 * MS);
    rig
}

#[test]
fn a_lost_acknowledge_costs_no_channel() {
    let mut rig = contended(Ack::Lost);
    let before = rig.runlist(RunlistId::COMPUTE).run_seq;
    rig.pass(MS);
    assert_eq!(rig.engine.counters().lost_acks, 1);
    assert_eq!(rig.engine.counters().resets, 0);
    assert_eq!(rig.runlist(RunlistId::COMPUTE).run_seq, before + 1);
}

#[test]
fn a_late_acknowledge_a_doubled_and_a_wrong_one_are_told_apart() {
    let mut rig = contended(Ack::Hangs);
    let (_, seq) = rig.runlist(RunlistId::COMPUTE).asked.unwrap();
    let answer = |seq| Input::Runlist(RunlistId::COMPUTE, RunlistEvent::Preempted { seq });
    let before = rig.runlist(RunlistId::COMPUTE).run_seq;
    // Of a number that nobody asked with.
    rig.give(answer(seq + 7));
    assert_eq!(rig.engine.counters().stale_acks, 1);
    assert_eq!(rig.runlist(RunlistId::COMPUTE).run_seq, before);
    // Just in time, and once more.
    rig.pass(MS - 1);
    rig.runlist(RunlistId::COMPUTE).ack = Ack::Given;
    rig.give(answer(seq));
    assert_eq!(rig.runlist(RunlistId::COMPUTE).run_seq, before + 1);
    rig.give(answer(seq));
    assert_eq!(rig.engine.counters().stale_acks, 2);
    assert_eq!(rig.engine.counters().resets, 0);
    assert_eq!(rig.runlist(RunlistId::COMPUTE).run_seq, before + 1);
}

#[test]
fn an_engine_that_hangs_is_reset_and_its_neighbour_runs() {
    let mut rig = contended(Ack::Hangs);
    rig.pass(MS);
    assert_eq!(rig.engine.counters().resets, 1);
    assert!(rig.engine.is_running(gfid(1)) && rig.engine.is_running(gfid(2)));
    assert!(rig.runlist(RunlistId::COMPUTE).on.is_some());
}

#[test]
fn an_engine_that_not_even_a_reset_empties_is_lost_with_its_channels_only() {
    let mut rig = contended(Ack::Dead);
    rig.pass(40 * MS);
    assert!(rig.is_told(Event::EngineLost(RunlistId::COMPUTE)));
    let fault = ChannelFault::EngineReset;
    assert!(rig.is_told(Event::ChannelFault { gfid: gfid(1), channel: channel(0), fault }));
    assert!(!rig.is_told(Event::ChannelFault { gfid: gfid(2), channel: channel(0), fault }));
    // Nobody can say that the vGPU on it stands still.
    let stop = Command::Stop { mode: StopMode::Escalate, timeout_ns: 0 };
    let stopped = rig.ask(1, stop);
    rig.pass(SECOND);
    assert_eq!(rig.answer(stopped), Some(Err(Reject::Deadline)));
    let released = rig.ask(1, Command::Release);
    rig.pass(10 * SECOND);
    assert_eq!(rig.answer(released), Some(Err(Reject::Deadline)));
    rig.must(2, stop);
}
