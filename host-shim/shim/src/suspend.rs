//! Suspending a vGPU to a file, and resuming it from one.

mod resume;

pub use resume::{Resume, ResumeError, ResumeState};

use crate::aside::Aside;
use crate::file::{CommitError, FileOptions, StateFile};
use crate::host::Host;
use crate::pace::{Far, Live, PaceState, PacedSaver};
use crate::release::Release;
use crate::save::{SaveError, SaveOptions, SaveStats};
use crate::stream::StreamVersion;
use godwit_types::Gfid;
use std::io;
use std::path::{Path, PathBuf};

const CHUNK: usize = 64 * 1024;

/// How far a suspend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuspendState {
    /// Under way.
    Working,
    /// The guest is to be paused; then [`Suspend::guest_paused`].
    WantsPause,
    /// The vGPU was stopped and runs again: the guest is to go on. Said once.
    RunsOn,
    /// The file is whole and on the disk; what is on the host is being scrubbed.
    Committed,
    /// Nothing of the vGPU is left on the host.
    Suspended,
    /// It did not come to pass, and the vGPU runs; why.
    Undone(String),
}

/// What a suspend that did not come to pass has met.
#[derive(Debug)]
pub enum SuspendError {
    /// The file.
    File(io::Error),
    /// The vGPU.
    Save(SaveError),
}

#[derive(Debug)]
enum SuspendPhase {
    Saving,
    Committing(Aside<Result<(), CommitError>>),
    Releasing(Release),
    Suspended,
    Undoing(String),
    Undone(String),
}

/// A suspend that is under way.
#[derive(Debug)]
pub struct Suspend {
    saver: PacedSaver,
    file: Option<StateFile>,
    path: PathBuf,
    aside: bool,
    phase: SuspendPhase,
    trouble: Option<String>,
    error: Option<SuspendError>,
}

impl Suspend {
    /// Starts to suspend a vGPU to `path`. `live`: rounds while it runs; `None`: it is stopped
    /// first.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, or the host has no such vGPU.
    pub fn new(
        host: &mut Host,
        gfid: Gfid,
        save: SaveOptions,
        live: Option<Live>,
        path: &Path,
        options: &FileOptions,
    ) -> io::Result<Self> {
        let file = StateFile::create(path, options.key.as_deref())?;
        Self::to_file(host, gfid, save, live, file, options.version)
    }

    /// The same to a file that was begun.
    ///
    /// # Errors
    ///
    /// When the host has no such vGPU.
    pub fn to_file(
        host: &mut Host,
        gfid: Gfid,
        save: SaveOptions,
        live: Option<Live>,
        file: StateFile,
        version: StreamVersion,
    ) -> io::Result<Self> {
        let mut saver = PacedSaver::new(host, gfid, save, live)
            .ok_or_else(|| io::Error::other("there is no such vGPU"))?;
        saver.set_version(version.min(host.stream_version()));
        // A file takes whatever it is given.
        saver.go_on(host, Far::default());
        let path = file.path().to_path_buf();
        let (phase, file) = (SuspendPhase::Saving, Some(file));
        Ok(Self { saver, file, path, aside: false, phase, trouble: None, error: None })
    }

    /// From now on no step waits for the disk to have taken the whole file: that is waited for on
    /// a thread of its own. One that is dropped meanwhile may have made the file.
    pub fn wait_aside(&mut self) {
        self.aside = true;
    }

    /// What one that is undone has met.
    pub fn error(&self) -> Option<&SuspendError> {
        self.error.as_ref()
    }

    /// Which vGPU is suspended.
    pub fn gfid(&self) -> Gfid {
        self.saver.gfid()
    }

    /// What was written so far.
    pub fn stats(&self) -> SaveStats {
        self.saver.stats()
    }

    /// What an operator must know of the disk though the vGPU is in the file
    /// ([`CommitError::Stays`]). It is told once.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// The guest does not run any more.
    pub fn guest_paused(&mut self, host: &mut Host) {
        self.saver.guest_paused(host);
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, host: &mut Host) -> SuspendState {
        match &mut self.phase {
            SuspendPhase::Saving => {
                let state = self.saver.step(host);
                if let Err(error) = self.write() {
                    self.saver.give_up(host);
                    self.phase = SuspendPhase::Undoing(format!("{}: {error}", self.path.display()));
                    self.error = Some(SuspendError::File(error));
                    return SuspendState::Working;
                }
                match state {
                    PaceState::WantsPause => return SuspendState::WantsPause,
                    PaceState::RunsOn => return SuspendState::RunsOn,
                    PaceState::Complete => self.commit(host),
                    PaceState::Undone(why) => {
                        self.phase = SuspendPhase::Undone(why.to_string());
                        self.error = Some(SuspendError::Save(why));
                    }
                    PaceState::Described | PaceState::Working => {}
                }
            }
            SuspendPhase::Committing(aside) => {
                if let Some(done) = aside.take() {
                    self.committed(host, done);
                }
            }
            SuspendPhase::Releasing(release) => {
                if release.step(host) {
                    self.phase = SuspendPhase::Suspended;
                }
            }
            SuspendPhase::Undoing(why) => {
                if let PaceState::Undone(_) = self.saver.step(host) {
                    self.phase = SuspendPhase::Undone(std::mem::take(why));
                }
            }
            SuspendPhase::Suspended | SuspendPhase::Undone(_) => {}
        }
        match &self.phase {
            SuspendPhase::Saving | SuspendPhase::Committing(_) | SuspendPhase::Undoing(_) => {
                SuspendState::Working
            }
            SuspendPhase::Releasing(_) => SuspendState::Committed,
            SuspendPhase::Suspended => SuspendState::Suspended,
            SuspendPhase::Undone(why) => {
                self.file = None;
                SuspendState::Undone(why.clone())
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.saver.buffered() != 0 {
            let bytes = self.saver.take(CHUNK);
            if let Some(file) = &mut self.file {
                file.append(&bytes)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, host: &mut Host) {
        let Some(file) = self.file.take() else { return };
        match Aside::begin(self.aside, move || file.commit()) {
            Ok(mut aside) => match aside.take() {
                Some(done) => self.committed(host, done),
                None => self.phase = SuspendPhase::Committing(aside),
            },
            // The file was dropped, and is removed.
            Err(error) => self.committed(host, Err(CommitError::Withdrawn(error))),
        }
    }

    /// Resources are released only when the file is whole and on the disk, and the vGPU runs on
    /// only when nothing can be resumed from the file.
    fn committed(&mut self, host: &mut Host, done: Result<(), CommitError>) {
        self.phase = match done {
            Ok(()) => SuspendPhase::Releasing(Release::new(host, self.saver.gfid())),
            Err(error @ CommitError::Stays { .. }) => {
                self.trouble = Some(error.to_string());
                SuspendPhase::Releasing(Release::new(host, self.saver.gfid()))
            }
            Err(CommitError::Withdrawn(error)) => {
                self.saver.give_up(host);
                let why = format!("{}: {error}", self.path.display());
                self.error = Some(SuspendError::File(error));
                SuspendPhase::Undoing(why)
            }
        };
    }
}

#[cfg(test)]
mod tests;
