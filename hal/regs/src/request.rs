//! Channel slots: what the firmware writes and the device (or a restarted firmware) reads.

use godwit_types::{
    CHANNEL_COUNT, CONTEXT_BYTES_MAX, ChannelConfig, ChannelFault, Gfid, GuestChannelId,
    PAGE_BYTES, RingConfig, RunlistId, TsgId,
};
use static_assertions::const_assert;

const BOUND: u32 = 1 << 0;
const GFID_SHIFT: u32 = 8;
const RUNLIST_SHIFT: u32 = 16;
const RING_SHIFT: u32 = 20;
/// The high bits of the context buffer's length; the low ones are in `channel.ids`.
const LENGTH_HIGH_SHIFT: u32 = 24;
const LENGTH_HIGH_MASK: u32 = 0x3;
/// Why the channel is not to be run: `ChannelFault`, or 0.
const FAULT_SHIFT: u32 = 28;
const TSG_SHIFT: u32 = 11;
const ID_MASK: u32 = 0x7ff;
const LENGTH_LOW_SHIFT: u32 = 22;
const LENGTH_LOW_BITS: u32 = 10;
const LENGTH_LOW_MASK: u32 = 0x3ff;

const_assert!(CHANNEL_COUNT as u32 == ID_MASK + 1);
const_assert!(CONTEXT_BYTES_MAX / PAGE_BYTES == (LENGTH_HIGH_MASK + 1) << LENGTH_LOW_BITS);

/// `channel.config`, `ids`, `ring` and `context` of a bound slot.
pub const fn encode_channel(config: &ChannelConfig) -> [u32; 4] {
    // Pages less one, so that the longest buffer fits 12 bits.
    let length = (config.context_bytes / PAGE_BYTES).saturating_sub(1);
    let length_high = length.wrapping_shr(LENGTH_LOW_BITS) & LENGTH_HIGH_MASK;
    let fault = match config.fault {
        Some(fault) => fault as u32,
        None => 0,
    };
    let word = BOUND
        | (config.gfid.raw() as u32).wrapping_shl(GFID_SHIFT)
        | (config.runlist.raw() as u32).wrapping_shl(RUNLIST_SHIFT)
        | (config.ring.entries_log2() as u32).wrapping_shl(RING_SHIFT)
        | length_high.wrapping_shl(LENGTH_HIGH_SHIFT)
        | fault.wrapping_shl(FAULT_SHIFT);
    let ids = config.guest.raw() as u32
        | (config.tsg.raw() as u32).wrapping_shl(TSG_SHIFT)
        | (length & LENGTH_LOW_MASK).wrapping_shl(LENGTH_LOW_SHIFT);
    let ring = config.ring.base().wrapping_shr(RingConfig::ALIGN.trailing_zeros()) as u32;
    let context = config.context_at.wrapping_shr(PAGE_BYTES.trailing_zeros()) as u32;
    [word, ids, ring, context]
}

/// The same words of a slot that is bound to nothing.
pub const UNBOUND: [u32; 4] = [0; 4];

/// Reads a slot. `None` when it is not bound, or is bound to something that cannot be.
pub const fn parse_channel(words: [u32; 4]) -> Option<ChannelConfig> {
    let [word, ids, ring, context] = words;
    if word & BOUND == 0 {
        return None;
    }
    let base = (ring as u64).wrapping_mul(RingConfig::ALIGN);
    let ring = RingConfig::unplaced(base, (word.wrapping_shr(RING_SHIFT) & 0xf) as u8);
    let length_high = word.wrapping_shr(LENGTH_HIGH_SHIFT) & LENGTH_HIGH_MASK;
    let length = length_high.wrapping_shl(LENGTH_LOW_BITS) | ids.wrapping_shr(LENGTH_LOW_SHIFT);
    match (
        Gfid::new(word.wrapping_shr(GFID_SHIFT) as u8),
        RunlistId::new(word.wrapping_shr(RUNLIST_SHIFT) as u8 & 0xf),
        GuestChannelId::new((ids & ID_MASK) as u16),
        TsgId::new((ids.wrapping_shr(TSG_SHIFT) & ID_MASK) as u16),
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
            fault: ChannelFault::new(word.wrapping_shr(FAULT_SHIFT) as u8),
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
}
