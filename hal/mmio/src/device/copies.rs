//! The privileged copy ring as the copy engine has it.

use crate::words::Words;
use godwit_regs::bits::Source;
use godwit_regs::copy::{self, RequestWords};
use godwit_regs::map::{CopyEntry, copy_entry, copy_ring, intr};
use godwit_types::{COPY_RING_ENTRIES, CopyDone, CopyRequest};

/// What the ring holds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPoll {
    /// Nothing.
    Empty,
    /// An operation; answer it before the next is taken.
    Request(CopyRequest),
    /// An entry that no engine could do; answer it as out of range.
    Malformed,
}

/// The copy ring's words, as the device has them. Operations are done in order.
#[derive(Debug)]
pub struct CopyView<W> {
    words: W,
    done: u32,
}

impl<W: Words> CopyView<W> {
    /// The view of the ring; loads the numbers.
    pub fn new(words: W) -> Self {
        let done = words.observe(copy_ring::put());
        words.publish(copy_ring::done(), done);
        Self { words, done }
    }

    /// The oldest operation that is not answered.
    pub fn poll(&self) -> CopyPoll {
        let ahead = self.words.observe(copy_ring::put()).wrapping_sub(self.done);
        if ahead == 0 || ahead > u32::from(COPY_RING_ENTRIES) {
            return CopyPoll::Empty;
        }
        let entry = CopyEntry::of(self.done);
        let words: RequestWords = [
            self.words.read(copy_entry::op(entry)),
            self.words.read(copy_entry::slot(entry)),
            self.words.read(copy_entry::a_lo(entry)),
            self.words.read(copy_entry::a_hi(entry)),
            self.words.read(copy_entry::b_lo(entry)),
            self.words.read(copy_entry::b_hi(entry)),
            self.words.read(copy_entry::crc(entry)),
        ];
        copy::parse(words).map_or(CopyPoll::Malformed, CopyPoll::Request)
    }

    /// Answers the oldest operation.
    pub fn finish(&mut self, answer: &CopyDone) {
        let entry = CopyEntry::of(self.done);
        let [status, crc, bytes, pages] = copy::encode_done(answer);
        self.words.write(copy_entry::done_status(entry), status);
        self.words.write(copy_entry::done_crc(entry), crc);
        self.words.write(copy_entry::done_bytes(entry), bytes);
        self.words.write(copy_entry::done_pages(entry), pages);
        self.done = self.done.wrapping_add(1);
        self.words.publish(copy_ring::done(), self.done);
        self.words.ring(intr::bell(), intr::ack(), Source::COPY.bits());
    }
}
