//! The one driver keeps the contract over the simulated GPU, and the suite sees those that do
//! not.

mod support;

use godwit_conformance::hal::{Check, Unmet, checks, run};
use support::{Firmware, Flaw, Flawed, GpuBench};

#[test]
fn the_driver_keeps_every_rule() {
    let mut bench = GpuBench::new(|firmware: Firmware, _| firmware, 0);
    let mut unmet = Vec::new();
    let mut count = 0;
    let broken = run(&mut bench, |name, verdict| {
        count += 1;
        if let Err(why) = verdict {
            unmet.push(format!("{name}: {why}"));
        }
    });
    assert!(unmet.is_empty() && broken == 0, "\n{}", unmet.join("\n"));
    assert!(count > 120, "only {count} checks");
}

#[test]
fn no_two_checks_have_one_name() {
    let mut names: Vec<&str> =
        checks::<GpuBench<Firmware>>().map(|check| rule(check.name)).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// A check's name without its trait's.
fn rule(name: &'static str) -> &'static str {
    name.split_once("::").expect("a trait and a rule").1
}

fn check(name: &str) -> &'static Check<GpuBench<Flawed>> {
    let mut all = checks::<GpuBench<Flawed>>();
    all.find(|check| rule(check.name) == name).unwrap_or_else(|| panic!("no check {name}"))
}

#[test]
fn a_driver_with_a_flaw_is_caught_by_the_rule_that_it_breaks() {
    for (at, flaw) in (0..).zip(Flaw::ALL) {
        let mut bench = GpuBench::new(Flawed::new, at);
        let verdict = check(flaw.caught_by()).run(&mut bench);
        let Err(Unmet::Broken(broken)) = verdict else {
            panic!("{flaw:?} is not caught by {}: {verdict:?}", flaw.caught_by());
        };
        println!("{flaw:?}: {}: {broken}", flaw.caught_by());
    }
}
