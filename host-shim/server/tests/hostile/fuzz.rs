//! Messages by chance, from a seed: on both of the vGPU's sockets, and for a long time.

use crate::bench::Bench;
use crate::link::Link;
use crate::messages::{Chance, next};
use crate::process::resident_bytes;
use crate::seeds::{Told, seeds};
use godwit_server::Who;
use godwit_sys::new_eventfd;
use godwit_vfio_proto::{Command, MessageKind, Request};
use std::os::fd::{AsFd as _, OwnedFd};

/// Messages of a seed, and those that are sent before the device has a turn.
const MESSAGES: u64 = 20_000;
const BATCH: u64 = 16;
/// Messages of a connection: a length that is too long would else swallow all the rest.
const LINK_MESSAGES: u64 = 64;

/// What may grow beside the device, as a memory allocator does.
const GROWTH_MAX_BYTES: u64 = 16 << 20;
const WARM_UP: u64 = 10_000;
const ROUNDS: u64 = 60_000;

/// What is counted of the messages, so that a fuzz which reaches nothing is seen.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    refused: u64,
    cut: u64,
    seen: std::collections::BTreeSet<u16>,
}

/// An attacker on one of the sockets.
struct Attacker {
    who: Who,
    /// What the device calls it.
    name: &'static str,
    link: Link,
    left: u64,
    event: OwnedFd,
}

impl Attacker {
    fn new(bench: &mut Bench, who: Who) -> Self {
        let link = bench.meet(who);
        let name = match who {
            Who::Machine => "the machine is cut off",
            Who::Manager => "the migration manager is cut off",
        };
        Self { who, name, link, left: LINK_MESSAGES, event: new_eventfd().unwrap() }
    }

    fn attack(&mut self, bench: &mut Bench, chance: &mut Chance, tally: &mut Tally) {
        for _ in 0..BATCH {
            let (bytes, fds) = next(chance);
            let fds = vec![self.event.as_fd(); fds.min(16)];
            if self.left == 0 || !bench.send(&mut self.link, &bytes, &fds) {
                break;
            }
            self.left -= 1;
        }
        bench.turn();
        self.link.hear();
        for (header, _) in self.link.heard.drain(..) {
            match header.kind {
                MessageKind::Reply { error: None } => {
                    tally.done += 1;
                    tally.seen.insert(header.command);
                }
                MessageKind::Reply { error: Some(_) } => tally.refused += 1,
                // What the device asks of the machine is answered by chance alone.
                MessageKind::Command { .. } => {}
            }
        }
        if self.link.is_cut || self.left == 0 {
            self.come_again(bench, tally);
        }
    }

    /// The client comes again, and is served as any other.
    fn come_again(&mut self, bench: &mut Bench, tally: &mut Tally) {
        if self.link.is_cut {
            tally.cut += 1;
            let is_told = bench.cuts.iter().any(|cut| cut.contains(self.name));
            assert!(is_told, "a connection is cut and nobody is told why");
        }
        let (ours, _) = std::os::unix::net::UnixStream::pair().unwrap();
        bench.leave(std::mem::replace(&mut self.link, Link::new(ours)));
        bench.cuts.retain(|cut| !cut.contains(self.name));
        self.link = bench.meet(self.who);
        bench.check_health(&mut self.link);
        self.left = LINK_MESSAGES;
    }
}

/// Both are attacked in turn.
fn attack(bench: &mut Bench, chance: &mut Chance, messages: u64) -> Tally {
    let mut tally = Tally::default();
    let mut attackers = [Who::Machine, Who::Manager].map(|who| Attacker::new(bench, who));
    for _ in 0..messages / BATCH / 2 {
        for attacker in &mut attackers {
            attacker.attack(bench, chance, &mut tally);
        }
    }
    for attacker in attackers {
        bench.leave(attacker.link);
    }
    tally
}

#[test]
fn whatever_is_sent_harms_its_sender_alone() {
    for seed in seeds() {
        let _told = Told(seed);
        let mut bench = Bench::new();
        let tally = attack(&mut bench, &mut Chance::new(seed), MESSAGES);
        println!("seed {seed}: {tally:?}");
        assert!(
            tally.done > MESSAGES / 20 && tally.refused > MESSAGES / 20 && tally.cut > 10,
            "{tally:?}"
        );
        for command in [Command::DmaMap, Command::DeviceSetIrqs, Command::DeviceFeature] {
            assert!(tally.seen.contains(&(command as u16)), "{command:?} was never done");
        }
        // Whatever became of it, a client can have it as new.
        let mut link = bench.meet(Who::Machine);
        bench.done(&mut link, &Request::Reset, &[]);
        bench.check_health(&mut link);
        bench.leave(link);
        bench.finish();
    }
}

#[test]
fn memory_does_not_grow_with_what_is_sent() {
    let seed = seeds()[0];
    let _told = Told(seed);
    let mut bench = Bench::new();
    let mut chance = Chance::new(seed);
    attack(&mut bench, &mut chance, WARM_UP);
    let before = resident_bytes();
    attack(&mut bench, &mut chance, ROUNDS);
    let after = resident_bytes();
    println!("{before} bytes are resident before, {after} after");
    assert!(after < before + GROWTH_MAX_BYTES, "{before} bytes, then {after}");
    bench.finish();
}
