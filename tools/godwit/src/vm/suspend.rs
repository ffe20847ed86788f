//! A machine with its vGPU, in a folder: suspend and resume.
//!
//! The folder has what QEMU saves (`machine`), the vGPU's state (`vgpu`) and what QEMU keeps of the
//! function (`function.json`). It has its name only when it is whole.

use super::VmError;
use super::machine::{Machine, Sockets, await_completed, state};
use super::pci::Function;
use serde::Serialize;
use serde_json::json;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

const MACHINE: &str = "machine";
const VGPU: &str = "vgpu";
const FUNCTION: &str = "function.json";
/// What that is called once the machine was resumed: it runs, and must not run twice.
const SPENT: &str = "function.json.resumed";
/// Bytes of what is kept of the function: a configuration space and a table in JSON.
const FUNCTION_BYTES_MAX: u64 = 1 << 20;

/// What is to be suspended.
#[derive(Clone, Debug)]
pub struct Suspend {
    /// The machine that runs.
    pub from: Sockets,
    /// The folder, which must not be there.
    pub folder: PathBuf,
}

/// What is to be resumed.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The folder.
    pub folder: PathBuf,
    /// The machine that waits for it, started as for a migration.
    pub to: Sockets,
}

/// A machine that was suspended.
#[derive(Clone, Debug, Serialize)]
pub struct Suspended {
    /// Bytes of what QEMU has saved.
    pub machine_bytes: u64,
    /// Bytes of the vGPU's state.
    pub vgpu_bytes: u64,
    /// How long it took, in milliseconds.
    pub total_ms: f64,
}

/// A machine that was resumed.
#[derive(Clone, Debug, Serialize)]
pub struct Resumed {
    /// Bytes of the vGPU's state.
    pub vgpu_bytes: u64,
    /// How long it took, in milliseconds.
    pub total_ms: f64,
}

fn file(path: &Path) -> impl Fn(std::io::Error) -> VmError + '_ {
    |error| VmError::File { path: path.to_owned(), error }
}

fn create(path: &Path) -> Result<File, VmError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(file(path))
}

/// Suspends a machine: it stops, is written to a folder, and ends. Where that fails it runs on, and
/// there is no folder.
///
/// # Errors
///
/// When it is not suspended.
pub fn suspend(how: &Suspend) -> Result<Suspended, VmError> {
    let began = Instant::now();
    if how.folder.exists() {
        let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(file(&how.folder)(error));
    }
    let mut partial = how.folder.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    DirBuilder::new().mode(0o700).create(&partial).map_err(file(&partial))?;
    let mut machine = match Machine::connect(&how.from) {
        Ok(machine) => machine,
        Err(error) => {
            let _ = fs::remove_dir(&partial);
            return Err(error);
        }
    };
    let written = write(&mut machine, &partial).and_then(|bytes| {
        fs::rename(&partial, &how.folder).map_err(file(&how.folder))?;
        let parent = how.folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|folder| folder.sync_all());
        synced.map_err(file(parent))?;
        Ok(bytes)
    });
    match written {
        Ok((machine_bytes, vgpu_bytes)) => {
            // The folder has it: what is left of it here is of no use.
            let _ = machine.server.reset();
            let _ = machine.qmp.ask("quit", json!({}));
            let total_ms = began.elapsed().as_secs_f64() * 1e3;
            Ok(Suspended { machine_bytes, vgpu_bytes, total_ms })
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&partial);
            let _ = fs::remove_dir_all(&how.folder);
            let _ = machine.qmp.ask("migrate_cancel", json!({}));
            let _ = machine.server.set_state(state::RUNNING);
            let _ = machine.qmp.ask("cont", json!({}));
            Err(error)
        }
    }
}

fn write(machine: &mut Machine, folder: &Path) -> Result<(u64, u64), VmError> {
    machine.expect_status(&["running"])?;
    machine.expect_state(state::RUNNING, "RUNNING")?;
    machine.qmp.ask("stop", json!({}))?;
    let function = Function::read(machine)?;
    // Before QEMU saves the memory: the vGPU's server sends what it wrote there unseen.
    machine.server.set_state(state::STOP_COPY)?;
    let path = folder.join(VGPU);
    let mut to = BufWriter::new(create(&path)?);
    let mut vgpu_bytes = 0;
    loop {
        let most = machine.server.data_bytes();
        let data = machine.server.read_state(most)?;
        to.write_all(&data).map_err(file(&path))?;
        vgpu_bytes += data.len() as u64;
        if data.len() < most as usize {
            break;
        }
    }
    let written = to.into_inner().map_err(std::io::IntoInnerError::into_error);
    written.and_then(|file| file.sync_all()).map_err(file(&path))?;
    let path = folder.join(FUNCTION);
    let text = serde_json::to_vec(&function).map_err(std::io::Error::other);
    let text = text.map_err(file(&path))?;
    let mut to = create(&path)?;
    to.write_all(&text).and_then(|()| to.sync_all()).map_err(file(&path))?;
    let path = folder.join(MACHINE);
    send_to_file(machine, &path)?;
    let saved = File::open(&path).and_then(|file| {
        file.sync_all()?;
        file.metadata()
    });
    Ok((saved.map_err(file(&path))?.len(), vgpu_bytes))
}

/// Has QEMU save the machine to a file.
fn send_to_file(machine: &mut Machine, path: &Path) -> Result<(), VmError> {
    create(path)?;
    let path = std::path::absolute(path).map_err(file(path))?;
    let uri = format!("file:{}", path.display());
    machine.qmp.ask("migrate", json!({ "uri": uri }))?;
    await_completed(&mut machine.qmp)
}

/// Resumes a machine from a folder, once: it runs when this returns. Where that fails before the
/// machine is started, the one that was to take it in does not run, and the folder is as it was.
///
/// # Errors
///
/// When it is not resumed.
pub fn resume(how: &Resume) -> Result<Resumed, VmError> {
    let began = Instant::now();
    let spent = how.folder.join(SPENT);
    if spent.exists() {
        return Err(VmError::Unfit(format!(
            "{}: the machine was resumed before, and would run twice",
            how.folder.display()
        )));
    }
    let fresh = how.folder.join(FUNCTION);
    let path = fresh.clone();
    let opened = File::open(&path).map_err(file(&path))?;
    let mut text = Vec::new();
    opened.take(FUNCTION_BYTES_MAX).read_to_end(&mut text).map_err(file(&path))?;
    let function: Function =
        serde_json::from_slice(&text).map_err(|error| file(&path)(std::io::Error::other(error)))?;
    let path = how.folder.join(VGPU);
    let mut from = BufReader::new(File::open(&path).map_err(file(&path))?);
    let mut machine = Machine::connect(&how.to)?;
    machine.expect_status(&["inmigrate"])?;
    machine.expect_state(state::RUNNING, "RUNNING")?;
    let mut told = false;
    let mut take = || {
        machine.server.set_state(state::RESUMING)?;
        let (mut vgpu_bytes, mut part) = (0, vec![0; machine.server.data_bytes() as usize]);
        loop {
            let count = from.read(&mut part).map_err(file(&path))?;
            if count == 0 {
                break;
            }
            machine.server.write_state(&part[..count])?;
            vgpu_bytes += count as u64;
        }
        machine.server.set_state(state::STOP)?;
        let saved = how.folder.join(MACHINE);
        let saved = std::path::absolute(&saved).map_err(file(&saved))?;
        let capabilities = json!([{ "capability": "events", "state": true }]);
        machine.qmp.ask("migrate-set-capabilities", json!({ "capabilities": capabilities }))?;
        let uri = format!("file:{}", saved.display());
        machine.qmp.ask("migrate-incoming", json!({ "uri": uri }))?;
        await_completed(&mut machine.qmp)?;
        function.write(&mut machine, true)?;
        // On the disk before the machine runs.
        fs::rename(&fresh, &spent).map_err(file(&spent))?;
        let synced = File::open(&how.folder).and_then(|folder| folder.sync_all());
        synced.map_err(file(&how.folder))?;
        machine.server.set_state(state::RUNNING)?;
        told = true;
        machine.qmp.ask("cont", json!({}))?;
        Ok(vgpu_bytes)
    };
    match take() {
        Ok(vgpu_bytes) => Ok(Resumed { vgpu_bytes, total_ms: began.elapsed().as_secs_f64() * 1e3 }),
        Err(error) => {
            // Only a vGPU that surely does not run may be resumed elsewhere.
            if machine.server.reset().is_ok() && !told {
                let _ = fs::rename(&spent, &fresh);
            }
            Err(error)
        }
    }
}
