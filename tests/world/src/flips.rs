//! Flips single bits of what leaves a process, and sees whether what reads it notices.
//!
//! | what | it is *accepted* when |
//! |---|---|
//! | a state file | its head says that its vGPU is in it, and its stream is read to its end |
//! | a stream of a move with rounds | it is read to its end |
//! | the frames of a move, each direction | the frame with the bit, or one after it, is believed |
//! | a journal | it is read, and not just without its last entry, which then counts as torn |
//!
//! No flipped bit may leave anything that is. What has been read before the flipped bit is as it
//! was, so reading goes on from a copy of the reader as it stood at the record, chunk or frame with
//! that bit.
//!
//! Nor may what is refused leave anything: states are restored onto a [`Card`], and moves carried
//! out over links that flip a bit, some of them for each kind.

mod card;
mod journal;
mod made;
mod state;
mod talk;

pub use card::Card;

use crate::cuts;
use crate::link::Way;
use godwit_shim::stream::StreamVersion;
use godwit_shim::{KEY_BYTES, SealKey};
use journal::JournalBytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use state::State;
use std::error::Error;
use std::fmt;
use talk::Talk;

/// Bytes that a reader is given at once.
const PIECE_BYTES: usize = 64 * 1024;
/// What is flipped in each of its bits has this many bytes at most.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// What the large file has at least.
const LARGE_BYTES_MIN: usize = 4 << 20;
const KEY: SealKey = SealKey::new([0x4b; KEY_BYTES]);

/// What has its bits flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A state file of up to 64 KiB.
    Small {
        /// Sealed, and not plain.
        sealed: bool,
    },
    /// A state file of some MiB.
    Large {
        /// Sealed, and not plain.
        sealed: bool,
    },
    /// A state file whose stream has version 1.
    Version1 {
        /// Sealed, and not plain.
        sealed: bool,
    },
    /// The stream of a move with rounds.
    Rounds {
        /// Sealed, and not plain.
        sealed: bool,
    },
    /// What one end of a move's connection says.
    Link(Way),
    /// A journal of moves.
    Journal,
}

impl Kind {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Small { sealed: false }, "small-plain"),
        (Self::Small { sealed: true }, "small-sealed"),
        (Self::Large { sealed: false }, "large-plain"),
        (Self::Large { sealed: true }, "large-sealed"),
        (Self::Version1 { sealed: false }, "version1-plain"),
        (Self::Version1 { sealed: true }, "version1-sealed"),
        (Self::Rounds { sealed: false }, "rounds-plain"),
        (Self::Rounds { sealed: true }, "rounds-sealed"),
        (Self::Link(Way::Forth), "link-forth"),
        (Self::Link(Way::Back), "link-back"),
        (Self::Journal, "journal"),
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(kind, _)| kind == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

#[derive(Clone, Debug)]
enum Bytes {
    State(State),
    Talk(Talk),
    Journal(JournalBytes),
}

/// Bytes of a kind.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Which one.
    pub kind: Kind,
    bytes: Bytes,
}

impl Subject {
    /// Makes it: of a vGPU that is suspended or moved in the middle of a job.
    ///
    /// # Errors
    ///
    /// When its world cannot be made, or it is not accepted as it is.
    pub fn new(kind: Kind) -> Result<Self, Box<dyn Error>> {
        let file = made::suspended;
        let (oldest, newest) = (StreamVersion::OLDEST, StreamVersion::NEWEST);
        let bytes = match kind {
            Kind::Small { sealed } => Bytes::State(State::of_file(file(false, newest)?, sealed)?),
            Kind::Large { sealed } => Bytes::State(State::of_file(file(true, newest)?, sealed)?),
            Kind::Version1 { sealed } => {
                Bytes::State(State::of_file(file(false, oldest)?, sealed)?)
            }
            Kind::Rounds { sealed } => Bytes::State(State::of_stream(made::moved()?, sealed)?),
            Kind::Link(way) => Bytes::Talk(Talk::new(way)?),
            Kind::Journal => Bytes::Journal(JournalBytes::new()?),
        };
        let subject = Self { kind, bytes };
        let count = subject.bytes().len();
        let large = matches!(kind, Kind::Large { .. });
        if large != (count >= LARGE_BYTES_MIN) || large != (count > SMALL_BYTES_MAX) {
            return Err(format!("{kind} has {count} bytes").into());
        }
        match subject.refusal(None)? {
            None => Ok(subject),
            Some(why) => Err(format!("{kind} is refused as it is: {why}").into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::State(state) => &state.bytes,
            Bytes::Talk(talk) => &talk.bytes,
            Bytes::Journal(journal) => &journal.bytes,
        }
    }

    /// How many bits it has.
    pub fn bit_count(&self) -> usize {
        8 * self.bytes().len()
    }

    /// Why it is refused with this bit flipped, or as it is; `None`: it is accepted.
    ///
    /// # Errors
    ///
    /// When the system gives no temporary files.
    pub fn refusal(&self, bit: Option<usize>) -> Result<Option<String>, Box<dyn Error>> {
        Ok(match &self.bytes {
            Bytes::State(state) => state.refusal(bit),
            Bytes::Talk(talk) => talk.refusal(bit),
            Bytes::Journal(journal) => journal.refusal(bit)?,
        })
    }

    /// Has it taken in with this bit flipped: a state by a card, and a frame in the course of a
    /// move. What is wrong afterwards, such as what is left of the vGPU.
    pub fn wrong_after(&self, bit: usize, card: &mut Card) -> Vec<String> {
        match &self.bytes {
            Bytes::State(state) => card.wrong_after(state, Some(bit)),
            Bytes::Talk(talk) => cuts::flipped(talk.way, bit as u64).problems,
            // There is nothing of a vGPU in it.
            Bytes::Journal(_) => Vec::new(),
        }
    }

    /// Every so many of its bits, or so many random ones of the large file.
    pub fn bits(&self, every: usize, count: usize, seed: u64) -> Vec<usize> {
        if matches!(self.kind, Kind::Large { .. }) {
            return self.random_bits(count, seed);
        }
        (0..self.bit_count()).step_by(every).collect()
    }

    /// So many random bits to be taken in; of a journal none, since no card takes it.
    pub fn bits_to_take(&self, count: usize, seed: u64) -> Vec<usize> {
        let taken = self.kind != Kind::Journal;
        if taken { self.random_bits(count, seed) } else { Vec::new() }
    }

    fn random_bits(&self, count: usize, seed: u64) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(0..self.bit_count())).collect()
    }
}

/// Up to so many bytes from there on, with the bit flipped if it lies in them.
fn piece(bytes: &[u8], at: usize, count: usize, bit: Option<usize>) -> Vec<u8> {
    let end = bytes.len().min(at + count);
    let mut piece = bytes[at..end].to_vec();
    if let Some(bit) = bit
        && (at..end).contains(&(bit / 8))
    {
        piece[bit / 8 - at] ^= 1 << (bit % 8);
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_from_where_the_bit_is_as_from_its_beginning() {
        for sealed in [false, true] {
            let subject = Subject::new(Kind::Small { sealed }).unwrap();
            let Bytes::State(mut whole) = subject.bytes.clone() else { panic!("it is a state") };
            whole.forget_starts();
            for bit in subject.bits(9_973, 0, 0) {
                let why = subject.refusal(Some(bit)).unwrap();
                assert!(why.is_some(), "bit {bit}");
                assert_eq!(why, whole.refusal(Some(bit)), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_bit_that_nothing_covers_is_told() {
        // Behind the end there is no byte whose bit could be flipped: it is accepted.
        for (kind, _) in Kind::ALL {
            let subject = Subject::new(kind).unwrap();
            assert_eq!(subject.refusal(Some(subject.bit_count())).unwrap(), None, "{kind}");
        }
    }

    #[test]
    fn a_state_that_is_taken_or_leaves_something_is_told() {
        let subject = Subject::new(Kind::Rounds { sealed: false }).unwrap();
        let mut card = Card::new().unwrap();
        let wrong = subject.wrong_after(subject.bit_count(), &mut card);
        assert_eq!(wrong, ["the state is restored"]);
    }
}
