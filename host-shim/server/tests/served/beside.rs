//! The neighbour, while the other vGPU's sockets are attacked.

use crate::attack::{Tally, attack, meet};
use crate::messages::Chance;
use crate::neighbour::Neighbour;
use crate::process::{open_fds, resident_bytes};
use crate::seeds::{Told, seeds};
use crate::serving::{ATTACKED, NEIGHBOUR, Serving, wait_until};
use godwit_server::{Client, ClientError};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Messages on each socket: before memory is looked at, and then.
const WARM_UP: u64 = 1_000;
const MESSAGES: u64 = 4_000;
/// What may grow beside the server, as memory allocators of threads do.
const GROWTH_MAX_BYTES: u64 = 16 << 20;
/// How many connect all the time, and how long.
const FLOOD_THREADS: usize = 6;
const FLOOD: Duration = Duration::from_secs(3);

/// Attacks both sockets, beside the neighbour's work.
fn attack_both(serving: &Serving, neighbour: &mut Neighbour, seed: u64, messages: u64) {
    let sockets = [serving.device(ATTACKED), serving.migration(ATTACKED)];
    let attackers: Vec<_> = [seed, seed ^ 1 << 32]
        .into_iter()
        .zip(sockets)
        .map(|(seed, socket)| {
            std::thread::spawn(move || attack(&socket, &mut Chance::new(seed), messages))
        })
        .collect();
    while !attackers.iter().all(std::thread::JoinHandle::is_finished) {
        neighbour.step();
    }
    for attacker in attackers {
        let tally: Tally = attacker.join().unwrap();
        println!("seed {seed}: {tally:?}");
        let reached = tally.done.min(tally.refused) > messages / 100 && tally.cut > 2;
        assert!(reached, "the attack reaches nothing: {tally:?}");
    }
}

/// All of the neighbour's that was told is that it has come.
fn check_notes(notes: &[String]) {
    let begin = format!("{NEIGHBOUR}: ");
    let of_it: Vec<&str> = notes.iter().filter_map(|note| note.strip_prefix(&begin)).collect();
    assert_eq!(of_it, ["the machine has connected", "the migration manager has connected"]);
    for note in notes {
        let known = [NEIGHBOUR, ATTACKED, "control"].iter().any(|name| note.starts_with(name));
        assert!(known, "something is told of another: {note}");
    }
}

#[test]
fn a_neighbour_is_served_on_beside_hostile_clients() {
    for seed in seeds() {
        let _told = Told(seed);
        let mut serving = Serving::start();
        let mut neighbour = Neighbour::new(&serving);
        wait_until("the neighbour has connected", || serving.noted("has connected") == 2);
        let fds = open_fds();
        attack_both(&serving, &mut neighbour, !seed, WARM_UP);
        let before = resident_bytes();
        attack_both(&serving, &mut neighbour, seed, MESSAGES);
        wait_until("what the attackers have sent is closed", || open_fds() == fds);
        let after = resident_bytes();
        println!("{before} bytes are resident before, {after} after");
        assert!(after < before + GROWTH_MAX_BYTES, "{before} bytes, then {after}");

        // Whatever became of it, a client can have it as new.
        drop((meet(&serving.device(ATTACKED)), meet(&serving.migration(ATTACKED))));
        let mut client = client_of(&serving.device(ATTACKED));
        client.reset().unwrap();
        assert_eq!(client.read_config(0, 4).unwrap().len(), 4);
        neighbour.finish();
        assert!(neighbour.moves > 0, "the neighbour was never moved");
        let notes = serving.take_notes();
        let cut = notes.iter().filter(|note| note.contains("is cut off: the peer breaks")).count();
        assert!(cut > 2, "those who are cut off are not told");
        check_notes(&notes);
        drop((client, neighbour));
        serving.stop();
    }
}

/// A client of a socket, as soon as the one before has gone.
fn client_of(socket: &std::path::Path) -> Client {
    let mut client = None;
    wait_until("a client is let in", || {
        client = Client::connect(socket).ok();
        client.is_some()
    });
    client.unwrap()
}

#[test]
fn who_connects_all_the_time_keeps_nobody_from_being_served() {
    let mut serving = Serving::start();
    let mut neighbour = Neighbour::new(&serving);
    let is_over = Arc::new(AtomicBool::new(false));
    let sockets = [serving.device(ATTACKED), serving.migration(ATTACKED), serving.control()];
    let flood = |socket: PathBuf| {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut count = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                count += u64::from(UnixStream::connect(&socket).is_ok());
            }
            count
        })
    };
    let threads = sockets.into_iter().cycle().take(FLOOD_THREADS).map(flood);
    let threads: Vec<_> = threads.collect();
    let end = Instant::now() + FLOOD;
    while Instant::now() < end {
        neighbour.step();
    }
    is_over.store(true, Ordering::Relaxed);
    let counts: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    println!("connections: {counts:?}");
    neighbour.finish();
    drop(neighbour);
    serving.stop();
}

#[test]
fn a_second_client_of_a_socket_is_refused_and_the_first_is_served_on() {
    let mut serving = Serving::start();
    for (socket, name) in [
        (serving.device(ATTACKED), "the machine"),
        (serving.migration(ATTACKED), "the migration manager"),
    ] {
        let mut first = Client::connect(&socket).unwrap();
        let before = first.read_config(0, 64).unwrap();
        for _ in 0..3 {
            let second = Client::connect(&socket).unwrap_err();
            assert!(
                matches!(second, ClientError::Socket(_) | ClientError::Unsent(_)),
                "a second client is answered: {second:?}"
            );
        }
        serving.wait_for_note(&format!("{ATTACKED}: {name} is connected already: refused"));
        assert_eq!(first.read_config(0, 64).unwrap(), before);
        drop(first);
        client_of(&socket).read_config(0, 4).unwrap();
    }
    serving.stop();
}
