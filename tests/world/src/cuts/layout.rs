//! Where the parts of a move are in the bytes of its connection.

use super::{Kind, LIMIT_NS, Scene, lost};
use crate::{SentFrame, Way};
use godwit_shim::LinkMessage;
use godwit_wire::record::{HEADER_BYTES, Header};
use std::ops::Range;

/// A byte of a connection at which it may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In which direction.
    pub way: Way,
    /// After so many bytes.
    pub at_byte: u64,
}

/// The bytes of a move whose link holds.
#[derive(Debug)]
pub struct Layout {
    /// What the bytes of each direction are for, in their order, and without a gap.
    phases: Vec<(Way, &'static str, Range<u64>)>,
    /// Ends of records of the state stream.
    pub boundaries: Vec<Place>,
    /// Every byte that is not of the stream, and the end of each direction.
    pub others: Vec<Place>,
}

impl Layout {
    /// Of a move in one world.
    ///
    /// # Panics
    ///
    /// When such a move fails.
    pub fn of(kind: Kind) -> Self {
        let Scene { mut world, from, to, .. } = Scene::new(kind);
        world.plan_cuts(from, to, &[]);
        assert!(world.run_until_settled(LIMIT_NS), "{:?}", world.transfers());
        let report = world.move_reports()[0].clone();
        assert_eq!(report.outcome, Ok(()));
        let frames = world.transcript(from, to);
        if kind == Kind::Sealed {
            return Self::without_records(frames);
        }
        let stream = Stream::new(frames);
        let ends = stream.record_ends();
        let live_end = ends[0] + report.bytes.precopy as usize;
        assert!(ends.contains(&live_end), "the rounds are whole records");
        let at = |end: &usize| Place { way: Way::Forth, at_byte: stream.place(*end) };
        let boundaries = ends.iter().map(at).collect();
        let marks = [(ends[0], "describe"), (live_end, "pre-copy"), (stream.bytes.len(), "stop")];
        let marks = marks.map(|(end, name)| (stream.place(end), name));
        Self { phases: phases(frames, &marks), boundaries, others: others(frames) }
    }

    /// Of a move between processes.
    ///
    /// # Panics
    ///
    /// When such a move fails.
    pub fn of_processes(kind: Kind) -> Self {
        Self::without_records(&lost::frames(kind))
    }

    /// Of a stream whose records are not looked at.
    fn without_records(frames: &[SentFrame]) -> Self {
        let phases = phases(frames, &[(u64::MAX, "stream")]);
        Self { phases, boundaries: Vec::new(), others: others(frames) }
    }

    /// What the byte after a place is for.
    pub fn phase(&self, place: Place) -> &'static str {
        let holds = |(way, _, range): &&(Way, &str, Range<u64>)| {
            *way == place.way && range.contains(&place.at_byte)
        };
        self.phases.iter().find(holds).map_or("end", |(_, name, _)| name)
    }

    /// The phases of a direction, with their bytes.
    pub fn phases(&self, way: Way) -> impl Iterator<Item = (&'static str, Range<u64>)> {
        let of = self.phases.iter().filter(move |(of, ..)| *of == way);
        of.map(|(_, name, range)| (*name, range.clone()))
    }
}

/// Name of what is no stream.
fn name(message: Option<&LinkMessage>) -> Option<&'static str> {
    Some(match message {
        None => "hello",
        Some(LinkMessage::Offer(..)) => "offer",
        Some(LinkMessage::Needs(..)) => "needs",
        Some(LinkMessage::Accept(..)) => "accept",
        Some(LinkMessage::Ready(_)) => "ready",
        Some(LinkMessage::Commit(_)) => "commit",
        Some(LinkMessage::Done(_)) => "done",
        Some(LinkMessage::Closed(_)) => "closed",
        Some(LinkMessage::Data(..) | LinkMessage::Alive(_)) => return None,
        Some(other) => panic!("a move whose link holds does not say {other:?}"),
    })
}

/// Where a frame ends, going by the next one of its direction.
fn end(frames: &[SentFrame], at: usize) -> u64 {
    let next = frames[at + 1..].iter().find(|next| next.way == frames[at].way);
    let bytes = |message: &LinkMessage| message.encode().len() as u64 + 8;
    let own = || frames[at].at_byte + frames[at].message.as_ref().map_or(16, bytes);
    next.map_or_else(own, |next| next.at_byte)
}

fn phases(
    frames: &[SentFrame],
    marks: &[(u64, &'static str)],
) -> Vec<(Way, &'static str, Range<u64>)> {
    let mut phases: Vec<(Way, &'static str, Range<u64>)> = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let (from, to) = (frame.at_byte, end(frames, at));
        if let Some(name) = name(frame.message.as_ref()) {
            phases.push((frame.way, name, from..to));
            continue;
        }
        let mut from = from;
        for (mark, name) in marks {
            let to = to.min(*mark);
            if from < to {
                match phases.iter_mut().find(|(_, of, _)| of == name) {
                    Some((.., range)) => range.end = to,
                    None => phases.push((frame.way, name, from..to)),
                }
                from = to;
            }
        }
    }
    phases
}

fn others(frames: &[SentFrame]) -> Vec<Place> {
    let mut others = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let way = frame.way;
        if name(frame.message.as_ref()).is_some() {
            // Its first byte is missing, or a later one, or the next frame.
            let places = frame.at_byte..=end(frames, at);
            others.extend(places.map(|at_byte| Place { way, at_byte }));
        }
    }
    others.sort_unstable_by_key(|place| (place.way as usize, place.at_byte));
    others.dedup();
    others
}

/// The state stream, and where its pieces are in the connection.
struct Stream {
    bytes: Vec<u8>,
    /// For each message, where its bytes begin in the stream and in the connection.
    pieces: Vec<(usize, u64)>,
}

impl Stream {
    fn new(frames: &[SentFrame]) -> Self {
        let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
        for (at, frame) in frames.iter().enumerate() {
            if let Some(LinkMessage::Data(_, data)) = &frame.message {
                pieces.push((bytes.len(), end(frames, at) - data.len() as u64));
                bytes.extend(data);
            }
        }
        Self { bytes, pieces }
    }

    /// Where a byte of the stream is in the connection; an end is that of the byte before it.
    fn place(&self, end: usize) -> u64 {
        let piece = self.pieces.iter().rfind(|(begin, _)| *begin < end.max(1));
        let (begin, place) = piece.expect("the stream has a first piece");
        place + (end - begin) as u64
    }

    fn record_ends(&self) -> Vec<usize> {
        let (mut ends, mut at) = (Vec::new(), 0);
        while let Some(header) = self.bytes.get(at..at + HEADER_BYTES) {
            let header = Header::parse(header.try_into().expect("it is as long as a header"));
            let header = header.expect("a stream is of records");
            at += HEADER_BYTES + header.body_bytes as usize + header.payload_bytes as usize;
            ends.push(at);
        }
        assert_eq!(at, self.bytes.len(), "a stream ends with its last record");
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_move_is_of_a_phase() {
        for (kind, live) in [(Kind::Stop, false), (Kind::Live, true), (Kind::Bounded, true)] {
            let layout = Layout::of(kind);
            let names = |way| layout.phases(way).map(|(name, _)| name).collect::<Vec<_>>();
            let mut forth =
                vec!["hello", "offer", "needs", "describe", "pre-copy", "stop", "commit", "closed"];
            forth.retain(|name| live || *name != "pre-copy");
            assert_eq!(names(Way::Forth), forth);
            assert_eq!(names(Way::Back), ["hello", "accept", "ready", "done"]);
            for way in [Way::Forth, Way::Back] {
                let mut at = 0;
                for (name, range) in layout.phases(way) {
                    assert_eq!(range.start, at, "{name}");
                    at = range.end;
                }
                assert_eq!(layout.phase(Place { way, at_byte: at }), "end");
                let last = layout.others.iter().rfind(|place| place.way == way);
                assert_eq!(last, Some(&Place { way, at_byte: at }));
            }
            // Descriptor, pages, vGPU, channel, context, function and trailer, at least.
            assert!(layout.boundaries.len() >= 7, "{:?}", layout.boundaries);
            assert!(layout.boundaries.is_sorted());
        }
    }
}
