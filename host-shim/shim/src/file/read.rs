//! Reading state files: to look at one, or to claim the vGPU that is in it.

use super::head::{HEAD_BYTES, HeadError, Mark, read_head};
use super::open::{Access, not_plain, reopen};
use crate::key::SealKey;
use crate::stream::{Opener, PROLOGUE_BYTES, Reader, Record, SealError, StreamError, is_sealed};
use bytes::BytesMut;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How a file is resumed.
#[derive(Clone, Debug, Default)]
pub struct ResumeOptions {
    /// What it is sealed with; `None`: it is not, and a sealed one is refused. With a key one that
    /// is not sealed is refused.
    pub key: Option<Arc<SealKey>>,
    /// Whether its vGPU was resumed before is not asked, and not noted either. **Whoever says so
    /// sees to it that one vGPU does not run twice.**
    pub keep: bool,
}

/// Why a state file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file itself.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no state file of ours.
    #[error("{path} {error}")]
    Head {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: HeadError,
    },
    /// What is in it.
    #[error("{path}: {error}")]
    Stream {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: StreamError,
    },
    /// How that is sealed.
    #[error("{path}: {error}")]
    Seal {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: SealError,
    },
    /// Its vGPU has come out of it.
    #[error(
        "{0} was resumed before, and its vGPU may run; only a resume that is to keep the file \
         takes it once more"
    )]
    Spent(PathBuf),
    /// Nobody knows whether its vGPU has come out of it.
    #[error(
        "{0}: whether it was resumed before is not known, since its mark is damaged; only a resume \
         that is to keep the file takes it"
    )]
    Unmarked(PathBuf),
    /// Somebody else has it.
    #[error("{0} is being resumed by somebody else")]
    Busy(PathBuf),
    /// It is another one now.
    #[error("{0} has just been replaced by another file")]
    Replaced(PathBuf),
}

impl FileError {
    /// Whether the file is as it should be, and only may not be resumed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Spent(_) | Self::Unmarked(_) | Self::Busy(_) | Self::Replaced(_))
    }
}

/// A state file that is read. Whoever has claimed one is the only one who has, until it is dropped.
#[derive(Debug)]
pub struct StateReader {
    file: File,
    path: PathBuf,
    mark: Mark,
    /// Whether its vGPU's coming out is noted.
    marks: bool,
    opener: Option<Opener>,
    ended: bool,
}

impl StateReader {
    /// Opens a file to look at it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is no state file.
    pub fn look(path: &Path, key: Option<&SealKey>) -> Result<Self, FileError> {
        let io = |error| FileError::Io { path: path.to_path_buf(), error };
        let file = File::open(plain(path).map_err(io)?).map_err(io)?;
        Self::new(file, path, key)
    }

    /// Opens a file to resume the vGPU in it. Nobody else can claim it until this is dropped.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or is no state file, when somebody else has claimed it, and when
    /// its vGPU has come out of it.
    pub fn claim(path: &Path, options: &ResumeOptions) -> Result<Self, FileError> {
        let io = |error| FileError::Io { path: path.to_path_buf(), error };
        // Opened to be written, so that one that cannot be marked is refused before anything is
        // done.
        let mut how = File::options();
        let file =
            how.read(true).write(!options.keep).open(plain(path).map_err(io)?).map_err(io)?;
        Self::claim_it(file, &|| fs::metadata(path), path, options)
    }

    /// The same with a file that somebody else has opened, called `name` in what is told of it: to
    /// be read and, unless it is kept, written. It is opened anew, so that it is claimed apart from
    /// whoever else has that descriptor; whatever place it is at does not matter.
    ///
    /// # Errors
    ///
    /// As [`Self::claim`]; and when it was not opened for that.
    pub fn claim_open(
        lent: &File,
        name: &Path,
        options: &ResumeOptions,
    ) -> Result<Self, FileError> {
        let file = reopen(lent, Access { read: true, write: !options.keep })
            .map_err(|error| FileError::Io { path: name.to_path_buf(), error })?;
        Self::claim_it(file, &|| lent.metadata(), name, options)
    }

    /// Claims a file that must still be the one that was named.
    fn claim_it(
        file: File,
        named: &dyn Fn() -> io::Result<fs::Metadata>,
        path: &Path,
        options: &ResumeOptions,
    ) -> Result<Self, FileError> {
        let io = |error| FileError::Io { path: path.to_path_buf(), error };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::Busy(path.to_path_buf())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let (own, named) = (file.metadata().map_err(io)?, named().map_err(io)?);
        if (own.dev(), own.ino()) != (named.dev(), named.ino()) {
            return Err(FileError::Replaced(path.to_path_buf()));
        }
        // The mark is read under the lock: whoever had it before may have written it.
        let mut claimed = Self::new(file, path, options.key.as_deref())?;
        claimed.marks = !options.keep;
        match claimed.mark {
            Mark::Spent if claimed.marks => Err(FileError::Spent(path.to_path_buf())),
            Mark::Unknown if claimed.marks => Err(FileError::Unmarked(path.to_path_buf())),
            Mark::Fresh | Mark::Spent | Mark::Unknown => Ok(claimed),
        }
    }

    fn new(mut file: File, path: &Path, key: Option<&SealKey>) -> Result<Self, FileError> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        Read::by_ref(&mut file)
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|error| FileError::Io { path: path.to_path_buf(), error })?;
        let mark = read_head(&head)
            .map_err(|error| FileError::Head { path: path.to_path_buf(), error })?;
        let (path, opener) = (path.to_path_buf(), key.map(Opener::new));
        Ok(Self { file, path, mark, marks: false, opener, ended: false })
    }

    /// What it is called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its vGPU has come out of it.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Whether its stream is sealed, by what it begins with.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn is_sealed(&self) -> io::Result<bool> {
        let mut bytes = [0; PROLOGUE_BYTES];
        match self.file.read_exact_at(&mut bytes, HEAD_BYTES as u64) {
            Ok(()) => Ok(is_sealed(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Next bytes of the stream: opened, if it is sealed. `None`: the file has ended where a sealed
    /// stream does; of a plain one whoever reads the records knows.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a sealed stream is not whole and authentic.
    pub fn next_bytes(&mut self) -> Result<Option<BytesMut>, FileError> {
        loop {
            if let Some(opener) = &mut self.opener
                && let Some(record) = opener.next_record().map_err(|error| self.bad_seal(error))?
            {
                return Ok(Some(record));
            }
            if self.ended {
                return Ok(None);
            }
            let mut bytes = BytesMut::zeroed(CHUNK_BYTES);
            let count = match self.file.read(&mut bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(FileError::Io { path: self.path.clone(), error }),
            };
            bytes.truncate(count);
            self.ended = count == 0;
            match &mut self.opener {
                Some(opener) if self.ended => {
                    opener.finish().map_err(|error| self.bad_seal(error))?;
                }
                Some(opener) => opener.feed(&bytes),
                None if self.ended => {}
                None => return Ok(Some(bytes)),
            }
        }
    }

    fn bad_seal(&self, error: SealError) -> FileError {
        FileError::Seal { path: self.path.clone(), error }
    }

    /// Notes, on the disk when this returns, that its vGPU comes out of it; nothing if it is kept.
    ///
    /// # Errors
    ///
    /// When that cannot be written. It may be noted, or half.
    pub fn spend(&mut self) -> io::Result<()> {
        self.write_mark(Mark::Spent)
    }

    /// Takes that back: nothing of it runs.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn unspend(&mut self) -> io::Result<()> {
        self.write_mark(Mark::Fresh)
    }

    fn write_mark(&mut self, mark: Mark) -> io::Result<()> {
        if !self.marks {
            return Ok(());
        }
        self.mark = Mark::Unknown;
        super::write_mark(&self.file, mark)?;
        self.file.sync_all()?;
        self.mark = mark;
        Ok(())
    }
}

impl Drop for StateReader {
    /// A child that another thread has begun, and that is not the other program yet, has the file,
    /// too: the lock would be held as long.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// A path at which there is a file: opening a pipe would wait for its other end.
fn plain(path: &Path) -> io::Result<&Path> {
    if fs::metadata(path)?.is_file() { Ok(path) } else { Err(not_plain()) }
}

/// Reads a whole state file, record by record, and checks all of it.
///
/// # Errors
///
/// When it cannot be read or is not whole; the records before the damage were given.
pub fn read_state(
    path: &Path,
    key: Option<&SealKey>,
    mut visit: impl FnMut(&Record),
) -> Result<(), FileError> {
    let bad = |error| FileError::Stream { path: path.to_path_buf(), error };
    let mut file = StateReader::look(path, key)?;
    let mut reader = Reader::new();
    while let Some(bytes) = file.next_bytes()? {
        reader.feed_owned(bytes);
        while let Some(record) = reader.next_record().map_err(bad)? {
            visit(&record);
        }
    }
    reader.finish().map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::StateFile;

    #[test]
    fn a_claim_ends_whoever_else_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.state");
        StateFile::create(&path, None).unwrap().commit().unwrap();
        let claim = || StateReader::claim(&path, &ResumeOptions::default());
        let first = claim().unwrap();
        // As a child has it that is about to be another program.
        let _child = first.file.try_clone().unwrap();
        assert!(matches!(claim(), Err(FileError::Busy(_))));
        drop(first);
        claim().unwrap();
    }
}
