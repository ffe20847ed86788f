//! Suspending a vGPU to a file, and resuming it from one.

use crate::failure::Failure;
use crate::machine::Machine;
use crate::types::Vgpu;
use godwit_shim::vfio::MigrationState;
use godwit_shim::{
    FileOptions, Resume, ResumeOptions, ResumeState, SaveOptions, SealKey, Suspend, SuspendState,
    Wanted,
};
use godwit_wire::mailbox::StopMode;
use rustix::io::Errno;
use std::path::Path;
use std::sync::Arc;

/// How long a file may take, in nanoseconds of the card.
const PATIENCE_NS: u64 = 60_000_000_000;
/// How long a vGPU may take to stop, in nanoseconds.
const STOP_NS: u64 = 640_000_000;

impl Machine {
    /// Suspends a vGPU that runs: it is in the file then, and nowhere else.
    pub(crate) fn suspend(
        &mut self,
        vgpu: Vgpu,
        path: &Path,
        key: Option<Arc<SealKey>>,
    ) -> Result<(), Failure> {
        let (device, host) = self.vgpu(vgpu)?;
        if device.state() != MigrationState::Running {
            let state = device.state();
            let why = format!("the vGPU is in {state}, and is suspended in RUNNING only");
            return Err(Failure::value(why));
        }
        let save = SaveOptions {
            uuid: device.uuid(),
            token: device.token().saturating_add(1),
            stop: StopMode::Instruction,
            stop_timeout_ns: STOP_NS,
        };
        let options = FileOptions { key, ..FileOptions::default() };
        let mut suspend = Suspend::new(host, device.gfid(), save, None, path, &options)?;
        self.wait(|machine| {
            let state = suspend.step(&mut machine.host);
            if let Some(trouble) = suspend.take_trouble() {
                machine.note(&trouble);
            }
            match state {
                SuspendState::WantsPause => suspend.guest_paused(&mut machine.host),
                SuspendState::Working | SuspendState::RunsOn | SuspendState::Committed => {}
                SuspendState::Suspended => return Some(Ok(())),
                SuspendState::Undone(why) => return Some(Err(Failure::new(Errno::IO, why))),
            }
            None
        })?;
        self.vgpus.remove(&vgpu.raw);
        Ok(())
    }

    /// Resumes the vGPU in a file: it runs.
    pub(crate) fn resume(
        &mut self,
        vgpu: Vgpu,
        path: &Path,
        options: &ResumeOptions,
    ) -> Result<(), Failure> {
        let mut resume = Resume::new(&self.host, path, Wanted::default(), None, options)?;
        let gfid = self.wait(|machine| match resume.step(&mut machine.host) {
            ResumeState::Working => None,
            ResumeState::Running(gfid) => Some(Ok(gfid)),
            ResumeState::Undone(why) => Some(Err(Failure::new(Errno::IO, why))),
        })?;
        let (uuid, token) = resume.identity().unwrap_or_default();
        self.adopt(vgpu, gfid, uuid, token)
    }

    /// Lets the card go on until something is so.
    fn wait<T>(
        &mut self,
        mut until: impl FnMut(&mut Self) -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let end_ns = self.host.now_ns().saturating_add(PATIENCE_NS);
        self.host.settle();
        loop {
            if let Some(found) = until(self) {
                return found;
            }
            if self.host.now_ns() >= end_ns {
                return Err(Failure::new(Errno::TIMEDOUT, "the device does not answer"));
            }
            self.go_on();
        }
    }
}
