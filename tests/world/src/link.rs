//! The link between two hosts, one direction of it.

use godwit_shim::LinkMessage;
use std::collections::VecDeque;

/// Messages on their way. Each takes its bytes' time on the wire and then the latency.
#[derive(Debug, Default)]
pub(crate) struct Link {
    flying: VecDeque<(u64, Vec<u8>)>,
    free_ns: u64,
    /// Until when it is cut.
    pub(crate) cut_until_ns: u64,
    /// Messages that were sent or received so far.
    pub(crate) messages: u64,
    /// Counts the cuts, so that one shorter than a step is seen.
    pub(crate) cuts: u32,
}

impl Link {
    /// Whether it takes a message now: it is whole, and what was sent is nearly through.
    pub(crate) fn takes(&self, now_ns: u64, window_ns: u64) -> bool {
        !self.is_cut(now_ns) && self.free_ns < now_ns + window_ns
    }

    pub(crate) fn is_cut(&self, now_ns: u64) -> bool {
        now_ns < self.cut_until_ns
    }

    /// Puts a message on the wire.
    pub(crate) fn send(
        &mut self,
        now_ns: u64,
        byte_ps: u64,
        latency_ns: u64,
        message: &LinkMessage,
    ) {
        self.messages += 1;
        let bytes = message.encode();
        let wire_ns = (bytes.len() as u64 * byte_ps).div_ceil(1_000);
        self.free_ns = self.free_ns.max(now_ns) + wire_ns;
        self.flying.push_back((self.free_ns + latency_ns, bytes));
    }

    /// The next message that has arrived.
    pub(crate) fn receive(&mut self, now_ns: u64) -> Option<LinkMessage> {
        let (_, bytes) = self.flying.pop_front_if(|(at_ns, _)| *at_ns <= now_ns)?;
        self.messages += 1;
        Some(LinkMessage::decode(&bytes).expect("a link carries what was sent"))
    }

    /// When something arrives next.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.flying.front().map(|(at_ns, _)| *at_ns)
    }

    /// Nothing more gets on the wire until then, and nobody is told.
    pub(crate) fn stall(&mut self, until_ns: u64) {
        self.free_ns = self.free_ns.max(until_ns);
    }

    /// Cuts the link: what is on its way is lost.
    pub(crate) fn cut(&mut self, until_ns: u64) {
        self.flying.clear();
        self.free_ns = 0;
        self.cut_until_ns = until_ns;
        self.cuts += 1;
    }
}
