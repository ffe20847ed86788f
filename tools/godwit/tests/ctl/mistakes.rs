//! Mistakes on the command line are found before anybody is asked.

use crate::{ctl, godwit};
use snapbox::IntoData as _;

/// The first line of what is wrong with these words.
fn wrong(words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = ctl(folder.path(), words).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    told.lines().next().unwrap().to_owned()
}

#[test]
fn each_is_named() {
    let all: [(&[&str], &str); 11] = [
        (&["lst"], "error: unrecognized subcommand 'lst'"),
        (
            &["show", "v0", "--host", "a"],
            "error: the argument '[VGPU]' cannot be used with '--host <NAME>'",
        ),
        (&["create", "v0"], "error: the following required arguments were not provided:"),
        (&["policy", "a"], "error: the following required arguments were not provided:"),
        (&["share", "v0"], "error: the following required arguments were not provided:"),
        (
            &["create", "v0", "--profile", "p", "--weight", "101"],
            "error: invalid value '101' for '--weight <N>': 101 is not in 1..=100",
        ),
        (
            &["policy", "a", "--slice", "2 min"],
            "error: invalid value '2 min' for '--slice <TIME>': allowed: a time such as \"3 ms\" \
             (ns, us, ms, s), or nanoseconds",
        ),
        (
            &["share", "v0", "--share", "25"],
            "error: invalid value '25' for '--share <PART>': allowed: a part such as \"25 %\" or \
             \"12.5 %\"",
        ),
        (
            &["share", "v0", "--cap", "101 %"],
            "error: invalid value '101 %' for '--cap <PART>': allowed: up to 100 %",
        ),
        (
            &["list", "--connect", "/run/godwit/ctl"],
            "error: invalid value '/run/godwit/ctl' for '--connect <ADDRESS>': an address is \
             unix:PATH or tcp:HOST:PORT",
        ),
        (
            &["evacuate", "a", "--max-downtime", "0"],
            "error: invalid value '0' for '--max-downtime <MS>': 0 is not in 1..=3600000",
        ),
    ];
    for (words, why) in all {
        assert_eq!(wrong(words), why, "{words:?}");
    }
}

#[test]
fn the_schema_needs_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let schema = serde_json::to_string_pretty(&godwit_control::schema()).unwrap() + "\n";
    ctl(folder.path(), &["schema"]).assert().success().stdout_eq(schema.raw()).stderr_eq("");
}

#[test]
fn every_verb_has_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let help = |words: &[&str]| {
        let output = godwit(folder.path()).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let verbs = help(&["ctl"]);
    let verbs = verbs.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let verbs: Vec<&str> =
        verbs.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(verbs.len(), 15, "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let told = help(&["ctl", verb]);
        assert!(told.contains(&format!("\n  godwit ctl {verb}")), "{told}");
    }
    assert!(help(&["top"]).contains("\n  godwit top"));
}
