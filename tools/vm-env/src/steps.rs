//! Programs that are run one after the other, and what they say when one fails.

use crate::EnvError;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Lines of what a program wrote that an error repeats.
const SAID_LINES_MAX: usize = 20;
/// Bytes of it that are read to find them.
const SAID_BYTES_MAX: u64 = 16 << 10;

/// Runs programs, with what they write in a file.
pub(crate) struct Steps<'a> {
    log: PathBuf,
    say: &'a mut dyn FnMut(&str),
}

impl<'a> Steps<'a> {
    /// With a log that begins anew with each program.
    pub(crate) fn new(log: PathBuf, say: &'a mut dyn FnMut(&str)) -> Self {
        Self { log, say }
    }

    /// Runs a program to its end, which must be a success. `what` it does is said, and begins the
    /// error where it fails.
    pub(crate) fn run(&mut self, what: &str, command: &mut Command) -> Result<(), EnvError> {
        (self.say)(what);
        let log = File::create(&self.log).map_err(EnvError::io("cannot make", &self.log))?;
        let same = log.try_clone().map_err(EnvError::io("cannot share", &self.log))?;
        command.stdin(Stdio::null()).stdout(log).stderr(same);
        let how = match command.status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("does not start: {error}"),
        };
        Err(EnvError::Step {
            what: what.to_owned(),
            command: line_of(command),
            how,
            said: last_lines(&self.log),
        })
    }
}

/// A command as it would be typed.
fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The end of a text; what cannot be read is empty.
fn last_lines(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(SAID_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SAID_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_command_and_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        let mut say = |what: &str| said.push(what.to_owned());
        let mut steps = Steps::new(folder.path().join("log"), &mut say);
        steps.run("Nothing", &mut Command::new("true")).unwrap();
        let script = "seq 100; echo over >&2; exit 3";
        let error = steps.run("Counting", Command::new("sh").args(["-c", script])).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("Counting failed: `sh -c seq 100"), "{text}");
        assert!(text.contains("exit status: 3") && text.ends_with("99\n100\nover"), "{text}");
        assert!(!text.contains("\n80\n"), "{text}");
        let error = steps.run("Calling", &mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("does not start"), "{error}");
        assert_eq!(said, ["Nothing", "Counting", "Calling"]);
    }
}
