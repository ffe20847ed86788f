//! Opens a sealed stream: nothing of a record is handed out before it is known to be authentic, in
//! its place and in this stream.

use super::seal::{
    ALGORITHM, Chunks, LAST, LENGTH_BYTES, MAGIC, PROLOGUE_BYTES, Prologue, RECORD_BYTES_MAX,
    RECORD_BYTES_MIN, TAG_BYTES, VERSION, is_sealed, record_bytes,
};
use crate::key::SealKey;
use bytes::BytesMut;

/// Why a sealed stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is not sealed.
    #[error("the state is not sealed, and only a sealed one is opened with a key")]
    NotSealed,
    /// Its prologue was changed.
    #[error("the sealed state is damaged: its prologue does not have its CRC")]
    BadPrologue,
    /// It is sealed in a way that is not known.
    #[error(
        "the state is sealed in a newer way: seal {version}, algorithm {algorithm}, and seal \
         {VERSION} with algorithm {ALGORITHM} is opened"
    )]
    Newer {
        /// Version of the seal.
        version: u8,
        /// Its algorithm.
        algorithm: u8,
    },
    /// The key is not the one.
    #[error("the state is sealed with another key")]
    OtherKey,
    /// No record has such a length.
    #[error(
        "the sealed state is damaged: chunk {number} at byte {at} says that it has {length} bytes, \
         and {RECORD_BYTES_MIN} to {RECORD_BYTES_MAX} are possible"
    )]
    BadLength {
        /// First byte of the chunk.
        at: u64,
        /// Which chunk, counted from 0.
        number: u64,
        /// What it says.
        length: u32,
    },
    /// Not what was sealed in this place of this stream.
    #[error(
        "the sealed state is damaged: chunk {number} at byte {at} is not authentic: it was \
         changed, moved or repeated, or is another stream's"
    )]
    NotAuthentic {
        /// First byte of the chunk.
        at: u64,
        /// Which chunk, counted from 0.
        number: u64,
    },
    /// Whoever has the key has sealed something else.
    #[error("the sealed state holds something in chunk {number} that is not one record")]
    NotRecord {
        /// Which chunk, counted from 0.
        number: u64,
    },
    /// It ends before its last chunk.
    #[error("the sealed state is truncated: it ends after {at} bytes, before its last chunk")]
    Truncated {
        /// Bytes that there were.
        at: u64,
    },
    /// Bytes after the last chunk.
    #[error("the sealed state is damaged: there are bytes after its last chunk")]
    AfterEnd,
}

/// Takes the bytes of a sealed stream in any segmentation, and hands out its records. Holds one
/// chunk at most, whose length is bounded before it is believed, and what it was fed last.
#[derive(Clone, Debug)]
pub struct Opener {
    key: SealKey,
    /// Known when the prologue is.
    chunks: Option<Chunks>,
    buffer: BytesMut,
    /// Bytes of what was opened.
    at: u64,
    complete: bool,
}

impl Opener {
    /// Opens a stream that was sealed with this key.
    pub fn new(key: &SealKey) -> Self {
        let (key, buffer) = (key.clone(), BytesMut::new());
        Self { key, chunks: None, buffer, at: 0, complete: false }
    }

    /// Takes bytes. Call [`Self::next_record`] until it gives none before giving more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the last record was handed out.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    ///
    /// [`SealError::Truncated`] before the last chunk.
    pub fn finish(&self) -> Result<(), SealError> {
        if self.complete {
            Ok(())
        } else {
            Err(SealError::Truncated { at: self.at + self.buffer.len() as u64 })
        }
    }

    /// The bytes of the next record, or `None` when more are needed.
    ///
    /// # Errors
    ///
    /// See [`SealError`]. The stream is not usable any more.
    pub fn next_record(&mut self) -> Result<Option<BytesMut>, SealError> {
        if self.complete {
            return if self.buffer.is_empty() { Ok(None) } else { Err(SealError::AfterEnd) };
        }
        if self.chunks.is_none() && !self.take_prologue()? {
            return Ok(None);
        }
        let Some(chunks) = &mut self.chunks else { return Ok(None) };
        let (at, number) = (self.at, chunks.number);
        let Some(word) = self.buffer.first_chunk().map(|word| u32::from_le_bytes(*word)) else {
            return Ok(None);
        };
        let length = word & !LAST;
        if !(RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&(length as usize)) {
            return Err(SealError::BadLength { at, number, length });
        }
        let end = LENGTH_BYTES + length as usize;
        let Some(tag) = self.buffer.get(end..).and_then(|rest| rest.first_chunk()).copied() else {
            return Ok(None);
        };
        if !chunks.open(word, &mut self.buffer[LENGTH_BYTES..end], &tag) {
            return Err(SealError::NotAuthentic { at, number });
        }
        let mut record = self.buffer.split_to(end + TAG_BYTES);
        record.truncate(end);
        let record = record.split_off(LENGTH_BYTES);
        if record_bytes(&record).is_none_or(|(known, _)| known != record.len()) {
            return Err(SealError::NotRecord { number });
        }
        self.at += (end + TAG_BYTES) as u64;
        self.complete = word & LAST != 0;
        Ok(Some(record))
    }

    /// Reads the prologue; `false`: more bytes are needed.
    fn take_prologue(&mut self) -> Result<bool, SealError> {
        if self.buffer.len() >= MAGIC.len() && !is_sealed(&self.buffer) {
            return Err(SealError::NotSealed);
        }
        let Some(bytes) = self.buffer.first_chunk::<PROLOGUE_BYTES>() else { return Ok(false) };
        let prologue = Prologue(*bytes);
        if !prologue.is_sound() {
            return Err(SealError::BadPrologue);
        }
        let (version, algorithm) = (prologue.version(), prologue.algorithm());
        if (version, algorithm) != (VERSION, ALGORITHM) {
            return Err(SealError::Newer { version, algorithm });
        }
        let chunks = Chunks::new(&self.key, prologue.salt());
        // The key check is public, so it may be compared as anything is.
        if *chunks.prologue() != prologue {
            return Err(SealError::OtherKey);
        }
        self.chunks = Some(chunks);
        self.at = PROLOGUE_BYTES as u64;
        let _ = self.buffer.split_to(PROLOGUE_BYTES);
        Ok(true)
    }
}
