//! Goal: what happens side by side does not go wrong together.
//! Method: each case is one that a reviewer or a random world has found.

mod rig;

use godwit_engine::{Command, Event, Failure, Reject, StopMode};
use godwit_types::{CopyOp, GuestTsgId, PreemptMode, RingConfig, RunlistId, SlotId, Throttle};
use rig::{MS, PROFILE, Rig, channel, gfid};

const SECOND: u64 = 1_000 * MS;

fn stop(mode: PreemptMode, timeout_ns: u64) -> Command {
    Command::Stop { mode: StopMode::Pinned(mode), timeout_ns }
}

#[test]
fn a_round_of_an_earlier_standstill_does_not_complete_a_save() {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.must(1, stop(PreemptMode::Instruction, 50 * MS));
    rig.must(1, Command::SaveBegin);
    rig.must(1, Command::Credit { slot: SlotId::new(0).unwrap() });
    assert!(rig.is_told(Event::RoundEnd { gfid: gfid(1) }));
    rig.must(1, Command::Start);
    rig.pass(10 * MS);
    rig.must(1, stop(PreemptMode::Instruction, 50 * MS));
    let saved = rig.ask(1, Command::SaveState);
    assert_eq!(rig.answer(saved), Some(Err(Reject::WrongPhase)));
    rig.must(1, Command::SaveRound(Throttle::NONE));
    rig.must(1, Command::Credit { slot: SlotId::new(0).unwrap() });
    rig.must(1, Command::SaveState);
}

#[test]
fn a_group_that_comes_back_with_another_engine_runs_there() {
    let mut rig = Rig::new();
    rig.busy(2);
    // Queued behind it.
    rig.busy(1);
    rig.must(1, Command::CloseChannel { channel: channel(0) });
    assert!(rig.is_told(Event::Closed { gfid: gfid(1), channel: channel(0) }));
    let ring = RingConfig::new(0, 4, PROFILE.fb_bytes).unwrap();
    let (tsg, runlist) = (GuestTsgId::new(0).unwrap(), RunlistId::COPY);
    rig.must(1, Command::OpenChannel { channel: channel(0), tsg, runlist, ring, grace: 0 });
    rig.ring(1);
    rig.pass(10 * MS);
    assert!(rig.runlist(RunlistId::COPY).on.is_some());
    let compute = rig.runlist(RunlistId::COMPUTE).on.map(|tsg| tsg.raw());
    assert_eq!(compute, Some(PROFILE.channel_count));
}

#[test]
fn a_stop_does_not_wait_for_a_group_without_channels() {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.busy(2);
    rig.pass(2 * MS);
    // Its group was taken off between two instructions, and waits for its next slice.
    rig.must(1, Command::CloseChannel { channel: channel(0) });
    rig.must(1, stop(PreemptMode::Wfi, 100 * MS));
}

#[test]
fn whoever_begins_to_wait_for_a_dead_copy_ring_is_told_too() {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.busy(2);
    rig.copies = false;
    rig.must(1, Command::SaveBegin);
    rig.pass(10 * SECOND);
    rig.must(2, Command::SaveBegin);
    rig.pass(10 * SECOND);
    assert!(rig.is_told(Event::Failed { gfid: gfid(2), why: Failure::Late }));
}

#[test]
fn whoever_waits_for_room_in_a_dead_copy_ring_is_told_too() {
    let mut rig = Rig::new();
    for raw in 1..=18 {
        rig.busy(raw);
    }
    rig.copies = false;
    for raw in 1..=16 {
        rig.must(raw, Command::SaveBegin);
    }
    let released = rig.ask(17, Command::Release);
    rig.pass(20 * SECOND);
    assert_eq!(rig.answer(released), Some(Err(Reject::Deadline)));
    let saved = rig.ask(18, Command::SaveBegin);
    assert_eq!(rig.answer(saved), Some(Err(Reject::Deadline)));
}

/// Fills of a release by what they go over.
fn fills(rig: &Rig, raw: u8) -> Vec<CopyOp> {
    let fill = |op: &CopyOp| {
        matches!(op, CopyOp::FillFb { .. } | CopyOp::FillContext { .. } | CopyOp::FillSlot { .. })
    };
    rig.copies_of(gfid(raw)).filter(fill).collect()
}

#[test]
fn a_release_fills_the_whole_partition_every_context_and_every_slot_once() {
    for raw in [1, 3] {
        let mut rig = Rig::new();
        rig.busy(raw);
        let slots = [0, 5].map(|slot| SlotId::new(slot).unwrap());
        rig.must(raw, Command::SaveBegin);
        for slot in slots {
            rig.must(raw, Command::Credit { slot });
        }
        rig.must(raw, Command::Release);
        let context_base = u64::from(raw - 1) << 20;
        let expected = [
            CopyOp::FillFb { at: 0, byte_count: 1 << 20 },
            CopyOp::FillContext { at: context_base, byte_count: 4 * 4096 },
            CopyOp::FillSlot { slot: slots[0] },
            CopyOp::FillSlot { slot: slots[1] },
        ];
        assert_eq!(fills(&rig, raw), expected);
    }
}

#[test]
fn a_release_fills_all_of_a_vgpu_that_has_never_run() {
    let mut rig = Rig::new();
    let made = rig.create(2);
    assert_eq!(rig.answer(made), Some(Ok(())));
    rig.must(2, Command::Release);
    let context = CopyOp::FillContext { at: 1 << 20, byte_count: 4 * 4096 };
    assert_eq!(fills(&rig, 2), [CopyOp::FillFb { at: 0, byte_count: 1 << 20 }, context]);
}

#[test]
fn a_release_whose_fill_fails_can_be_asked_again() {
    let mut rig = Rig::new();
    rig.busy(1);
    rig.copies = false;
    let first = rig.ask(1, Command::Release);
    rig.fail_copy();
    assert_eq!(rig.answer(first), Some(Err(Reject::Deadline)));
    rig.copies = true;
    let second = rig.ask(1, Command::Release);
    while !rig.waiting.is_empty() {
        rig.answer_copy();
    }
    assert_eq!(rig.answer(second), Some(Ok(())));
}

#[test]
fn a_slot_that_cannot_be_scrubbed_is_nobodys_any_more() {
    let mut rig = Rig::new();
    rig.busy(1);
    let slot = SlotId::new(0).unwrap();
    rig.must(1, Command::SaveBegin);
    rig.must(1, Command::Credit { slot });
    rig.copies = false;
    let ended = rig.ask(1, Command::SaveEnd);
    for _ in 0..8 {
        rig.fail_copy();
    }
    rig.answer_copy();
    assert_eq!(rig.answer(ended), Some(Ok(())));
    rig.copies = true;
    rig.must(1, Command::SaveBegin);
    let lent = rig.ask(1, Command::Credit { slot });
    assert_eq!(rig.answer(lent), Some(Err(Reject::SlotInUse)));
    assert!(!rig.is_told(Event::Free { slot }));
}
