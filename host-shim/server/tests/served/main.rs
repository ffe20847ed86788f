//! The server as a whole: its loop, its sockets with names, and the check of who connects.
//!
//! `hostile` steps devices in its own thread, and nothing stands between an attacker and a device.
//! Here clients are threads beside a [`godwit_server::Server`] that runs, as they are to `godwit
//! serve`: one harms itself, and the neighbour is served on, to the right bytes.

mod access;
mod attack;
mod beside;
mod control;
mod crowd;
mod folder;
#[path = "../hostile/link.rs"]
#[expect(dead_code, reason = "guest memory is attacked in `hostile`")]
mod link;
#[path = "../hostile/messages.rs"]
mod messages;
mod metrics;
mod neighbour;
mod operators;
mod places;
#[path = "../hostile/plan.rs"]
mod plan;
#[path = "../hostile/process.rs"]
#[expect(dead_code, reason = "addresses are limited in `hostile`")]
mod process;
mod remote;
#[path = "../hostile/seeds.rs"]
mod seeds;
mod serving;
mod tls;
mod worker;
