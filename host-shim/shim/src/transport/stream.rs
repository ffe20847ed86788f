//! A connection of a program that waits for it.

use super::address::LinkAddress;
use super::port::wait_for;
use super::socket::Socket;
use super::{Protection, TransportError};
use rustix::event::{PollFd, PollFlags};
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long is waited at a time where there is no end to it.
const LOOK: Duration = Duration::from_secs(60);

/// A connection to whoever listens, to read from and write to. Whoever says nothing, or takes
/// nothing, for longer than the patience is told of as [`ErrorKind::WouldBlock`], as by the
/// sockets of the standard library.
#[derive(Debug)]
pub struct LinkStream {
    socket: Socket,
    patience: Cell<Option<Duration>>,
}

impl LinkStream {
    /// Connects, and over TLS goes on until it is known whom to. Both, and each read and write
    /// later, may take so long. At a UNIX socket any user may listen: who may put one there is up
    /// to its folder.
    ///
    /// # Errors
    ///
    /// When nobody answers in time, or it is not who it must be, or the address may not be reached
    /// like that.
    pub fn connect(
        address: &LinkAddress,
        how: &Protection,
        patience: Duration,
    ) -> Result<Self, TransportError> {
        let end = Instant::now() + patience;
        let mut socket = match address {
            LinkAddress::Unix(path) => Socket::of_unix(UnixStream::connect(path)?)?,
            LinkAddress::Tcp { host, port } => Socket::connect_tcp(host, *port, how, patience)?,
        };
        while !socket.handshake()? {
            if !wait(&socket, PollFlags::IN, Some(end))? {
                return Err(TransportError::Silent(patience));
            }
        }
        Ok(Self { socket, patience: Cell::new(Some(patience)) })
    }

    /// How long a read or a write may wait from now on; `None`: for ever.
    pub fn set_patience(&self, patience: Option<Duration>) {
        self.patience.set(patience);
    }

    fn end(&self) -> Option<Instant> {
        self.patience.get().map(|patience| Instant::now() + patience)
    }
}

/// Waits until there is something to do. `false`: there was nothing in time.
fn wait(
    socket: &Socket,
    mut wanted: PollFlags,
    end: Option<Instant>,
) -> Result<bool, TransportError> {
    let left = end.map_or(LOOK, |end| end.saturating_duration_since(Instant::now()));
    if left.is_zero() {
        return Ok(false);
    }
    wanted.set(PollFlags::OUT, wanted.contains(PollFlags::OUT) || socket.wants_write());
    wait_for(&mut [PollFd::new(socket, wanted)], left)?;
    Ok(true)
}

fn to_io(error: TransportError) -> io::Error {
    match error {
        TransportError::Io(error) => error,
        other => io::Error::new(ErrorKind::InvalidData, other),
    }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::WouldBlock, "the peer does not answer in time")
}

impl Drop for LinkStream {
    fn drop(&mut self) {
        self.socket.say_end();
    }
}

impl Read for LinkStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = self.end();
        loop {
            match self.socket.receive(bytes) {
                Ok(Some(count)) => return Ok(count),
                Ok(None) => {}
                Err(TransportError::Closed) => return Ok(0),
                Err(error) => return Err(to_io(error)),
            }
            // What TLS itself has to say.
            self.socket.send(&[]).map_err(to_io)?;
            if !wait(&self.socket, PollFlags::IN, end).map_err(to_io)? {
                return Err(late());
            }
        }
    }
}

impl Write for LinkStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.end();
        loop {
            let count = self.socket.send(bytes).map_err(to_io)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            if !wait(&self.socket, PollFlags::OUT, end).map_err(to_io)? {
                return Err(late());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let end = self.end();
        loop {
            self.socket.send(&[]).map_err(to_io)?;
            if !self.socket.wants_write() {
                return Ok(());
            }
            if !wait(&self.socket, PollFlags::OUT, end).map_err(to_io)? {
                return Err(late());
            }
        }
    }
}
