//! What operators say to a server that runs, and what they are answered: a file each. What differs
//! from run to run is `[..]` there.

use crate::serving::Serving;
use godwit_server::Client;
use snapbox::{assert_data_eq, file};

#[test]
fn looking() {
    let serving = Serving::start();
    let told = serving.transcript(&[
        "list",
        "list --hosts",
        "show v0",
        "show --host b",
        "profiles",
        "profiles b",
        "show v9",
        "show --host z",
        "profiles z",
    ]);
    assert_data_eq!(told, file!["transcripts/looking.txt"]);
}

#[test]
fn creating_and_destroying() {
    let serving = Serving::start();
    let told = serving.transcript(&[
        "create v1 --profile GW256-64Q --host a",
        "create v1 --profile GW256-64Q",
        "create v2 --profile GW256-256Q --host a",
        "create v2 --profile GW80-8C",
        "create v2 --profile GW256-32Q --host z",
        "create ../v2 --profile GW256-32Q",
        "create v2 --profile GW256-32Q --host b --placement 4",
        "create v2 --profile GW256-32Q --host b --placement 24 --weight 3",
        "create v3 --profile GW256-128Q",
        "list",
        "destroy v1",
        "destroy v1",
        "list",
    ]);
    assert_data_eq!(told, file!["transcripts/creating.txt"]);
}

#[test]
fn changing() {
    let serving = Serving::start();
    let told = serving.transcript(&[
        "policy a --policy fixed-share --slice '5 ms' --averaging 10",
        "policy a --slice '1 us'",
        "policy a --sizes homogeneous",
        "create v1 --profile GW256-128Q --host a",
        "policy z --policy best-effort",
        "list --hosts",
        "share v0 --weight 4",
        "share v0 --share '25 %' --cap '50 %'",
        "share v0 --cap '10 %'",
        "share v9 --weight 1",
    ]);
    assert_data_eq!(told, file!["transcripts/changing.txt"]);
}

#[test]
fn suspending_and_resuming() {
    let serving = Serving::start();
    let told = serving.transcript(&[
        "suspend v0",
        "list",
        "resume v0 --host b --vgpu v7",
        "resume v0",
        "suspend v7 --file monday",
        "suspend w0 --file monday",
        "resume none",
        "resume monday",
        "suspend v9",
        "list",
    ]);
    assert_data_eq!(told, file!["transcripts/suspending.txt"]);
}

#[test]
fn moving() {
    let serving = Serving::start();
    let told = serving.transcript(&[
        "migrate v0 --to b",
        "migrate v0 --to b",
        "migrate v0 --to z",
        "migrate v9 --to a",
        "migrate v0 --to a --stop-and-copy",
        "evacuate a --parallel 1",
        "evacuate a",
        "evacuate a --to a",
        "evacuate z",
        "create v1 --profile GW256-256Q --host a",
        "evacuate b",
        "list",
    ]);
    assert_data_eq!(told, file!["transcripts/moving.txt"]);
}

#[test]
fn what_a_machine_has_is_left_to_it() {
    let serving = Serving::start();
    let machine = Client::connect(&serving.path().join("v0.sock")).unwrap();
    let told = serving.transcript(&[
        "destroy v0",
        "suspend v0",
        "migrate v0 --to b",
        "evacuate a",
        "list",
    ]);
    assert_data_eq!(told, file!["transcripts/attached.txt"]);
    drop(machine);
}

#[test]
fn events() {
    let serving = Serving::start();
    let told = serving.transcript(&[
        "create v1 --profile GW256-64Q --host a",
        "share v1 --weight 2",
        "migrate v1 --to b",
        "destroy v1",
        "events",
        "events --after 3",
    ]);
    assert_data_eq!(told, file!["transcripts/events.txt"]);
}

#[test]
fn moving_to_another_server() {
    let (here, there) = (Serving::start(), Serving::start());
    let address = format!("unix:{}", there.path().join("ctl").display());
    assert_eq!(there.ctl("destroy v0").status.code(), Some(0));
    let to = |what: &str| format!("migrate {what} --to {address}");
    let told = here.transcript(&[
        &to("v9"),
        &to("v0 --host z"),
        &to("w0"),
        &to("v0 --host b"),
        "list",
        "migrate v0 --to unix:/nowhere/ctl",
        "migrate w0 --to unix:/nowhere/ctl",
        "migrate w0 --to tcp:192.0.2.1:7700",
        "resolve w0 gone",
        "resolve w0 maybe",
    ]);
    assert_data_eq!(told.replace(&address, "ADDRESS"), file!["transcripts/remote.txt"]);
    let told = there.transcript(&["list", "resolve v0 run-here"]);
    assert_data_eq!(told, file!["transcripts/arrived.txt"]);
}
