//! Suspending a vGPU to a file, and resuming it from one.

use crate::failure::{Failure, of_resume, of_suspend};
use crate::machine::Machine;
use crate::memory;
use crate::types::Vgpu;
use godwit_shim::stream::StreamVersion;
use godwit_shim::vfio::MigrationState;
use godwit_shim::{
    PlaceError, Resume, ResumeOptions, ResumeState, SaveOptions, SealKey, StateFile, StateReader,
    Suspend, SuspendState, Wanted,
};
use godwit_wire::mailbox::StopMode;
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How long a file may take, in nanoseconds of the card.
const PATIENCE_NS: u64 = 60_000_000_000;
/// How long a vGPU may take to stop, in nanoseconds.
const STOP_NS: u64 = 640_000_000;

/// Where a state file is.
#[derive(Debug)]
pub(crate) enum Place {
    Path(PathBuf),
    /// In a file that the caller has opened, and what it is called.
    Open(File, PathBuf),
}

impl Place {
    /// A file that the caller has opened, which is kept open until the call ends.
    pub(crate) fn open(fd: i32) -> Result<Self, Failure> {
        let file = File::from(memory::duplicate(fd)?);
        Ok(Self::Open(file, PathBuf::from(format!("file descriptor {fd}"))))
    }

    fn create(&self, key: Option<&SealKey>) -> Result<StateFile, Failure> {
        Ok(match self {
            Self::Path(path) => {
                // What the system says of the path is told as it says it; all else of `create`.
                if let Err(PlaceError::Io(error)) = StateFile::check_place(path) {
                    return Err(named(path, error.into()));
                }
                StateFile::create(path, key)?
            }
            Self::Open(file, name) => StateFile::create_open(file, name, key)
                .map_err(|error| named(name, error.into()))?,
        })
    }

    fn claim(&self, options: &ResumeOptions) -> Result<StateReader, Failure> {
        Ok(match self {
            Self::Path(path) => StateReader::claim(path, options)?,
            Self::Open(file, name) => StateReader::claim_open(file, name, options)?,
        })
    }
}

fn named(name: &Path, failure: Failure) -> Failure {
    let why = format!("{}: {}", name.display(), failure.why);
    Failure { why, ..failure }
}

impl Machine {
    /// Suspends a vGPU that runs: it is in the file then, and nowhere else.
    pub(crate) fn suspend(
        &mut self,
        vgpu: Vgpu,
        place: &Place,
        key: Option<&SealKey>,
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
        let (gfid, version) = (device.gfid(), StreamVersion::default());
        let file = place.create(key)?;
        let mut suspend = Suspend::to_file(host, gfid, save, None, file, version)?;
        let mut is_in_file = false;
        let waited = self.wait(|machine| {
            let state = suspend.step(&mut machine.host);
            if let Some(trouble) = suspend.take_trouble() {
                machine.note(&trouble);
            }
            match state {
                SuspendState::WantsPause => suspend.guest_paused(&mut machine.host),
                SuspendState::Working | SuspendState::RunsOn => {}
                SuspendState::Committed => is_in_file = true,
                SuspendState::Suspended => return Some(Ok(())),
                SuspendState::Undone(why) => {
                    let errno = suspend.error().map_or(Errno::IO, of_suspend);
                    return Some(Err(Failure::new(errno, why)));
                }
            }
            None
        });
        match waited {
            Ok(()) => {}
            // The file has the vGPU, so this host has not, whatever its card does.
            Err(failure) if is_in_file => {
                let why = failure.why;
                self.note(&format!("vGPU {} is suspended, and is not wiped: {why}", gfid.raw()));
            }
            Err(failure) => return Err(failure),
        }
        self.vgpus.remove(&vgpu.raw);
        Ok(())
    }

    /// Resumes the vGPU in a file: it runs.
    pub(crate) fn resume(
        &mut self,
        vgpu: Vgpu,
        place: &Place,
        options: &ResumeOptions,
    ) -> Result<(), Failure> {
        let file = place.claim(options)?;
        let mut resume = Resume::from_file(&self.host, file, Wanted::default(), None);
        let gfid = self.wait(|machine| match resume.step(&mut machine.host) {
            ResumeState::Working => None,
            ResumeState::Running(gfid) => Some(Ok(gfid)),
            ResumeState::Undone(why) => {
                let errno = resume.error().map_or(Errno::IO, of_resume);
                Some(Err(Failure::new(errno, why)))
            }
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
            if self.host.now_ns() >= end_ns || self.host.card().is_lost() {
                return Err(Failure::new(Errno::TIMEDOUT, "the device does not answer"));
            }
            self.go_on();
        }
    }
}
