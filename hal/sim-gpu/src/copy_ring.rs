//! The engine of the firmware's privileged copy ring: one operation at a time, in order.

use crate::board::Board;
use crate::partition::Partition;
use godwit_mmio::SharedWords;
use godwit_mmio::device::{CopyPoll, CopyView};
use godwit_regs::copy::PageRun;
use godwit_sys::MemFile;
use godwit_types::{
    CopyDone, CopyOp, CopyRequest, CopyStatus, Gfid, PAGE_BYTES, SLOT_BYTES, SlotId, SlotRange,
};
use std::io;

/// An operation under way.
#[derive(Debug)]
struct Job {
    work: Work,
    end_ns: u64,
}

/// What is left to do of an operation when its time is over.
#[derive(Debug)]
enum Work {
    /// To answer; a gather fills its slot while the time runs.
    Answer(CopyDone),
    /// To flip the log; the aperture is compared while the time runs.
    Flip { tag: u16, gfid: Gfid, changed: Vec<u32> },
    /// To do it, then to answer.
    Apply { request: CopyRequest, bad_crc: bool },
}

/// The copy engine.
#[derive(Debug)]
pub(crate) struct CopyEngine {
    view: CopyView<SharedWords>,
    job: Option<Job>,
    /// A private copy of a slot's data on its way: what is checked is what is written.
    bounce: Box<Bounce>,
}

type Bounce = [u8; SLOT_BYTES as usize];

fn failed(tag: u16, status: CopyStatus) -> CopyDone {
    CopyDone { tag, status, crc: 0, byte_count: 0, pages: 0 }
}

impl CopyEngine {
    pub(crate) fn new(words: SharedWords) -> Self {
        Self { view: CopyView::new(words), job: None, bounce: Box::new([0; SLOT_BYTES as usize]) }
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.job.as_ref().map(|job| job.end_ns)
    }

    /// Does everything that is due now, and takes up the next operation.
    pub(crate) fn settle(&mut self, board: &mut Board) {
        loop {
            if self.job.is_none() {
                self.job = match self.view.poll() {
                    CopyPoll::Empty => return,
                    CopyPoll::Malformed => Some(Job {
                        work: Work::Answer(failed(0, CopyStatus::OutOfRange)),
                        end_ns: board.now_ns + board.costs.copy_setup_ns.max(1),
                    }),
                    CopyPoll::Request(request) => Some(begin(board, request)),
                };
            }
            let Some(job) = self.job.take_if(|job| job.end_ns <= board.now_ns) else {
                return;
            };
            let done = match job.work {
                Work::Answer(done) => done,
                Work::Flip { tag, gfid, changed } => flip(board, tag, gfid, &changed),
                Work::Apply { request, bad_crc } => {
                    apply(board, &request, bad_crc, &mut self.bounce)
                }
            };
            self.view.finish(&done);
            board.raised = true;
        }
    }
}

/// Takes up an operation: how long it takes, and what is to do then.
fn begin(board: &mut Board, request: CopyRequest) -> Job {
    let to_slot = matches!(request.op, CopyOp::Gather { .. } | CopyOp::ContextToSlot { .. });
    let factor = board.faults.take_copy_slow().unwrap_or(1);
    let error = board.faults.take_copy_error();
    let bad_crc = to_slot && board.faults.take_copy_bad_crc();
    let planned = if error { Err(CopyStatus::Error) } else { plan(board, request, bad_crc) };
    let (work, bytes_ns) =
        planned.unwrap_or_else(|status| (Work::Answer(failed(request.tag, status)), 0));
    let setup_ns = board.costs.copy_setup_ns.max(1);
    let ns = setup_ns.saturating_add(bytes_ns).saturating_mul(factor);
    Job { work, end_ns: board.now_ns.saturating_add(ns) }
}

/// What is to do, and the time that it takes besides its setup. Zeros are free where there is
/// a hole.
fn plan(board: &mut Board, request: CopyRequest, bad_crc: bool) -> Result<(Work, u64), CopyStatus> {
    let CopyRequest { tag, gfid, op } = request;
    let costs = board.costs;
    let staged_ns = |range: SlotRange| costs.staged_ns(u64::from(range.byte_count));
    let cleared_ns = |file: &MemFile, at, byte_count| {
        let bytes = data_bytes(file, at, byte_count).map_err(|_| CopyStatus::Error)?;
        Ok(costs.copied_ns(bytes))
    };
    let bytes_ns = match op {
        CopyOp::DirtyStart | CopyOp::DirtyStop => 0,
        CopyOp::DirtyFlip { bar_bytes } => {
            let home = board.vgpus[gfid].home.as_mut().ok_or(CopyStatus::OutOfRange)?;
            if bar_bytes > home.partition.file().len() {
                return Err(CopyStatus::OutOfRange);
            }
            let compared = home.dirty.compare(&home.partition, bar_bytes);
            let compared = compared.map_err(|_| CopyStatus::Error)?;
            let work = Work::Flip { tag, gfid, changed: compared.changed };
            return Ok((work, costs.hashed_ns(compared.byte_count)));
        }
        CopyOp::Gather { first, slot } => {
            let found = gather(board, gfid, first, slot, bad_crc)?;
            let done = CopyDone { tag, ..found };
            return Ok((Work::Answer(done), costs.staged_ns(u64::from(done.byte_count))));
        }
        CopyOp::Scatter { from, .. } | CopyOp::SlotToContext { from, .. } => staged_ns(from),
        CopyOp::ContextToSlot { to, .. } => staged_ns(to),
        CopyOp::FillFb { at, byte_count } => match board.partition(gfid) {
            Some(partition) => cleared_ns(partition.file(), at, byte_count)?,
            None => 0,
        },
        CopyOp::FillContext { at, byte_count } => cleared_ns(&board.context, at, byte_count)?,
        CopyOp::FillSlot { .. } => costs.copied_ns(u64::from(SLOT_BYTES)),
    };
    Ok((Work::Apply { request, bad_crc }, bytes_ns))
}

fn flip(board: &mut Board, tag: u16, gfid: Gfid, changed: &[u32]) -> CopyDone {
    let Some(home) = board.vgpus[gfid].home.as_mut() else {
        return failed(tag, CopyStatus::OutOfRange);
    };
    let pages = home.dirty.flip(&mut home.partition, changed);
    CopyDone { pages, ..failed(tag, CopyStatus::Done) }
}

/// Bytes of a range that are not in holes.
fn data_bytes(file: &MemFile, at: u64, byte_count: u64) -> io::Result<u64> {
    let end = at.saturating_add(byte_count).min(file.len());
    let (mut from, mut total) = (at, 0);
    while from < end {
        let Some(data) = file.next_data(from)? else {
            break;
        };
        let (first, last) = (data.start.min(end), data.end.min(end));
        total += last - first;
        from = data.end;
    }
    Ok(total)
}

fn apply(board: &mut Board, request: &CopyRequest, bad_crc: bool, bounce: &mut Bounce) -> CopyDone {
    let tag = request.tag;
    match perform(board, request, bounce) {
        Ok(mut done) => {
            if bad_crc {
                done.crc = !done.crc;
            }
            done
        }
        Err(status) => failed(tag, status),
    }
}

fn perform(
    board: &mut Board,
    request: &CopyRequest,
    bounce: &mut Bounce,
) -> Result<CopyDone, CopyStatus> {
    let gfid = request.gfid;
    let mut done = failed(request.tag, CopyStatus::Done);
    match request.op {
        CopyOp::DirtyStart => {
            let home = board.vgpus[gfid].home.as_mut().ok_or(CopyStatus::OutOfRange)?;
            home.dirty.start(&mut home.partition).map_err(|_| CopyStatus::Error)?;
        }
        CopyOp::DirtyStop => {
            let home = board.vgpus[gfid].home.as_mut().ok_or(CopyStatus::OutOfRange)?;
            home.dirty.stop(&mut home.partition);
        }
        // Planned as other work than this.
        CopyOp::DirtyFlip { .. } | CopyOp::Gather { .. } => {}
        CopyOp::Scatter { from, crc } => scatter(board, gfid, from, crc, bounce)?,
        CopyOp::FillFb { at, byte_count } => {
            // Where there is none there is nothing to clear: a vGPU for which the system had no
            // memory can be released.
            let Some(partition) = board.partition_mut(gfid) else { return Ok(done) };
            zero(partition.file().len(), at, byte_count, || partition.zero(at, byte_count))?;
            board.note_write(gfid);
        }
        CopyOp::ContextToSlot { at, to } => {
            let bytes = part_of(bounce, to)?;
            let read = board.context.read(at, bytes);
            read.map_err(|_| CopyStatus::OutOfRange)?;
            let staged = board.staging.write(to.slot, 0, bytes);
            staged.map_err(|_| CopyStatus::OutOfRange)?;
            (done.crc, done.byte_count) = (crc_fast::crc32_iscsi(bytes), to.byte_count);
        }
        CopyOp::SlotToContext { from, at, crc } => {
            let bytes = take_slot(board, from, crc, bounce)?;
            let written = board.context.write(at, bytes);
            written.map_err(|_| CopyStatus::OutOfRange)?;
        }
        CopyOp::FillContext { at, byte_count } => {
            zero(board.context.len(), at, byte_count, || board.context.zero(at, byte_count))?;
        }
        CopyOp::FillSlot { slot } => {
            board.staging.zero(slot).map_err(|_| CopyStatus::Error)?;
        }
    }
    Ok(done)
}

/// Makes a range zero with `by`, unless it goes past `len`.
fn zero(
    len: u64,
    at: u64,
    byte_count: u64,
    by: impl FnOnce() -> io::Result<()>,
) -> Result<(), CopyStatus> {
    match at.checked_add(byte_count) {
        Some(end) if end <= len => by().map_err(|_| CopyStatus::Error),
        _ => Err(CopyStatus::OutOfRange),
    }
}

fn part_of(bounce: &mut Bounce, range: SlotRange) -> Result<&mut [u8], CopyStatus> {
    bounce.get_mut(..range.byte_count as usize).ok_or(CopyStatus::OutOfRange)
}

/// A private copy of a slot's bytes, which have this CRC.
fn take_slot<'a>(
    board: &Board,
    from: SlotRange,
    crc: u32,
    bounce: &'a mut Bounce,
) -> Result<&'a [u8], CopyStatus> {
    let bytes = part_of(bounce, from)?;
    let read = board.staging.read(from.slot, 0, bytes);
    read.map_err(|_| CopyStatus::OutOfRange)?;
    if crc_fast::crc32_iscsi(bytes) != crc {
        return Err(CopyStatus::BadCrc);
    }
    Ok(bytes)
}

/// Fills the slot, and says what to answer when the time is over.
fn gather(
    board: &mut Board,
    gfid: Gfid,
    first: u32,
    slot: SlotId,
    bad_crc: bool,
) -> Result<CopyDone, CopyStatus> {
    let staging = &board.staging;
    let home = board.vgpus[gfid].home.as_mut().ok_or(CopyStatus::OutOfRange)?;
    let found = home
        .dirty
        .gather(&home.partition, first, |at, page| {
            staging.write(slot, at, page).map_err(io::Error::other)
        })
        .map_err(|_| CopyStatus::Error)?;
    staging.set_runs(slot, &found.runs).map_err(|_| CopyStatus::Error)?;
    let mut done = failed(0, CopyStatus::Done);
    (done.crc, done.byte_count, done.pages) = (found.crc, found.byte_count, found.next);
    if bad_crc {
        // Whoever checks will ask for these pages again.
        done.crc = !done.crc;
    } else {
        home.dirty.settle(&found.runs);
    }
    Ok(done)
}

/// Writes a slot's pages; nothing when anything about them is wrong.
fn scatter(
    board: &mut Board,
    gfid: Gfid,
    from: SlotRange,
    crc: u32,
    bounce: &mut Bounce,
) -> Result<(), CopyStatus> {
    let bytes = take_slot(board, from, crc, bounce)?;
    let runs = board.staging.runs(from.slot);
    let runs = runs.map_err(|_| CopyStatus::OutOfRange)?;
    let partition = board.partition_mut(gfid).ok_or(CopyStatus::OutOfRange)?;
    let page_count = partition.page_count();
    let inside = |run: &PageRun| run.first + run.count <= page_count;
    let data_bytes: u64 = runs.iter().map(|run| run.data_bytes()).sum();
    if !runs.iter().all(inside) || data_bytes != bytes.len() as u64 {
        return Err(CopyStatus::OutOfRange);
    }
    let mut rest = bytes;
    for run in &runs {
        scatter_run(partition, run, &mut rest).map_err(|_| CopyStatus::Error)?;
    }
    board.note_write(gfid);
    Ok(())
}

fn scatter_run(partition: &mut Partition, run: &PageRun, rest: &mut &[u8]) -> io::Result<()> {
    let page = u64::from(PAGE_BYTES);
    let at = u64::from(run.first) * page;
    if run.zero {
        return partition.zero(at, u64::from(run.count) * page);
    }
    let (bytes, left) = rest.split_at(run.data_bytes() as usize);
    *rest = left;
    partition.write(at, bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
