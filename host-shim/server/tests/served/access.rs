//! Which users may ask, and what is told of who has asked what.

use crate::control::Asker;
use crate::operators::create;
use crate::places::as_user;
use crate::serving::{OTHER, Serving, alone, config, control, wait_until};
use godwit_control::{Ask, Code, Event, EventKind, Told};
use godwit_server::{ConfigError, ControlConfig, Server, ServerError};
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Who may ask, and who may not. Nobody else has these numbers.
const ALLOWED: u32 = 65_533;
const REFUSED: u32 = 65_534;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A control socket in a folder that all may enter.
fn open(run: &Path) -> ControlConfig {
    let folder = run.join("open");
    fs::create_dir_all(&folder).unwrap();
    for folder in folder.ancestors().take(3) {
        chmod(folder, 0o711);
    }
    ControlConfig { users: vec![ALLOWED], socket: Some(folder.join("ctl")), ..control() }
}

#[test]
fn users_of_the_list_may_ask_and_have_things_changed_and_no_others() {
    let mut serving = Serving::start_with(open);
    let (socket, device) = (serving.control(), serving.device("attacked"));
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o666);
    let at = socket.clone();
    let is_other = as_user(ALLOWED, move || {
        let mut asker = Asker::connect_at(&at);
        assert_eq!(asker.list().len(), 2);
        asker.vgpu(&Ask::Create(create("new", "GW64-2Q")));
        let none = Ask::Destroy { vgpu: "none".into() };
        assert_eq!(asker.refused(&none).code, Code::NoVgpu);
        // What a vGPU is to a machine is for the server's user alone.
        let error = UnixStream::connect(device).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
    let at = socket.clone();
    as_user(REFUSED, move || {
        let mut asker = Asker::connect_at(&at);
        asker.say(b"{\"command\":\"destroy\",\"vgpu\":\"new\"}\n");
        asker.hear_refusal(Code::Forbidden);
    });
    if is_other.is_some() {
        assert_eq!(Asker::connect(&serving).list().len(), 3);
        let pid = std::process::id();
        let who = format!("control: uid {ALLOWED} (pid {pid}): ");
        wait_until("all is told", || serving.noted(&format!("uid {REFUSED} (pid")) == 1);
        let made = "{\"command\":\"create\",\"vgpu\":\"new\"";
        assert_eq!(serving.noted(&format!("{who}{made}")), 1);
        let why = "{\"command\":\"destroy\",\"vgpu\":\"none\"} is refused: there is no vGPU `none`";
        assert_eq!(serving.noted(&format!("{who}{why}")), 1);
        let why = format!("uid {REFUSED} (pid {pid}) is refused: user {REFUSED} may not ask");
        assert_eq!(serving.noted(&why), 1);
    }
    // The server's user may as before.
    assert!(Asker::connect(&serving).list().len() >= 2);
    serving.stop();
    assert!(!socket.exists());
}

#[test]
fn who_had_something_changed_is_told_and_so_is_what_was_refused() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    asker.vgpu(&Ask::Create(create("new", "GW64-2Q")));
    let destroy = Ask::Destroy { vgpu: "new".into() };
    assert_eq!(asker.ask(&destroy), Told::Destroyed("new".into()));
    let no_host = Ask::Host { host: "a\nuid 0: forged".into() };
    assert_eq!(asker.refused(&no_host).code, Code::NoHost);
    asker.say(b"{\"command\":\"list\",\"\\n\xc2\x9b\":1}\n");
    asker.hear().unwrap();
    let (uid, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
    let who = format!("control: uid {uid} (pid {pid}): ");
    serving.wait_for_note("unknown field");
    let notes = serving.take_notes();
    let told = |begin: &str, end: &str| {
        let begin = format!("{who}{begin}");
        let is_it = |note: &&String| note.starts_with(&begin) && note.contains(end);
        assert_eq!(notes.iter().filter(is_it).count(), 1, "{begin} {end}: {notes:#?}");
    };
    told("{\"command\":\"create\",\"vgpu\":\"new\"", "} is done");
    told("{\"command\":\"destroy\",\"vgpu\":\"new\"}", " is done");
    told("{\"command\":\"host\",\"host\":\"a\\nuid 0", " is refused: ");
    told("{\"command\":\"list\",\"\\n", " is refused: unknown field");
    for note in &notes {
        assert!(note.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{note:?}");
    }
    let events = asker.events();
    let by = format!("; by uid {uid} (pid {pid})");
    for kind in [EventKind::Created, EventKind::Destroyed] {
        let is_it = |event: &Event| event.kind == kind && event.text.ends_with(&by);
        assert_eq!(events.iter().filter(|it| is_it(it)).count(), 1, "{kind:?}: {events:#?}");
    }
    let refused = |it: &Event| it.kind == EventKind::Refused && it.text.contains("unknown field");
    assert!(events.iter().any(|it| refused(it) && it.text.starts_with(&who)), "{events:#?}");
    assert!(events.iter().all(|it| it.kind == EventKind::Refused || it.vgpu.is_some()));
    serving.stop();
}

#[test]
fn what_is_begun_and_fails_is_told_with_who_has_asked() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    let (uid, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
    let folder = serving.sockets.with_file_name("states");
    // A file of the right name that is no state.
    fs::write(folder.join("x.state"), vec![7; 100_000]).unwrap();
    let line = b"{\"command\":\"resume\",\"file\":\"x\",\"host\":\"other\"}";
    asker.say(&[line, b"\n".as_slice()].concat());
    let told = asker.hear().unwrap();
    assert!(told.starts_with("{\"error\""), "{told}");
    let who = format!("control: uid {uid} (pid {pid}): {}", str::from_utf8(line).unwrap());
    serving.wait_for_note(&who);
    assert!(Asker::connect(&serving).list().iter().all(|it| it.host != OTHER));
    serving.stop();
}

#[test]
fn a_place_where_users_cannot_ask_or_anybody_could_listen_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sockets = folder.path().join("run");
    let error = |control: ControlConfig| {
        let config = godwit_server::ServerConfig { control, ..config(&sockets) };
        Server::new(&config).unwrap_err()
    };
    let users = |socket: Option<&Path>| ControlConfig {
        users: vec![ALLOWED],
        socket: socket.map(Path::to_owned),
        ..control()
    };
    for socket in [None, Some(sockets.join("other"))] {
        let error = error(users(socket.as_deref()));
        assert!(matches!(error, ServerError::Config(ConfigError::Users)), "{error}");
    }
    let nobody = ControlConfig { users: vec![REFUSED], ..users(Some(Path::new("/x/ctl"))) };
    let error_of_nobody = error(nobody);
    let is_it = matches!(error_of_nobody, ServerError::Config(ConfigError::Nobody));
    assert!(is_it, "{error_of_nobody}");
    let open = folder.path().join("open");
    let refused = |part: &str| {
        let error = error(users(Some(&open.join("ctl"))));
        assert!(matches!(error, ServerError::Socket { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    refused("No such file");
    fs::create_dir(&open).unwrap();
    for (mode, shown) in [(0o770, "770"), (0o757, "757"), (0o1777, "1777")] {
        chmod(&open, mode);
        refused(&format!("others may change {} (mode {shown})", open.display()));
    }
    chmod(&open, 0o755);
    if std::os::unix::fs::chown(&open, Some(REFUSED), None).is_ok() {
        refused("is of user 65534, and neither the server's nor root's");
        std::os::unix::fs::chown(&open, Some(0), None).unwrap();
    }
    let config =
        godwit_server::ServerConfig { control: users(Some(&open.join("ctl"))), ..config(&sockets) };
    drop(Server::new(&config).unwrap());
}
