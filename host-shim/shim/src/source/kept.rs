//! What is kept of a state that is sent.

use crate::file::StateFile;
use crate::key::SealKey;
use std::io;
use std::path::{Path, PathBuf};

/// A copy of the state that is sent, for a host that ends before the move does.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// None when it was ended.
    file: Option<StateFile>,
    is_whole: bool,
    /// Why it never will be.
    failed: Option<io::Error>,
}

impl Kept {
    pub(super) fn create(path: &Path, key: Option<&SealKey>) -> io::Result<Self> {
        let file = Some(StateFile::create(path, key)?);
        Ok(Self { path: path.to_path_buf(), file, is_whole: false, failed: None })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.append(bytes)
        {
            self.failed = Some(error);
        }
    }

    /// Has it on the disk.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        match (self.failed.take(), self.file.take()) {
            (Some(error), _) => Err(error),
            (None, Some(file)) => {
                file.commit().map_err(io::Error::other)?;
                self.is_whole = true;
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Where it is, if all of it is there.
    pub(super) fn whole(&self) -> Option<&Path> {
        self.is_whole.then_some(&self.path)
    }

    /// The vGPU is somewhere, so this is of its past.
    pub(super) fn remove(&mut self) {
        if self.file.take().is_none() {
            // Where that fails nobody can be told, and nothing more can be done.
            let _ = StateFile::put_away(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_committed_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::create(&folder.path().join("a.state"), None).unwrap();
        kept.append(b"stream");
        assert_eq!(kept.whole(), None);
        kept.failed = Some(io::Error::other("no room"));
        assert!(kept.commit().is_err());
        assert_eq!(kept.whole(), None);
        let mut kept = Kept::create(&folder.path().join("b.state"), None).unwrap();
        kept.append(b"stream");
        kept.commit().unwrap();
        assert_eq!(kept.whole(), Some(&*folder.path().join("b.state")));
    }
}
