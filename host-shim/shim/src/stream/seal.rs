//! A sealed stream: each record encrypted and authenticated in its place. No I/O.
//!
//! A prologue in the clear, then a chunk for each record:
//!
//! | offset | bytes | prologue |
//! |---|---|---|
//! | 0 | 8 | `GwSealed` |
//! | 8 | 1 | version of the seal, 1 |
//! | 9 | 1 | algorithm, 1: HKDF-SHA-256 and ChaCha20-Poly1305 |
//! | 10 | 2 | zero |
//! | 12 | 32 | salt: random, and the stream's own |
//! | 44 | 16 | key check: derived from key and salt, so that another key is known as such |
//! | 60 | 4 | CRC-32C of the prologue up to here |
//!
//! | offset | bytes | chunk |
//! |---|---|---|
//! | 0 | 4 | length of the record in bits 0 to 30; bit 31: it is the last |
//! | 4 | length | the record, encrypted: header, body and payload |
//! | | 16 | tag |
//!
//! The key of a stream is derived (RFC 5869) from the caller's key and the salt, and used for this
//! stream only. A chunk's nonce is its number, counted from 0, and its associated data are the
//! prologue, its number and its length word (RFC 8439). So a chunk is authentic in one place of one
//! stream alone, and the end of the stream cannot be moved. All integers are little-endian.

use crate::key::{KEY_BYTES, SealKey};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use godwit_wire::record::{BODY_BYTES_MAX, HEADER_BYTES, Header, Kind, PAYLOAD_BYTES_MAX};
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;
use std::io;
use zeroize::Zeroizing;

/// Bytes of a prologue.
pub const PROLOGUE_BYTES: usize = 64;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;
/// Bytes in front of a record.
pub(super) const LENGTH_BYTES: usize = 4;
/// Bytes behind a record.
pub(super) const TAG_BYTES: usize = 16;
/// What a record has at least.
pub(super) const RECORD_BYTES_MIN: usize = HEADER_BYTES;
/// What a record has at most.
pub(super) const RECORD_BYTES_MAX: usize =
    HEADER_BYTES + BODY_BYTES_MAX + PAYLOAD_BYTES_MAX as usize;
/// In a length word: the last chunk.
pub(super) const LAST: u32 = 1 << 31;

pub(super) const MAGIC: [u8; 8] = *b"GwSealed";
pub(super) const VERSION: u8 = 1;
pub(super) const ALGORITHM: u8 = 1;
const VERSION_AT: usize = 8;
const ALGORITHM_AT: usize = 9;
const SALT_AT: usize = 12;
const CHECK_AT: usize = SALT_AT + SALT_BYTES;
const CHECK_BYTES: usize = 16;
const CRC_AT: usize = CHECK_AT + CHECK_BYTES;

/// Whether a stream begins as sealed ones do.
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Length of the record that these bytes begin with; `None`: it is not known yet, or the header
/// is malformed.
pub(super) fn record_bytes(bytes: &[u8]) -> Option<(usize, Header)> {
    let header = Header::parse(bytes.first_chunk()?).ok()?;
    let length = HEADER_BYTES + header.body_bytes as usize + header.payload_bytes as usize;
    Some((length, header))
}

/// A prologue as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prologue(pub(super) [u8; PROLOGUE_BYTES]);

impl Prologue {
    fn new(salt: &[u8; SALT_BYTES], check: &[u8; CHECK_BYTES]) -> Self {
        let mut bytes = [0; PROLOGUE_BYTES];
        bytes[..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT] = VERSION;
        bytes[ALGORITHM_AT] = ALGORITHM;
        bytes[SALT_AT..CHECK_AT].copy_from_slice(salt);
        bytes[CHECK_AT..CRC_AT].copy_from_slice(check);
        let crc = crc_fast::crc32_iscsi(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        Self(bytes)
    }

    /// Whether it is undamaged. Of another version than [`VERSION`] nothing else is known.
    pub(super) fn is_sound(&self) -> bool {
        let crc = crc_fast::crc32_iscsi(&self.0[..CRC_AT]);
        is_sealed(&self.0) && self.0[CRC_AT..] == crc.to_le_bytes()
    }

    pub(super) fn version(&self) -> u8 {
        self.0[VERSION_AT]
    }

    pub(super) fn algorithm(&self) -> u8 {
        self.0[ALGORITHM_AT]
    }

    pub(super) fn salt(&self) -> &[u8; SALT_BYTES] {
        self.0[SALT_AT..].first_chunk().expect("a prologue holds its salt")
    }
}

/// Seals or opens the chunks of one stream, in their order.
#[derive(Clone)]
pub(super) struct Chunks {
    cipher: ChaCha20Poly1305,
    prologue: Prologue,
    /// Number of the next chunk.
    pub(super) number: u64,
}

/// Says nothing of the key.
impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("prologue", &self.prologue)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Chunks {
    /// Those of the stream that this key and salt make.
    pub(super) fn new(key: &SealKey, salt: &[u8; SALT_BYTES]) -> Self {
        let derived = Hkdf::<Sha256>::new(Some(salt), key.bytes());
        let mut own = Zeroizing::new([0; KEY_BYTES]);
        let mut check = [0; CHECK_BYTES];
        derived
            .expand(b"godwit seal 1, ChaCha20-Poly1305, key", &mut *own)
            .and_then(|()| {
                derived.expand(b"godwit seal 1, ChaCha20-Poly1305, key check", &mut check)
            })
            .expect("HKDF-SHA-256 gives up to 8,160 bytes");
        let prologue = Prologue::new(salt, &check);
        Self { cipher: ChaCha20Poly1305::new((&*own).into()), prologue, number: 0 }
    }

    pub(super) fn prologue(&self) -> &Prologue {
        &self.prologue
    }

    fn nonce(&self) -> Nonce {
        let mut nonce = Nonce::default();
        nonce[4..].copy_from_slice(&self.number.to_le_bytes());
        nonce
    }

    fn associated(&self, word: u32) -> [u8; PROLOGUE_BYTES + 12] {
        let mut bytes = [0; PROLOGUE_BYTES + 12];
        bytes[..PROLOGUE_BYTES].copy_from_slice(&self.prologue.0);
        bytes[PROLOGUE_BYTES..PROLOGUE_BYTES + 8].copy_from_slice(&self.number.to_le_bytes());
        bytes[PROLOGUE_BYTES + 8..].copy_from_slice(&word.to_le_bytes());
        bytes
    }

    /// Encrypts the next record where it is.
    fn seal(&mut self, word: u32, record: &mut [u8]) -> Tag {
        let (nonce, associated) = (self.nonce(), self.associated(word));
        let sealed = self.cipher.encrypt_inout_detached(&nonce, &associated, record.into());
        self.number += 1;
        sealed.expect("a record is far shorter than a message may be")
    }

    /// Decrypts the next record where it is; `false`: it is not authentic, and is as it was.
    pub(super) fn open(&mut self, word: u32, record: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        let (nonce, associated) = (self.nonce(), self.associated(word));
        let tag = Tag::from(*tag);
        let opened = self.cipher.decrypt_inout_detached(&nonce, &associated, record.into(), &tag);
        self.number += 1;
        opened.is_ok()
    }
}

/// Seals a stream on its way out: takes its bytes in any segmentation, and gives the bytes of the
/// sealed one.
#[derive(Clone, Debug)]
pub struct Sealer {
    chunks: Chunks,
    out: Vec<u8>,
    /// Where the chunk that is being filled begins in `out`; all before is sealed.
    filling: usize,
    ended: bool,
}

impl Sealer {
    /// Seals a stream with this key, and a salt of the system's randomness.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new(key: &SealKey) -> io::Result<Self> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self::with_salt(key, &salt))
    }

    /// The same with a salt of the caller's. **No two streams of one key may have the same salt**:
    /// whoever has both could read them. For bytes that are to be the same each time.
    pub fn with_salt(key: &SealKey, salt: &[u8; SALT_BYTES]) -> Self {
        let chunks = Chunks::new(key, salt);
        let out = chunks.prologue().0.to_vec();
        Self { filling: out.len(), chunks, out, ended: false }
    }

    /// Takes bytes of the stream. A record is sealed as soon as it is whole.
    ///
    /// # Panics
    ///
    /// When these are no records, or there are some after the trailer, which whoever writes a
    /// stream rules out.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            assert!(!self.ended, "the trailer is the last record");
            if self.out.len() == self.filling {
                self.out.extend([0; LENGTH_BYTES]);
            }
            let start = self.filling + LENGTH_BYTES;
            let have = self.out.len() - start;
            let wanted = match record_bytes(&self.out[start..]) {
                Some((length, _)) => length,
                None => HEADER_BYTES,
            };
            let count = (wanted - have).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            self.out.extend_from_slice(now);
            bytes = later;
            self.close();
        }
    }

    /// Seals the record that is being filled, if it is whole.
    fn close(&mut self) {
        let (front, record) = self.out[self.filling..].split_at_mut(LENGTH_BYTES);
        if record.len() < HEADER_BYTES {
            return;
        }
        let (length, header) = record_bytes(record).expect("only records are sealed");
        if record.len() < length {
            return;
        }
        self.ended = header.kind == Kind::Trailer as u16;
        let word = length as u32 | if self.ended { LAST } else { 0 };
        front.copy_from_slice(&word.to_le_bytes());
        let tag = self.chunks.seal(word, record);
        self.out.extend_from_slice(&tag);
        self.filling = self.out.len();
    }

    /// Bytes of the sealed stream that wait to be taken.
    pub fn buffered(&self) -> usize {
        self.filling
    }

    /// Takes the bytes of the sealed stream so far.
    pub fn take(&mut self) -> Vec<u8> {
        let rest = self.out.split_off(self.filling);
        self.filling = 0;
        std::mem::replace(&mut self.out, rest)
    }

    /// Whether the last record was sealed.
    pub fn is_complete(&self) -> bool {
        self.ended
    }
}
