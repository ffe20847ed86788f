//! Two threads that ask the server: one looks once a second, one follows what happens. Either
//! connects again when the server is lost.

use super::model::Update;
use crate::ctl::{ConnectOptions, ControlClient, ControlError};
use godwit_control::{Ask, Events, Refusal, Told};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Between two looks, and until a server that is lost is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Begins to ask. Whoever lets go of the receiver ends it.
pub(super) fn begin(options: &ConnectOptions) -> Receiver<Update> {
    let (updates, received) = channel();
    let (looks, to_looks) = (options.clone(), updates.clone());
    thread::spawn(move || look(&looks, &to_looks));
    let follows = options.clone();
    thread::spawn(move || follow(&follows, &updates));
    received
}

fn look(options: &ConnectOptions, updates: &Sender<Update>) {
    let mut client = None;
    loop {
        let update = match state(options, &mut client) {
            Ok(update) => update,
            Err(why) => {
                client = None;
                Update::Lost(why)
            }
        };
        if updates.send(update).is_err() {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// What there is now.
fn state(options: &ConnectOptions, client: &mut Option<ControlClient>) -> Result<Update, String> {
    let client = match client {
        Some(client) => client,
        None => client.insert(ControlClient::connect(options).map_err(told)?),
    };
    let vgpus = match client.ask(&Ask::List {}, |_| {}).map_err(told)?.told {
        Told::Vgpus(vgpus) => vgpus,
        other => return Err(unexpected(other)),
    };
    match client.ask(&Ask::Hosts {}, |_| {}).map_err(told)?.told {
        Told::Hosts(hosts) => Ok(Update::State { vgpus, hosts }),
        other => Err(unexpected(other)),
    }
}

fn follow(options: &ConnectOptions, updates: &Sender<Update>) {
    // Whoever looks tells that the server is lost, and why.
    while follow_once(options, updates).unwrap_or(true) {
        thread::sleep(PAUSE);
    }
}

/// Follows until the server is lost, or nobody listens: `false`.
fn follow_once(options: &ConnectOptions, updates: &Sender<Update>) -> Result<bool, ControlError> {
    let mut client = ControlClient::connect(options)?;
    let before = Ask::Events(Events { follow: false, after: None });
    let Told::Events(before) = client.ask(&before, |_| {})?.told else { return Ok(true) };
    // Numbers begin at 1.
    let after = Some(before.last().map_or(0, |event| event.number));
    for event in before {
        if updates.send(Update::Event(event)).is_err() {
            return Ok(false);
        }
    }
    client.say(&Ask::Events(Events { follow: true, after }))?;
    while let Told::Event(event) = client.hear(None)?.told {
        if updates.send(Update::Event(event)).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn told(error: ControlError) -> String {
    error.to_string()
}

fn unexpected(told: Told) -> String {
    match told {
        Told::Error(Refusal { message, .. }) => message,
        _ => "the server answers something else than it was asked".to_owned(),
    }
}
