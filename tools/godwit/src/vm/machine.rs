//! A virtual machine and its vGPU, as whoever moves them reaches them.

use super::VmError;
use super::qmp::Qmp;
use godwit_server::{Client, ClientError};
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
        Ok(Self { qmp: Qmp::connect(&sockets.qmp)?, server })
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

    /// The machine must do something.
    pub(super) fn expect_status(&mut self, wanted: &[&str]) -> Result<(), VmError> {
        let found = self.qmp.status()?;
        if wanted.contains(&found.as_str()) {
            return Ok(());
        }
        let wanted = wanted.join(" or ");
        Err(VmError::Unfit(format!("the machine is `{found}`, and must be `{wanted}`")))
    }
}

/// Waits until a migration of a machine is complete.
pub(super) fn await_completed(qmp: &mut Qmp) -> Result<(), VmError> {
    let end = Instant::now() + SWITCH;
    loop {
        // Where events are not switched on, or the last one has gone by, it is asked.
        let over = qmp.event(ASK, |event| event.migration(&["completed"]))?;
        if over.is_some() {
            return Ok(());
        }
        let migration = qmp.migration()?;
        match migration.status.as_str() {
            "completed" => return Ok(()),
            _ if migration.has_failed() => return Err(VmError::Migration(migration.why)),
            status if Instant::now() > end => {
                let why = format!("it is `{status}` for {} s", SWITCH.as_secs());
                return Err(VmError::Migration(why));
            }
            _ => {}
        }
    }
}

/// Copies a part of a vGPU's state. Returns how many bytes, and whether that is all for now.
pub(super) fn copy_part(from: &mut Client, to: &mut Client) -> Result<(u64, bool), ClientError> {
    let most = from.data_bytes();
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
