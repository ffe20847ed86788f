//! A stream or a state file whose bits are flipped, and what reads it.

use super::{KEY, PIECE_BYTES, piece};
use godwit_shim::stream::{Opener, PROLOGUE_BYTES, Reader, SALT_BYTES, Sealer};
use godwit_shim::{HEAD_BYTES, Mark, read_head};
use godwit_wire::record::{HEADER_BYTES, Header};
use std::error::Error;

/// What reads a stream.
#[derive(Clone, Debug)]
struct Intake {
    opener: Option<Opener>,
    reader: Reader,
}

impl Intake {
    fn new(sealed: bool) -> Self {
        Self { opener: sealed.then(|| Opener::new(&KEY)), reader: Reader::new() }
    }

    /// Takes bytes; the error is why the stream is refused.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        match &mut self.opener {
            None => self.reader.feed(bytes),
            Some(opener) => {
                opener.feed(bytes);
                while let Some(record) = opener.next_record()? {
                    self.reader.feed_owned(record);
                    while self.reader.next_record()?.is_some() {}
                }
            }
        }
        while self.reader.next_record()?.is_some() {}
        Ok(())
    }

    fn finish(&self) -> Result<(), Box<dyn Error>> {
        if let Some(opener) = &self.opener {
            opener.finish()?;
        }
        Ok(self.reader.finish()?)
    }
}

/// A stream, behind the head of a file if it is in one.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) bytes: Vec<u8>,
    /// Where the stream begins.
    pub(super) head_bytes: usize,
    pub(super) sealed: bool,
    /// Where each record or chunk begins, and what has read all before it.
    starts: Vec<(usize, Intake)>,
}

impl State {
    /// Of a plain file, which is sealed if that is asked for.
    pub(super) fn of_file(bytes: Vec<u8>, sealed: bool) -> Result<Self, Box<dyn Error>> {
        Self::new(bytes, HEAD_BYTES, sealed)
    }

    /// Of a plain stream.
    pub(super) fn of_stream(bytes: Vec<u8>, sealed: bool) -> Result<Self, Box<dyn Error>> {
        Self::new(bytes, 0, sealed)
    }

    fn new(mut bytes: Vec<u8>, head_bytes: usize, sealed: bool) -> Result<Self, Box<dyn Error>> {
        if sealed {
            // With a salt that is the same each time, so that a failure can be repeated.
            let mut sealer = Sealer::with_salt(&KEY, &[0x5a; SALT_BYTES]);
            sealer.feed(&bytes[head_bytes..]);
            bytes.truncate(head_bytes);
            bytes.extend(sealer.take());
        }
        let mut state = Self { bytes, head_bytes, sealed, starts: Vec::new() };
        state.note_starts()?;
        Ok(state)
    }

    fn note_starts(&mut self) -> Result<(), Box<dyn Error>> {
        let mut intake = Intake::new(self.sealed);
        let mut at = self.head_bytes;
        while at < self.bytes.len() {
            self.starts.push((at, intake.clone()));
            let rest = &self.bytes[at..];
            let length = match self.sealed {
                true if at == self.head_bytes => PROLOGUE_BYTES,
                true => {
                    let word = u32::from_le_bytes(*rest.first_chunk().ok_or("a chunk is cut")?);
                    4 + (word & !(1 << 31)) as usize + 16
                }
                false => {
                    let header = Header::parse(rest.first_chunk().ok_or("a record is cut")?)
                        .map_err(|_| "a header is malformed")?;
                    HEADER_BYTES + header.body_bytes as usize + header.payload_bytes as usize
                }
            };
            intake.take(&rest[..length])?;
            at += length;
        }
        Ok(())
    }

    /// Why the head is refused with this bit flipped, if it is.
    pub(super) fn head_refusal(&self, bit: Option<usize>) -> Option<String> {
        if self.head_bytes == 0 {
            return None;
        }
        match read_head(&piece(&self.bytes, 0, self.head_bytes, bit)) {
            Ok(Mark::Fresh) => None,
            Ok(mark) => Some(format!("its mark is {mark:?}")),
            Err(error) => Some(error.to_string()),
        }
    }

    pub(super) fn refusal(&self, bit: Option<usize>) -> Option<String> {
        if let Some(why) = self.head_refusal(bit) {
            return Some(why);
        }
        // What has been read before the flipped bit is as it was.
        let place = bit.map_or(0, |bit| bit / 8);
        let before = self.starts.partition_point(|(at, _)| *at <= place).saturating_sub(1);
        let (mut at, mut intake) = self.starts[before].clone();
        while at < self.bytes.len() {
            let piece = piece(&self.bytes, at, PIECE_BYTES, bit);
            at += piece.len();
            if let Err(error) = intake.take(&piece) {
                return Some(error.to_string());
            }
        }
        intake.finish().err().map(|error| error.to_string())
    }

    /// Forgets what has read it up to a place, so that it is read from its beginning.
    #[cfg(test)]
    pub(super) fn forget_starts(&mut self) {
        self.starts.truncate(1);
    }
}
