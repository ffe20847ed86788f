//! The way to a server's control socket.

use super::error::ControlError;
use crate::remote::TlsOptions;
use clap::Args;
use godwit_shim::{LinkAddress, LinkStream, TransportError};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Where the server is, and how long it may take.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConnectOptions {
    /// The server's control socket: unix:PATH, or tcp:HOST:PORT.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "GODWIT_CONNECT",
        default_value = "unix:/run/godwit/ctl",
        global = true,
        value_parser = address
    )]
    connect: LinkAddress,
    /// How long the server may take to be reached, and say nothing, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        global = true,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    timeout: u64,
    #[command(flatten)]
    tls: TlsOptions,
}

fn address(text: &str) -> Result<LinkAddress, String> {
    text.parse().map_err(|error: godwit_shim::NoAddress| error.to_string())
}

/// Bytes both ways.
pub(crate) trait Wire: Read + Write + Send {
    /// How long a read may wait from now on; without it, for ever.
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()>;
}

impl Wire for UnixStream {
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }
}

impl Wire for LinkStream {
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        Self::set_patience(self, patience);
        Ok(())
    }
}

impl ConnectOptions {
    /// How the server is called.
    pub(crate) fn address(&self) -> String {
        self.connect.to_string()
    }

    /// How long the server may take.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Connects, and over TLS goes on until either end knows the other. Nothing was asked yet.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or nobody answers in time, or it is not who it must be, or the
    /// files with the certificates are none.
    pub(crate) fn connect(&self) -> Result<Box<dyn Wire>, ControlError> {
        let unreachable = |error| {
            let address = self.address();
            match error {
                // Only who is there can be silent, or say what is none.
                TransportError::Tls(rustls::Error::InvalidMessage(_))
                | TransportError::Silent(_) => ControlError::NoTls { address, error },
                error => ControlError::Unreachable { address, error },
            }
        };
        match &self.connect {
            LinkAddress::Unix(path) => {
                let stream = unix(path, self.patience());
                Ok(Box::new(stream.map_err(|error| unreachable(error.into()))?))
            }
            address @ LinkAddress::Tcp { .. } => {
                let how = self.tls.protection().map_err(ControlError::Files)?;
                let stream = LinkStream::connect(address, &how, self.patience());
                let stream = stream.map_err(|error| match error {
                    TransportError::Plaintext(_) => ControlError::Plaintext(error),
                    error => unreachable(error),
                });
                Ok(Box::new(stream?))
            }
        }
    }
}

/// Connects to a UNIX socket. One whose server accepts nobody is waited for so long.
fn unix(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // It bounds connecting, too.
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    connect(&socket, &SocketAddrUnix::new(path)?).map_err(|error| timed_out(error.into()))?;
    Ok(socket.into())
}

/// What the system calls "try again" is that time is over.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "it does not answer in time"),
        _ => error,
    }
}
