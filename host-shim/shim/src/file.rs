//! State files: written beside and renamed when they are whole and on the disk.

use crate::stream::{Reader, Record, StreamError};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A state file that is being written. Until [`Self::commit`] nothing has its name; one that
/// is dropped before is removed.
#[derive(Debug)]
pub struct StateFile {
    file: Option<File>,
    partial: PathBuf,
    path: PathBuf,
    byte_count: u64,
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
    /// What is in it.
    #[error("{path}: {error}")]
    Stream {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: StreamError,
    },
}

impl StateFile {
    /// Starts a file that will be at `path`, in the same folder.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or another save to the same path is under way.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let file = File::options().write(true).create_new(true).open(&partial)?;
        Ok(Self { file: Some(file), partial, path: path.to_path_buf(), byte_count: 0 })
    }

    /// Appends bytes of the stream.
    ///
    /// # Errors
    ///
    /// When the disk does not take them.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.byte_count += bytes.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }

    /// Bytes so far.
    pub fn byte_count(&self) -> u64 {
        self.byte_count
    }

    /// Gives the file its name, once its bytes are on the disk.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; the partial file is removed.
    pub fn commit(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            let result = file.sync_all().and_then(|()| fs::rename(&self.partial, &self.path));
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

/// Opens a state file to read it in pieces.
///
/// # Errors
///
/// When it cannot be opened.
pub fn state_reader(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|error| FileError::Io { path: path.to_path_buf(), error })
}

/// Reads a whole state file, record by record, and checks all of it.
///
/// # Errors
///
/// When it cannot be read or is not whole; the records before the damage were given.
pub fn read_state(path: &Path, mut visit: impl FnMut(&Record)) -> Result<(), FileError> {
    let io_error = |error| FileError::Io { path: path.to_path_buf(), error };
    let bad = |error| FileError::Stream { path: path.to_path_buf(), error };
    let mut file = state_reader(path)?;
    let mut reader = Reader::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer).map_err(io_error)?;
        if count == 0 {
            return reader.finish().map_err(bad);
        }
        reader.feed(&buffer[..count]);
        while let Some(record) = reader.next_record().map_err(bad)? {
            visit(&record);
        }
    }
}
