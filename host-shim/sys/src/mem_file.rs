//! A sparse memory file that is mapped into this process and may be mapped into others.

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, SeekFrom, fallocate, fcntl_add_seals, ftruncate,
    memfd_create, seek,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{ByteValued, Bytes, FileOffset, MmapRegion, VolatileMemory};

/// Bytes that [`MemFile::for_each_data`] hands out at once, at most, and how many of these are the
/// last of those before.
const VISIT_BYTES: u64 = 64 * 1024;
const VISIT_OVERLAP_BYTES: u64 = 64;

/// `HUGETLBFS_MAGIC` of Linux: what a file of large pages is in.
const LARGE_PAGES: u32 = 0x9584_58f6;

/// Memory in a file of its own (`memfd`), so that it can be given to another process, and
/// sparse, so that a large one costs what is used. It holds zeros until it is written.
///
/// Every access is bounded and goes through volatile operations, since whoever else maps the
/// file may write at any time.
#[derive(Debug)]
pub struct MemFile {
    file: File,
    mapping: MmapRegion,
}

/// An access past the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{byte_count} bytes at {at:#x} are not within the {len} bytes of this memory")]
pub struct MemFileError {
    /// First byte of the access.
    pub at: u64,
    /// Its length.
    pub byte_count: u64,
    /// Length of the memory.
    pub len: u64,
}

/// Why there is no mapping, with the system's error where it is that.
pub(crate) fn not_mapped(error: MmapRegionError) -> io::Error {
    match error {
        MmapRegionError::Mmap(error) => error,
        error => io::Error::other(error),
    }
}

impl MemFile {
    /// `len` bytes of zeros. The name is for people who look at the process's files.
    ///
    /// # Errors
    ///
    /// When `len` is 0 or the system gives no such file or mapping.
    pub fn new(name: &str, len: u64) -> io::Result<Self> {
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, len)?;
        // Who is given the file can neither shorten it under our mapping nor grow it.
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let file = File::from(fd);
        let offset = FileOffset::new(file.try_clone()?, 0);
        let mapping = MmapRegion::from_file(offset, size).map_err(not_mapped)?;
        Ok(Self { file, mapping })
    }

    /// Memory that another process has made and shares. All of its file is mapped.
    ///
    /// # Errors
    ///
    /// When the file could be shortened under the mapping, since it is no memory file that is
    /// sealed against that, as QEMU's `memory-backend-memfd` is; or it is of large pages, of which
    /// there may be none left when one is touched, which ends who touches it; or it is empty, or
    /// the system gives no mapping to read and write.
    pub fn shared(file: File) -> io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        if !seals.contains(SealFlags::SHRINK) {
            let why = "the memory file is not sealed: whoever has it could shorten it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        // A reservation does not help: whoever has the file takes it back by a hole.
        if rustix::fs::fstatfs(&file)?.f_type as u32 == LARGE_PAGES {
            let why = "the memory file is of large pages: one that is touched may not be there";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let offset = FileOffset::new(file.try_clone()?, 0);
        let mapping = MmapRegion::from_file(offset, size).map_err(not_mapped)?;
        Ok(Self { file, mapping })
    }

    /// Length in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a memory file is never empty")]
    pub fn len(&self) -> u64 {
        self.mapping.size() as u64
    }

    /// The file, to map it elsewhere.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The same memory once more: it is there until both are gone.
    ///
    /// # Errors
    ///
    /// When the system gives no further descriptor or mapping.
    pub fn try_clone(&self) -> io::Result<Self> {
        let offset = FileOffset::new(self.file.try_clone()?, 0);
        let mapping = MmapRegion::from_file(offset, self.mapping.size()).map_err(not_mapped)?;
        Ok(Self { file: self.file.try_clone()?, mapping })
    }

    /// Names the memory, among all that this system has at a time.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.ino())
    }

    /// A path by which a child of this process can open the file, while this process has it.
    pub fn path(&self) -> PathBuf {
        crate::qemu::path_of(&self.file)
    }

    /// One aligned 32-bit word, to share with whoever else maps the file.
    ///
    /// # Errors
    ///
    /// When it is not wholly inside, or not aligned.
    #[inline]
    pub fn word(&self, at: u64) -> Result<&AtomicU32, MemFileError> {
        let end = MemFileError { at, byte_count: 4, len: self.len() };
        let place = usize::try_from(at).map_err(|_| end)?;
        self.mapping.get_atomic_ref::<AtomicU32>(place).map_err(|_| end)
    }

    fn check(&self, at: u64, byte_count: u64) -> Result<usize, MemFileError> {
        let len = self.len();
        match at.checked_add(byte_count) {
            Some(end) if end <= len => Ok(at as usize),
            _ => Err(MemFileError { at, byte_count, len }),
        }
    }

    /// Reads one value; any alignment.
    ///
    /// # Errors
    ///
    /// When it is not wholly inside.
    #[inline]
    pub fn load<T: ByteValued>(&self, at: u64) -> Result<T, MemFileError> {
        let end = MemFileError { at, byte_count: size_of::<T>() as u64, len: self.len() };
        let place = usize::try_from(at).map_err(|_| end)?;
        self.mapping.get_ref::<T>(place).map(|value| value.load()).map_err(|_| end)
    }

    /// Writes one value; any alignment.
    ///
    /// # Errors
    ///
    /// When it is not wholly inside; nothing is written.
    #[inline]
    pub fn store<T: ByteValued>(&self, at: u64, value: T) -> Result<(), MemFileError> {
        let end = MemFileError { at, byte_count: size_of::<T>() as u64, len: self.len() };
        let place = usize::try_from(at).map_err(|_| end)?;
        self.mapping.get_ref::<T>(place).map(|target| target.store(value)).map_err(|_| end)
    }

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// When the range is not wholly inside.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MemFileError> {
        let place = self.check(at, into.len() as u64)?;
        let end = MemFileError { at, byte_count: into.len() as u64, len: self.len() };
        self.mapping.as_volatile_slice().read_slice(into, place).map_err(|_| end)
    }

    /// Copies bytes in.
    ///
    /// # Errors
    ///
    /// When the range is not wholly inside; nothing is written.
    pub fn write(&self, at: u64, from: &[u8]) -> Result<(), MemFileError> {
        let place = self.check(at, from.len() as u64)?;
        let end = MemFileError { at, byte_count: from.len() as u64, len: self.len() };
        self.mapping.as_volatile_slice().write_slice(from, place).map_err(|_| end)
    }

    /// Makes a range zero again; whole pages of it give their memory back.
    ///
    /// # Errors
    ///
    /// When the range is not wholly inside, or the system refuses.
    pub fn zero(&self, at: u64, byte_count: u64) -> io::Result<()> {
        self.check(at, byte_count).map_err(io::Error::other)?;
        if byte_count == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, flags, at, byte_count)?)
    }

    /// The first byte at or after `from` that may be other than zero; `None` when only a hole
    /// is left. Costs the same however much data there is.
    ///
    /// # Errors
    ///
    /// When the system refuses to look.
    pub fn data_from(&self, from: u64) -> io::Result<Option<u64>> {
        if from >= self.len() {
            return Ok(None);
        }
        match seek(&self.file, SeekFrom::Data(from)) {
            Ok(start) => Ok(Some(start)),
            Err(Errno::NXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Visits every range of bytes that may hold data, with its offset, up to 64 KiB at a time.
    /// Where they are more, the last 64 bytes come again at the front of the next, so that whoever
    /// looks for as many finds them everywhere.
    ///
    /// # Errors
    ///
    /// When the system refuses to tell where data is.
    pub fn for_each_data(&self, visit: &mut dyn FnMut(u64, &[u8])) -> io::Result<()> {
        let mut bytes = vec![0; VISIT_BYTES as usize];
        let mut from = 0;
        while let Some(data) = self.next_data(from)? {
            let mut at = data.start;
            while at < data.end {
                let count = (data.end - at).min(VISIT_BYTES);
                let part = &mut bytes[..count as usize];
                self.read(at, part).map_err(io::Error::other)?;
                visit(at, part);
                at += count;
                if at < data.end {
                    at -= VISIT_OVERLAP_BYTES;
                }
            }
            from = data.end;
        }
        Ok(())
    }

    /// The first range at or after `from` that may hold other bytes than zeros; `None` when
    /// only a hole is left. The system looks at each page of the range to find its end.
    ///
    /// # Errors
    ///
    /// When the system refuses to look.
    pub fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        match self.data_from(from)? {
            Some(start) => Ok(Some(start..seek(&self.file, SeekFrom::Hole(start))?)),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_past_the_end_are_refused_and_write_nothing() {
        let memory = MemFile::new("test", 8192).unwrap();
        assert!(memory.store(8192 - 4, 1u64).is_err());
        assert_eq!(memory.load::<u32>(8192 - 4), Ok(0));
        assert!(memory.load::<u8>(u64::MAX).is_err());
        assert!(memory.write(8191, &[1, 2]).is_err());
        assert!(memory.read(u64::MAX, &mut [0; 2]).is_err());
        assert!(memory.zero(4096, 4097).is_err());
    }

    #[test]
    fn memory_of_others_is_mapped_only_if_they_cannot_shorten_it() {
        let ours = MemFile::new("test", 8192).unwrap();
        let shared = MemFile::shared(ours.file().try_clone().unwrap()).unwrap();
        shared.store(4096, 7u8).unwrap();
        assert_eq!((shared.len(), ours.load::<u8>(4096)), (8192, Ok(7)));
        let open = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&open, 8192).unwrap();
        let refused = MemFile::shared(File::from(open)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(MemFile::shared(File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn a_large_file_costs_only_what_is_written() {
        let memory = MemFile::new("test", 1 << 36).unwrap();
        assert_eq!(memory.next_data(0).unwrap(), None);
        memory.store(1 << 35, 7u8).unwrap();
        assert_eq!(memory.next_data(0).unwrap(), Some((1 << 35)..(1 << 35) + 4096));
        memory.zero(1 << 35, 4096).unwrap();
        assert_eq!(memory.next_data(0).unwrap(), None);
        assert_eq!(memory.load::<u8>(1 << 35), Ok(0));
    }

    #[test]
    fn unaligned_values_keep_their_bytes() {
        let memory = MemFile::new("test", 4096).unwrap();
        memory.store(3, 0x0102_0304_0506_0708u64).unwrap();
        let mut bytes = [0; 8];
        memory.read(3, &mut bytes).unwrap();
        assert_eq!(bytes, 0x0102_0304_0506_0708u64.to_ne_bytes());
    }
}
