//! Somebody at a control socket who is no server.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// What he does when he has heard a line.
pub(crate) enum Does {
    /// He says this, and goes.
    Says(Vec<u8>),
    /// He says this, and then nothing until the client goes.
    Stays(Vec<u8>),
    /// He does not even listen to it.
    Goes,
}

/// See the module.
pub(crate) struct Fake {
    thread: Option<JoinHandle<()>>,
    heard: Receiver<String>,
    pub(crate) folder: tempfile::TempDir,
}

impl Fake {
    /// He serves one client.
    pub(crate) fn new(does: Does) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("ctl")).unwrap();
        let (tell, heard) = channel();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            if matches!(does, Does::Goes) {
                return;
            }
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            tell.send(line).unwrap();
            serve(does, stream, &mut reader);
        });
        Self { thread: Some(thread), heard, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What the client has asked.
    pub(crate) fn heard(&mut self) -> String {
        self.thread.take().unwrap().join().unwrap();
        self.heard.recv().unwrap()
    }
}

fn serve(does: Does, mut stream: UnixStream, reader: &mut BufReader<UnixStream>) {
    let (Does::Says(said) | Does::Stays(said)) = &does else { return };
    match stream.write_all(said) {
        // The client has had enough.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe) => {}
        said => said.unwrap(),
    }
    if matches!(does, Does::Stays(_)) {
        let mut rest = String::new();
        // It goes in whichever way.
        let _ = reader.read_line(&mut rest);
        assert_eq!(rest, "");
    }
}
