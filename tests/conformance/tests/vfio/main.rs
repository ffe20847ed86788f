//! A vGPU keeps the rules of VFIO migration, and the suite sees devices that do not.

mod bench;
mod device;
mod flawed;
mod flaws;
mod guest;
mod wire;

use bench::{Cards, ShimBench};
use device::ShimDevice;
use flawed::Flawed;
use flaws::Flaw;
use godwit_conformance::vfio::{Check, Device, Unmet, checks, run};
use wire::WireDevice;

/// Runs the suite over right devices, each as it is or behind a socket. Returns the rules that it
/// could not say anything about.
fn keeps_every_rule<D: Device + 'static>(
    cards: Cards,
    wrap: fn(ShimDevice, u32) -> D,
) -> Vec<&'static str> {
    let mut bench = ShimBench::new(cards, wrap, 0);
    let (mut unmet, mut skipped, mut count) = (Vec::new(), Vec::new(), 0);
    let broken = run(&mut bench, |name, verdict| {
        count += 1;
        match verdict {
            Ok(()) => {}
            Err(Unmet::Skipped(_)) => skipped.push(name),
            Err(Unmet::Broken(why)) => unmet.push(format!("{name}: {why}")),
        }
    });
    assert!(unmet.is_empty() && broken == 0, "\n{}", unmet.join("\n"));
    assert!(count > 80, "only {count} checks");
    skipped
}

#[test]
fn two_vgpus_of_one_card_keep_every_rule() {
    assert_eq!(keeps_every_rule(Cards::One, |device, _| device), Vec::<&str>::new());
}

#[test]
fn two_vgpus_of_two_cards_keep_every_rule_but_are_no_peers() {
    for name in keeps_every_rule(Cards::Two, |device, _| device) {
        assert!(name.contains("peer"), "{name} is skipped");
    }
}

#[test]
fn two_vgpus_behind_sockets_keep_every_rule() {
    assert_eq!(keeps_every_rule(Cards::One, WireDevice::new), Vec::<&str>::new());
}

#[test]
fn two_vgpus_of_two_cards_behind_sockets_keep_every_rule() {
    for name in keeps_every_rule(Cards::Two, WireDevice::new) {
        assert!(name.contains("peer"), "{name} is skipped");
    }
}

#[test]
fn no_two_checks_have_one_name() {
    let mut names: Vec<&str> = checks::<ShimBench<ShimDevice>>().map(|check| check.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

fn check(name: &str) -> &'static Check<ShimBench<Flawed>> {
    let mut all = checks::<ShimBench<Flawed>>();
    all.find(|check| check.name == name).unwrap_or_else(|| panic!("no check {name}"))
}

#[test]
fn a_device_with_a_flaw_is_caught_by_the_rule_that_it_breaks() {
    let mut missed = Vec::new();
    for (at, flaw) in (0..).zip(Flaw::ALL) {
        let mut bench = ShimBench::new(Cards::One, Flawed::new, at);
        match check(flaw.caught_by()).run(&mut bench) {
            Err(Unmet::Broken(broken)) => println!("{flaw:?}: {}: {broken}", flaw.caught_by()),
            verdict => missed.push(format!("{flaw:?} by {}: {verdict:?}", flaw.caught_by())),
        }
    }
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
}
