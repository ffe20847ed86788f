//! A machine with its vGPU, in a folder: suspend and resume.
//!
//! The folder has what QEMU saves (`machine`), the vGPU's state (`vgpu`) and what QEMU keeps of the
//! function (`function.json`). It has its name only when it is whole.

use super::VmError;
use super::machine::{Machine, Sockets, await_completed, state};
use super::pci::Function;
use super::settings::Settings;
use serde::Serialize;
use serde_json::json;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufReader, BufWriter, Error, ErrorKind, Read as _, Write as _};
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

fn file(path: &Path) -> impl Fn(Error) -> VmError + '_ {
    |error| VmError::File { path: path.to_owned(), error }
}

fn create(path: &Path) -> Result<File, VmError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(file(path))
}

/// What is undone where a suspend fails.
#[derive(Debug, Default)]
struct Done {
    /// The guest may stand still.
    stopped: bool,
    /// The vGPU may be saved.
    saves: bool,
    /// QEMU may be saving.
    sends: bool,
    settings: Option<Settings>,
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
        let error = Error::from(ErrorKind::AlreadyExists);
        return Err(file(&how.folder)(error));
    }
    let mut machine = Machine::connect(&how.from)?;
    machine.expect_status(&["running"])?;
    machine.expect_state(state::RUNNING, "RUNNING")?;
    let partial = make_partial(&how.folder)?;
    let mut done = Done::default();
    let written = write(&mut machine, &partial, &mut done).and_then(|bytes| {
        // What is in it is on the disk before it has its name.
        sync(&partial)?;
        fs::rename(&partial, &how.folder).map_err(file(&how.folder))?;
        let parent = how.folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))?;
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
        Err(why) => {
            let _ = fs::remove_dir_all(&partial);
            let _ = fs::remove_dir_all(&how.folder);
            let runs = match done.stopped {
                true => machine.run_on(done.saves, done.sends),
                false => Ok(()),
            };
            if let Some(settings) = &done.settings {
                let _ = settings.put_back(&mut machine.qmp);
            }
            Err(match runs {
                Ok(()) => why,
                Err(then) => VmError::Still { why: Box::new(why), then: Box::new(then) },
            })
        }
    }
}

/// The folder while it is not whole.
fn make_partial(folder: &Path) -> Result<PathBuf, VmError> {
    let mut partial = folder.to_owned().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    match DirBuilder::new().mode(0o700).create(&partial) {
        Ok(()) => Ok(partial),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(VmError::Unfit(format!(
            "{} is there: what is left of a suspend that did not come to its end, unless one is \
             under way; remove it",
            partial.display()
        ))),
        Err(error) => Err(file(&partial)(error)),
    }
}

fn sync(folder: &Path) -> Result<(), VmError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file(folder))
}

fn write(machine: &mut Machine, folder: &Path, done: &mut Done) -> Result<(u64, u64), VmError> {
    done.settings = Some(Settings::set(&mut machine.qmp, false)?);
    done.stopped = true;
    machine.qmp.ask("stop", json!({}))?;
    let function = Function::read(machine)?;
    done.saves = true;
    // What the vGPU has written unseen counts from here on: QEMU saves all of the memory.
    machine.server.set_state(state::PRE_COPY)?;
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
    let text = serde_json::to_vec(&function).map_err(Error::other);
    let text = text.map_err(file(&path))?;
    let mut to = create(&path)?;
    to.write_all(&text).and_then(|()| to.sync_all()).map_err(file(&path))?;
    let path = folder.join(MACHINE);
    done.sends = true;
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
    await_completed(&mut machine.qmp, None)
}

/// Resumes a machine from a folder, once: it runs when this returns. Where that fails before the
/// machine is started, the one that was to take it in ends, and the folder is as it was.
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
    let function = read_function(&how.folder.join(FUNCTION))?;
    let mut machine = Machine::connect(&how.to)?;
    machine.expect_status(&["inmigrate"])?;
    machine.expect_state(state::RUNNING, "RUNNING")?;
    let mut may_run = false;
    match take(&mut machine, &how.folder, &function, &mut may_run) {
        Ok(vgpu_bytes) => Ok(Resumed { vgpu_bytes, total_ms: began.elapsed().as_secs_f64() * 1e3 }),
        Err(why) if may_run => Err(VmError::Unfit(format!(
            "{why}; whether the machine runs is not known, and the folder counts as resumed: where \
             it surely does not run, rename {SPENT} in it to {FUNCTION}"
        ))),
        Err(why) => {
            let is_reset = machine.server.reset().is_ok();
            let has_ended = machine.qmp.ask("quit", json!({})).is_ok();
            if (is_reset || has_ended) && spent.exists() {
                let _ = fs::rename(&spent, how.folder.join(FUNCTION));
            }
            Err(why)
        }
    }
}

fn read_function(path: &Path) -> Result<Function, VmError> {
    let opened = File::open(path).map_err(file(path))?;
    let mut text = Vec::new();
    opened.take(FUNCTION_BYTES_MAX).read_to_end(&mut text).map_err(file(path))?;
    let function: Function =
        serde_json::from_slice(&text).map_err(|error| file(path)(Error::other(error)))?;
    function.check()?;
    Ok(function)
}

/// Has a machine taken in from a folder and started.
fn take(
    machine: &mut Machine,
    folder: &Path,
    function: &Function,
    may_run: &mut bool,
) -> Result<u64, VmError> {
    let settings = Settings::set(&mut machine.qmp, false)?;
    let path = folder.join(VGPU);
    let mut from = BufReader::new(File::open(&path).map_err(file(&path))?);
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
    let saved = folder.join(MACHINE);
    let saved = std::path::absolute(&saved).map_err(file(&saved))?;
    let uri = format!("file:{}", saved.display());
    machine.qmp.ask("migrate-incoming", json!({ "uri": uri }))?;
    await_completed(&mut machine.qmp, None)?;
    function.write(machine, true)?;
    // On the disk before the machine runs.
    let spent = folder.join(SPENT);
    fs::rename(folder.join(FUNCTION), &spent).map_err(file(&spent))?;
    sync(folder)?;
    machine.server.set_state(state::RUNNING)?;
    let told = machine.qmp.ask("cont", json!({}));
    *may_run = !matches!(&told, Err(error) if error.is_undone());
    told?;
    let _ = settings.put_back(&mut machine.qmp);
    Ok(vgpu_bytes)
}
