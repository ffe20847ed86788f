//! A vGPU's way to its peers.

use super::rig::{DATA_AT, Rig, STEP_NS, gfid};
use super::verdict::{Verdict, holds, needs, nothing, same};
use super::{Bench, Work, rules};
use godwit_hal::{Interrupts, Routes};
use godwit_types::{BarMode, RunlistEvent, RunlistId};

rules!("peers":
    the_way_is_open_at_first,
    work_for_a_peer_waits_while_the_way_is_closed,
    other_channels_go_on_while_it_is_closed,
    an_access_under_way_ends_before_closing_is_answered,
    each_vgpu_has_a_way_of_its_own,
    the_last_request_counts_and_is_answered_once,
    what_was_asked_for_outlives_the_driver,
    requests_of_the_driver_before_are_answered_to_nobody,
);

const COPY: RunlistId = RunlistId::COPY;
/// Where in the peer's aperture work leaves its marks.
const MARK_AT: u64 = 0x100;
/// Where a long copy begins in the partition.
const LONG_AT: u64 = 1 << 20;
/// Bytes of a copy that takes many looks.
const LONG_BYTES: u64 = 512 << 10;

/// The first vGPU with a channel that reaches the second one's aperture.
fn connected<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.vgpu(1)?;
    rig.open(1, BarMode::Direct)?;
    rig.bind(0, 0, COPY);
    rig.bind(0, 1, COPY);
    needs(rig.bench.connect(gfid(0), gfid(1)), "the bench has no peers")
}

/// Asks, and waits for the answer.
fn set<B: Bench>(rig: &mut Rig<'_, B>, index: u16, open: bool) -> Verdict {
    rig.hardware().set_peers(gfid(index), open);
    same("answer to `set_peers`", rig.until(Routes::poll_peers), Some(gfid(index)))
}

/// A u64 of the second vGPU's partition.
fn peek_peer<B: Bench>(rig: &mut Rig<'_, B>, at: u64) -> u64 {
    let mut bytes = [0; 8];
    rig.bench.read(gfid(1), at, &mut bytes);
    u64::from_le_bytes(bytes)
}

fn mark(value: u32) -> Work {
    Work::PeerMark { at: MARK_AT, value }
}

fn the_way_is_open_at_first<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    holds("the way is open", rig.hardware().are_peers_open(gfid(0)))?;
    rig.push(0, mark(7));
    rig.run_idle(COPY, 0)?;
    same("the mark at the peer", peek_peer(rig, MARK_AT), 7)
}

fn work_for_a_peer_waits_while_the_way_is_closed<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    set(rig, 0, false)?;
    rig.push(0, mark(7));
    let seq = rig.start(COPY, 0);
    nothing("the end of work that waits", rig.answer_within(COPY, 40 * STEP_NS))?;
    same("the mark at the peer", peek_peer(rig, MARK_AT), 0)?;
    set(rig, 0, true)?;
    same("its end then", rig.answer(COPY), Some(RunlistEvent::Idle { seq }))?;
    same("the mark at the peer then", peek_peer(rig, MARK_AT), 7)
}

fn other_channels_go_on_while_it_is_closed<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    set(rig, 0, false)?;
    rig.push(1, Work::Mark { at: DATA_AT, value: 9 });
    rig.run_idle(COPY, 1)?;
    same("the mark of the other channel", rig.peek(DATA_AT), 9)
}

fn an_access_under_way_ends_before_closing_is_answered<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    let ones = [1; 64];
    for at in (0..LONG_BYTES).step_by(ones.len()) {
        rig.bench.write(gfid(0), LONG_AT + at, &ones);
    }
    rig.push(0, Work::PeerCopy { from: LONG_AT, at: 0, byte_count: LONG_BYTES });
    let seq = rig.start(COPY, 0);
    rig.pass(STEP_NS);
    set(rig, 0, false)?;
    let there = copied(rig);
    holds("the copy is under way", there > 0 && there < LONG_BYTES)?;
    rig.pass(100 * STEP_NS);
    same("bytes at the peer after the answer", copied(rig), there)?;
    set(rig, 0, true)?;
    same("the end of the copy", rig.answer(COPY), Some(RunlistEvent::Idle { seq }))?;
    same("bytes at the peer then", copied(rig), LONG_BYTES)
}

/// Bytes of the long copy that have come to the peer.
fn copied<B: Bench>(rig: &mut Rig<'_, B>) -> u64 {
    let mut count = 0;
    let mut bytes = [0; 64];
    for at in (0..LONG_BYTES).step_by(bytes.len()) {
        rig.bench.read(gfid(1), at, &mut bytes);
        count += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    count
}

fn each_vgpu_has_a_way_of_its_own<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    set(rig, 1, false)?;
    holds("the way of the other", rig.hardware().are_peers_open(gfid(0)))?;
    rig.push(0, mark(7));
    rig.run_idle(COPY, 0)?;
    same("the mark at the peer", peek_peer(rig, MARK_AT), 7)
}

fn the_last_request_counts_and_is_answered_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    for open in [true, false] {
        rig.hardware().set_peers(gfid(0), open);
    }
    same("the answer", rig.until(Routes::poll_peers), Some(gfid(0)))?;
    rig.pass(STEP_NS);
    nothing("a second answer", rig.hardware().poll_peers())?;
    rig.push(0, mark(7));
    rig.start(COPY, 0);
    nothing("the end of work that waits", rig.answer_within(COPY, 20 * STEP_NS))?;
    same("the mark at the peer", peek_peer(rig, MARK_AT), 0)
}

fn what_was_asked_for_outlives_the_driver<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    set(rig, 0, false)?;
    rig.bench.restart();
    holds("the way that was closed", !rig.hardware().are_peers_open(gfid(0)))?;
    holds("the way of the other", rig.hardware().are_peers_open(gfid(1)))?;
    set(rig, 0, true)?;
    rig.bench.restart();
    holds("the way that was opened", rig.hardware().are_peers_open(gfid(0)))
}

fn requests_of_the_driver_before_are_answered_to_nobody<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    connected(rig)?;
    rig.hardware().set_peers(gfid(0), false);
    rig.bench.restart();
    rig.pass(STEP_NS);
    nothing("an answer", rig.hardware().poll_peers())?;
    rig.hardware().collect();
    set(rig, 0, false)
}
