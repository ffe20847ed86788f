//! State files: written beside and renamed when they are whole and on the disk.
//!
//! A file is a [head](HEAD_BYTES) and a stream, plain or sealed. One that somebody else has opened
//! has no name here: it is made whole by its head, which is written last.
//!
//! A disk may fail when a file already has its name. What can be resumed from it is then not the
//! vGPU's past, but its owner: so whoever has it written may let the vGPU run on only once it is
//! on the disk that the file is spent ([`CommitError`]).

mod head;
mod open;
mod read;

use crate::key::SealKey;
use crate::stream::{Sealer, StreamVersion};
pub use head::{HEAD_BYTES, HeadError, Mark, read_head};
use open::{Access, reopen};
pub use read::{FileError, ResumeOptions, StateReader, read_state};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rights on a file: a guest's memory is in it.
const MODE: u32 = 0o600;

/// How a file is written.
#[derive(Clone, Debug, Default)]
pub struct FileOptions {
    /// Version of the stream in it; at most what its host writes.
    pub version: StreamVersion,
    /// What it is sealed with; `None`: it is not.
    pub key: Option<Arc<SealKey>>,
}

/// What a disk does, which a test has fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) sync: fn(&File) -> io::Result<()>,
    pub(crate) sync_folder: fn(&File) -> io::Result<()>,
}

const DISK: Disk = Disk { sync: File::sync_all, sync_folder: File::sync_all };

/// Why a state file is not sure to be at its name.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing is there that can be resumed: it never had its name, or is spent.
    #[error(transparent)]
    Withdrawn(io::Error),
    /// It is whole, and its bytes are on the disk; it has its name until the host loses its power,
    /// and then it may be the partial file. It cannot be marked as spent: so the vGPU is the
    /// file's, and must not run on.
    #[error("{} holds the vGPU, and may {} after a loss of power: {error}",
        path.display(), place.doubt())]
    Stays {
        /// The file.
        path: PathBuf,
        /// Where it was made.
        place: StatePlace,
        /// What the disk says.
        error: io::Error,
    },
}

/// Where a state file is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    /// Beside its name, with this one.
    Beside(PathBuf),
    /// In a file that somebody else has opened.
    Open,
}

impl StatePlace {
    /// What may become of it if the disk has not taken the last of it.
    fn doubt(&self) -> String {
        match self {
            Self::Beside(partial) => format!("be called {}", partial.display()),
            Self::Open => "be no state file".to_owned(),
        }
    }
}

/// A state file that is being written. Until [`Self::commit`] it is none, and nothing has its name;
/// one that is dropped before is removed, or emptied.
#[derive(Debug)]
pub struct StateFile {
    file: Option<File>,
    place: StatePlace,
    path: PathBuf,
    sealer: Option<Sealer>,
    byte_count: u64,
    pub(crate) disk: Disk,
}

/// Why no state file may be put at a path.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A folder, a link, a pipe, a device: what a rename would put a file in the place of.
    #[error("is there already, and no plain file")]
    NotPlain,
    /// A file of somebody's.
    #[error("is there already, and no state file")]
    NotState,
    /// A file that is being written, or was when its writer died.
    #[error(
        "is not free: {} is there; if no suspend is writing it, one was cut short: remove it",
        .0.display()
    )]
    Partial(PathBuf),
    /// A state file that is being read.
    #[error("is there already, and is being resumed")]
    Resumed,
    /// The file system.
    #[error("cannot be looked at: {0}")]
    Io(#[from] io::Error),
}

/// Where a state file is until it is whole.
fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    path.with_file_name(name)
}

/// Whether there is anything of that name, be it a link that leads nowhere.
fn found(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a file may be replaced: it begins as state files do, of whatever version, and nobody has
/// claimed what is in it.
fn check_replaced(path: &Path) -> Result<(), PlaceError> {
    let mut file = File::open(path)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    Read::by_ref(&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    if !matches!(read_head(&head), Ok(_) | Err(HeadError::Newer(_))) {
        return Err(PlaceError::NotState);
    }
    match file.try_lock_shared() {
        // Not left to whoever else may have the file: a child that another thread has begun.
        Ok(()) => Ok(file.unlock()?),
        Err(TryLockError::WouldBlock) => Err(PlaceError::Resumed),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl StateFile {
    /// Whether a state file may be put at `path`: where nothing is, or another state file,
    /// which it replaces.
    ///
    /// # Errors
    ///
    /// When something else is there, or a file that is not whole yet.
    pub fn check_place(path: &Path) -> Result<(), PlaceError> {
        let partial = partial_of(path);
        if found(&partial)?.is_some() {
            return Err(PlaceError::Partial(partial));
        }
        Self::check_name(path)
    }

    fn check_name(path: &Path) -> Result<(), PlaceError> {
        match found(path)? {
            None => Ok(()),
            // Asked first, since opening a pipe would wait for its other end.
            Some(metadata) if !metadata.is_file() => Err(PlaceError::NotPlain),
            Some(_) => check_replaced(path),
        }
    }

    /// Starts a file that will be at `path`, in the same folder. With a key it is sealed.
    ///
    /// # Errors
    ///
    /// When it cannot be made, [`Self::check_place`] refuses the path, another save to it is under
    /// way, or the system has no randomness to seal it with.
    pub fn create(path: &Path, key: Option<&SealKey>) -> io::Result<Self> {
        Self::check_place(path).map_err(|error| refused(path, &error))?;
        let sealer = key.map(Sealer::new).transpose()?;
        let partial = partial_of(path);
        let file = File::options().write(true).create_new(true).mode(MODE).open(&partial)?;
        Self::begin(file, StatePlace::Beside(partial), path, sealer, &head::fresh())
    }

    /// Starts a file in one that somebody else has opened to be written, and which is empty. It is
    /// opened anew, so that nobody else's place in it matters, and called `name` in what is told of
    /// it. Until [`Self::commit`] it begins with zeros: what is cut short is no state file.
    ///
    /// # Errors
    ///
    /// When it was not opened for that, is no plain file, has something in it, or is another
    /// save's; or the system has no randomness to seal it with.
    pub fn create_open(lent: &File, name: &Path, key: Option<&SealKey>) -> io::Result<Self> {
        let sealer = key.map(Sealer::new).transpose()?;
        let file = reopen(lent, Access { read: false, write: true })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "somebody else writes or resumes it";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if file.metadata()?.len() != 0 {
            let why = "there is something in it: an empty file is allowed";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Self::begin(file, StatePlace::Open, name, sealer, &[0; HEAD_BYTES])
    }

    fn begin(
        file: File,
        place: StatePlace,
        path: &Path,
        sealer: Option<Sealer>,
        head: &[u8; HEAD_BYTES],
    ) -> io::Result<Self> {
        let (file, path) = (Some(file), path.to_path_buf());
        let mut made = Self { file, place, path, sealer, byte_count: 0, disk: DISK };
        made.write(head)?;
        Ok(made)
    }

    /// What it is called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes of the stream, which are sealed on the way if that is asked for.
    ///
    /// # Errors
    ///
    /// When the disk does not take them.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(sealer) = &mut self.sealer else { return self.write(bytes) };
        sealer.feed(bytes);
        if sealer.buffered() == 0 {
            return Ok(());
        }
        let sealed = sealer.take();
        self.write(&sealed)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.byte_count += bytes.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }

    /// Bytes of the file so far.
    pub fn byte_count(&self) -> u64 {
        self.byte_count
    }

    /// Makes it a state file, once its bytes are on the disk: gives it its name, or its head.
    ///
    /// # Errors
    ///
    /// When the disk does not take it, or something has come to be at its name that it may not
    /// replace. A file that had no name yet is removed. One that had, when the folder was not
    /// taken any more, is marked as spent and removed; if that mark is not taken either, it stays
    /// ([`CommitError::Stays`]). One that somebody else has opened is emptied where another is
    /// removed.
    pub fn commit(mut self) -> Result<(), CommitError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let done = match &self.place {
            StatePlace::Beside(partial) => self.give_name(&file, partial),
            StatePlace::Open => (self.disk.sync)(&file).map(|()| None),
        };
        let folder = match done {
            Ok(folder) => folder,
            Err(error) => {
                self.file = Some(file);
                return Err(CommitError::Withdrawn(error));
            }
        };
        let last = match &folder {
            // The name is on the disk when the folder is.
            Some(folder) => (self.disk.sync_folder)(folder),
            // Nothing before it is a state file.
            None => {
                file.write_all_at(&head::fresh(), 0).and_then(|()| (self.disk.sync_folder)(&file))
            }
        };
        let result = last.map_err(|error| self.withdraw(&file, error));
        // A child that another thread has begun may have the file, too.
        let _ = file.unlock();
        result
    }

    /// Gives a file that is whole its name; the folder, which is not on the disk yet.
    fn give_name(&self, file: &File, partial: &Path) -> io::Result<Option<File>> {
        Self::check_name(&self.path).map_err(|error| refused(&self.path, &error))?;
        (self.disk.sync)(file)?;
        let folder = File::open(folder_of(&self.path))?;
        fs::rename(partial, &self.path)?;
        Ok(Some(folder))
    }

    /// Sees to it that nothing is resumed from a file that has its name, or its head.
    fn withdraw(&self, file: &File, error: io::Error) -> CommitError {
        let marked = write_mark(file, Mark::Spent).and_then(|()| (self.disk.sync)(file));
        if marked.is_ok() {
            // Whoever finds it finds it spent.
            let _ = match &self.place {
                StatePlace::Beside(_) => fs::remove_file(&self.path),
                StatePlace::Open => file.set_len(0),
            };
            return CommitError::Withdrawn(error);
        }
        // Whether that mark is on the disk is not known; without it whoever has the vGPU resumed
        // is not refused. If this fails, too, a resume that keeps the file takes it.
        let _ = write_mark(file, Mark::Fresh);
        CommitError::Stays { path: self.path.clone(), place: self.place.clone(), error }
    }

    /// Removes a state file from which nothing is to be resumed any more; one that cannot be
    /// removed is marked as spent.
    ///
    /// # Errors
    ///
    /// When neither can be done.
    pub(crate) fn put_away(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let file = File::options().write(true).open(path)?;
                write_mark(&file, Mark::Spent).and_then(|()| file.sync_all())
            }
            _ => Ok(()),
        }
    }
}

/// Writes whether a file was resumed; it is on the disk when the file is.
fn write_mark(file: &File, mark: Mark) -> io::Result<()> {
    mark.bytes().map_or(Ok(()), |bytes| file.write_all_at(&bytes, head::MARK_AT as u64))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

impl Drop for StateFile {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        // Nobody can be told here; a partial file is refused by name anyway, and one without a head
        // is none.
        let _ = match &self.place {
            StatePlace::Beside(partial) => fs::remove_file(partial),
            StatePlace::Open => file.set_len(0).and_then(|()| file.unlock()),
        };
    }
}

fn refused(path: &Path, error: &PlaceError) -> io::Error {
    let kind = match error {
        PlaceError::Io(error) => error.kind(),
        _ => io::ErrorKind::AlreadyExists,
    };
    io::Error::new(kind, format!("{} {error}", path.display()))
}

#[cfg(test)]
mod tests;
