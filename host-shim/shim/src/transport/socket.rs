//! A socket that does not wait, with or without TLS over it.

use super::address::{LinkAddress, resolve};
use super::{Protection, TransportError, identity};
use rustls::Connection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a host may take to answer a connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// The kinds of stream below.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Of a TCP connection: small messages are not held back.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Of a UNIX socket, at whose other end must be the same user.
    pub(super) fn unix(stream: UnixStream) -> Result<Self, TransportError> {
        let theirs = rustix::net::sockopt::socket_peercred(&stream).map_err(io::Error::from)?;
        let (theirs, ours) = (theirs.uid, rustix::process::geteuid());
        if theirs != ours {
            let (theirs, ours) = (theirs.as_raw(), ours.as_raw());
            return Err(TransportError::OtherUser { theirs, ours });
        }
        stream.set_nonblocking(true)?;
        Ok(Self::Unix(stream))
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(bytes),
            Self::Tcp(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// `None`: it would have to wait.
fn unless_waiting<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

/// A stream that does not wait, and TLS where it is spoken: what comes and goes is bytes.
///
/// The end that listens knows its peer, and hears what it says, once [`Self::handshake`] has come
/// to its end. The end that connects knows its peer then, and learns whether that one believes it
/// from what it receives.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    tls: Option<Box<Connection>>,
}

impl Socket {
    pub(super) fn new(stream: Stream, tls: Option<Connection>) -> Self {
        Self { stream, tls: tls.map(Box::new) }
    }

    /// Connects to a peer that listens, and waits for that for a while. Over TLS nothing is known
    /// of the peer before something was received, or [`Self::handshake`] is done.
    ///
    /// # Errors
    ///
    /// When nobody answers, or the address may not be reached like that.
    pub fn connect(address: &LinkAddress, how: &Protection) -> Result<Self, TransportError> {
        match address {
            LinkAddress::Unix(path) => {
                Ok(Self::new(Stream::unix(UnixStream::connect(path)?)?, None))
            }
            LinkAddress::Tcp { host, port } => Self::connect_tcp(host, *port, how, CONNECT_MAX),
        }
    }

    /// Connects to a port, with so long for each address of the host.
    pub(super) fn connect_tcp(
        host: &str,
        port: u16,
        how: &Protection,
        most: Duration,
    ) -> Result<Self, TransportError> {
        let tls = match how {
            Protection::Tls(keys) => Some(keys.connect(host)?),
            Protection::Local | Protection::InsecurePlaintext => None,
        };
        let mut last = io::Error::other("the host has no address");
        for address in resolve(host, port, matches!(how, Protection::Local))? {
            match TcpStream::connect_timeout(&address, most) {
                Ok(stream) => return Ok(Self::new(Stream::tcp(stream)?, tls)),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    /// Of a UNIX socket whose peer was looked at already.
    ///
    /// # Errors
    ///
    /// When the system does not let it go on without waiting.
    pub fn of_unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::new(Stream::Unix(stream), None))
    }

    /// Goes on with what comes before all else over TLS, as far as it can. `true`: it is done, and
    /// the peer's certificate is good.
    ///
    /// # Errors
    ///
    /// When the peer is refused, or has gone.
    pub fn handshake(&mut self) -> Result<bool, TransportError> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        if tls.is_handshaking() {
            let closed = self.take_in()?;
            self.put_out()?;
            let tls = self.tls.as_ref();
            let is_done = tls.is_none_or(|tls| !tls.is_handshaking());
            return if closed && !is_done { Err(TransportError::Closed) } else { Ok(is_done) };
        }
        Ok(true)
    }

    /// Who the peer is by its certificate: its subject, in one line. `None`: it has shown none, or
    /// it is not known yet whether it is good.
    pub fn identity(&self) -> Option<String> {
        let tls = self.tls.as_ref().filter(|tls| !tls.is_handshaking())?;
        tls.peer_certificates()?.first().map(identity::of)
    }

    /// Whether bytes of TLS wait to be sent.
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Takes as many bytes as are there and fit. `None`: there are none now.
    ///
    /// # Errors
    ///
    /// When there will be none any more.
    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, TransportError> {
        let count = if self.tls.is_some() {
            match self.decrypted(bytes)? {
                None => {
                    let closed = self.take_in()?;
                    if self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                        self.put_out()?;
                    }
                    let count = self.decrypted(bytes)?;
                    if closed && count.is_none() {
                        return Err(TransportError::Closed);
                    }
                    count
                }
                count => count,
            }
        } else {
            unless_waiting(self.stream.read(bytes))?
        };
        if count == Some(0) { Err(TransportError::Closed) } else { Ok(count) }
    }

    /// What has come and was not taken yet.
    fn decrypted(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            Some(tls) => unless_waiting(tls.reader().read(bytes)),
            None => Ok(None),
        }
    }

    /// Takes what there is of TLS. `true`: there will be no more.
    fn take_in(&mut self) -> Result<bool, TransportError> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let closed = unless_waiting(tls.read_tls(&mut self.stream))? == Some(0);
        if let Err(error) = tls.process_new_packets() {
            // The peer is told why, after what was to be said before.
            let _ = self.put_out();
            return Err(error.into());
        }
        Ok(closed)
    }

    /// Sends what there is of TLS, as far as it is taken.
    fn put_out(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            if unless_waiting(tls.write_tls(&mut self.stream))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Sends as many bytes as are taken now.
    ///
    /// # Errors
    ///
    /// When none will be taken any more.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let Some(tls) = &mut self.tls else {
            return Ok(unless_waiting(self.stream.write(bytes))?.unwrap_or(0));
        };
        // Nothing is said before it is known to whom.
        let taken = if tls.is_handshaking() { 0 } else { tls.writer().write(bytes)? };
        self.put_out()?;
        Ok(taken)
    }

    /// Says that nothing more comes, where the peer would else take it for cut off. What it does
    /// not take at once it is not told.
    pub fn say_end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // It goes in any case.
            let _ = self.put_out();
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
