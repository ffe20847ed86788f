//! Which one of many: the indices that pick a register of a block, each bounded by its type.

use godwit_types::{CHANNEL_COUNT, COPY_RING_ENTRIES, ChannelId, Gfid, Index, RunlistId};

/// Place in the privileged copy ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyEntry(u8);

impl CopyEntry {
    /// The place that operation number `seq` uses.
    pub const fn of(seq: u32) -> Self {
        Self((seq & (COPY_RING_ENTRIES as u32).wrapping_sub(1)) as u8)
    }
}

/// 32 channels that share a bell word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BellGroup(u8);

impl BellGroup {
    /// How many groups there are.
    pub const COUNT: u8 = (CHANNEL_COUNT / 32) as u8;

    /// `None` past the last group.
    pub const fn new(raw: u8) -> Option<Self> {
        if raw < Self::COUNT { Some(Self(raw)) } else { None }
    }

    /// The group of a channel and the channel's bit in the group's word.
    pub const fn of(channel: ChannelId) -> (Self, u32) {
        let raw = channel.raw();
        (Self((raw / 32) as u8), 1u32.wrapping_shl((raw % 32) as u32))
    }

    /// The summary word that has this group's bit, and the bit.
    pub const fn summary(self) -> (SummaryHalf, u32) {
        (SummaryHalf(self.0 / 32), 1u32.wrapping_shl((self.0 % 32) as u32))
    }

    /// The channel of a bit in this group's word.
    pub const fn channel(self, bit: u32) -> Option<ChannelId> {
        if bit >= 32 {
            return None;
        }
        ChannelId::new((self.0 as u16).wrapping_mul(32).wrapping_add(bit as u16))
    }
}

/// One of the two summary words over the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryHalf(u8);

impl SummaryHalf {
    /// Both.
    pub const ALL: [Self; 2] = [Self(0), Self(1)];

    /// The group of a bit in this summary word.
    pub const fn group(self, bit: u32) -> Option<BellGroup> {
        if bit >= 32 {
            return None;
        }
        BellGroup::new(self.0.wrapping_mul(32).wrapping_add(bit as u8))
    }
}

/// A 32-bit word of a message in a mailbox ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailWord(u16);

/// Messages that each mailbox ring holds.
pub const MAIL_SLOTS: u32 = 32;
/// Words of one message slot; the first is the message's length in bytes.
pub const MAIL_WORDS: u32 = 64;
/// Longest message in bytes.
pub const MAIL_BYTES_MAX: usize = 4 * (MAIL_WORDS as usize - 1);

impl MailWord {
    /// Word `word` of the message with number `seq`.
    pub const fn of(seq: u32, word: u32) -> Self {
        let slot = (seq & MAIL_SLOTS.wrapping_sub(1)).wrapping_mul(MAIL_WORDS);
        Self(slot.wrapping_add(word & MAIL_WORDS.wrapping_sub(1)) as u16)
    }
}

/// Place in the ring of switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchEntry(u8);

/// Switches that the ring holds.
pub const SWITCH_ENTRIES: u32 = 256;

impl SwitchEntry {
    /// The place of the switch with this number; numbers begin at 1 and wrap.
    pub const fn of(number: u32) -> Self {
        Self((number & SWITCH_ENTRIES.wrapping_sub(1)) as u8)
    }
}

impl Place for SwitchEntry {
    fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// What picks one of a block's registers.
pub(crate) trait Place {
    fn place(self) -> usize;
}

impl Place for CopyEntry {
    fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl Place for BellGroup {
    fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl Place for SummaryHalf {
    fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl Place for MailWord {
    fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl Place for RunlistId {
    fn place(self) -> usize {
        self.index()
    }
}

impl Place for Gfid {
    fn place(self) -> usize {
        self.index()
    }
}

impl Place for ChannelId {
    fn place(self) -> usize {
        self.index()
    }
}
