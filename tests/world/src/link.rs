//! The connection between two hosts: a stream of bytes each way, which may end at any of them.

use godwit_shim::{LinkError, LinkFraming, LinkMessage};
use std::collections::VecDeque;

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From the host that was added first.
    Forth,
    /// To it.
    Back,
}

/// The end of a connection that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkCut {
    /// In which direction bytes are counted.
    pub way: Way,
    /// So many bytes of the connection have arrived, and no more do.
    pub at_byte: u64,
    /// For how long there is no connection, in nanoseconds; `u64::MAX`: for ever.
    pub down_ns: u64,
    /// How long each end takes to notice, the sender of [`Way::Forth`] first, in nanoseconds. At
    /// the latest it does when there is a connection again.
    pub notice_ns: [u64; 2],
}

/// A bit that is to arrive wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkFlip {
    /// In which direction bits are counted.
    pub way: Way,
    /// Which one of the connection.
    pub bit: u64,
}

/// How long a connection lasts at most on which a bit was flipped: whoever waits for the rest of a
/// frame that has become longer hears nothing more, and ends it.
const FLIPPED_NS: u64 = 1_000_000;
/// For how long there is none then.
const REFUSED_NS: u64 = 100_000;

/// A frame that was sent, and where its bytes are in its direction of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFrame {
    /// Its direction.
    pub way: Way,
    /// Its first byte.
    pub at_byte: u64,
    /// Its length in bytes.
    pub byte_count: u64,
    /// When its first byte gets on the wire.
    pub start_ns: u64,
    /// What it holds; `None`: a hello.
    pub message: Option<LinkMessage>,
}

/// What virtual time bytes take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) now_ns: u64,
    pub(crate) byte_ps: u64,
    pub(crate) latency_ns: u64,
}

/// One direction, with the framing of the end that sends into it.
#[derive(Debug, Default)]
struct Direction {
    framing: LinkFraming,
    flying: VecDeque<(u64, Vec<u8>)>,
    free_ns: u64,
    /// Bytes of this connection that were sent and have arrived.
    sent: u64,
    arrived: u64,
}

/// The connection. Bytes take their time on the wire, and then the latency.
#[derive(Debug, Default)]
pub(crate) struct Link {
    ways: [Direction; 2],
    /// Somebody has something to say.
    pub(crate) wanted: bool,
    connected: bool,
    /// Until when it is cut.
    cut_until_ns: u64,
    /// When it was cut last, and how long each end takes to notice.
    cut_ns: u64,
    notice_ns: [u64; 2],
    /// Chunks that were sent or have arrived so far.
    pub(crate) messages: u64,
    /// Counts the cuts, so that one shorter than a step is seen.
    cuts: u32,
    /// Cuts to come, the next one first.
    pub(crate) planned: VecDeque<LinkCut>,
    /// A bit that is to be flipped, and when a connection ends of which one was.
    pub(crate) flip: Option<LinkFlip>,
    flipped_until_ns: Option<u64>,
    /// What was sent, if anybody wants to know.
    pub(crate) transcript: Option<Vec<SentFrame>>,
}

impl Link {
    /// Whether it takes a message now: it is whole, both ends have agreed, and what was sent is
    /// nearly through.
    pub(crate) fn takes(&self, way: Way, now_ns: u64, window_ns: u64) -> bool {
        let direction = &self.ways[way as usize];
        self.connected
            && direction.framing.version().is_some()
            && direction.free_ns < now_ns + window_ns
    }

    /// Whether both ends can say something.
    pub(crate) fn is_agreed(&self) -> bool {
        self.connected && self.ways.iter().all(|way| way.framing.version().is_some())
    }

    /// Whether there can be no connection.
    pub(crate) fn is_cut(&self, now_ns: u64) -> bool {
        now_ns < self.cut_until_ns
    }

    /// When it was cut for ever, if it was.
    pub(crate) fn dead_since(&self) -> Option<u64> {
        (self.cut_until_ns == u64::MAX).then_some(self.cut_ns)
    }

    /// Cuts that this end knows of, the sender of [`Way::Forth`] being 0.
    pub(crate) fn known_cuts(&self, end: usize, now_ns: u64) -> u32 {
        let late = self.is_cut(now_ns) && now_ns < self.cut_ns.saturating_add(self.notice_ns[end]);
        self.cuts - u32::from(late)
    }

    /// What both ends know of the link when they first look at it: its cuts so far, and whether
    /// they wait for a connection.
    pub(crate) fn known_to_both(&self, now_ns: u64) -> [(u32, bool); 2] {
        [(self.cuts, self.is_cut(now_ns)); 2]
    }

    /// Connects the ends where they are not, and can be.
    pub(crate) fn connect(&mut self, pace: Pace) {
        if self.connected || !self.wanted || self.is_cut(pace.now_ns) {
            return;
        }
        self.connected = true;
        for way in [Way::Forth, Way::Back] {
            self.ways[way as usize].framing = LinkFraming::new();
            self.flush(way, pace, None);
        }
    }

    /// When the first byte of a message that is sent now would get on the wire.
    pub(crate) fn start_ns(&self, way: Way, now_ns: u64) -> u64 {
        self.ways[way as usize].free_ns.max(now_ns)
    }

    /// Puts a message on the wire, and returns how many bytes it takes. One for which there is no
    /// connection is lost, as one is that is on its way when the connection ends.
    pub(crate) fn send(&mut self, way: Way, pace: Pace, message: &LinkMessage) -> u64 {
        if !self.takes(way, pace.now_ns, u64::MAX - pace.now_ns) {
            return 0;
        }
        self.ways[way as usize].framing.send(message);
        self.flush(way, pace, Some(message))
    }

    fn flush(&mut self, way: Way, pace: Pace, message: Option<&LinkMessage>) -> u64 {
        self.messages += 1;
        let start_ns = self.start_ns(way, pace.now_ns);
        let direction = &mut self.ways[way as usize];
        let bytes = direction.framing.outgoing().to_vec();
        direction.framing.consume(bytes.len());
        let (at_byte, byte_count) = (direction.sent, bytes.len() as u64);
        direction.sent += byte_count;
        direction.free_ns = start_ns + (byte_count * pace.byte_ps).div_ceil(1_000);
        direction.flying.push_back((direction.free_ns + pace.latency_ns, bytes));
        if let Some(transcript) = &mut self.transcript {
            let message = message.cloned();
            transcript.push(SentFrame { way, at_byte, byte_count, start_ns, message });
        }
        byte_count
    }

    /// The next message that has arrived.
    ///
    /// # Errors
    ///
    /// When what has arrived is none, which a link in one process rules out. One on which a bit was
    /// flipped ends then.
    pub(crate) fn receive(
        &mut self,
        way: Way,
        now_ns: u64,
    ) -> Result<Option<LinkMessage>, LinkError> {
        loop {
            // The framing of the end that takes is that which sends the other way.
            let taker = &mut self.ways[1 - way as usize].framing;
            let message = taker.poll_message();
            if self.flipped_until_ns.is_some_and(|end_ns| message.is_err() || end_ns <= now_ns) {
                self.cut(now_ns, REFUSED_NS, [0, 0]);
                return Ok(None);
            }
            if let Some(message) = message? {
                return Ok(Some(message));
            }
            if let Some(cut) = self.planned.front().copied()
                && cut.way == way
                && self.connected
                && self.ways[way as usize].arrived >= cut.at_byte
                && (cut.at_byte > 0 || self.next_ns().is_some_and(|at_ns| at_ns <= now_ns))
            {
                self.planned.pop_front();
                self.cut(now_ns, cut.down_ns, cut.notice_ns);
                return Ok(None);
            }
            let left = self.bytes_to_cut(way);
            let direction = &mut self.ways[way as usize];
            let Some((_, mut bytes)) = direction.flying.pop_front_if(|(at_ns, _)| *at_ns <= now_ns)
            else {
                return Ok(None);
            };
            bytes.truncate(left.try_into().unwrap_or(usize::MAX));
            if let Some(LinkFlip { bit, .. }) = self.flip.filter(|flip| flip.way == way)
                && let Some(at) = (bit / 8).checked_sub(direction.arrived)
                && let Some(byte) = bytes.get_mut(at as usize)
            {
                *byte ^= 1 << (bit % 8);
                (self.flip, self.flipped_until_ns) = (None, Some(now_ns + FLIPPED_NS));
            }
            direction.arrived += bytes.len() as u64;
            self.messages += 1;
            self.ways[1 - way as usize].framing.feed(&bytes);
        }
    }

    /// How many bytes arrive this way before the next cut.
    fn bytes_to_cut(&self, way: Way) -> u64 {
        let cut = self.planned.front().filter(|cut| cut.way == way);
        let arrived = self.ways[way as usize].arrived;
        cut.map_or(u64::MAX, |cut| cut.at_byte.saturating_sub(arrived))
    }

    /// When something happens next: something arrives, or it can be connected again.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let arrives = self.ways.iter().filter_map(|way| way.flying.front());
        let waits = self.wanted && !self.connected && self.cut_until_ns != u64::MAX;
        let heals = waits.then_some(self.cut_until_ns);
        arrives.map(|(at_ns, _)| *at_ns).chain(heals).min()
    }

    /// Nothing more gets on the wire until then, and nobody is told.
    pub(crate) fn stall(&mut self, until_ns: u64) {
        for direction in &mut self.ways {
            direction.free_ns = direction.free_ns.max(until_ns);
        }
    }

    /// Cuts the link: what is on its way is lost, and half of a frame with it.
    pub(crate) fn cut(&mut self, now_ns: u64, down_ns: u64, notice_ns: [u64; 2]) {
        for direction in &mut self.ways {
            direction.flying.clear();
            direction.framing = LinkFraming::new();
            (direction.free_ns, direction.sent, direction.arrived) = (0, 0, 0);
        }
        self.connected = false;
        self.flipped_until_ns = None;
        self.cut_ns = now_ns;
        self.notice_ns = notice_ns;
        self.cut_until_ns = now_ns.saturating_add(down_ns);
        self.cuts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_shim::Token;

    const PACE: Pace = Pace { now_ns: 0, byte_ps: 1_000, latency_ns: 10 };

    fn alive() -> LinkMessage {
        LinkMessage::Alive(Token { uuid: [1; 16], number: 2 })
    }

    /// A link whose ends have agreed, and the time.
    fn link(cuts: &[LinkCut]) -> (Link, Pace) {
        let mut link =
            Link { wanted: true, planned: cuts.iter().copied().collect(), ..Link::default() };
        link.connect(PACE);
        let now_ns = 1_000;
        assert_eq!(link.receive(Way::Forth, now_ns), Ok(None));
        assert_eq!(link.receive(Way::Back, now_ns), Ok(None));
        (link, Pace { now_ns, ..PACE })
    }

    fn cut(way: Way, at_byte: u64) -> LinkCut {
        LinkCut { way, at_byte, down_ns: 100, notice_ns: [0, 70] }
    }

    #[test]
    fn a_message_takes_its_bytes_time_and_the_latency() {
        let (mut link, pace) = link(&[]);
        link.send(Way::Forth, pace, &alive());
        let bytes = link.ways[0].sent - 16;
        let at_ns = 1_000 + bytes + 10;
        assert_eq!(link.next_ns(), Some(at_ns));
        assert_eq!(link.receive(Way::Forth, at_ns - 1), Ok(None));
        assert_eq!(link.receive(Way::Back, at_ns), Ok(None));
        assert_eq!(link.receive(Way::Forth, at_ns), Ok(Some(alive())));
    }

    #[test]
    fn a_cut_lets_through_exactly_the_bytes_before_it() {
        let frame = alive().encode().len() as u64 + 8;
        for at in 17..16 + 3 * frame {
            let (mut link, pace) = link(&[cut(Way::Forth, at)]);
            for _ in 0..3 {
                link.send(Way::Forth, pace, &alive());
            }
            link.send(Way::Back, pace, &alive());
            let mut arrived = 0;
            while let Some(message) = link.receive(Way::Forth, 2_000).unwrap() {
                assert_eq!(message, alive());
                arrived += 1;
            }
            assert_eq!(arrived, (at - 16) / frame, "cut at {at}");
            assert!(link.is_cut(2_000) && !link.is_cut(2_100), "cut at {at}");
            assert_eq!(link.receive(Way::Back, 2_000), Ok(None), "what was on its way is lost");
            assert_eq!([0, 1].map(|end| link.known_cuts(end, 2_000)), [1, 0]);
            assert_eq!([0, 1].map(|end| link.known_cuts(end, 2_070)), [1, 1]);
            link.connect(Pace { now_ns: 2_099, ..PACE });
            assert!(!link.takes(Way::Back, 2_099, 1));
            link.connect(Pace { now_ns: 2_100, ..PACE });
            assert_eq!(link.receive(Way::Forth, 3_000), Ok(None));
            assert_eq!(link.receive(Way::Back, 3_000), Ok(None));
            assert!(link.takes(Way::Back, 3_000, 1), "a new connection, with hellos of its own");
        }
    }

    #[test]
    fn a_cut_may_come_before_the_first_byte_or_within_a_hello() {
        for at in 0..16 {
            let planned = VecDeque::from([cut(Way::Back, at)]);
            let mut link = Link { wanted: true, planned, ..Link::default() };
            link.connect(PACE);
            assert_eq!(link.receive(Way::Back, 1_000), Ok(None));
            assert!(link.is_cut(1_000), "cut at {at}");
        }
    }
    #[test]
    fn a_flipped_bit_ends_the_connection_and_nothing_of_its_frame_is_believed() {
        let frame = 8 * (alive().encode().len() as u64 + 8);
        for bit in 16 * 8..16 * 8 + frame {
            let (mut link, pace) = link(&[]);
            link.flip = Some(LinkFlip { way: Way::Forth, bit });
            for _ in 0..2 {
                link.send(Way::Forth, pace, &alive());
            }
            // At once, or after a while in which nothing more comes of a frame that has grown.
            let (soon, late) = (pace.now_ns + 1_000, pace.now_ns + 1_000 + FLIPPED_NS);
            assert_eq!(link.receive(Way::Forth, soon), Ok(None), "bit {bit}");
            assert_eq!(link.receive(Way::Forth, late), Ok(None), "bit {bit}");
            assert_eq!(link.known_cuts(0, late), 1, "bit {bit}");
            let (now_ns, again) = (late + REFUSED_NS, late + REFUSED_NS + 1_000);
            link.connect(Pace { now_ns, ..PACE });
            assert_eq!(link.receive(Way::Forth, again), Ok(None));
            assert_eq!(link.receive(Way::Back, again), Ok(None));
            link.send(Way::Forth, Pace { now_ns: again, ..PACE }, &alive());
            assert_eq!(link.receive(Way::Forth, again + 1_000), Ok(Some(alive())), "one flip");
        }
    }
}
