//! Goal: the way to a vGPU's peers is as the host asked, and nobody waits for it for ever.
//! Method: a device that answers at once, late, or not at all.

mod rig;

use godwit_engine::{Command, Input, Reject};
use rig::{MS, Rig, gfid};

const CLOSE: Command = Command::SetPeer { open: false };
const OPEN: Command = Command::SetPeer { open: true };
const SECOND: u64 = 1_000 * MS;

/// A vGPU that runs on a device that does not answer about peers.
fn silent() -> Rig {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.peers = false;
    rig
}

#[test]
fn a_running_vgpu_s_is_done_when_the_device_says_so() {
    let mut rig = silent();
    let closed = rig.ask(1, CLOSE);
    assert_eq!(rig.ways, [(gfid(1), false)]);
    rig.pass(10 * MS);
    assert_eq!(rig.answer(closed), None);
    assert!(rig.engine.is_running(gfid(1)));
    rig.give(Input::PeersSet(gfid(1)));
    assert_eq!(rig.answer(closed), Some(Ok(())));
    // One that nobody waits for says nothing.
    let told = rig.events.len();
    rig.give(Input::PeersSet(gfid(1)));
    rig.pass(2 * SECOND);
    assert_eq!((rig.events.len(), rig.ways.len()), (told, 1));
}

#[test]
fn a_vgpu_that_stands_still_takes_it_at_once_and_is_started_with_it() {
    let mut rig = silent();
    let stopped = rig.stop(1, MS);
    assert_eq!(rig.answer(stopped), Some(Ok(())));
    rig.must(1, CLOSE);
    rig.must(1, OPEN);
    rig.must(1, CLOSE);
    rig.must(1, Command::Start);
    assert_eq!(rig.ways.last(), Some(&(gfid(1), false)));
    assert_eq!(rig.ways.len(), 3, "the start changes nothing");
}

#[test]
fn a_device_that_is_late_is_asked_for_what_was_before() {
    let mut rig = silent();
    for (wanted, before) in [(CLOSE, true), (OPEN, true)] {
        let asked = rig.ask(1, wanted);
        rig.pass(SECOND - 1);
        assert_eq!(rig.answer(asked), None);
        rig.pass(1);
        assert_eq!(rig.answer(asked), Some(Err(Reject::Deadline)));
        assert_eq!(rig.ways.last(), Some(&(gfid(1), before)));
        assert!(rig.engine.is_running(gfid(1)));
    }
    rig.peers = true;
    rig.must(1, CLOSE);
    rig.peers = false;
    rig.ask(1, OPEN);
    rig.pass(SECOND);
    assert_eq!(rig.ways.last(), Some(&(gfid(1), false)));
}

#[test]
fn one_request_of_a_vgpu_at_a_time_and_others_do_not_wait_for_it() {
    let mut rig = silent();
    rig.busy(2);
    let first = rig.ask(1, CLOSE);
    rig.pass(MS);
    let other = rig.ask(2, CLOSE);
    let second = rig.ask(1, OPEN);
    assert_eq!(rig.answer(second), Some(Err(Reject::WrongPhase)));
    // The earlier deadline does not take the later one along.
    rig.pass(SECOND - MS);
    assert_eq!(rig.answer(first), Some(Err(Reject::Deadline)));
    assert_eq!(rig.answer(other), None);
    rig.give(Input::PeersSet(gfid(2)));
    assert_eq!(rig.answer(other), Some(Ok(())));
}

#[test]
fn a_deadline_of_peers_leaves_a_stop_that_is_under_way_alone() {
    let mut rig = silent();
    let closed = rig.ask(1, CLOSE);
    rig.apertures = false;
    rig.pass(SECOND / 2);
    let stopped = rig.stop(1, SECOND);
    rig.pass(SECOND / 2);
    assert_eq!(rig.answer(closed), Some(Err(Reject::Deadline)));
    assert_eq!(rig.answer(stopped), None);
    rig.apertures = true;
    rig.give(Input::ApertureSet(gfid(1)));
    assert_eq!(rig.answer(stopped), Some(Ok(())));
}

#[test]
fn a_release_answers_who_waits_and_leaves_the_way_open() {
    let mut rig = silent();
    let closed = rig.ask(1, CLOSE);
    rig.must(1, Command::Release);
    assert_eq!(rig.answer(closed), Some(Err(Reject::WrongPhase)));
    assert_eq!(rig.ways, [(gfid(1), false), (gfid(1), true)]);
    let absent = rig.ask(1, CLOSE);
    assert_eq!(rig.answer(absent), Some(Err(Reject::NoSuchVgpu)));
    // One that was never closed is not opened.
    rig.create(2);
    rig.must(2, Command::Release);
    assert_eq!(rig.ways.len(), 2);
}

#[test]
fn one_that_is_being_made_or_has_failed_has_none() {
    let mut rig = Rig::new();
    rig.partitions = false;
    rig.create(1);
    let early = rig.ask(1, CLOSE);
    assert_eq!(rig.answer(early), Some(Err(Reject::WrongPhase)));
    rig.pass(SECOND);
    let failed = rig.ask(1, CLOSE);
    assert_eq!(rig.answer(failed), Some(Err(Reject::WrongPhase)));
    assert_eq!(rig.ways, []);
}
