//! Preemption at a time that was given beforehand.

use super::{BARE_CONTEXT, COMPUTE, SOON_NS, compute_rig, preempted};
use crate::harness::{CODE, DATA, Rig, endless_kernel, gfid, launch};
use crate::{Costs, Stop};
use godwit_hal::Runlists;
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{PreemptMode, RunlistEvent, RunlistState, TsgId};

const INSTRUCTION: PreemptMode = PreemptMode::Instruction;

/// A number that no request of the rig has.
const SEQ: u32 = 0x5000;

fn endless_rig() -> Rig {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig
}

#[test]
fn a_kernel_runs_until_exactly_that_time() {
    let mut rig = endless_rig();
    let costs = Costs::default();
    let begin_ns = costs.context_ns(BARE_CONTEXT) + costs.entry_ns;
    // An odd time, in the middle of a step of the engines.
    let at_ns = begin_ns + 33_333;
    rig.start(COMPUTE, 0);
    rig.firmware.preempt_at(COMPUTE, INSTRUCTION, SEQ, at_ns);
    assert_eq!(rig.answer_within(COMPUTE, at_ns), None);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, 33_333);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), preempted(SEQ));
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, 33_333);
}

#[test]
fn the_time_is_an_event_while_the_group_has_the_engine() {
    let mut rig = endless_rig();
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    rig.firmware.preempt_at(COMPUTE, INSTRUCTION, SEQ, 10_009);
    rig.gpu.service();
    assert_eq!(rig.gpu.next_event_ns(), Some(10_009));
    rig.firmware.preempt_at(COMPUTE, INSTRUCTION, SEQ + 1, 10_007);
    rig.gpu.service();
    assert_eq!(rig.gpu.next_event_ns(), Some(10_007));
}

#[test]
fn no_event_is_left_of_a_group_that_has_left() {
    // One has work, one has no channel, and one has left before it was asked.
    for (group, late) in [(0, false), (5, false), (0, true)] {
        let mut rig = compute_rig();
        rig.push(gfid(1), 0, &Entry::Release { at: Address::fb(DATA), value: 1 });
        let start = rig.start(COMPUTE, group);
        if late {
            rig.pass(SOON_NS);
        }
        rig.firmware.preempt_at(COMPUTE, INSTRUCTION, SEQ, 10 * SOON_NS);
        assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
        rig.gpu.service();
        assert_eq!(rig.gpu.next_event_ns(), None, "group {group}, {late}");
        rig.drain_stops();
        assert_eq!(rig.gpu.advance(20 * SOON_NS), Stop::Reached, "group {group}, {late}");
    }
}

#[test]
fn a_group_that_is_started_next_has_no_part_in_it() {
    let mut rig = endless_rig();
    let empty = rig.start(COMPUTE, 5);
    rig.firmware.preempt_at(COMPUTE, INSTRUCTION, SEQ, SOON_NS);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: empty });
    rig.start(COMPUTE, 0);
    assert_eq!(rig.answer_within(COMPUTE, 2 * SOON_NS), None);
    let group = TsgId::new(0).unwrap();
    assert_eq!(rig.firmware.runlist_state(COMPUTE), RunlistState::Resident(group));
}
