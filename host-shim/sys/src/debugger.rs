//! The debugger's port of a QEMU: the few packets of GDB's remote protocol with which a core is
//! stepped and its memory written.
//!
//! The protocol is in GDB's manual, appendix "GDB Remote Serial Protocol": `$data#checksum`, each
//! packet acknowledged with `+`.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU may take to open its port, and to answer a packet. A step of a core that sleeps
/// is answered when it wakes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest packet that is believed: QEMU's own limit is 4 KiB.
const PACKET_BYTES_MAX: usize = 16 << 10;

/// A core that stands still, and does what it is told.
#[derive(Debug)]
pub struct Debugger {
    line: UnixStream,
}

impl Debugger {
    /// Takes hold of the machine behind this socket, which stands still from then on.
    ///
    /// # Errors
    ///
    /// When nobody listens there in time.
    pub fn attach(socket: &Path) -> io::Result<Self> {
        let begin = Instant::now();
        let line = loop {
            match UnixStream::connect(socket) {
                Ok(line) => break line,
                Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        line.set_read_timeout(Some(PATIENCE))?;
        let mut debugger = Self { line };
        // It says by itself that it stands still, and then answers whom it is debugging.
        debugger.send("qC")?;
        while !debugger.receive("qC")?.starts_with(b"QC") {}
        Ok(debugger)
    }

    /// Executes one instruction.
    ///
    /// # Errors
    ///
    /// When QEMU ends, or does not answer.
    pub fn step(&mut self) -> io::Result<()> {
        let stopped = self.ask("s")?;
        match stopped.first() {
            Some(b'T' | b'S') => Ok(()),
            _ => Err(refused("s", &stopped)),
        }
    }

    /// A register, by its place among those that QEMU gives together, each `bytes` long.
    ///
    /// # Errors
    ///
    /// When there is none, or QEMU does not answer.
    pub fn register(&mut self, place: usize, bytes: usize) -> io::Result<u64> {
        let all = self.ask("g")?;
        let digits = all.chunks(2 * bytes).nth(place).unwrap_or_default();
        // In the order of the core's memory, and all of our cores are little-endian.
        let byte = |pair: &[u8]| u64::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let value =
            digits.chunks(2).rev().try_fold(0, |value, pair| Some(value << 8 | byte(pair)?));
        match value {
            Some(value) if digits.len() == 2 * bytes => Ok(value),
            _ => Err(refused("g", &all)),
        }
    }

    /// Reads memory.
    ///
    /// # Errors
    ///
    /// When there is none, or QEMU does not answer.
    pub fn read(&mut self, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let packet = format!("m{at:x},{bytes:x}");
        let answer = self.ask(&packet)?;
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        match answer.chunks(2).map(byte).collect::<Option<Vec<u8>>>() {
            Some(read) if read.len() == bytes => Ok(read),
            _ => Err(refused(&packet, &answer)),
        }
    }

    /// Writes to memory; code that QEMU has translated is translated anew.
    ///
    /// # Errors
    ///
    /// When there is no memory, or QEMU does not answer.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut packet = format!("M{at:x},{:x}:", bytes.len());
        for byte in bytes {
            let _ = write!(packet, "{byte:02x}"); // a string takes everything
        }
        match self.ask(&packet)?.as_slice() {
            b"OK" => Ok(()),
            answer => Err(refused(&packet, answer)),
        }
    }

    /// Lets go of the machine, which goes on.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn detach(mut self) -> io::Result<()> {
        match self.ask("D")?.as_slice() {
            b"OK" => Ok(()),
            answer => Err(refused("D", answer)),
        }
    }

    fn ask(&mut self, packet: &str) -> io::Result<Vec<u8>> {
        self.send(packet)?;
        self.receive(packet)
    }

    fn send(&mut self, packet: &str) -> io::Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.line.write_all(format!("${packet}#{sum:02x}").as_bytes())
    }

    fn receive(&mut self, packet: &str) -> io::Result<Vec<u8>> {
        while self.byte()? != b'$' {}
        let mut answer = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                _ if answer.len() == PACKET_BYTES_MAX => return Err(refused(packet, b"no end")),
                byte => answer.push(byte),
            }
        }
        // The line is a socket, so the checksum says nothing that is not known.
        let _ = (self.byte()?, self.byte()?);
        self.line.write_all(b"+")?;
        Ok(answer)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.line.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

fn refused(packet: &str, answer: &[u8]) -> io::Error {
    let answer = String::from_utf8_lossy(answer);
    io::Error::new(ErrorKind::InvalidData, format!("QEMU answers `{packet}` with `{answer}`"))
}
