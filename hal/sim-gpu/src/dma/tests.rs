//! Windows and logs by themselves.

use super::*;

const PAGE: u64 = 4096;

fn gfid(raw: u8) -> Gfid {
    Gfid::new(raw).unwrap()
}

fn window(iova: u64, byte_count: u64) -> DmaWindow {
    let target = DmaTarget::Peer { gfid: gfid(2), offset: 0 };
    DmaWindow { iova, byte_count, read: true, write: true, target }
}

#[test]
fn windows_are_found_by_every_address_that_they_have_and_by_no_other() {
    let mut windows = Windows::default();
    windows.map(window(8 * PAGE, PAGE)).unwrap();
    windows.map(window(2 * PAGE, 2 * PAGE)).unwrap();
    windows.map(window(4 * PAGE, PAGE)).unwrap();
    let found = |iova| windows.find(iova).map(|(window, at)| (window.iova / PAGE, at));
    assert_eq!(found(2 * PAGE - 1), None);
    assert_eq!(found(2 * PAGE), Some((2, 0)));
    assert_eq!(found(4 * PAGE - 1), Some((2, 2 * PAGE - 1)));
    assert_eq!(found(4 * PAGE), Some((4, 0)));
    assert_eq!(found(5 * PAGE), None);
    assert_eq!(found(9 * PAGE - 1), Some((8, PAGE - 1)));
    assert_eq!(found(u64::MAX), None);
}

#[test]
fn a_window_that_overlaps_or_is_one_too_many_is_refused_and_changes_nothing() {
    let mut windows = Windows::default();
    windows.map(window(4 * PAGE, 2 * PAGE)).unwrap();
    for (iova, byte_count) in [(4, 1), (5, 1), (3, 2), (0, 9)] {
        let (iova, byte_count) = (iova * PAGE, byte_count * PAGE);
        let (taken, taken_bytes) = (4 * PAGE, 2 * PAGE);
        let refusal = DmaError::Overlaps { iova, byte_count, taken, taken_bytes };
        assert_eq!(windows.map(window(iova, byte_count)), Err(refusal));
    }
    for index in 1..DMA_WINDOWS_MAX as u64 {
        windows.map(window((10 + index) * PAGE, PAGE)).unwrap();
    }
    assert_eq!(windows.map(window(0, PAGE)), Err(DmaError::TooMany));
    assert_eq!(windows.iter().count(), DMA_WINDOWS_MAX);
}

#[test]
fn a_window_is_unmapped_whole_or_not_at_all() {
    let mut windows = Windows::default();
    windows.map(window(4 * PAGE, 2 * PAGE)).unwrap();
    for (iova, byte_count) in [(4, 1), (5, 1), (4, 3), (0, 2)] {
        let (iova, byte_count) = (iova * PAGE, byte_count * PAGE);
        let refusal = DmaError::NotMapped { iova, byte_count };
        assert_eq!(windows.unmap(iova, byte_count), Err(refusal));
    }
    windows.unmap(4 * PAGE, 2 * PAGE).unwrap();
    assert_eq!(windows.iter().count(), 0);
}

#[test]
fn a_window_that_cannot_be_is_refused_by_its_mistake() {
    let check = |change: fn(&mut DmaWindow)| {
        let mut window = window(PAGE, 2 * PAGE);
        change(&mut window);
        window.check(4 * PAGE)
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|window| window.iova = 5), Err(DmaError::Unaligned(5)));
    assert_eq!(check(|window| window.byte_count = 4097), Err(DmaError::Unaligned(4097)));
    let empty = DmaError::Length { iova: PAGE, byte_count: 0 };
    assert_eq!(check(|window| window.byte_count = 0), Err(empty));
    let (iova, byte_count) = (0u64.wrapping_sub(PAGE), 2 * PAGE);
    let past = DmaError::Length { iova, byte_count };
    assert_eq!(check(|window| window.iova = 0u64.wrapping_sub(PAGE)), Err(past));
    let neither = check(|window| (window.read, window.write) = (false, false));
    assert_eq!(neither, Err(DmaError::NoAccess));
    for offset in [3 * PAGE, 0u64.wrapping_sub(PAGE)] {
        let target = DmaTarget::Peer { gfid: gfid(2), offset };
        let outside = DmaWindow { target, ..window(PAGE, 2 * PAGE) }.check(4 * PAGE);
        let (byte_count, len) = (2 * PAGE, 4 * PAGE);
        assert_eq!(outside, Err(DmaError::Outside { offset, byte_count, len }));
    }
}

const BASE: u64 = 1 << 32;

fn range(page: u64, pages: u64) -> DmaRange {
    DmaRange { iova: BASE + page * PAGE, byte_count: pages * PAGE }
}

fn log() -> Log {
    Log::start(&[range(0, 100), range(200, 10)], PAGE).unwrap()
}

/// The pages that a report of these finds, counted from the first.
fn reported(log: &mut Log, range: DmaRange, page_bytes: u64) -> Vec<u64> {
    let pages = range.byte_count / page_bytes;
    let mut bitmap = vec![0; pages.div_ceil(8) as usize];
    log.report(range, page_bytes, &mut bitmap).unwrap();
    (0..pages).filter(|page| bitmap[(page / 8) as usize] >> (page % 8) & 1 != 0).collect()
}

#[test]
fn each_page_that_is_written_is_reported_once() {
    let mut log = log();
    log.mark(BASE + 3 * PAGE - 1, 2);
    log.mark(BASE + 99 * PAGE, 1);
    log.mark(BASE + 150 * PAGE, 60 * PAGE);
    assert_eq!(reported(&mut log, range(0, 100), PAGE), [2, 3, 99]);
    assert_eq!(reported(&mut log, range(0, 100), PAGE), [0u64; 0]);
    assert_eq!(reported(&mut log, range(200, 10), PAGE), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_report_of_a_part_leaves_the_rest_in_the_log_and_the_callers_bits_set() {
    let mut log = log();
    log.mark(BASE, 100 * PAGE);
    let mut bitmap = [0b1000_0000, 0];
    log.report(range(8, 4), PAGE, &mut bitmap).unwrap();
    assert_eq!(bitmap, [0b1000_1111, 0]);
    let left: Vec<u64> = (0..100).filter(|page| !(8..12).contains(page)).collect();
    assert_eq!(reported(&mut log, range(0, 100), PAGE), left);
}

#[test]
fn reports_may_be_by_larger_pages_and_smaller_ones() {
    let mut log = Log::start(&[range(0, 64)], 4 * PAGE).unwrap();
    log.mark(BASE + 9 * PAGE, 1);
    // Of a page of the log only a part is asked for: it stays.
    assert_eq!(reported(&mut log, range(8, 2), PAGE), [0, 1]);
    assert_eq!(reported(&mut log, range(0, 64), PAGE), [8, 9, 10, 11]);
    assert_eq!(reported(&mut log, range(0, 64), PAGE), [0u64; 0]);
    log.mark(BASE + 9 * PAGE, 1);
    assert_eq!(reported(&mut log, range(0, 64), 16 * PAGE), [0]);
    assert_eq!(reported(&mut log, range(0, 64), 16 * PAGE), [0u64; 0]);
}

#[test]
fn a_log_that_has_lost_track_reports_everything_once() {
    let mut log = log();
    log.lose();
    assert_eq!(reported(&mut log, range(0, 100), PAGE).len(), 100);
    assert_eq!(reported(&mut log, range(0, 100), PAGE).len(), 0);
    assert_eq!(reported(&mut log, range(200, 10), PAGE).len(), 10);
}

#[test]
fn much_memory_is_logged_by_larger_pages_than_asked_for() {
    let all = |byte_count| Log::start(&[DmaRange { iova: 0, byte_count }], PAGE);
    assert_eq!(all(1 << 37).unwrap().page_bytes(), PAGE);
    assert_eq!(all(1 << 38).unwrap().page_bytes(), 2 * PAGE);
    assert_eq!(all(1 << 55).unwrap().page_bytes(), LOG_PAGE_BYTES_MAX);
    assert_eq!(all(1 << 56).err(), Some(DmaLogError::TooLarge));
}

#[test]
fn a_log_or_a_report_that_cannot_be_is_refused_by_its_mistake() {
    let start = |ranges: &[DmaRange], page| Log::start(ranges, page).err();
    for page in [0, 2048, 6144, 1 << 31] {
        assert_eq!(start(&[range(0, 1)], page), Some(DmaLogError::Page(page)));
    }
    assert_eq!(start(&[], PAGE), Some(DmaLogError::Ranges(0)));
    let many: Vec<DmaRange> = (0..65).map(|page| range(2 * page, 1)).collect();
    assert_eq!(start(&many, PAGE), Some(DmaLogError::Ranges(65)));
    for (iova, byte_count) in [(1, PAGE), (0, 1), (0, 0), (0u64.wrapping_sub(PAGE), PAGE)] {
        let found = start(&[DmaRange { iova, byte_count }], PAGE);
        assert_eq!(found, Some(DmaLogError::Range { iova, byte_count, page_bytes: PAGE }));
    }
    let overlap = start(&[range(5, 2), range(4, 2)], PAGE);
    assert_eq!(overlap, Some(DmaLogError::Overlap(BASE + 4 * PAGE, BASE + 5 * PAGE)));
    let mut log = log();
    log.mark(BASE, 1);
    let short = log.report(range(0, 9), PAGE, &mut [0]);
    assert_eq!(short, Err(DmaLogError::Bitmap { found: 1, needed: 2 }));
    for outside in [range(99, 2), range(150, 1), range(0, 210)] {
        let DmaRange { iova, byte_count } = outside;
        let found = log.report(outside, PAGE, &mut [0; 64]);
        assert_eq!(found, Err(DmaLogError::NotLogged { iova, byte_count }));
    }
    assert_eq!(reported(&mut log, range(0, 100), PAGE), [0], "a refusal takes nothing");
}
