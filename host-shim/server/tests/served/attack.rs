//! A client that says, on one socket, what comes by chance; each time that it is cut off it comes
//! again.

use crate::link::Link;
use crate::messages::{Chance, next, version};
use crate::serving::wait_until;
use godwit_sys::new_eventfd;
use godwit_vfio_proto::MessageKind;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Messages of a connection: a length that is too long would else swallow all the rest.
const LINK_MESSAGES: u64 = 64;
/// Messages that are sent before the server has a turn: those behind one that is cut off are lost.
const BATCH: u64 = 4;
/// Connections of which one has bytes by chance, and how many.
const RAW_ONE_IN: u64 = 4;
const RAW_BYTES: u64 = 8192;
/// How often it is tried to send what the server does not take, and to hear what does not come;
/// and how long each try waits.
const TRIES: u32 = 100;
const SILENT_TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// What is counted of the messages, so that an attack which reaches nothing is seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) cut: u64,
}

/// Sends so many messages, and goes.
pub(crate) fn attack(socket: &Path, chance: &mut Chance, messages: u64) -> Tally {
    let mut tally = Tally::default();
    let event = new_eventfd().unwrap();
    let mut left = messages;
    while left > 0 {
        let mut link = if chance.one_in(RAW_ONE_IN) { raw(socket, chance) } else { meet(socket) };
        for at in 0..LINK_MESSAGES.min(left) {
            left -= 1;
            if at % BATCH == 0 {
                std::thread::sleep(PAUSE);
            }
            let (bytes, fds) = next(chance);
            if !send(&mut link, &bytes, &event, fds.min(16)) {
                break;
            }
        }
        hear_all(&mut link, &mut tally);
        tally.cut += u64::from(link.is_cut);
    }
    tally
}

fn connect(socket: &Path) -> Link {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_nonblocking(true).unwrap();
    Link::new(stream)
}

/// A connection that begins with no message.
fn raw(socket: &Path, chance: &mut Chance) -> Link {
    let mut link = connect(socket);
    let count = chance.below(RAW_BYTES);
    link.send(&chance.bytes(count), &[]);
    link
}

/// A connection on which the versions are agreed, as soon as the server has seen the one before go.
pub(crate) fn meet(socket: &Path) -> Link {
    let mut met = None;
    wait_until("an attacker is let in again", || {
        let mut link = connect(socket);
        link.send(&version().encode(1), &[]);
        wait_until("an attacker is answered", || {
            link.hear();
            link.is_cut || !link.heard.is_empty()
        });
        link.heard.clear();
        met = (!link.is_cut).then_some(link);
        met.is_some()
    });
    met.unwrap()
}

/// `false`: the connection was cut, or the server takes no more.
fn send(link: &mut Link, bytes: &[u8], event: &OwnedFd, fds: usize) -> bool {
    let fds: Vec<BorrowedFd<'_>> = vec![event.as_fd(); fds];
    let (mut sent, mut tries) = (0, 0);
    while sent < bytes.len() && !link.is_cut && tries < TRIES {
        let count = link.send(&bytes[sent..], if sent == 0 { &fds } else { &[] });
        sent += count;
        link.hear();
        if count == 0 {
            tries += 1;
            std::thread::sleep(PAUSE);
        }
    }
    sent == bytes.len() && !link.is_cut
}

/// Waits until nothing more comes.
fn hear_all(link: &mut Link, tally: &mut Tally) {
    let mut tries = 0;
    while tries < SILENT_TRIES && !link.is_cut {
        std::thread::sleep(PAUSE);
        let before = link.heard.len();
        link.hear();
        tries = if link.heard.len() == before { tries + 1 } else { 0 };
    }
    for (header, _) in link.heard.drain(..) {
        match header.kind {
            MessageKind::Reply { error: None } => tally.done += 1,
            MessageKind::Reply { error: Some(_) } => tally.refused += 1,
            // What the device asks of the machine is answered by chance alone.
            MessageKind::Command { .. } => {}
        }
    }
}
