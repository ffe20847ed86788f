//! A runlist as its engine sees it.

use crate::words::Words;
use godwit_regs::bits::{CtxStatus, Source, encode_ctx_status, parse_preempt_mode};
use godwit_regs::map::{intr, runlist};
use godwit_types::{PreemptMode, RunlistId, TsgId};

/// A request to put a group on the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartRequest {
    /// Which group; `None` when the number names none.
    pub tsg: Option<TsgId>,
    /// Number of the request.
    pub seq: u32,
}

/// A request to let go of what was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreemptRequest {
    /// At which boundary.
    pub mode: PreemptMode,
    /// Number of the start request that is meant.
    pub run: u32,
    /// Number of the request.
    pub seq: u32,
    /// When it comes.
    pub at_ns: u64,
}

/// One runlist's words, as the device has them.
#[derive(Debug)]
pub struct RunlistView<W> {
    words: W,
    id: RunlistId,
    preempt_seen: u32,
    reset_seen: u32,
}

impl<W: Words> RunlistView<W> {
    /// The view of one runlist; loads the firmware's numbers.
    pub fn new(words: W, id: RunlistId) -> Self {
        let preempt_seen = words.observe(runlist::preempt_seq(id));
        let reset_seen = words.observe(runlist::reset_seq(id));
        words.publish(runlist::run_ack(id), words.observe(runlist::run_seq(id)));
        Self { words, id, preempt_seen, reset_seen }
    }

    /// A start request that has not been taken up.
    pub fn poll_start(&mut self) -> Option<StartRequest> {
        let seq = self.words.observe(runlist::run_seq(self.id));
        if seq == self.words.read(runlist::run_ack(self.id)) {
            return None;
        }
        let raw = self.words.read(runlist::run_tsg(self.id));
        self.words.publish(runlist::run_ack(self.id), seq);
        Some(StartRequest { tsg: u16::try_from(raw).ok().and_then(TsgId::new), seq })
    }

    /// A preempt request.
    pub fn poll_preempt(&mut self) -> Option<PreemptRequest> {
        let seq = self.words.observe(runlist::preempt_seq(self.id));
        if seq == self.preempt_seen {
            return None;
        }
        self.preempt_seen = seq;
        let mode = parse_preempt_mode(self.words.read(runlist::preempt_mode(self.id)));
        let run = self.words.read(runlist::preempt_run(self.id));
        let (lo, hi) = (runlist::preempt_at_lo(self.id), runlist::preempt_at_hi(self.id));
        Some(PreemptRequest { mode, run, seq, at_ns: self.words.read_wide(lo, hi) })
    }

    /// A reset request's number.
    pub fn poll_reset(&mut self) -> Option<u32> {
        let seq = self.words.observe(runlist::reset_seq(self.id));
        if seq == self.reset_seen {
            return None;
        }
        self.reset_seen = seq;
        Some(seq)
    }

    /// Says what the engine holds (CTX_STATUS).
    pub fn set_status(&mut self, status: CtxStatus, tsg: Option<TsgId>) {
        self.words.write(runlist::ctx_status(self.id), encode_ctx_status(status, tsg));
    }

    /// The group of start request `seq` has no more work, and its contexts are saved.
    pub fn finish_idle(&mut self, seq: u32) {
        self.words.publish(runlist::idle_seq(self.id), seq);
        self.raise();
    }

    /// The preempt request `seq` is done.
    pub fn finish_preempt(&mut self, seq: u32) {
        self.words.publish(runlist::preempt_ack(self.id), seq);
        self.raise();
    }

    /// The reset request `seq` is done.
    pub fn finish_reset(&mut self, seq: u32) {
        self.words.publish(runlist::reset_ack(self.id), seq);
        self.raise();
    }

    fn raise(&self) {
        self.words.ring(intr::bell(), intr::ack(), Source::of(self.id).bits());
    }
}
