//! Resets, and faults on demand.

use super::{COMPUTE, SOON_NS, compute_rig, preempted};
use crate::harness::{CODE, DATA, Rig, channel, endless_kernel, gfid, launch, sum, sum_kernel};
use crate::{Costs, Fault, Stop};
use godwit_hal::{Channels, Runlists};
use godwit_mmio::Words;
use godwit_regs::bits::ChannelStatus;
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{ChannelFault, PreemptMode, RunlistEvent, RunlistState};

#[test]
fn a_reset_faults_the_channel_that_executes_and_saves_the_rest() {
    let mut rig = Rig::with_vgpu();
    rig.bind_together(2, COMPUTE);
    rig.load_code(gfid(1), CODE, &sum_kernel(1000));
    rig.load_code(gfid(1), CODE + 0x1000, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 100, 1));
    rig.push(gfid(1), 1, &launch(CODE + 0x1000, 1, 1));
    rig.push(gfid(1), 1, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(300_000); // the second channel's turn
    let before = rig.gpu.stats(gfid(1)).instructions;
    let asked_ns = rig.gpu.now_ns();
    let seq = rig.reset(COMPUTE);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
    let reset_ns = Costs::default().engine_reset_ns;
    assert_eq!(rig.gpu.now_ns() - asked_ns, reset_ns);
    assert_eq!(rig.firmware.poll_fault(), Some((channel(1), ChannelFault::EngineReset)));
    assert_eq!(rig.firmware.poll_fault(), None);
    assert_eq!(rig.gpu.stats(gfid(1)).resets, 1);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, before);

    let status = rig.words.read(godwit_regs::map::channel::status(channel(0)));
    assert_eq!(status, (ChannelStatus::ENABLE | ChannelStatus::BUSY).bits());

    // The first goes on where it was; the second stands still.
    rig.run_idle(COMPUTE, 0);
    assert_eq!((rig.get(0), rig.get(1)), (1, 0));
    assert_eq!(rig.peek_u64(DATA + 8 * 99), sum(99, 1000));
    let own = rig.gpu.stats(gfid(1)).instructions;

    // Bound anew it goes on after the entry that was at fault.
    rig.bind_together(2, COMPUTE);
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.get(1), 2);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, own + 4010);
}

#[test]
fn a_reset_is_time_of_the_vgpu_whose_group_it_ends() {
    let reset_ns = 77_777;
    let costs = Costs { engine_reset_ns: reset_ns, ..Costs::default() };
    for asked_twice in [false, true] {
        let mut rig = Rig::with(0, costs);
        rig.add_vgpu(gfid(1), 0);
        rig.bind_plain(0, COMPUTE);
        rig.load_code(gfid(1), CODE, &endless_kernel());
        rig.push(gfid(1), 0, &launch(CODE, 1, 1));
        rig.start(COMPUTE, 0);
        rig.pass(10_000);
        let mut seq = rig.reset(COMPUTE);
        rig.pass(500);
        if asked_twice {
            seq = rig.reset(COMPUTE);
        }
        assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
        assert_eq!(rig.gpu.now_ns(), 10_000 + reset_ns, "a second request begins no new one");
        assert_eq!(rig.gpu.stats(gfid(1)).compute_busy_ns, 10_000 + reset_ns);

        // An engine that holds nothing takes as long, and it is nobody's time.
        let seq = rig.reset(COMPUTE);
        assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
        assert_eq!(rig.gpu.now_ns(), 10_000 + 2 * reset_ns);
        assert_eq!(rig.gpu.stats(gfid(1)).compute_busy_ns, 10_000 + reset_ns);
        assert_eq!(rig.gpu.stats(gfid(1)).resets, 1);
    }
}

#[test]
fn a_slot_that_is_bound_anew_during_a_reset_has_no_part_in_it() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    let seq = rig.reset(COMPUTE);
    rig.pass(500_000);
    rig.bind_plain(0, COMPUTE);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
    assert_eq!(rig.firmware.poll_fault(), None);
    // Neither a fault nor a context: it begins where its buffer says, with nothing done.
    let before = rig.gpu.stats(gfid(1)).instructions;
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    assert!(rig.gpu.stats(gfid(1)).instructions > before);
}

#[test]
fn a_reset_of_a_group_that_only_waits_faults_nobody() {
    let mut rig = compute_rig();
    rig.push(gfid(1), 0, &Entry::Acquire { at: Address::fb(DATA), value: 1 });
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    let seq = rig.reset(COMPUTE);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
    assert_eq!(rig.firmware.poll_fault(), None);
    rig.poke(gfid(1), DATA, &[1]);
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.get(0), 1);
}

#[test]
fn what_is_asked_of_an_engine_that_resets_waits_for_its_end() {
    let mut rig = compute_rig();
    rig.push(gfid(1), 0, &Entry::Release { at: Address::fb(DATA), value: 1 });
    let reset = rig.reset(COMPUTE);
    rig.gpu.service();
    rig.preempt(COMPUTE, PreemptMode::Wfi);
    rig.gpu.service();
    let preempt = rig.preempt(COMPUTE, PreemptMode::Cta);
    let start = rig.start(COMPUTE, 0);
    assert_eq!(rig.answer_within(COMPUTE, 999_999), None);
    rig.pass(SOON_NS);
    let answers = [0; 3].map(|_| rig.answer(COMPUTE));
    for answer in [
        RunlistEvent::Reset { seq: reset },
        RunlistEvent::Preempted { seq: preempt },
        RunlistEvent::Idle { seq: start },
    ] {
        assert!(answers.contains(&answer), "{answer:?}");
    }
    assert_eq!(rig.peek_u64(DATA), 1);
}

#[test]
fn a_lost_acknowledge_leaves_the_engine_empty_and_the_next_one_comes() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &sum_kernel(2000));
    rig.push(gfid(1), 0, &launch(CODE, 3, 1));
    rig.start(COMPUTE, 0);
    rig.pass(5_000);
    rig.gpu.inject(Fault::AckLost(COMPUTE));
    rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
    assert_eq!(rig.gpu.pending_faults(), []);
    assert_eq!(rig.firmware.runlist_state(COMPUTE), RunlistState::Empty);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, 0), preempted(seq));
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.peek_u64(DATA), sum(0, 2000));
}

#[test]
fn a_late_acknowledge_comes_late_unless_a_newer_request_overtakes_it() {
    let late_ns = 50_000;
    for overtaken in [false, true] {
        let mut rig = compute_rig();
        rig.gpu.inject(Fault::AckLate(COMPUTE, late_ns));
        let seq = rig.preempt(COMPUTE, PreemptMode::Wfi);
        assert_eq!(rig.answer_within(COMPUTE, late_ns - 1), None);
        assert_eq!(rig.gpu.next_event_ns(), Some(rig.gpu.now_ns() + 1));
        if overtaken {
            let newer = rig.preempt(COMPUTE, PreemptMode::Cta);
            assert_eq!(rig.answer_within(COMPUTE, 0), preempted(newer));
            assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
        } else {
            assert_eq!(rig.answer_within(COMPUTE, 1), preempted(seq));
        }
    }
}

#[test]
fn a_doubled_acknowledge_interrupts_twice_with_one_number() {
    let mut rig = compute_rig();
    rig.gpu.inject(Fault::AckDoubled(COMPUTE));
    let seq = rig.preempt(COMPUTE, PreemptMode::Wfi);
    assert_eq!(rig.answer_within(COMPUTE, 0), preempted(seq));
    rig.drain_stops();
    assert_eq!(rig.gpu.advance(rig.gpu.now_ns() + SOON_NS), Stop::Raised);
    assert!(godwit_hal::Interrupts::collect(&mut rig.firmware));
    assert_eq!(rig.firmware.poll_runlist(COMPUTE), None);
}

#[test]
fn a_wrong_acknowledge_bears_a_number_that_was_not_asked_with() {
    let mut rig = compute_rig();
    rig.gpu.inject(Fault::AckWrong(COMPUTE));
    let seq = rig.preempt(COMPUTE, PreemptMode::Wfi);
    let answer = rig.answer_within(COMPUTE, SOON_NS);
    assert!(answer.is_some() && answer != preempted(seq), "{answer:?}");
}

#[test]
fn a_hang_ignores_every_mode_until_the_engine_is_reset() {
    let mut rig = Rig::with_vgpu();
    rig.bind_together(2, COMPUTE);
    rig.load_code(gfid(1), CODE, &sum_kernel(1000));
    rig.push(gfid(1), 0, &launch(CODE, 60, 1));
    rig.push(gfid(1), 1, &launch(CODE, 60, 1));
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    rig.gpu.inject(Fault::EngineHang(COMPUTE));
    for mode in [PreemptMode::Wfi, PreemptMode::Cta, PreemptMode::Instruction] {
        rig.preempt(COMPUTE, mode);
        assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None, "{mode:?}");
    }
    // Its kernel has ended meanwhile, and still it holds the engine.
    assert_eq!(rig.gpu.pending_faults(), []);
    assert_eq!((rig.get(0), rig.get(1)), (1, 0));
    assert_eq!(rig.gpu.next_event_ns(), None);
    let seq = rig.reset(COMPUTE);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
    assert_eq!(rig.firmware.poll_fault(), Some((channel(0), ChannelFault::EngineReset)));
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.get(1), 1);
}
