//! Lines out of frames.

use crate::bounds;
use crate::elf::with_low_texts;
use crate::line::{Kind, Level, LogLine};
use crate::ring::{LogMemory, Piece, RingReader};
use defmt_decoder::{Frame, Locations, Table};
use std::fmt;

/// What lines of the reader itself have for a module.
const HERE: &str = "log";
/// Longest frame that is decoded.
const FRAME_BYTES_MAX: usize = 256;

/// Why an image's log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file has no texts.
    #[error("the image has no log: no section `.defmt`")]
    None,
    /// They cannot be read.
    #[error("the image's log cannot be read: {0}")]
    Unreadable(String),
    /// What a text asks for has no bound.
    #[error("the image's log is not read: of its text `{text}` no bound is known: {why}")]
    Unbounded {
        /// The text.
        text: String,
        /// What it asks for.
        why: &'static str,
    },
}

impl LogError {
    pub(crate) fn unreadable(error: &impl fmt::Display) -> Self {
        // With all causes.
        Self::Unreadable(format!("{error:#}"))
    }
}

/// Reads the log of one firmware: its texts, and the place in its ring. A clone of one that has
/// read nothing is a reader for another firmware of the same image.
#[derive(Clone)]
pub struct LogReader {
    table: Table,
    locations: Locations,
    ring: RingReader,
    last_ns: u64,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl LogReader {
    /// A reader for an image, an ELF file, which begins with the oldest frame in the ring.
    ///
    /// # Errors
    ///
    /// When the file has no log that can be read.
    pub fn new(elf: &[u8]) -> Result<Self, LogError> {
        let (table, locations) = texts(elf)?;
        Ok(Self { table, locations, ring: RingReader::new(), last_ns: 0 })
    }

    /// The same, and it begins where the ring had so many bytes: see [`crate::written`].
    #[must_use]
    pub fn since(self, count: u32) -> Self {
        Self { ring: RingReader::since(count), ..self }
    }

    /// The device's time of the last line that was read.
    pub const fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// The lines since the last time. The memory is that of the window, alive or not.
    pub fn poll(&mut self, memory: &impl LogMemory) -> Vec<LogLine> {
        self.ring.poll(memory).into_iter().map(|piece| self.line(piece)).collect()
    }

    fn line(&mut self, piece: Piece) -> LogLine {
        let (kind, text) = match piece {
            Piece::Frame(bytes) => match self.decode(&bytes) {
                Some(line) => {
                    self.last_ns = line.timestamp_ns;
                    return line;
                }
                None => {
                    let text = format!("a frame of {} bytes cannot be decoded", bytes.len());
                    (Kind::Undecodable, text)
                }
            },
            Piece::Lost(byte_count) => {
                let text = format!("{byte_count} bytes of the log were overrun");
                (Kind::Overrun { byte_count }, text)
            }
        };
        let (timestamp_ns, level) = (self.last_ns, Level::Warn);
        LogLine { timestamp_ns, level, module: HERE.to_owned(), text, kind }
    }

    fn decode(&self, bytes: &[u8]) -> Option<LogLine> {
        // The decoder goes as deep as a frame says, and the firmware's have some tens of bytes.
        if decoded_bytes(bytes) > FRAME_BYTES_MAX {
            return None;
        }
        // One for each frame: none that makes no sense can spoil the next.
        let mut decoder = self.table.new_stream_decoder();
        decoder.received(bytes);
        decoder.received(&[0]);
        let frame = decoder.decode().ok()?;
        let time = frame.display_timestamp().map(|time| time.to_string());
        Some(LogLine {
            timestamp_ns: time.and_then(|time| time.parse().ok())?,
            level: level(&frame),
            module: self.module(&frame),
            text: frame.display_message().to_string(),
            kind: Kind::Said,
        })
    }

    fn module(&self, frame: &Frame<'_>) -> String {
        let place = self.locations.get(&frame.index());
        place.map(|place| module_of(&place.module).to_owned()).unwrap_or_default()
    }
}

/// How long a frame is when it is decoded, at most: from its end on, a byte says whether bytes
/// follow or zeros, and how many.
fn decoded_bytes(frame: &[u8]) -> usize {
    let (mut rest, mut count) = (frame.len(), 0usize);
    while let Some(at) = rest.checked_sub(1) {
        let (decoded, taken) = match frame[at] {
            zeros @ ..=0x7f => (7, 7 - zeros.count_ones() as usize),
            0xff => (134, 134),
            run => (usize::from(run & 0x7f) + 8, usize::from(run & 0x7f) + 7),
        };
        count += decoded;
        rest = at.saturating_sub(taken);
    }
    count
}

fn texts(elf: &[u8]) -> Result<(Table, Locations), LogError> {
    let elf = with_low_texts(elf);
    let table = Table::parse(&elf).map_err(|error| LogError::unreadable(&error))?;
    let table = table.ok_or(LogError::None)?;
    bounds::check(&elf)?;
    // Without them a line says its level and text still.
    let locations = table.get_locations(&elf).unwrap_or_default();
    Ok((table, locations))
}

/// The module of a place in a function: what comes before an `impl`, or before the function's name.
fn module_of(path: &str) -> &str {
    if let Some((module, _)) = path.split_once("::{impl") {
        return module;
    }
    let function = path.split("::{").next().unwrap_or(path);
    function.rsplit_once("::").map_or(function, |(module, _)| module)
}

/// The decoder's type for it cannot be named.
fn level(frame: &Frame<'_>) -> Level {
    match frame.level().map(|level| level.as_str()) {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> LogReader {
        LogReader::new(godwit_images::image("qemu-virt-rv64").unwrap()).unwrap()
    }

    #[test]
    fn every_text_of_the_image_has_its_module() {
        let reader = reader();
        let of = |index| reader.locations.get(&(index as u64)).map(|place| place.module.as_str());
        let modules: Vec<&str> =
            reader.table.indices().map(|index| module_of(of(index).unwrap())).collect();
        for module in ["vgpu", "save", "channel", "runlist"] {
            let module = format!("godwit_engine::{module}");
            assert!(modules.contains(&module.as_str()), "{module} in {modules:?}");
        }
    }

    #[test]
    fn a_module_is_what_functions_are_in() {
        for path in ["a::b::{impl#3}::f", "a::b::f", "a::b::f::{closure#0}"] {
            assert_eq!(module_of(path), "a::b", "{path}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_told_and_the_next_frame_is_read() {
        let mut reader = reader();
        for bytes in [&[1u8, 2, 3][..], &[0xff; 40], &[0x7f, 0xfe, 1]] {
            let line = reader.line(Piece::Frame(bytes.to_vec()));
            assert_eq!((line.kind, line.level), (Kind::Undecodable, Level::Warn));
        }
        let line = reader.line(Piece::Lost(12));
        assert_eq!(line.to_string(), "  0.000000000 WARN  log: 12 bytes of the log were overrun");
    }

    /// Goal: whatever lies in the ring, a line is told, and no longer than the texts allow.
    /// Method: frames that begin like ours and go on at random, from one seed.
    #[test]
    fn no_frame_makes_a_line_without_bound() {
        assert_eq!(decoded_bytes(&[0x7f; 30]), 210);
        let mut reader = reader();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let indices: Vec<usize> = reader.table.indices().collect();
        let (mut said, mut longest) = (0, 0);
        for round in 0..20_000 {
            let index = indices[round % indices.len()] as u16;
            let length = next() as usize % (FRAME_BYTES_MAX + 8);
            // Small numbers are variants and texts; large ones are lengths.
            let mask = [0x01, 0x0f, 0xff][round / indices.len() % 3];
            let body = (0..length).map(|_| next() as u8 & mask);
            let frame = index.to_le_bytes().into_iter().chain([0; 8]).chain(body);
            // As the image encodes it: no byte of a frame is zero.
            let (frame, length) = (frame.collect::<Vec<u8>>(), length + 10);
            let encoded = rzcobs(&frame);
            assert!((length..length + 8).contains(&decoded_bytes(&encoded)), "{frame:?}");
            let line = reader.line(Piece::Frame(encoded));
            said += u32::from(line.kind == Kind::Said);
            longest = longest.max(line.text.len());
        }
        assert!(said > 200, "{said} of these could be decoded");
        let room = FRAME_BYTES_MAX / 2 * bounds::TEXT_BYTES_MAX;
        assert!(longest < room, "{longest} bytes");
    }

    /// The encoding of frames on the wire: <https://github.com/Dirbaio/rzcobs>.
    fn rzcobs(bytes: &[u8]) -> Vec<u8> {
        let (mut encoded, mut run, mut zeros) = (Vec::new(), 0u8, 0u8);
        for byte in bytes {
            if run < 7 {
                if *byte == 0 {
                    zeros |= 1 << run;
                } else {
                    encoded.push(*byte);
                }
                run += 1;
                if run == 7 && zeros != 0 {
                    encoded.push(zeros);
                    (run, zeros) = (0, 0);
                }
            } else if *byte == 0 {
                encoded.push((run - 7) | 0x80);
                (run, zeros) = (0, 0);
            } else {
                encoded.push(*byte);
                run += 1;
                if run == 134 {
                    encoded.push(0xff);
                    (run, zeros) = (0, 0);
                }
            }
        }
        if run == 0 {
        } else if run < 7 {
            encoded.push((zeros | (0xff << run)) & 0x7f);
        } else {
            encoded.push((run - 7) | 0x80);
        }
        encoded
    }

    #[test]
    fn an_image_whose_texts_have_lists_is_refused() {
        let mut elf = godwit_images::image("qemu-virt-rv64").unwrap().to_vec();
        let (text, list) = (b"started, generation {}", b"started, genera {=[?]}");
        for at in 0..elf.len() - text.len() {
            if elf[at..].starts_with(text) {
                elf[at..at + text.len()].copy_from_slice(list);
            }
        }
        let error = LogReader::new(&elf).unwrap_err().to_string();
        assert!(error.contains("`started, genera {=[?]}`"), "{error}");
    }

    #[test]
    fn a_file_without_a_log_is_refused() {
        assert!(matches!(LogReader::new(b"no ELF file"), Err(LogError::Unreadable(_))));
        let kernel = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(LogReader::new(&kernel), Err(LogError::None)));
    }
}
