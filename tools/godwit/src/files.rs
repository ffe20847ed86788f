//! Files, read with a bound.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::units;

/// The bytes of a file of at most `most` bytes; the error goes on from the file's name.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    // Asked first, since opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err("is no plain file".to_owned());
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(format!("is longer than {}", units::exact_size(most)));
    }
    Ok(bytes)
}
