//! A line to a microcontroller that somebody else runs: the UNIX socket of a serial port.

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// See the module. A byte on it says nothing but that there is something to see in the shared
/// memory.
#[derive(Debug)]
pub struct Line {
    stream: UnixStream,
}

impl Line {
    /// Whether a socket can have this path, be it there or not.
    ///
    /// # Errors
    ///
    /// When it is too long.
    pub fn check(path: &Path) -> io::Result<()> {
        SocketAddrUnix::new(path)?;
        Ok(())
    }

    /// The line at this socket. It does not wait: [`ErrorKind::WouldBlock`] says that whoever
    /// listens there is busy.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or the path can be no socket's.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &address)?;
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false)?;
        Ok(Self { stream })
    }

    /// Sends a byte, and does not wait: where there is no room, others are still to be read, which
    /// say the same. A line that is broken is an error, and no signal.
    ///
    /// # Errors
    ///
    /// When the other end is gone.
    pub fn ring(&self) -> io::Result<()> {
        match send(&self.stream, b"!", SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(error) if io::Error::from(error).kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until bytes come, and takes them; `false` when none came in time.
    ///
    /// # Errors
    ///
    /// When the other end is gone.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        match self.stream.read(&mut [0; 64]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    /// Both ends of a line.
    fn line() -> (Line, UnixStream) {
        let path = std::env::temp_dir().join(format!("godwit-line-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let line = Line::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        (line, listener.accept().unwrap().0)
    }

    #[test]
    fn a_ring_never_waits_and_the_end_of_the_other_side_is_told() {
        let (mut line, mut other) = line();
        // Nobody reads: far more than a socket takes.
        for _ in 0..100_000 {
            line.ring().unwrap();
        }
        let mut byte = [0];
        other.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
        assert!(!line.wait(Duration::ZERO).unwrap());
        other.write_all(b"?").unwrap();
        assert!(line.wait(Duration::from_secs(10)).unwrap());
        drop(other);
        assert!(line.wait(Duration::from_secs(10)).is_err());
        assert!(line.ring().is_err());
    }

    #[test]
    fn where_nobody_listens_is_no_line() {
        let kind = |path: &Path| Line::connect(path).unwrap_err().kind();
        assert_eq!(kind(Path::new("/none/there")), ErrorKind::NotFound);
        assert!(Line::check(Path::new("/none/there")).is_ok());
        let long = "x".repeat(200);
        let refused = Line::check(Path::new(&long)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(36), "it is too long, as the system says");
        assert!(Line::connect(Path::new(&long)).is_err());
    }
}
