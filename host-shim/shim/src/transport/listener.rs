//! Where peers connect to.

use super::address::{LinkAddress, resolve};
use super::port::{LinkPort, wait_for};
use super::socket::{Socket, Stream};
use super::{Protection, TransportError};
use rustix::event::{PollFd, PollFlags};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug)]
enum Kind {
    /// With its name, which is taken away at the end.
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

/// A socket to which peers connect.
#[derive(Debug)]
pub struct LinkListener {
    kind: Kind,
    how: Protection,
}

impl LinkListener {
    /// Listens at an address.
    ///
    /// # Errors
    ///
    /// When it is taken, or may not be listened at like that.
    pub fn bind(address: &LinkAddress, how: Protection) -> Result<Self, TransportError> {
        let kind = match address {
            LinkAddress::Unix(path) => Kind::Unix(bind_unix(path)?, path.clone()),
            LinkAddress::Tcp { host, port } => {
                let all = resolve(host, *port, matches!(how, Protection::Local))?;
                let listener = TcpListener::bind(&all[..])?;
                listener.set_nonblocking(true)?;
                Kind::Tcp(listener)
            }
        };
        Ok(Self { kind, how })
    }

    /// Where it listens, with the port that it has.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<LinkAddress> {
        Ok(match &self.kind {
            Kind::Unix(_, path) => LinkAddress::Unix(path.clone()),
            Kind::Tcp(listener) => {
                let address = listener.local_addr()?;
                LinkAddress::Tcp { host: address.ip().to_string(), port: address.port() }
            }
        })
    }

    /// The next peer that has connected. Whether it is who it must be shows when it is polled.
    ///
    /// # Errors
    ///
    /// When a peer is refused at once, or the socket is of no use any more.
    pub fn accept(&self) -> Result<Option<LinkPort>, TransportError> {
        Ok(self.accept_socket()?.map(|(socket, _)| LinkPort::over(socket)))
    }

    /// The same, to speak otherwise than a link does; with the address of one that comes over TCP.
    /// Whether it is who it must be shows at the end of [`Socket::handshake`].
    ///
    /// # Errors
    ///
    /// When a peer is refused at once, or the socket is of no use any more.
    pub fn accept_socket(&self) -> Result<Option<(Socket, Option<SocketAddr>)>, TransportError> {
        let (stream, peer) = match &self.kind {
            Kind::Unix(listener, _) => match listener.accept() {
                Ok((stream, _)) => (Stream::unix(stream)?, None),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            Kind::Tcp(listener) => match listener.accept() {
                Ok((stream, peer)) => (Stream::tcp(stream)?, Some(peer)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        let tls = match (&self.how, &stream) {
            (Protection::Tls(keys), Stream::Tcp(_)) => Some(keys.accept()?),
            _ => None,
        };
        Ok(Some((Socket::new(stream, tls), peer)))
    }

    /// Waits until a peer connects, for so long at most.
    ///
    /// # Errors
    ///
    /// When the system cannot.
    pub fn wait(&self, most: Duration) -> Result<(), TransportError> {
        wait_for(&mut [PollFd::new(self, PollFlags::IN)], most)
    }
}

impl AsFd for LinkListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Unix(listener, _) => listener.as_fd(),
            Kind::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl Drop for LinkListener {
    fn drop(&mut self) {
        if let Kind::Unix(_, path) = &self.kind {
            // Nobody can be told here; a socket that nobody listens at is replaced.
            let _ = fs::remove_file(path);
        }
    }
}

/// Listens at a name that is free, or was of a process that is gone.
fn bind_unix(path: &Path) -> Result<UnixListener, TransportError> {
    let occupied = |why| TransportError::Occupied { path: path.to_path_buf(), why };
    match fs::symlink_metadata(path) {
        Ok(about) if !about.file_type().is_socket() => {
            return Err(occupied("is there already, and no socket"));
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(occupied("is in use: another process listens there")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let listener = UnixListener::bind(path)?;
    // Whoever connects before this is another user all the same, and refused for that.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
