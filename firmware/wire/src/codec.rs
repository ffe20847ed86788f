//! Values to bytes and back.

use crc::{CRC_32_ISCSI, Crc, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// CRC-32C (Castagnoli), as the copy engine computes it. The small table keeps the image
/// small; bulk bytes are not checked here.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// CRC-32C of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// A CRC-32C that grows.
pub(crate) type Digest = crc::Digest<'static, u32, Table<1>>;

/// The CRC-32C of nothing yet.
pub(crate) fn digest() -> Digest {
    CRC.digest()
}

/// Why bytes are no value, or a value no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The buffer is too small for the value.
    NoRoom,
    /// The bytes end too early or hold what the type cannot.
    Malformed,
    /// Bytes are left over.
    TooLong,
    /// A checksum does not agree.
    BadCrc,
}

/// Encodes a value; returns the bytes it took.
///
/// # Errors
///
/// [`WireError::NoRoom`].
pub fn encode<'a, T: Serialize>(value: &T, into: &'a mut [u8]) -> Result<&'a [u8], WireError> {
    postcard::to_slice(value, into).map(|bytes| &*bytes).map_err(|_| WireError::NoRoom)
}

/// Decodes a value that takes all of the bytes.
///
/// # Errors
///
/// [`WireError::Malformed`] or [`WireError::TooLong`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let (value, rest) = decode_first(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::TooLong) }
}

/// Decodes a value that the bytes begin with; returns the bytes after it.
pub(crate) fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), WireError> {
    postcard::take_from_bytes(bytes).map_err(|_| WireError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_castagnolis() {
        // The check value of the CRC catalogue for CRC-32/ISCSI.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn bytes_left_over_are_refused() {
        assert_eq!(decode::<u8>(&[7]), Ok(7));
        assert_eq!(decode::<u8>(&[7, 0]), Err(WireError::TooLong));
        assert_eq!(decode::<u8>(&[]), Err(WireError::Malformed));
    }
}
