//! What the shims of two hosts say to each other during a move.
//!
//! ```text
//! source                     destination
//!   Offer, Needs,            ──▶
//!   Data (descriptor)
//!                            ◀── Accept, or Decline with the reason
//!   Data … (rounds, state)   ──▶
//!                            ◀── Ready: everything is in place and checked
//!   [journal] Commit         ──▶
//!                            ◀── Done: it runs here
//!   Closed                   ──▶   nothing of it is left at the source
//! ```
//!
//! Offer and accept say up to which version each side writes and reads streams: the source writes
//! the lower of the two.
//!
//! A source that waits for its own card says `Alive` now and then: silence is a peer that is
//! gone. Before the commit either side may call it off. After a break the destination asks with
//! `Query`, and the source answers from its journal. A destination that has lost what it had
//! restored, and knows that it never ran, gives a committed vGPU back with `Return`.
//!
//! A connection carries these as frames ([`LinkFraming`]), and may carry several moves, both
//! ways.

mod frame;

pub use frame::{LinkError, LinkFraming};

use crate::journal::Side;
use crate::stream::StreamVersion;
use godwit_wire::WireError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Names one move of one vGPU; the number counts up, so that a stale message is known.
///
/// As text it is the id in 32 hexadecimal digits, a colon, and the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token {
    /// The vGPU's own id.
    pub uuid: [u8; 16],
    /// Number of the move.
    pub number: u64,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}:{}", u128::from_be_bytes(self.uuid), self.number)
    }
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is the vGPU's id in 32 hexadecimal digits, a colon, and the move's number")]
pub struct NoToken;

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let (uuid, number) = text.split_once(':').ok_or(NoToken)?;
        let is_hex = uuid.len() == 32 && uuid.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_number = number.bytes().all(|digit| digit.is_ascii_digit());
        if !is_hex || !is_number {
            return Err(NoToken);
        }
        let uuid = u128::from_str_radix(uuid, 16).map_err(|_| NoToken)?.to_be_bytes();
        Ok(Self { uuid, number: number.parse().map_err(|_| NoToken)? })
    }
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
    /// Destination: it does not, or the restore failed; why. It says nothing of a vGPU that is
    /// committed.
    Decline(Token, String),
    /// Destination: everything is in place and checked.
    Ready(Token),
    /// Source: it is the destination's from now on.
    Commit(Token),
    /// Destination: it runs here.
    Done(Token),
    /// Source: `Done` has come, and nothing of it is left here.
    Closed(Token),
    /// Destination: it never ran here and never will, and nothing of it is left; why. A
    /// committed vGPU is the source's again.
    Return(Token, String),
    /// Source: the move is off.
    Abort(Token),
    /// Destination: was this move committed?
    Query(Token),
    /// Source: yes or no. After a no it never will be.
    Answer(Token, bool),
    /// Source: engines that the guest has channels on, a bit for each: said with the offer,
    /// and only to a peer that knows this message.
    Needs(Token, u8),
}

/// How long one side of a move waits for the other to answer, to take what is sent, or to
/// send something, in nanoseconds of [`Site::now_ns`](crate::Site::now_ns).
pub(crate) const SILENCE_MAX_NS: u64 = 2_000_000_000;
/// How long a source that has nothing to send is silent: some of these fit into
/// [`SILENCE_MAX_NS`].
pub(crate) const ALIVE_NS: u64 = 500_000_000;
/// Bytes of a state stream in one message at most.
pub(crate) const DATA_MAX: usize = 64 * 1024;
/// Longest message in bytes.
const MESSAGE_MAX: usize = DATA_MAX + 1024;
/// Longest reason in a [`LinkMessage::Decline`] or [`LinkMessage::Return`].
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
            | Self::Closed(token)
            | Self::Return(token, _)
            | Self::Abort(token)
            | Self::Query(token)
            | Self::Answer(token, _)
            | Self::Needs(token, _) => token,
        }
    }

    /// Which side of the move it is for.
    pub fn addressee(&self) -> Side {
        match self {
            Self::Offer(..)
            | Self::Data(..)
            | Self::Alive(_)
            | Self::Commit(_)
            | Self::Closed(_)
            | Self::Abort(_)
            | Self::Answer(..)
            | Self::Needs(..) => Side::Destination,
            Self::Accept(..)
            | Self::Decline(..)
            | Self::Ready(_)
            | Self::Done(_)
            | Self::Return(..)
            | Self::Query(_) => Side::Source,
        }
    }

    /// The version of the protocol that it came with.
    pub(crate) fn since(&self) -> u16 {
        if matches!(self, Self::Needs(..)) { 2 } else { 1 }
    }

    /// A refusal, with its reason cut to a length that fits.
    pub(crate) fn decline(token: Token, why: &str) -> Self {
        Self::Decline(token, cut(why))
    }

    /// A vGPU that is given back, with the reason cut to a length that fits.
    pub(crate) fn give_back(token: Token, why: &str) -> Self {
        Self::Return(token, cut(why))
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

/// As much of a reason as a message may hold, whatever its letters take.
fn cut(why: &str) -> String {
    why.chars().take(REASON_MAX / 4).collect()
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
        for long in [LinkMessage::decline, LinkMessage::give_back] {
            let long = long(token, &"ä".repeat(10_000));
            assert_eq!(LinkMessage::decode(&long.encode()), Ok(long));
        }
    }

    #[test]
    fn a_token_is_read_as_it_is_shown() {
        let token = Token { uuid: *b"\0bcdefghijklmno\xff", number: 18 };
        let shown = token.to_string();
        assert_eq!(shown, "0062636465666768696a6b6c6d6e6fff:18");
        assert_eq!(shown.parse(), Ok(token));
        for wrong in ["", "18", "0:18", &shown[..33], &format!("{shown}9999999999999999999")] {
            assert_eq!(wrong.parse::<Token>(), Err(NoToken), "{wrong}");
        }
        let signed = shown.replace(":18", ":+18");
        assert_eq!(signed.parse::<Token>(), Err(NoToken));
        let signed = format!("+{}", &shown[1..]);
        assert_eq!(signed.parse::<Token>(), Err(NoToken));
    }
}
