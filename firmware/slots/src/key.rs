//! Keys, and the files of text that they are in.

use core::fmt;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// The text of the key that signs where no other is named. Everybody has it, so what it signs
/// proves nothing.
pub const DEVELOPMENT_KEY: &str = include_str!("../keys/development.key");

const KEY_BYTES: usize = 32;

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It is not 64 hexadecimal digits on a line.
    Text,
    /// No point of the curve is written like this.
    NoPoint,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => {
                "a key is one line of 64 hexadecimal digits; lines that begin with `#` are allowed"
            }
            Self::NoPoint => "it is no public key of Ed25519",
        })
    }
}

impl core::error::Error for KeyError {}

/// The key that images are checked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key of these bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoPoint`].
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        VerifyingKey::from_bytes(bytes).map(Self).map_err(|_| KeyError::NoPoint)
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::new(&from_text(text)?)
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; KEY_BYTES] {
        self.0.to_bytes()
    }

    /// Whether it is the development key's.
    pub fn is_development(&self) -> bool {
        SecretKey::from_text(DEVELOPMENT_KEY).is_ok_and(|key| key.public() == *self)
    }

    /// Whether it has signed this. Weak keys and malleable signatures count as wrong.
    pub(crate) fn has_signed(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The key that images are signed with.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        Ok(Self(SigningKey::from_bytes(&from_text(text)?)))
    }

    /// The key that its images are checked with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

/// It does not say what it is.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

fn from_text(text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
    let mut lines = text.lines().map(str::trim);
    let mut lines = lines.by_ref().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or(KeyError::Text)?;
    if lines.next().is_some() || line.len() != 64 {
        return Err(KeyError::Text);
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; KEY_BYTES];
    for (to, pair) in bytes.iter_mut().zip(line.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return Err(KeyError::Text) };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return Err(KeyError::Text);
        };
        *to = high.wrapping_shl(4) | low;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;

    #[test]
    fn a_text_that_is_no_key_is_refused() {
        let digits = "a".repeat(64);
        for text in ["", "# only this\n", "abcd", &"g".repeat(64), &format!("{digits}\n{digits}")] {
            assert_eq!(PublicKey::from_text(text).unwrap_err(), KeyError::Text, "{text}");
        }
    }
}
