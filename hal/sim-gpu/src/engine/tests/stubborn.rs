//! Work that goes on after it was asked to let go.

use super::{BARE_CONTEXT, CHUNK, COMPUTE, COPY, SOON_NS, compute_rig, copy_rig, preempted};
use crate::Costs;
use crate::harness::{CODE, DATA, Rig, endless_kernel, gfid, launch};
use godwit_hal::Partitions;
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{PreemptMode, RunlistEvent};

const STUBBORN_NS: u64 = 50_000;

/// Starts a kernel without end of vGPU 1.
fn run_endless(rig: &mut Rig) {
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
}

fn stubborn_rig() -> Rig {
    let mut rig = compute_rig();
    rig.gpu.set_stubborn(gfid(1), STUBBORN_NS);
    run_endless(&mut rig);
    rig
}

#[test]
fn it_goes_on_for_exactly_so_long() {
    let mut rig = stubborn_rig();
    let before = rig.gpu.stats(gfid(1)).instructions;
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, STUBBORN_NS), None);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), preempted(seq));
    assert_eq!(rig.gpu.stats(gfid(1)).instructions - before, STUBBORN_NS);
}

#[test]
fn asked_again_it_lets_go_no_sooner_and_no_later() {
    let mut rig = stubborn_rig();
    let before = rig.gpu.stats(gfid(1)).instructions;
    rig.preempt(COMPUTE, PreemptMode::Wfi);
    assert_eq!(rig.answer_within(COMPUTE, STUBBORN_NS / 2), None);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, STUBBORN_NS / 2), None);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), preempted(seq));
    assert_eq!(rig.gpu.stats(gfid(1)).instructions - before, STUBBORN_NS);
}

#[test]
fn a_copy_goes_on_to_the_first_boundary_after_that_time() {
    let total = 1 << 20;
    let aim = |bytes: u64| bytes.next_multiple_of(CHUNK);
    for mode in [PreemptMode::Cta, PreemptMode::Instruction] {
        let mut rig = copy_rig();
        rig.gpu.set_stubborn(gfid(1), 500);
        rig.push(
            gfid(1),
            0,
            &Entry::Copy {
                from: Address::fb(DATA),
                to: Address::fb(DATA + total),
                byte_count: total,
            },
        );
        rig.start(COPY, 0);
        rig.pass(2_000);
        let seq = rig.preempt(COPY, mode);
        assert_eq!(rig.answer(COPY), RunlistEvent::Preempted { seq });
        let done = rig.gpu.stats(gfid(1)).copied_bytes;
        let costs = Costs::default();
        let begun_ns = costs.context_ns(BARE_CONTEXT) + costs.entry_ns + costs.copy_setup_ns;
        let bytes = costs.guest_copy_bytes(2_500 - begun_ns, false);
        assert!(bytes < total - CHUNK && !bytes.is_multiple_of(CHUNK));
        match mode {
            PreemptMode::Cta => assert_eq!(done, aim(bytes)),
            _ => assert!(done <= bytes && aim(done) == aim(bytes), "{done} of {bytes}"),
        }
    }
}

#[test]
fn a_channel_that_only_waits_is_not_stubborn() {
    let mut rig = compute_rig();
    rig.gpu.set_stubborn(gfid(1), STUBBORN_NS);
    rig.push(gfid(1), 0, &Entry::Acquire { at: Address::fb(DATA), value: 7 });
    rig.start(COMPUTE, 0);
    rig.pass(5_000);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, STUBBORN_NS / 2), preempted(seq));
}

#[test]
fn a_reset_does_not_wait_for_it() {
    let mut rig = stubborn_rig();
    rig.gpu.set_stubborn(gfid(1), u64::MAX);
    rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COMPUTE, 10 * SOON_NS), None);
    let before = rig.gpu.stats(gfid(1)).instructions;
    let asked_ns = rig.gpu.now_ns();
    let seq = rig.reset(COMPUTE);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
    assert_eq!(rig.gpu.now_ns() - asked_ns, Costs::default().engine_reset_ns);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, before);
}

#[test]
fn it_is_a_vgpus_own_until_its_partition_is_taken_away() {
    type Meanwhile = fn(&mut Rig);
    let cases: [(Meanwhile, bool); 4] = [
        (|_| {}, true),
        // As a firmware does that has started anew.
        (|rig| rig.add_vgpu(gfid(1), 0), true),
        (|rig| rig.add_vgpu(gfid(1), 1), false),
        (|rig| rig.firmware.clear_partition(gfid(1)), false),
    ];
    for (index, (meanwhile, stubborn)) in cases.into_iter().enumerate() {
        let mut rig = compute_rig();
        rig.gpu.set_stubborn(gfid(1), STUBBORN_NS);
        meanwhile(&mut rig);
        rig.gpu.service();
        rig.add_vgpu(gfid(1), 0);
        run_endless(&mut rig);
        let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
        let answer = rig.answer_within(COMPUTE, STUBBORN_NS / 2);
        assert_eq!(answer, preempted(seq).filter(|_| !stubborn), "case {index}");
    }
}
