//! Channel slots: what the firmware writes and the device (or a restarted firmware) reads.

use godwit_types::{ChannelConfig, Gfid, GuestChannelId, PAGE_BYTES, RingConfig, RunlistId, TsgId};

const BOUND: u32 = 1 << 0;
const GFID_SHIFT: u32 = 8;
const RUNLIST_SHIFT: u32 = 16;
const RING_SHIFT: u32 = 20;

/// `channel.config`, `ids`, `ring` and `context` of a bound slot.
pub const fn encode_channel(config: &ChannelConfig) -> [u32; 4] {
    let word = BOUND
        | (config.gfid.raw() as u32).wrapping_shl(GFID_SHIFT)
        | (config.runlist.raw() as u32).wrapping_shl(RUNLIST_SHIFT)
        | (config.ring.entries_log2() as u32).wrapping_shl(RING_SHIFT);
    let ids = config.guest.raw() as u32 | (config.tsg.raw() as u32).wrapping_shl(16);
    let ring = config
        .ring
        .base()
        .wrapping_shr(RingConfig::ALIGN.trailing_zeros()) as u32;
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
    match (
        Gfid::new(word.wrapping_shr(GFID_SHIFT) as u8),
        RunlistId::new(word.wrapping_shr(RUNLIST_SHIFT) as u8 & 0xf),
        GuestChannelId::new(ids as u16),
        TsgId::new(ids.wrapping_shr(16) as u16),
        ring,
    ) {
        (Some(gfid), Some(runlist), Some(guest), Some(tsg), Some(ring)) => Some(ChannelConfig {
            gfid,
            guest,
            tsg,
            runlist,
            ring,
            context_at: (context as u64).wrapping_mul(PAGE_BYTES as u64),
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
        };
        assert_eq!(parse_channel(encode_channel(&config)), Some(config));
        assert_eq!(parse_channel(UNBOUND), None);
        let mut words = encode_channel(&config);
        words[0] &= !0xff00; // the host's GFID
        assert_eq!(parse_channel(words), None);
    }
}
