//! A link between two sockets that can be cut.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What both directions of all connections share.
#[derive(Debug, Default)]
struct Shared {
    is_cut: bool,
    streams: Vec<UnixStream>,
}

/// Whoever connects to [`Self::path`] is connected to the other socket, until the link is cut.
#[derive(Debug)]
pub struct Link {
    path: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

/// Says of bytes on their way to the other socket whether the link is cut once they are there.
pub(crate) type Trigger = fn(&[u8]) -> bool;

impl Link {
    /// A link from a new socket at `path` to that at `to`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// When there is no such socket.
    pub fn new(path: PathBuf, to: PathBuf, trigger: fn(&[u8]) -> bool) -> io::Result<Self> {
        let listener = UnixListener::bind(&path)?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(near) = stream else { break };
                let Ok(far) = UnixStream::connect(&to) else { continue };
                if join(&ours, near, far, trigger).is_err() {
                    break;
                }
            }
        });
        Ok(Self { path, shared })
    }

    /// Where to connect.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cuts it, for good.
    pub fn cut(&self) {
        cut(&self.shared);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        // The thread that listens ends when it sees that.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn cut(shared: &Mutex<Shared>) {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.is_cut = true;
    for stream in shared.streams.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Copies both ways.
fn join(
    shared: &Arc<Mutex<Shared>>,
    near: UnixStream,
    far: UnixStream,
    trigger: Trigger,
) -> io::Result<()> {
    {
        let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        all.streams.extend([near.try_clone()?, far.try_clone()?]);
    }
    let (mut from, mut to) = (near.try_clone()?, far.try_clone()?);
    let ours = Arc::clone(shared);
    thread::spawn(move || {
        let mut part = [0; 64 * 1024];
        while let Ok(count @ 1..) = io::Read::read(&mut from, &mut part) {
            if io::Write::write_all(&mut to, &part[..count]).is_err() {
                break;
            }
            if trigger(&part[..count]) {
                // What was said is heard, and the answer is not.
                thread::sleep(std::time::Duration::from_millis(50));
                cut(&ours);
                break;
            }
        }
        // An end that is gone is seen by the other, as over one socket.
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    let (mut from, mut to) = (far, near);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    Ok(())
}
