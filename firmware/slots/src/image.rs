//! An image file as a whole: its making, and all that must be right before it is used.

use crate::bytes::{field, put};
use crate::header::SIGNED_BYTES;
use crate::{HEADER_BYTES, Header, PublicKey, Refusal, SecretKey};
use godwit_regs::flash::Place;
use sha2::{Digest as _, Sha256};

/// What an image is held to.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who must have signed it.
    pub key: &'a PublicKey,
    /// The board that it must be for, and where that has room.
    pub place: &'a Place,
    /// The lowest security version.
    pub guard: u32,
}

/// An image that was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// What its header says.
    pub header: Header,
    /// What is loaded.
    pub payload: &'a [u8],
}

/// The header of a payload, signed. Length and hash are the payload's, whatever `header` says.
pub fn seal(header: Header, payload: &[u8], key: &SecretKey) -> [u8; HEADER_BYTES] {
    let length = payload.len().try_into().unwrap_or(u32::MAX);
    let sha256 = Sha256::digest(payload).into();
    let mut bytes = Header { length, sha256, ..header }.encode();
    let signature = key.sign(bytes.get(..SIGNED_BYTES).unwrap_or_default());
    put(&mut bytes, SIGNED_BYTES, &signature);
    bytes
}

/// Checks an image that begins here, such as one in a slot.
///
/// # Errors
///
/// [`Refusal`]: first for what it is, then who signed it, then where it goes, then its payload,
/// and its security version last, so that nothing is called a rollback that was never an image.
pub fn check<'a>(bytes: &'a [u8], terms: &Terms<'_>) -> Result<Image<'a>, Refusal> {
    let header = Header::parse(bytes)?;
    let signed = bytes.get(..SIGNED_BYTES).ok_or(Refusal::Truncated)?;
    let signature = field(bytes, SIGNED_BYTES).ok_or(Refusal::Truncated)?;
    if !terms.key.has_signed(signed, &signature) {
        return Err(Refusal::Signature);
    }
    placed(&header, terms.place)?;
    let rest = bytes.get(HEADER_BYTES..).ok_or(Refusal::Truncated)?;
    let payload = rest.get(..header.length as usize).ok_or(Refusal::Truncated)?;
    if !header.is_payload(payload) {
        return Err(Refusal::Hash);
    }
    if header.security_version < terms.guard {
        return Err(Refusal::RolledBack);
    }
    Ok(Image { header, payload })
}

/// Checks an image file, which ends with its payload.
///
/// # Errors
///
/// [`Refusal`].
pub fn check_file<'a>(bytes: &'a [u8], terms: &Terms<'_>) -> Result<Image<'a>, Refusal> {
    let image = check(bytes, terms)?;
    if bytes.len() > image.payload.len().saturating_add(HEADER_BYTES) {
        return Err(Refusal::TooLong);
    }
    Ok(image)
}

impl Header {
    /// Whether these bytes are the payload that this header is about.
    pub fn is_payload(&self, bytes: &[u8]) -> bool {
        <[u8; 32]>::from(Sha256::digest(bytes)) == self.sha256
    }
}

/// Whether it goes where its board has room, and starts within itself.
fn placed(header: &Header, place: &Place) -> Result<(), Refusal> {
    if header.board.as_str() != place.board {
        return Err(Refusal::Board);
    }
    let end = header.load.checked_add(u64::from(header.length)).ok_or(Refusal::Load)?;
    if header.load < place.load_from || end > place.load_end {
        return Err(Refusal::Load);
    }
    // An odd address is a Cortex-M's way to say that Thumb instructions are there.
    if !(header.load..end).contains(&header.entry) {
        return Err(Refusal::Entry);
    }
    Ok(())
}
