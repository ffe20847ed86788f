//! A board's flash, as a file.

use super::{Failure, mistake};
use crate::files;
use godwit_regs::flash::{BOOT_AT, Bank, END, KEY_AT, PLACES, Place, STATE_A_AT};
use godwit_shim::is_flash_file;
use godwit_slots::{BoardName, Flash, Medium, PublicKey, Root, State, Update};
use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A flash file that nobody else writes meanwhile.
#[derive(Debug)]
pub(super) struct FlashFile {
    path: PathBuf,
    file: Locked,
    /// All of it that is used.
    bytes: Vec<u8>,
    place: &'static Place,
}

/// A file that is locked.
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    /// A child that another thread has begun, and that is not the other program yet, has the file,
    /// too: the lock would be held as long.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl FlashFile {
    /// Opens a flash file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| mistake(path, format!("cannot be opened: {error}"));
        if !is_flash_file(path).map_err(failed)? {
            return Err(mistake(path, format!("it {}", files::no_flash_file())));
        }
        let file = File::options().read(true).write(true).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| {
            mistake(path, format!("somebody writes it: {error}; try again when that is done"))
        })?;
        let file = Locked(file);
        let mut bytes = Vec::with_capacity(END);
        (&file.0).take(END as u64).read_to_end(&mut bytes).map_err(failed)?;
        let Some(place) = Flash::open(&bytes).map(|flash| flash.place().board) else {
            let why = "it has no boot stage of a board that is known; `godwit image flash` makes \
                       a flash file that has one";
            return Err(mistake(path, why));
        };
        let place = PLACES.iter().find(|known| known.board == place);
        let place = place.ok_or_else(|| mistake(path, "its board is not known"))?;
        Ok(Self { path: path.to_owned(), file, bytes, place })
    }

    /// Makes a flash file with a boot stage and empty slots. It has its name when it is whole.
    pub(super) fn create(
        path: &Path,
        place: &'static Place,
        key: PublicKey,
    ) -> Result<Self, Failure> {
        let board = place.board;
        let Some(bank) = place.bank else {
            let allowed = PLACES.iter().filter(|place| place.bank.is_some());
            let allowed: Vec<&str> = allowed.map(|place| place.board).collect();
            return Err(Failure::Refused(format!(
                "{board} has no flash with slots: {} are allowed",
                allowed.join(", ")
            )));
        };
        let Some(boot_stage) = godwit_images::boot_stage(board) else {
            return Err(Failure::Mistake(format!(
                "no boot stage for {board} is built in: build with `--features all-boards`"
            )));
        };
        let board = BoardName::new(board).expect("a board's name fits into a header");
        let made = make(path, bank, boot_stage, &Root { board, key });
        made.map_err(|error| mistake(path, format!("cannot be made: {error}")))?;
        Self::open(path)
    }

    /// What is in it.
    pub(super) fn view(&self) -> Flash<'_> {
        Flash::new(&self.bytes, self.place)
    }

    /// Performs an update.
    pub(super) fn perform(&mut self, update: &Update<'_>) -> Result<(), Failure> {
        let done = update.perform(self);
        done.map_err(|error| mistake(&self.path, format!("cannot be written: {error}")))
    }
}

fn make(path: &Path, bank: Bank, boot_stage: &[u8], root: &Root) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // As any file of the user's is made, and not as a temporary one, which is private.
    let all = Permissions::from_mode(0o666);
    let temporary = tempfile::Builder::new().permissions(all).tempfile_in(folder)?;
    let file = temporary.as_file();
    // What is not written takes no room on most file systems.
    file.set_len(bank.bytes as u64)?;
    file.write_all_at(boot_stage, BOOT_AT as u64)?;
    file.write_all_at(&root.record(), KEY_AT as u64)?;
    file.write_all_at(&State::FIRST.record(), STATE_A_AT as u64)?;
    file.sync_all()?;
    temporary.persist_noclobber(path)?;
    File::open(folder)?.sync_all()
}

impl Medium for FlashFile {
    type Error = io::Error;

    fn write(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.0.write_all_at(bytes, at as u64)?;
        if let Some(held) = self.bytes.get_mut(at..at + bytes.len()) {
            held.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.0.sync_data()
    }
}
