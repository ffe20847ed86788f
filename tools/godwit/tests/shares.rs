//! What vGPUs have of the engines, as a scenario says.

use godwit::progress::Silent;
use godwit::report::{Report, Share};
use godwit::{Scenario, execute};
use std::path::Path;

/// Two vGPUs, each with a kernel that never ends; events are added, and end the run.
fn run(host: &str, one: &str, two: &str, events: &str) -> Report {
    let vgpu = |name: &str, more: &str| {
        format!(
            "[[vgpu]]\nname = \"{name}\"\nhost = \"alpha\"\n{more}\n\
             profile = {{ framebuffer = \"8 MiB\", channels = 2, threads = 16 }}\n\
             [[job]]\nname = \"{name}\"\nvgpu = \"{name}\"\nkernel = \"spinner\"\nthreads = 4\n"
        )
    };
    let text = format!(
        "seed = 3\ntime_limit = \"2 s\"\n[[host]]\nname = \"alpha\"\n\
         framebuffer = \"64 MiB\"\n{host}\n\
         {}{}{events}",
        vgpu("one", one),
        vgpu("two", two),
    );
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse(Path::new("test.toml"), &text, folder.path(), None);
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    let report = execute(&scenario, &mut Silent).unwrap();
    assert!(report.verified, "{}", report.json());
    report
}

/// The run lasts until its last event.
const END: &str = "[[event]]\nat = \"400 ms\"\nrestart_firmware = { host = \"alpha\" }\n";

fn compute(report: &Report) -> [f64; 2] {
    let part = |share: &Share| share.compute_percent;
    [part(&report.shares[0]), part(&report.shares[1])]
}

fn near(report: &Report, due: [f64; 2]) {
    let attained = compute(report);
    for (attained, due) in attained.into_iter().zip(due) {
        // A slice at the end, the start of the run, and switches.
        assert!((attained - due).abs() < 1.5, "{}", report.json());
    }
}

#[test]
fn turns_are_equal_unless_told_otherwise() {
    near(&run("", "", "", END), [50.0, 50.0]);
}

#[test]
fn weights_are_parts_of_what_there_is() {
    near(&run("", "weight = 3", "weight = 1", END), [75.0, 25.0]);
    near(&run("policy = \"equal-share\"", "", "weight = 4", END), [20.0, 80.0]);
}

#[test]
fn a_fixed_share_is_that_of_the_whole_engine() {
    let host = "policy = \"fixed-share\"\nslice = \"1 ms\"";
    near(&run(host, "share = \"25 %\"", "share = \"50 %\"", END), [25.0, 50.0]);
    // What is left of the whole goes to whoever may have it.
    let elastic = "share = \"25 %\"\ncap = \"40 %\"";
    near(&run(host, elastic, "share = \"50 %\"", END), [40.0, 50.0]);
}

#[test]
fn shares_change_while_everything_runs() {
    let change = "[[event]]\nat = \"200 ms\"\nshare = { vgpu = \"one\", weight = 3 }\n";
    near(&run("", "", "", &format!("{change}{END}")), [62.5, 37.5]);
    let change = "[[event]]\nat = \"200 ms\"\n\
                  schedule = { host = \"alpha\", policy = \"fixed-share\", slice = \"5 ms\" }\n";
    let parts = ["share = \"10 %\"", "share = \"90 %\""];
    near(&run("", parts[0], parts[1], &format!("{change}{END}")), [30.0, 70.0]);
}
