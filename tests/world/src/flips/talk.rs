//! One direction of the connection of a move, whose bits are flipped.

use super::{PIECE_BYTES, piece};
use crate::cuts;
use crate::link::Way;
use godwit_shim::LinkFraming;
use std::error::Error;

/// Longer than any frame: whoever waits for the rest of one has all of it by then.
const MORE_BYTES: usize = 128 * 1024;

/// What one end of a connection says.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) way: Way,
    pub(super) bytes: Vec<u8>,
    /// Where each frame begins, and what has taken all before it.
    starts: Vec<(usize, LinkFraming)>,
    /// What a peer that has nothing to say sends, again and again.
    more: Vec<u8>,
}

impl Talk {
    /// Of a live move.
    pub(super) fn new(way: Way) -> Result<Self, Box<dyn Error>> {
        let (mut sender, mut taker) = (LinkFraming::new(), LinkFraming::new());
        sender.feed(taker.outgoing());
        sender.poll_message()?;
        let mut talk = Self { way, bytes: Vec::new(), starts: Vec::new(), more: Vec::new() };
        for frame in cuts::frames(cuts::Kind::Live).into_iter().filter(|frame| frame.way == way) {
            if let Some(message) = &frame.message {
                sender.send(message);
            }
            if talk.bytes.len() as u64 != frame.at_byte {
                return Err("the frames are not those of the connection".into());
            }
            talk.starts.push((talk.bytes.len(), taker.clone()));
            let sent = taken(&mut sender);
            taker.feed(&sent);
            if taker.poll_message()? != frame.message {
                return Err("a message does not read back".into());
            }
            talk.bytes.extend(sent);
        }
        while talk.more.len() < MORE_BYTES {
            sender.keep_alive();
            talk.more.extend(taken(&mut sender));
        }
        Ok(talk)
    }

    /// Why the connection is ended with this bit flipped. `None`: it is not, or not before another
    /// message was believed.
    pub(super) fn refusal(&self, bit: Option<usize>) -> Option<String> {
        // What was taken before the frame with the bit is as it was.
        let place = bit.map_or(0, |bit| bit / 8);
        let before = self.starts.partition_point(|(at, _)| *at <= place).saturating_sub(1);
        let (mut at, mut taker) = self.starts[before].clone();
        let mut take = |bytes: &[u8]| {
            taker.feed(bytes);
            taker.poll_message()
        };
        while at < self.bytes.len() {
            let piece = piece(&self.bytes, at, PIECE_BYTES, bit);
            at += piece.len();
            match take(&piece) {
                Ok(None) => {}
                Ok(Some(_)) => return None,
                Err(error) => return Some(error.to_string()),
            }
        }
        // A length that grew has its taker wait for more.
        take(&self.more).err().map(|error| error.to_string())
    }
}

fn taken(sender: &mut LinkFraming) -> Vec<u8> {
    let bytes = sender.outgoing().to_vec();
    sender.consume(bytes.len());
    bytes
}
