//! What is told of the stays of groups on engines.

use super::{BARE_CONTEXT, COMPUTE, COPY, SOON_NS, compute_rig};
use crate::harness::{CODE, DATA, Rig, endless_kernel, gfid, launch};
use crate::{Costs, Stay};
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{PreemptMode, RunlistEvent};

/// A kernel without end that has run for a while, whose stay will be told.
fn endless_rig() -> Rig {
    let mut rig = compute_rig();
    assert_eq!(rig.gpu.take_stays(), []);
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.pass(300);
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    rig
}

#[test]
fn a_stay_has_the_times_of_a_preemption() {
    let mut rig = endless_rig();
    rig.gpu.set_stubborn(gfid(1), 700);
    let asked_ns = rig.gpu.now_ns();
    rig.preempt(COMPUTE, PreemptMode::Wfi);
    rig.pass(100);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
    let expected = Stay {
        runlist: COMPUTE,
        gfid: gfid(1),
        start_ns: 300,
        loaded_ns: 300 + Costs::default().context_ns(BARE_CONTEXT),
        asked_ns: Some(asked_ns),
        saving_ns: asked_ns + 700,
        empty_ns: rig.gpu.now_ns(),
        reset: false,
    };
    assert!(expected.empty_ns > expected.saving_ns);
    assert_eq!(rig.gpu.take_stays(), [expected]);
}

#[test]
fn a_stay_may_begin_with_a_preempt_request() {
    let mut rig = compute_rig();
    rig.gpu.take_stays();
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
    let stays = rig.gpu.take_stays();
    assert_eq!(stays.len(), 1);
    assert!(stays.iter().all(|stay| stay.asked_ns == Some(stay.start_ns)), "{stays:?}");
}

#[test]
fn nobody_asked_a_group_that_ran_out_of_work() {
    let mut rig = Rig::with_vgpu();
    rig.gpu.take_stays();
    for (guest, runlist) in [(0, COMPUTE), (1, COPY)] {
        rig.bind_plain(guest, runlist);
        rig.push(gfid(1), guest, &Entry::Release { at: Address::fb(DATA), value: 1 });
        let start_ns = rig.gpu.now_ns();
        rig.run_idle(runlist, guest);
        let costs = Costs::default();
        let loaded_ns = start_ns + costs.context_ns(BARE_CONTEXT);
        let saving_ns = loaded_ns + costs.entry_ns;
        let empty_ns = saving_ns + costs.context_ns(BARE_CONTEXT);
        let expected = Stay {
            runlist,
            gfid: gfid(1),
            start_ns,
            loaded_ns,
            asked_ns: None,
            saving_ns,
            empty_ns,
            reset: false,
        };
        assert_eq!(rig.gpu.take_stays(), [expected]);
    }
}

#[test]
fn a_stay_that_a_reset_ends_lasts_until_the_engine_is_reset() {
    let mut rig = endless_rig();
    let asked_ns = rig.gpu.now_ns();
    let seq = rig.reset(COMPUTE);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
    assert_eq!(rig.gpu.take_stays(), [], "it has not ended");
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Reset { seq });
    let stays = rig.gpu.take_stays();
    let ends: Vec<_> = stays.iter().map(|stay| (stay.reset, stay.empty_ns)).collect();
    assert_eq!(ends, [(true, asked_ns + Costs::default().engine_reset_ns)]);
}

#[test]
fn stays_are_noted_from_the_first_call_on_and_told_once() {
    let mut rig = compute_rig();
    let stay = |rig: &mut Rig| {
        rig.push(gfid(1), 0, &Entry::Release { at: Address::fb(DATA), value: 1 });
        let start_ns = rig.gpu.now_ns();
        rig.run_idle(COMPUTE, 0);
        start_ns
    };
    stay(&mut rig);
    assert_eq!(rig.gpu.take_stays(), [], "one of before the first call");
    let starts = [stay(&mut rig), stay(&mut rig)];
    // A group without work never has the engine.
    rig.run_idle(COMPUTE, 5);
    let told: Vec<u64> = rig.gpu.take_stays().iter().map(|stay| stay.start_ns).collect();
    assert_eq!(told, starts);
    assert_eq!(rig.gpu.take_stays(), []);
}
