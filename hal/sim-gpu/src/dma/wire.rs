//! Guest memory that no mapping reaches: whoever runs the guest's machine carries the reads and
//! writes, as messages.
//!
//! ```text
//!  channel ── fetch ──▶ asked ──▶ queue ── request ──▶ host ── message ──▶ machine
//!     ▲                                                  │
//!     └────── take ◀────────── here ◀────── answer ──────┘
//! ```
//!
//! Requests leave in the order in which the device made them. A channel that reads waits until the
//! bytes are here; one that writes goes on, unless too many of its bytes are under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bytes of writes that are under way, from which on channels wait before they write more.
const WRITES_MAX: u64 = 1 << 20;
/// Reads that are asked for or here.
const READS_MAX: usize = 64;

/// A read or a write that the host is to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRequest {
    /// Its number, which the answer names.
    pub id: u64,
    /// First bus address.
    pub iova: u64,
    /// What is to be done there.
    pub access: WireAccess,
}

/// See [`WireRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireAccess {
    /// The answer has so many bytes, at most 64 KiB.
    Read {
        /// How many.
        byte_count: u32,
    },
    /// These bytes are to be written, at most 64 KiB.
    Write(Vec<u8>),
}

/// Where the bytes of a read are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// Here.
    Here,
    /// On their way.
    Waiting,
    /// They will not come.
    Failed,
}

#[derive(Debug)]
enum ReadState {
    Asked,
    Here(Vec<u8>),
    Failed,
}

/// A read, kept by its first address.
#[derive(Debug)]
struct Read {
    id: u64,
    byte_count: u64,
    state: ReadState,
}

/// What one vGPU has under way.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    last_id: u64,
    reads: BTreeMap<u64, Read>,
    queue: VecDeque<WireRequest>,
    /// Reads and writes that the host has taken, with the bytes of a write.
    sent: BTreeMap<u64, Sent>,
    write_bytes: u64,
    /// Writes that are under way.
    writes: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    Read { iova: u64 },
    Write { byte_count: u64 },
}

fn overlap(first: u64, byte_count: u64, other: u64, other_bytes: u64) -> bool {
    first < other.saturating_add(other_bytes) && other < first.saturating_add(byte_count)
}

impl Wire {
    fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Asks for bytes, unless that was done.
    pub(crate) fn fetch(&mut self, iova: u64, byte_count: u64) -> Fetch {
        let found = self.reads.range(..=iova).next_back();
        let covers = |(first, read): &(&u64, &Read)| {
            iova - **first <= read.byte_count && byte_count <= read.byte_count - (iova - **first)
        };
        let Some((first, read)) = found.filter(covers) else {
            self.ask(iova, byte_count);
            return Fetch::Waiting;
        };
        match read.state {
            ReadState::Asked => Fetch::Waiting,
            ReadState::Here(_) => Fetch::Here,
            ReadState::Failed => {
                let first = *first;
                self.reads.remove(&first);
                Fetch::Failed
            }
        }
    }

    fn ask(&mut self, iova: u64, byte_count: u64) {
        if self.reads.len() >= READS_MAX {
            // Whoever waits for the oldest asks again.
            let oldest = self.reads.iter().min_by_key(|(_, read)| read.id);
            if let Some(first) = oldest.map(|(first, _)| *first) {
                self.reads.remove(&first);
            }
        }
        let id = self.id();
        self.reads.insert(iova, Read { id, byte_count, state: ReadState::Asked });
        let access = WireAccess::Read { byte_count: byte_count as u32 };
        self.queue.push_back(WireRequest { id, iova, access });
    }

    /// Copies out bytes that are here. They are forgotten when the last of a read is taken.
    /// `false`: they are not here.
    pub(crate) fn take(&mut self, iova: u64, into: &mut [u8]) -> bool {
        let Some((first, read)) = self.reads.range(..=iova).next_back() else { return false };
        let (first, at) = (*first, (iova - first) as usize);
        let ReadState::Here(bytes) = &read.state else { return false };
        let Some(part) = bytes.get(at..).and_then(|rest| rest.get(..into.len())) else {
            return false;
        };
        into.copy_from_slice(part);
        if at + into.len() == bytes.len() {
            self.reads.remove(&first);
        }
        true
    }

    /// Whether a channel may write.
    pub(crate) fn has_room(&self) -> bool {
        self.write_bytes < WRITES_MAX
    }

    pub(crate) fn write(&mut self, iova: u64, bytes: &[u8]) {
        let id = self.id();
        self.writes.insert(id);
        self.write_bytes += bytes.len() as u64;
        self.queue.push_back(WireRequest { id, iova, access: WireAccess::Write(bytes.to_vec()) });
    }

    /// The number of the last request.
    pub(crate) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// The oldest write that is under way: the guest may not see it yet, nor those after it.
    pub(crate) fn oldest_write(&self) -> Option<u64> {
        self.writes.first().copied()
    }

    /// The next request for the host.
    pub(crate) fn next_request(&mut self) -> Option<WireRequest> {
        loop {
            let request = self.queue.pop_front()?;
            let sent = match &request.access {
                WireAccess::Read { .. } => {
                    let read = self.reads.get(&request.iova);
                    if read.is_none_or(|read| read.id != request.id) {
                        continue; // nobody waits for it any more
                    }
                    Sent::Read { iova: request.iova }
                }
                WireAccess::Write(bytes) => Sent::Write { byte_count: bytes.len() as u64 },
            };
            self.sent.insert(request.id, sent);
            return Some(request);
        }
    }

    /// What came of a request; `None`: it failed. An answer to none that is known is dropped.
    pub(crate) fn answer(&mut self, id: u64, bytes: Option<&[u8]>) {
        match self.sent.remove(&id) {
            Some(Sent::Read { iova }) => {
                let Some(read) = self.reads.get_mut(&iova).filter(|read| read.id == id) else {
                    return;
                };
                let whole = bytes.filter(|bytes| bytes.len() as u64 == read.byte_count);
                read.state =
                    whole.map_or(ReadState::Failed, |bytes| ReadState::Here(bytes.to_vec()));
            }
            Some(Sent::Write { byte_count }) => {
                self.writes.remove(&id);
                self.write_bytes -= byte_count;
            }
            None => {}
        }
    }

    /// Nothing that was not taken goes to or comes from these addresses any more.
    pub(crate) fn forget(&mut self, iova: u64, byte_count: u64) {
        self.reads.retain(|first, read| !overlap(*first, read.byte_count, iova, byte_count));
        self.queue.retain(|request| {
            let WireAccess::Write(bytes) = &request.access else { return true };
            let gone = overlap(request.iova, bytes.len() as u64, iova, byte_count);
            if gone {
                self.writes.remove(&request.id);
                self.write_bytes -= bytes.len() as u64;
            }
            !gone
        });
    }

    /// Bytes that were read ahead are read anew: what asked for them has left its engine.
    pub(crate) fn drop_reads(&mut self) {
        self.reads.clear();
    }

    /// The machine is gone, and with it all that is under way.
    pub(crate) fn clear(&mut self) {
        *self = Self { last_id: self.last_id, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &mut Wire) -> WireRequest {
        let request = wire.next_request().unwrap();
        assert!(matches!(request.access, WireAccess::Read { .. }));
        request
    }

    #[test]
    fn bytes_are_asked_for_once_and_taken_in_parts() {
        let mut wire = Wire::default();
        assert_eq!(wire.fetch(0x1000, 8), Fetch::Waiting);
        assert_eq!(wire.fetch(0x1000, 8), Fetch::Waiting);
        let asked = read(&mut wire);
        assert_eq!(wire.next_request(), None);
        wire.answer(asked.id, Some(&[1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(wire.fetch(0x1000, 8), Fetch::Here);
        let mut part = [0; 3];
        assert!(wire.take(0x1000, &mut part));
        assert_eq!(part, [1, 2, 3]);
        assert_eq!(wire.fetch(0x1003, 5), Fetch::Here);
        let mut rest = [0; 5];
        assert!(wire.take(0x1003, &mut rest));
        assert_eq!(rest, [4, 5, 6, 7, 8]);
        assert!(!wire.take(0x1003, &mut rest), "they are taken");
    }

    #[test]
    fn an_answer_of_another_length_or_an_error_fails_the_read() {
        let mut wire = Wire::default();
        for answer in [None, Some([0; 7].as_slice()), Some([0; 9].as_slice())] {
            assert_eq!(wire.fetch(0, 8), Fetch::Waiting);
            let asked = read(&mut wire);
            wire.answer(asked.id, answer);
            assert_eq!(wire.fetch(0, 8), Fetch::Failed);
        }
    }

    #[test]
    fn requests_leave_in_order_and_writes_are_bounded() {
        let mut wire = Wire::default();
        wire.write(0, &[1]);
        wire.fetch(0, 1);
        wire.write(0, &[2]);
        let ids: Vec<u64> = std::iter::from_fn(|| wire.next_request()).map(|it| it.id).collect();
        assert!(ids.is_sorted() && ids.len() == 3, "{ids:?}");
        assert!(wire.oldest_write().is_some());
        for id in ids {
            wire.answer(id, Some(&[]));
        }
        assert_eq!(wire.oldest_write(), None);
        while wire.has_room() {
            wire.write(0, &[0; 65536]);
        }
        assert_eq!(wire.write_bytes, WRITES_MAX);
    }

    #[test]
    fn what_leads_to_a_window_that_is_gone_is_dropped() {
        let mut wire = Wire::default();
        wire.fetch(0x1000, 16);
        wire.write(0x1ff0, &[7; 16]);
        wire.write(0x2000, &[8; 16]);
        wire.forget(0x1000, 0x1000);
        let left = wire.next_request().unwrap();
        assert_eq!((left.iova, wire.next_request()), (0x2000, None));
        wire.answer(left.id, Some(&[]));
        assert_eq!(wire.oldest_write(), None);
        assert_eq!(wire.fetch(0x1000, 16), Fetch::Waiting, "asked anew");
    }

    #[test]
    fn late_answers_after_the_machine_has_gone_do_nothing() {
        let mut wire = Wire::default();
        wire.write(0, &[1]);
        wire.fetch(0, 4);
        let (write, asked) = (wire.next_request().unwrap(), read(&mut wire));
        wire.clear();
        wire.fetch(0, 4);
        wire.answer(write.id, Some(&[]));
        wire.answer(asked.id, Some(&[0; 4]));
        assert_eq!(wire.fetch(0, 4), Fetch::Waiting);
    }

    #[test]
    fn reads_that_nobody_takes_do_not_pile_up() {
        let mut wire = Wire::default();
        for page in 0..1_000 {
            wire.fetch(page << 12, 4096);
        }
        assert_eq!(wire.reads.len(), READS_MAX);
        let asked = std::iter::from_fn(|| wire.next_request()).count();
        assert_eq!(asked, READS_MAX, "those that nobody waits for are not sent");
    }
}
