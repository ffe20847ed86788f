//! A socket that does not wait, with or without TLS over it.

use super::address::{LinkAddress, resolve};
use super::{Protection, TransportError};
use rustls::Connection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

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

/// How long a host may take to answer a connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// A connection that does not wait, and TLS where it is spoken.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    tls: Option<Box<Connection>>,
}

impl Socket {
    pub(super) fn new(stream: Stream, tls: Option<Connection>) -> Self {
        Self { stream, tls: tls.map(Box::new) }
    }

    /// Connects to a peer that listens, and waits for that for a while. Over TLS nothing is known of
    /// the peer before something was received.
    ///
    /// # Errors
    ///
    /// When nobody answers, or the address may not be reached like that.
    pub fn connect(address: &LinkAddress, how: &Protection) -> Result<Self, TransportError> {
        let (host, port) = match address {
            LinkAddress::Unix(path) => {
                return Ok(Self::new(Stream::unix(UnixStream::connect(path)?)?, None));
            }
            LinkAddress::Tcp { host, port } => (host, *port),
        };
        let tls = match how {
            Protection::Tls(keys) => Some(keys.connect(host)?),
            Protection::Local | Protection::InsecurePlaintext => None,
        };
        let local = matches!(how, Protection::Local);
        let mut last = io::Error::other("the host has no address");
        for address in resolve(host, port, local)? {
            match TcpStream::connect_timeout(&address, CONNECT_MAX) {
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

    /// Whether bytes of TLS wait to be sent.
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Takes as many bytes as are there and fit. `None`: there are none now.
    ///
    /// # Errors
    ///
    /// When the peer has closed it, or is not who it must be.
    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, TransportError> {
        let count = match &mut self.tls {
            None => unless_waiting(self.stream.read(bytes))?,
            Some(tls) => {
                let closed = unless_waiting(tls.read_tls(&mut self.stream))? == Some(0);
                if let Err(error) = tls.process_new_packets() {
                    // The peer is told why.
                    let _ = tls.write_tls(&mut self.stream);
                    return Err(error.into());
                }
                while tls.is_handshaking() && tls.wants_write() {
                    if unless_waiting(tls.write_tls(&mut self.stream))?.is_none() {
                        break;
                    }
                }
                let count = unless_waiting(tls.reader().read(bytes))?;
                if closed && count.is_none() {
                    return Err(TransportError::Closed);
                }
                count
            }
        };
        if count == Some(0) { Err(TransportError::Closed) } else { Ok(count) }
    }

    /// Sends as many bytes as are taken now.
    ///
    /// # Errors
    ///
    /// When nobody takes them any more.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let Some(tls) = &mut self.tls else {
            return Ok(unless_waiting(self.stream.write(bytes))?.unwrap_or(0));
        };
        // Nothing is said before it is known to whom.
        let taken = if tls.is_handshaking() { 0 } else { tls.writer().write(bytes)? };
        while tls.wants_write() {
            if unless_waiting(tls.write_tls(&mut self.stream))?.is_none() {
                break;
            }
        }
        Ok(taken)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
