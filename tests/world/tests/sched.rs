//! A sample of `cargo xtask bench sched`: eight vGPUs that behave well beside five that do not.

use godwit_types::Policy;
use godwit_world::sched::{Setup, measure};

/// Largest part of the window that anybody may be off its share, in percent.
const ERROR_MAX: f64 = 0.1;
const JAIN_MIN: f64 = 0.9999;

fn holds(policy: Policy) {
    let setup = Setup {
        policy,
        well_behaved: 8,
        scale: (1, 1),
        window_ns: 2_000_000_000,
        hangs: false,
        uneven: false,
        limited: true,
    };
    let figures = measure(&setup).unwrap();
    for engine in [&figures.compute, &figures.copy] {
        assert!(engine.share_error <= ERROR_MAX, "{figures:#?}");
        assert!(engine.hostile_excess <= ERROR_MAX, "{figures:#?}");
        assert!(engine.jain >= JAIN_MIN, "{figures:#?}");
    }
    // All of them take turns, and urgent doorbells act, or the figures say nothing.
    assert!(figures.compute.switches.count > 1_000, "{figures:#?}");
    for engine in [&figures.compute, &figures.copy] {
        assert!(engine.causes.hint > 100, "{figures:#?}");
        assert!(engine.causes.slice > 100, "{figures:#?}");
    }
    assert!(figures.abuses.iter().any(|told| told.starts_with("faults for ever")), "{figures:#?}");
}

#[test]
fn equal_shares_hold_against_hostile_neighbours() {
    holds(Policy::EqualShare);
}

#[test]
fn fixed_shares_hold_against_hostile_neighbours() {
    holds(Policy::FixedShare);
}

#[test]
fn whoever_hangs_its_engine_again_and_again_is_paused() {
    let setup = Setup {
        policy: Policy::EqualShare,
        well_behaved: 2,
        scale: (1, 1),
        window_ns: 500_000_000,
        hangs: true,
        uneven: false,
        limited: true,
    };
    let figures = measure(&setup).unwrap();
    let told = figures.abuses.iter().find(|told| told.starts_with("ignores preemption"));
    assert_eq!(told.map(String::as_str), Some("ignores preemption: Resets, Pause"), "{figures:#?}");
    assert_eq!(figures.compute.causes.reset, 0, "{figures:#?}");
}
