//! The journal's file: entries are only appended, and each is on the disk before it counts.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `GDWTJRNL` |
//! | 8 | 4 | version of the file, 2 |
//! | 12 | 4 | CRC-32C of the 12 bytes before |
//! | 16 | 32 each | the entries |
//! | then | | zeros: room for more |
//!
//! The room is made ahead, so that an entry is written in place: a file that grows is on the disk
//! only with the file system's own journal, and that waits for what others have written. Who closes
//! the file takes the room away.
//!
//! The last entry may be torn: it was never on the disk as a whole, so nothing has followed from
//! it, and it is dropped. Damage anywhere else is damage to what others were told, and the file is
//! refused. (A last entry that was whole and has rotted cannot be told from a torn one.)
//!
//! Version 1 had no entries of stage 10. It is read, and written anew as version 2 when it is
//! opened. A build that knows version 1 alone refuses version 2 by its number, and changes nothing:
//! it would take a vGPU that was about to start for one that has run.

use super::entry::ENTRY_BYTES;
use super::{ENTRIES_MAX, Journal, JournalEntry, JournalStorage, SPARE_MAX};
use crc_fast::crc32_iscsi as crc32c;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"GDWTJRNL";
const VERSION: u32 = 2;
/// The oldest that is read.
const OLDEST: u32 = 1;
const HEADER_BYTES: usize = 16;
/// Bytes of room that are made at a time.
const ROOM_BYTES: u64 = 4096;
/// Longest file: what is kept, what is spare, a torn entry and room.
const FILE_BYTES_MAX: u64 =
    (HEADER_BYTES + (2 * ENTRIES_MAX + SPARE_MAX + 2) * ENTRY_BYTES) as u64 + ROOM_BYTES;

/// Why a file is not taken for a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalFileError {
    /// The file itself.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is in use.
    #[error("{0}: another process has this journal open")]
    Locked(PathBuf),
    /// It begins with something else.
    #[error("{0}: this is no journal of moves")]
    NotAJournal(PathBuf),
    /// It is of another build.
    #[error(
        "{path}: this journal has version {version}, and versions {OLDEST} to {VERSION} are read"
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// It is longer than any.
    #[error("{path}: a journal has {FILE_BYTES_MAX} bytes at most, and this file has {bytes}")]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// An entry that is not the last one is damaged.
    #[error(
        "{path}: entry {number} at byte {at} is damaged, and others come after it: who owns which \
         vGPU cannot be known from this file"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which entry, from 0.
        number: usize,
        /// Where it begins.
        at: u64,
    },
}

/// Entries in a file, which nobody else has open.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
    /// Bytes that are known to be sound and on the disk.
    sound_bytes: u64,
    /// Bytes with the room behind them, on the disk as well.
    room_end: u64,
    /// What a failed append has left could not be taken away.
    broken: bool,
    /// The file was written anew, and it is not known to be on the disk under its name.
    unnamed: bool,
}

fn header(version: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

impl Journal {
    /// The journal in a file, which is made where there is none. Its owner alone may read it.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, is in use, or is no sound journal.
    pub fn open(path: &Path) -> Result<Self, JournalFileError> {
        let (file, stored) = JournalFile::open(path)?;
        Ok(Self::with_storage(Box::new(file), &stored))
    }
}

impl JournalFile {
    /// Opens a file, or makes it, and reads what is in it.
    fn open(path: &Path) -> Result<(Self, Vec<JournalEntry>), JournalFileError> {
        let io_error = |error| JournalFileError::Io { path: path.to_path_buf(), error };
        // Asked first, since opening a pipe would wait for its other end.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(JournalFileError::NotAJournal(path.to_path_buf()));
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(io_error)?;
        lock(&file, path)?;
        // Its owner may have written it anew since it was opened, and let go of this one.
        let (opened, named) = (file.metadata(), fs::metadata(path));
        let (opened, named) = (opened.map_err(io_error)?, named.map_err(io_error)?);
        if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
            return Err(JournalFileError::Locked(path.to_path_buf()));
        }
        let bytes = read_bounded(&mut file, path)?;
        let mut stored = Vec::new();
        let (path, mut version) = (path.to_path_buf(), VERSION);
        let (broken, unnamed) = (false, false);
        let mut journal = Self { path, file, sound_bytes: 0, room_end: 0, broken, unnamed };
        if let Some((found, begun)) = begun(&bytes, &journal.path)? {
            version = found;
            stored = entries(begun, &journal.path)?;
            journal.sound_bytes = (HEADER_BYTES + stored.len() * ENTRY_BYTES) as u64;
        }
        journal.begin().map_err(io_error)?;
        if version != VERSION {
            journal.rewrite(&stored).map_err(io_error)?;
        }
        Ok((journal, stored))
    }

    /// Takes away what is torn, and writes the header where there is none.
    fn begin(&mut self) -> io::Result<()> {
        if self.sound_bytes == 0 {
            self.file.set_len(0)?;
            self.file.write_all_at(&header(VERSION), 0)?;
            self.sound_bytes = HEADER_BYTES as u64;
        }
        self.make_room()?;
        sync_folder(&self.path)
    }

    /// Has zeros behind the entries, and nothing behind them.
    fn make_room(&mut self) -> io::Result<()> {
        self.room_end = self.sound_bytes;
        self.file.set_len(self.sound_bytes)?;
        self.file.write_all_at(&[0; ROOM_BYTES as usize], self.sound_bytes)?;
        self.file.sync_all()?;
        self.room_end += ROOM_BYTES;
        Ok(())
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.sound_bytes + bytes.len() as u64 > self.room_end {
            self.make_room()?;
        }
        self.file.write_all_at(bytes, self.sound_bytes)?;
        self.file.sync_data()
    }

    /// Takes up what has failed before, without which nothing more is to be written.
    fn mend(&mut self) -> io::Result<()> {
        let doubt = |error| io::Error::other(format!("an earlier entry is in doubt: {error}"));
        if self.broken {
            self.make_room().map_err(doubt)?;
            self.broken = false;
        }
        if self.unnamed {
            sync_folder(&self.path).map_err(doubt)?;
            self.unnamed = false;
        }
        Ok(())
    }
}

impl JournalStorage for JournalFile {
    fn append(&mut self, entry: &JournalEntry) -> io::Result<()> {
        self.mend()?;
        let bytes = entry.encode();
        if let Err(error) = self.append_bytes(&bytes) {
            // What it has left is taken away, so that it is nothing to whoever reads it.
            self.broken = self.make_room().is_err();
            return Err(error);
        }
        self.sound_bytes += bytes.len() as u64;
        Ok(())
    }

    fn rewrite(&mut self, entries: &[JournalEntry]) -> io::Result<()> {
        self.mend()?;
        let mut bytes = header(VERSION).to_vec();
        bytes.extend(entries.iter().flat_map(JournalEntry::encode));
        let folder = folder_of(&self.path);
        let mut file = tempfile::Builder::new()
            .prefix(".journal")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        // Locked before it has the name, so that nobody comes between.
        file.as_file().try_lock()?;
        self.file = file.persist(&self.path).map_err(|error| error.error)?;
        self.sound_bytes = bytes.len() as u64;
        self.room_end = self.sound_bytes;
        self.unnamed = true;
        self.mend()
    }
}

impl Drop for JournalFile {
    fn drop(&mut self) {
        // A file that was refused has none, and is left as it is. Where it stays it is room for
        // whoever opens the file next.
        if self.room_end > self.sound_bytes {
            let _ = self.file.set_len(self.sound_bytes);
        }
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalFileError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(JournalFileError::Locked(path.to_path_buf())),
        Err(TryLockError::Error(error)) => {
            Err(JournalFileError::Io { path: path.to_path_buf(), error })
        }
    }
}

fn read_bounded(file: &mut File, path: &Path) -> Result<Vec<u8>, JournalFileError> {
    let io_error = |error| JournalFileError::Io { path: path.to_path_buf(), error };
    let bytes = file.metadata().map_err(io_error)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(JournalFileError::TooLong { path: path.to_path_buf(), bytes });
    }
    let mut read = Vec::with_capacity(bytes as usize);
    file.take(FILE_BYTES_MAX).read_to_end(&mut read).map_err(io_error)?;
    Ok(read)
}

/// The version, and what comes after the header. `None`: the file was not begun, or its header is
/// torn, since nothing comes after it.
fn begun<'a>(bytes: &'a [u8], path: &Path) -> Result<Option<(u32, &'a [u8])>, JournalFileError> {
    // Bytes that were not written are missing, or zeros.
    let torn = |version| {
        bytes.iter().zip(header(version)).all(|(byte, wanted)| *byte == wanted || *byte == 0)
    };
    let torn = (OLDEST..=VERSION).any(torn);
    let other = || Err(JournalFileError::NotAJournal(path.to_path_buf()));
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return if torn { Ok(None) } else { other() };
    };
    if let Some(version) = (OLDEST..=VERSION).find(|version| *head == header(*version)) {
        return Ok(Some((version, rest)));
    }
    if torn && rest.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let crc = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
    if head[..8] != MAGIC || crc32c(&head[..12]) != crc {
        return other();
    }
    let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    Err(JournalFileError::Version { path: path.to_path_buf(), version })
}

/// The entries, without one at the end that is torn.
fn entries(bytes: &[u8], path: &Path) -> Result<Vec<JournalEntry>, JournalFileError> {
    // No entry begins with a zero, so one of zeros is room.
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = &bytes[..written.next_multiple_of(ENTRY_BYTES).min(bytes.len())];
    let (whole, _) = bytes.as_chunks::<ENTRY_BYTES>();
    // The last one is that which ends the file, whole or not.
    let last = bytes.len().div_ceil(ENTRY_BYTES).saturating_sub(1);
    let mut entries = Vec::with_capacity(whole.len());
    for (number, bytes) in whole.iter().enumerate() {
        match JournalEntry::decode(bytes) {
            Some(entry) => entries.push(entry),
            None if number == last => {}
            None => {
                let at = (HEADER_BYTES + number * ENTRY_BYTES) as u64;
                return Err(JournalFileError::Damaged { path: path.to_path_buf(), number, at });
            }
        }
    }
    Ok(entries)
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A name is on the disk when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::{JournalError, MoveStage, Side};
    use super::*;
    use crate::link::Token;

    fn token(number: u64) -> Token {
        Token { uuid: [4; 16], number }
    }

    /// A journal file with two moves, and its bytes.
    fn written(folder: &Path) -> (PathBuf, Vec<u8>) {
        let path = folder.join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.record(token(1), MoveStage::Offered).unwrap();
        journal.record(token(1), MoveStage::Aborted).unwrap();
        journal.record(token(2), MoveStage::Offered).unwrap();
        journal.record(token(2), MoveStage::Committed).unwrap();
        drop(journal);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), HEADER_BYTES + 4 * ENTRY_BYTES);
        (path, bytes)
    }

    #[test]
    fn a_journal_outlives_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = written(folder.path());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.stage(Side::Source, &token(1)), Some(MoveStage::Aborted));
        assert_eq!(journal.stage(Side::Source, &token(2)), Some(MoveStage::Committed));
        let stale = journal.record(token(2), MoveStage::Restoring).unwrap_err();
        assert!(matches!(stale, JournalError::Stale { newest: 2, .. }), "{stale}");
        journal.record(token(2), MoveStage::Done).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.stage(Side::Source, &token(2)), Some(MoveStage::Done));
    }

    #[test]
    fn a_write_that_is_torn_anywhere_leaves_the_entries_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(folder.path());
        for length in 0..bytes.len() {
            let whole = length.saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
            let end = match length {
                0..HEADER_BYTES => HEADER_BYTES,
                _ => HEADER_BYTES + (whole + 1) * ENTRY_BYTES,
            };
            // What was not written is missing, or is zeros; then there may be room.
            for zeros in [0, end - length, end - length + 3 * ENTRY_BYTES] {
                let mut torn = bytes[..length].to_vec();
                torn.resize(length + zeros, 0);
                fs::write(&path, &torn).unwrap();
                let (file, stored) = JournalFile::open(&path)
                    .unwrap_or_else(|error| panic!("{length} bytes, {zeros} zeros: {error}"));
                assert_eq!(stored.len(), whole, "{length} bytes, {zeros} zeros");
                drop(file);
                let left = fs::read(&path).unwrap();
                let sound = HEADER_BYTES + whole * ENTRY_BYTES;
                assert_eq!(left, bytes[..sound], "{length} bytes: the rest is taken away");
            }
        }
    }

    #[test]
    fn an_entry_is_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sound) = written(folder.path());
        let mut journal = Journal::open(&path).unwrap();
        let bytes = fs::metadata(&path).unwrap().len();
        assert_eq!(bytes, sound.len() as u64 + ROOM_BYTES);
        for number in 3..40 {
            journal.record(token(number), MoveStage::Offered).unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes, "it has not grown");
        // A process that is killed leaves the room.
        let left = fs::read(&path).unwrap();
        drop(journal);
        fs::write(&path, &left).unwrap();
        assert_eq!(Journal::open(&path).unwrap().newest(&[4; 16]), Some(39));
        let room = sound.len() + 37 * ENTRY_BYTES;
        assert_eq!(fs::read(&path).unwrap(), left[..room], "who closes it takes the room away");
    }

    #[test]
    fn damage_before_the_last_entry_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(folder.path());
        for at in 0..HEADER_BYTES + 3 * ENTRY_BYTES {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let error = Journal::open(&path).unwrap_err().to_string();
            let named = match at {
                0..HEADER_BYTES => "no journal".to_owned(),
                _ => format!("entry {} ", (at - HEADER_BYTES) / ENTRY_BYTES),
            };
            assert!(error.contains(&named), "byte {at}: {error}");
            assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is changed");
        }
    }

    #[test]
    fn a_journal_of_the_version_before_is_read_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(folder.path());
        let mut old = header(1).to_vec();
        old.extend(&bytes[HEADER_BYTES..]);
        // As a build of then has torn it.
        fs::write(&path, [&old[..], &[0; 7]].concat()).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.stage(Side::Source, &token(2)), Some(MoveStage::Committed));
        drop(journal);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        for length in 0..HEADER_BYTES {
            fs::write(&path, &header(1)[..length]).unwrap();
            assert_eq!(Journal::open(&path).unwrap().entries().count(), 0);
        }
    }

    #[test]
    fn another_version_and_a_longer_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut bytes) = written(folder.path());
        bytes[8] = 7;
        let crc = crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(matches!(error, JournalFileError::Version { version: 7, .. }), "{error}");
        let file = File::create(&path).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(matches!(error, JournalFileError::TooLong { .. }), "{error}");
        assert!(Journal::open(folder.path()).unwrap_err().to_string().contains("no journal"));
    }

    #[test]
    fn one_process_at_a_time_has_it_also_when_it_was_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        let locked = || matches!(Journal::open(&path), Err(JournalFileError::Locked(_)));
        assert!(locked());
        for number in 0..300 {
            journal.record(token(number), MoveStage::Offered).unwrap();
            journal.record(token(number), MoveStage::Aborted).unwrap();
        }
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(bytes < (SPARE_MAX * ENTRY_BYTES) as u64, "it was written anew: {bytes}");
        assert!(locked());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.newest(&[4; 16]), Some(299));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
