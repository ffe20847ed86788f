//! What `godwit resolve` must know of a machine's migration: where its two ends are.

use super::VmError;
use super::machine::{Machine, Sockets, state};
use super::moving::{Migrate, Moved, NotMoved, Whose, migrate_as};
use super::qmp::Qmp;
use super::steps::Watch;
use godwit_server::Client;
use godwit_shim::{Journal, Token};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

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
        let end = |ends: &Ends| {
            let machine = match Qmp::connect(&ends.qmp).and_then(|mut qmp| qmp.status()) {
                Ok(status) => format!("machine `{status}`"),
                Err(_) => "machine not to be reached".to_owned(),
            };
            let vgpu = Client::connect(&ends.vgpu).and_then(|mut server| server.state());
            let vgpu = match vgpu.map(godwit_shim::vfio::MigrationState::new) {
                Ok(Some(state)) => format!("vGPU {state}"),
                _ => "vGPU not to be reached".to_owned(),
            };
            format!("{machine}, {vgpu}")
        };
        format!("source: {}; destination: {}", end(&self.from), end(&self.to))
    }

    /// Makes it so that the source has the machine: what is left of it at the destination ends
    /// first.
    pub(crate) fn run_at_source(&self) -> Result<(), VmError> {
        if let Ok(mut qmp) = Qmp::connect(&self.to.qmp) {
            qmp.ask("quit", json!({}))?;
        }
        if let Ok(mut server) = Client::connect(&self.to.vgpu) {
            server.reset()?;
        }
        let sockets = Sockets { qmp: self.from.qmp.clone(), vgpu: self.from.vgpu.clone() };
        let mut machine = Machine::connect(&sockets)?;
        machine.server.set_state(state::RUNNING)?;
        machine.qmp.ask("cont", json!({}))?;
        Ok(())
    }

    /// Makes it so that the destination has the machine: what is left of it at the source ends.
    pub(crate) fn end_at_source(&self) -> Result<(), VmError> {
        if let Ok(mut qmp) = Qmp::connect(&self.from.qmp) {
            qmp.ask("quit", json!({}))?;
        }
        if let Ok(mut server) = Client::connect(&self.from.vgpu) {
            server.reset()?;
        }
        Ok(())
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
    if !matches!(&result, Err(failed) if failed.whose == Whose::Unknown) {
        Record::forget(folder, &token);
    }
    result
}
