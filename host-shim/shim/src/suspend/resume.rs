//! Resuming a vGPU from a file.

use crate::aside::Aside;
use crate::file::{FileError, ResumeOptions, StateReader};
use crate::host::Host;
use crate::release::Start;
use crate::restore::{RestoreError, RestoreState, Restorer, Wanted};
use crate::save::SaveStats;
use crate::stream::StreamError;
use godwit_types::{Gfid, Placement};
use godwit_wire::mailbox::Reject;
use std::io;
use std::path::{Path, PathBuf};

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
pub(super) enum ResumePhase {
    Restoring,
    /// The file is marked as spent.
    Spending(Marking),
    Starting(Start, Gfid),
    Running(Gfid),
    /// `spent`: the file says that the vGPU has come out of it, which is to be taken back.
    Undoing {
        why: String,
        spent: bool,
    },
    /// That is taken back.
    Unspending(Marking, String),
    Undone(String),
}

/// A file whose mark is being written, and what the disk says.
pub(super) type Marking = Aside<(StateReader, io::Result<()>)>;

/// A resume that is under way.
#[derive(Debug)]
pub struct Resume {
    restorer: Restorer,
    /// `None`: its mark is being written.
    file: Option<StateReader>,
    path: PathBuf,
    aside: bool,
    avoid: Option<Placement>,
    pub(super) phase: ResumePhase,
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
        let (file, phase) = (Some(file), ResumePhase::Restoring);
        Self { restorer, file, path, aside: false, avoid, phase, error: None }
    }

    /// From now on no step waits for the disk to have taken the file's mark: that is waited for on
    /// a thread of its own. One that is dropped meanwhile may have marked the file.
    pub fn wait_aside(&mut self) {
        self.aside = true;
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
            ResumePhase::Spending(marking) => {
                if let Some(done) = marking.take() {
                    self.spent(host, done);
                }
            }
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
                    let (why, spent) = (std::mem::take(why), *spent);
                    self.unspend(why, spent);
                }
            }
            ResumePhase::Unspending(marking, why) => {
                if let Some((file, done)) = marking.take() {
                    let why = std::mem::take(why);
                    self.file = Some(file);
                    self.unspent(why, done);
                }
            }
            ResumePhase::Running(_) | ResumePhase::Undone(_) => {}
        }
        match &self.phase {
            ResumePhase::Restoring
            | ResumePhase::Spending(_)
            | ResumePhase::Starting(..)
            | ResumePhase::Undoing { .. }
            | ResumePhase::Unspending(..) => ResumeState::Working,
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
        let Some(mut file) = self.file.take() else { return };
        let end = file.next_bytes();
        if let Ok(None) = end {
            match Self::mark(self.aside, file, StateReader::spend) {
                Ok(mut marking) => match marking.take() {
                    Some(done) => self.spent(host, done),
                    None => self.phase = ResumePhase::Spending(marking),
                },
                Err(error) => self.unmarked(host, error, false),
            }
            return;
        }
        self.file = Some(file);
        match end {
            Ok(None) => {}
            Ok(Some(_)) => {
                let why = format!("{}: {}", self.path.display(), StreamError::AfterEnd);
                let error = ResumeError::Restore(StreamError::AfterEnd.into());
                self.undo(host, why, error, false);
            }
            Err(error) => self.undo(host, error.to_string(), ResumeError::File(error), false),
        }
    }

    /// Writes a file's mark, and gives the file back with it.
    fn mark(
        aside: bool,
        mut file: StateReader,
        write: fn(&mut StateReader) -> io::Result<()>,
    ) -> io::Result<Marking> {
        Aside::begin(aside, move || {
            let done = write(&mut file);
            (file, done)
        })
    }

    /// The file says that the vGPU has come out of it, or the disk has not taken that.
    fn spent(&mut self, host: &mut Host, (file, done): (StateReader, io::Result<()>)) {
        self.file = Some(file);
        match (done, self.restorer.home()) {
            (Ok(()), Some((gfid, _))) => {
                self.phase = ResumePhase::Starting(Start::of_arrived(host, gfid), gfid);
            }
            (Ok(()), None) => {
                let error = io::Error::other("it has no place any more");
                self.unmarked(host, error, true);
            }
            (Err(error), _) => self.unmarked(host, error, true),
        }
    }

    fn unmarked(&mut self, host: &mut Host, error: io::Error, spent: bool) {
        let why = format!("{}: it cannot be marked: {error}", self.path.display());
        self.undo(host, why, ResumeError::Mark(error), spent);
    }

    /// Nothing of it is left on the host, so it is in the file alone, which is to say so.
    fn unspend(&mut self, why: String, spent: bool) {
        let Some(file) = self.file.take().filter(|_| spent) else {
            self.phase = ResumePhase::Undone(why);
            return;
        };
        match Self::mark(self.aside, file, StateReader::unspend) {
            Ok(marking) => self.phase = ResumePhase::Unspending(marking, why),
            Err(error) => self.unspent(why, Err(error)),
        }
    }

    fn unspent(&mut self, mut why: String, done: io::Result<()>) {
        if let Err(error) = done {
            let path = self.path.display();
            why += &format!("; {path} counts as resumed all the same: {error}");
        }
        self.phase = ResumePhase::Undone(why);
    }

    fn undo(&mut self, host: &mut Host, why: String, error: ResumeError, spent: bool) {
        self.error = Some(error);
        self.restorer.give_up(host);
        self.phase = ResumePhase::Undoing { why, spent };
    }

    /// Reads a piece of the file. `false`: it could not be read.
    fn read(&mut self, host: &mut Host) -> bool {
        let Some(file) = &mut self.file else { return false };
        match file.next_bytes() {
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
