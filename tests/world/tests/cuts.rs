//! Goal: a link may end at any byte, and exactly one side has the vGPU soon afterwards; so may a
//! process, and the vGPU is lost only with the host that runs it, or where an operator has decided.
//! Method: some of the cases of `cargo xtask cuts`, each kind of end, phase and direction.

use godwit_world::Way;
use godwit_world::cuts::{self, Case, Ends, Fate, Kind, Layout, OVER_MAX_NS, Place};

#[test]
fn a_move_ends_on_one_side_whatever_its_link_does() {
    let (mut moved, mut stayed, mut resolved) = (0, 0, 0);
    for kind in [Kind::Stop, Kind::Live] {
        let layout = Layout::of(kind);
        for way in [Way::Forth, Way::Back] {
            for (seed, (phase, range)) in (0..).zip(layout.phases(way)) {
                let places = [range.start, range.start.midpoint(range.end), range.end - 1];
                for (at_byte, seed) in places.into_iter().zip(10 * seed..) {
                    assert_eq!(layout.phase(Place { way, at_byte }), phase);
                    for fate in Fate::OF_LINKS {
                        let case = Case { kind, way, at_byte, seed, fate };
                        println!("cargo xtask cuts --only {case}"); // shown when it fails
                        let outcome = cuts::run(&case);
                        assert_eq!(outcome.problems, [] as [String; 0], "{phase}: {case}");
                        assert!(outcome.over_ns <= OVER_MAX_NS);
                        moved += u32::from(outcome.ends == Ends::Moved);
                        stayed += u32::from(outcome.ends == Ends::Stayed);
                        resolved += u32::from(outcome.resolved);
                    }
                }
            }
        }
    }
    // Fewer, and these cases do not try what they are to try.
    assert!(moved >= 20 && stayed >= 60 && resolved >= 8, "{moved}, {stayed}, {resolved}");
}

#[test]
fn a_move_ends_on_one_side_whichever_process_ends() {
    let (mut moved, mut stayed, mut with_host, mut resolved) = (0, 0, 0, 0);
    for kind in Kind::ALL {
        let layout = Layout::of_processes(kind);
        for way in [Way::Forth, Way::Back] {
            for (seed, (phase, range)) in (0..).zip(layout.phases(way)) {
                let (middle, end) = (range.start.midpoint(range.end), range.end);
                for (at_byte, seed) in [middle, end, end, middle].into_iter().zip(10 * seed..) {
                    for fate in Fate::OF_PROCESSES {
                        let case = Case { kind, way, at_byte, seed, fate };
                        println!("cargo xtask cuts --only {case}"); // shown when it fails
                        let outcome = cuts::run(&case);
                        assert_eq!(outcome.problems, [] as [String; 0], "{phase}: {case}");
                        moved += u32::from(outcome.ends == Ends::Moved);
                        stayed += u32::from(outcome.ends == Ends::Stayed);
                        with_host += u32::from(outcome.ends == Ends::WithItsHost);
                        resolved += u32::from(outcome.resolved);
                    }
                }
            }
        }
    }
    println!("{moved}, {stayed}, {with_host}, {resolved}");
    // Fewer, and these cases do not try what they are to try.
    assert!(moved >= 40 && stayed >= 80 && with_host >= 80 && resolved >= 10);
}
