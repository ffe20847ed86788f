//! Cuts of the power in QEMU come anywhere in a call, the longest included.

use godwit_qemu::mcu;
use godwit_qemu::resets::{Scene, run, spread};

#[test]
fn the_calls_of_a_scene_are_known_by_their_lengths_and_cut_beyond_any_short_one() {
    let board = mcu("qemu-virt-rv64");
    let folder = || tempfile::tempdir().unwrap();
    let calls = run(Scene::MoveTo, &board, None, folder().path()).unwrap().calls;
    let longest = calls.iter().copied().max().unwrap();
    assert!(longest > 15_000, "a restore has a long call: {calls:?}");
    let cuts = (0..).map(|number| spread(number, &calls));
    let late = cuts.take(100_000).find(|cut| cut.instructions > longest * 3 / 4).unwrap();
    let shown = run(Scene::MoveTo, &board, Some(late), folder().path()).unwrap();
    assert!(shown.cut, "{late:?}");
    assert_eq!(shown.problems, [] as [String; 0]);
}
