//! QEMU's test protocol, by which a machine that stands still is written: ports and memory. A line
//! asks, a line answers. See `qtest.c` of QEMU. It works beside every accelerator.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Error, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
#[error("{}: the destination's test socket: {error}", path.display())]
pub(super) struct QtestError {
    path: PathBuf,
    error: io::Error,
}

/// Something that is done to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// To a port of 32 bits.
    Port32(u16, u32),
    /// To a port of 16 bits.
    Port16(u16, u16),
    /// To a port of 8 bits.
    Port8(u16, u8),
    /// To memory.
    Memory32(u64, u32),
}

/// A connection to it.
#[derive(Debug)]
pub(super) struct Qtest {
    path: PathBuf,
    reader: BufReader<UnixStream>,
}

impl Qtest {
    pub(super) fn connect(path: &Path) -> Result<Self, QtestError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error| QtestError { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(stream) })
    }

    fn failed(&self, error: io::Error) -> QtestError {
        QtestError { path: self.path.clone(), error }
    }

    fn answer(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim();
            // Interrupts may be told of in between.
            if line.starts_with("IRQ") {
                continue;
            }
            return match line.strip_prefix("OK") {
                Some(rest) => Ok(rest.trim().to_owned()),
                None => Err(Error::new(ErrorKind::InvalidData, line.to_owned())),
            };
        }
    }

    /// Reads a port.
    pub(super) fn port(&mut self, port: u16) -> Result<u32, QtestError> {
        let read = |this: &mut Self| {
            this.reader.get_mut().write_all(format!("inl {port:#x}\n").as_bytes())?;
            let said = this.answer()?;
            let digits = said.trim_start_matches("0x");
            u32::from_str_radix(digits, 16).map_err(|_| Error::new(ErrorKind::InvalidData, said))
        };
        read(self).map_err(|error| self.failed(error))
    }

    /// Does writes in order: all are sent before any is awaited.
    pub(super) fn write(&mut self, writes: &[Write]) -> Result<(), QtestError> {
        let mut lines = String::new();
        for write in writes {
            let _ = match write {
                Write::Port32(port, value) => writeln!(lines, "outl {port:#x} {value:#x}"),
                Write::Port16(port, value) => writeln!(lines, "outw {port:#x} {value:#x}"),
                Write::Port8(port, value) => writeln!(lines, "outb {port:#x} {value:#x}"),
                Write::Memory32(at, value) => writeln!(lines, "writel {at:#x} {value:#x}"),
            };
        }
        let done = |this: &mut Self| {
            this.reader.get_mut().write_all(lines.as_bytes())?;
            writes.iter().try_for_each(|_| this.answer().map(drop))
        };
        done(self).map_err(|error| self.failed(error))
    }
}
