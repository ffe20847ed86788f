//! Interrupts, time, signs of life.

use super::rig::{PATIENCE_NS, Rig, STEP_NS};
use super::verdict::{Verdict, holds, same};
use super::{Bench, rules};
use godwit_hal::{Interrupts, Liveness, Timer};
use godwit_types::RunlistId;

rules!("interrupts, timer, liveness":
    a_quiet_device_has_nothing_pending,
    what_comes_after_a_collect_is_pending_again,
    time_goes_on_with_the_device_and_never_back,
    an_alarm_rings_once_and_not_before_its_time,
    an_alarm_of_the_past_rings_at_once,
    a_cleared_alarm_does_not_ring,
    a_later_alarm_replaces_an_earlier_one,
    an_earlier_alarm_replaces_a_later_one,
    a_turn_is_counted_and_so_is_one_without_work,
);

const SOON_NS: u64 = 40 * STEP_NS;

/// Whether the alarm rings within so much time.
fn rings<B: Bench>(rig: &mut Rig<'_, B>, ns: u64) -> bool {
    for _ in 0..=ns / STEP_NS {
        rig.hardware().collect();
        if rig.hardware().poll_alarm() {
            return true;
        }
        rig.bench.pass(STEP_NS);
    }
    false
}

/// A driver that has just been made may find a number of things once; then nothing is there.
fn quiet<B: Bench>(rig: &mut Rig<'_, B>) {
    rig.until(|hardware| {
        hardware.poll_alarm();
        while drain(hardware) {}
        (!hardware.collect()).then_some(())
    });
}

/// Takes one answer of whatever kind.
fn drain<H: godwit_hal::Hardware>(hardware: &mut H) -> bool {
    let runlists = [RunlistId::COMPUTE, RunlistId::COPY];
    runlists.into_iter().any(|id| hardware.poll_runlist(id).is_some())
        || hardware.poll_hint().is_some()
        || hardware.poll_doorbell().is_some()
        || hardware.poll_fault().is_some()
        || hardware.poll_copy().is_some()
        || hardware.poll_partition().is_some()
        || hardware.poll_aperture().is_some()
        || hardware.poll_peers().is_some()
}

fn a_quiet_device_has_nothing_pending<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    quiet(rig);
    rig.bench.pass(SOON_NS);
    same("`collect` of a quiet device", rig.hardware().collect(), false)
}

fn what_comes_after_a_collect_is_pending_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    quiet(rig);
    for _ in 0..3 {
        let now_ns = rig.hardware().now_ns();
        rig.hardware().set_alarm(Some(now_ns));
        rig.bench.pass(STEP_NS);
        holds("`collect` after an alarm", rig.hardware().collect())?;
        holds("the alarm", rig.hardware().poll_alarm())?;
        quiet(rig);
    }
    Ok(())
}

fn time_goes_on_with_the_device_and_never_back<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let first_ns = rig.hardware().now_ns();
    let mut last_ns = first_ns;
    for _ in 0..200 {
        rig.bench.pass(STEP_NS);
        let now_ns = rig.hardware().now_ns();
        holds("time has not gone back", now_ns >= last_ns)?;
        last_ns = now_ns;
    }
    holds("time that has passed", last_ns - first_ns >= 200 * STEP_NS)
}

fn an_alarm_rings_once_and_not_before_its_time<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let at_ns = rig.hardware().now_ns() + SOON_NS;
    rig.hardware().set_alarm(Some(at_ns));
    holds("the alarm", rings(rig, PATIENCE_NS))?;
    holds("the time at which it rang", rig.hardware().now_ns() >= at_ns)?;
    holds("the time soon after it", rig.hardware().now_ns() <= at_ns + SOON_NS)?;
    same("the alarm rings again", rings(rig, 4 * SOON_NS), false)
}

fn an_alarm_of_the_past_rings_at_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.bench.pass(SOON_NS);
    for past_ns in [SOON_NS, 1, 0] {
        let at_ns = rig.hardware().now_ns() - past_ns;
        rig.hardware().set_alarm(Some(at_ns));
        holds("an alarm of the past", rings(rig, STEP_NS))?;
    }
    rig.hardware().set_alarm(Some(0));
    holds("an alarm at 0", rings(rig, STEP_NS))
}

fn a_cleared_alarm_does_not_ring<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let at_ns = rig.hardware().now_ns() + SOON_NS;
    rig.hardware().set_alarm(Some(at_ns));
    rig.pass(STEP_NS);
    rig.hardware().set_alarm(None);
    same("a cleared alarm rings", rings(rig, 4 * SOON_NS), false)
}

fn a_later_alarm_replaces_an_earlier_one<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let now_ns = rig.hardware().now_ns();
    rig.hardware().set_alarm(Some(now_ns + SOON_NS));
    rig.pass(STEP_NS);
    rig.hardware().set_alarm(Some(now_ns + 4 * SOON_NS));
    same("the replaced alarm rings", rings(rig, 2 * SOON_NS), false)?;
    holds("the alarm in its place", rings(rig, 4 * SOON_NS))?;
    same("a second one rings", rings(rig, 4 * SOON_NS), false)
}

fn an_earlier_alarm_replaces_a_later_one<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let now_ns = rig.hardware().now_ns();
    rig.hardware().set_alarm(Some(now_ns + 4 * SOON_NS));
    rig.pass(STEP_NS);
    rig.hardware().set_alarm(Some(now_ns + SOON_NS));
    holds("the alarm in its place", rings(rig, 2 * SOON_NS))?;
    same("the replaced alarm rings", rings(rig, 8 * SOON_NS), false)
}

fn a_turn_is_counted_and_so_is_one_without_work<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let (turns, idle) = rig.bench.signs();
    for _ in 0..3 {
        rig.hardware().beat();
    }
    rig.hardware().idle();
    let (turns_now, idle_now) = rig.bench.signs();
    same("turns", turns_now.wrapping_sub(turns), 3)?;
    same("times without work", idle_now.wrapping_sub(idle), 1)
}
