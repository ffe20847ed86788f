//! The control socket.

use crate::process::resident_bytes;
use crate::serving::{ATTACKED, FB_BYTES, NEIGHBOUR, PATIENCE, Serving, wait_until};
use godwit_control::{Code, Refusal, Told, VgpuStatus};
use godwit_server::Client;
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const LIST: &str = "{\"command\":\"list\"}\n";
/// What the server allows: clients, and bytes of a line.
pub(crate) const CLIENTS_MAX: usize = 64;
const LINE_BYTES_MAX: usize = 64 * 1024;
/// What it keeps for a client that does not read, and what else may grow meanwhile.
const GROWTH_MAX_BYTES: u64 = 16 << 20;

/// Somebody who asks.
pub(crate) struct Asker<S = UnixStream>(BufReader<S>);

impl Asker {
    pub(crate) fn connect(serving: &Serving) -> Self {
        Self::connect_at(&serving.control())
    }

    pub(crate) fn connect_at(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Asker<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        match self.0.get_mut().write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            said => said.unwrap(),
        }
    }

    /// The next line. `None`: it is cut off.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            read => {
                read.unwrap();
                assert!(line.ends_with('\n'), "half a line: {line}");
                Some(line)
            }
        }
    }

    pub(crate) fn list(&mut self) -> Vec<VgpuStatus> {
        self.say(LIST.as_bytes());
        let line = self.hear().unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let told = told.as_object().unwrap();
        assert_eq!(told.keys().collect::<Vec<_>>(), ["vgpus"], "{line}");
        serde_json::from_value(told["vgpus"].clone()).unwrap()
    }

    /// It is told that there are too many, and cut off.
    pub(crate) fn hear_too_many(&mut self) {
        self.hear_refusal(Code::TooMany);
    }

    /// It is told why it is not heard, and cut off.
    pub(crate) fn hear_refusal(&mut self, code: Code) {
        let told: Told = serde_json::from_str(&self.hear().unwrap()).unwrap();
        assert!(matches!(&told, Told::Error(why) if why.code == code), "{told:?}");
        assert_eq!(self.hear(), None);
    }

    /// What is wrong with what it says.
    fn error(&mut self, line: &[u8]) -> String {
        self.say(&[line, b"\n"].concat());
        let line = self.hear().unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let told = told.as_object().unwrap();
        assert_eq!(told.keys().collect::<Vec<_>>(), ["error"], "{line}");
        let refusal: Refusal = serde_json::from_value(told["error"].clone()).unwrap();
        assert_eq!(refusal.code, Code::BadRequest);
        refusal.message
    }
}

#[test]
fn who_follows_leaves_half_of_the_places_to_others() {
    let mut serving = Serving::for_clients(4);
    let follow = b"{\"command\":\"events\",\"follow\":true}\n";
    let mut all: Vec<_> = (0..3).map(|_| Asker::connect(&serving)).collect();
    all[..2].iter_mut().for_each(|asker| asker.say(follow));
    all[2].say(b"{\"command\":\"destroy\",\"vgpu\":\"none\"}\n");
    assert!(all[2].hear().unwrap().contains("no-vgpu"));
    for asker in &mut all[..2] {
        // That was refused.
        assert!(asker.hear().unwrap().contains("\"event\""));
    }
    all[2].say(follow);
    let told: Told = serde_json::from_str(&all[2].hear().unwrap()).unwrap();
    assert!(matches!(&told, Told::Error(why) if why.code == Code::TooMany), "{told:?}");
    assert_eq!(all[2].list().len(), 2);
    assert_eq!(Asker::connect(&serving).list().len(), 2);
    serving.stop();
}

#[test]
fn who_begins_with_tls_is_told_at_once_that_it_is_not_spoken() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    // A hello's first bytes; the rest is awaited by nobody.
    asker.say(&[22, 3, 1, 2, 0]);
    asker.hear_refusal(Code::BadRequest);
    serving.stop();
}

#[test]
fn a_list_has_what_is_served() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    let vgpus = asker.list();
    let [attacked, neighbour] = vgpus.as_slice() else { panic!("{vgpus:?}") };
    for (vgpu, name) in [(attacked, ATTACKED), (neighbour, NEIGHBOUR)] {
        assert_eq!((vgpu.name.as_str(), vgpu.host.as_str()), (name, "host"));
        assert_eq!((vgpu.state.as_str(), vgpu.attached), ("RUNNING", false));
        assert_eq!((vgpu.framebuffer_bytes, vgpu.aperture_bytes), (FB_BYTES, FB_BYTES));
        assert_eq!(vgpu.channels, 8);
        assert_eq!(vgpu.socket, serving.device(name));
        assert_eq!(vgpu.migration_socket, serving.migration(name));
    }
    assert_ne!(attacked.gfid, neighbour.gfid);
    assert!(attacked.framebuffer_base.abs_diff(neighbour.framebuffer_base) >= FB_BYTES);
    assert!(attacked.aperture_base.abs_diff(neighbour.aperture_base) >= FB_BYTES);

    let machine = Client::connect(&serving.device(NEIGHBOUR)).unwrap();
    let attached = |vgpus: Vec<VgpuStatus>| vgpus.iter().map(|vgpu| vgpu.attached).collect();
    let now: Vec<bool> = attached(asker.list());
    assert_eq!(now, [false, true]);
    let mut manager = Client::connect(&serving.migration(ATTACKED)).unwrap();
    manager.set_state(1).unwrap();
    let now: Vec<String> = asker.list().into_iter().map(|vgpu| vgpu.state).collect();
    assert_eq!(now, ["STOP", "RUNNING"]);
    drop(machine);
    wait_until("its going is told", || attached(asker.list()) == [false; 2]);
    serving.stop();
}

#[test]
fn what_is_no_question_is_answered_with_what_is_wrong() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    let deep = vec![b'['; 20_000];
    let wrong: [(&[u8], &str); 11] = [
        (b"", "EOF"),
        (b"list", "expected value"),
        (b"{\"command\":\"list\"", "EOF"),
        (b"{\"command\":\"list\"} {}", "trailing"),
        (b"{\"command\":\"stop\"}", "unknown variant `stop`"),
        (b"{\"command\":7}", "invalid type"),
        (b"{\"command\":\"list\",\"of\":1}", "unknown field `of`"),
        (b"{}", "missing field `command`"),
        (b"null", ""),
        (b"\xff\xfe\0\x80", "expected value"),
        (&deep, "invalid type"),
    ];
    for (line, why) in wrong {
        let told = asker.error(line);
        assert!(told.contains(why), "{}: {told}", line.escape_ascii());
        assert_eq!(asker.list().len(), 2);
    }
    // Some questions at once, one in parts.
    asker.say(format!("{LIST}\n{LIST}{}", &LIST[..5]).as_bytes());
    for begin in ["{\"vgpus\":", "{\"error\":", "{\"vgpus\":"] {
        assert!(asker.hear().unwrap().starts_with(begin));
    }
    std::thread::sleep(Duration::from_millis(20));
    asker.say(&LIST.as_bytes()[5..]);
    assert!(asker.hear().unwrap().starts_with("{\"vgpus\":"));
    serving.stop();
}

#[test]
fn a_line_without_an_end_is_cut_off() {
    let mut serving = Serving::start();
    let mut other = Asker::connect(&serving);
    let mut asker = Asker::connect(&serving);
    // A line that is just short enough is answered.
    let spaces = vec![b' '; LINE_BYTES_MAX - LIST.len()];
    asker.say(&spaces);
    assert_eq!(asker.list().len(), 2);
    asker.say(&vec![b'x'; LINE_BYTES_MAX + 4096]);
    asker.hear_refusal(Code::BadRequest);
    serving.wait_for_note(" is refused: a line has more than 65536 bytes");
    assert_eq!(other.list().len(), 2);
    assert_eq!(serving.noted("is refused"), 1);
    serving.stop();
}

#[test]
fn more_clients_than_are_allowed_are_refused() {
    let mut serving = Serving::start();
    let mut askers: Vec<Asker> = (0..CLIENTS_MAX).map(|_| Asker::connect(&serving)).collect();
    for asker in &mut askers {
        assert_eq!(asker.list().len(), 2);
    }
    for _ in 0..10 {
        Asker::connect(&serving).hear_too_many();
    }
    let why = " is refused: 64 clients are connected";
    wait_until("each is told", || serving.noted(why) == 10);
    for asker in &mut askers {
        assert_eq!(asker.list().len(), 2);
    }
    // Who goes makes room.
    drop(askers.pop());
    wait_until("there is room", || {
        let mut asker = Asker::connect(&serving);
        asker.say(LIST.as_bytes());
        asker.hear().is_some_and(|line| line.contains("vgpus"))
    });
    serving.stop();
}

#[test]
fn a_client_that_does_not_read_is_not_heard_on() {
    let mut serving = Serving::start();
    let mut other = Asker::connect(&serving);
    let mut asker = Asker::connect(&serving);
    let before = resident_bytes();
    let stream = asker.0.get_mut();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let lists = LIST.repeat(1_000);
    let mut said = 0;
    loop {
        match stream.write(&lists.as_bytes()[said % LIST.len()..]) {
            Ok(count) => said += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(said < 64 << 20, "it is heard on and on");
    }
    let after = resident_bytes();
    assert!(after < before + GROWTH_MAX_BYTES, "{before} bytes, then {after}");
    assert_eq!(other.list().len(), 2);
    // Nothing of what it has said is lost.
    let whole = said / LIST.len();
    println!("{whole} questions");
    for _ in 0..whole {
        assert!(asker.hear().unwrap().starts_with("{\"vgpus\":"));
    }
    asker.say(&LIST.as_bytes()[said % LIST.len()..]);
    assert!(asker.hear().unwrap().starts_with("{\"vgpus\":"));
    // One that goes without reading is gone.
    asker.say(lists.as_bytes());
    drop(asker);
    serving.wait_for_note(" is cut off: ");
    assert_eq!(other.list().len(), 2);
    serving.stop();
}

#[test]
fn who_has_said_all_still_hears_the_answers() {
    let mut serving = Serving::start();
    for count in [1, 2_000] {
        let mut asker = Asker::connect(&serving);
        asker.say(LIST.repeat(count).as_bytes());
        asker.0.get_mut().shutdown(Shutdown::Write).unwrap();
        let mut heard = 0;
        while let Some(line) = asker.hear() {
            assert!(line.starts_with("{\"vgpus\":"));
            heard += 1;
            if heard == 1 {
                // The rest comes when there is room for it.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        assert_eq!(heard, count);
    }
    serving.stop();
}
