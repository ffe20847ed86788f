//! Every register: where it is, who writes it, what it holds.

use crate::place::Place;
use crate::table::{Block, Register, Writer, list};
use crate::{bits, copy, request, switch_entry};
use godwit_types::{
    CHANNEL_COUNT, COPY_RING_ENTRIES, ChannelId, Gfid, RUNLIST_COUNT, RunlistId, VGPU_COUNT,
};
use static_assertions::const_assert;

pub use crate::place::{
    BellGroup, CopyEntry, MAIL_BYTES_MAX, MAIL_SLOTS, MAIL_WORDS, MailWord, SWITCH_ENTRIES,
    SummaryHalf, SwitchEntry,
};

/// Bytes of the whole map. A power of two, so that an offset can be masked into it.
pub const MAP_BYTES: usize = 0x4_0000;

const_assert!(MAP_BYTES.is_power_of_two());

/// Offset of one 32-bit register in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(u32);

impl Word {
    /// Byte offset from the start of the map: a multiple of 4, less than [`MAP_BYTES`].
    pub const fn offset(self) -> usize {
        self.0 as usize & (MAP_BYTES.wrapping_sub(1)) & !3
    }

    fn at(base: u32, stride: u32, index: usize, field: u32) -> Self {
        Self(base.wrapping_add(stride.wrapping_mul(index as u32)).wrapping_add(field))
    }
}

macro_rules! blocks {
    ($(
        $(#[doc = $block_doc:literal])*
        $block:ident @ $base:literal $repeat:tt {
            $($(#[doc = $doc:literal])* $name:ident @ $field:literal $writer:ident
                $([$fields:expr])?;)*
        }
    )*) => {
        $(
            $(#[doc = $block_doc])*
            pub mod $block {
                #[allow(unused_imports, reason = "a block that is not repeated needs no id")]
                use super::*;
                $(accessor! { $repeat $base $name $field $writer $($doc)* })*
            }
        )*

        /// Every register, in the order of the source: block by block.
        pub const BLOCKS: &[Block] = &[$(
            Block {
                name: stringify!($block),
                offset: $base,
                index: index!($repeat),
                doc: concat!($($block_doc),*),
                registers: &[$(
                    Register {
                        name: concat!(stringify!($block), ".", stringify!($name)),
                        offset: $base + $field,
                        stride: stride!($repeat),
                        count: count!($repeat),
                        writer: Writer::$writer,
                        doc: concat!($($doc),*),
                        fields: list!($($fields)?),
                    },
                )*],
            },
        )*];
    };
}

macro_rules! accessor {
    ([] $base:literal $name:ident $field:literal $writer:ident $($doc:literal)*) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nWritten by: ", stringify!($writer), ".")]
        pub fn $name() -> Word {
            Word::at($base, 0, 0, $field)
        }
    };
    ([$id:ty; $count:expr; $stride:literal]
        $base:literal $name:ident $field:literal $writer:ident $($doc:literal)*) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nWritten by: ", stringify!($writer), ".")]
        pub fn $name(id: $id) -> Word {
            Word::at($base, $stride, Place::place(id), $field)
        }
    };
}

macro_rules! stride {
    ([]) => {
        0
    };
    ([$id:ty; $count:expr; $stride:literal]) => {
        $stride
    };
}

macro_rules! index {
    ([]) => {
        None
    };
    ([$id:ty; $count:expr; $stride:literal]) => {
        Some(stringify!($id))
    };
}

macro_rules! count {
    ([]) => {
        1
    };
    ([$id:ty; $count:expr; $stride:literal]) => {
        $count as u32
    };
}

blocks! {
    /// What the device is.
    identity @ 0x0000 [] {
        /// `GDWT` in ASCII, little-endian: the device has come up.
        magic @ 0x00 Device;
        /// Version of this map.
        version @ 0x04 Device;
        /// Framebuffer bytes, low half.
        fb_lo @ 0x08 Device;
        /// Framebuffer bytes, high half.
        fb_hi @ 0x0c Device;
        /// BAR bytes for apertures, low half.
        bar_lo @ 0x10 Device;
        /// BAR bytes for apertures, high half.
        bar_hi @ 0x14 Device;
        /// Context memory bytes, low half.
        context_lo @ 0x18 Device;
        /// Context memory bytes, high half.
        context_hi @ 0x1c Device;
        /// Version of what the device writes to a context buffer.
        context_layout @ 0x20 Device;
        /// Engines for guests, a bit for each runlist.
        engines @ 0x24 Device;
    }
    /// The free-running timer, in nanoseconds; 64 bits never wrap.
    timer @ 0x0100 [] {
        /// Time, low half.
        ns_lo @ 0x00 Device;
        /// Time, high half; read before and after the low half.
        ns_hi @ 0x04 Device;
        /// Alarm time, low half.
        alarm_lo @ 0x10 Firmware;
        /// Alarm time, high half.
        alarm_hi @ 0x14 Firmware;
        /// Number of the alarm request; a new one replaces the old.
        alarm_seq @ 0x18 Firmware;
        /// Number of the request that rang last.
        alarm_ack @ 0x1c Device;
    }
    /// Interrupts to the firmware, and its signs of life.
    intr @ 0x0200 [] {
        /// Bell bits: what an interrupt is about.
        bell @ 0x00 Device [bits::Source::FIELDS];
        /// Acknowledge of the same bits.
        ack @ 0x04 Firmware [bits::Source::FIELDS];
        /// Bell bit of the host's mailbox doorbell.
        host_bell @ 0x08 Host;
        /// Acknowledge of `host_bell`.
        host_ack @ 0x0c Firmware;
        /// Counts turns of the firmware's loop: the watchdog.
        heartbeat @ 0x10 Firmware;
        /// Counts the times the firmware found nothing to do.
        idle @ 0x14 Firmware;
        /// Counts requests to `vmmu`, `route`, `bar` and `channel`, to look there only then.
        kick @ 0x18 Firmware;
        /// Number of the host's last call; then it rings the board's line.
        call @ 0x1c Host;
        /// Number of the call after whose work the firmware went to rest.
        rest @ 0x20 Firmware;
        /// Instructions of that work, modulo 2^32; 0 where the core does not count them.
        rest_instructions @ 0x24 Firmware;
        /// Turns of the firmware's loop in that work.
        rest_turns @ 0x28 Firmware;
        /// What the engines do when the firmware ends by itself.
        on_crash @ 0x2c Host [bits::OnCrash::FIELDS];
        /// Bell bits of the vGPUs, less 1, whose guests have said that latency matters.
        hint @ 0x30 Device;
        /// Acknowledge of the same bits.
        hint_ack @ 0x34 Firmware;
    }
    /// Second-level address map: a vGPU's partition.
    vmmu @ 0x1000 [Gfid; VGPU_COUNT; 0x20] {
        /// First byte of the partition, low half.
        base_lo @ 0x00 Firmware;
        /// High half.
        base_hi @ 0x04 Firmware;
        /// Bytes of the partition, low half; both halves 0: no partition.
        limit_lo @ 0x08 Firmware;
        /// High half.
        limit_hi @ 0x0c Firmware;
        /// Number of the request.
        seq @ 0x10 Firmware;
        /// Number of the request that is in effect.
        ack @ 0x14 Device;
    }
    /// How a guest's view is bound: doorbell map, timer offset, interrupts.
    route @ 0x2000 [Gfid; VGPU_COUNT; 0x40] {
        /// The guest's channels.
        channels @ 0x00 Firmware [bits::route_channels::FIELDS];
        /// Added to the timer, low half.
        time_lo @ 0x04 Firmware;
        /// High half.
        time_hi @ 0x08 Firmware;
        /// What of the guest's view is open.
        open @ 0x0c Firmware [bits::route_open::FIELDS];
        /// Number of the request.
        seq @ 0x10 Firmware;
        /// Number of the request that is in effect.
        ack @ 0x14 Device;
        /// Vectors to raise as if the device had.
        inject @ 0x18 Firmware;
        /// Number of the inject request.
        inject_seq @ 0x1c Firmware;
        /// Number of the inject request that is done.
        inject_ack @ 0x20 Device;
        /// Bell bits of the vectors.
        raise @ 0x24 Device;
        /// Acknowledge of the same bits.
        taken @ 0x28 Host;
        /// Counts interrupts: each time that vectors are raised, pending or not; wraps.
        raised @ 0x2c Device;
        /// Whether the guest's channels may reach its peers.
        peers @ 0x30 Firmware [bits::route_peers::FIELDS];
        /// The request that is in effect, as it was written: with no access to a peer under way
        /// where it closes the way to them.
        peers_ack @ 0x34 Device [bits::route_peers::FIELDS];
    }
    /// The BAR block of a vGPU's aperture.
    bar @ 0x3000 [Gfid; VGPU_COUNT; 0x40] {
        /// First byte in the BAR, low half.
        base_lo @ 0x00 Firmware;
        /// High half.
        base_hi @ 0x04 Firmware;
        /// First byte in the partition, low half.
        offset_lo @ 0x08 Firmware;
        /// High half.
        offset_hi @ 0x0c Firmware;
        /// Bytes, low half.
        length_lo @ 0x10 Firmware;
        /// High half.
        length_hi @ 0x14 Firmware;
        /// Its mode.
        mode @ 0x18 Firmware [bits::bar_mode::FIELDS];
        /// Number of the request.
        seq @ 0x1c Firmware;
        /// Number of the request that the device has taken up.
        ack @ 0x20 Device;
        /// BIND_STATUS: both flags must be clear before the window is used.
        bind_status @ 0x24 Device [bits::BindStatus::FIELDS];
    }
    /// Channel slots.
    channel @ 0x1_0000 [ChannelId; CHANNEL_COUNT; 0x20] {
        /// What the slot is bound to.
        config @ 0x00 Firmware [request::config::FIELDS];
        /// By which numbers it is known.
        ids @ 0x04 Firmware [request::ids::FIELDS];
        /// First byte of the ring in the partition, in units of 512 bytes.
        ring @ 0x08 Firmware;
        /// First byte of the context buffer in the context memory, in pages.
        context @ 0x0c Firmware;
        /// Number of the request.
        seq @ 0x10 Firmware;
        /// Number of the request that is in effect.
        ack @ 0x14 Device;
        /// Why the channel stands still.
        fault @ 0x18 Device [request::fault::FIELDS];
        /// What the channel is doing.
        status @ 0x1c Device [bits::ChannelStatus::FIELDS];
    }
    /// Doorbells and faults of channels: summary words over the groups.
    bell_summary @ 0x4000 [SummaryHalf; 2; 0x04] {
        /// Groups with a doorbell.
        doorbell @ 0x00 Device;
        /// Acknowledge.
        doorbell_ack @ 0x10 Firmware;
        /// Groups with a fault.
        fault @ 0x20 Device;
        /// Acknowledge.
        fault_ack @ 0x30 Firmware;
    }
    /// Doorbells and faults of channels: a bit for each channel.
    bells @ 0x4100 [BellGroup; BellGroup::COUNT; 0x04] {
        /// Channels whose doorbell rang.
        doorbell @ 0x000 Device;
        /// Acknowledge.
        doorbell_ack @ 0x100 Firmware;
        /// Channels that faulted.
        fault @ 0x200 Device;
        /// Acknowledge.
        fault_ack @ 0x300 Firmware;
    }
    /// Runlists, one for each engine.
    runlist @ 0x5000 [RunlistId; RUNLIST_COUNT; 0x40] {
        /// Group to put on the engine.
        run_tsg @ 0x00 Firmware;
        /// Number of the start request.
        run_seq @ 0x04 Firmware;
        /// Number of the start request that the device has taken up.
        run_ack @ 0x08 Device;
        /// Number of the start request whose group has run out of work.
        idle_seq @ 0x0c Device;
        /// Mode of the preempt request.
        preempt_mode @ 0x10 Firmware [bits::preempt_mode::FIELDS];
        /// Number of the preempt request.
        preempt_seq @ 0x14 Firmware;
        /// Number of the preempt request that is done: contexts saved, engine empty.
        preempt_ack @ 0x18 Device;
        /// Number of the start request that the preempt request is for; if that group is not
        /// on the engine any more, the request is done at once, and void if it was to come later.
        preempt_run @ 0x28 Firmware;
        /// When the preempt request comes, low half: a time of the timer, in nanoseconds; one that
        /// has passed means at once.
        preempt_at_lo @ 0x2c Firmware;
        /// High half.
        preempt_at_hi @ 0x30 Firmware;
        /// Number of the reset request.
        reset_seq @ 0x1c Firmware;
        /// Number of the reset request that is done.
        reset_ack @ 0x20 Device;
        /// CTX_STATUS: what the engine holds.
        ctx_status @ 0x24 Device [bits::ctx_status::FIELDS];
    }
    /// The firmware's privileged copy ring.
    copy_ring @ 0x5100 [] {
        /// Operations submitted, counted from start, wrapping.
        put @ 0x00 Firmware;
        /// Operations done, counted from start, wrapping.
        done @ 0x04 Device;
    }
    /// Entries of the copy ring.
    copy_entry @ 0x5200 [CopyEntry; COPY_RING_ENTRIES; 0x40] {
        /// What to do, and for whom.
        op @ 0x00 Firmware [copy::op::FIELDS];
        /// Where from, or where to.
        slot @ 0x04 Firmware [copy::slot::FIELDS];
        /// First argument, low half.
        a_lo @ 0x08 Firmware;
        /// High half.
        a_hi @ 0x0c Firmware;
        /// Second argument, low half.
        b_lo @ 0x10 Firmware;
        /// High half.
        b_hi @ 0x14 Firmware;
        /// CRC-32C that the bytes must have.
        crc @ 0x18 Firmware;
        /// Status of the answer.
        done_status @ 0x20 Device [copy::done_status::FIELDS];
        /// CRC-32C of the bytes put into a slot.
        done_crc @ 0x24 Device;
        /// Bytes put into a slot.
        done_bytes @ 0x28 Device;
        /// Pages: see `CopyDone`.
        done_pages @ 0x2c Device;
    }
    /// The mailbox: two rings of messages, and who speaks which version.
    mailbox @ 0x6000 [] {
        /// Protocol version of the firmware; 0 until it has started.
        firmware_version @ 0x00 Firmware;
        /// Protocol version of the host.
        host_version @ 0x04 Host;
        /// Commands written.
        command_put @ 0x08 Host;
        /// Commands taken.
        command_get @ 0x0c Firmware;
        /// Events written.
        event_put @ 0x10 Firmware;
        /// Events taken.
        event_get @ 0x14 Host;
        /// 1 while the firmware wants the host's attention.
        attention @ 0x18 Firmware;
    }
    /// What is told of groups that leave an engine.
    telemetry @ 0x7000 [] {
        /// Switches recorded since the first start, wrapping: the ring of `switch` has gone round
        /// once for every 256.
        put @ 0x00 Firmware;
    }
    /// The ring of switches. An entry that its reader finds with another number before or after it
    /// has read the rest was overwritten.
    switch @ 0x2_8000 [SwitchEntry; SWITCH_ENTRIES; 0x20] {
        /// Number of the switch, from 1 on.
        number @ 0x00 Firmware;
        /// Whose group, why and where it has left.
        what @ 0x04 Firmware [switch_entry::what::FIELDS];
        /// When the engine was found empty, low half, in nanoseconds.
        at_lo @ 0x08 Firmware;
        /// High half.
        at_hi @ 0x0c Firmware;
        /// How long it ran, in nanoseconds.
        run @ 0x10 Firmware;
        /// How long it was to run.
        slice @ 0x14 Firmware;
        /// How long it took to let go.
        preempt @ 0x18 Firmware;
        /// What its vGPU had too much by then.
        debt @ 0x1c Firmware;
    }
    /// Messages from the host.
    command @ 0x2_0000 [MailWord; MAIL_SLOTS * MAIL_WORDS; 0x04] {
        /// Length in bytes, then the bytes.
        word @ 0x00 Host;
    }
    /// Messages from the firmware.
    event @ 0x2_4000 [MailWord; MAIL_SLOTS * MAIL_WORDS; 0x04] {
        /// Length in bytes, then the bytes.
        word @ 0x00 Firmware;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_two_registers_share_a_word() {
        let mut seen = BTreeMap::new();
        for register in BLOCKS.iter().flat_map(|block| block.registers) {
            for index in 0..register.count {
                let offset = register.offset + index * register.stride;
                assert_eq!(offset % 4, 0, "{}", register.name);
                assert!((offset as usize) < MAP_BYTES, "{}", register.name);
                if let Some(other) = seen.insert(offset, register.name) {
                    panic!("{} and {other} are both at {offset:#x}", register.name);
                }
            }
        }
    }

    #[test]
    fn no_two_fields_share_a_bit() {
        for register in BLOCKS.iter().flat_map(|block| block.registers) {
            let mut taken = 0;
            for field in register.fields {
                assert_eq!(taken & field.mask(), 0, "{} {}", register.name, field.name);
                taken |= field.mask();
            }
        }
    }

    #[test]
    fn a_bell_finds_its_channel() {
        for raw in 0..CHANNEL_COUNT {
            let channel = ChannelId::new(raw).unwrap();
            let (group, bit) = BellGroup::of(channel);
            assert_eq!(group.channel(bit.trailing_zeros()), Some(channel));
            let (half, bit) = group.summary();
            assert_eq!(half.group(bit.trailing_zeros()), Some(group));
        }
    }

    #[test]
    fn accessors_agree_with_the_table() {
        let last = ChannelId::new(CHANNEL_COUNT - 1).unwrap();
        assert_eq!(channel::status(last).offset(), 0x1_0000 + 2047 * 0x20 + 0x1c);
        assert_eq!(bar::mode(Gfid::new(2).unwrap()).offset(), 0x3058);
    }
}
