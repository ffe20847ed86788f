//! `--json` is the last line of the server, of the protocol's schema.

use crate::serving::{Serving, text};
use godwit_control::{EventKind, Told};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// What the server says to this, by exit status.
fn told(serving: &Serving, line: &str) -> (Option<i32>, Told) {
    let output = serving.ctl(&format!("{line} --json"));
    assert_eq!(text(&output.stderr), "", "{line}");
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 1, "{out}");
    (output.status.code(), serde_json::from_str(&out).unwrap())
}

#[test]
fn each_verb_has_its_answer() {
    let serving = Serving::start();
    let kind = |line: &str, is_so: fn(&Told) -> bool| {
        let (status, told) = told(&serving, line);
        assert_eq!((status, is_so(&told)), (Some(0), true), "{line}: {told:?}");
    };
    kind("list", |it| matches!(it, Told::Vgpus(all) if all.len() == 2));
    kind("list --hosts", |it| matches!(it, Told::Hosts(all) if all.len() == 2));
    kind("profiles", |it| matches!(it, Told::Hosts(all) if all[0].profiles.len() > 3));
    kind("profiles a", |it| matches!(it, Told::Host(host) if host.name == "a"));
    kind("show v0", |it| matches!(it, Told::Vgpu(vgpu) if vgpu.name == "v0"));
    kind("show --host b", |it| matches!(it, Told::Host(host) if host.name == "b"));
    kind(
        "create v1 --profile GW256-32Q --host a",
        |it| matches!(it, Told::Vgpu(vgpu) if vgpu.framebuffer_bytes == 32 << 20),
    );
    kind("policy a --policy equal-share", |it| matches!(it, Told::Host(_)));
    kind("share v1 --weight 9", |it| matches!(it, Told::Vgpu(vgpu) if vgpu.share.weight == 9));
    kind("migrate v1 --to b", |it| matches!(it, Told::Moved(moved) if moved.to == "b"));
    kind("suspend v1 --file f", |it| matches!(it, Told::Suspended(done) if done.file == "f"));
    kind("resume f --vgpu v2 --host a", |it| matches!(it, Told::Vgpu(it) if it.host == "a"));
    kind("evacuate a", |it| matches!(it, Told::Evacuated(all) if all.moved.len() == 2));
    kind("destroy v2", |it| matches!(it, Told::Destroyed(vgpu) if vgpu == "v2"));
    kind("events", |it| matches!(it, Told::Events(all) if all.len() > 8));
}

#[test]
fn a_refusal_and_who_stayed_are_1() {
    let serving = Serving::start();
    let (status, refused) = told(&serving, "destroy v9");
    assert!(matches!(refused, Told::Error(_)), "{refused:?}");
    assert_eq!(status, Some(1));
    told(&serving, "create v1 --profile GW256-64Q --host a");
    told(&serving, "create v2 --profile GW256-128Q --host a");
    let (status, evacuated) = told(&serving, "evacuate a");
    let Told::Evacuated(evacuated) = evacuated else { panic!("{evacuated:?}") };
    assert_eq!((evacuated.moved.is_empty(), evacuated.stayed.is_empty()), (false, false));
    assert_eq!(status, Some(1));
}

#[test]
fn events_are_followed_a_line_each() {
    let serving = Serving::start();
    let mut follower = Command::new(env!("CARGO_BIN_EXE_godwit"))
        .args(["ctl", "--connect", "unix:ctl", "events", "--follow", "--json", "--after", "0"])
        .current_dir(serving.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for line in ["create v1 --profile GW256-64Q", "destroy v1"] {
        assert!(serving.ctl(line).status.success());
    }
    let mut kinds = Vec::new();
    while kinds.last() != Some(&EventKind::Destroyed) {
        let line = lines.next().unwrap().unwrap();
        let Told::Event(event) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(event.vgpu.as_deref(), Some("v1"));
        kinds.push(event.kind);
    }
    assert_eq!(kinds, [EventKind::Created, EventKind::Destroyed]);
    // Who reads no more ends it, when there is something to be said.
    drop(lines);
    assert!(serving.ctl("share v0 --weight 2").status.success());
    assert!(follower.wait().unwrap().success());
}

/// As behind `| head -1`.
#[test]
fn who_reads_no_more_is_told_nothing() {
    let serving = Serving::start();
    let status = |line: &str| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = serving.ctl_beside(line, writer.into()).wait_with_output().unwrap();
        assert_eq!(text(&output.stderr), "", "{line}");
        output.status.code()
    };
    assert!(serving.ctl("create v1 --profile GW256-64Q").status.success());
    for line in ["list", "list --json", "events", "events --follow --after 0", "schema"] {
        assert_eq!(status(line), Some(0), "{line}");
    }
    // What was refused was refused all the same.
    assert_eq!(status("destroy v9 --json"), Some(1));
}

#[test]
fn who_follows_a_server_that_ends_is_told_so() {
    let mut serving = Serving::start();
    let mut follower = serving.ctl_beside("events --follow --after 0", Stdio::piped());
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(serving.ctl("create v1 --profile GW256-64Q").status.success());
    // It follows from now on.
    assert!(lines.next().unwrap().unwrap().contains("created"));
    serving.kill();
    assert!(lines.next().is_none());
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    snapbox::assert_data_eq!(
        text(&output.stderr),
        snapbox::str![[r#"
error: the server has closed the connection: nothing more is heard of what happens
help: ask again when it serves; `--after` shows what has happened behind a number

"#]]
    );
}
