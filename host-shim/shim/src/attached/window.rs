//! The window of somebody else's microcontroller: whether it is one, and what is left of it.

use godwit_mmio::WordMemory;
use godwit_regs::bits::{MAGIC, MAP_VERSION};
use godwit_regs::map::{MAP_BYTES, identity};
use godwit_regs::window::{CRASH_AT, MAP_AT, WINDOW_BYTES};
use godwit_sys::{WindowFile, WindowFileError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Why a window is not used.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// The file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: WindowFileError,
    },
    /// No line can be there.
    #[error("no socket has this path: {}: {error}", path.display())]
    Line {
        /// The path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something else lies there.
    #[error(
        "{}: there is no window at {at:#x}: one in which no device was is of zeros, and byte \
         {found:#x} of this is not 0", path.display()
    )]
    NotWindow {
        /// The file.
        path: PathBuf,
        /// Where a window was looked for.
        at: u64,
        /// What is no window's, counted from there.
        found: usize,
    },
    /// Its registers are of another version.
    #[error(
        "{}: the registers in the window have version {found}, and this host knows {MAP_VERSION}",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version.
        found: u32,
    },
    /// A device is up in it that nobody has claimed it for: its process has died.
    #[error(
        "{}: a device is up in the window, or was until its process died: a window of zeros is \
         allowed, and one that a device has left", path.display()
    )]
    Used {
        /// The file.
        path: PathBuf,
    },
}

/// The part that is of zeros before a device comes up in it: the registers, and what is retained.
const POWERED_OFF_BYTES: usize = CRASH_AT;
const _: () = assert!(MAP_AT == 0 && MAP_BYTES < POWERED_OFF_BYTES);

/// `identity.magic` where a device was and is gone, and `identity.version` is that of its map.
const LEFT: u32 = u32::from_le_bytes(*b"gone");

/// A window that was claimed, and is left when this is dropped.
#[derive(Debug)]
pub(super) struct Window {
    file: WindowFile,
    /// Stands for `identity.magic` on the side of host and device: firmware sees that the device is
    /// up when all else is in place, and not before.
    magic: AtomicU32,
}

impl Window {
    /// Claims the window at `at` of a file, in which no device is up.
    pub(super) fn claim(path: &Path, at: u64) -> Result<Self, WindowError> {
        let of_file = |error| WindowError::File { path: path.to_path_buf(), error };
        let file = WindowFile::open(path, at, WINDOW_BYTES).map_err(of_file)?;
        file.claim().map_err(of_file)?;
        check(&file, path, at)?;
        let window = Self { file, magic: AtomicU32::new(0) };
        window.wipe();
        Ok(window)
    }

    /// What another device and its firmware have left is gone, as it is after a loss of power.
    /// Firmware that waits for its device has not looked at it.
    fn wipe(&self) {
        for at in (0..POWERED_OFF_BYTES).step_by(4) {
            self.at(at).store(0, Ordering::Release);
        }
    }

    /// Lets the firmware see that the device is up.
    pub(super) fn show(&self) {
        let magic = self.magic.load(Ordering::Acquire);
        self.at(identity::magic().offset()).store(magic, Ordering::Release);
    }

    /// A word of the window.
    pub(super) fn load(&self, at: usize) -> u32 {
        self.at(at).load(Ordering::Acquire)
    }

    fn at(&self, at: usize) -> &AtomicU32 {
        self.file.word(at).expect("all of a window was mapped")
    }
}

impl WordMemory for Window {
    fn word(&self, offset: usize) -> &AtomicU32 {
        if offset == identity::magic().offset() { &self.magic } else { self.at(offset) }
    }
}

impl Drop for Window {
    /// The device is gone. Its registers stay until the next one comes: firmware that looks by
    /// itself would take a call that it sees half wiped for another.
    fn drop(&mut self) {
        self.at(identity::version().offset()).store(MAP_VERSION, Ordering::Release);
        self.at(identity::magic().offset()).store(LEFT, Ordering::Release);
    }
}

/// Whether what lies there is a window in which no device is up.
fn check(file: &WindowFile, path: &Path, at: u64) -> Result<(), WindowError> {
    let word = |at| file.word(at).map_or(0, |word| word.load(Ordering::Acquire));
    let path = || path.to_path_buf();
    let (magic, version) = (identity::magic().offset(), identity::version().offset());
    match (word(magic), word(version)) {
        (MAGIC, MAP_VERSION) => Err(WindowError::Used { path: path() }),
        (LEFT, MAP_VERSION) => Ok(()),
        (MAGIC | LEFT, found) => Err(WindowError::Version { path: path(), found }),
        _ => match (0..POWERED_OFF_BYTES).step_by(4).find(|at| word(*at) != 0) {
            Some(found) => Err(WindowError::NotWindow { path: path(), at, found }),
            None => Ok(()),
        },
    }
}
