//! State files: written beside and renamed when they are whole and on the disk.
//!
//! A file is a [head](HEAD_BYTES) and a stream, plain or sealed.

mod head;
mod read;

use crate::key::SealKey;
use crate::stream::{Sealer, StreamVersion};
pub use head::{HEAD_BYTES, HeadError, Mark, read_head};
pub use read::{FileError, ResumeOptions, StateReader, read_state};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
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

/// A state file that is being written. Until [`Self::commit`] nothing has its name; one that
/// is dropped before is removed.
#[derive(Debug)]
pub struct StateFile {
    file: Option<File>,
    partial: PathBuf,
    path: PathBuf,
    sealer: Option<Sealer>,
    byte_count: u64,
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
        let (file, path) = (Some(file), path.to_path_buf());
        let mut made = Self { file, partial, path, sealer, byte_count: 0 };
        made.write(&head::fresh())?;
        Ok(made)
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

    /// Gives the file its name, once its bytes are on the disk.
    ///
    /// # Errors
    ///
    /// When the disk does not take it, or something has come to be at its name that it may not
    /// replace; the partial file is removed.
    pub fn commit(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            let result = Self::check_name(&self.path)
                .map_err(|error| refused(&self.path, &error))
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&self.partial, &self.path));
            if result.is_err() {
                self.file = Some(file);
                return result;
            }
        }
        // The name is on the disk when the folder is.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Nobody can be told here; a partial file is refused by name anyway.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn refused(path: &Path, error: &PlaceError) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{} {error}", path.display()))
}

#[cfg(test)]
mod tests;
