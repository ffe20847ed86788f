//! A part of a file that somebody else made, mapped to share words with whoever else maps it: the
//! RAM of a machine that QEMU runs, or a PCI device's resource.

use crate::mem_file::not_mapped;
use rustix::fs::{Mode, OFlags, open};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

/// Where a mapping may begin.
const PAGE_BYTES: u64 = 4096;

/// Why there is no such window.
#[derive(Debug, thiserror::Error)]
pub enum WindowFileError {
    /// The system gives no file or mapping.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a folder, a device, a pipe or a socket.
    #[error("it is no plain file, as the RAM of a machine and the resource of a PCI device are")]
    NotPlain,
    /// No mapping begins there.
    #[error("the window cannot begin at {at:#x}: a multiple of {PAGE_BYTES:#x} is allowed")]
    Unaligned {
        /// Where it was to begin.
        at: u64,
    },
    /// The file ends before.
    #[error("it has {len} bytes, and the window takes {byte_count} from {at:#x} on")]
    Short {
        /// Bytes of the file.
        len: u64,
        /// Where the window was to begin.
        at: u64,
        /// How long it is.
        byte_count: usize,
    },
    /// Another process, or another device of this one, has it.
    #[error("somebody else has claimed it")]
    Claimed,
}

/// A window of a file. A PCI device's registers are reached through one as memory is, so words are
/// read and written whole, and one at a time.
///
/// Whoever shortens the file while this is there ends the process when it touches what is gone: a
/// file that others can write to is theirs to keep. A resource file cannot be shortened.
#[derive(Debug)]
pub struct WindowFile {
    file: File,
    mapping: MmapRegion,
}

impl WindowFile {
    /// Maps `byte_count` bytes of the file at `path`, from `at` on.
    ///
    /// # Errors
    ///
    /// See [`WindowFileError`]. Nothing of the file is touched.
    pub fn open(path: &Path, at: u64, byte_count: usize) -> Result<Self, WindowFileError> {
        if !at.is_multiple_of(PAGE_BYTES) {
            return Err(WindowFileError::Unaligned { at });
        }
        // Looked at first: to open a device may do something, and to open a folder tells less.
        if !std::fs::metadata(path)?.is_file() {
            return Err(WindowFileError::NotPlain);
        }
        // What is there now may be a pipe, which is not waited for.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(open(path, flags, Mode::empty()).map_err(io::Error::from)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(WindowFileError::NotPlain);
        }
        let len = metadata.len();
        if at.checked_add(byte_count as u64).is_none_or(|end| end > len) {
            return Err(WindowFileError::Short { len, at, byte_count });
        }
        let offset = FileOffset::new(file.try_clone()?, at);
        let mapping = MmapRegion::from_file(offset, byte_count).map_err(not_mapped)?;
        Ok(Self { file, mapping })
    }

    /// Keeps all others who ask from the file, until this is dropped.
    ///
    /// # Errors
    ///
    /// [`WindowFileError::Claimed`], or what the system says.
    pub fn claim(&self) -> Result<(), WindowFileError> {
        self.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => WindowFileError::Claimed,
            TryLockError::Error(error) => error.into(),
        })
    }

    /// The aligned word at an offset of the window; `None`: there is none.
    #[inline]
    pub fn word(&self, at: usize) -> Option<&AtomicU32> {
        self.mapping.get_atomic_ref::<AtomicU32>(at).ok()
    }
}

impl Drop for WindowFile {
    /// A child that another thread has begun, and that is not the other program yet, has the file,
    /// too: the claim would be held as long.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemFile;
    use std::sync::atomic::Ordering;

    fn refusal(path: &Path, at: u64, byte_count: usize) -> String {
        WindowFile::open(path, at, byte_count).unwrap_err().to_string()
    }

    #[test]
    fn a_window_is_what_others_have_at_its_place() {
        let memory = MemFile::new("test", 0x4000).unwrap();
        let window = WindowFile::open(&memory.path(), 0x1000, 0x2000).unwrap();
        window.word(8).unwrap().store(7, Ordering::Relaxed);
        memory.store(0x1004, 9_u32).unwrap();
        assert_eq!(memory.load::<u32>(0x1008), Ok(7));
        assert_eq!(window.word(4).unwrap().load(Ordering::Relaxed), 9);
        assert!(window.word(0x1ffc).is_some());
        assert!([0x2000, 6, usize::MAX].iter().all(|at| window.word(*at).is_none()));
    }

    #[test]
    fn what_holds_no_window_is_refused_and_not_touched() {
        let memory = MemFile::new("test", 0x4000).unwrap();
        let path = memory.path();
        let short = "it has 16384 bytes, and the window takes 8192 from";
        assert_eq!(refusal(&path, 0x3000, 0x2000), format!("{short} 0x3000 on"));
        assert_eq!(
            refusal(&path, u64::MAX - 0xfff, 0x2000),
            format!("{short} 0xfffffffffffff000 on")
        );
        assert!(refusal(&path, 0x800, 0x1000).ends_with("a multiple of 0x1000 is allowed"));
        for path in ["/", "/dev/null"] {
            assert!(refusal(Path::new(path), 0, 0x1000).starts_with("it is no plain file"));
        }
        let missing = WindowFile::open(Path::new("/none/there"), 0, 0x1000).unwrap_err();
        assert!(
            matches!(missing, WindowFileError::Io(error) if error.raw_os_error() == Some(2)),
            "it is told as the system does"
        );
        assert_eq!(memory.next_data(0).unwrap(), None);
    }

    #[test]
    fn a_window_is_claimed_by_one_at_a_time() {
        let memory = MemFile::new("test", 0x1000).unwrap();
        let open = || WindowFile::open(&memory.path(), 0, 0x1000).unwrap();
        let (first, second) = (open(), open());
        first.claim().unwrap();
        assert!(matches!(second.claim(), Err(WindowFileError::Claimed)));
        drop(first);
        second.claim().unwrap();
    }
}
