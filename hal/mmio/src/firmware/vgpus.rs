//! Partitions, apertures, routes.

use super::Mmio;
use crate::words::Words;
use godwit_hal::{Apertures, Partitions, Routes};
use godwit_regs::bits::{BindStatus, Source, route_channels, route_peers};
use godwit_regs::map::{bar, route, vmmu};
use godwit_types::{Aperture, Gfid, Index, Placement, Profile, Route};

fn bit(gfid: Gfid) -> u32 {
    1u32.wrapping_shl(gfid.index() as u32)
}

/// The first vGPU of `awaited` that `settled` finds done, with its bit cleared.
fn take_settled(awaited: &mut u32, settled: impl Fn(Gfid) -> bool) -> Option<Gfid> {
    let mut left = *awaited;
    for _ in 0..u32::BITS {
        let gfid = Gfid::from_index(left.trailing_zeros() as usize)?;
        if settled(gfid) {
            *awaited &= !bit(gfid);
            return Some(gfid);
        }
        left &= left.wrapping_sub(1);
    }
    None
}

impl<W: Words, L, R> Mmio<W, L, R> {
    fn write_partition(&mut self, gfid: Gfid, base: u64, limit: u64) {
        self.words.write_wide(vmmu::base_lo(gfid), vmmu::base_hi(gfid), base);
        self.words.write_wide(vmmu::limit_lo(gfid), vmmu::limit_hi(gfid), limit);
        let seq = self.words.read(vmmu::seq(gfid));
        self.words.publish(vmmu::seq(gfid), seq.wrapping_add(1));
        self.partitions_awaited |= bit(gfid);
        self.kick();
    }
}

impl<W: Words, L, R> Partitions for Mmio<W, L, R> {
    fn set_partition(&mut self, gfid: Gfid, placement: &Placement, profile: &Profile) {
        self.write_partition(gfid, placement.fb_base, profile.fb_bytes);
    }

    fn clear_partition(&mut self, gfid: Gfid) {
        self.write_partition(gfid, 0, 0);
    }

    fn poll_partition(&mut self) -> Option<Gfid> {
        if !self.pending.contains(Source::VMMU) {
            return None;
        }
        let words = &self.words;
        let found = take_settled(&mut self.partitions_awaited, |gfid| {
            words.observe(vmmu::ack(gfid)) == words.read(vmmu::seq(gfid))
        });
        if found.is_none() {
            self.pending.remove(Source::VMMU);
        }
        found
    }
}

impl<W: Words, L, R> Apertures for Mmio<W, L, R> {
    fn bind_aperture(&mut self, gfid: Gfid, aperture: &Aperture) {
        let words = &self.words;
        words.write_wide(bar::base_lo(gfid), bar::base_hi(gfid), aperture.bar_base);
        words.write_wide(bar::offset_lo(gfid), bar::offset_hi(gfid), aperture.fb_offset);
        words.write_wide(bar::length_lo(gfid), bar::length_hi(gfid), aperture.byte_count);
        words.write(bar::mode(gfid), aperture.mode as u32);
        let seq = words.read(bar::seq(gfid));
        words.publish(bar::seq(gfid), seq.wrapping_add(1));
        self.apertures_awaited |= bit(gfid);
        self.kick();
    }

    fn poll_aperture(&mut self) -> Option<Gfid> {
        if !self.pending.contains(Source::BAR) {
            return None;
        }
        let words = &self.words;
        let found = take_settled(&mut self.apertures_awaited, |gfid| {
            let status = BindStatus::from_bits_retain(words.read(bar::bind_status(gfid)));
            words.observe(bar::ack(gfid)) == words.read(bar::seq(gfid))
                && !status.intersects(BindStatus::PENDING | BindStatus::OUTSTANDING)
        });
        if found.is_none() {
            self.pending.remove(Source::BAR);
        }
        found
    }
}

impl<W: Words, L, R> Routes for Mmio<W, L, R> {
    fn set_route(&mut self, gfid: Gfid, to: &Route) {
        let channels = route_channels::BASE.put(u32::from(to.channel_base))
            | route_channels::COUNT.put(u32::from(to.channel_count));
        self.words.write(route::channels(gfid), channels);
        self.words.write_wide(route::time_lo(gfid), route::time_hi(gfid), to.time_offset_ns);
        self.words.write(route::open(gfid), u32::from(to.interrupts_open));
        let seq = self.words.read(route::seq(gfid));
        self.words.publish(route::seq(gfid), seq.wrapping_add(1));
        self.kick();
    }

    fn set_peers(&mut self, gfid: Gfid, open: bool) {
        let number = route_peers::NUMBER.take(self.words.read(route::peers(gfid)));
        let word = route_peers::NUMBER.put(number.wrapping_add(1))
            | route_peers::CLOSED.put(u32::from(!open));
        self.words.publish(route::peers(gfid), word);
        self.peers_awaited |= bit(gfid);
        self.kick();
    }

    fn poll_peers(&mut self) -> Option<Gfid> {
        if !self.pending.contains(Source::PEERS) {
            return None;
        }
        let words = &self.words;
        let found = take_settled(&mut self.peers_awaited, |gfid| {
            words.observe(route::peers_ack(gfid)) == words.read(route::peers(gfid))
        });
        if found.is_none() {
            self.pending.remove(Source::PEERS);
        }
        found
    }

    fn are_peers_open(&self, gfid: Gfid) -> bool {
        route_peers::CLOSED.take(self.words.read(route::peers(gfid))) == 0
    }

    fn inject_vectors(&mut self, gfid: Gfid, vectors: u32) {
        // A request that the device has not done yet is taken along: none is lost.
        let seq = self.words.read(route::inject_seq(gfid));
        let earlier = if self.words.observe(route::inject_ack(gfid)) == seq {
            0
        } else {
            self.words.read(route::inject(gfid))
        };
        self.words.write(route::inject(gfid), vectors | earlier);
        self.words.publish(route::inject_seq(gfid), seq.wrapping_add(1));
        self.kick();
    }

    fn pending_vectors(&self, gfid: Gfid) -> u32 {
        self.words.observe(route::raise(gfid)) ^ self.words.observe(route::taken(gfid))
    }

    fn interrupts(&self, gfid: Gfid) -> u32 {
        self.words.observe(route::raised(gfid))
    }
}
