//! Links over sockets: UNIX, and TCP with TLS 1.3.
//!
//! ```text
//! Source ⇄ LinkPort { LinkFraming ⇄ Socket } ⇄ … ⇄ LinkPort ⇄ Destination
//! ```
//!
//! A [`Socket`] alone is bytes both ways, for what speaks otherwise, and a [`LinkStream`] the
//! same for a program that waits.
//!
//! Nothing of a port waits but [`LinkPort::connect`], for a while, and [`LinkPort::wait`], for as
//! long as it is told. A port ends with an error, for ever: to a move that is a lost link, and
//! another port is a new one.

mod address;
mod identity;
mod listener;
mod port;
mod socket;
mod stream;
mod tls;

pub use address::{LinkAddress, NoAddress};
pub use listener::LinkListener;
pub use port::LinkPort;
pub use socket::Socket;
pub use stream::LinkStream;
pub use tls::{TlsFiles, TlsKeys};

use crate::link::LinkError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long a peer may be silent, or take nothing, unless told otherwise.
pub const SILENCE: Duration = Duration::from_secs(5);

/// How a link over TCP is protected. UNIX sockets are protected by their file: mode 0600, and the
/// same user at both ends.
#[derive(Clone, Debug, Default)]
pub enum Protection {
    /// Plaintext, which is refused beyond this machine.
    #[default]
    Local,
    /// TLS 1.3, with a certificate at either end.
    Tls(TlsKeys),
    /// Plaintext everywhere: whoever is on the way reads and changes what he likes.
    InsecurePlaintext,
}

/// Why there is no link, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer has closed it.
    #[error("the peer has closed the link")]
    Closed,
    /// What came is no frame.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Nothing came for too long, or nothing was taken.
    #[error("the peer was silent for {0:?}")]
    Silent(Duration),
    /// TLS, or a certificate.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A file with a certificate or a key.
    #[error("{path}: {why}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why it is refused.
        why: String,
    },
    /// The name of a host is none that a certificate can have.
    #[error("`{0}` is no name or address of a host")]
    Name(String),
    /// Plaintext would leave the machine.
    #[error(
        "{0} is beyond this machine: TLS needs a certificate, its key and the authority that has \
         signed the peer's; plaintext must be asked for by name"
    )]
    Plaintext(String),
    /// Another user is at the other end of a UNIX socket.
    #[error("the peer is user {theirs}, and this is user {ours}: both must be the same")]
    OtherUser {
        /// The peer's user id.
        theirs: u32,
        /// This process's.
        ours: u32,
    },
    /// Something else has the name of a UNIX socket, or a process listens there.
    #[error("{path} {why}")]
    Occupied {
        /// The name.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
}

#[cfg(test)]
mod tests;
