//! What the shims of two hosts say to each other during a move.
//!
//! ```text
//! source                     destination
//!   Offer, Data (descriptor) ──▶
//!                            ◀── Accept, or Decline with the reason
//!   Data … (rounds, state)   ──▶
//!                            ◀── Ready: everything is in place and checked
//!   [journal] Commit         ──▶
//!                            ◀── Done: it runs here
//! ```
//!
//! Offer and accept say up to which version each side writes and reads streams: the source writes
//! the lower of the two.
//!
//! A source that waits for its own card says `Alive` now and then: silence is a peer that is
//! gone. Before the commit either side may call it off. After a break the destination asks with
//! `Query`, and the source answers from its journal.

use crate::stream::StreamVersion;
use godwit_wire::WireError;
use serde::{Deserialize, Serialize};

/// Names one move of one vGPU; the number counts up, so that a stale message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token {
    /// The vGPU's own id.
    pub uuid: [u8; 16],
    /// Number of the move.
    pub number: u64,
}

/// A message between two shims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkMessage {
    /// Source: a vGPU is to be moved, in a stream of up to this version.
    Offer(Token, u8),
    /// Source: bytes of the state stream.
    Data(Token, Vec<u8>),
    /// Source: it has nothing to send just now, and is there.
    Alive(Token),
    /// Destination: the descriptor fits, and streams of up to this version are read.
    Accept(Token, u8),
    /// Destination: it does not, or the restore failed; why.
    Decline(Token, String),
    /// Destination: everything is in place and checked.
    Ready(Token),
    /// Source: it is the destination's from now on.
    Commit(Token),
    /// Destination: it runs here.
    Done(Token),
    /// Source: the move is off.
    Abort(Token),
    /// Destination: was this move committed?
    Query(Token),
    /// Source: yes or no.
    Answer(Token, bool),
}

/// How long one side of a move waits for the other to answer, to take what is sent, or to
/// send something, in nanoseconds of its own card.
pub(crate) const SILENCE_MAX_NS: u64 = 2_000_000_000;
/// How long a source that has nothing to send is silent: some of these fit into
/// [`SILENCE_MAX_NS`].
pub(crate) const ALIVE_NS: u64 = 500_000_000;
/// Bytes of a state stream in one message at most.
pub(crate) const DATA_MAX: usize = 64 * 1024;
/// Longest message in bytes.
const MESSAGE_MAX: usize = DATA_MAX + 1024;
/// Longest reason in a [`LinkMessage::Decline`].
const REASON_MAX: usize = 512;

impl LinkMessage {
    /// Which move it is about.
    pub fn token(&self) -> &Token {
        match self {
            Self::Offer(token, _)
            | Self::Data(token, _)
            | Self::Alive(token)
            | Self::Accept(token, _)
            | Self::Decline(token, _)
            | Self::Ready(token)
            | Self::Commit(token)
            | Self::Done(token)
            | Self::Abort(token)
            | Self::Query(token)
            | Self::Answer(token, _) => token,
        }
    }

    /// A refusal, with its reason cut to a length that fits.
    pub(crate) fn decline(token: Token, why: &str) -> Self {
        Self::Decline(token, why.chars().take(REASON_MAX / 4).collect())
    }

    /// The message as bytes.
    ///
    /// # Panics
    ///
    /// When it is over the longest, which its makers rule out.
    pub fn encode(&self) -> Vec<u8> {
        let bytes = postcard::to_stdvec(self).expect("a message can be encoded");
        assert!(bytes.len() <= MESSAGE_MAX, "a message is bounded");
        bytes
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When the bytes are too long or no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MESSAGE_MAX {
            return Err(WireError::TooLong);
        }
        godwit_wire::decode(bytes)
    }
}

/// Why two hosts have no version of the stream in common.
pub(crate) fn versions_apart(who: &str, theirs: u8, what: &str) -> String {
    let (oldest, newest) = (StreamVersion::OLDEST, StreamVersion::NEWEST);
    format!(
        "{who} streams up to version {theirs}, and versions {oldest} to {newest} are {what} here"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_long_ones_are_refused() {
        let token = Token { uuid: [7; 16], number: u64::MAX };
        let data = LinkMessage::Data(token, vec![1; DATA_MAX]);
        assert_eq!(LinkMessage::decode(&data.encode()), Ok(data));
        assert!(LinkMessage::decode(&vec![0; MESSAGE_MAX + 1]).is_err());
        let long = LinkMessage::decline(token, &"ä".repeat(10_000));
        assert_eq!(LinkMessage::decode(&long.encode()), Ok(long));
    }
}
