//! Random policies, shares and limits, and guests that do not let go of an engine.

use super::CHAOS_NS;
use crate::{Action, HostId, Trigger, VgpuId, World};
use godwit_types::{
    Abuse, Limit, Limits, Measure, Policy, SLICE_NS_MAX, SLICE_NS_MIN, Scheduling, Share,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A preemption that is ignored for so long is obeyed just before the engine counts as hung.
const JUST_IN_TIME_NS: u64 = 999_000;
/// Longer than any deadline.
const NEVER_NS: u64 = 1 << 50;

pub(super) fn random_scheduling(rng: &mut ChaCha8Rng) -> Scheduling {
    let policies = [Policy::BestEffort, Policy::EqualShare, Policy::FixedShare];
    let slice_ns = match rng.random_range(0..8) {
        0 => None,
        1 => Some(rng.random_range(SLICE_NS_MIN..=SLICE_NS_MAX)),
        _ => Some(rng.random_range(SLICE_NS_MIN..=2 * SLICE_NS_MIN)),
    };
    Scheduling {
        policy: policies[rng.random_range(0..policies.len())],
        slice_ns,
        averaging: rng.random_range(1..=Scheduling::AVERAGING_MAX),
    }
}

/// Parts from 2 % to 30 % of an engine, with and without a cap.
pub(super) fn random_share(rng: &mut ChaCha8Rng) -> Share {
    let part = if rng.random_ratio(1, 3) { 0 } else { rng.random_range(200..=3_000) };
    let cap = if rng.random_ratio(1, 2) { 0 } else { rng.random_range(part.max(1)..=Share::WHOLE) };
    Share { weight: rng.random_range(1..=8), part, cap }
}

/// Windows that end within the run, few resets in them, and sometimes few doorbells or interrupts.
pub(super) fn random_limits(rng: &mut ChaCha8Rng) -> Limits {
    let measures = [Measure::Report, Measure::Shorten, Measure::Ban, Measure::Pause];
    let measure = measures[rng.random_range(0..measures.len())];
    let [_, faults, _, _] = Limits::DEFAULT.of;
    let resets = Limit { count: 1, measure };
    // Nobody is guilty who rings: none of these measures takes a channel from its guest.
    let milder = [Measure::Report, Measure::Shorten, Measure::Pause];
    let [doorbells, interrupts] = [Abuse::Doorbells, Abuse::Interrupts].map(|abuse| {
        let few = Limit { count: rng.random_range(1..=6), measure: milder[rng.random_range(0..3)] };
        if rng.random_ratio(1, 3) { few } else { Limits::DEFAULT.limit(abuse) }
    });
    let of = [resets, faults, doorbells, interrupts];
    // Whoever has turns for a moment only in each window must come to an end all the same.
    let is_low = of[2] != Limits::DEFAULT.of[2] || of[3] != Limits::DEFAULT.of[3];
    let longest_ms = if is_low { 20 } else { 100 };
    Limits { window_ms: rng.random_range(5..=longest_ms), of }
}

/// Plans changes while everything runs. Returns how many.
pub(super) fn plan_changes(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    hosts: &[HostId],
    vgpus: &[VgpuId],
) -> u32 {
    let mut changes = 0;
    for _ in 0..rng.random_range(0..=10) {
        let when = Trigger::At(rng.random_range(0..CHAOS_NS));
        let host = hosts[rng.random_range(0..hosts.len())];
        let vgpu = vgpus[rng.random_range(0..vgpus.len())];
        let action = match rng.random_range(0..8) {
            0..=2 => Action::Schedule(host, random_scheduling(rng)),
            3 | 4 => Action::Share(vgpu, random_share(rng)),
            5 => Action::Limit(host, random_limits(rng)),
            _ => {
                world.schedule(when, Action::Ring(vgpu));
                continue;
            }
        };
        world.schedule(when, action);
        changes += 1;
    }
    changes
}

/// Makes some guests' work keep an engine longer than it may, or for ever, as long as they are
/// where they began.
pub(super) fn make_stubborn(world: &mut World, rng: &mut ChaCha8Rng, vgpus: &[VgpuId]) {
    for vgpu in vgpus {
        match rng.random_range(0..12) {
            0 | 1 => world.set_stubborn(*vgpu, NEVER_NS),
            2 | 3 => world.set_stubborn(*vgpu, JUST_IN_TIME_NS),
            _ => {}
        }
    }
}
