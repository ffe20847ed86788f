//! The privileged copy ring.

use super::Mmio;
use crate::words::Words;
use godwit_hal::CopyRing;
use godwit_regs::bits::Source;
use godwit_regs::copy;
use godwit_regs::map::{CopyEntry, copy_entry, copy_ring};
use godwit_types::{COPY_RING_ENTRIES, CopyDone, CopyRequest};

impl<W: Words, L, R> CopyRing for Mmio<W, L, R> {
    fn copy_room(&self) -> u8 {
        // An entry is free once its answer has been read; one of a firmware that is gone,
        // whose answer nobody reads, once it is done.
        let put = self.words.read(copy_ring::put());
        let unread = put.wrapping_sub(self.copy_seen);
        let undone = put.wrapping_sub(self.words.observe(copy_ring::done()));
        let used = u8::try_from(unread.max(undone)).unwrap_or(u8::MAX);
        COPY_RING_ENTRIES.saturating_sub(used)
    }

    fn submit_copy(&mut self, request: &CopyRequest) -> bool {
        if self.copy_room() == 0 {
            return false;
        }
        let put = self.words.read(copy_ring::put());
        let entry = CopyEntry::of(put);
        let [op, slot, a_lo, a_hi, b_lo, b_hi, crc] = copy::encode(request);
        self.words.write(copy_entry::op(entry), op);
        self.words.write(copy_entry::slot(entry), slot);
        self.words.write(copy_entry::a_lo(entry), a_lo);
        self.words.write(copy_entry::a_hi(entry), a_hi);
        self.words.write(copy_entry::b_lo(entry), b_lo);
        self.words.write(copy_entry::b_hi(entry), b_hi);
        self.words.write(copy_entry::crc(entry), crc);
        self.words.publish(copy_ring::put(), put.wrapping_add(1));
        true
    }

    fn poll_copy(&mut self) -> Option<CopyDone> {
        if !self.pending.contains(Source::COPY) {
            return None;
        }
        let ahead = self.words.observe(copy_ring::done()).wrapping_sub(self.copy_seen);
        if ahead == 0 || ahead > u32::from(COPY_RING_ENTRIES) {
            self.pending.remove(Source::COPY);
            return None;
        }
        let entry = CopyEntry::of(self.copy_seen);
        let tag = self.words.read(copy_entry::op(entry)).wrapping_shr(16) as u16;
        let words = [
            self.words.read(copy_entry::done_status(entry)),
            self.words.read(copy_entry::done_crc(entry)),
            self.words.read(copy_entry::done_bytes(entry)),
            self.words.read(copy_entry::done_pages(entry)),
        ];
        self.copy_seen = self.copy_seen.wrapping_add(1);
        Some(copy::parse_done(tag, words))
    }
}
