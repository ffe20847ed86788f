//! Where a link leads.

use super::TransportError;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a peer listens: `unix:PATH` or `tcp:HOST:PORT`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAddress {
    /// A UNIX socket.
    Unix(PathBuf),
    /// A port of a host.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port; 0 is any that is free, to listen.
        port: u16,
    },
}

/// A text that is no address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is unix:PATH or tcp:HOST:PORT")]
pub struct NoAddress;

impl FromStr for LinkAddress {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let (host, port) =
            text.strip_prefix("tcp:").and_then(|rest| rest.rsplit_once(':')).ok_or(NoAddress)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if host.is_empty() || bare.is_none() && host.contains(':') {
            return Err(NoAddress);
        }
        let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number).ok_or(NoAddress)?;
        Ok(Self::Tcp { host: host.into(), port })
    }
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// The addresses of a host, all of this machine if `local`.
pub(super) fn resolve(
    host: &str,
    port: u16,
    local: bool,
) -> Result<Vec<SocketAddr>, TransportError> {
    let all: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    match all.iter().find(|address| local && !address.ip().to_canonical().is_loopback()) {
        Some(beyond) => Err(TransportError::Plaintext(beyond.to_string())),
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        for text in ["unix:/run/a b", "unix:x", "tcp:localhost:1", "tcp:10.0.0.1:0", "tcp:[::1]:9"]
        {
            assert_eq!(text.parse::<LinkAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix:",
            "tcp:",
            "tcp:1",
            "tcp::1",
            "tcp:a:",
            "tcp:a:65536",
            "tcp:a:+1",
            "tcp:::1:9",
            "a:1",
        ] {
            assert_eq!(text.parse::<LinkAddress>(), Err(NoAddress), "{text}");
        }
    }
}
