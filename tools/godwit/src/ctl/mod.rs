//! `godwit ctl`: asks a running server what there is, and tells it what to do.
//!
//! ```text
//! Verb ── Ask ──▶ ControlClient ⇄ the server's socket `ctl`
//!                      │
//!                      └── Told ──▶ shown, or its line for --json
//! ```

mod client;
mod connect;
mod error;
mod measure;
mod progress;
mod shown;
mod verbs;

pub(crate) use client::ControlClient;
pub(crate) use connect::ConnectOptions;
pub(crate) use error::ControlError;
pub(crate) use measure::{Quantile, quantile};
pub(crate) use shown::{policy_name, sentence, sizes_name, time_of_day};

use crate::remote::{Failure, Shown};
use clap::Args;
use client::Heard;
use godwit_control::{Ask, Told};
use progress::Moves;
use std::io::{self, ErrorKind, Write as _};
use verbs::Verb;

/// Examples, for `--help`.
pub(crate) const AFTER_HELP: &str = "\
Examples:
  godwit ctl list
  godwit ctl create v1 --profile GW512-64Q
  godwit ctl migrate v0 --to b
  godwit ctl --connect unix:/run/other/ctl events --follow --json";

/// What `godwit ctl` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct CtlOptions {
    #[command(flatten)]
    connect: ConnectOptions,
    /// Print the last line of the server's answer, JSON; of events that are followed, a line each.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

impl CtlOptions {
    /// Asks, and shows the answer. What the server refuses is no good result.
    ///
    /// # Errors
    ///
    /// When there is no answer, or, unless it is wanted as JSON, the server refuses.
    pub(crate) fn run(&self) -> Result<Shown, Failure> {
        let Some(ask) = self.verb.ask() else {
            return Ok((format!("{:#}\n", godwit_control::schema()), true));
        };
        let client = ControlClient::connect(&self.connect);
        let mut client = client.map_err(|error| error.failure(None))?;
        if let Ask::Events(events) = &ask
            && events.follow
        {
            return self.follow(&mut client, &ask);
        }
        let mut moves = Moves::new();
        let heard = client.ask(&ask, |heard| {
            if let Told::Progress(progress) = &heard.told {
                moves.show(progress);
            }
        });
        drop(moves);
        self.shown(&heard.map_err(|error| error.failure(Some(&ask)))?)
    }

    fn shown(&self, heard: &Heard) -> Result<Shown, Failure> {
        let good = match &heard.told {
            Told::Error(_) => false,
            Told::Evacuated(evacuation) => evacuation.stayed.is_empty(),
            _ => true,
        };
        if self.json {
            return Ok((format!("{}\n", heard.line), good));
        }
        let text = match (&self.verb, &heard.told) {
            (_, Told::Error(refusal)) => return Err(Failure::Refused(shown::refusal(refusal))),
            (Verb::Profiles { .. }, Told::Hosts(hosts)) => shown::profiles(hosts),
            (Verb::Profiles { .. }, Told::Host(host)) => {
                shown::profiles(std::slice::from_ref(host.as_ref()))
            }
            (Verb::Create(_) | Verb::Resume { .. }, Told::Vgpu(vgpu)) => shown::made(vgpu),
            (_, told) => shown::told(told),
        };
        Ok((text, good))
    }

    /// Prints what happens as it does, until the server goes or nobody reads it.
    fn follow(&self, client: &mut ControlClient, ask: &Ask) -> Result<Shown, Failure> {
        let failed = |error: ControlError| error.failure(Some(ask));
        client.say(ask).map_err(failed)?;
        loop {
            let heard = client.hear(None).map_err(|error| match error {
                ControlError::Closed => failed(ControlError::Ended),
                error => failed(error),
            })?;
            if matches!(heard.told, Told::Error(_)) {
                return self.shown(&heard);
            }
            let text = match self.json {
                true => format!("{}\n", heard.line),
                false => shown::told(&heard.told),
            };
            let mut out = io::stdout().lock();
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    return Ok((String::new(), true));
                }
                Err(error) => {
                    let why = format!("the events cannot be printed: {error}");
                    return Err(Failure::Refused(why));
                }
                Ok(()) => {}
            }
        }
    }
}
