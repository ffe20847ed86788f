//! Servers that are not there, are none, or end in the middle.

use crate::fake::{Does, Fake};
use crate::{ctl, godwit};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use snapbox::{IntoData as _, str};
use std::os::unix::net::UnixStream;

/// Asks a fake that says this.
fn told(said: &[u8], words: &[&str]) -> snapbox::cmd::OutputAssert {
    let fake = Fake::new(Does::Says(said.to_vec()));
    ctl(fake.path(), words).assert()
}

#[test]
fn a_server_that_is_not_there_is_2() {
    let folder = tempfile::tempdir().unwrap();
    ctl(folder.path(), &["list"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: unix:ctl cannot be reached: No such file or directory (os error 2)
help: is `godwit serve` running? `--connect` names its socket `ctl`

"#]]);
    // Somebody was there.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("ctl")).unwrap());
    ctl(folder.path(), &["list", "--json"]).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: unix:ctl cannot be reached: Connection refused (os error 111)
help: is `godwit serve` running? `--connect` names its socket `ctl`

"#]]);
    let words = ["list", "--connect", "tcp:127.0.0.1:1"];
    ctl(folder.path(), &words).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: tcp:127.0.0.1:1 cannot be reached: Connection refused (os error 111)
help: is `godwit serve` running? `--connect` names its socket `ctl`

"#]]);
}

#[test]
fn a_server_that_lets_nobody_in_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ctl");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    // It has the only place in the queue.
    let _waiting = UnixStream::connect(&path).unwrap();
    let words = ["list", "--timeout", "1"];
    ctl(folder.path(), &words).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: unix:ctl cannot be reached: it does not answer in time
help: is `godwit serve` running? `--connect` names its socket `ctl`

"#]]);
}

#[test]
fn plain_text_does_not_leave_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["list", "--connect", "tcp:192.0.2.1:7000"];
    ctl(folder.path(), &words).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: 192.0.2.1:7000 is beyond this machine: TLS needs a certificate, [..]
help: name them: `--tls-cert`, `--tls-key` and `--tls-ca`; or `--insecure-plaintext`

"#]]);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    for said in ["", "{\"vgpus\":["] {
        let mut fake = Fake::new(Does::Stays(said.into()));
        let words = ["list", "--timeout", "1"];
        ctl(fake.path(), &words).assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: the server has said nothing for 1s
help: nothing was to be changed: see that `godwit serve` runs, and ask again

"#]]);
        assert_eq!(fake.heard(), "{\"command\":\"list\"}\n");
    }
}

#[test]
fn an_answer_that_is_cut_is_none() {
    let cut = str![[r#"
error: the server has closed the connection before its answer was whole
help: whether it was done is not known: `godwit ctl list` and `godwit ctl events` tell

"#]];
    told(b"", &["destroy", "v0"]).code(1).stdout_eq("").stderr_eq(cut.clone());
    told(b"{\"destroyed\":\"v0\"}", &["destroy", "v0"])
        .code(1)
        .stdout_eq("")
        .stderr_eq(cut.clone());
    let said =
        b"{\"progress\":{\"vgpu\":\"v0\",\"phase\":\"rounds\",\"rounds\":1,\"sent_bytes\":1,\
        \"left_bytes\":2}}\n{\"moved\":{";
    let words = ["migrate", "v0", "--to", "b"];
    told(said, &words).code(1).stdout_eq("").stderr_eq(cut.clone());
    let fake = Fake::new(Does::Goes);
    ctl(fake.path(), &["destroy", "v0"]).assert().code(1).stdout_eq("").stderr_eq(cut);
    let unanswered = str![[r#"
error: the server has closed the connection before its answer was whole
help: nothing was to be changed: see that `godwit serve` runs, and ask again

"#]];
    for words in [&["list"][..], &["list", "--hosts"], &["show", "v0"], &["events"], &["profiles"]]
    {
        let fake = Fake::new(Does::Goes);
        ctl(fake.path(), words).assert().code(1).stdout_eq("").stderr_eq(unanswered.clone());
    }
}

#[test]
fn what_speaks_tls_is_named() {
    // Its alerts: what was not expected, whose number is that of a line's end, and others.
    for said in [b"\x15\x03\x03\0\x02\x02\x0a", b"\x15\x03\x03\0\x02\x02\x28"] {
        told(said, &["destroy", "v0"]).code(1).stdout_eq("").stderr_eq(str![[r#"
error: the server speaks TLS alone, and was asked without
help: name a certificate: `--tls-cert`, `--tls-key` and `--tls-ca`

"#]]);
    }
}

#[test]
fn what_is_no_answer_is_named() {
    told(b"SSH-2.0-OpenSSH_9.6\r\n", &["list"]).code(1).stdout_eq("").stderr_eq(str![[r#"
error: what the server says cannot be understood: expected value at line 1 column 1
help: is it the control socket of a `godwit serve` of this version?

"#]]);
    told(b"\xff\xfe\n", &["list", "--json"]).code(1).stdout_eq("").stderr_eq(str![[r#"
error: what the server says cannot be understood: invalid utf-8 sequence of 1 bytes from index 0
help: is it the control socket of a `godwit serve` of this version?

"#]]);
    let said = b"{\"\\u001b]0;owned\\u0007\":[]}\n";
    told(said, &["list"]).code(1).stdout_eq("").stderr_eq(str![[r#"
error: what the server says cannot be understood: unknown variant `/u{1b}]0;owned/u{7}`[..]
help: is it the control socket of a `godwit serve` of this version?

"#]]);
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    let said = vec![b' '; (16 << 20) + 1];
    told(&said, &["list"]).code(1).stdout_eq("").stderr_eq(str![[r#"
error: the server says a line of more than 16 MiB
help: is it the control socket of a `godwit serve` of this version?

"#]]);
}

#[test]
fn a_refusal_cannot_steer_a_terminal() {
    let said = b"{\"error\":{\"code\":\"busy\",\"message\":\"\\u001b[2J\xc2\x9b gone\",\
        \"help\":\"a\\nb\",\"new\":1}}\n";
    told(said, &["destroy", "v0"])
        .code(1)
        .stdout_eq("")
        .stderr_eq("error: \\u{1b}[2J\\u{9b} gone\nhelp: a\\nb\n".raw());
    // The same JSON, with what the client does not know.
    told(said, &["destroy", "v0", "--json"]).code(1).stderr_eq("").stdout_eq(
        "{\"error\":{\"code\":\"busy\",\"message\":\"\\u001b[2J\\u009b gone\",\
         \"help\":\"a\\nb\",\"new\":1}}\n"
            .raw(),
    );
}

#[test]
fn events_end_with_the_server() {
    let event =
        "{\"event\":{\"number\":7,\"at_ms\":1000000000123,\"kind\":\"note\",\"text\":\"x\"}}\n";
    let gone = str![[r#"
error: the server has closed the connection: nothing more is heard of what happens
help: ask again when it serves; `--after` shows what has happened behind a number

"#]];
    told(event.as_bytes(), &["events", "--follow"])
        .code(1)
        .stderr_eq(gone.clone())
        .stdout_eq("     7  2001-09-09T01:46:40.123Z  note           x\n");
    let mut fake = Fake::new(Does::Says(event.into()));
    let words = ["events", "--follow", "--after", "6", "--json"];
    ctl(fake.path(), &words).assert().code(1).stderr_eq(gone).stdout_eq(event);
    assert_eq!(fake.heard(), "{\"command\":\"events\",\"follow\":true,\"after\":6}\n");
}

#[test]
fn a_terminal_is_needed_to_look_at_a_server() {
    let folder = tempfile::tempdir().unwrap();
    godwit(folder.path()).arg("top").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: standard output is no terminal
help: `godwit ctl list` and `godwit ctl events --follow` print lines

"#]]);
}
