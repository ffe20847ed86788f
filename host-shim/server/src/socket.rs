//! Sockets with names: for this user alone, or for all, where somebody else looks at who it is.

use rustix::event::{PollFd, PollFlags};
use rustix::net::UCred;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Uid, geteuid};
use std::cell::Cell;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Who is let in at a socket before others have their turn: who connects all the time would else
/// be all that is served.
pub(crate) const ACCEPTS_MAX: usize = 16;
/// What others than its user may do with a folder, and what of it lets them change it.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;
/// Modes of a socket: only its user, and everybody, may connect.
const CLOSED: u32 = 0o600;
const OPEN: u32 = 0o666;

/// A socket that others connect to. Its name is taken away at the end.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    pause: Pause,
}

/// How long a listener is not waited for after it could let nobody in: where the process has no
/// descriptor left it stays ready, and the server would not sleep.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a listener is waited for.
#[derive(Debug, Default)]
pub(crate) struct Pause(Cell<Option<Instant>>);

impl Pause {
    /// It could let nobody in.
    pub(crate) fn begin(&self) {
        self.0.set(Some(Instant::now()));
    }

    /// What is waited for.
    pub(crate) fn flags(&self) -> PollFlags {
        match self.0.get() {
            Some(since) if since.elapsed() < PAUSE => PollFlags::empty(),
            _ => PollFlags::IN,
        }
    }
}

/// Makes the folder of sockets, which others may not look into. One that is there must be so, too:
/// its mode is not changed, since it may be of use for something else.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let about = fs::metadata(path)?;
    let (user, mode) = (about.uid(), about.mode() & 0o777);
    let why = if user != geteuid().as_raw() {
        format!("it is of user {user}, and not the server's: name another folder")
    } else if mode & OTHERS != 0 {
        format!("others may look into it (mode {mode:o}): `chmod 700` it, or name another folder")
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

/// Whether a socket may be in a folder that others may enter: what is there is its owner's alone to
/// change, who is the server's user or root.
fn check_open_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let about = fs::metadata(folder)?;
    let (user, mode) = (about.uid(), about.mode() & 0o7777);
    let shown = folder.display();
    let why = if !about.is_dir() {
        format!("{shown} is no folder")
    } else if !is_trusted(Uid::from_raw(user)) {
        format!("{shown} is of user {user}, and neither the server's nor root's")
    } else if mode & OTHERS_WRITE != 0 {
        format!("others may change {shown} (mode {mode:o}), and put a socket there themselves")
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

/// Whether somebody is the server's user, or root.
pub(crate) fn is_trusted(user: Uid) -> bool {
    user == geteuid() || user.is_root()
}

impl Listener {
    /// Listens at a name that is free, or was of a process that is gone.
    pub(crate) fn bind(path: PathBuf) -> Result<Self, (PathBuf, io::Error)> {
        match listen(&path, CLOSED) {
            Ok(socket) => Ok(Self { socket, path, pause: Pause::default() }),
            Err(error) => Err((path, error)),
        }
    }

    /// The same where everybody can connect, in a folder that only its owner can change.
    pub(crate) fn bind_open(path: PathBuf) -> Result<Self, (PathBuf, io::Error)> {
        match check_open_folder(&path).and_then(|()| listen(&path, OPEN)) {
            Ok(socket) => Ok(Self { socket, path, pause: Pause::default() }),
            Err(error) => Err((path, error)),
        }
    }

    /// What it is to be waited for.
    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(self, self.pause.flags())
    }

    /// The next who has connected, the server's user or root; an error is of that one, or of the
    /// socket.
    pub(crate) fn accept(&self) -> io::Result<Option<UnixStream>> {
        let Some((stream, peer)) = self.accept_anybody()? else { return Ok(None) };
        if !is_trusted(peer.uid) {
            let why = format!("user {} is not the server's", peer.uid.as_raw());
            return Err(io::Error::new(ErrorKind::PermissionDenied, why));
        }
        Ok(Some(stream))
    }

    /// The next who has connected, and who that is.
    pub(crate) fn accept_anybody(&self) -> io::Result<Option<(UnixStream, UCred)>> {
        let stream = match self.socket.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => {
                self.pause.begin();
                return Err(error);
            }
        };
        stream.set_nonblocking(true)?;
        let peer = socket_peercred(&stream)?;
        Ok(Some((stream, peer)))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Nobody can be told here; a socket that nobody listens at is replaced.
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(about) if !about.file_type().is_socket() => {
            let why = "the name of a socket is taken by something that is none";
            return Err(io::Error::new(ErrorKind::AlreadyExists, why));
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                fs::remove_file(path)?;
            }
            _ => {
                let why = "another process listens there already: end it, or name another folder";
                return Err(io::Error::new(ErrorKind::AddrInUse, why));
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixListener::bind(path)?;
    // Whoever connects before this is looked at all the same.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_lets_nobody_in_is_not_waited_for_and_then_is_again() {
        let pause = Pause::default();
        assert_eq!(pause.flags(), PollFlags::IN);
        pause.begin();
        assert_eq!(pause.flags(), PollFlags::empty());
        pause.0.set(Instant::now().checked_sub(PAUSE));
        assert_eq!(pause.flags(), PollFlags::IN);
    }
}
