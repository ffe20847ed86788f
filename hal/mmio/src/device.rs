//! The device's side of the map: requests come out, answers go in.
//!
//! Each `poll_*` hands out a request once. The device says that it is done with the call
//! that bears the answer's name; until then the firmware waits.

mod copies;
mod runlists;
mod vgpus;

pub use copies::{CopyPoll, CopyView};
pub use runlists::{PreemptRequest, RunlistView, StartRequest};
pub use vgpus::{ApertureRequest, PartitionRequest, PeersRequest, RouteRequest, VgpuView};

use crate::words::Words;
use godwit_hal::Identity;
use godwit_regs::bits::{ChannelStatus, MAGIC, MAP_VERSION, Source};
use godwit_regs::map::{bell_summary, bells, channel, identity, intr, timer};
use godwit_regs::{map::BellGroup, request};
use godwit_types::{ChannelConfig, ChannelFault, ChannelId, Gfid, Index};

/// Identity, time, interrupts, doorbells and channel slots, as the device has them.
#[derive(Debug)]
pub struct DeviceView<W> {
    words: W,
    alarm_seen: u32,
    kick_seen: u32,
}

impl<W: Words> DeviceView<W> {
    /// A device that comes up: says what it is, and loads the firmware's numbers.
    pub fn new(words: W, what: &Identity) -> Self {
        words.write_wide(identity::fb_lo(), identity::fb_hi(), what.fb_bytes);
        words.write_wide(identity::bar_lo(), identity::bar_hi(), what.bar_bytes);
        words.write_wide(identity::context_lo(), identity::context_hi(), what.context_bytes);
        words.write(identity::context_layout(), what.context_layout);
        words.write(identity::engines(), what.engines.bits());
        words.write(identity::version(), MAP_VERSION);
        words.publish(identity::magic(), MAGIC);
        let alarm_seen = words.observe(timer::alarm_seq());
        let kick_seen = words.observe(intr::kick()).wrapping_sub(1);
        Self { words, alarm_seen, kick_seen }
    }

    /// Says what time it is.
    pub fn set_time(&mut self, now_ns: u64) {
        self.words.write_wide(timer::ns_lo(), timer::ns_hi(), now_ns);
    }

    /// A new alarm request: when to ring (`u64::MAX`: never), and its number.
    pub fn poll_alarm(&mut self) -> Option<(u64, u32)> {
        let seq = self.words.observe(timer::alarm_seq());
        if seq == self.alarm_seen {
            return None;
        }
        self.alarm_seen = seq;
        Some((self.words.read_wide(timer::alarm_lo(), timer::alarm_hi()), seq))
    }

    /// Rings the alarm of request `seq`.
    pub fn ring_alarm(&mut self, seq: u32) {
        self.words.publish(timer::alarm_ack(), seq);
        self.raise(Source::ALARM);
    }

    /// Interrupts the firmware.
    pub fn raise(&mut self, source: Source) {
        self.words.ring(intr::bell(), intr::ack(), source.bits());
    }

    /// The firmware's watchdog counter.
    pub fn heartbeat(&self) -> u32 {
        self.words.read(intr::heartbeat())
    }

    /// Counts the times the firmware found nothing to do; virtual time goes on after it has.
    pub fn idle_count(&self) -> u32 {
        self.words.observe(intr::idle())
    }

    /// Whether a request was written to a vGPU's or channel's block since the last call.
    /// When it was, look through all of them.
    pub fn poll_kick(&mut self) -> bool {
        let kick = self.words.observe(intr::kick());
        let fresh = kick != self.kick_seen;
        self.kick_seen = kick;
        fresh
    }

    /// A request of a channel slot that is not acknowledged yet, with its number: what to
    /// bind it to. A slot with words that no channel can have counts as bound to nothing.
    pub fn poll_channel(&mut self, id: ChannelId) -> Option<(Option<ChannelConfig>, u32)> {
        let seq = self.words.observe(channel::seq(id));
        if seq == self.words.read(channel::ack(id)) {
            return None;
        }
        let words = [
            self.words.read(channel::config(id)),
            self.words.read(channel::ids(id)),
            self.words.read(channel::ring(id)),
            self.words.read(channel::context(id)),
        ];
        Some((request::parse_channel(words), seq))
    }

    /// The slot has taken on what was asked; an earlier fault is gone.
    pub fn acknowledge_channel(&mut self, id: ChannelId, seq: u32) {
        self.words.write(channel::fault(id), 0);
        self.words.publish(channel::ack(id), seq);
    }

    /// Says what a channel is doing.
    pub fn set_channel_status(&mut self, id: ChannelId, status: ChannelStatus) {
        self.words.write(channel::status(id), status.bits());
    }

    /// A doorbell rings for the firmware.
    pub fn ring_doorbell(&mut self, id: ChannelId) {
        let (group, bit) = BellGroup::of(id);
        self.words.ring(bells::doorbell(group), bells::doorbell_ack(group), bit);
        let (half, bit) = group.summary();
        self.words.ring(bell_summary::doorbell(half), bell_summary::doorbell_ack(half), bit);
        self.raise(Source::DOORBELL);
    }

    /// A vGPU's guest says that latency matters; its doorbell rings after this.
    pub fn ring_hint(&mut self, gfid: Gfid) {
        let bit = 1u32.wrapping_shl(gfid.index() as u32);
        self.words.ring(intr::hint(), intr::hint_ack(), bit);
        self.raise(Source::HINT);
    }

    /// Stops a channel with a fault.
    pub fn fault_channel(&mut self, id: ChannelId, fault: ChannelFault) {
        self.words.write(channel::fault(id), fault as u32);
        let (group, bit) = BellGroup::of(id);
        self.words.ring(bells::fault(group), bells::fault_ack(group), bit);
        let (half, bit) = group.summary();
        self.words.ring(bell_summary::fault(half), bell_summary::fault_ack(half), bit);
        self.raise(Source::FAULT);
    }
}
