//! The guest's view: doorbell tokens, time, vectors.

use super::rig::{PROFILE, Rig, STEP_NS, gfid, placement, route};
use super::verdict::{Verdict, holds, same};
use super::{Bench, Work, rules};
use godwit_hal::{Channels, Interrupts, Partitions, Routes, Timer};
use godwit_types::{Route, RunlistId, Vector};

rules!("routes":
    a_token_rings_the_channel_of_its_own_route,
    a_token_past_the_route_rings_nothing,
    a_route_can_be_moved,
    the_guests_clock_is_the_devices_and_the_offset,
    injected_vectors_reach_the_host_once,
    vectors_gather_while_the_route_is_closed,
    injections_that_follow_at_once_are_all_raised,
    a_vector_of_the_work_is_raised,
    each_interrupt_is_counted_for_its_own_vgpu,
    interrupts_are_counted_for_an_id_whoever_has_it,
);

const COMPUTE: RunlistId = RunlistId::COMPUTE;

fn a_token_rings_the_channel_of_its_own_route<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for index in 0..2 {
        rig.vgpu(index)?;
        rig.bind(index, 6, COMPUTE);
    }
    for index in [1, 0] {
        holds("the guest's token", rig.bench.ring(gfid(index), 6))?;
        rig.pass(STEP_NS);
        let expected = super::rig::channel(index, 6);
        same("the channel that rings", rig.hardware().poll_doorbell(), Some(expected))?;
    }
    Ok(())
}

fn a_token_past_the_route_rings_nothing<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    rig.vgpu(1)?;
    rig.bind(1, 0, COMPUTE);
    for token in [u32::from(PROFILE.channel_count), 0x1_0000, u32::MAX] {
        same("a token past the route", rig.bench.ring(gfid(0), token), false)?;
    }
    same("a token of a vGPU without a route", rig.bench.ring(gfid(2), 0), false)?;
    rig.pass(STEP_NS);
    let found = rig.hardware().poll_doorbell();
    super::verdict::nothing("a doorbell", found)
}

fn a_route_can_be_moved<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let moved = Route { channel_base: placement(2).channel_base, channel_count: 1, ..route(0) };
    let mut config = super::rig::config(2, 0, COMPUTE);
    config.gfid = gfid;
    let id = super::rig::channel(2, 0);
    rig.hardware().bind_channel(id, &config);
    rig.hardware().set_route(gfid, &moved);
    rig.pass(STEP_NS);
    holds("the token", rig.bench.ring(gfid, 0))?;
    rig.pass(STEP_NS);
    same("the channel that rings", rig.hardware().poll_doorbell(), Some(id))?;
    same("a token past the new count", rig.bench.ring(gfid, 1), false)
}

fn the_guests_clock_is_the_devices_and_the_offset<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let now_ns = rig.hardware().now_ns();
    for time_offset_ns in [0, 0x12_3456_789a, 0u64.wrapping_sub(now_ns)] {
        rig.hardware().set_route(gfid, &Route { time_offset_ns, ..route(0) });
        rig.pass(STEP_NS);
        let before_ns = rig.hardware().now_ns().wrapping_add(time_offset_ns);
        let guest_ns = rig.bench.guest_time_ns(gfid);
        let after_ns = rig.hardware().now_ns().wrapping_add(time_offset_ns);
        let within = before_ns <= guest_ns && guest_ns <= after_ns;
        holds("the guest's time between two looks at the device's", within)?;
    }
    Ok(())
}

fn injected_vectors_reach_the_host_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let (gfid, other) = (rig.vgpu(0)?, rig.vgpu(1)?);
    rig.hardware().inject_vectors(gfid, 0b1001);
    rig.pass(STEP_NS);
    same("vectors that are pending", rig.hardware().pending_vectors(gfid), 0b1001)?;
    same("vectors of the neighbour", rig.bench.take_vectors(other), 0)?;
    same("vectors that the host takes", rig.bench.take_vectors(gfid), 0b1001)?;
    same("vectors that the host takes again", rig.bench.take_vectors(gfid), 0)?;
    same("vectors that are pending then", rig.hardware().pending_vectors(gfid), 0)
}

fn vectors_gather_while_the_route_is_closed<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.hardware().set_route(gfid, &Route { interrupts_open: false, ..route(0) });
    for vectors in [1, 1 << 31, 1] {
        rig.hardware().inject_vectors(gfid, vectors);
        rig.pass(STEP_NS);
        same("vectors of a closed route", rig.bench.take_vectors(gfid), 0)?;
    }
    let pending = rig.hardware().pending_vectors(gfid);
    same("vectors that are pending", pending, 1 | 1 << 31)?;
    rig.hardware().set_route(gfid, &route(0));
    rig.pass(STEP_NS);
    same("vectors when it is open", rig.bench.take_vectors(gfid), 1 | 1 << 31)
}

fn injections_that_follow_at_once_are_all_raised<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    for vector in 0..4 {
        rig.hardware().inject_vectors(gfid, 1 << vector);
    }
    rig.pass(STEP_NS);
    same("all four", rig.bench.take_vectors(gfid), 0b1111)
}

fn a_vector_of_the_work_is_raised<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.bind(0, 0, COMPUTE);
    let vector = Vector::new(11).expect("below the count");
    rig.push(0, Work::Notify(vector));
    rig.run_idle(COMPUTE, 0)?;
    rig.hardware().collect();
    same("the vector", rig.bench.take_vectors(gfid), 1 << 11)
}

/// How many interrupts the vGPU in a place has had.
fn interrupts<B: Bench>(rig: &mut Rig<'_, B>, index: u16) -> u32 {
    rig.hardware().interrupts(gfid(index))
}

fn each_interrupt_is_counted_for_its_own_vgpu<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.vgpu(1)?;
    rig.bind(0, 0, COMPUTE);
    same("interrupts at power-on", interrupts(rig, 0), 0)?;
    // Nobody takes the vector meanwhile, and each counts all the same.
    let vector = Vector::new(11).expect("below the count");
    (0..3).for_each(|_| rig.push(0, Work::Notify(vector)));
    rig.run_idle(COMPUTE, 0)?;
    same("interrupts of the work", interrupts(rig, 0), 3)?;
    rig.hardware().inject_vectors(gfid, 1 << 4);
    rig.pass(STEP_NS);
    same("interrupts, that of the firmware included", interrupts(rig, 0), 4)?;
    rig.bench.take_vectors(gfid);
    same("interrupts that the host has taken", interrupts(rig, 0), 4)?;
    same("interrupts of the neighbour", interrupts(rig, 1), 0)
}

fn interrupts_are_counted_for_an_id_whoever_has_it<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    rig.hardware().inject_vectors(gfid, 1);
    rig.pass(STEP_NS);
    rig.hardware().clear_partition(gfid);
    same("answer to `clear_partition`", rig.until(Partitions::poll_partition), Some(gfid))?;
    rig.vgpu(0)?;
    same("interrupts since the device came up", interrupts(rig, 0), 1)
}
