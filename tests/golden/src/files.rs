//! Golden files on the disk.

use crate::samples::Golden;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a line.
const LINE_BYTES: usize = 32;

/// The folder that they are in.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bytes")
}

fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.hex"))
}

/// What there is of a golden file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// What today's encoders make.
    Same,
    /// Something else.
    Other,
}

/// Compares a golden file with what today's encoders make.
///
/// # Errors
///
/// When it cannot be read.
pub fn compare(golden: &Golden) -> io::Result<Found> {
    match read(golden.name) {
        Ok(bytes) if bytes == golden.bytes => Ok(Found::Same),
        Ok(_) => Ok(Found::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        Err(error) => Err(error),
    }
}

/// Reads a golden file.
///
/// # Errors
///
/// When it cannot be read, or is no hexadecimal.
pub fn read(name: &str) -> io::Result<Vec<u8>> {
    let text = fs::read_to_string(path(name))?;
    from_hex(&text).ok_or_else(|| io::Error::other(format!("{name}.hex is no hexadecimal")))
}

/// Writes a golden file.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(golden: &Golden) -> io::Result<()> {
    fs::create_dir_all(folder())?;
    fs::write(path(golden.name), to_hex(&golden.bytes))
}

/// Lines of 64 digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(LINE_BYTES).map(|bytes| line(bytes) + "\n").collect()
}

/// The bytes of such lines; `None`: they are none.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|digit| *digit != '\n')
        .map(|digit| Some(digit.to_digit(16)? as u8))
        .collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|it| it[0] << 4 | it[1]).collect())
}
