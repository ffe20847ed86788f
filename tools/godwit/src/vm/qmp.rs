//! QEMU's machine protocol: a line of JSON asks, lines of JSON answer, and events come in between.
//! See `docs/interop/qmp-spec.rst` of QEMU.
//!
//! QEMU takes a command in byte by byte, for some 10 µs each. So where time counts events are
//! waited for, and nothing is asked.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a line. An answer of ours has some thousands.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Events that are kept for who asks for them.
const EVENTS_MAX: usize = 1024;

/// Why QEMU does not do something.
#[derive(Debug, thiserror::Error)]
pub(super) enum QmpError {
    #[error("{}: QEMU cannot be reached: {error}", path.display())]
    Socket { path: PathBuf, error: io::Error },
    /// Before anything of the command was sent: nothing of it is done.
    #[error("{}: QEMU cannot be reached: {error}", path.display())]
    Unsent { path: PathBuf, error: io::Error },
    #[error("{}: QEMU says what is no QMP: {line}", path.display())]
    Line { path: PathBuf, line: String },
    #[error("{}: QEMU refuses `{command}`: {why}", path.display())]
    Refused { path: PathBuf, command: String, why: String },
}

impl QmpError {
    /// Whether QEMU has surely not begun with the command.
    pub(super) fn is_undone(&self) -> bool {
        matches!(self, Self::Unsent { .. } | Self::Refused { .. })
    }

    /// Whether nobody listens at the socket: its QEMU has ended.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Socket { error, .. } if error.kind() == ErrorKind::ConnectionRefused)
    }
}

/// An event, and when it came here.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) at: Instant,
    /// What a migration has come to, if it tells of that.
    pub(super) status: String,
}

impl Event {
    /// When the guest was stopped, if it tells of that.
    pub(super) fn stop(&self) -> Option<Instant> {
        (self.name == "STOP").then_some(self.at)
    }

    /// What a migration has come to, if it is one of these.
    pub(super) fn migration(&self, wanted: &[&str]) -> Option<()> {
        (self.name == "MIGRATION" && wanted.contains(&self.status.as_str())).then_some(())
    }
}

/// A connection to a QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    path: PathBuf,
    reader: BufReader<UnixStream>,
    /// Part of a line that has come.
    line: Vec<u8>,
    events: VecDeque<Event>,
    /// The number of the last command.
    last_id: u64,
}

impl Qmp {
    /// Connects, and leaves the mode in which only capabilities are agreed.
    pub(super) fn connect(path: &Path) -> Result<Self, QmpError> {
        let failed = |error| QmpError::Socket { path: path.to_owned(), error };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let (reader, line) = (BufReader::new(stream), Vec::new());
        let (path, events) = (path.to_owned(), VecDeque::new());
        let mut qmp = Self { path, reader, line, events, last_id: 0 };
        let greeting = qmp.read(Instant::now() + PATIENCE)?;
        if greeting.as_ref().is_none_or(|value| value.get("QMP").is_none()) {
            return Err(QmpError::Line { path: qmp.path, line: format!("{greeting:?}") });
        }
        qmp.ask("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    fn failed(&self, error: io::Error) -> QmpError {
        QmpError::Socket { path: self.path.clone(), error }
    }

    /// The next line, if it comes by then.
    fn read(&mut self, end: Instant) -> Result<Option<Value>, QmpError> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Some(left.max(Duration::from_millis(1)));
            let set = self.reader.get_ref().set_read_timeout(timeout);
            set.map_err(|error| self.failed(error))?;
            match self.reader.fill_buf() {
                Ok([]) => return Err(self.failed(ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let count = end.map_or(bytes.len(), |end| end + 1);
                    self.line.extend_from_slice(&bytes[..count]);
                    self.reader.consume(count);
                    if self.line.len() as u64 > LINE_BYTES_MAX {
                        let why = format!("a line has more than {LINE_BYTES_MAX} bytes");
                        return Err(self.failed(io::Error::new(ErrorKind::InvalidData, why)));
                    }
                    if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        return self.parse(&line).map(Some);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Result<Value, QmpError> {
        serde_json::from_slice(line).map_err(|_| QmpError::Line {
            path: self.path.clone(),
            line: String::from_utf8_lossy(line).chars().take(200).collect(),
        })
    }

    fn note(&mut self, value: &Value) {
        let Some(name) = value.get("event").and_then(Value::as_str) else { return };
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let status = value.get("data").and_then(|data| data.get("status")).and_then(Value::as_str);
        let (name, status) = (name.to_owned(), status.unwrap_or_default().to_owned());
        self.events.push_back(Event { name, at: Instant::now(), status });
    }

    /// Has QEMU do something; returns what it says.
    pub(super) fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.last_id += 1;
        let id = self.last_id;
        let mut line = match arguments.as_object() {
            Some(none) if none.is_empty() => json!({ "execute": command, "id": id }),
            _ => json!({ "execute": command, "arguments": arguments, "id": id }),
        }
        .to_string();
        line.push('\n');
        let stream = self.reader.get_mut();
        let sent = match stream.write(line.as_bytes()) {
            Ok(sent) => sent,
            Err(error) => return Err(QmpError::Unsent { path: self.path.clone(), error }),
        };
        let written = stream.write_all(&line.as_bytes()[sent..]);
        written.map_err(|error| self.failed(error))?;
        let end = Instant::now() + PATIENCE;
        loop {
            let Some(value) = self.read(end)? else {
                let why = format!("`{command}` is not answered");
                return Err(self.failed(io::Error::new(ErrorKind::TimedOut, why)));
            };
            self.note(&value);
            // What nobody waited for any more.
            if value.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            if let Some(said) = value.get("return") {
                return Ok(said.clone());
            }
            if let Some(error) = value.get("error") {
                let why = error.get("desc").and_then(Value::as_str).unwrap_or("it does not say");
                let (path, command) = (self.path.clone(), command.to_owned());
                return Err(QmpError::Refused { path, command, why: why.to_owned() });
            }
        }
    }

    /// Waits for an event that `wanted` takes, among those that have come and those to come.
    pub(super) fn event<T>(
        &mut self,
        most: Duration,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<Option<T>, QmpError> {
        let end = Instant::now() + most;
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(found) = wanted(&event) {
                    return Ok(Some(found));
                }
            }
            match self.read(end)? {
                Some(value) => self.note(&value),
                None => return Ok(None),
            }
        }
    }

    /// What the machine does: `running`, `paused`, `inmigrate`, `postmigrate` and others.
    pub(super) fn status(&mut self) -> Result<String, QmpError> {
        let said = self.ask("query-status", json!({}))?;
        Ok(said.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// How a migration goes; nothing where there is none.
    pub(super) fn migration(&mut self) -> Result<Migration, QmpError> {
        let said = self.ask("query-migrate", json!({}))?;
        let ram = said.get("ram");
        let count = |key| ram.and_then(|ram| ram.get(key)).and_then(Value::as_u64).unwrap_or(0);
        let text = |key| said.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Migration {
            status: text("status"),
            why: text("error-desc"),
            transferred: count("transferred"),
            remaining: count("remaining"),
            passes: count("dirty-sync-count"),
            downtime_ms: said.get("downtime").and_then(Value::as_u64),
        })
    }

    /// Reads a port of 32 bits.
    pub(super) fn port(&mut self, port: u16) -> Result<u32, QmpError> {
        // `portl[0x0cf8] = 0x80000004`
        let said = self.monitor(&format!("i /w {port:#x}"))?;
        let value = said.trim().rsplit_once("= 0x").map(|(_, digits)| digits);
        match value.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(value) => Ok(value),
            None => Err(QmpError::Line { path: self.path.clone(), line: said }),
        }
    }

    /// Writes a port, of the size that `x` has in GDB: `b`, `h` or `w`.
    pub(super) fn set_port(&mut self, port: u16, value: u32, size: char) -> Result<(), QmpError> {
        let said = self.monitor(&format!("o /{size} {port:#x} {value:#x}"))?;
        // It says something only where it does not do it.
        if said.trim().is_empty() {
            return Ok(());
        }
        Err(QmpError::Line { path: self.path.clone(), line: said })
    }

    /// What the monitor for people says.
    pub(super) fn monitor(&mut self, line: &str) -> Result<String, QmpError> {
        let said = self.ask("human-monitor-command", json!({ "command-line": line }))?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }
}

/// See [`Qmp::migration`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Migration {
    pub(super) status: String,
    pub(super) why: String,
    /// Bytes of memory that were sent.
    pub(super) transferred: u64,
    /// Bytes of memory that are left.
    pub(super) remaining: u64,
    /// Passes over the memory so far.
    pub(super) passes: u64,
    pub(super) downtime_ms: Option<u64>,
}

impl Migration {
    /// Whether nothing more comes of it.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "cancelled" | "cancelling" | "none" | "")
    }
}
