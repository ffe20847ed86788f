//! Who reads metrics, one answer each: clients are heard in the server's loop, which waits for
//! none.

use super::http::{self, Asked};
use crate::events::{EventLog, Where};
use crate::notes::{Note, NoteLimit};
use crate::socket::{ACCEPTS_MAX, Pause};
use godwit_control::EventKind;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Who may be connected at a time.
const CLIENTS_MAX: usize = 16;
/// How long a client has to ask and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client is there before another may have its place.
const STAY: Duration = Duration::from_secs(1);
/// Bytes that a client may say after its question.
const REST_BYTES_MAX: usize = 64 * 1024;

/// How far a client is.
#[derive(Debug)]
enum Phase {
    /// It asks.
    Asks(Vec<u8>),
    /// It is answered: so many bytes have gone.
    Hears(Vec<u8>, usize),
    /// It has been answered, and has said so much since. A socket that is closed with something
    /// unread takes back what the client has not read yet, so it is let say on.
    Leaves(usize),
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    since: Instant,
    phase: Phase,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Exporter {
    listener: TcpListener,
    pause: Pause,
    clients: Vec<Client>,
    notes: Vec<Note>,
    limit: NoteLimit,
}

impl Exporter {
    /// Listens at an address.
    pub(crate) fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let limit = NoteLimit::new(Instant::now());
        Ok(Self {
            listener,
            pause: Pause::default(),
            clients: Vec::new(),
            notes: Vec::new(),
            limit,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Lets in who has connected, and answers who has asked. The text is made when somebody asks
    /// for it, and once for all who do now.
    pub(crate) fn serve(&mut self, now: Instant, text: &mut dyn FnMut() -> String) {
        for _ in 0..ACCEPTS_MAX {
            let let_in = match self.listener.accept() {
                Ok((stream, _)) => self.let_in(stream, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => Err(error),
            };
            if let Err(error) = let_in {
                self.pause.begin();
                self.notes.push(refused(format!("nobody is let in: {error}")));
                break;
            }
        }
        let mut made = None;
        let mut metrics = || made.get_or_insert_with(|| http::metrics(&text())).clone();
        let notes = &mut self.notes;
        self.clients.retain_mut(|client| match client.step(now, &mut metrics) {
            Ok(goes_on) => goes_on,
            Err(why) => {
                notes.push(cut_off(&why));
                false
            }
        });
    }

    /// A new client takes the place of the one that has had the longest, where there is no other.
    fn let_in(&mut self, stream: TcpStream, now: Instant) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        if self.clients.len() >= CLIENTS_MAX {
            // They are in the order in which they came.
            let first = self.clients.first();
            if first.is_none_or(|first| now.saturating_duration_since(first.since) < STAY) {
                let text = format!("{CLIENTS_MAX} clients are connected: one is refused");
                self.notes.push(refused(text));
                return Ok(());
            }
            self.clients.remove(0);
            self.notes.push(cut_off("another wants its place"));
        }
        self.clients.push(Client { stream, since: now, phase: Phase::Asks(Vec::new()) });
        Ok(())
    }

    /// Takes what happened that somebody may want to know, a line each.
    pub(crate) fn take_notes(&mut self, events: &mut EventLog, now: Instant) -> Vec<String> {
        let notes = self.limit.pass(std::mem::take(&mut self.notes), now);
        let tell = |note: Note| {
            let text = format!("metrics: {}", note.text);
            events.note(note.kind, Where::NOWHERE, &text);
            text
        };
        notes.into_iter().map(tell).collect()
    }

    pub(crate) fn add_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::new(&self.listener, self.pause.flags()));
        for client in &self.clients {
            let wanted = match &client.phase {
                Phase::Asks(_) | Phase::Leaves(_) => PollFlags::IN,
                Phase::Hears(..) => PollFlags::OUT,
            };
            fds.push(PollFd::new(&client.stream, wanted));
        }
    }
}

impl Client {
    /// Goes as far as that is possible without waiting. `false`: it has gone, or may.
    fn step(&mut self, now: Instant, metrics: &mut dyn FnMut() -> Vec<u8>) -> Result<bool, String> {
        if now.saturating_duration_since(self.since) > PATIENCE {
            let seconds = PATIENCE.as_secs();
            return match self.phase {
                Phase::Leaves(_) => Ok(false),
                _ => Err(format!("it was not done in {seconds} seconds")),
            };
        }
        if let Phase::Asks(bytes) = &mut self.phase {
            let mut part = [0; 4096];
            let room = (http::REQUEST_BYTES_MAX - bytes.len()).min(part.len());
            match read(&mut self.stream, &mut part[..room])? {
                None => return Ok(true),
                Some(0) => return Ok(false),
                Some(count) => bytes.extend_from_slice(&part[..count]),
            }
            let answer = match http::parse(bytes) {
                Asked::Part => return Ok(true),
                Asked::Metrics => metrics(),
                Asked::Index => http::index(),
                Asked::Wrong(refused) => http::refusal(refused),
            };
            self.phase = Phase::Hears(answer, 0);
        }
        if let Phase::Hears(answer, gone) = &mut self.phase {
            while *gone < answer.len() {
                match self.stream.write(&answer[*gone..]) {
                    Ok(count) => *gone += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // It has gone, and wants none any more.
                    Err(_) => return Ok(false),
                }
            }
            if self.stream.shutdown(Shutdown::Write).is_err() {
                return Ok(false);
            }
            self.phase = Phase::Leaves(0);
        }
        self.leave()
    }

    /// Passes over what it says after it was answered, until it goes.
    fn leave(&mut self) -> Result<bool, String> {
        let Phase::Leaves(said) = &mut self.phase else { return Ok(true) };
        let mut part = [0; 4096];
        match read(&mut self.stream, &mut part)? {
            None => Ok(true),
            Some(0) => Ok(false),
            Some(count) => {
                *said += count;
                if *said > REST_BYTES_MAX {
                    return Err(format!("it has said {said} bytes after its question"));
                }
                Ok(true)
            }
        }
    }
}

fn refused(text: String) -> Note {
    Note { kind: EventKind::Refused, text }
}

fn cut_off(why: &str) -> Note {
    Note { kind: EventKind::Note, text: format!("a client is cut off: {why}") }
}

/// Reads what has come. `None`: nothing yet; 0 bytes: nothing more comes.
fn read(stream: &mut TcpStream, into: &mut [u8]) -> Result<Option<usize>, String> {
    match stream.read(into) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
