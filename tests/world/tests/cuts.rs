//! Goal: a link may end at any byte, and exactly one side has the vGPU soon afterwards.
//! Method: some of the cases of `cargo xtask cuts`, each kind of end, phase and direction.

use godwit_world::Way;
use godwit_world::cuts::{self, Case, Fate, Layout, OVER_MAX_NS, Place};

#[test]
fn a_move_ends_on_one_side_whatever_its_link_does() {
    let (mut moved, mut stayed, mut resolved) = (0, 0, 0);
    for live in [false, true] {
        let layout = Layout::of(live);
        for way in [Way::Forth, Way::Back] {
            for (seed, (phase, range)) in (0..).zip(layout.phases(way)) {
                let places = [range.start, range.start.midpoint(range.end), range.end - 1];
                for (at_byte, seed) in places.into_iter().zip(10 * seed..) {
                    assert_eq!(layout.phase(Place { way, at_byte }), phase);
                    for fate in [Fate::Heals, Fate::Dies] {
                        let case = Case { live, way, at_byte, seed, fate };
                        println!("cargo xtask cuts --only {case}"); // shown when it fails
                        let outcome = cuts::run(&case);
                        assert_eq!(outcome.problems, [] as [String; 0], "{phase}: {case}");
                        assert!(outcome.over_ns <= OVER_MAX_NS);
                        moved += u32::from(outcome.moved);
                        stayed += u32::from(!outcome.moved);
                        resolved += u32::from(outcome.resolved);
                    }
                }
            }
        }
    }
    // Fewer, and these cases do not try what they are to try.
    assert!(moved >= 20 && stayed >= 60 && resolved >= 8, "{moved}, {stayed}, {resolved}");
}
