//! Goal: no single flipped bit of anything that leaves a process is taken for the truth, and
//! nothing is left of what had it.
//! Method: a sample of `cargo xtask flips`, each kind: states, frames, a journal.

use godwit_world::flips::{Card, Kind, Subject};
use std::collections::BTreeMap;

/// A sample that no period of the bytes falls into.
const EVERY: usize = 1_009;
const LARGE_BITS: usize = 100;
const RESTORES: usize = 20;

#[test]
fn a_flipped_bit_is_found_and_leaves_nothing() {
    let mut card = Card::new().unwrap();
    for (kind, name) in Kind::ALL {
        let subject = Subject::new(kind).unwrap();
        for bit in subject.bits(EVERY, LARGE_BITS, 1) {
            let refusal = subject.refusal(Some(bit)).unwrap();
            assert!(refusal.is_some(), "cargo xtask flips --only {name} {bit}");
        }
        for bit in subject.bits_to_take(RESTORES, 1) {
            let wrong = subject.wrong_after(bit, &mut card);
            assert_eq!(wrong, [] as [String; 0], "cargo xtask flips --only {name} {bit}");
        }
    }
}

#[test]
fn every_bit_of_a_journal_and_of_what_a_destination_says_is_found() {
    for (kind, dropped) in [(Kind::Journal, 32 * 8), (Kind::Link(godwit_world::Way::Back), 0)] {
        let subject = Subject::new(kind).unwrap();
        let mut why = BTreeMap::<String, usize>::new();
        for bit in subject.bits(1, 0, 0) {
            let refusal = subject.refusal(Some(bit)).unwrap();
            let refusal = refusal.unwrap_or_else(|| panic!("{kind}: bit {bit} is not found"));
            *why.entry(refusal).or_default() += 1;
        }
        let torn = why.get("the last entry counts as torn").copied().unwrap_or(0);
        assert_eq!(torn, dropped, "{kind}: {why:?}");
    }
}
