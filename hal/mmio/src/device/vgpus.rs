//! The blocks of one vGPU as the device has them: partition, aperture, route.

use crate::words::Words;
use godwit_regs::bits::{BindStatus, Source, route_channels, route_peers};
use godwit_regs::map::{bar, intr, route, vmmu};
use godwit_types::{Aperture, BarMode, Gfid, Route};

/// A request to set or clear a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRequest {
    /// First byte and length, or `None` to clear.
    pub partition: Option<(u64, u64)>,
    /// Number of the request.
    pub seq: u32,
}

/// A request to bind an aperture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApertureRequest {
    /// What to bind.
    pub aperture: Aperture,
    /// Number of the request.
    pub seq: u32,
}

/// A request to bind a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRequest {
    /// What to bind.
    pub route: Route,
    /// Number of the request.
    pub seq: u32,
}

/// A request to close or open a vGPU's way to its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeersRequest {
    /// No access may begin.
    pub closed: bool,
    /// The word, which the answer echoes.
    pub word: u32,
}

/// One vGPU's words, as the device has them.
#[derive(Debug)]
pub struct VgpuView<W> {
    words: W,
    gfid: Gfid,
    bar_seen: u32,
    peers_seen: u32,
}

impl<W: Words> VgpuView<W> {
    /// The view of one vGPU's blocks; loads the firmware's numbers.
    pub fn new(words: W, gfid: Gfid) -> Self {
        let bar_seen = words.observe(bar::ack(gfid));
        let peers_seen = words.observe(route::peers_ack(gfid));
        Self { words, gfid, bar_seen, peers_seen }
    }

    /// A partition request that is not acknowledged.
    pub fn poll_partition(&mut self) -> Option<PartitionRequest> {
        let seq = self.words.observe(vmmu::seq(self.gfid));
        if seq == self.words.read(vmmu::ack(self.gfid)) {
            return None;
        }
        let base = self.words.read_wide(vmmu::base_lo(self.gfid), vmmu::base_hi(self.gfid));
        let limit = self.words.read_wide(vmmu::limit_lo(self.gfid), vmmu::limit_hi(self.gfid));
        Some(PartitionRequest { partition: (limit != 0).then_some((base, limit)), seq })
    }

    /// The partition is set or cleared.
    pub fn finish_partition(&mut self, seq: u32) {
        self.words.publish(vmmu::ack(self.gfid), seq);
        self.words.ring(intr::bell(), intr::ack(), Source::VMMU.bits());
    }

    /// An aperture request, once. Until [`Self::finish_aperture`], PENDING is set.
    pub fn poll_aperture(&mut self) -> Option<ApertureRequest> {
        let seq = self.words.observe(bar::seq(self.gfid));
        if seq == self.bar_seen {
            return None;
        }
        self.bar_seen = seq;
        let aperture = Aperture {
            bar_base: self.words.read_wide(bar::base_lo(self.gfid), bar::base_hi(self.gfid)),
            fb_offset: self.words.read_wide(bar::offset_lo(self.gfid), bar::offset_hi(self.gfid)),
            byte_count: self.words.read_wide(bar::length_lo(self.gfid), bar::length_hi(self.gfid)),
            mode: match self.words.read(bar::mode(self.gfid)) {
                2 => BarMode::Direct,
                1 => BarMode::Trap,
                _ => BarMode::Blocked,
            },
        };
        let status = BindStatus::PENDING | BindStatus::OUTSTANDING;
        self.words.write(bar::bind_status(self.gfid), status.bits());
        Some(ApertureRequest { aperture, seq })
    }

    /// The window is what was asked, and no access through the old one is under way.
    pub fn finish_aperture(&mut self, seq: u32) {
        self.words.write(bar::bind_status(self.gfid), BindStatus::empty().bits());
        self.words.publish(bar::ack(self.gfid), seq);
        self.words.ring(intr::bell(), intr::ack(), Source::BAR.bits());
    }

    /// A route request that is not acknowledged.
    pub fn poll_route(&mut self) -> Option<RouteRequest> {
        let seq = self.words.observe(route::seq(self.gfid));
        if seq == self.words.read(route::ack(self.gfid)) {
            return None;
        }
        let channels = self.words.read(route::channels(self.gfid));
        let route = Route {
            channel_base: route_channels::BASE.take(channels) as u16,
            channel_count: route_channels::COUNT.take(channels) as u16,
            time_offset_ns: self
                .words
                .read_wide(route::time_lo(self.gfid), route::time_hi(self.gfid)),
            interrupts_open: self.words.read(route::open(self.gfid)) & 1 != 0,
        };
        Some(RouteRequest { route, seq })
    }

    /// The route is in effect.
    pub fn finish_route(&mut self, seq: u32) {
        self.words.publish(route::ack(self.gfid), seq);
    }

    /// A request about peers, once.
    pub fn poll_peers(&mut self) -> Option<PeersRequest> {
        let word = self.words.observe(route::peers(self.gfid));
        if word == self.peers_seen {
            return None;
        }
        self.peers_seen = word;
        Some(PeersRequest { closed: route_peers::CLOSED.take(word) != 0, word })
    }

    /// It is as asked, and no access is under way that is not to be.
    pub fn finish_peers(&mut self, word: u32) {
        self.words.publish(route::peers_ack(self.gfid), word);
        self.words.ring(intr::bell(), intr::ack(), Source::PEERS.bits());
    }

    /// Vectors that the firmware wants raised; done at once.
    pub fn poll_inject(&mut self) -> Option<u32> {
        let seq = self.words.observe(route::inject_seq(self.gfid));
        if seq == self.words.read(route::inject_ack(self.gfid)) {
            return None;
        }
        let vectors = self.words.read(route::inject(self.gfid));
        self.words.publish(route::inject_ack(self.gfid), seq);
        Some(vectors)
    }

    /// Raises vectors to the host; one that is pending stays so.
    pub fn raise_vectors(&mut self, vectors: u32) {
        let count = self.words.read(route::raised(self.gfid));
        self.words.write(route::raised(self.gfid), count.wrapping_add(1));
        self.words.ring(route::raise(self.gfid), route::taken(self.gfid), vectors);
    }

    /// Vectors that were raised and not taken by the host.
    pub fn pending_vectors(&self) -> u32 {
        self.words.observe(route::raise(self.gfid)) ^ self.words.observe(route::taken(self.gfid))
    }
}
