//! Suspending a vGPU to a file, and resuming it from one.

use crate::file::{CommitError, FileError, FileOptions, ResumeOptions, StateFile, StateReader};
use crate::host::Host;
use crate::pace::{Far, Live, PaceState, PacedSaver};
use crate::release::{Release, Start};
use crate::restore::{RestoreError, RestoreState, Restorer, Wanted};
use crate::save::{SaveError, SaveOptions, SaveStats};
use crate::stream::{StreamError, StreamVersion};
use godwit_types::{Gfid, Placement};
use godwit_wire::mailbox::Reject;
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
        Ok(Self { saver, file, path, phase, trouble: None, error: None })
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
            SuspendPhase::Saving | SuspendPhase::Undoing(_) => SuspendState::Working,
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

    /// Resources are released only when the file is whole and on the disk, and the vGPU runs on
    /// only when nothing can be resumed from the file.
    fn commit(&mut self, host: &mut Host) {
        let Some(file) = self.file.take() else { return };
        self.phase = match file.commit() {
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

/// How far a resume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumeState {
    /// Under way.
    Working,
    /// It runs.
    Running(Gfid),
    /// It failed, and nothing of it is left on the host; why.
    Undone(String),
}

/// What a resume that failed has met.
#[derive(Debug)]
pub enum ResumeError {
    /// The file.
    File(FileError),
    /// The file, which cannot be marked as resumed.
    Mark(io::Error),
    /// The state in it, or this host.
    Restore(RestoreError),
    /// The vGPU does not start.
    Start(Reject),
}

#[derive(Debug)]
enum ResumePhase {
    Restoring,
    Starting(Start, Gfid),
    Running(Gfid),
    /// `spent`: the file says that the vGPU has come out of it, which is to be taken back.
    Undoing {
        why: String,
        spent: bool,
    },
    Undone(String),
}

/// A resume that is under way.
#[derive(Debug)]
pub struct Resume {
    restorer: Restorer,
    file: StateReader,
    path: PathBuf,
    avoid: Option<Placement>,
    phase: ResumePhase,
    error: Option<ResumeError>,
}

impl Resume {
    /// Starts to resume the vGPU in a file, which nobody else can do meanwhile. `avoid`: a
    /// placement to be away from.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or may not be resumed ([`FileError::is_refusal`]).
    pub fn new(
        host: &Host,
        path: &Path,
        wanted: Wanted,
        avoid: Option<Placement>,
        options: &ResumeOptions,
    ) -> Result<Self, FileError> {
        Ok(Self::from_file(host, StateReader::claim(path, options)?, wanted, avoid))
    }

    /// The same with a file that was claimed.
    pub fn from_file(
        host: &Host,
        file: StateReader,
        wanted: Wanted,
        avoid: Option<Placement>,
    ) -> Self {
        let restorer = Restorer::new(host, wanted);
        let path = file.path().to_path_buf();
        Self { restorer, file, path, avoid, phase: ResumePhase::Restoring, error: None }
    }

    /// What one that is undone has met.
    pub fn error(&self) -> Option<&ResumeError> {
        self.error.as_ref()
    }

    /// What was read so far, as the suspend has counted it.
    pub fn stats(&self) -> SaveStats {
        let (stop_bytes, state_bytes) = self.restorer.bytes();
        SaveStats { stop_bytes, state_bytes, ..SaveStats::default() }
    }

    /// Where the vGPU is being restored.
    pub fn home(&self) -> Option<(Gfid, Placement)> {
        self.restorer.home()
    }

    /// The vGPU's own id, and the number of its last transfer, once the file has told them.
    pub fn identity(&self) -> Option<([u8; 16], u64)> {
        self.restorer.descriptor().map(|descriptor| (descriptor.uuid, descriptor.token))
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, host: &mut Host) -> ResumeState {
        match &mut self.phase {
            ResumePhase::Restoring => self.step_restore(host),
            ResumePhase::Starting(start, gfid) => match start.step(host) {
                Ok(false) => {}
                Ok(true) => self.phase = ResumePhase::Running(*gfid),
                // Firmware that is gone may have had it run, so it is here and nowhere else.
                Err(Reject::Deadline) if !start.has_not_run(host) => {
                    *start = Start::new(host, *gfid);
                }
                Err(why) => {
                    let spent = start.has_not_run(host);
                    self.error = Some(ResumeError::Start(why));
                    let mut why = format!("it cannot be started: {why:?}");
                    if !spent {
                        let path = self.path.display();
                        why += &format!(
                            "; it may have run, so {path} counts as resumed, unless it is kept"
                        );
                    }
                    self.phase = ResumePhase::Undoing { why, spent };
                    self.restorer.give_up(host);
                }
            },
            ResumePhase::Undoing { why, spent } => {
                if let RestoreState::Undone(_) = self.restorer.step(host) {
                    let mut why = std::mem::take(why);
                    // Nothing of it is left on the host, so it is in the file alone.
                    if *spent && let Err(error) = self.file.unspend() {
                        let path = self.path.display();
                        why += &format!("; {path} counts as resumed all the same: {error}");
                    }
                    self.phase = ResumePhase::Undone(why);
                }
            }
            ResumePhase::Running(_) | ResumePhase::Undone(_) => {}
        }
        match &self.phase {
            ResumePhase::Restoring | ResumePhase::Starting(..) | ResumePhase::Undoing { .. } => {
                ResumeState::Working
            }
            ResumePhase::Running(gfid) => ResumeState::Running(*gfid),
            ResumePhase::Undone(why) => ResumeState::Undone(why.clone()),
        }
    }

    fn step_restore(&mut self, host: &mut Host) {
        loop {
            match self.restorer.step(host) {
                RestoreState::Working => {
                    if !self.restorer.wants_bytes() {
                        return;
                    }
                    if !self.read(host) {
                        return;
                    }
                }
                RestoreState::Described => self.restorer.accept(host, self.avoid.as_ref()),
                RestoreState::Ready => {
                    self.start(host);
                    return;
                }
                RestoreState::Undone(why) => {
                    self.phase = ResumePhase::Undone(format!("{}: {why}", self.path.display()));
                    self.error = Some(ResumeError::Restore(why));
                    return;
                }
            }
        }
    }

    /// Everything is in place: it starts, if the file ends where the state does and says, on the
    /// disk, that the vGPU has come out of it.
    fn start(&mut self, host: &mut Host) {
        let Some((gfid, _)) = self.restorer.home() else { return };
        match self.file.next_bytes() {
            Ok(None) => match self.file.spend() {
                Ok(()) => self.phase = ResumePhase::Starting(Start::of_arrived(host, gfid), gfid),
                Err(error) => {
                    let why = format!("{}: it cannot be marked: {error}", self.path.display());
                    self.undo(host, why, ResumeError::Mark(error), true);
                }
            },
            Ok(Some(_)) => {
                let why = format!("{}: {}", self.path.display(), StreamError::AfterEnd);
                let error = ResumeError::Restore(StreamError::AfterEnd.into());
                self.undo(host, why, error, false);
            }
            Err(error) => self.undo(host, error.to_string(), ResumeError::File(error), false),
        }
    }

    fn undo(&mut self, host: &mut Host, why: String, error: ResumeError, spent: bool) {
        self.error = Some(error);
        self.restorer.give_up(host);
        self.phase = ResumePhase::Undoing { why, spent };
    }

    /// Reads a piece of the file. `false`: it could not be read.
    fn read(&mut self, host: &mut Host) -> bool {
        match self.file.next_bytes() {
            Ok(Some(bytes)) => self.restorer.feed_owned(bytes),
            Ok(None) => self.restorer.finish(),
            Err(error) => {
                self.undo(host, error.to_string(), ResumeError::File(error), false);
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
