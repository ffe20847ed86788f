//! Time, runlists, channels.

use super::Mmio;
use crate::host::device_time_ns;
use crate::words::Words;
use godwit_hal::{Channels, Identity, Runlists, Timer};
use godwit_regs::bits::{OnCrash, Source, encode_preempt_mode, parse_ctx_status};
use godwit_regs::map::{
    BellGroup, SummaryHalf, bell_summary, bells, channel, identity, intr, runlist, timer,
};
use godwit_regs::{Word, request};
use godwit_types::{
    CHANNEL_COUNT, ChannelConfig, ChannelFault, ChannelId, Engines, Gfid, Index, PreemptMode,
    RunlistEvent, RunlistId, RunlistState, TsgId,
};

impl<W: Words, L, R> Timer for Mmio<W, L, R> {
    fn now_ns(&self) -> u64 {
        device_time_ns(&self.words)
    }

    fn set_alarm(&mut self, at_ns: Option<u64>) {
        let at_ns = at_ns.unwrap_or(u64::MAX);
        self.words.write_wide(timer::alarm_lo(), timer::alarm_hi(), at_ns);
        let seq = self.words.read(timer::alarm_seq());
        self.words.publish(timer::alarm_seq(), seq.wrapping_add(1));
    }

    fn poll_alarm(&mut self) -> bool {
        if !self.pending.contains(Source::ALARM) {
            return false;
        }
        self.pending.remove(Source::ALARM);
        let seq = self.words.observe(timer::alarm_ack());
        let rang = seq != self.alarm_seen;
        self.alarm_seen = seq;
        rang
    }
}

fn preempt(words: &impl Words, id: RunlistId, mode: PreemptMode, seq: u32, at_ns: u64) {
    words.write_wide(runlist::preempt_at_lo(id), runlist::preempt_at_hi(id), at_ns);
    words.write(runlist::preempt_mode(id), encode_preempt_mode(mode));
    // Always what was started last: two requests of one turn may be seen at once.
    words.write(runlist::preempt_run(id), words.read(runlist::run_seq(id)));
    words.publish(runlist::preempt_seq(id), seq);
}

/// What firmware that ends by itself leaves the engines with: as the host has asked, they go on,
/// or let go at the next instruction. It needs nothing but the map; the next firmware finds the
/// requests there as if it had crashed a moment later.
pub fn leave_engines(words: &impl Words) {
    let on_crash = OnCrash::from_bits_retain(words.observe(intr::on_crash()));
    if on_crash.contains(OnCrash::STOP) {
        for id in [RunlistId::COMPUTE, RunlistId::COPY] {
            let seq = words.read(runlist::preempt_seq(id)).wrapping_add(1);
            preempt(words, id, PreemptMode::Instruction, seq, 0);
        }
    }
}

impl<W: Words, L, R> Runlists for Mmio<W, L, R> {
    fn start(&mut self, id: RunlistId, tsg: TsgId, seq: u32) {
        self.words.write(runlist::run_tsg(id), u32::from(tsg.raw()));
        self.words.publish(runlist::run_seq(id), seq);
    }

    fn request_preempt(&mut self, id: RunlistId, mode: PreemptMode, seq: u32) {
        preempt(&self.words, id, mode, seq, 0);
    }

    fn preempt_at(&mut self, id: RunlistId, mode: PreemptMode, seq: u32, at_ns: u64) {
        preempt(&self.words, id, mode, seq, at_ns);
    }

    fn request_reset(&mut self, id: RunlistId, seq: u32) {
        self.words.publish(runlist::reset_seq(id), seq);
    }

    fn poll_runlist(&mut self, id: RunlistId) -> Option<RunlistEvent> {
        if !self.pending.contains(Source::of(id)) {
            return None;
        }
        let seen = &mut self.runlists[id];
        let idle = self.words.observe(runlist::idle_seq(id));
        if idle != seen.idle {
            seen.idle = idle;
            return Some(RunlistEvent::Idle { seq: idle });
        }
        let preempt = self.words.observe(runlist::preempt_ack(id));
        if preempt != seen.preempt {
            seen.preempt = preempt;
            return Some(RunlistEvent::Preempted { seq: preempt });
        }
        let reset = self.words.observe(runlist::reset_ack(id));
        if reset != seen.reset {
            seen.reset = reset;
            return Some(RunlistEvent::Reset { seq: reset });
        }
        self.pending.remove(Source::of(id));
        None
    }

    fn runlist_state(&self, id: RunlistId) -> RunlistState {
        parse_ctx_status(self.words.observe(runlist::ctx_status(id)))
    }

    fn last_requests(&self, id: RunlistId) -> (u32, u32, u32) {
        (
            self.words.read(runlist::run_seq(id)),
            self.words.read(runlist::preempt_seq(id)),
            self.words.read(runlist::reset_seq(id)),
        )
    }
}

impl<W: Words, L, R> Mmio<W, L, R> {
    fn write_channel(&mut self, id: ChannelId, words: [u32; 4]) {
        let [config, ids, ring, context] = words;
        self.words.write(channel::config(id), config);
        self.words.write(channel::ids(id), ids);
        self.words.write(channel::ring(id), ring);
        self.words.write(channel::context(id), context);
        let seq = self.words.read(channel::seq(id));
        self.words.publish(channel::seq(id), seq.wrapping_add(1));
        self.kick();
    }

    /// Takes up the bells of the next group that has any. The summary is acknowledged before
    /// the group is read, so that a bell that rings in between is seen now or rings again.
    fn take_bells(
        &self,
        summary: fn(SummaryHalf) -> (Word, Word),
        group_words: fn(BellGroup) -> (Word, Word),
    ) -> Option<HeldBells> {
        for half in SummaryHalf::ALL {
            let (bell, ack) = summary(half);
            for _ in 0..u32::BITS {
                let seen = self.words.read(ack);
                let pending = self.words.observe(bell) ^ seen;
                let Some(group) = half.group(pending.trailing_zeros()) else {
                    break;
                };
                self.words.publish(ack, seen ^ (pending & pending.wrapping_neg()));
                let (group_bell, group_ack) = group_words(group);
                let bits = self.words.answer(group_bell, group_ack);
                if bits != 0 {
                    return Some(HeldBells { group, bits });
                }
            }
        }
        None
    }
}

/// Bells that are acknowledged and not handed out yet. A firmware that restarts here loses
/// them, which is why recovery counts every bound channel as rung.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldBells {
    group: BellGroup,
    bits: u32,
}

impl HeldBells {
    fn take(held: &mut Option<Self>) -> Option<ChannelId> {
        let bells = held.as_mut()?;
        let channel = bells.group.channel(bells.bits.trailing_zeros());
        bells.bits &= bells.bits.wrapping_sub(1);
        if bells.bits == 0 {
            *held = None;
        }
        channel
    }
}

impl<W: Words, L, R> Channels for Mmio<W, L, R> {
    fn identity(&self) -> Identity {
        Identity {
            fb_bytes: self.words.read_wide(identity::fb_lo(), identity::fb_hi()),
            bar_bytes: self.words.read_wide(identity::bar_lo(), identity::bar_hi()),
            context_bytes: self.words.read_wide(identity::context_lo(), identity::context_hi()),
            context_layout: self.words.read(identity::context_layout()),
            engines: Engines::from_bits(self.words.read(identity::engines())),
        }
    }

    fn bind_channel(&mut self, id: ChannelId, config: &ChannelConfig) {
        self.write_channel(id, request::encode_channel(config));
    }

    fn unbind_channel(&mut self, id: ChannelId) {
        self.write_channel(id, request::UNBOUND);
    }

    fn read_channel(&self, id: ChannelId) -> Option<ChannelConfig> {
        request::parse_channel([
            self.words.read(channel::config(id)),
            self.words.read(channel::ids(id)),
            self.words.read(channel::ring(id)),
            self.words.read(channel::context(id)),
        ])
    }

    fn channel_fault(&self, id: ChannelId) -> Option<ChannelFault> {
        ChannelFault::new(self.words.observe(channel::fault(id)) as u8)
    }

    fn poll_doorbell(&mut self) -> Option<ChannelId> {
        if !self.pending.contains(Source::DOORBELL) {
            return None;
        }
        if self.doorbells.is_none() {
            self.doorbells = self.take_bells(
                |half| (bell_summary::doorbell(half), bell_summary::doorbell_ack(half)),
                |group| (bells::doorbell(group), bells::doorbell_ack(group)),
            );
        }
        let found = HeldBells::take(&mut self.doorbells);
        if found.is_none() {
            self.pending.remove(Source::DOORBELL);
        }
        found
    }

    fn poll_hint(&mut self) -> Option<Gfid> {
        if self.hints == 0 {
            if !self.pending.contains(Source::HINT) {
                return None;
            }
            self.pending.remove(Source::HINT);
            self.hints = self.words.answer(intr::hint(), intr::hint_ack());
        }
        let gfid = Gfid::from_index(self.hints.trailing_zeros() as usize)?;
        self.hints &= self.hints.wrapping_sub(1);
        Some(gfid)
    }

    fn poll_fault(&mut self) -> Option<(ChannelId, ChannelFault)> {
        if !self.pending.contains(Source::FAULT) {
            return None;
        }
        for _ in 0..CHANNEL_COUNT {
            if self.faults.is_none() {
                self.faults = self.take_bells(
                    |half| (bell_summary::fault(half), bell_summary::fault_ack(half)),
                    |group| (bells::fault(group), bells::fault_ack(group)),
                );
            }
            let Some(channel) = HeldBells::take(&mut self.faults) else {
                break;
            };
            // A fault that a new binding has made to be forgotten is none.
            if let Some(fault) = self.channel_fault(channel) {
                return Some((channel, fault));
            }
        }
        self.pending.remove(Source::FAULT);
        None
    }
}
