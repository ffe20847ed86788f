//! Channel slots: what the firmware writes and the device (or a restarted firmware) reads.

use crate::table::{Value, fields, variants};
use godwit_types::{
    CHANNEL_COUNT, CONTEXT_BYTES_MAX, ChannelConfig, ChannelFault, GRACE_MAX, Gfid, GuestChannelId,
    PAGE_BYTES, RingConfig, RunlistId, TsgId,
};
use static_assertions::const_assert;

fields! {
    /// `channel.config`.
    config {
        /// The slot is bound.
        BOUND @ 0, 1;
        /// Grace period of its group, in units of 100 microseconds; for the next firmware.
        GRACE @ 1, 7;
        /// Whose channel it is.
        GFID @ 8, 8;
        /// The engine that runs it.
        RUNLIST @ 16, 4;
        /// Entries of its ring, as a power of two.
        RING_LOG2 @ 20, 4;
        /// Pages of its context buffer less 1, the high bits.
        CONTEXT_PAGES_HIGH @ 24, 2;
        /// Why the channel is not to be run, or 0.
        FAULT @ 28, 4: super::FAULTS;
    }
}

fields! {
    /// `channel.ids`.
    ids {
        /// The number that its guest knows.
        GUEST @ 0, 11;
        /// The group that it is scheduled with.
        TSG @ 11, 11;
        /// Pages of its context buffer less 1, the low bits.
        CONTEXT_PAGES_LOW @ 22, 10;
    }
}

fields! {
    /// `channel.fault`.
    fault {
        /// Why the device has stopped the channel, or 0.
        FAULT @ 0, 32: super::FAULTS;
    }
}

const FAULTS: &[Value] = variants!(
    ChannelFault: OutOfPartition, IllegalInstruction, BadEntry, BadPut, TooLarge, Deadlock,
    BadContext, EngineReset, NoAperture, Banned, Dma
);

const_assert!((GRACE_MAX as u32) < config::GRACE.value_count());
const_assert!(CHANNEL_COUNT as u32 == ids::GUEST.value_count());
const_assert!(CHANNEL_COUNT as u32 == ids::TSG.value_count());
const_assert!(
    CONTEXT_BYTES_MAX / PAGE_BYTES
        == config::CONTEXT_PAGES_HIGH
            .value_count()
            .wrapping_mul(ids::CONTEXT_PAGES_LOW.value_count())
);

/// `channel.config`, `ids`, `ring` and `context` of a bound slot.
pub const fn encode_channel(channel: &ChannelConfig) -> [u32; 4] {
    // Pages less one, so that the longest buffer fits 12 bits.
    let length = (channel.context_bytes / PAGE_BYTES).saturating_sub(1);
    let fault = match channel.fault {
        Some(fault) => fault as u32,
        None => 0,
    };
    let word = config::BOUND.put(1)
        | config::GRACE.put(channel.grace as u32)
        | config::GFID.put(channel.gfid.raw() as u32)
        | config::RUNLIST.put(channel.runlist.raw() as u32)
        | config::RING_LOG2.put(channel.ring.entries_log2() as u32)
        | config::CONTEXT_PAGES_HIGH.put(length.wrapping_shr(LOW_BITS))
        | config::FAULT.put(fault);
    let ids = ids::GUEST.put(channel.guest.raw() as u32)
        | ids::TSG.put(channel.tsg.raw() as u32)
        | ids::CONTEXT_PAGES_LOW.put(length);
    let ring = channel.ring.base().wrapping_shr(RingConfig::ALIGN.trailing_zeros()) as u32;
    let context = channel.context_at.wrapping_shr(PAGE_BYTES.trailing_zeros()) as u32;
    [word, ids, ring, context]
}

const LOW_BITS: u32 = ids::CONTEXT_PAGES_LOW.width as u32;

/// The same words of a slot that is bound to nothing.
pub const UNBOUND: [u32; 4] = [0; 4];

/// Reads a slot. `None` when it is not bound, or is bound to something that cannot be.
pub const fn parse_channel(words: [u32; 4]) -> Option<ChannelConfig> {
    let [word, ids, ring, context] = words;
    if config::BOUND.take(word) == 0 {
        return None;
    }
    let base = (ring as u64).wrapping_mul(RingConfig::ALIGN);
    let ring = RingConfig::unplaced(base, config::RING_LOG2.take(word) as u8);
    let length_high = config::CONTEXT_PAGES_HIGH.take(word);
    let length = length_high.wrapping_shl(LOW_BITS) | ids::CONTEXT_PAGES_LOW.take(ids);
    match (
        Gfid::new(config::GFID.take(word) as u8),
        RunlistId::new(config::RUNLIST.take(word) as u8),
        GuestChannelId::new(ids::GUEST.take(ids) as u16),
        TsgId::new(ids::TSG.take(ids) as u16),
        ring,
    ) {
        (Some(gfid), Some(runlist), Some(guest), Some(tsg), Some(ring)) => Some(ChannelConfig {
            gfid,
            guest,
            tsg,
            runlist,
            ring,
            context_at: (context as u64).wrapping_mul(PAGE_BYTES as u64),
            context_bytes: length.wrapping_add(1).wrapping_mul(PAGE_BYTES),
            grace: config::GRACE.take(word) as u8,
            fault: ChannelFault::new(config::FAULT.take(word) as u8),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_reads_back_as_written() {
        let config = ChannelConfig {
            gfid: Gfid::new(32).unwrap(),
            guest: GuestChannelId::new(7).unwrap(),
            tsg: TsgId::new(2047).unwrap(),
            runlist: RunlistId::COPY,
            ring: RingConfig::new((1 << 40) - (1 << 20), 12, 1 << 40).unwrap(),
            context_at: 0x123_4567_8000,
            context_bytes: PAGE_BYTES,
            grace: GRACE_MAX,
            fault: Some(ChannelFault::NoAperture),
        };
        assert_eq!(parse_channel(encode_channel(&config)), Some(config));
        for context_bytes in [0x40_0000, 0x40_1000, 0xab_c000, CONTEXT_BYTES_MAX] {
            let config = ChannelConfig { context_bytes, ..config };
            assert_eq!(parse_channel(encode_channel(&config)), Some(config));
        }
        assert_eq!(parse_channel(UNBOUND), None);
        let mut words = encode_channel(&config);
        words[0] &= !0xff00; // the host's GFID
        assert_eq!(parse_channel(words), None);
    }
    #[test]
    fn every_fault_is_in_the_reference() {
        extern crate std;
        let known: std::vec::Vec<_> = (0..=u8::MAX).filter_map(ChannelFault::new).collect();
        assert_eq!(known.len(), FAULTS.len());
        for (fault, value) in known.iter().zip(FAULTS) {
            assert_eq!(
                (*fault as u32, std::format!("{fault:?}").as_str()),
                (value.number, value.name)
            );
        }
    }
}
