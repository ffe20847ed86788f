//! The privileged copy ring, driven through the registers.

use crate::harness::{CODE, DATA, PROFILE, Rig, endless_kernel, gfid, launch};
use crate::{Costs, Fault, Stop};
use godwit_hal::{CopyRing, Interrupts};
use godwit_regs::copy::PageRun;
use godwit_types::{
    COPY_RING_ENTRIES, CopyDone, CopyOp, CopyRequest, CopyStatus, PAGE_BYTES, RunlistId,
    SLOT_BYTES, SlotId, SlotRange,
};

const PAGE: u64 = PAGE_BYTES as u64;

fn slot(raw: u8) -> SlotId {
    SlotId::new(raw).unwrap()
}

fn range(raw: u8, byte_count: u32) -> SlotRange {
    SlotRange { slot: slot(raw), byte_count }
}

fn slot_bytes(rig: &Rig, raw: u8, count: u32) -> Vec<u8> {
    let mut bytes = vec![0; count as usize];
    rig.gpu.staging().read(slot(raw), 0, &mut bytes).unwrap();
    bytes
}

/// How long an operation takes, and its answer.
fn timed(rig: &mut Rig, op: CopyOp) -> (u64, CopyDone) {
    let from_ns = rig.gpu.now_ns();
    let done = rig.copy(op);
    (rig.gpu.now_ns() - from_ns, done)
}

#[test]
fn a_round_gathers_what_was_written_and_scatter_puts_it_back() {
    let mut rig = Rig::with_vgpu();
    rig.add_vgpu(gfid(2), 1);
    rig.poke(gfid(1), 3 * PAGE, &[7; 2 * PAGE as usize]);
    rig.poke(gfid(1), 9 * PAGE, &[0; PAGE as usize]);
    rig.poke(gfid(2), 9 * PAGE, &[5; PAGE as usize]);
    rig.poke(gfid(2), 0, &[6]);
    assert_eq!(rig.copy(CopyOp::DirtyStart).status, CopyStatus::Done);
    let bar_bytes = PROFILE.bar_bytes;
    assert_eq!(rig.copy(CopyOp::DirtyFlip { bar_bytes }).pages, 3);
    let done = rig.copy(CopyOp::Gather { first: 0, slot: slot(2) });
    assert_eq!((done.byte_count, done.pages), (2 * PAGE_BYTES, u32::MAX));
    let bytes = slot_bytes(&rig, 2, done.byte_count);
    assert_eq!(bytes, [7; 2 * PAGE as usize]);
    assert_eq!(done.crc, crc_fast::crc32_iscsi(&bytes));
    let run = |first, count, zero| PageRun { first, count, zero };
    assert_eq!(rig.gpu.staging().runs(slot(2)), Ok(vec![run(3, 2, false), run(9, 1, true)]));
    let scatter = CopyOp::Scatter { from: range(2, done.byte_count), crc: done.crc };
    assert_eq!(rig.copy_for(gfid(2), scatter).status, CopyStatus::Done);
    assert_eq!(rig.peek(gfid(2), 3 * PAGE), [7; 2 * PAGE as usize]);
    assert_eq!(rig.peek(gfid(2), 9 * PAGE), [0; PAGE as usize]);
    assert_eq!(rig.peek(gfid(2), 0), [6]);
}

#[test]
fn rounds_find_what_kernels_copies_and_the_cpu_write_until_nothing_is_left() {
    let mut rig = Rig::with_vgpu();
    rig.open_window(gfid(1), 0);
    let gather = CopyOp::Gather { first: 0, slot: slot(0) };
    let bar_bytes = PROFILE.bar_bytes;
    rig.copy(CopyOp::DirtyStart);
    rig.copy(CopyOp::DirtyFlip { bar_bytes });
    rig.copy(gather);
    rig.gpu.bar_write(5 * PAGE, &[1]).unwrap();
    rig.copy(CopyOp::FillFb { at: 6 * PAGE, byte_count: PAGE });
    assert_eq!(rig.copy(CopyOp::DirtyFlip { bar_bytes }).pages, 2);
    rig.copy(gather);
    assert_eq!(rig.copy(CopyOp::DirtyFlip { bar_bytes }).pages, 0);
    assert_eq!(rig.copy(CopyOp::DirtyStop).status, CopyStatus::Done);
}

#[test]
fn nothing_is_scattered_when_anything_is_wrong() {
    let mut rig = Rig::with_vgpu();
    rig.poke(gfid(1), 0, &[1; PAGE as usize]);
    let page = [9; PAGE as usize];
    rig.gpu.staging().write(slot(0), 0, &page).unwrap();
    let crc = crc_fast::crc32_iscsi(&page);
    let run = |first, count, zero| PageRun { first, count, zero };
    let last = (PROFILE.fb_bytes / PAGE) as u32 - 1;
    let from = range(0, PAGE_BYTES);
    let cases = [
        (vec![run(0, 1, false)], crc ^ 1, CopyStatus::BadCrc),
        (vec![], crc, CopyStatus::OutOfRange),
        (vec![run(0, 2, false)], crc, CopyStatus::OutOfRange),
        (vec![run(last + 1, 1, false)], crc, CopyStatus::OutOfRange),
        (vec![run(0, 1, false), run(last, 2, true)], crc, CopyStatus::OutOfRange),
        (vec![run(0, 1, true), run(u32::MAX - 1, 1, false)], crc, CopyStatus::OutOfRange),
        (vec![run(last, 1, false)], crc, CopyStatus::Done),
    ];
    for (runs, crc, status) in cases {
        rig.gpu.staging().set_runs(slot(0), &runs).unwrap();
        let done = rig.copy(CopyOp::Scatter { from, crc });
        assert_eq!(done.status, status, "{runs:?}");
        assert_eq!(rig.peek(gfid(1), 0), [1; PAGE as usize]);
    }
    assert_eq!(rig.peek(gfid(1), u64::from(last) * PAGE), page);
    // A table that is none.
    let table = crate::Staging::offset(slot(0)) + u64::from(SLOT_BYTES);
    rig.gpu.staging().file().store(table, 33u32).unwrap();
    let done = rig.copy(CopyOp::Scatter { from, crc });
    assert_eq!(done.status, CopyStatus::OutOfRange);
}

#[test]
fn contexts_go_through_slots_with_their_crc() {
    let mut rig = Rig::with_vgpu();
    let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    rig.gpu.staging().write(slot(0), 0, &bytes).unwrap();
    let crc = crc_fast::crc32_iscsi(&bytes);
    let from = range(0, 5_000);
    let at = 8192;
    let wrong = CopyOp::SlotToContext { from, at, crc: !crc };
    assert_eq!(rig.copy(wrong).status, CopyStatus::BadCrc);
    let read = |rig: &mut Rig| {
        let to = range(1, 5_000);
        let done = rig.copy(CopyOp::ContextToSlot { at, to });
        (done, slot_bytes(rig, 1, 5_000))
    };
    assert_eq!(read(&mut rig).1, [0; 5_000]);
    rig.copy(CopyOp::SlotToContext { from, at, crc });
    let (done, back) = read(&mut rig);
    assert_eq!((done.crc, done.byte_count), (crc, 5_000));
    assert_eq!(back, bytes);
    for at in [(4 << 20) - 4_999, u64::MAX] {
        let to = range(1, 5_000);
        let out = rig.copy(CopyOp::ContextToSlot { at, to });
        assert_eq!(out.status, CopyStatus::OutOfRange);
        let out = rig.copy(CopyOp::SlotToContext { from, at, crc });
        assert_eq!(out.status, CopyStatus::OutOfRange);
    }
}

#[test]
fn a_vgpu_without_a_partition_and_ranges_past_it_are_out_of_range() {
    let mut rig = Rig::with_vgpu();
    let from = range(0, 0);
    for op in [
        CopyOp::DirtyStart,
        CopyOp::DirtyFlip { bar_bytes: 0 },
        CopyOp::DirtyStop,
        CopyOp::Gather { first: 0, slot: slot(0) },
        CopyOp::Scatter { from, crc: 0 },
    ] {
        let done = rig.copy_for(gfid(2), op);
        assert_eq!(done.status, CopyStatus::OutOfRange, "{op:?}");
    }
    // Nothing is left to be cleared, so that it can be released.
    let done = rig.copy_for(gfid(2), CopyOp::FillFb { at: 0, byte_count: 1 });
    assert_eq!(done.status, CopyStatus::Done);
    let fb = PROFILE.fb_bytes;
    let bar_bytes = fb + PAGE;
    for op in [
        CopyOp::DirtyFlip { bar_bytes },
        CopyOp::FillFb { at: fb, byte_count: 1 },
        CopyOp::FillFb { at: 1, byte_count: u64::MAX },
        CopyOp::FillContext { at: 1, byte_count: 4 << 20 },
    ] {
        let done = rig.copy(op);
        assert_eq!(done.status, CopyStatus::OutOfRange, "{op:?}");
    }
}

#[test]
fn an_operation_takes_its_setup_and_its_bytes() {
    let costs = Costs::default();
    let setup_ns = costs.copy_setup_ns;
    let mut rig = Rig::with_vgpu();
    let data = vec![3; 40 * PAGE as usize];
    rig.poke(gfid(1), 0, &data);
    let ns = |rig: &mut Rig, op| timed(rig, op).0 - setup_ns;
    assert_eq!(ns(&mut rig, CopyOp::DirtyStart), 0);
    // All of the aperture's data is in the log: nothing to compare.
    let bar_bytes = PROFILE.bar_bytes;
    let flip = CopyOp::DirtyFlip { bar_bytes };
    assert_eq!(ns(&mut rig, flip), 0);
    let gather = CopyOp::Gather { first: 0, slot: slot(0) };
    let (took_ns, done) = timed(&mut rig, gather);
    assert_eq!(done.byte_count, 40 * PAGE_BYTES);
    assert_eq!(took_ns - setup_ns, costs.staged_ns(40 * PAGE));
    assert_eq!(ns(&mut rig, flip), costs.hashed_ns(40 * PAGE));
    let from = range(0, done.byte_count);
    let crc = done.crc;
    let scatter = CopyOp::Scatter { from, crc };
    assert_eq!(ns(&mut rig, scatter), costs.staged_ns(40 * PAGE));
    let fill = CopyOp::FillFb { at: 0, byte_count: PROFILE.fb_bytes };
    assert_eq!(ns(&mut rig, fill), costs.copied_ns(40 * PAGE));
    assert_eq!(ns(&mut rig, fill), 0); // a hole by now
    let to = range(0, 100_000);
    let save = CopyOp::ContextToSlot { at: 0, to };
    assert_eq!(ns(&mut rig, save), costs.staged_ns(100_000));
}

#[test]
fn operations_are_done_one_after_the_other_in_order() {
    let mut rig = Rig::with_vgpu();
    let submit = |rig: &mut Rig, tag| {
        let op = CopyOp::DirtyStart;
        let gfid = gfid(1);
        rig.firmware.submit_copy(&CopyRequest { tag, gfid, op })
    };
    for tag in 0..u16::from(COPY_RING_ENTRIES) {
        assert!(submit(&mut rig, tag));
    }
    assert!(!submit(&mut rig, 99));
    let setup_ns = Costs::default().copy_setup_ns;
    for tag in 0..u16::from(COPY_RING_ENTRIES) {
        assert_eq!(rig.gpu.advance(1 << 40), Stop::Raised);
        assert_eq!(rig.gpu.now_ns(), u64::from(tag + 1) * setup_ns);
        rig.firmware.collect();
        assert_eq!(rig.firmware.poll_copy().map(|done| done.tag), Some(tag));
    }
    assert_eq!(rig.gpu.next_event_ns(), None);
}

#[test]
fn the_effect_of_a_scatter_is_at_its_end() {
    let mut rig = Rig::with_vgpu();
    let page = [9; PAGE as usize];
    rig.gpu.staging().write(slot(0), 0, &page).unwrap();
    let run = PageRun { first: 0, count: 1, zero: false };
    rig.gpu.staging().set_runs(slot(0), &[run]).unwrap();
    let op = CopyOp::Scatter { from: range(0, PAGE_BYTES), crc: crc_fast::crc32_iscsi(&page) };
    let (tag, gfid) = (1, gfid(1));
    assert!(rig.firmware.submit_copy(&CopyRequest { tag, gfid, op }));
    let costs = Costs::default();
    let end_ns = costs.copy_setup_ns + costs.staged_ns(PAGE);
    assert_eq!(rig.gpu.advance(end_ns - 1), Stop::Reached);
    assert_eq!(rig.peek(gfid, 0), [0]);
    assert_eq!(rig.gpu.advance(end_ns), Stop::Raised);
    assert_eq!(rig.peek(gfid, 0), [9]);
}

#[test]
fn an_operation_that_fails_does_nothing() {
    let mut rig = Rig::with_vgpu();
    rig.poke(gfid(1), 0, &[1]);
    rig.gpu.inject(Fault::CopyError);
    let fill = CopyOp::FillFb { at: 0, byte_count: PAGE };
    assert_eq!(rig.copy(fill).status, CopyStatus::Error);
    assert_eq!(rig.peek(gfid(1), 0), [1]);
    assert_eq!(rig.copy(fill).status, CopyStatus::Done);
    assert_eq!(rig.peek(gfid(1), 0), [0]);
}

#[test]
fn pages_whose_crc_was_reported_wrong_or_whose_gather_failed_are_not_lost() {
    for fault in [Fault::CopyBadCrc, Fault::CopyError] {
        let mut rig = Rig::with_vgpu();
        rig.poke(gfid(1), 0, &[1]);
        rig.copy(CopyOp::DirtyStart);
        let flip = CopyOp::DirtyFlip { bar_bytes: PROFILE.bar_bytes };
        let gather = CopyOp::Gather { first: 0, slot: slot(0) };
        assert_eq!(rig.copy(flip).pages, 1);
        rig.gpu.inject(fault);
        let bad = rig.copy(gather);
        if fault == Fault::CopyBadCrc {
            assert_eq!(bad.status, CopyStatus::Done);
            let bytes = slot_bytes(&rig, 0, bad.byte_count);
            assert_ne!(bad.crc, crc_fast::crc32_iscsi(&bytes));
        } else {
            assert_eq!(bad.status, CopyStatus::Error);
        }
        // Neither for a second try nor for the next round.
        assert_eq!(rig.copy(flip).pages, 1);
        let good = rig.copy(gather);
        let bytes = slot_bytes(&rig, 0, good.byte_count);
        assert_eq!(good.crc, crc_fast::crc32_iscsi(&bytes));
        assert_eq!(good.byte_count, PAGE_BYTES);
        assert_eq!(rig.copy(flip).pages, 0);
    }
}

#[test]
fn a_slow_operation_takes_so_many_times_as_long() {
    let mut rig = Rig::with_vgpu();
    let to = range(0, SLOT_BYTES);
    let save = CopyOp::ContextToSlot { at: 0, to };
    let (once_ns, _) = timed(&mut rig, save);
    rig.gpu.inject(Fault::CopySlow(7));
    assert_eq!(timed(&mut rig, save).0, 7 * once_ns);
    assert_eq!(timed(&mut rig, save).0, once_ns);
}

#[test]
fn a_kernels_writes_are_in_the_log_of_its_own_vgpu() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, RunlistId::COMPUTE);
    rig.load_code(gfid(1), CODE, &crate::harness::sum_kernel(10));
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    let gather = CopyOp::Gather { first: 0, slot: slot(0) };
    rig.copy(CopyOp::DirtyStart);
    rig.copy(CopyOp::DirtyFlip { bar_bytes: 0 });
    rig.copy(gather);
    rig.run_idle(RunlistId::COMPUTE, 0);
    assert_eq!(rig.copy(CopyOp::DirtyFlip { bar_bytes: 0 }).pages, 2);
    rig.copy(gather);
    let runs = rig.gpu.staging().runs(slot(0)).unwrap();
    let pages: Vec<u64> = runs.iter().map(|run| u64::from(run.first)).collect();
    // USERD, and what the kernel stored.
    assert_eq!(pages, [0x8_0000 / PAGE, DATA / PAGE]);
}

#[test]
fn the_ring_works_while_a_kernel_runs_and_costs_it_nothing() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, RunlistId::COMPUTE);
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(RunlistId::COMPUTE, 0);
    rig.pass(1_000);
    let before = rig.gpu.stats(gfid(1)).instructions;
    let to = range(0, SLOT_BYTES);
    let (took_ns, _) = timed(&mut rig, CopyOp::ContextToSlot { at: 0, to });
    assert_eq!(rig.gpu.stats(gfid(1)).instructions - before, took_ns);
}
