//! Mistakes in moves, evacuations, suspends and resumes.

use super::{Case, check, edited, folder};
use godwit::Scenario;
use std::fs;

#[test]
fn evacuations() {
    let fault = "fault = { host = \"alpha\", kind = \"copy-slow\", factor = 3 }";
    let cases = [
        ("no host", "to = [\"beta\"]"),
        ("an unknown host", "host = \"gamma\""),
        ("to an unknown host", "host = \"alpha\", to = [\"gamma\"]"),
        ("to itself", "host = \"alpha\", to = [\"alpha\"]"),
        ("to one twice", "host = \"alpha\", to = [\"beta\", \"beta\"]"),
        ("to nobody", "host = \"alpha\", to = []"),
        ("none at a time", "host = \"alpha\", parallel = 0"),
        ("too many at a time", "host = \"alpha\", parallel = 65"),
        ("too little bandwidth", "host = \"alpha\", bandwidth = \"2047 KiB\""),
        ("too much bandwidth", "host = \"alpha\", bandwidth = \"2 TiB\""),
        ("stopped and bounded", "host = \"alpha\", kind = \"stop-and-copy\", max_downtime = 5"),
    ];
    let written = cases.map(|(name, keys)| (name, format!("evacuate = {{ {keys} }}")));
    let mut edits: Vec<(&str, [(&str, &str); 1])> =
        written.iter().map(|(name, text)| (*name, [(fault, text.as_str())])).collect();
    let refused = "evacuate = { host = \"alpha\" }\nexpect = \"refused\"";
    edits.push(("one that is to be refused", [(fault, refused)]));
    let cases: Vec<Case<'_>> = edits.iter().map(|(name, edits)| (*name, &edits[..])).collect();
    check("evacuations", &cases);
}

#[test]
fn bounds_of_moves() {
    check(
        "bounds",
        &[
            ("no time to stand still", &[("preempt = \"instruction\"", "max_downtime = 0")]),
            (
                "a bound for what is stopped first",
                &[(
                    "kind = \"live\", preempt = \"instruction\"",
                    "kind = \"stop-and-copy\", max_downtime = \"5 ms\"",
                )],
            ),
            ("a way out of no bound", &[("preempt = \"instruction\"", "otherwise = \"move\"")]),
        ],
    );
}

#[test]
fn suspends() {
    let suspend = "suspend = { vgpu = \"two\", file = \"two.state\" }";
    let resume = "resume = { file = \"two.state\", host = \"beta\" }";
    check(
        "suspends",
        &[
            ("a suspend twice", &[(resume, suspend)]),
            ("a suspend without a file", &[(", file = \"two.state\" }", " }")]),
            ("a suspend to a folder", &[("file = \"two.state\" }", "file = \".\" }")]),
            (
                "a suspend into no folder",
                &[("file = \"two.state\" }", "file = \"none/two.state\" }")],
            ),
            (
                "a suspend over another",
                &[(resume, "suspend = { vgpu = \"one\", file = \"two.state\" }")],
            ),
            (
                "a suspend over another by another name",
                &[(resume, "suspend = { vgpu = \"one\", file = \"sub/../././two.state\" }")],
            ),
            (
                "a suspend over an input",
                &[("file = \"two.state\" }", "file = \"sub/../in.bin\" }")],
            ),
            ("a suspend over a program", &[("file = \"two.state\" }", "file = \"own.elf\" }")]),
            ("a suspend over some file", &[("file = \"two.state\" }", "file = \"short.bin\" }")]),
            ("a suspend over a link", &[("file = \"two.state\" }", "file = \"link\" }")]),
            (
                "a suspend that was cut short",
                &[("file = \"two.state\" }", "file = \"cut.state\" }")],
            ),
        ],
    );
}

#[test]
fn a_scenario_is_not_suspended_over() {
    let folder = folder();
    let path = folder.path().join("sub/../a.toml");
    fs::write(&path, edited(&[("file = \"two.state\" }", "file = \"a.toml\" }")])).unwrap();
    let error = Scenario::load(&path, None).err().unwrap().to_string();
    assert!(error.contains("`a.toml` is read by this scenario; allowed: a file of"), "{error}");
}
