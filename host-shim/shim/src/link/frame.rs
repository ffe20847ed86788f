//! Messages as frames on a stream of bytes, with no I/O.
//!
//! Each direction of a connection begins with a hello, little-endian like all that follows:
//!
//! | offset | bytes | hello |
//! |---|---|---|
//! | 0 | 8 | `GDWTLINK` |
//! | 8 | 2 | oldest version of the protocol that its sender speaks |
//! | 10 | 2 | newest |
//! | 12 | 4 | CRC-32C of the 12 bytes before |
//!
//! The connection speaks the newest version that both speak; without one each side ends it.
//! Frames follow:
//!
//! | offset | bytes | frame |
//! |---|---|---|
//! | 0 | 4 | length of the message; 0: none, its sender is there |
//! | 4 | 4 | CRC-32C of the length and the message |
//! | 8 | | the message (`postcard`) |

use super::{LinkMessage, MESSAGE_MAX};
use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

const MAGIC: [u8; 8] = *b"GDWTLINK";
const HELLO_BYTES: usize = 16;
/// Versions of the protocol that this build speaks, oldest and newest.
const VERSIONS: (u16, u16) = (1, 2);
/// Length and CRC.
const HEAD_BYTES: usize = 8;

/// Why a connection is of no use any more. It is closed, which to a move is a lost link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The peer is something else.
    #[error("the peer does not speak this protocol")]
    NotALink,
    /// The two have no version in common.
    #[error(
        "the peer speaks versions {} to {} of the protocol, and {} to {} are spoken here",
        theirs.0, theirs.1, ours.0, ours.1
    )]
    Version {
        /// Oldest and newest of the peer.
        theirs: (u16, u16),
        /// Oldest and newest here.
        ours: (u16, u16),
    },
    /// A frame is longer than any message.
    #[error("a frame has a message of {bytes} bytes, and {} are allowed", MESSAGE_MAX)]
    TooLong {
        /// What its length says.
        bytes: u32,
    },
    /// A frame is damaged.
    #[error("a frame does not have its CRC")]
    BadCrc,
    /// A sound frame holds no message of this version.
    #[error("a frame holds no message")]
    NoMessage,
}

/// One end of a connection: messages to bytes, and the peer's bytes to messages.
///
/// It holds one frame and what it was fed last, and what was given to it to send.
#[derive(Clone, Debug)]
pub struct LinkFraming {
    versions: (u16, u16),
    agreed: Option<u16>,
    out: Vec<u8>,
    /// How much of `out` is sent.
    sent: usize,
    taken: Vec<u8>,
    /// How much of `taken` was read.
    read: usize,
    broken: Option<LinkError>,
}

impl Default for LinkFraming {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkFraming {
    /// An end of a new connection, with its hello to be sent.
    pub fn new() -> Self {
        Self::speaking(VERSIONS)
    }

    fn speaking(versions: (u16, u16)) -> Self {
        let mut out = Vec::with_capacity(HELLO_BYTES);
        out.extend(MAGIC);
        out.extend(versions.0.to_le_bytes());
        out.extend(versions.1.to_le_bytes());
        out.extend(crc32_iscsi(&out).to_le_bytes());
        let (agreed, broken) = (None, None);
        Self { versions, agreed, out, sent: 0, taken: Vec::new(), read: 0, broken }
    }

    /// The version that both speak, once the peer's hello has come: from then on messages may
    /// be sent.
    pub fn version(&self) -> Option<u16> {
        self.agreed.filter(|_| self.broken.is_none())
    }

    /// Puts a message behind what is to be sent. One that the peer does not know is not sent: it
    /// can do without.
    ///
    /// # Panics
    ///
    /// Before [`Self::version`] is known.
    pub fn send(&mut self, message: &LinkMessage) {
        let agreed = self.agreed.expect("the version of a message is agreed before it is sent");
        if message.since() <= agreed {
            self.frame(&message.encode());
        }
    }

    /// Puts an empty frame behind what is to be sent: the peer sees that this end is there.
    pub fn keep_alive(&mut self) {
        if self.agreed.is_some() {
            self.frame(&[]);
        }
    }

    fn frame(&mut self, message: &[u8]) {
        let length = (message.len() as u32).to_le_bytes();
        self.out.extend(length);
        self.out.extend(frame_crc(&length, message).to_le_bytes());
        self.out.extend(message);
    }

    /// Bytes that are to be sent.
    pub fn outgoing(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// So many of [`Self::outgoing`] are sent.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.outgoing().len(), "no more is sent than there is");
        self.sent += count;
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    /// Takes bytes of the peer. [`Self::poll_message`] until there is none before more are fed.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.taken.drain(..std::mem::take(&mut self.read));
            self.taken.extend(bytes);
        }
    }

    /// Whether bytes have come that are no whole frame yet, or wait to be polled.
    pub(crate) fn is_within_frame(&self) -> bool {
        self.read < self.taken.len()
    }

    /// The peer's next message, if all of it is there.
    ///
    /// # Errors
    ///
    /// When the bytes are no frame; then for ever.
    pub fn poll_message(&mut self) -> Result<Option<LinkMessage>, LinkError> {
        self.unless_broken(Self::next_message)
    }

    /// Whether the peer's hello has come. Messages behind it wait.
    ///
    /// # Errors
    ///
    /// As [`Self::poll_message`].
    pub fn poll_hello(&mut self) -> Result<bool, LinkError> {
        self.unless_broken(|it| Ok(it.agreed.is_some() || it.take_hello()?))
    }

    /// Nothing that follows an error is believed.
    fn unless_broken<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, LinkError>,
    ) -> Result<T, LinkError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let result = take(self);
        if let Err(error) = result {
            self.broken = Some(error);
            self.taken = Vec::new();
            self.read = 0;
        }
        result
    }

    fn next_message(&mut self) -> Result<Option<LinkMessage>, LinkError> {
        if self.agreed.is_none() && !self.take_hello()? {
            return Ok(None);
        }
        loop {
            let left = &self.taken[self.read..];
            let Some((length, rest)) = left.split_first_chunk::<4>() else { return Ok(None) };
            // Bounded before anything waits for so many bytes, or makes room for them.
            let bytes = u32::from_le_bytes(*length);
            if bytes as usize > MESSAGE_MAX {
                return Err(LinkError::TooLong { bytes });
            }
            let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            let Some(message) = rest.get(..bytes as usize) else { return Ok(None) };
            if frame_crc(length, message) != u32::from_le_bytes(*crc) {
                return Err(LinkError::BadCrc);
            }
            self.read += HEAD_BYTES + message.len();
            if !message.is_empty() {
                let message = LinkMessage::decode(message).map_err(|_| LinkError::NoMessage)?;
                return Ok(Some(message));
            }
        }
    }

    /// Reads the hello. `false`: it is not there yet.
    fn take_hello(&mut self) -> Result<bool, LinkError> {
        // A peer that is something else is told from its first bytes, since it may send no more.
        let begun = self.taken.len().min(MAGIC.len());
        if self.taken[..begun] != MAGIC[..begun] {
            return Err(LinkError::NotALink);
        }
        let Some(hello) = self.taken.first_chunk::<HELLO_BYTES>() else { return Ok(false) };
        let word = |at: usize| u16::from_le_bytes([hello[at], hello[at + 1]]);
        if crc32_iscsi(&hello[..12]).to_le_bytes() != hello[12..] {
            return Err(LinkError::BadCrc);
        }
        let (theirs, ours) = ((word(8), word(10)), self.versions);
        let newest = theirs.1.min(ours.1);
        if newest < theirs.0 || newest < ours.0 {
            return Err(LinkError::Version { theirs, ours });
        }
        self.agreed = Some(newest);
        self.read = HELLO_BYTES;
        Ok(true)
    }
}

/// CRC-32C of a frame's length and its message.
fn frame_crc(length: &[u8; 4], message: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(length);
    digest.update(message);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{DATA_MAX, Token};

    const TOKEN: Token = Token { uuid: [3; 16], number: 9 };

    fn sent(from: &mut LinkFraming) -> Vec<u8> {
        let bytes = from.outgoing().to_vec();
        from.consume(bytes.len());
        bytes
    }

    /// Two ends that have agreed.
    fn pair() -> (LinkFraming, LinkFraming) {
        let (mut one, mut other) = (LinkFraming::new(), LinkFraming::new());
        one.feed(&sent(&mut other));
        other.feed(&sent(&mut one));
        assert_eq!((one.poll_message(), other.poll_message()), (Ok(None), Ok(None)));
        assert_eq!((one.version(), other.version()), (Some(VERSIONS.1), Some(VERSIONS.1)));
        (one, other)
    }

    fn messages() -> Vec<LinkMessage> {
        vec![
            LinkMessage::Offer(TOKEN, 2),
            LinkMessage::Needs(TOKEN, 3),
            LinkMessage::Data(TOKEN, vec![5; DATA_MAX]),
            LinkMessage::Answer(TOKEN, true),
        ]
    }

    #[test]
    fn frames_arrive_whole_in_any_pieces() {
        for piece in [1, 7, 4096, usize::MAX] {
            let (mut one, mut other) = pair();
            one.keep_alive();
            messages().iter().for_each(|message| one.send(message));
            one.keep_alive();
            let mut arrived = Vec::new();
            let bytes = sent(&mut one);
            for bytes in bytes.chunks(piece.min(bytes.len())) {
                other.feed(bytes);
                while let Some(message) = other.poll_message().unwrap() {
                    arrived.push(message);
                }
            }
            assert_eq!(arrived, messages(), "{piece}");
            assert!(other.taken.len() <= HEAD_BYTES + MESSAGE_MAX + piece.min(bytes.len()));
        }
    }

    #[test]
    fn a_bit_that_is_wrong_anywhere_is_no_other_message() {
        let (mut one, other) = pair();
        one.send(&LinkMessage::Return(TOKEN, "why".into()));
        let message = sent(&mut one);
        one.keep_alive();
        let keep_alive = sent(&mut one);
        let hello = sent(&mut LinkFraming::new());
        for (bytes, other) in
            [(message, &other), (keep_alive, &other), (hello, &LinkFraming::new())]
        {
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut other = other.clone();
                other.feed(&bytes);
                // A length that grew waits for the rest, whose CRC cannot be right.
                assert!(matches!(other.poll_message(), Ok(None) | Err(_)), "bit {bit}");
                other.feed(&vec![0; MESSAGE_MAX]);
                assert!(other.poll_message().is_err(), "bit {bit}");
                assert!(other.poll_message().is_err(), "it stays broken");
                assert_eq!(other.version(), None);
            }
        }
    }

    #[test]
    fn a_length_is_bounded_before_its_bytes_are_there() {
        let (_, mut other) = pair();
        let bytes = MESSAGE_MAX as u32 + 1;
        other.feed(&bytes.to_le_bytes());
        assert_eq!(other.poll_message(), Err(LinkError::TooLong { bytes }));
    }

    #[test]
    fn a_sound_frame_without_a_message_is_refused() {
        let (mut one, mut other) = pair();
        one.frame(&[200, 1, 2]);
        other.feed(&sent(&mut one));
        assert_eq!(other.poll_message(), Err(LinkError::NoMessage));
        let (mut one, mut other) = pair();
        let mut long = LinkMessage::Offer(TOKEN, 2).encode();
        long.push(0);
        one.frame(&long);
        other.feed(&sent(&mut one));
        assert_eq!(other.poll_message(), Err(LinkError::NoMessage));
    }

    #[test]
    fn the_newest_version_that_both_speak_is_spoken() {
        let meet = |one, other| {
            let (mut one, mut other) = (LinkFraming::speaking(one), LinkFraming::speaking(other));
            one.feed(&sent(&mut other));
            other.feed(&sent(&mut one));
            let (a, b) = (one.poll_message(), other.poll_message());
            assert_eq!(a.is_ok(), b.is_ok(), "both agree, or none does");
            assert_eq!(one.version(), other.version());
            a.map(|_| one.version())
        };
        assert_eq!(meet((1, 3), (2, 5)), Ok(Some(3)));
        assert_eq!(meet((1, 9), (4, 4)), Ok(Some(4)));
        let apart = LinkError::Version { theirs: (3, 4), ours: (1, 2) };
        assert_eq!(meet((1, 2), (3, 4)), Err(apart));
    }

    #[test]
    fn a_peer_is_sent_what_it_knows() {
        for (version, knows) in [(1, false), (2, true)] {
            let (mut one, mut old) = (LinkFraming::new(), LinkFraming::speaking((1, version)));
            one.feed(&sent(&mut old));
            old.feed(&sent(&mut one));
            assert_eq!((one.poll_message(), old.poll_message()), (Ok(None), Ok(None)));
            let messages = [LinkMessage::Needs(TOKEN, 1), LinkMessage::Alive(TOKEN)];
            messages.iter().for_each(|message| one.send(message));
            old.feed(&sent(&mut one));
            let mut taken = Vec::new();
            while let Ok(Some(message)) = old.poll_message() {
                taken.push(message);
            }
            assert_eq!(taken, messages[usize::from(!knows)..]);
        }
    }

    #[test]
    fn a_peer_that_is_something_else_is_told_from_its_first_bytes() {
        let mut link = LinkFraming::new();
        link.feed(b"GDW");
        assert_eq!(link.poll_message(), Ok(None));
        link.feed(b"!");
        assert_eq!(link.poll_message(), Err(LinkError::NotALink));
        let mut hello = LinkFraming::new().outgoing().to_vec();
        hello[9] = 1;
        let mut link = LinkFraming::new();
        link.feed(&hello);
        assert_eq!(link.poll_message(), Err(LinkError::BadCrc));
    }

    #[test]
    #[should_panic(expected = "agreed")]
    fn nothing_is_said_before_the_version_is_known() {
        LinkFraming::new().send(&LinkMessage::Offer(TOKEN, 2));
    }
}
