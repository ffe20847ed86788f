//! Evacuations as a user has them: by an event of a scenario, and by the command.

use godwit::progress::Silent;
use godwit::report::Report;
use godwit::{Scenario, execute};
use serde_json::Value;
use snapbox::cmd::{Command, cargo_bin};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Three hosts; on the first four vGPUs with jobs.
fn scenario(event: &str) -> String {
    let mut text = "seed = 5\ntime_limit = \"2 s\"\n".to_owned();
    for (host, size) in [("alpha", 64), ("beta", 32), ("gamma", 32)] {
        writeln!(text, "[[host]]\nname = \"{host}\"\nframebuffer = \"{size} MiB\"").unwrap();
    }
    for (vgpu, size) in [("one", 24), ("two", 16), ("three", 8), ("four", 8)] {
        writeln!(
            text,
            "[[vgpu]]\nname = \"{vgpu}\"\nhost = \"alpha\"\n\
             profile = {{ framebuffer = \"{size} MiB\", aperture = \"8 MiB\", threads = 64 }}\n\
             [[job]]\nname = \"{vgpu}\"\nvgpu = \"{vgpu}\"\nkernel = \"sha256_chain\"\n\
             threads = 64\nblock = 4\niterations = 10"
        )
        .unwrap();
    }
    text + event
}

fn run(text: &str) -> Report {
    let scenario = Scenario::parse(Path::new("test.toml"), text, Path::new(""), None);
    execute(&scenario.unwrap_or_else(|error| panic!("{error}")), &mut Silent).unwrap()
}

#[test]
fn an_event_empties_a_host_and_later_events_find_the_vgpus() {
    let report = run(&scenario(
        "[[event]]\nat = \"1 ms\"\n\
         evacuate = { host = \"alpha\", to = [\"gamma\", \"beta\"], parallel = 3 }\n\
         [[event]]\nat = \"500 ms\"\nmove = { vgpu = \"four\", to = \"alpha\" }\n",
    ));
    assert!(report.verified, "{}", report.json());
    let [it] = &report.evacuations[..] else { panic!("{}", report.json()) };
    assert_eq!((it.host.as_str(), it.parallel, it.bandwidth), ("alpha", 3, None));
    let legs: Vec<_> =
        it.legs.iter().map(|leg| (leg.vgpu.as_str(), leg.to.as_deref().unwrap())).collect();
    assert_eq!(legs, [("one", "gamma"), ("two", "beta"), ("three", "gamma"), ("four", "beta")]);
    for leg in &it.legs {
        let moved = &report.moves[leg.transfer.unwrap()];
        assert_eq!((&moved.vgpu, &moved.from[..]), (&leg.vgpu, "alpha"));
        assert_eq!((Some(&moved.to), &moved.outcome[..]), (leg.to.as_ref(), "moved"));
        assert!(moved.new.is_some());
    }
    assert_eq!(report.moves.len(), 5);
}

#[test]
fn one_that_stays_is_a_problem_unless_it_is_expected() {
    let event = "[[event]]\nat = \"1 ms\"\nevacuate = { host = \"alpha\", to = [\"beta\"] }\n";
    let report = run(&scenario(event));
    assert!(!report.verified);
    let line = scenario("").lines().count() + 1;
    let problem = format!(
        "evacuation of `alpha` (line {line}): `two` stays, `four` stays; \
         it was expected to be done"
    );
    assert_eq!(report.problems, [problem]);
    let outcomes: Vec<&str> =
        report.evacuations[0].legs.iter().map(|leg| leg.outcome.as_str()).collect();
    let two = "refused: it fits nowhere: on `beta` it needs 16 MiB of framebuffer, and 8 MiB \
               are free: 8 MiB more would do, in one piece with those";
    assert_eq!(outcomes[..3], ["moved", "moved", two]);
    let human = report.human(None);
    assert!(human.contains("out of alpha") && human.contains("16 MiB"), "{human}");
    assert!(run(&scenario(&format!("{event}expect = \"failed\"\n"))).verified);
    let done = event.replace("[\"beta\"]", "[\"beta\", \"gamma\"]");
    let report = run(&scenario(&format!("{done}expect = \"failed\"\n")));
    assert!(report.problems[0].ends_with("it was done, and was expected to fail"), "{report:?}");
}

#[test]
fn the_command_exits_with_1_if_one_stays_and_with_2_for_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), scenario("")).unwrap();
    let run = |words: &str| {
        let command = Command::new(cargo_bin!("godwit")).current_dir(folder.path());
        let words = words.split_whitespace();
        let output = command.args(["evacuate", "a.toml", "--json"]).args(words).output().unwrap();
        (output.status.code(), output)
    };
    let json = |words: &str, status| {
        let (code, output) = run(words);
        assert_eq!(code, Some(status), "{words}: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let all = json("--host alpha --at 1ms --parallel 2 --bandwidth 500MiB --max-downtime 100", 0);
    let it = &all["evacuations"][0];
    assert_eq!((&it["bandwidth"], &it["parallel"]), (&(500_u64 << 20).into(), &2.into()));
    assert_eq!(it["legs"].as_array().unwrap().len(), 4);
    let part = json("--host alpha --to beta --at 1000000", 1);
    let outcomes = part["evacuations"][0]["legs"].as_array().unwrap();
    let moved = outcomes.iter().filter(|leg| leg["outcome"] == "moved").count();
    assert_eq!(moved, 2, "those that are through stay: {outcomes:?}");
    for (words, why) in [
        ("--host delta", "no host has the name `delta`; allowed: `alpha`, `beta`, `gamma`"),
        ("--host alpha --to alpha", "allowed: other hosts, each once"),
        ("--host alpha --parallel 0", "0 is not in 1..=64"),
        ("--host alpha --bandwidth 5", "allowed: 2 MiB to 1 TiB a second"),
        ("--host alpha --at soon", "allowed: a time such as"),
        ("--host alpha --max-downtime 0", "0 is not in 1..="),
        ("", "--host <NAME>"),
    ] {
        let (code, output) = run(words);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(code == Some(2) && told.contains(why), "{words}: {code:?} {told}");
    }
}
