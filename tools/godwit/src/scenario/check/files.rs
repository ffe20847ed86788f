//! Where state files may go.

use super::{Checker, raw};
use crate::scenario::model::{KeyFile, StateFile};
use crate::scenario::value::Count;
use godwit_shim::SealKey;
use godwit_shim::stream::StreamVersion;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;

impl Checker<'_> {
    /// Notes a file that the scenario reads, if it is there.
    pub(super) fn note_input(&mut self, path: &Path) {
        self.inputs.extend(fs::canonicalize(path));
    }

    /// Counts a file that is to be read; `false`: that is more than a scenario may name.
    pub(super) fn take_file_bytes(&mut self, bytes: u64) -> bool {
        let left = self.file_bytes_left.checked_sub(bytes);
        self.file_bytes_left = left.unwrap_or(self.file_bytes_left);
        left.is_some()
    }

    /// A state file by its real path, which is one however it is written; `None`, without a
    /// mistake, where no file can be.
    pub(super) fn state_file(&self, written: &str) -> Option<StateFile> {
        let path = self.path(written);
        let name = path.file_name()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
        // A link is followed by nobody: as the file itself it is refused.
        let path = folder.is_dir().then(|| folder.join(name))?;
        Some(StateFile { shown: written.to_owned(), path })
    }

    /// A state file that a suspend may write.
    pub(super) fn file_to_write(&mut self, file: &Spanned<String>) -> Option<StateFile> {
        let shown = file.get_ref();
        let Some(found) = self.state_file(shown).filter(|found| !found.path.is_dir()) else {
            let wrong = format!("`{shown}` cannot be written");
            return self.wrong(file.span(), wrong, "a file in a folder that exists");
        };
        if self.reads(&found.path) {
            let wrong = format!("`{shown}` is read by this scenario");
            return self.wrong(file.span(), wrong, "a file of its own");
        }
        if let Err(error) = godwit_shim::StateFile::check_place(&found.path) {
            // Where files lie is the machine's affair, not the scenario's.
            let why = error.to_string().replace(&found.path.display().to_string(), shown);
            let allowed = "a new file, or a state file, which is replaced";
            return self.wrong(file.span(), format!("`{shown}` {why}"), allowed);
        }
        Some(found)
    }

    /// A key that state files are sealed with, if one is named; `None`: the file has none.
    pub(super) fn key_file(&mut self, file: &raw::Field<String>) -> Option<Option<KeyFile>> {
        let Some(file) = file else { return Some(None) };
        let shown = file.get_ref();
        let path = self.path(shown);
        self.note_input(&path);
        match SealKey::read(&path) {
            Ok(key) => Some(Some(KeyFile { shown: shown.clone(), key: Arc::new(key) })),
            Err(error) => {
                let wrong = format!("the key file `{shown}`: {error}");
                let allowed = "a file of 64 hexadecimal digits, which others may not access";
                self.wrong(file.span(), wrong, allowed)
            }
        }
    }

    /// The version of a stream to write.
    pub(super) fn stream_version(&mut self, field: &raw::Field<Count>) -> Option<StreamVersion> {
        let Some(value) = field else { return Some(StreamVersion::NEWEST) };
        let [low, high] = [StreamVersion::OLDEST, StreamVersion::NEWEST].map(StreamVersion::raw);
        let number = self.count(value, "version", low.into()..=high.into())?;
        StreamVersion::new(u8::try_from(number).ok()?)
    }

    fn reads(&self, path: &PathBuf) -> bool {
        let real = fs::canonicalize(path);
        self.inputs.iter().any(|input| input == path || real.as_ref().is_ok_and(|it| it == input))
    }
}
