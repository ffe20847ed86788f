//! A vGPU's way to its peers, closed and opened.

use super::dma::{PEER, bus, copy, fb, pattern, peer_rig};
use super::{CHUNK, COPY, SOON_NS};
use crate::harness::{DATA, Rig, channel, gfid};
use crate::{Costs, Fault};
use godwit_hal::{Channels, Interrupts, Routes};
use godwit_mmio::Words;
use godwit_regs::bits::ChannelStatus;
use godwit_regs::fifo::Entry;
use godwit_types::{PreemptMode, RunlistEvent};

/// Asks, and lets no time pass.
fn ask(rig: &mut Rig, open: bool) {
    rig.firmware.set_peers(gfid(1), open);
    rig.gpu.service();
    rig.firmware.collect();
}

fn set(rig: &mut Rig, open: bool) {
    ask(rig, open);
    assert_eq!(rig.firmware.poll_peers(), Some(gfid(1)));
    assert_eq!(rig.firmware.poll_peers(), None);
}

fn status(rig: &Rig, guest: u16) -> ChannelStatus {
    let word = rig.words.read(godwit_regs::map::channel::status(channel(guest)));
    ChannelStatus::from_bits_retain(word)
}

#[test]
fn work_that_goes_to_a_peer_stands_and_the_group_s_other_channels_go_on() {
    for entry in [
        copy(fb(DATA), bus(PEER + 64), 8),
        copy(bus(PEER), fb(DATA), 8),
        Entry::Release { at: bus(PEER), value: 1 },
        Entry::Acquire { at: bus(PEER), value: 0 },
    ] {
        let mut rig = peer_rig();
        rig.bind_together(2, COPY);
        set(&mut rig, false);
        rig.push(gfid(1), 0, &entry);
        rig.push(gfid(1), 0, &Entry::Release { at: fb(DATA + 8), value: 2 });
        rig.push(gfid(1), 1, &Entry::Release { at: fb(DATA + 16), value: 3 });
        let seq = rig.start(COPY, 0);
        assert_eq!(rig.answer_within(COPY, SOON_NS), None);
        assert_eq!((rig.peek_u64(DATA + 8), rig.peek_u64(DATA + 16)), (0, 3), "{entry:?}");
        assert!(status(&rig, 0).contains(ChannelStatus::ACQUIRE_FAIL));
        assert_eq!(rig.get(0), 0);
        set(&mut rig, true);
        assert_eq!(rig.answer(COPY), RunlistEvent::Idle { seq });
        assert_eq!(rig.peek_u64(DATA + 8), 2);
        assert_eq!(status(&rig, 0), ChannelStatus::ENABLE);
        assert_eq!(rig.firmware.channel_fault(channel(0)), None);
    }
}

/// A long copy to the peer that has run for some time; how many of its bytes are there.
fn copying(rig: &mut Rig, total: u64) -> Vec<u8> {
    let bytes = pattern(total);
    rig.poke(gfid(1), DATA, &bytes);
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(PEER), total));
    rig.start(COPY, 0);
    rig.pass(9_000);
    bytes
}

fn at_peer(rig: &Rig, total: u64) -> Vec<u8> {
    let mut found = vec![0; total as usize];
    rig.gpu.partition(gfid(2)).unwrap().read(0, &mut found).unwrap();
    found
}

#[test]
fn a_copy_under_way_ends_at_a_boundary_and_only_then_comes_the_answer() {
    let mut rig = peer_rig();
    let total = 1 << 19;
    let bytes = copying(&mut rig, total);
    let begun = rig.gpu.stats(gfid(1)).copied_bytes;
    assert!(!begun.is_multiple_of(CHUNK) && begun < total - CHUNK, "{begun}");
    ask(&mut rig, false);
    assert_eq!(rig.firmware.poll_peers(), None, "it is in the middle of a piece");
    let left = begun.next_multiple_of(CHUNK) - begun;
    rig.pass(Costs::default().staged_ns(left) - 1);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_peers(), None);
    rig.pass(1);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_peers(), Some(gfid(1)));
    let done = rig.gpu.stats(gfid(1)).copied_bytes;
    assert_eq!(done, begun.next_multiple_of(CHUNK));
    rig.pass(1_000_000);
    let found = at_peer(&rig, total);
    let (there, rest) = found.split_at(done as usize);
    assert!(there == &bytes[..done as usize] && rest.iter().all(|byte| *byte == 0));
    set(&mut rig, true);
    rig.answer(COPY);
    assert!(at_peer(&rig, total) == bytes);
    assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, total);
}

#[test]
fn a_group_that_stands_for_a_peer_lets_go_in_every_mode_and_reaches_nothing_more() {
    for mode in [PreemptMode::Wfi, PreemptMode::Cta, PreemptMode::Instruction] {
        for wait_ns in [0, 50_000] {
            let mut rig = peer_rig();
            let total = 1 << 19;
            let bytes = copying(&mut rig, total);
            ask(&mut rig, false);
            rig.pass(wait_ns);
            let seq = rig.preempt(COPY, mode);
            assert_eq!(rig.answer(COPY), RunlistEvent::Preempted { seq }, "{mode:?}");
            rig.firmware.collect();
            assert_eq!(rig.firmware.poll_peers(), Some(gfid(1)));
            let done = rig.gpu.stats(gfid(1)).copied_bytes;
            assert!(done < total);
            let amid = mode == PreemptMode::Instruction && wait_ns == 0;
            assert_eq!(done.is_multiple_of(CHUNK), !amid, "{mode:?} {wait_ns} {done}");
            // It is started again, and stands again.
            rig.start(COPY, 0);
            assert_eq!(rig.answer_within(COPY, SOON_NS), None);
            assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, done);
            set(&mut rig, true);
            rig.answer(COPY);
            assert!(at_peer(&rig, total) == bytes, "{mode:?} {wait_ns}");
        }
    }
}

#[test]
fn who_reaches_no_peer_and_other_vgpus_are_not_held() {
    let mut rig = peer_rig();
    set(&mut rig, false);
    let total = 1 << 20;
    rig.push(gfid(1), 0, &copy(fb(DATA), fb(DATA + (2 << 20)), total));
    rig.run_idle(COPY, 0);
    assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, total);
    assert!(rig.firmware.are_peers_open(gfid(2)) && !rig.firmware.are_peers_open(gfid(1)));
}

#[test]
fn an_answer_that_is_stuck_comes_late_and_a_newer_request_is_what_counts() {
    let mut rig = peer_rig();
    rig.gpu.inject(Fault::PeersStuckNs(5_000));
    ask(&mut rig, false);
    rig.pass(4_999);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_peers(), None);
    rig.pass(1);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_peers(), Some(gfid(1)));
    rig.gpu.inject(Fault::PeersStuckNs(5_000));
    ask(&mut rig, true);
    set(&mut rig, false);
    rig.pass(10_000);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_peers(), None, "the older request is answered by nobody");
}
