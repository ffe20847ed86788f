//! Moves between two processes: `godwit send` and `godwit receive`, each with a host of the same
//! scenario, and `godwit resolve`.

mod receive;
mod resolve;
mod send;
mod session;
mod tls;

pub(crate) use receive::ReceiveOptions;
pub(crate) use resolve::ResolveOptions;
pub(crate) use send::SendOptions;
pub(crate) use tls::TlsOptions;

use crate::mcu::McuOptions;
use clap::Args;
use godwit_shim::{
    Journal, JournalFileError, LinkAddress, Mcu, Protection, SealKey, Side, Token, TransportError,
};
use godwit_world::WorldError;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Why a command has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the scenario asks for what is not there.
    Mistake(String),
    /// It was tried, and is not so.
    Refused(String),
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<WorldError> for Failure {
    fn from(error: WorldError) -> Self {
        Self::Mistake(format!("the scenario cannot be set up: {error}"))
    }
}

/// A result, and whether it is a good one.
pub(crate) type Shown = (String, bool);

/// How the two processes reach each other.
#[derive(Clone, Debug, Args)]
pub(crate) struct LinkOptions {
    #[command(flatten)]
    tls: TlsOptions,
    /// What the state is sealed with on its way, and what is kept of it in the state folder: a file
    /// with 64 hexadecimal digits, the same at both ends.
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    mcu: McuOptions,
    /// How long to wait for a peer that cannot be reached, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// The folder of the host's journal, which outlives this process. Without it nothing does.
    #[arg(long, value_name = "PATH")]
    state: Option<PathBuf>,
}

impl LinkOptions {
    fn protection(&self) -> Result<Protection, Failure> {
        self.tls.protection().map_err(|error| Failure::Mistake(error.to_string()))
    }

    fn key(&self) -> Result<Option<Arc<SealKey>>, Failure> {
        let Some(path) = &self.key_file else { return Ok(None) };
        match SealKey::read(path) {
            Ok(key) => Ok(Some(Arc::new(key))),
            Err(why) => Err(Failure::Mistake(format!("{}: {why}", path.display()))),
        }
    }

    fn mcu(&self) -> Result<Mcu, Failure> {
        self.mcu.mcu().map_err(|error| Failure::Mistake(error.to_string()))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    /// The journal, and the folder that it is in.
    fn journal(&self) -> Result<(Journal, Option<&Path>), Failure> {
        let Some(folder) = self.state.as_deref() else { return Ok((Journal::in_memory(), None)) };
        Ok((journal_in(folder)?, Some(folder)))
    }
}

/// The journal of a folder, which is made if it is not there.
pub(crate) fn journal_in(folder: &Path) -> Result<Journal, Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::Mistake(format!("{}: {error}", folder.display())))?;
    open_journal(folder)
}

/// The journal of a folder, with what to do where there is none to be had.
fn open_journal(folder: &Path) -> Result<Journal, Failure> {
    Journal::open(&journal_file(folder)).map_err(|error| {
        let then = match error {
            JournalFileError::Locked(_) => "; try again when that has ended",
            JournalFileError::NotAJournal(_) => "; name the folder that --state had",
            _ => "",
        };
        Failure::Mistake(format!("{error}{then}"))
    })
}

/// The host has started anew: tells of the moves that are open.
fn tell_open(journal: &mut Journal) -> Result<(), Failure> {
    let open = journal.host_started().map_err(|error| Failure::Refused(error.to_string()))?;
    for entry in open {
        let told = match entry.stage.side() {
            Side::Source => "the destination is asked whether the vGPU runs there",
            Side::Destination => {
                "whether the vGPU has run here is not known, and the source keeps it: \
                 `godwit resolve` says whose it is"
            }
        };
        anstream::eprintln!("move {} is {}: {told}", entry.token, entry.stage);
    }
    Ok(())
}

/// The journal in a host's folder.
fn journal_file(folder: &Path) -> PathBuf {
    folder.join("journal")
}

/// Where the state of a vGPU that is being sent is kept.
fn kept_file(folder: &Path, token: &Token) -> PathBuf {
    folder.join(format!("{}.state", token.to_string().replace(':', "-")))
}

fn address(text: &str) -> Result<LinkAddress, String> {
    text.parse().map_err(|error: godwit_shim::NoAddress| error.to_string())
}
