//! State files: written beside and renamed when they are whole and on the disk.

use crate::stream::{Reader, Record, StreamError};
use godwit_wire::record::{HEADER_BYTES, Header, Kind};
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

/// Whether a file begins as state files do.
fn begins_as_state(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut bytes = [0; HEADER_BYTES];
    let read = |result: io::Result<()>| match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    if !read(file.read_exact(&mut bytes))? {
        return Ok(false);
    }
    let Ok(header) = Header::parse(&bytes) else { return Ok(false) };
    // No longer than a body may be: that was looked at.
    let mut body = vec![0; header.body_bytes as usize];
    Ok(header.kind == Kind::Descriptor as u16
        && read(file.read_exact(&mut body))?
        && Header::check(&bytes, &body).is_ok())
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
            Some(_) if begins_as_state(path)? => Ok(()),
            Some(_) => Err(PlaceError::NotState),
        }
    }

    /// Starts a file that will be at `path`, in the same folder.
    ///
    /// # Errors
    ///
    /// When it cannot be made, [`Self::check_place`] refuses the path, or another save to it
    /// is under way.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::check_place(path).map_err(|error| refused(path, &error))?;
        let partial = partial_of(path);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    /// What a state file begins with.
    fn record(kind: Kind) -> Vec<u8> {
        let body = b"body";
        let header = Header {
            kind: kind as u16,
            version: 0,
            flags: 0,
            body_bytes: body.len() as u32,
            payload_bytes: 0,
            payload_crc: 0,
        };
        [header.encode(body).as_slice(), body].concat()
    }

    /// Why nothing is written to a path; it is not, and nothing is left beside it.
    fn refusal(path: &Path) -> String {
        let before = fs::symlink_metadata(path).map(|it| (it.file_type(), it.len())).ok();
        let why = StateFile::create(path).unwrap_err().to_string();
        assert_eq!(fs::symlink_metadata(path).map(|it| (it.file_type(), it.len())).ok(), before);
        let known = why.strip_prefix(&format!("{} ", path.display()));
        known.unwrap_or_else(|| panic!("{why}")).to_owned()
    }

    #[test]
    fn a_state_file_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.state");
        for _ in 0..2 {
            let mut file = StateFile::create(&path).unwrap();
            file.append(&record(Kind::Descriptor)).unwrap();
            file.commit().unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), record(Kind::Descriptor));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_state_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let mut changed = record(Kind::Descriptor);
        *changed.last_mut().unwrap() ^= 1;
        let cut = record(Kind::Descriptor)[..HEADER_BYTES + 1].to_vec();
        for bytes in [&b""[..], b"short", &[7; 100], &changed, &cut, &record(Kind::Pages)] {
            fs::write(place("a"), bytes).unwrap();
            assert_eq!(refusal(&place("a")), "is there already, and no state file");
        }
        fs::write(place("good"), record(Kind::Descriptor)).unwrap();
        symlink(place("good"), place("link")).unwrap();
        symlink(place("none"), place("nowhere")).unwrap();
        let _socket = UnixListener::bind(place("socket")).unwrap();
        fs::create_dir(place("folder")).unwrap();
        for name in ["link", "nowhere", "socket", "folder"] {
            assert_eq!(refusal(&place(name)), "is there already, and no plain file", "{name}");
        }
        let partial = fs::read_dir(folder.path()).unwrap().find(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial")
        });
        assert!(partial.is_none(), "{partial:?}");
    }

    #[test]
    fn what_has_come_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.state");
        let file = StateFile::create(&path).unwrap();
        fs::write(&path, "somebody's").unwrap();
        let why = file.commit().unwrap_err().to_string();
        assert!(why.ends_with("a.state is there already, and no state file"), "{why}");
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_a_crash_left_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.state");
        let partial = folder.path().join("a.state.partial");
        fs::write(&partial, "half").unwrap();
        let why = refusal(&path);
        let expected = format!("is not free: {} is there; if no suspend", partial.display());
        assert!(why.starts_with(&expected) && why.ends_with("remove it"), "{why}");
        assert_eq!(fs::read(&partial).unwrap(), b"half");
        fs::remove_file(&partial).unwrap();
        StateFile::create(&path).unwrap();
    }
}
