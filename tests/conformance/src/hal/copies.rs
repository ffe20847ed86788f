//! The copy ring: order, room, and the operations on contexts, slots and ranges.

use super::rig::{PROFILE, Rig, STEP_NS, gfid, placement, slot};
use super::verdict::{Fact, Verdict, holds, needs, nothing, same};
use super::{Bench, Trouble, rules};
use crc::{CRC_32_ISCSI, Crc, Digest};
use godwit_hal::{Channels, CopyRing};
use godwit_types::{
    COPY_RING_ENTRIES, CopyOp, CopyRequest, CopyStatus, PAGE_BYTES, SLOT_BYTES, SlotRange,
};

rules!("copy ring":
    answers_come_in_order_and_once,
    a_full_ring_refuses_and_does_nothing,
    room_comes_back_with_the_answers,
    the_ring_goes_round_many_times,
    a_range_of_the_partition_is_filled_with_zeros,
    a_context_goes_to_a_slot_and_back,
    a_context_buffer_is_filled_with_zeros,
    a_slot_is_filled_with_zeros_and_so_is_its_table,
    bytes_with_another_crc_are_not_written,
    what_lies_outside_is_refused_and_not_written,
    an_operation_that_fails_says_so_and_the_next_succeeds,
);

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// CRC-32C, computed by other code than the device's.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// The same, of bytes that come in pieces.
pub(super) fn digest() -> Digest<'static, u32> {
    CRC.digest()
}

/// Submits scrubs of a slot until the ring takes no more; how many it took.
fn fill<B: Bench>(rig: &mut Rig<'_, B>, limit: u32) -> u32 {
    for count in 0..limit {
        let tag = 1000 + count as u16;
        let op = CopyOp::FillSlot { slot: slot(2) };
        if !rig.hardware().submit_copy(&CopyRequest { tag, gfid: gfid(0), op }) {
            return count;
        }
    }
    limit
}

fn answers_come_in_order_and_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    nothing("an answer to nothing", rig.hardware().poll_copy().map(|done| done.pages))?;
    let count = fill(rig, 4);
    for tag in 1000..1000 + count as u16 {
        let done = rig.until(CopyRing::poll_copy).map(|done| (done.tag, done.status));
        let found = done.map_or(Fact::Nothing, |(tag, status)| Fact::Copy(tag, status));
        same("the next answer", found, Fact::Copy(tag, CopyStatus::Done))?;
    }
    rig.pass(20 * STEP_NS);
    nothing("an answer after the last", rig.hardware().poll_copy().map(|done| done.pages))
}

fn a_full_ring_refuses_and_does_nothing<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let room = u32::from(rig.hardware().copy_room());
    holds("room at first", (1..=u32::from(COPY_RING_ENTRIES)).contains(&room))?;
    same("operations that are taken", fill(rig, 2 * room), room)?;
    same("room then", u32::from(rig.hardware().copy_room()), 0)?;
    let mut answers = 0;
    while rig.until(CopyRing::poll_copy).is_some() {
        answers += 1;
    }
    same("answers", answers, room)
}

fn room_comes_back_with_the_answers<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let room = u32::from(rig.hardware().copy_room());
    fill(rig, room);
    for count in 1..=room {
        holds("an answer", rig.until(CopyRing::poll_copy).is_some())?;
        same("room", u32::from(rig.hardware().copy_room()), count)?;
    }
    Ok(())
}

fn the_ring_goes_round_many_times<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    for _ in 0..5 * u32::from(COPY_RING_ENTRIES) {
        rig.copy_ends(0, CopyOp::FillFb { at: 0, byte_count: 64 }, CopyStatus::Done)?;
    }
    Ok(())
}

fn a_range_of_the_partition_is_filled_with_zeros<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let (gfid, other) = (rig.vgpu(0)?, rig.vgpu(1)?);
    let page = u64::from(PAGE_BYTES);
    rig.bench.write(gfid, page - 8, &[0xff; PAGE_BYTES as usize + 16]);
    rig.bench.write(other, page, &[0xff]);
    rig.copy_ends(0, CopyOp::FillFb { at: page, byte_count: page }, CopyStatus::Done)?;
    same("before the range", rig.peek(page - 8), u64::MAX)?;
    same("its first bytes", rig.peek(page), 0)?;
    same("its last bytes", rig.peek(2 * page - 8), 0)?;
    same("after the range", rig.peek(2 * page), u64::MAX)?;
    let mut byte = [0];
    rig.bench.read(other, page, &mut byte);
    holds("the neighbour's bytes", byte == [0xff])
}

fn pattern(seed: u8) -> [u8; PAGE_BYTES as usize] {
    core::array::from_fn(|at| (at as u8).wrapping_mul(seed) ^ (at >> 8) as u8 ^ seed)
}

/// Brings a pattern to a context buffer.
fn put_context<B: Bench>(rig: &mut Rig<'_, B>, at: u64, seed: u8) -> Verdict {
    let bytes = pattern(seed);
    rig.bench.slot_write(slot(3), 0, &bytes);
    let from = SlotRange { slot: slot(3), byte_count: PAGE_BYTES };
    let op = CopyOp::SlotToContext { from, at, crc: crc(&bytes) };
    rig.copy_ends(0, op, CopyStatus::Done).map(drop)
}

/// What is in a context buffer, as another slot brings it out.
fn context<B: Bench>(rig: &mut Rig<'_, B>, at: u64) -> Verdict<[u8; PAGE_BYTES as usize]> {
    let to = SlotRange { slot: slot(4), byte_count: PAGE_BYTES };
    let done = rig.copy_ends(0, CopyOp::ContextToSlot { at, to }, CopyStatus::Done)?;
    let mut bytes = [0; PAGE_BYTES as usize];
    rig.bench.slot_read(slot(4), 0, &mut bytes);
    same("bytes in the slot", done.byte_count, PAGE_BYTES)?;
    same("CRC of the bytes in the slot", done.crc, crc(&bytes))?;
    Ok(bytes)
}

fn a_context_goes_to_a_slot_and_back<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let (one, other) = (placement(0).context_base, placement(1).context_base);
    put_context(rig, one, 5)?;
    put_context(rig, other, 9)?;
    holds("the first context", context(rig, one)? == pattern(5))?;
    holds("the other context", context(rig, other)? == pattern(9))
}

fn a_context_buffer_is_filled_with_zeros<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let at = placement(0).context_base;
    put_context(rig, at, 5)?;
    put_context(rig, at + u64::from(PAGE_BYTES), 7)?;
    let byte_count = u64::from(PAGE_BYTES);
    rig.copy_ends(0, CopyOp::FillContext { at, byte_count }, CopyStatus::Done)?;
    holds("the range", context(rig, at)? == [0; PAGE_BYTES as usize])?;
    holds("what is behind it", context(rig, at + byte_count)? == pattern(7))
}

fn a_slot_is_filled_with_zeros_and_so_is_its_table<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    for at in [0, SLOT_BYTES - 8, SLOT_BYTES] {
        rig.bench.slot_write(slot(5), at, &[0xff; 8]);
        rig.bench.slot_write(slot(6), at, &[0xff; 8]);
    }
    rig.copy_ends(0, CopyOp::FillSlot { slot: slot(5) }, CopyStatus::Done)?;
    for at in [0, SLOT_BYTES - 8, SLOT_BYTES] {
        let mut bytes = [1; 8];
        rig.bench.slot_read(slot(5), at, &mut bytes);
        holds("the slot is zero", bytes == [0; 8])?;
        rig.bench.slot_read(slot(6), at, &mut bytes);
        holds("its neighbour is as it was", bytes == [0xff; 8])?;
    }
    Ok(())
}

fn bytes_with_another_crc_are_not_written<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let at = placement(0).context_base;
    put_context(rig, at, 5)?;
    rig.bench.slot_write(slot(3), 0, &pattern(6));
    let from = SlotRange { slot: slot(3), byte_count: PAGE_BYTES };
    let op = CopyOp::SlotToContext { from, at, crc: !crc(&pattern(6)) };
    rig.copy_ends(0, op, CopyStatus::BadCrc)?;
    holds("the context", context(rig, at)? == pattern(5))
}

fn what_lies_outside_is_refused_and_not_written<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let end = rig.hardware().identity().context_bytes;
    let to = SlotRange { slot: slot(3), byte_count: PAGE_BYTES };
    for op in [
        CopyOp::FillFb { at: PROFILE.fb_bytes - 8, byte_count: 16 },
        CopyOp::FillFb { at: u64::MAX, byte_count: 2 },
        CopyOp::FillContext { at: end, byte_count: 1 },
        CopyOp::ContextToSlot { at: end - 8, to },
        CopyOp::DirtyFlip { bar_bytes: PROFILE.fb_bytes + 1 },
    ] {
        rig.bench.write(gfid(0), PROFILE.fb_bytes - 8, &[1; 8]);
        rig.copy_ends(0, op, CopyStatus::OutOfRange)?;
        let last = rig.peek(PROFILE.fb_bytes - 8);
        same("the last bytes of the partition", last, 0x0101_0101_0101_0101)?;
    }
    // A vGPU without a partition has no range at all, and nothing that would have to be cleared.
    rig.copy_ends(2, CopyOp::DirtyStop, CopyStatus::OutOfRange)?;
    rig.copy_ends(2, CopyOp::FillFb { at: 0, byte_count: 8 }, CopyStatus::Done).map(drop)
}

fn an_operation_that_fails_says_so_and_the_next_succeeds<B: Bench>(
    rig: &mut Rig<'_, B>,
) -> Verdict {
    rig.vgpu(0)?;
    let can = rig.bench.provoke(Trouble::CopyError);
    needs(can, "the bench cannot make a copy fail")?;
    let op = CopyOp::FillSlot { slot: slot(1) };
    rig.copy_ends(0, op, CopyStatus::Error)?;
    rig.copy_ends(0, op, CopyStatus::Done).map(drop)
}
