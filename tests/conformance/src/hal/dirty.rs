//! The log of dirty pages, and pages that go through slots.

use super::copies::crc;
use super::rig::{PROFILE, Rig, placement, slot};
use super::verdict::{Verdict, holds, same};
use super::{Access, Bench, Work, rules};
use godwit_regs::copy::PageRun;
use godwit_types::{
    BarMode, CopyDone, CopyOp, CopyStatus, PAGE_BYTES, RunlistId, SLOT_BYTES, SLOT_RUNS_MAX,
    SlotRange,
};

rules!("dirty log":
    every_page_with_data_is_dirty_at_first,
    a_page_that_the_device_writes_is_dirty_again,
    a_page_that_is_written_through_the_window_is_dirty_again,
    a_page_that_nobody_writes_is_clean,
    gathered_pages_are_described_and_checked,
    a_gather_goes_on_where_the_last_ended,
    scattered_pages_are_where_they_were,
    a_scatter_with_another_crc_writes_nothing,
    a_log_that_is_stopped_can_be_started_again,
    a_log_that_is_started_again_keeps_what_was_in_it,
);

const PAGE: u64 = PAGE_BYTES as u64;
/// Outside the aperture, where only the device writes.
const FAR: u64 = 0x18_0000;
const LAST: u32 = u32::MAX;

const _: () = assert!(FAR > PROFILE.bar_bytes && FAR < super::rig::SCRATCH_AT);

fn start<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.copy_ends(0, CopyOp::DirtyStart, CopyStatus::Done).map(drop)
}

fn flip<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict<u32> {
    let op = CopyOp::DirtyFlip { bar_bytes: PROFILE.bar_bytes };
    Ok(rig.copy_ends(0, op, CopyStatus::Done)?.pages)
}

fn gather<B: Bench>(rig: &mut Rig<'_, B>, first: u32) -> Verdict<CopyDone> {
    rig.copy_ends(0, CopyOp::Gather { first, slot: slot(8) }, CopyStatus::Done)
}

/// The runs that a slot's table names.
fn runs<B: Bench>(rig: &mut Rig<'_, B>) -> impl Iterator<Item = PageRun> + use<B> {
    let mut bytes = [0; 4 + 8 * SLOT_RUNS_MAX];
    rig.bench.slot_read(slot(8), SLOT_BYTES, &mut bytes);
    let word = move |at: usize| {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    let count = (word(0) as usize).min(SLOT_RUNS_MAX);
    (0..count).filter_map(move |run| PageRun::parse([word(4 + 8 * run), word(8 + 8 * run)]))
}

/// Gathers all that the flip took; whether a page is among it.
fn taken<B: Bench>(rig: &mut Rig<'_, B>, page: u64) -> Verdict<bool> {
    let (mut first, mut found) = (0, false);
    while first != LAST {
        let done = gather(rig, first)?;
        holds("the page to go on from lies ahead", done.pages > first)?;
        let page = page as u32;
        found |= runs(rig).any(|run| run.first <= page && page - run.first < run.count);
        first = done.pages;
    }
    Ok(found)
}

/// A log whose first round is over.
fn second_round<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.bind(0, 0, RunlistId::COMPUTE);
    rig.open(0, BarMode::Direct)?;
    rig.bench.write(gfid, 4 * PAGE, &[1; 16]);
    rig.bench.write(gfid, FAR, &[1; 16]);
    start(rig)?;
    flip(rig)?;
    taken(rig, 0).map(drop)
}

fn every_page_with_data_is_dirty_at_first<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    for at in [4 * PAGE, FAR] {
        rig.bench.write(gfid, at + 100, &[7]);
        start(rig)?;
        holds("pages of the first flip", flip(rig)? > 0)?;
        holds("a page with data", taken(rig, at / PAGE)?)?;
        rig.copy_ends(0, CopyOp::DirtyStop, CopyStatus::Done)?;
    }
    Ok(())
}

fn a_page_that_the_device_writes_is_dirty_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    second_round(rig)?;
    rig.push(0, Work::Mark { at: FAR + 3 * PAGE, value: 9 });
    rig.run_idle(RunlistId::COMPUTE, 0)?;
    flip(rig)?;
    holds("the page", taken(rig, FAR / PAGE + 3)?)
}

fn a_page_that_is_written_through_the_window_is_dirty_again<B: Bench>(
    rig: &mut Rig<'_, B>,
) -> Verdict {
    second_round(rig)?;
    let at = placement(0).bar_base + 7 * PAGE + 5;
    same("a write", rig.bench.bar_write(at, &[1]), Access::Passed)?;
    flip(rig)?;
    holds("the page", taken(rig, 7)?)
}

fn a_page_that_nobody_writes_is_clean<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    second_round(rig)?;
    flip(rig)?;
    same("a page that nobody writes", taken(rig, FAR / PAGE)?, false)
}

fn gathered_pages_are_described_and_checked<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let page: [u8; PAGE_BYTES as usize] = core::array::from_fn(|at| (at * 3 + 1) as u8);
    rig.bench.write(gfid, 4 * PAGE, &page);
    start(rig)?;
    flip(rig)?;
    gather(rig, 0)?;
    let done = gather(rig, 4)?;
    let Some(run) = runs(rig).find(|run| !run.zero) else {
        return holds("a run with bytes", false);
    };
    same("its first page", run.first, 4)?;
    let data: u64 = runs(rig).map(PageRun::data_bytes).sum();
    same("bytes of all runs", data, u64::from(done.byte_count))?;
    holds("no more than a slot has", done.byte_count <= SLOT_BYTES)?;
    let mut bytes = [0; PAGE_BYTES as usize];
    rig.bench.slot_read(slot(8), 0, &mut bytes);
    holds("the page's bytes", bytes == page)?;
    same("CRC of the bytes in the slot", done.crc, slot_crc(rig, done.byte_count))
}

/// CRC of a slot's first bytes, in pieces that fit a small stack.
fn slot_crc<B: Bench>(rig: &mut Rig<'_, B>, byte_count: u32) -> u32 {
    let mut digest = super::copies::digest();
    let mut bytes = [0; 512];
    let mut at = 0;
    while at < byte_count {
        let part = &mut bytes[..(byte_count - at).min(512) as usize];
        rig.bench.slot_read(slot(8), at, part);
        digest.update(part);
        at += part.len() as u32;
    }
    digest.finalize()
}

fn a_gather_goes_on_where_the_last_ended<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    // More runs than a slot describes, and more bytes than it holds.
    let count = 2 * SLOT_RUNS_MAX as u64 + 8;
    for index in 0..count {
        rig.bench.write(gfid, 2 * index * PAGE, &[index as u8 + 1]);
    }
    start(rig)?;
    flip(rig)?;
    let (mut first, mut next, mut rounds) = (0, 0, 0);
    while first != LAST {
        let done = gather(rig, first)?;
        for run in runs(rig) {
            holds("pages in order, none twice", run.first >= next)?;
            next = run.first + run.count;
        }
        first = done.pages;
        rounds += 1;
        holds("an end", rounds < 1000)?;
    }
    holds("more than one slot", rounds > 1)?;
    holds("the last page with data", u64::from(next) > 2 * (count - 1))
}

fn scattered_pages_are_where_they_were<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let (gfid, other) = (rig.vgpu(0)?, rig.vgpu(1)?);
    rig.bench.write(gfid, 5 * PAGE + 9, &[1, 2, 3]);
    start(rig)?;
    flip(rig)?;
    let mut first = 0;
    while first != LAST {
        let done = gather(rig, first)?;
        let from = SlotRange { slot: slot(8), byte_count: done.byte_count };
        rig.copy_ends(1, CopyOp::Scatter { from, crc: done.crc }, CopyStatus::Done)?;
        first = done.pages;
    }
    let mut bytes = [0; 3];
    rig.bench.read(other, 5 * PAGE + 9, &mut bytes);
    holds("the bytes in the other partition", bytes == [1, 2, 3])
}

fn a_scatter_with_another_crc_writes_nothing<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let page = [0x77; PAGE_BYTES as usize];
    let [first, count] = PageRun { first: 6, count: 1, zero: false }.encode();
    rig.bench.slot_write(slot(8), 0, &page);
    for (at, word) in [(0, 1), (4, first), (8, count)] {
        rig.bench.slot_write(slot(8), SLOT_BYTES + at, &word.to_le_bytes());
    }
    let from = SlotRange { slot: slot(8), byte_count: PAGE_BYTES };
    let good = crc(&page);
    rig.copy_ends(0, CopyOp::Scatter { from, crc: good ^ 1 }, CopyStatus::BadCrc)?;
    same("the page", rig.peek(6 * PAGE), 0)?;
    rig.copy_ends(0, CopyOp::Scatter { from, crc: good }, CopyStatus::Done)?;
    let mut bytes = [0; 8];
    rig.bench.read(gfid, 7 * PAGE - 8, &mut bytes);
    holds("the page with the right one", bytes == [0x77; 8])
}

fn a_log_that_is_stopped_can_be_started_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    second_round(rig)?;
    rig.copy_ends(0, CopyOp::DirtyStop, CopyStatus::Done)?;
    start(rig)?;
    flip(rig)?;
    holds("a page with data", taken(rig, FAR / PAGE)?)
}

fn a_log_that_is_started_again_keeps_what_was_in_it<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    second_round(rig)?;
    // Holds no data when the log is started again.
    let zeros = CopyOp::FillFb { at: FAR, byte_count: PAGE };
    rig.copy_ends(0, zeros, CopyStatus::Done)?;
    start(rig)?;
    flip(rig)?;
    holds("a page that was in the log", taken(rig, FAR / PAGE)?)
}
