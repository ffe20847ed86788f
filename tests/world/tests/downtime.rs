//! Goal: a vGPU that writes faster than it can be copied stands still for no longer than was asked,
//! or is not moved.
//! Method: cases of `cargo xtask bench downtime`, with bounds that can be kept and that cannot.

use godwit_shim::{Downtime, Estimate, Live, Otherwise};
use godwit_types::{Policy, Throttle};
use godwit_world::downtime::{Case, Outcome, bounded, run, standstill};

const MS: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// The model's link, of 80 ps a byte.
const LINK_BYTES_PER_SECOND: f64 = 12.5e9;

/// A vGPU that writes 128 MiB again and again, which take 11 ms to copy.
fn case(max_ns: u64, otherwise: Otherwise, neighbours: u32) -> Case {
    let downtime = Some(Downtime { max_ns, otherwise });
    Case {
        seed: 3,
        fb_bytes: 160 * MIB,
        pages: 32 * 1024,
        rounds: 400,
        live: Some(Live { rounds_max: 12, pages_enough: 64, downtime }),
        scale: (1, 1),
        neighbours,
        policy: Policy::EqualShare,
    }
}

fn blackout(outcome: &Outcome) -> u64 {
    assert_eq!(outcome.moved, Ok(()), "{outcome:?}");
    outcome.blackout_ns.unwrap()
}

/// It stood still for no longer than was expected, and not for much less.
fn is_as_expected(outcome: &Outcome) {
    let estimate = outcome.estimate.unwrap();
    let rate = estimate.rate.unwrap() as f64;
    assert!((rate / LINK_BYTES_PER_SECOND - 1.0).abs() < 0.1, "{outcome:?}");
    let (blackout_ns, expected_ns) = (blackout(outcome), estimate.downtime_ns.unwrap());
    assert!((blackout_ns..2 * blackout_ns).contains(&expected_ns), "{outcome:?}");
}

#[test]
fn a_bound_that_the_writer_would_break_is_kept() {
    let outcome = run(&bounded(1, 20 * MS)).unwrap();
    assert!(blackout(&outcome) <= 20 * MS, "{outcome:?}");
    assert!(outcome.throttle > Throttle::NONE, "{outcome:?}");
    is_as_expected(&outcome);
}

#[test]
fn and_so_it_is_beside_neighbours_that_have_as_many_turns() {
    let case = bounded(8, 20 * MS);
    assert_eq!((case.neighbours, case.policy), (2, Policy::EqualShare));
    let outcome = run(&case).unwrap();
    assert!(blackout(&outcome) <= 20 * MS, "{outcome:?}");
}

#[test]
fn a_live_move_takes_a_twentieth_of_the_blackout_of_a_stop_and_copy() {
    // At half the size at which the benchmark is held to that: the less there is, the harder.
    let of = |live| blackout(&run(&standstill(512 * MIB, live, (1, 1))).unwrap());
    let live = of(Some(Live { rounds_max: 5, pages_enough: 64, downtime: None }));
    let still = of(None);
    assert!(20 * live <= still, "{live} ns of {still} ns");
}

#[test]
fn a_bound_that_is_wide_costs_no_turns() {
    let outcome = run(&case(200 * MS, Otherwise::GiveUp, 1)).unwrap();
    assert!(blackout(&outcome) <= 200 * MS);
    assert_eq!(outcome.throttle, Throttle::NONE);
    is_as_expected(&outcome);
}

#[test]
fn before_the_first_round_all_there_is_may_be_left_and_no_rate_is_known() {
    let small =
        Case { fb_bytes: 16 * MIB, pages: 1024, live: None, ..case(MS, Otherwise::Move, 0) };
    let outcome = run(&small).unwrap();
    let expected = Estimate { round_bytes: 16 * MIB, rate: None, downtime_ns: None };
    assert_eq!((&outcome.moved, outcome.estimate), (&Ok(()), Some(expected)));
}

#[test]
fn what_cannot_be_kept_is_given_up_and_the_kernel_goes_on() {
    // To compare the aperture takes longer.
    let outcome = run(&case(MS / 10, Otherwise::GiveUp, 2)).unwrap();
    let why = outcome.moved.clone().unwrap_err();
    assert!(why.contains("could not be moved with 0.1 ms of downtime"), "{outcome:?}");
    assert!(outcome.throttle > Throttle::NONE && outcome.unfinished == 0, "{outcome:?}");
}

#[test]
fn or_it_is_moved_all_the_same() {
    let outcome = run(&case(MS / 10, Otherwise::Move, 2)).unwrap();
    assert!(blackout(&outcome) > MS / 10, "{outcome:?}");
}

#[test]
fn the_turns_of_many_others_are_not_waited_for() {
    // A round of the scheduler takes 20 ms, on either side.
    let outcome = run(&case(20 * MS, Otherwise::GiveUp, 19)).unwrap();
    assert!(blackout(&outcome) <= 20 * MS, "{outcome:?}");
}
