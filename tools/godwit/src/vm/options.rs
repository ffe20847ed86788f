//! The command line of `vm-migrate`, `vm-suspend` and `vm-resume`.

use super::{
    Migrate, Progress, Resume, Sockets, Step, Suspend, Watch, migrate_recorded, resume, suspend,
};
use crate::remote::{Failure, Shown, journal_in};
use crate::units;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What `godwit vm-migrate` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateOptions {
    /// The machine that runs: its QMP socket.
    #[arg(long, value_name = "PATH")]
    from_qmp: PathBuf,
    /// The migration socket of its vGPU, `<vgpu>.mig`.
    #[arg(long, value_name = "PATH")]
    from_vgpu: PathBuf,
    /// The machine that waits for it, started with `-S -incoming defer`: its QMP socket.
    #[arg(long, value_name = "PATH")]
    to_qmp: PathBuf,
    /// The migration socket of its vGPU.
    #[arg(long, value_name = "PATH")]
    to_vgpu: PathBuf,
    /// Where QEMU sends the machine: unix:PATH or tcp:HOST:PORT.
    #[arg(long, value_name = "URI")]
    uri: String,
    /// Where the destination's QEMU takes it in, if that is another place: the far end of a tunnel.
    #[arg(long, value_name = "URI")]
    incoming_uri: Option<String>,
    /// The folder of the journal, which outlives this process.
    #[arg(long, value_name = "PATH")]
    state: PathBuf,
    /// How long the guest may stand still, in milliseconds: else the machine stays where it is.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    max_downtime: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `godwit vm-suspend` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct SuspendOptions {
    /// The folder, which is made.
    folder: PathBuf,
    /// The machine's QMP socket.
    #[arg(long, value_name = "PATH")]
    qmp: PathBuf,
    /// The migration socket of its vGPU, `<vgpu>.mig`.
    #[arg(long, value_name = "PATH")]
    vgpu: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `godwit vm-resume` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResumeOptions {
    /// The folder that `vm-suspend` has made.
    folder: PathBuf,
    /// The QMP socket of the machine that waits, started with `-S -incoming defer`.
    #[arg(long, value_name = "PATH")]
    qmp: PathBuf,
    /// The migration socket of its vGPU.
    #[arg(long, value_name = "PATH")]
    vgpu: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows how a migration goes: a bar for people, and lines where nobody looks.
struct Shows {
    bar: Option<ProgressBar>,
    /// Somebody wants it to end: it is undone first.
    ends: Arc<AtomicBool>,
}

impl Shows {
    fn new(ends: Arc<AtomicBool>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:22} [{bar:40}] {bytes}/{total_bytes}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        });
        Self { bar, ends }
    }
}

/// Is set by SIGINT and SIGTERM, which end nothing by themselves: a machine is never left as it is
/// in the middle of something.
fn ends() -> Result<Arc<AtomicBool>, Failure> {
    let ends = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ends)).map_err(refused)?;
    }
    Ok(ends)
}

impl Watch for Shows {
    fn gives_up(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    fn step(&mut self, step: Step) {
        match &self.bar {
            Some(bar) => bar.set_message(step.name()),
            None => anstream::eprintln!("{}", step.name()),
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let Some(bar) = &self.bar else { return };
        let sent = progress.memory_bytes + progress.vgpu_bytes;
        bar.set_length(sent + progress.memory_left);
        bar.set_position(sent);
    }
}

fn json(value: &impl Serialize) -> String {
    // Text and numbers always become JSON.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

impl MigrateOptions {
    pub(crate) fn run(&self) -> Result<Shown, Failure> {
        let how = Migrate {
            from: Sockets { qmp: self.from_qmp.clone(), vgpu: self.from_vgpu.clone() },
            to: Sockets { qmp: self.to_qmp.clone(), vgpu: self.to_vgpu.clone() },
            uri: self.uri.clone(),
            incoming_uri: self.incoming_uri.clone(),
            max_downtime: self.max_downtime.map(Duration::from_millis),
        };
        let mut journal = journal_in(&self.state)?;
        let mut shows = Shows::new(ends()?);
        let moved = match migrate_recorded(&how, &mut journal, &self.state, &mut shows) {
            Ok(moved) => moved,
            Err(error) if self.json => {
                let (step, whose) = (error.step, error.whose);
                let token = error.token.clone();
                let why = error.why.to_string();
                let told = serde_json::json!({
                    "moved": false, "step": step, "whose": whose, "token": token, "why": why,
                });
                return Ok((format!("{told}\n"), false));
            }
            Err(error) => return Err(refused(error)),
        };
        if self.json {
            return Ok((json(&moved), true));
        }
        let (memory, vgpu) = (moved.memory_bytes, moved.vgpu_bytes);
        let text = format!(
            "migration {}: the guest stood still for {:.1} ms of {:.0} ms; {} of memory and {} of \
             the vGPU were sent, {} of that while it stood still\n",
            moved.token,
            moved.pause_ms,
            moved.total_ms,
            units::about_size(memory),
            units::about_size(vgpu),
            units::about_size(moved.vgpu_stopped_bytes),
        );
        Ok((text, true))
    }
}

impl SuspendOptions {
    pub(crate) fn run(&self) -> Result<Shown, Failure> {
        let from = Sockets { qmp: self.qmp.clone(), vgpu: self.vgpu.clone() };
        let how = Suspend { from, folder: self.folder.clone() };
        // It goes on to its end, which is soon.
        ends()?;
        let suspended = suspend(&how).map_err(refused)?;
        if self.json {
            return Ok((json(&suspended), true));
        }
        let (machine, vgpu) = (suspended.machine_bytes, suspended.vgpu_bytes);
        let (machine, vgpu) = (units::about_size(machine), units::about_size(vgpu));
        let folder = self.folder.display();
        let text = format!("{folder}: {machine} of the machine, {vgpu} of the vGPU\n");
        Ok((text, true))
    }
}

impl ResumeOptions {
    pub(crate) fn run(&self) -> Result<Shown, Failure> {
        let to = Sockets { qmp: self.qmp.clone(), vgpu: self.vgpu.clone() };
        let how = Resume { folder: self.folder.clone(), to };
        ends()?;
        let resumed = resume(&how).map_err(refused)?;
        if self.json {
            return Ok((json(&resumed), true));
        }
        Ok((format!("the machine runs, after {:.0} ms\n", resumed.total_ms), true))
    }
}
