//! Who is let in, and as whom: users of this machine by their number, others by a certificate.
//!
//! Whoever comes over TLS is a stranger until its certificate was looked at. Strangers have a bound
//! for their number and their time, and are nobody's client: what they do costs no client its
//! place.

use crate::config::ControlConfig;
use crate::server::ServerError;
use crate::socket::{ACCEPTS_MAX, Listener, Pause, is_trusted};
use godwit_control::{Code, Refusal, Told};
use godwit_shim::{LinkAddress, LinkListener, Protection, Socket, TransportError};
use rustix::event::{PollFd, PollFlags};
use rustix::net::UCred;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Strangers at a time; the oldest makes room for one more.
pub(super) const STRANGERS_MAX: usize = 64;
/// How long one may take to show a certificate.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long certificates are looked at before others have their turn.
const TURN: Duration = Duration::from_millis(1);

/// Somebody who is let in.
#[derive(Debug)]
pub(super) struct Caller {
    /// In words, for whoever reads the log.
    pub(super) peer: String,
    pub(super) socket: Socket,
}

/// Somebody who has shown no certificate yet.
#[derive(Debug)]
struct Stranger {
    address: SocketAddr,
    socket: Socket,
    since: Instant,
    is_ready: bool,
}

#[derive(Debug)]
struct Remote {
    listener: LinkListener,
    pause: Pause,
    is_plain: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Door {
    local: Listener,
    users: Vec<u32>,
    remote: Option<Remote>,
    strangers: Vec<Stranger>,
}

impl Door {
    /// Listens.
    ///
    /// # Errors
    ///
    /// When a socket cannot be had.
    pub(super) fn open(config: &ControlConfig, sockets: &Path) -> Result<Self, ServerError> {
        let place = config.place(sockets);
        let local = match config.users.is_empty() {
            true => Listener::bind(place),
            false => Listener::bind_open(place),
        };
        let local = local.map_err(|(path, error)| ServerError::Socket { path, error })?;
        let mut remote = None;
        if let Some(address) = &config.listen {
            let failed = |why| ServerError::Remote { address: address.to_string(), why };
            let listener = LinkListener::bind(address, config.protection.clone());
            let is_plain = !matches!(config.protection, Protection::Tls(_));
            let (listener, pause) = (listener.map_err(failed)?, Pause::default());
            remote = Some(Remote { listener, pause, is_plain });
        }
        Ok(Self { local, users: config.users.clone(), remote, strangers: Vec::new() })
    }

    /// Where those on other machines ask, with the port that it has.
    pub(super) fn remote(&self) -> Option<LinkAddress> {
        self.remote.as_ref()?.listener.address().ok()
    }

    /// Whether everybody on the way hears them.
    pub(super) fn is_plain(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.is_plain)
    }

    /// Who is let in now. Of each who is not, `refused` is told.
    pub(super) fn let_in(&mut self, refused: &mut dyn FnMut(String)) -> Vec<Caller> {
        let mut callers = Vec::new();
        for _ in 0..ACCEPTS_MAX {
            match self.local.accept_anybody() {
                Ok(Some((stream, who))) => match self.look_at(stream, &who) {
                    Ok(caller) => callers.push(caller),
                    Err(why) => refused(why),
                },
                Ok(None) => break,
                Err(error) => {
                    refused(format!("nobody is let in: {error}"));
                    break;
                }
            }
        }
        self.take_in_strangers(&mut callers, refused);
        self.hear_strangers(&mut callers, refused);
        callers
    }

    /// Looks at who has connected to the socket; whoever may not ask is told so.
    fn look_at(&self, stream: UnixStream, who: &UCred) -> Result<Caller, String> {
        let uid = who.uid.as_raw();
        let peer = format!("uid {uid} (pid {})", who.pid.as_raw_nonzero());
        let mut socket = Socket::of_unix(stream).map_err(|error| format!("{peer}: {error}"))?;
        if is_trusted(who.uid) || self.users.contains(&uid) {
            return Ok(Caller { peer, socket });
        }
        let why = format!("user {uid} may not ask this server");
        let help = "its operator can name the user in `users` of `[control]`";
        let told = Told::Error(Refusal::new(Code::Forbidden, &why).help(help));
        // Text always becomes JSON. It is told if it listens.
        let mut line = serde_json::to_vec(&told).unwrap_or_default();
        line.push(b'\n');
        let _ = socket.send(&line);
        Err(format!("{peer} is refused: {why}"))
    }

    /// Takes in who has connected from elsewhere.
    fn take_in_strangers(&mut self, callers: &mut Vec<Caller>, refused: &mut dyn FnMut(String)) {
        let Some(remote) = &self.remote else { return };
        for _ in 0..ACCEPTS_MAX {
            match remote.listener.accept_socket() {
                Ok(Some((socket, Some(address)))) if remote.is_plain => {
                    let peer = format!("{address} (plaintext)");
                    callers.push(Caller { peer, socket });
                }
                Ok(Some((socket, Some(address)))) => {
                    let since = Instant::now();
                    self.strangers.push(Stranger { address, socket, since, is_ready: true });
                }
                // It listens at TCP, where everybody has an address.
                Ok(Some((_, None))) => {}
                Ok(None) => break,
                Err(error) => {
                    remote.pause.begin();
                    refused(format!("nobody is let in from elsewhere: {error}"));
                    break;
                }
            }
        }
        let more = self.strangers.len().saturating_sub(STRANGERS_MAX);
        for stranger in self.strangers.drain(..more) {
            let why = format!("{STRANGERS_MAX} others came later, and have shown none either");
            refused(format!("{} is refused without a certificate: {why}", stranger.address));
        }
    }

    /// Goes on with those who have not shown a certificate, as long as there is time.
    fn hear_strangers(&mut self, callers: &mut Vec<Caller>, refused: &mut dyn FnMut(String)) {
        let began = Instant::now();
        let (mut at, seconds) = (0, HANDSHAKE.as_secs());
        while let Some(stranger) = self.strangers.get_mut(at) {
            let mut heard = Ok(false);
            if stranger.is_ready && began.elapsed() < TURN {
                stranger.is_ready = false;
                heard = stranger.socket.handshake();
            }
            let is_late = stranger.since.elapsed() >= HANDSHAKE;
            let refusal = match heard {
                Ok(false) if !is_late => {
                    at += 1;
                    continue;
                }
                Ok(false) => format!("it has shown none for {seconds} seconds"),
                Err(TransportError::Closed) => "it has gone".into(),
                Err(error) => error.to_string(),
                Ok(true) => {
                    let Stranger { address, socket, .. } = self.strangers.remove(at);
                    let name = socket.identity().unwrap_or_default();
                    callers.push(Caller { peer: format!("`{name}` at {address}"), socket });
                    continue;
                }
            };
            let stranger = self.strangers.remove(at);
            refused(format!("{} is refused without a certificate: {refusal}", stranger.address));
        }
    }

    /// How long nothing happens here by itself.
    pub(super) fn rest(&self) -> Option<Duration> {
        let rest = |it: &Stranger| match it.is_ready {
            true => Duration::ZERO,
            false => HANDSHAKE.saturating_sub(it.since.elapsed()),
        };
        self.strangers.iter().map(rest).min()
    }

    pub(super) fn add_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(self.local.poll_fd());
        if let Some(remote) = &self.remote {
            fds.push(PollFd::new(&remote.listener, remote.pause.flags()));
        }
        for stranger in &self.strangers {
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, stranger.socket.wants_write());
            fds.push(PollFd::from_borrowed_fd(stranger.socket.as_fd(), wanted));
        }
    }

    /// What became of those that [`Self::add_fds`] has added.
    pub(super) fn note_ready(&mut self, flags: &mut impl Iterator<Item = PollFlags>) {
        let listeners = 1 + usize::from(self.remote.is_some());
        flags.by_ref().take(listeners).for_each(drop);
        for stranger in &mut self.strangers {
            stranger.is_ready |= flags.next().is_some_and(|flags| !flags.is_empty());
        }
    }
}
