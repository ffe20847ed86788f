//! A move between two servers that do not hear of one another any more, just when the vGPU was
//! given away: each waits, and an operator says whose it is.

use crate::bridge::Bridge;
use crate::serving::{Serving, text};
use snapbox::{assert_data_eq, file};
use std::process::{Child, Stdio};

/// Two servers, and who waits for the move from the one to the other.
struct Torn {
    here: Serving,
    there: Serving,
    address: String,
    mover: Child,
}

/// Begins a move, says this to the source while the two hear one another, and then they do not.
fn torn(before: &[&str]) -> (Torn, String) {
    let (here, there) = (Serving::start(), Serving::start());
    assert!(there.ctl("destroy v0").status.success());
    let bridge = Bridge::to(&there.path().join("ctl"));
    let address = bridge.address.clone();
    let line = format!("migrate v0 --host b --to {address}");
    let mover = here.ctl_beside(&line, Stdio::piped());
    let cut = bridge.await_commit();
    let told = here.transcript(before);
    drop(cut);
    here.await_event(&format!("the link to {address} was lost"));
    there.await_event("only the server that sends it can say whether it is to run");
    (Torn { here, there, address, mover }, told)
}

#[test]
fn what_is_given_up_at_the_source_and_run_at_the_destination_runs_there_alone() {
    let (torn, mut told) = torn(&["resolve v0 gone", "resolve v0 run-here"]);
    let Torn { here, there, address, mover } = torn;
    told += &here.transcript(&[
        "list",
        "destroy v0",
        "share v0 --weight 2",
        "suspend v0",
        "migrate v0 --to b",
        "evacuate a",
        "create v0 --profile GW256-32Q",
        "resolve v0 gone",
    ]);
    // Whoever waits for the move learns that it is over.
    let output = mover.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("`v0` has moved from `a` to "), "{output:?}");
    told += &here.transcript(&["list", "resolve v0 gone", "events"]);
    assert_data_eq!(told.replace(&address, "ADDRESS"), file!["transcripts/given.txt"]);

    let mut told = there.transcript(&[
        "list",
        "create v0 --profile GW256-32Q",
        "resolve v9 run-here",
        "resolve v0 run-here",
    ]);
    there.await_event("has come from another server");
    told += &there.transcript(&["list", "resolve v0 run-here", "events"]);
    assert_data_eq!(told, file!["transcripts/taken.txt"]);
}

#[test]
fn what_is_kept_at_the_source_and_given_up_at_the_destination_runs_here_alone() {
    let (torn, _) = torn(&[]);
    let Torn { here, there, address, mut mover } = torn;
    let mut told = here.transcript(&["resolve v0 run-here"]);
    here.await_event("migrate: resolved");
    // It is busy no more.
    assert!(here.ctl("share v0 --weight 2").status.success());
    told += &here.transcript(&["list", "resolve v0 gone", "events"]);
    assert_data_eq!(told.replace(&address, "ADDRESS"), file!["transcripts/kept.txt"]);
    // It is told in half a minute: until then the other server might ask.
    mover.kill().unwrap();
    mover.wait().unwrap();

    let mut told = there.transcript(&["resolve v0 gone"]);
    there.await_event("receive: ");
    told += &there.transcript(&["list", "resolve v0 gone", "events"]);
    assert_data_eq!(told, file!["transcripts/left.txt"]);
}
