//! Partitions and apertures.

use super::rig::{PATIENCE_NS, PROFILE, Rig, STEP_NS, gfid, placement, window};
use super::verdict::{Verdict, holds, needs, nothing, same};
use super::{Access, Bench, Trouble, rules};
use godwit_hal::{Apertures, Channels, Interrupts, Partitions};
use godwit_types::{BarMode, PAGE_BYTES};

rules!("partitions, apertures":
    the_device_has_room_for_the_suite,
    a_partition_is_answered_once,
    a_partition_that_is_set_again_keeps_its_bytes,
    partitions_are_apart,
    a_cleared_partition_has_no_address,
    partitions_that_are_set_together_are_all_answered,
    an_open_window_shows_the_partition,
    a_window_in_each_mode_does_what_the_mode_says,
    a_window_shows_the_partition_from_its_offset,
    a_window_that_is_not_bound_yet_is_not_answered,
    windows_that_are_bound_together_are_all_answered,
);

fn the_device_has_room_for_the_suite<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let identity = rig.hardware().identity();
    holds("room for the third vGPU", placement(2).check(&PROFILE, &identity).is_ok())
}

fn a_partition_is_answered_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    nothing("an answer to nothing", rig.hardware().poll_partition())?;
    rig.vgpu(0)?;
    rig.pass(STEP_NS);
    nothing("a second answer", rig.hardware().poll_partition())
}

fn a_partition_that_is_set_again_keeps_its_bytes<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.bench.write(gfid, 0x1000, &[1, 2, 3]);
    rig.vgpu(0)?;
    let mut bytes = [0; 3];
    rig.bench.read(gfid, 0x1000, &mut bytes);
    holds("the bytes", bytes == [1, 2, 3])
}

fn partitions_are_apart<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let (one, other) = (rig.vgpu(0)?, rig.vgpu(1)?);
    for at in [0, PROFILE.fb_bytes - 4] {
        rig.bench.write(one, at, &[1; 4]);
        rig.bench.write(other, at, &[2; 4]);
        let mut bytes = [0; 4];
        holds("a read", rig.bench.read(one, at, &mut bytes))?;
        holds("bytes at an address that the neighbour wrote, too", bytes == [1; 4])?;
    }
    Ok(())
}

fn a_cleared_partition_has_no_address<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    holds("an address", rig.bench.write(gfid, 0, &[1]))?;
    rig.hardware().clear_partition(gfid);
    let answer = rig.until(Partitions::poll_partition);
    same("answer to `clear_partition`", answer, Some(gfid))?;
    same("an address", rig.bench.read(gfid, 0, &mut [0]), false)
}

fn partitions_that_are_set_together_are_all_answered<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for index in 0..3 {
        rig.hardware().set_partition(gfid(index), &placement(index), &PROFILE);
    }
    let mut left = [true; 3];
    for _ in 0..3 {
        let answer = rig.until(Partitions::poll_partition);
        let index = (0..3).find(|index| answer == Some(gfid(*index)));
        let Some(index) = index else {
            return holds("an answer for each", false);
        };
        holds("one answer for each", core::mem::take(&mut left[usize::from(index)]))?;
    }
    Ok(())
}

fn an_open_window_shows_the_partition<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(1)?;
    rig.open(1, BarMode::Direct)?;
    let base = placement(1).bar_base;
    same("a write", rig.bench.bar_write(base + 0x123, &[7, 8, 9]), Access::Passed)?;
    let mut bytes = [0; 3];
    rig.bench.read(gfid, 0x123, &mut bytes);
    holds("bytes in the partition", bytes == [7, 8, 9])?;
    let end = base + PROFILE.bar_bytes;
    same("a read past the end", rig.bench.bar_read(end, &mut bytes), Access::Refused)
}

fn a_window_in_each_mode_does_what_the_mode_says<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.bench.write(gfid, 0, &[5]);
    for (mode, meets) in [
        (BarMode::Direct, Access::Passed),
        (BarMode::Blocked, Access::Refused),
        (BarMode::Trap, Access::Trapped),
        (BarMode::Blocked, Access::Refused),
        (BarMode::Direct, Access::Passed),
    ] {
        rig.open(0, mode)?;
        same("a write", rig.bench.bar_write(0, &[6]), meets)?;
        same("a read", rig.bench.bar_read(0, &mut [0]), meets)?;
        let mut byte = [0];
        rig.bench.read(gfid, 0, &mut byte);
        same("whether the write is in the partition", byte == [6], meets == Access::Passed)?;
        rig.bench.write(gfid, 0, &[5]);
    }
    Ok(())
}

fn a_window_shows_the_partition_from_its_offset<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.open(0, BarMode::Blocked)?;
    let mut moved = window(0, BarMode::Direct);
    moved.fb_offset = u64::from(PAGE_BYTES) * 3;
    moved.byte_count = u64::from(PAGE_BYTES);
    rig.hardware().bind_aperture(gfid, &moved);
    let answer = rig.until(Apertures::poll_aperture);
    same("answer to `bind_aperture`", answer, Some(gfid))?;
    rig.bench.write(gfid, moved.fb_offset, &[0x5a]);
    let mut byte = [0];
    same("a read", rig.bench.bar_read(moved.bar_base, &mut byte), Access::Passed)?;
    holds("its byte", byte == [0x5a])?;
    let past = moved.bar_base + moved.byte_count;
    same("a read past the length", rig.bench.bar_read(past, &mut byte), Access::Refused)
}

fn a_window_that_is_not_bound_yet_is_not_answered<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    const STUCK_NS: u64 = PATIENCE_NS / 4;
    let gfid = rig.vgpu(0)?;
    rig.open(0, BarMode::Direct)?;
    let stuck = rig.bench.provoke(Trouble::ApertureStuckNs(STUCK_NS));
    needs(stuck, "the bench cannot hold a bind up")?;
    rig.hardware().bind_aperture(gfid, &window(0, BarMode::Blocked));
    for _ in 0..STUCK_NS / STEP_NS - 1 {
        rig.hardware().collect();
        nothing("an answer while PENDING is set", rig.hardware().poll_aperture())?;
        rig.bench.pass(STEP_NS);
    }
    let answer = rig.until(Apertures::poll_aperture);
    same("the answer", answer, Some(gfid))?;
    same("an access then", rig.bench.bar_write(0, &[1]), Access::Refused)
}

fn windows_that_are_bound_together_are_all_answered<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for index in 0..3 {
        rig.vgpu(index)?;
    }
    for index in 0..3 {
        rig.hardware().bind_aperture(gfid(index), &window(index, BarMode::Direct));
    }
    let mut left = [true; 3];
    for _ in 0..3 {
        let answer = rig.until(Apertures::poll_aperture);
        let index = (0..3).find(|index| answer == Some(gfid(*index)));
        let Some(index) = index else {
            return holds("an answer for each", false);
        };
        holds("one answer for each", core::mem::take(&mut left[usize::from(index)]))?;
        let base = placement(index).bar_base;
        same("an access after the answer", rig.bench.bar_write(base, &[1]), Access::Passed)?;
    }
    rig.pass(STEP_NS);
    nothing("a fourth answer", rig.hardware().poll_aperture())
}
