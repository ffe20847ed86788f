//! Who may have a place at a socket, and for how long.

use crate::control::{Asker, CLIENTS_MAX};
use crate::serving::{ATTACKED, Serving, wait_until};
use godwit_control::Code;
use godwit_server::Client;
use std::fs::{Permissions, set_permissions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a place is kept for who says nothing: 10 s, and a little more.
const SILENCE: Duration = Duration::from_millis(10_500);

#[test]
fn who_says_nothing_does_not_keep_a_place_for_ever() {
    let mut serving = Serving::start();
    let mut silent = UnixStream::connect(serving.device(ATTACKED)).unwrap();
    let mut askers: Vec<Asker> = (0..CLIENTS_MAX).map(|_| Asker::connect(&serving)).collect();
    serving.wait_for_note("the machine has connected");
    Client::connect(&serving.device(ATTACKED)).unwrap_err();
    Asker::connect(&serving).hear_too_many();
    std::thread::sleep(SILENCE / 2);
    // One has asked in between.
    assert_eq!(askers[0].list().len(), 2);
    std::thread::sleep(SILENCE / 2);
    serving.wait_for_note("the machine is cut off: the peer has said nothing for 10 seconds");
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    Client::connect(&serving.device(ATTACKED)).unwrap();

    assert_eq!(Asker::connect(&serving).list().len(), 2);
    serving.wait_for_note(" is cut off: it was silent for 10 seconds");
    assert_eq!(askers[0].list().len(), 2);
    assert_eq!(askers[1].hear(), None);
    drop(askers);
    serving.stop();
}

/// Does something as another user, on a thread of its own. `None`: only root may.
pub(crate) fn as_user<T: Send + 'static>(
    user: u32,
    what: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let user = rustix::process::Uid::from_raw(user);
    let done = std::thread::spawn(move || {
        // Of this thread alone.
        rustix::thread::set_thread_res_uid(user, user, user).is_ok().then(what)
    });
    let done = done.join().unwrap();
    if done.is_none() {
        println!("this is not root, which could be another user: not all is tested");
    }
    done
}

#[test]
fn another_user_is_refused_at_every_socket() {
    let mut serving = Serving::start();
    let sockets = [serving.device(ATTACKED), serving.migration(ATTACKED)];
    // As if somebody had opened what is closed: the server looks at who it is all the same.
    let open = |path: &std::path::Path, mode| {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    for folder in serving.sockets.ancestors().take(3) {
        open(folder, 0o711);
    }
    sockets.iter().for_each(|socket| open(socket, 0o666));
    open(&serving.control(), 0o666);
    let control = serving.control();
    let is_other = as_user(65_534, move || {
        for socket in sockets {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.set_read_timeout(Some(SILENCE / 2)).unwrap();
            match stream.read(&mut [0]) {
                Ok(count) => assert_eq!(count, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
        Asker::connect_at(&control).hear_refusal(Code::Forbidden);
    });
    if is_other.is_some() {
        let why = "nobody is let in: user 65534 is not the server's";
        wait_until("both are told", || serving.noted(why) == 2);
        let why = " is refused: user 65534 may not ask this server";
        wait_until("one is told", || serving.noted(why) == 1);
        let pid = std::process::id();
        assert_eq!(serving.noted(&format!("control: uid 65534 (pid {pid}){why}")), 1);
    }
    Client::connect(&serving.device(ATTACKED)).unwrap();
    serving.stop();
}
