//! What `godwit resolve` must know of a machine's migration: where its two ends are.

use super::VmError;
use super::machine::{Machine, Sockets};
use super::moving::{Migrate, migrate_as};
use super::outcome::{Moved, NotMoved, Whose};
use super::qmp::Qmp;
use super::steps::Watch;
use godwit_server::Client;
use godwit_shim::{Journal, Token};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a QEMU may take to end.
const ENDS: Duration = Duration::from_secs(10);
/// Bytes of a record.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

/// See the module. It lies beside the journal until the migration is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    from: Ends,
    to: Ends,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ends {
    qmp: PathBuf,
    vgpu: PathBuf,
}

impl From<&Sockets> for Ends {
    fn from(sockets: &Sockets) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { qmp: absolute(&sockets.qmp), vgpu: absolute(&sockets.vgpu) }
    }
}

fn file(folder: &Path, token: &Token) -> PathBuf {
    folder.join(format!("{token}.machine"))
}

impl Record {
    /// Reads that of a migration, if it was of a machine.
    pub(crate) fn read(folder: &Path, token: &Token) -> Result<Option<Self>, VmError> {
        let path = file(folder, token);
        let failed = |error| VmError::File { path: path.clone(), error };
        let opened = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        opened.take(RECORD_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        let record = serde_json::from_slice(&text);
        record.map(Some).map_err(|error| failed(std::io::Error::other(error)))
    }

    fn write(&self, folder: &Path, token: &Token) -> Result<(), VmError> {
        let path = file(folder, token);
        let write = || {
            let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
            let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            to.write_all(&text)?;
            to.sync_all()?;
            fs::File::open(folder)?.sync_all()
        };
        write().map_err(|error| VmError::File { path: path.clone(), error })
    }

    /// Forgets it: whose the machine is, is known.
    pub(crate) fn forget(folder: &Path, token: &Token) {
        // One that stays is of a migration that is over, and says nothing any more.
        let _ = fs::remove_file(file(folder, token));
    }

    /// How both ends are now, for people.
    pub(crate) fn look(&self) -> String {
        let (from, to) = (self.from.look(), self.to.look());
        let verdict = match (from.runs, to.runs) {
            (Some(true), Some(true)) => "it runs at both",
            (Some(true), _) => "it runs at the source",
            (_, Some(true)) => "it runs at the destination",
            (Some(false), Some(false)) => "it runs at neither",
            _ => "where it runs cannot be seen from here",
        };
        format!("{verdict}; source: {}; destination: {}", from.text, to.text)
    }

    /// Makes sure that nothing of it runs at the destination, and that nobody starts it there.
    /// One that runs is not ended: what its guest has done since would be lost.
    pub(crate) fn end_at_destination(&self, force: bool) -> Result<(), VmError> {
        if !force && self.to.look().runs == Some(true) {
            let why = "the machine runs at the destination: `gone` leaves it there, and --force \
                       ends it all the same";
            return Err(VmError::Unfit(why.to_owned()));
        }
        end(&self.to, force)
    }

    /// Whether the machine runs at the destination, so that what is at the source may end.
    pub(crate) fn runs_at_destination(&self, force: bool) -> Result<(), VmError> {
        let there = self.to.look();
        if force || there.runs == Some(true) {
            return Ok(());
        }
        Err(VmError::Unfit(format!(
            "the machine is not seen to run at the destination ({}): what is at the source may be \
             all there is of it; --force ends it all the same",
            there.text
        )))
    }

    /// Lets it run at the source.
    pub(crate) fn run_at_source(&self) -> Result<(), VmError> {
        let sockets = Sockets { qmp: self.from.qmp.clone(), vgpu: self.from.vgpu.clone() };
        Machine::connect(&sockets)?.run_on(true, true)
    }

    /// Ends what is left of it at the source.
    pub(crate) fn end_at_source(&self) -> Result<(), VmError> {
        end(&self.from, true)
    }
}

/// An end of a migration, as it is seen now.
struct Look {
    /// Whether the machine runs there. Nothing: it cannot be seen.
    runs: Option<bool>,
    text: String,
}

impl Ends {
    fn look(&self) -> Look {
        let (runs, machine) = match Qmp::connect(&self.qmp).and_then(|mut qmp| qmp.status()) {
            Ok(status) => (Some(status == "running"), format!("machine `{status}`")),
            Err(error) if error.is_gone() => (Some(false), "machine has ended".to_owned()),
            Err(_) => (None, "machine not to be reached".to_owned()),
        };
        let vgpu = Client::connect(&self.vgpu).and_then(|mut server| server.state());
        let vgpu = match vgpu.map(godwit_shim::vfio::MigrationState::new) {
            Ok(Some(state)) => format!("vGPU {state}"),
            _ => "vGPU not to be reached".to_owned(),
        };
        Look { runs, text: format!("{machine}, {vgpu}") }
    }
}

/// Ends a machine and what its vGPU does. Where it cannot be seen that it has ended, that is an
/// error unless `force`: it may run on.
fn end(ends: &Ends, force: bool) -> Result<(), VmError> {
    match Qmp::connect(&ends.qmp) {
        Ok(mut qmp) => {
            qmp.ask("quit", json!({}))?;
            let end = Instant::now() + ENDS;
            while UnixStream::connect(&ends.qmp).is_ok() {
                if Instant::now() > end {
                    let path = ends.qmp.display();
                    return Err(VmError::Unfit(format!("{path}: this QEMU does not end")));
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        Err(error) if error.is_gone() || force => {}
        Err(error) => {
            return Err(VmError::Unfit(format!(
                "{error}: it may run on, and the machine would run twice; where it has surely \
                 ended, --force says so"
            )));
        }
    }
    match Client::connect(&ends.vgpu) {
        Ok(mut server) => Ok(server.reset()?),
        // Its machine has ended, so nobody uses it.
        Err(_) => Ok(()),
    }
}

/// Migrates a machine ([`super::migrate`]), and leaves in the journal's folder what `godwit
/// resolve` must know where it is not known afterwards whose the machine is.
///
/// # Errors
///
/// When it is not moved, with whose the machine is now.
pub fn migrate_recorded(
    how: &Migrate,
    journal: &mut Journal,
    folder: &Path,
    watch: &mut dyn Watch,
) -> Result<Moved, Box<NotMoved>> {
    let token = super::moving::new_token()?;
    let record = Record { from: (&how.from).into(), to: (&how.to).into() };
    record.write(folder, &token).map_err(|why| NotMoved::at_once(why, &token))?;
    let result = migrate_as(how, journal, token, watch);
    let is_open = |whose| matches!(whose, Whose::Unknown | Whose::SourceStopped);
    if !matches!(&result, Err(failed) if is_open(failed.whose)) {
        Record::forget(folder, &token);
    }
    result
}
