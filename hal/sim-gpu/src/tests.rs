//! A vGPU moves to another device in the middle of its work, through slots alone.

use crate::Costs;
use crate::harness::{CODE, DATA, PROFILE, Rig, channel, gfid, launch, sum_kernel, tsg};
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{
    CopyOp, CopyStatus, PreemptMode, RunlistEvent, RunlistId, SLOT_BYTES, SlotId, SlotRange,
};

const COMPUTE: RunlistId = RunlistId::COMPUTE;
const COPY: RunlistId = RunlistId::COPY;
const SLOT: SlotId = SlotId::new(4).unwrap();
const OTHER_SLOT: SlotId = SlotId::new(9).unwrap();
/// Where the vGPU sits on the second device.
const PLACE: u16 = 5;

/// A vGPU with two channels in one group of the compute engine and one of the copy engine.
fn bind_all(rig: &mut Rig, gfid: godwit_types::Gfid, place: u16) {
    let base = Rig::placement(place).channel_base;
    for (guest, runlist) in [(0, COMPUTE), (1, COMPUTE), (2, COPY)] {
        let mut config = Rig::config(gfid, place, guest, runlist);
        if runlist == COMPUTE {
            config.tsg = tsg(base);
        }
        rig.bind(channel(base + guest), &config);
    }
}

fn source() -> Rig {
    let mut rig = Rig::with_vgpu();
    bind_all(&mut rig, gfid(1), 0);
    rig.load_code(gfid(1), CODE, &sum_kernel(1500));
    let pattern: Vec<u8> = (0..1u32 << 20).map(|at| (at / 5) as u8).collect();
    rig.poke(gfid(1), 4 << 20, &pattern);
    rig.push(gfid(1), 0, &launch(CODE, 20, 4));
    rig.push(gfid(1), 0, &Entry::Release { at: Address::fb(DATA + 0x4000), value: 3 });
    let at = DATA + 0x4000;
    rig.push(gfid(1), 1, &Entry::Acquire { at: Address::fb(at), value: 3 });
    rig.push(gfid(1), 1, &Entry::Release { at: Address::fb(at + 4), value: 4 });
    for _ in 0..3 {
        let (from, to) = (4 << 20, 6 << 20);
        let byte_count = 1 << 20;
        rig.push(
            gfid(1),
            2,
            &Entry::Copy { from: Address::fb(from), to: Address::fb(to), byte_count },
        );
    }
    rig.start(COMPUTE, 0);
    rig.start(COPY, 2);
    rig
}

fn partition_bytes(rig: &Rig, gfid: godwit_types::Gfid) -> Vec<u8> {
    let mut bytes = vec![0; PROFILE.fb_bytes as usize];
    rig.gpu.partition(gfid).unwrap().read(0, &mut bytes).unwrap();
    bytes
}

/// Carries what is in one device's slot to a slot of the other.
fn carry(from: &Rig, to: &Rig, byte_count: u32) {
    let mut bytes = vec![0; byte_count as usize];
    from.gpu.staging().read(SLOT, 0, &mut bytes).unwrap();
    to.gpu.staging().write(OTHER_SLOT, 0, &bytes).unwrap();
    let runs = from.gpu.staging().runs(SLOT).unwrap();
    to.gpu.staging().set_runs(OTHER_SLOT, &runs).unwrap();
}

fn move_framebuffer(from: &mut Rig, to: &mut Rig) {
    let bar_bytes = PROFILE.bar_bytes;
    assert_eq!(from.copy(CopyOp::DirtyStart).status, CopyStatus::Done);
    assert!(from.copy(CopyOp::DirtyFlip { bar_bytes }).pages > 0);
    let mut first = 0;
    while first != u32::MAX {
        let done = from.copy(CopyOp::Gather { first, slot: SLOT });
        assert_eq!(done.status, CopyStatus::Done);
        carry(from, to, done.byte_count);
        let slot = OTHER_SLOT;
        let range = SlotRange { slot, byte_count: done.byte_count };
        let scatter = CopyOp::Scatter { from: range, crc: done.crc };
        assert_eq!(to.copy_for(gfid(7), scatter).status, CopyStatus::Done);
        first = done.pages;
    }
}

fn move_contexts(from: &mut Rig, to: &mut Rig) {
    let byte_count = PROFILE.context_bytes;
    assert!(byte_count < SLOT_BYTES);
    for guest in 0..u64::from(PROFILE.channel_count) {
        let at = guest * u64::from(byte_count);
        let range = SlotRange { slot: SLOT, byte_count };
        let done = from.copy(CopyOp::ContextToSlot { at, to: range });
        carry(from, to, byte_count);
        let range = SlotRange { slot: OTHER_SLOT, byte_count };
        let at = at + Rig::placement(PLACE).context_base;
        let restore = CopyOp::SlotToContext { from: range, at, crc: done.crc };
        assert_eq!(to.copy_for(gfid(7), restore).status, CopyStatus::Done);
    }
}

#[test]
fn a_move_in_the_middle_of_the_work_ends_with_the_same_bytes() {
    let mut whole = source();
    whole.pass(100_000_000);
    let expected = partition_bytes(&whole, gfid(1));
    assert_eq!((whole.get(0), whole.get(1), whole.get(2)), (2, 2, 3));
    let total = whole.gpu.stats(gfid(1)).instructions;

    for mode in [PreemptMode::Wfi, PreemptMode::Cta, PreemptMode::Instruction] {
        let mut from = source();
        from.pass(4_321);
        for runlist in [COMPUTE, COPY] {
            let seq = from.preempt(runlist, mode);
            // A group may have gone idle while another was waited for.
            while from.answer(runlist) != (RunlistEvent::Preempted { seq }) {}
        }
        let before = from.gpu.stats(gfid(1)).instructions;

        let mut to = Rig::with(987_654_321, Costs::default());
        to.add_vgpu(gfid(7), PLACE);
        move_framebuffer(&mut from, &mut to);
        move_contexts(&mut from, &mut to);
        assert!(partition_bytes(&to, gfid(7)) == partition_bytes(&from, gfid(1)));

        bind_all(&mut to, gfid(7), PLACE);
        let base = Rig::placement(PLACE).channel_base;
        to.run_idle(COMPUTE, base);
        to.run_idle(COPY, base + 2);
        assert!(partition_bytes(&to, gfid(7)) == expected, "{mode:?}");
        let after = to.gpu.stats(gfid(7)).instructions;
        assert_eq!(before + after, total, "{mode:?}");
        match mode {
            PreemptMode::Wfi => assert_eq!(before, total),
            PreemptMode::Cta | PreemptMode::Instruction => assert!(before < total && after > 0),
        }
        assert_eq!(to.gpu.stats(gfid(7)).faults, 0);
    }
}
