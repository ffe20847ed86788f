//! Clients, good and bad, of an exporter that is turned by hand.

use crate::events::EventLog;
use crate::metrics::Exporter;
use rustix::event::{PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

const ASK: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
const TEXT: &str = "a_metric 1\n";
/// What the exporter allows.
const CLIENTS_MAX: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
const STAY: Duration = Duration::from_secs(1);
/// How long anything may take.
const END: Duration = Duration::from_secs(30);

/// An exporter, and a time that passes when it is told to.
struct Bench {
    exporter: Exporter,
    now: Instant,
    text: String,
    /// How often the text was made.
    made: usize,
    notes: Vec<String>,
    events: EventLog,
}

impl Bench {
    fn new() -> Self {
        let exporter = Exporter::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (text, notes, events) = (TEXT.into(), Vec::new(), EventLog::default());
        Self { exporter, now: Instant::now(), text, made: 0, notes, events }
    }

    fn turn(&mut self) {
        let (text, made) = (&self.text, &mut self.made);
        self.exporter.serve(self.now, &mut || {
            *made += 1;
            text.clone()
        });
        self.notes.extend(self.exporter.take_notes(&mut self.events, self.now));
    }

    /// Somebody who is let in, if there is a place.
    fn connect(&mut self) -> TcpStream {
        let stream = TcpStream::connect(self.exporter.address().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.turn();
        stream
    }

    /// Turns until something is so.
    fn until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + END;
        while !is_so(self) {
            assert!(Instant::now() < end, "it takes too long");
            self.turn();
        }
    }

    /// Says all of it, as far as it is taken.
    fn say(&mut self, stream: &mut TcpStream, mut bytes: &[u8]) {
        self.until(|_| {
            match stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => bytes = &[],
            }
            bytes.is_empty()
        });
    }

    /// What comes until it is cut off, and whether that was its end.
    fn hear(&mut self, stream: &mut TcpStream) -> (String, bool) {
        let (mut heard, mut whole) = (Vec::new(), true);
        self.until(|_| {
            let mut part = [0; 4096];
            match stream.read(&mut part) {
                Ok(0) => return true,
                Ok(count) => heard.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    whole = false;
                    return true;
                }
            }
            false
        });
        (String::from_utf8(heard).unwrap(), whole)
    }

    /// Waits, without a turn, until so many have said something.
    fn wait_for_questions(&self, count: usize) {
        let end = Instant::now() + END;
        loop {
            let mut fds = Vec::new();
            self.exporter.add_fds(&mut fds);
            poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
            if fds.iter().filter(|fd| fd.revents().contains(PollFlags::IN)).count() == count {
                return;
            }
            assert!(Instant::now() < end, "it takes too long");
        }
    }

    fn ask(&mut self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        self.say(&mut stream, bytes);
        let (heard, whole) = self.hear(&mut stream);
        assert!(whole, "{heard}");
        heard
    }

    /// Nobody is connected any more.
    fn settle(&mut self) {
        self.until(|bench| {
            let mut fds = Vec::new();
            bench.exporter.add_fds(&mut fds);
            fds.len() == 1
        });
    }
}

#[test]
fn who_asks_is_answered_and_let_go() {
    let mut bench = Bench::new();
    let heard = bench.ask(ASK);
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && heard.ends_with(TEXT), "{heard}");
    assert!(bench.ask(b"GET / HTTP/1.0\r\n\r\n").contains("<a href=\"/metrics\">"));
    assert!(bench.ask(b"GET /x HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(bench.ask(b"PUT / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(bench.ask(b"\x16\x03\x01\x02\x00\x01").starts_with("HTTP/1.1 400 "));
    assert!(bench.ask(&[b'a'; 8 * 1024]).starts_with("HTTP/1.1 431 "));
    assert_eq!(bench.made, 1, "the text is made for those who want it");
    bench.settle();
    assert_eq!(bench.notes, [""; 0]);
}

#[test]
fn a_question_may_come_in_parts_and_have_something_behind_it() {
    let mut bench = Bench::new();
    let mut stream = bench.connect();
    for byte in ASK {
        assert_eq!(bench.made, 0);
        bench.say(&mut stream, &[*byte]);
        bench.turn();
    }
    assert!(bench.hear(&mut stream).0.ends_with(TEXT));
    drop(stream);
    // A body, which nobody has asked for, takes nothing of the answer away.
    let heard = bench.ask(&[ASK, &[b'x'; 30_000]].concat());
    assert!(heard.ends_with(TEXT), "{heard}");
    // One who says no more hears the answer all the same.
    let mut stream = bench.connect();
    bench.say(&mut stream, ASK);
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(bench.hear(&mut stream).0.ends_with(TEXT));
    bench.settle();
    assert_eq!(bench.notes, [""; 0]);
}

#[test]
fn those_who_ask_at_once_hear_the_same_text_which_is_made_once() {
    let mut bench = Bench::new();
    let mut streams: Vec<TcpStream> = (0..5).map(|_| bench.connect()).collect();
    for stream in &mut streams {
        stream.write_all(ASK).unwrap();
    }
    // All of it is there before anybody is heard.
    bench.wait_for_questions(streams.len());
    for stream in &mut streams {
        let heard = bench.hear(stream).0;
        assert!(heard.ends_with(TEXT), "{heard}");
    }
    assert_eq!(bench.made, 1);
    bench.ask(ASK);
    assert_eq!(bench.made, 2, "who asks later hears what is so then");
}

#[test]
fn who_is_slow_to_ask_or_to_hear_is_cut_off() {
    let mut bench = Bench::new();
    bench.text = "x".repeat(32 << 20);
    let mut silent = bench.connect();
    let mut slow = bench.connect();
    bench.say(&mut slow, &ASK[..10]);
    let mut deaf = bench.connect();
    bench.say(&mut deaf, ASK);
    bench.until(|bench| bench.made == 1);
    bench.now += PATIENCE;
    bench.turn();
    assert_eq!(bench.notes, [""; 0]);
    bench.now += Duration::from_millis(1);
    bench.settle();
    assert_eq!(bench.notes, ["metrics: a client is cut off: it was not done in 10 seconds"; 3]);
    for stream in [&mut silent, &mut slow] {
        assert_eq!(bench.hear(stream).0, "");
    }
    let heard = bench.hear(&mut deaf).0;
    assert!(heard.len() < bench.text.len(), "it was kept for somebody who does not read");
    // One who has been answered and does not go is let go.
    bench.text = TEXT.into();
    let mut stays = bench.connect();
    bench.say(&mut stays, ASK);
    assert!(bench.hear(&mut stays).0.ends_with(TEXT));
    bench.now += 2 * PATIENCE;
    bench.settle();
    assert_eq!(bench.notes.len(), 3);
}

#[test]
fn who_goes_in_the_middle_is_gone() {
    let mut bench = Bench::new();
    drop(bench.connect());
    let mut stream = bench.connect();
    bench.say(&mut stream, &ASK[..10]);
    drop(stream);
    bench.settle();
    assert_eq!(bench.notes, [""; 0]);
    bench.text = "x".repeat(32 << 20);
    let mut stream = bench.connect();
    bench.say(&mut stream, ASK);
    bench.until(|bench| bench.made == 1);
    drop(stream);
    bench.settle();
    // That is its own affair, and nothing to tell of.
    assert_eq!(bench.notes, [""; 0]);
}

#[test]
fn who_says_on_and_on_is_cut_off() {
    let mut bench = Bench::new();
    let mut stream = bench.connect();
    bench.say(&mut stream, &[ASK, &[b'x'; 200_000]].concat());
    bench.settle();
    let [note] = bench.notes.as_slice() else { panic!("{:?}", bench.notes) };
    assert!(note.ends_with("bytes after its question"), "{note}");
}

#[test]
fn more_clients_than_there_are_places_are_refused_until_others_have_had_their_time() {
    let mut bench = Bench::new();
    let mut first = bench.connect();
    bench.now += STAY / 2;
    let others: Vec<TcpStream> = (1..CLIENTS_MAX).map(|_| bench.connect()).collect();
    let mut late = bench.connect();
    assert_eq!(bench.hear(&mut late).0, "");
    let refused = "metrics: 16 clients are connected: one is refused";
    assert_eq!(bench.notes, [refused]);
    // The first has had its time, and the others have not.
    bench.now += STAY / 2;
    assert!(bench.ask(ASK).ends_with(TEXT));
    assert_eq!(bench.hear(&mut first).0, "");
    let cut = "metrics: a client is cut off: another wants its place";
    assert_eq!(bench.notes, [refused, cut]);
    for mut other in others {
        bench.say(&mut other, ASK);
        assert!(bench.hear(&mut other).0.ends_with(TEXT));
    }
}

#[test]
fn notes_of_a_flood_have_a_bound() {
    let mut bench = Bench::new();
    let _held: Vec<TcpStream> = (0..CLIENTS_MAX).map(|_| bench.connect()).collect();
    for _ in 0..1_000 {
        drop(bench.connect());
    }
    assert_eq!(bench.notes.len(), 500);
    assert_eq!(bench.events.last(), 500, "and each is an event");
}
