//! Somebody between two servers, who does not carry the commit of a move and is gone afterwards, as
//! the network of a data centre may be.

use crate::serving::PATIENCE;
use godwit_shim::LinkMessage;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

/// Bytes before the frames of a link, and before the message of each: length and CRC.
const HELLO_BYTES: usize = 16;
const HEAD_BYTES: usize = 8;

/// See the module.
pub(crate) struct Bridge {
    /// Where the source connects to.
    pub(crate) address: String,
    /// Both connections, once the commit was to be carried.
    committed: Receiver<[UnixStream; 2]>,
    _folder: tempfile::TempDir,
}

impl Bridge {
    /// It carries one connection to this control socket.
    pub(crate) fn to(socket: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ctl");
        let listener = UnixListener::bind(&path).unwrap();
        let (tell, committed) = channel();
        let behind = socket.to_path_buf();
        std::thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            // Nobody is let in any more.
            drop(listener);
            let far = UnixStream::connect(behind).unwrap();
            let both = || [near.try_clone().unwrap(), far.try_clone().unwrap()];
            let [mut back, mut forth] = both();
            std::thread::spawn(move || io::copy(&mut forth, &mut back));
            let [from, to] = both();
            let committed = || tell.send(both()).unwrap();
            // Its end is that of the connection.
            let _ = carry(from, to, &committed);
        });
        Self { address: format!("unix:{}", path.display()), committed, _folder: folder }
    }

    /// Waits until the source has given the vGPU away, and the destination does not hear of it.
    pub(crate) fn await_commit(&self) -> Cut {
        Cut(self.committed.recv_timeout(PATIENCE).unwrap())
    }
}

/// Two servers that hear of one another no more when this is dropped.
pub(crate) struct Cut([UnixStream; 2]);

impl Drop for Cut {
    fn drop(&mut self) {
        for stream in &self.0 {
            // The server may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Carries what the source says, but for the commit.
fn carry(from: UnixStream, mut to: UnixStream, committed: &dyn Fn()) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut question = Vec::new();
    from.read_until(b'\n', &mut question)?;
    to.write_all(&question)?;
    let mut hello = [0; HELLO_BYTES];
    from.read_exact(&mut hello)?;
    to.write_all(&hello)?;
    loop {
        let mut head = [0; HEAD_BYTES];
        from.read_exact(&mut head)?;
        let length = u32::from_le_bytes(head[..4].try_into().unwrap());
        let mut message = vec![0; length as usize];
        from.read_exact(&mut message)?;
        // An empty one says that its sender is there.
        let is_message = !message.is_empty();
        if is_message {
            let said = LinkMessage::decode(&message).map_err(|_| ErrorKind::InvalidData)?;
            if matches!(said, LinkMessage::Commit(_)) {
                committed();
                continue;
            }
        }
        to.write_all(&head)?;
        to.write_all(&message)?;
    }
}
