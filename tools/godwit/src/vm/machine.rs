//! A virtual machine and its vGPU, as whoever moves them reaches them.

use super::qmp::Qmp;
use super::{QmpFailure, VmError};
use godwit_server::{Client, ClientError};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Numbers of states, as `enum vfio_device_mig_state` has them.
pub(super) mod state {
    pub(in crate::vm) const STOP: u32 = 1;
    pub(in crate::vm) const RUNNING: u32 = 2;
    pub(in crate::vm) const STOP_COPY: u32 = 3;
    pub(in crate::vm) const RESUMING: u32 = 4;
    pub(in crate::vm) const PRE_COPY: u32 = 6;
}

/// How long a migration may stay without an end once its guest stands still, or is saved.
const SWITCH: Duration = Duration::from_secs(600);

/// How long an event is waited for before QEMU is asked.
pub(super) const ASK: Duration = Duration::from_millis(50);

/// How soon QEMU is asked again for what it has refused.
const AGAIN: Duration = Duration::from_millis(5);

/// The sockets of a machine and of its vGPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// QEMU's machine protocol: `-qmp unix:PATH,server=on,wait=off`.
    pub qmp: PathBuf,
    /// The vGPU's migration socket, `<vgpu>.mig`.
    pub vgpu: PathBuf,
}

/// Connections to both.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) qmp: Qmp,
    pub(super) server: Client,
}

impl Machine {
    pub(super) fn connect(sockets: &Sockets) -> Result<Self, VmError> {
        let server = Client::connect(&sockets.vgpu)
            .map_err(|error| VmError::Server { path: sockets.vgpu.clone(), error })?;
        let advised = |error| {
            VmError::Qmp(QmpFailure(format!(
                "{error}; name the socket of a QEMU with -qmp unix:PATH,server=on,wait=off"
            )))
        };
        Ok(Self { qmp: Qmp::connect(&sockets.qmp).map_err(advised)?, server })
    }

    /// The vGPU must be in a state, in which nobody else does anything with it.
    pub(super) fn expect_state(&mut self, wanted: u32, name: &str) -> Result<(), VmError> {
        let found = self.server.state()?;
        if found == wanted {
            return Ok(());
        }
        Err(VmError::Unfit(format!(
            "the vGPU is in state {found}, and must be {name}: another migration may be under way"
        )))
    }

    /// Lets the guest run on here, whatever a migration has come to: its vGPU first.
    pub(super) fn run_on(&mut self, saves: bool, sends: bool) -> Result<(), VmError> {
        let vgpu = if saves { self.server.set_state(state::RUNNING) } else { Ok(()) };
        if sends {
            // One that has failed or is complete cannot be cancelled any more, and need not be.
            let _ = self.qmp.ask("migrate_cancel", json!({}));
        }
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match self.qmp.status()?.as_str() {
                "running" => break,
                _ if Instant::now() > end => self.expect_status(&["running"])?,
                // It runs on by itself where it was cancelled in time.
                "finish-migrate" => {}
                _ => {
                    // In the middle of a cancellation it may be refused: then it is asked again.
                    let _ = self.qmp.ask("cont", json!({}));
                }
            }
            self.qmp.event(AGAIN, |event| (event.name == "RESUME").then_some(()))?;
        }
        Ok(vgpu?)
    }

    /// The machine must do something.
    pub(super) fn expect_status(&mut self, wanted: &[&str]) -> Result<(), VmError> {
        let found = self.qmp.status()?;
        if wanted.contains(&found.as_str()) {
            return Ok(());
        }
        let then = match wanted {
            ["inmigrate"] => ": start its QEMU with -S -incoming defer, and nothing else into it",
            _ => "",
        };
        let wanted = wanted.join(" or ");
        Err(VmError::Unfit(format!("the machine is `{found}`, and must be `{wanted}`{then}")))
    }
}

/// Waits until a migration of a machine is complete, until then at most.
pub(super) fn await_completed(qmp: &mut Qmp, end: Option<Instant>) -> Result<(), VmError> {
    let began = Instant::now();
    let end = end.map_or(began + SWITCH, |end| end.min(began + SWITCH));
    loop {
        // Where events are not switched on, or the last one has gone by, it is asked.
        let most = ASK.min(end.saturating_duration_since(Instant::now()));
        let over = qmp.event(most, |event| event.migration(&["completed"]))?;
        if over.is_some() {
            return Ok(());
        }
        let migration = qmp.migration()?;
        match migration.status.as_str() {
            "completed" => return Ok(()),
            _ if migration.has_failed() => return Err(VmError::Migration(migration.why)),
            status if Instant::now() > end => {
                let why = format!("it is `{status}` after {:.0?}", began.elapsed());
                return Err(VmError::Migration(why));
            }
            _ => {}
        }
    }
}

/// Copies a part of a vGPU's state. Returns how many bytes, and whether that is all for now.
pub(super) fn copy_part(from: &mut Client, to: &mut Client) -> Result<(u64, bool), ClientError> {
    let most = from.data_bytes().min(to.data_bytes());
    let data = from.read_state(most)?;
    to.write_state(&data)?;
    Ok((data.len() as u64, data.len() < most as usize))
}

/// Copies what there is of a vGPU's state for now. Returns how many bytes.
pub(super) fn copy_state(from: &mut Client, to: &mut Client) -> Result<u64, ClientError> {
    let mut copied = 0;
    loop {
        let (count, is_all) = copy_part(from, to)?;
        copied += count;
        if is_all {
            return Ok(copied);
        }
    }
}
