//! Preemption at each boundary.

use super::{CHUNK, COMPUTE, COPY, SOON_NS, compute_rig, copy_rig, preempted};
use crate::compute::program::EXIT;
use crate::harness::{CODE, DATA, Rig, endless_kernel, gfid, launch, sum, sum_kernel, tsg};
use crate::{Costs, Stop};
use godwit_hal::Runlists;
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{PreemptMode, RunlistEvent, RunlistState};

#[test]
fn at_the_instruction_a_preempted_kernel_stands_still_and_goes_on_later() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &sum_kernel(2000));
    rig.push(gfid(1), 0, &launch(CODE, 3, 4));
    rig.start(COMPUTE, 0);
    rig.pass(20_000);
    assert_eq!(rig.firmware.runlist_state(COMPUTE), RunlistState::Resident(tsg(0)));
    let before = rig.gpu.stats(gfid(1)).instructions;
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), preempted(seq));
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, before);
    assert_eq!(rig.gpu.stats(gfid(1)).preemptions, 1);
    assert_eq!(rig.get(0), 0);
    rig.pass(SOON_NS);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, before);
    rig.run_idle(COMPUTE, 0);
    for index in 0..12 {
        assert_eq!(rig.peek_u64(DATA + 8 * index), sum(index, 2000));
    }
}

#[test]
fn at_the_block_the_one_in_flight_is_finished_and_no_other_begun() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &sum_kernel(2000));
    rig.push(gfid(1), 0, &launch(CODE, 3, 2));
    rig.start(COMPUTE, 0);
    rig.pass(20_000); // in the second block
    let seq = rig.preempt(COMPUTE, PreemptMode::Cta);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, 2 * 2 * 8010);
    assert_eq!(rig.get(0), 0);
    for index in 0..6 {
        let expected = if index < 4 { sum(index, 2000) } else { 0 };
        assert_eq!(rig.peek_u64(DATA + 8 * index), expected);
    }
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.peek_u64(DATA + 40), sum(5, 2000));
}

#[test]
fn at_wait_for_idle_the_entry_is_finished_and_no_other_begun() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &sum_kernel(2000));
    rig.push(gfid(1), 0, &launch(CODE, 3, 1));
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(20_000);
    let seq = rig.preempt(COMPUTE, PreemptMode::Wfi);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
    assert_eq!(rig.get(0), 1);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, 3 * 8010);
}

#[test]
fn every_channel_of_a_group_comes_to_the_boundary() {
    for mode in [PreemptMode::Wfi, PreemptMode::Cta] {
        let mut rig = Rig::with_vgpu();
        rig.load_code(gfid(1), CODE, &sum_kernel(2000));
        rig.bind_together(3, COMPUTE);
        for guest in 0..3 {
            rig.push(gfid(1), guest, &launch(CODE, 100, 1));
        }
        rig.start(COMPUTE, 0);
        rig.pass(700_000); // all three are inside a block
        let seq = rig.preempt(COMPUTE, mode);
        assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq }, "{mode:?}");
        let instructions = rig.gpu.stats(gfid(1)).instructions;
        assert_eq!(instructions % 8010, 0, "{mode:?}");
        let done = (0..3).map(|guest| rig.get(guest)).collect::<Vec<_>>();
        let expected = if mode == PreemptMode::Wfi { 1 } else { 0 };
        assert_eq!(done, [expected; 3]);
    }
}

#[test]
fn a_transfer_that_waits_its_turn_ends_at_its_chunk_too() {
    // So slow that two copies take turns.
    let costs = Costs { copied_byte_fs: 1_286_000, ..Costs::default() };
    let mut rig = Rig::with(0, costs);
    rig.add_vgpu(gfid(1), 0);
    rig.bind_together(2, COPY);
    for guest in 0..2 {
        let at = DATA + u64::from(guest) * (1 << 20);
        rig.push(gfid(1), guest, &Entry::Fill { at, byte_count: 1 << 20, value: 1 });
    }
    rig.start(COPY, 0);
    rig.pass(350_000);
    let seq = rig.preempt(COPY, PreemptMode::Cta);
    assert_eq!(rig.answer(COPY), RunlistEvent::Preempted { seq });
    for place in 0..2 {
        let at = DATA + place * (1 << 20);
        let mut filled = vec![0; 1 << 20];
        rig.gpu.partition(gfid(1)).unwrap().read(at, &mut filled).unwrap();
        let count = filled.iter().filter(|byte| **byte == 1).count() as u64;
        assert!(count > 0 && count < 1 << 20 && count.is_multiple_of(CHUNK), "{count:#x}");
    }
    rig.run_idle(COPY, 0);
    assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, 2 << 20);
}

#[test]
fn a_request_for_an_earlier_boundary_lets_drained_channels_go_on() {
    let mut rig = Rig::with_vgpu();
    rig.load_code(gfid(1), CODE, &sum_kernel(2000));
    rig.load_code(gfid(1), CODE + 0x1000, &endless_kernel());
    rig.bind_together(2, COMPUTE);
    rig.push(gfid(1), 0, &launch(CODE, 100, 1));
    rig.push(gfid(1), 1, &launch(CODE + 0x1000, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(450_000); // the first channel's second turn
    rig.preempt(COMPUTE, PreemptMode::Cta);
    rig.pass(SOON_NS); // only the endless one is not at its boundary
    rig.preempt(COMPUTE, PreemptMode::Wfi);
    rig.pass(SOON_NS);
    let [exit, call] = EXIT;
    rig.load_code(gfid(1), CODE + 0x1000, &[exit, exit, call]);
    rig.open_window(gfid(1), 0);
    rig.gpu.bar_write(0, &[0]).unwrap(); // the code was changed behind the device's back
    rig.pass(2_000_000);
    assert_eq!((rig.get(0), rig.get(1)), (1, 1));
}

#[test]
fn an_empty_engine_acknowledges_a_preempt_at_once() {
    let mut rig = compute_rig();
    let now_ns = rig.gpu.now_ns();
    let seq = rig.preempt(COMPUTE, PreemptMode::Wfi);
    assert_eq!(rig.answer_within(COMPUTE, 0), preempted(seq));
    assert_eq!(rig.gpu.now_ns(), now_ns);
}

#[test]
fn a_group_that_goes_idle_under_a_preempt_reports_both() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &sum_kernel(10));
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    let start = rig.start(COMPUTE, 0);
    // The kernel ends at 551 ns; its context is being saved.
    rig.pass(551);
    assert_eq!(rig.get(0), 1);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
    assert_eq!(rig.answer_within(COMPUTE, 0), preempted(seq));
    assert_eq!(rig.gpu.stats(gfid(1)).preemptions, 0);
}

#[test]
fn only_the_newest_preempt_is_acknowledged() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    rig.preempt(COMPUTE, PreemptMode::Wfi);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
    rig.preempt(COMPUTE, PreemptMode::Cta);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), preempted(seq));
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
}

#[test]
fn a_preempt_and_the_next_start_may_be_asked_for_together() {
    let mut rig = compute_rig();
    rig.bind_plain(1, COMPUTE);
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.load_code(gfid(1), CODE + 0x1000, &sum_kernel(5));
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.push(gfid(1), 1, &launch(CODE + 0x1000, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    let preempt = rig.preempt(COMPUTE, PreemptMode::Instruction);
    let start = rig.start(COMPUTE, 1);
    // Idle is looked at first by the driver; both have come by then.
    rig.pass(SOON_NS);
    let answers = [rig.answer(COMPUTE), rig.answer(COMPUTE)];
    assert!(answers.contains(&RunlistEvent::Preempted { seq: preempt }));
    assert!(answers.contains(&RunlistEvent::Idle { seq: start }));
    assert_eq!(rig.peek_u64(DATA), sum(0, 5));
}

#[test]
fn a_channel_that_waits_is_preempted_in_any_mode_and_still_waits_after() {
    for mode in [PreemptMode::Wfi, PreemptMode::Cta, PreemptMode::Instruction] {
        let mut rig = compute_rig();
        rig.push(gfid(1), 0, &Entry::Acquire { at: Address::fb(DATA), value: 7 });
        rig.start(COMPUTE, 0);
        rig.pass(5_000);
        let seq = rig.preempt(COMPUTE, mode);
        assert_eq!(rig.answer_within(COMPUTE, 1_000), preempted(seq));
        // What the ring says now is too late: the entry has begun.
        rig.poke(gfid(1), 0x8_0000 + 512, &[0; 64]);
        let start = rig.start(COMPUTE, 0);
        assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
        rig.poke(gfid(1), DATA, &[7]);
        assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
        assert_eq!(rig.get(0), 1);
    }
}

#[test]
fn a_copy_stops_at_the_boundary_of_the_mode_and_goes_on_there() {
    let total = 1 << 20;
    for mode in [PreemptMode::Wfi, PreemptMode::Cta, PreemptMode::Instruction] {
        let mut rig = copy_rig();
        let bytes: Vec<u8> = (0..total as u32).map(|at| (at / 11) as u8 | 1).collect();
        rig.poke(gfid(1), DATA, &bytes);
        let to = DATA + 0x20_0000;
        rig.push(
            gfid(1),
            0,
            &Entry::Copy { from: Address::fb(DATA), to: Address::fb(to), byte_count: total },
        );
        rig.start(COPY, 0);
        rig.pass(2_000); // half a microsecond of copying
        let seq = rig.preempt(COPY, mode);
        assert_eq!(rig.answer(COPY), RunlistEvent::Preempted { seq });
        let done = rig.gpu.stats(gfid(1)).copied_bytes;
        match mode {
            PreemptMode::Wfi => assert_eq!(done, total),
            PreemptMode::Cta => assert!(done == 6 * CHUNK, "{done}"),
            PreemptMode::Instruction => assert!(!done.is_multiple_of(CHUNK) && done < 6 * CHUNK),
        }
        let mut copied = vec![0; total as usize];
        let partition = rig.gpu.partition(gfid(1)).unwrap();
        partition.read(to, &mut copied).unwrap();
        assert_eq!(copied[..done as usize], bytes[..done as usize]);
        assert!(copied[done as usize..].iter().all(|byte| *byte == 0));
        rig.run_idle(COPY, 0);
        let partition = rig.gpu.partition(gfid(1)).unwrap();
        partition.read(to, &mut copied).unwrap();
        assert_eq!(copied, bytes);
        assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, total);
    }
}

#[test]
fn a_write_from_outside_or_a_preemption_breaks_a_reservation() {
    use crate::compute::program::{EXIT, lr_d, sc_d, sd};
    use ckb_vm::registers::{A0, T0, T1};
    for (interfere, failed) in [(None, 0), (Some(false), 1), (Some(true), 1)] {
        let mut rig = compute_rig();
        rig.open_window(gfid(1), 0);
        let mut code = vec![lr_d(T0, A0), sc_d(T1, T0, A0), sd(T1, 8, A0)];
        code.extend(EXIT);
        rig.load_code(gfid(1), CODE, &code);
        rig.poke(gfid(1), DATA + 8, &[9]);
        rig.push(gfid(1), 0, &launch(CODE, 1, 1));
        rig.gpu.watch(gfid(1), Some(1));
        rig.start(COMPUTE, 0);
        assert_eq!(rig.gpu.advance(SOON_NS), Stop::Watch(gfid(1)));
        match interfere {
            None => {}
            Some(false) => rig.gpu.bar_write(64, &[1]).unwrap(),
            Some(true) => {
                let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
                assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
                rig.start(COMPUTE, 0);
            }
        }
        rig.answer(COMPUTE);
        assert_eq!(rig.peek_u64(DATA + 8), failed, "{interfere:?}");
    }
}
