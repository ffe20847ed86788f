//! Guest memory that a client shares: each of its files is mapped once, however many windows lead
//! to it, since a machine's firmware maps and unmaps some of them all the time.

use godwit_sys::MemFile;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Weak};

/// Files that are mapped for a vGPU at a time: a machine has one for each of its memories. Each
/// takes descriptors, of which all that are served together have few.
const FILES_MAX: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Mappings(BTreeMap<(u64, u64), Weak<MemFile>>);

impl Mappings {
    /// A mapping of all of a file, which has at least so many bytes. `None`: it is not one that can
    /// be mapped without danger ([`MemFile::shared`]), or there are 32 already, and has to be
    /// reached over the socket.
    pub(crate) fn map(&mut self, fd: OwnedFd, end: u64) -> Option<Arc<MemFile>> {
        let file = File::from(fd);
        let about = file.metadata().ok()?;
        let key = (about.dev(), about.ino());
        self.0.retain(|_, mapping| mapping.strong_count() != 0);
        let known = self.0.get(&key).and_then(Weak::upgrade);
        if let Some(mapping) = known.filter(|mapping| mapping.len() >= end) {
            return Some(mapping);
        }
        if self.0.len() >= FILES_MAX && !self.0.contains_key(&key) {
            return None;
        }
        let mapping = Arc::new(MemFile::shared(file).ok().filter(|file| file.len() >= end)?);
        self.0.insert(key, Arc::downgrade(&mapping));
        Some(mapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_mapped_once_and_no_longer_than_it_is_used() {
        let memory = MemFile::new("test", 8192).unwrap();
        let fd = || OwnedFd::from(memory.file().try_clone().unwrap());
        let mut mappings = Mappings::default();
        let first = mappings.map(fd(), 8192).unwrap();
        let second = mappings.map(fd(), 4096).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert!(mappings.map(fd(), 8193).is_none());
        drop((first, second));
        let other = MemFile::new("test", 4096).unwrap();
        let _kept = mappings.map(other.file().try_clone().unwrap().into(), 4096).unwrap();
        assert_eq!(mappings.0.len(), 1);
        let device = File::open("/dev/null").unwrap();
        assert!(mappings.map(device.into(), 0).is_none());
    }
}
