//! Keys that streams are sealed with, and the files that they are in.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Digits of a key, and a line's end.
const TEXT_BYTES_MAX: usize = 2 * KEY_BYTES + 2;
/// Rights on a key file that nobody but its owner and group may have.
const OTHERS: u32 = 0o007;

/// A key of 256 bits that streams are sealed with. It is overwritten when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; KEY_BYTES]);

/// Says nothing of the key.
impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// Why a file holds no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file itself.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Everybody on the machine can have it.
    #[error("others may access it (its mode is {mode:03o}), and a key is secret: `chmod o= FILE`")]
    Open {
        /// Its rights.
        mode: u32,
    },
    /// Something else than digits, or more or fewer.
    #[error("is no key: 64 hexadecimal digits are one, such as `openssl rand -hex 32` writes")]
    NotKey,
}

impl SealKey {
    /// The key of these bytes.
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Reads a key file: 64 hexadecimal digits, and a line's end or none.
    ///
    /// One that others than its owner and group may access is refused, since whoever can read a
    /// state file there could open it with it. A group is how a service is handed its secrets.
    ///
    /// # Errors
    ///
    /// When it cannot be read, others may access it, or it holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(KeyError::Open { mode });
        }
        // One byte more than a key may have, to see that there is one.
        let mut text = Zeroizing::new(Vec::with_capacity(TEXT_BYTES_MAX + 1));
        file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        Self::parse(line.strip_suffix(b"\r").unwrap_or(line)).ok_or(KeyError::NotKey)
    }

    fn parse(digits: &[u8]) -> Option<Self> {
        if digits.len() != 2 * KEY_BYTES {
            return None;
        }
        let mut key = Self([0; KEY_BYTES]);
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks(2)) {
            for digit in pair {
                *byte = *byte << 4 | char::from(*digit).to_digit(16)? as u8;
            }
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    const TEXT: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    #[test]
    fn a_key_file_has_64_digits_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            SealKey::read(&path).map(|key| *key.bytes()).map_err(|error| error.to_string())
        };
        let key: [u8; KEY_BYTES] = std::array::from_fn(|at| at as u8);
        for (end, mode) in [("", 0o600), ("\n", 0o640), ("\r\n", 0o400)] {
            assert_eq!(read(&format!("{TEXT}{end}"), mode), Ok(key));
        }
        let (longer, letter) = (format!("{TEXT}0"), TEXT.replace('A', "x"));
        for text in ["", &TEXT[1..], &longer, &letter, &format!("{TEXT}\n\n\n\n")] {
            let why = read(text, 0o600).unwrap_err();
            assert!(why.starts_with("is no key: 64 hexadecimal digits are one"), "{why}");
        }
        for mode in [0o604, 0o602, 0o644] {
            let why = read(TEXT, mode).unwrap_err();
            assert!(
                why.starts_with(&format!("others may access it (its mode is {mode:03o})")),
                "{why}"
            );
        }
        assert!(SealKey::read(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", SealKey::new([0x5a; KEY_BYTES])), "SealKey(..)");
    }
}
