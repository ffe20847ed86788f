//! Files, read with a bound.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::units;
use godwit_regs::flash::PLACES;

/// The length of a plain file of at most `most` bytes, of which nothing is read; the error goes
/// on from the file's name.
pub(crate) fn size(path: &Path, most: u64) -> Result<u64, String> {
    let metadata = fs::metadata(path).map_err(failed)?;
    // Asked first, since opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err("is no plain file".to_owned());
    }
    if metadata.len() > most {
        return Err(format!("is longer than {}", units::exact_size(most)));
    }
    Ok(metadata.len())
}

/// The bytes of a file of at most `most` bytes; the error goes on from the file's name.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let about = size(path, most)?;
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::with_capacity(about as usize);
    // It may have grown since.
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(format!("is longer than {}", units::exact_size(most)));
    }
    Ok(bytes)
}

/// Why a file is no flash file; it goes on from the file's name.
pub(crate) fn no_flash_file() -> String {
    let banks = PLACES.iter().filter_map(|place| place.bank.map(|bank| bank.bytes));
    format!("is no flash file, which has {} bytes", banks.max().unwrap_or_default())
}

fn failed(error: io::Error) -> String {
    format!("cannot be read: {error}")
}
