//! Who may have a place at a socket, and for how long.

use crate::control::{Asker, CLIENTS_MAX};
use crate::serving::{ATTACKED, Serving};
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
    serving.wait_for_note("control: a client is cut off: it was silent for 10 seconds");
    assert_eq!(askers[0].list().len(), 2);
    assert_eq!(askers[1].hear(), None);
    drop(askers);
    serving.stop();
}

#[test]
fn another_user_is_refused_at_every_socket() {
    let mut serving = Serving::start();
    let sockets = [serving.device(ATTACKED), serving.migration(ATTACKED), serving.control()];
    // As if somebody had opened what is closed: the server looks at who it is all the same.
    let open = |path: &std::path::Path, mode| {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    for folder in serving.sockets.ancestors().take(3) {
        open(folder, 0o711);
    }
    sockets.iter().for_each(|socket| open(socket, 0o666));
    let user = rustix::process::Uid::from_raw(65_534);
    let is_other = std::thread::spawn(move || {
        // Of this thread alone. Only root may become another.
        if rustix::thread::set_thread_res_uid(user, user, user).is_err() {
            return false;
        }
        for socket in sockets {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.set_read_timeout(Some(SILENCE / 2)).unwrap();
            match stream.read(&mut [0]) {
                Ok(count) => assert_eq!(count, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
        true
    });
    if is_other.join().unwrap() {
        let why = "nobody is let in: user 65534 is not the server's";
        serving.wait_for_note(&format!("control: {why}"));
        crate::serving::wait_until("all are told", || serving.noted(why) == 3);
    } else {
        println!("this is not root, which could be another user: nothing is tested");
    }
    Client::connect(&serving.device(ATTACKED)).unwrap();
    serving.stop();
}
