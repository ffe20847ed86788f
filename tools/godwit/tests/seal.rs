//! Goal: a scenario seals files and opens them, writes older versions, and keeps files; mistakes in
//! that are named.

use godwit::inspect::{Entry, Inspection, inspect};
use godwit::progress::Silent;
use godwit::{Scenario, execute};
use godwit_shim::SealKey;
use snapbox::cmd::{Command, cargo_bin};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

fn key_file(folder: &Path, name: &str, text: &str, mode: u32) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
}

/// A vGPU that is suspended and resumed, with more keys for each.
fn text(suspend: &str, resume: &str) -> String {
    format!(
        "[[host]]\nname = \"a\"\nframebuffer = \"32 MiB\"\n\
         [[host]]\nname = \"b\"\nframebuffer = \"32 MiB\"\n\
         [[vgpu]]\nname = \"v\"\nhost = \"a\"\nprofile = {{ framebuffer = \"16 MiB\" }}\n\
         [[job]]\nname = \"j\"\nvgpu = \"v\"\nkernel = \"matmul\"\nn = 48\ntile = 8\n\
         [[event]]\nat = \"1 ms\"\nsuspend = {{ vgpu = \"v\", file = \"v.state\"{suspend} }}\n\
         [[event]]\nat = \"2 ms\"\nresume = {{ file = \"v.state\", host = \"b\"{resume} }}\n"
    )
}

fn run(folder: &Path, suspend: &str, resume: &str) -> Result<(), Vec<String>> {
    let text = text(suspend, resume);
    let scenario = Scenario::parse(Path::new("a.toml"), &text, folder, None).unwrap();
    let report = execute(&scenario, &mut Silent).unwrap();
    if report.verified { Ok(()) } else { Err(report.problems) }
}

fn look(folder: &Path, key: Option<&str>) -> Inspection {
    let key = key.map(|name| SealKey::read(&folder.join(name)).unwrap());
    inspect(&folder.join("v.state"), key.as_ref()).unwrap()
}

fn debts(found: &Inspection) -> Option<[u32; 2]> {
    found.records.iter().find_map(|entry| match entry {
        Entry::Vgpu { debts_ns, .. } => Some(*debts_ns),
        _ => None,
    })
}

#[test]
fn a_sealed_file_is_resumed_and_inspected_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    key_file(folder, "good.key", KEY, 0o600);
    key_file(folder, "other.key", &KEY.replace('0', "1"), 0o600);
    let with = |name: &str| format!(", key_file = \"{name}\"");
    assert_eq!(run(folder, &with("good.key"), &with("good.key")), Ok(()));
    let found = look(folder, Some("good.key"));
    assert!(found.sound && found.sealed == Some(true) && found.spent == Some(true), "{found:?}");
    assert_eq!(found.version, 2);
    for (key, problem) in [
        (None, "the state is sealed, and no key was given to open it with"),
        (Some("other.key"), "the state is sealed with another key"),
    ] {
        let found = look(folder, key);
        assert_eq!((found.sound, found.problem.as_deref()), (false, Some(problem)));
        assert!(found.records.is_empty());
    }
    for resume in [String::new(), with("other.key")] {
        let problems = run(folder, &with("good.key"), &resume).unwrap_err();
        assert!(problems[0].contains("v.state: the state is sealed"), "{problems:?}");
    }
    let problems = run(folder, "", &with("good.key")).unwrap_err();
    assert!(problems[0].contains("v.state: the state is not sealed"), "{problems:?}");
}

#[test]
fn an_older_version_is_written_on_demand_and_has_no_debts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (version, has_debts) in [(1, false), (2, true)] {
        assert_eq!(run(folder, &format!(", version = {version}"), ""), Ok(()));
        let found = look(folder, None);
        assert_eq!((found.version, found.sealed), (version, Some(false)));
        assert!(found.human().contains(&format!("version {version}, not sealed, resumed before")));
        assert!(debts(&found).is_some_and(|debts| has_debts || debts == [0; 2]), "{found:?}");
    }
}

#[test]
fn a_file_that_is_kept_is_not_spent() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(run(folder, "", ", keep = true"), Ok(()));
    assert_eq!(look(folder, None).spent, Some(false));
    assert_eq!(run(folder, "", ", keep = false"), Ok(()));
    assert_eq!(look(folder, None).spent, Some(true));
    fs::write(folder.join("a.toml"), text("", "")).unwrap();
    let godwit = Command::new(cargo_bin!("godwit")).current_dir(folder);
    godwit.args(["run", "a.toml", "--keep"]).assert().success();
    assert_eq!(look(folder, None).spent, Some(false));
}

#[test]
fn mistakes_in_versions_and_keys_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    key_file(folder, "open.key", KEY, 0o644);
    key_file(folder, "short.key", "0011", 0o600);
    for (suspend, what) in [
        (", version = 3", "`version` is 3; allowed: 1 to 2"),
        (", version = 0", "`version` is 0; allowed: 1 to 2"),
        (", key_file = \"none.key\"", "the key file `none.key`: No such file"),
        (", key_file = \"open.key\"", "`open.key`: others may access it (its mode is 644)"),
        (", key_file = \"short.key\"", "`short.key`: is no key: 64 hexadecimal digits are one"),
    ] {
        let text = text(suspend, "");
        let error = Scenario::parse(Path::new("a.toml"), &text, folder, None).unwrap_err();
        let shown = error.render(&annotate_snippets::Renderer::plain());
        assert!(shown.contains(what), "{shown}");
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    key_file(folder.path(), "open.key", KEY, 0o604);
    let godwit = Command::new(cargo_bin!("godwit")).current_dir(folder.path());
    let output = godwit.args(["inspect", "v.state", "--key-file", "open.key"]).output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(
        shown.starts_with("error: open.key: others may access it (its mode is 604)"),
        "{shown}"
    );
}
