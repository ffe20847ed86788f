//! The log of guest memory that a device writes (`VFIO_DEVICE_FEATURE_DMA_LOGGING_*`).

use super::rig::Rig;
use super::verdict::{Verdict, done, fails, holds, refused, same};
use super::{Bench, Device, DmaRange, GUEST_MEMORY, READ_AT, Side, Work, errno, rules, state};
use state::{ASKED, PRE_COPY, RESUMING, RUNNING, STOP_COPY};
use std::format;
use std::vec::Vec;

rules!("dma log":
    what_is_written_is_logged,
    what_is_only_read_is_not_logged,
    a_page_is_not_smaller_than_was_asked_for,
    a_report_clears_what_it_tells,
    a_report_clears_only_what_it_tells,
    a_report_sets_bits_and_clears_none,
    a_report_may_have_pages_of_another_size,
    a_log_is_not_started_twice,
    a_log_that_is_not_started_is_not_stopped,
    a_log_that_is_not_started_is_not_reported,
    a_log_that_is_stopped_can_be_started_again,
    it_goes_on_in_every_state,
);

const FIRST: Side = Side::First;
const PAGE: u64 = 4096;
/// The part of the guest's memory that devices write to.
const WRITTEN: DmaRange = DmaRange { iova: GUEST_MEMORY.iova, byte_count: READ_AT };
const PAGES: usize = (GUEST_MEMORY.byte_count / PAGE) as usize;

/// A bit for each page.
type Bits = [u8; PAGES / 8];

fn is_set(bits: &[u8], page: usize) -> bool {
    bits[page / 8] >> (page % 8) & 1 != 0
}

/// Logs all of the guest's memory, by pages of this length or larger ones.
fn log<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict<u64> {
    done("a start of the log", rig.device(FIRST).dma_log_start(&[GUEST_MEMORY], PAGE))
}

fn report<B: Bench>(rig: &mut Rig<'_, B>, bits: &mut Bits) -> Verdict {
    let result = rig.device(FIRST).dma_log_report(GUEST_MEMORY, PAGE, bits);
    done("a report of the log", result)
}

fn at_work<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::GuestMemory)?;
    rig.goes_on(FIRST, Work::GuestMemory)
}

/// Lets the device write, and holds the log to what it has written.
fn is_logged<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict<Bits> {
    let mut bits = [0; PAGES / 8];
    let before = rig.bench.guest_memory(FIRST);
    for _ in 0..4 {
        rig.run(30_000);
        report(rig, &mut bits)?;
    }
    let after = rig.bench.guest_memory(FIRST);
    let pages = before.chunks(PAGE as usize).zip(after.chunks(PAGE as usize));
    let changed: Vec<usize> =
        pages.enumerate().filter(|(_, (a, b))| a != b).map(|(page, _)| page).collect();
    holds("the device has written", !changed.is_empty())?;
    let missed = changed.into_iter().find(|page| !is_set(&bits, *page));
    same("a page that was written and is not in the log", missed, None)?;
    Ok(bits)
}

/// The device writes to no page any more, and all that it wrote is reported.
fn at_rest<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.go(FIRST, state::STOP)?;
    report(rig, &mut [0; PAGES / 8])
}

fn what_is_written_is_logged<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    log(rig)?;
    at_work(rig)?;
    is_logged(rig).map(drop)
}

fn what_is_only_read_is_not_logged<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let granule = log(rig)?;
    at_work(rig)?;
    let bits = is_logged(rig)?;
    if granule <= READ_AT {
        let first = (READ_AT / PAGE) as usize;
        let read = (first..PAGES).find(|page| is_set(&bits, *page));
        same("a page that was only read and is in the log", read, None)?;
    }
    Ok(())
}

fn a_page_is_not_smaller_than_was_asked_for<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for asked in [PAGE, 16 * PAGE] {
        rig.power_on();
        let result = rig.device(FIRST).dma_log_start(&[GUEST_MEMORY], asked);
        let granule = done("a start of the log", result)?;
        holds("the page is a power of two", granule.is_power_of_two() && granule >= PAGE)?;
        at_work(rig)?;
        is_logged(rig)?;
    }
    Ok(())
}

fn a_report_clears_what_it_tells<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    log(rig)?;
    at_work(rig)?;
    at_rest(rig)?;
    let mut bits = [0; PAGES / 8];
    report(rig, &mut bits)?;
    same("pages of a second report", bits.iter().any(|byte| *byte != 0), false)?;
    rig.go(FIRST, RUNNING)?;
    is_logged(rig).map(drop)
}

/// What is asked for of one half stays in the log of the other.
fn a_report_clears_only_what_it_tells<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let granule = log(rig)?;
    at_work(rig)?;
    rig.run(200_000);
    rig.go(FIRST, state::STOP)?;
    let half = DmaRange { byte_count: WRITTEN.byte_count / 2, ..WRITTEN };
    let (mut all, mut part) = ([0; PAGES / 8], [0; PAGES / 8]);
    let result = rig.device(FIRST).dma_log_report(half, PAGE, &mut part);
    done("a report of a part of the log", result)?;
    report(rig, &mut all)?;
    let pages = (half.byte_count / PAGE) as usize;
    if granule <= half.byte_count {
        let again = (0..pages).find(|page| is_set(&all, *page) && is_set(&part, *page));
        same("a page that is told twice", again, None)?;
    }
    holds("there are pages in both halves", part.iter().any(|byte| *byte != 0))?;
    holds("and the other half has kept its own", (pages..PAGES).any(|page| is_set(&all, page)))
}

fn a_report_sets_bits_and_clears_none<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    log(rig)?;
    at_work(rig)?;
    let mut bits: Bits = [0xa5; PAGES / 8];
    report(rig, &mut bits)?;
    holds("the caller's bits are still there", bits.iter().all(|byte| byte & 0xa5 == 0xa5))?;
    at_rest(rig)?;
    let mut bits: Bits = [0x5a; PAGES / 8];
    report(rig, &mut bits)?;
    same("the caller's bits when nothing was written", bits, [0x5a; PAGES / 8])
}

fn a_report_may_have_pages_of_another_size<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for (logged, told) in [(PAGE, 8 * PAGE), (8 * PAGE, PAGE)] {
        rig.power_on();
        let result = rig.device(FIRST).dma_log_start(&[GUEST_MEMORY], logged);
        done("a start of the log", result)?;
        let before = rig.bench.guest_memory(FIRST);
        at_work(rig)?;
        rig.run(100_000);
        rig.go(FIRST, state::STOP)?;
        let after = rig.bench.guest_memory(FIRST);
        let mut bits = [0; PAGES / 8];
        let result = rig.device(FIRST).dma_log_report(GUEST_MEMORY, told, &mut bits);
        done("a report by pages of another size", result)?;
        let pages = before.chunks(told as usize).zip(after.chunks(told as usize));
        let mut changed = pages.enumerate().filter(|(_, (a, b))| a != b).map(|(page, _)| page);
        let missed = changed.find(|page| !is_set(&bits, *page));
        same(format!("a page of {told} bytes that is not in the report"), missed, None)?;
        let behind = (GUEST_MEMORY.byte_count / told) as usize;
        let wild = (behind..PAGES).find(|page| is_set(&bits, *page));
        same("a bit behind those of the range", wild, None)?;
    }
    Ok(())
}

fn a_log_is_not_started_twice<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    log(rig)?;
    let result = rig.device(FIRST).dma_log_start(&[GUEST_MEMORY], PAGE);
    fails("a second start of the log", result)?;
    // And the first goes on.
    at_work(rig)?;
    is_logged(rig).map(drop)
}

fn a_log_that_is_not_started_is_not_stopped<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    fails("a stop of no log", rig.device(FIRST).dma_log_stop())?;
    log(rig)?;
    done("a stop of the log", rig.device(FIRST).dma_log_stop())?;
    fails("a second stop of the log", rig.device(FIRST).dma_log_stop())
}

fn a_log_that_is_not_started_is_not_reported<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for stopped in [false, true] {
        if stopped {
            log(rig)?;
            done("a stop of the log", rig.device(FIRST).dma_log_stop())?;
        }
        let mut bits: Bits = [0; PAGES / 8];
        let result = rig.device(FIRST).dma_log_report(GUEST_MEMORY, PAGE, &mut bits);
        refused("a report of no log", result, errno::EINVAL)?;
        same("bits of a report that is refused", bits, [0; PAGES / 8])?;
    }
    Ok(())
}

fn a_log_that_is_stopped_can_be_started_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    log(rig)?;
    at_work(rig)?;
    rig.go(FIRST, state::STOP)?;
    done("a stop of the log", rig.device(FIRST).dma_log_stop())?;
    log(rig)?;
    let mut bits = [0; PAGES / 8];
    report(rig, &mut bits)?;
    same("pages of a new log", bits.iter().any(|byte| *byte != 0), false)?;
    rig.go(FIRST, RUNNING)?;
    is_logged(rig).map(drop)
}

/// It has nothing to do with states, nor with resets: bus addresses are the host's.
fn it_goes_on_in_every_state<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    log(rig)?;
    at_work(rig)?;
    is_logged(rig)?;
    for at in ASKED.into_iter().filter(|at| *at != RESUMING) {
        rig.go_by(FIRST, &[at, RUNNING])?;
        rig.run(50_000);
        is_logged(rig)?;
    }
    // What was written just before a stop is in the report after it.
    let before = rig.bench.guest_memory(FIRST);
    rig.run(50_000);
    let bytes = rig.save(FIRST, &[PRE_COPY, STOP_COPY])?;
    let after = rig.bench.guest_memory(FIRST);
    let mut bits = [0; PAGES / 8];
    report(rig, &mut bits)?;
    let pages = before.chunks(PAGE as usize).zip(after.chunks(PAGE as usize));
    let mut changed = pages.enumerate().filter(|(_, (a, b))| a != b).map(|(page, _)| page);
    same("a page that is missed", changed.find(|page| !is_set(&bits, *page)), None)?;
    rig.load(FIRST, &bytes)?;
    rig.go(FIRST, RUNNING)?;
    is_logged(rig)?;
    rig.reset(FIRST)?;
    at_work(rig)?;
    is_logged(rig)?;
    done("a stop of the log", rig.device(FIRST).dma_log_stop())
}
