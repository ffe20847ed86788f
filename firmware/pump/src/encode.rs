//! The engine's events become messages to the host.

use godwit_engine::{ChannelRecord, Event, Failure, Reject, VgpuRecord};
use godwit_types::{CopyStatus, PlacementError, PreemptMode, ProfileError, SlotRange};
use godwit_wire::mailbox::{self, PlacementReject, ProfileReject, SlotData};
use godwit_wire::record;

/// `generation`: which start of the firmware this is.
#[inline(never)] // inlined, every field of every kind of event is held apart
pub(crate) fn event(event: &Event, generation: u32) -> mailbox::Event {
    match *event {
        Event::Started { present, running } => {
            mailbox::Event::Started { generation, present, running }
        }
        Event::Done { id } => mailbox::Event::Done { id },
        Event::Refused { id, why } => mailbox::Event::Refused { id, why: reject(why) },
        Event::Round { gfid, pages } => mailbox::Event::Round { gfid: gfid.raw(), pages },
        Event::Pages { gfid, to, crc } => {
            mailbox::Event::Pages { gfid: gfid.raw(), data: slot_data(to, crc) }
        }
        Event::RoundEnd { gfid } => mailbox::Event::RoundEnd { gfid: gfid.raw() },
        Event::Vgpu(gfid, ref record) => {
            mailbox::Event::Vgpu { gfid: gfid.raw(), record: vgpu(record) }
        }
        Event::Channel(gfid, ref record) => {
            mailbox::Event::Channel { gfid: gfid.raw(), record: channel(record) }
        }
        Event::Context { gfid, channel, at, to, crc } => mailbox::Event::Context {
            gfid: gfid.raw(),
            channel: channel.raw(),
            at,
            data: slot_data(to, crc),
        },
        Event::Saved { gfid } => mailbox::Event::Saved { gfid: gfid.raw() },
        Event::Taken { slot } => mailbox::Event::Taken { slot: slot.raw() },
        Event::Free { slot } => mailbox::Event::Free { slot: slot.raw() },
        Event::Closed { gfid, channel } => {
            mailbox::Event::Closed { gfid: gfid.raw(), channel: channel.raw() }
        }
        Event::ChannelFault { gfid, channel, fault } => mailbox::Event::ChannelFault {
            gfid: gfid.raw(),
            channel: channel.raw(),
            fault: fault as u8,
        },
        Event::Failed { gfid, why } => {
            mailbox::Event::Failed { gfid: gfid.raw(), why: failure(why) }
        }
        Event::EngineLost(runlist) => mailbox::Event::EngineLost { runlist: runlist.raw() },
        Event::Abuse { gfid, abuse, measure } => {
            mailbox::Event::Abuse { gfid: gfid.raw(), abuse: abuse as u8, measure: measure as u8 }
        }
    }
}

fn slot_data(range: SlotRange, crc: u32) -> SlotData {
    SlotData { slot: range.slot.raw(), byte_count: range.byte_count, crc }
}

fn reject(why: Reject) -> mailbox::Reject {
    match why {
        // The pump offers the command again; the host never sees this.
        Reject::Full | Reject::WrongPhase => mailbox::Reject::WrongPhase,
        Reject::NoSuchVgpu => mailbox::Reject::NoSuchVgpu,
        Reject::VgpuExists => mailbox::Reject::VgpuExists,
        Reject::Profile(part) => mailbox::Reject::Profile(match part {
            ProfileError::Framebuffer => ProfileReject::Framebuffer,
            ProfileError::Bar => ProfileReject::Bar,
            ProfileError::Channels => ProfileReject::Channels,
            ProfileError::Context => ProfileReject::Context,
        }),
        Reject::Placement(part) => mailbox::Reject::Placement(match part {
            PlacementError::Framebuffer => PlacementReject::Framebuffer,
            PlacementError::Bar => PlacementReject::Bar,
            PlacementError::Channels => PlacementReject::Channels,
            PlacementError::Context => PlacementReject::Context,
        }),
        Reject::NoSuchChannel => mailbox::Reject::NoSuchChannel,
        Reject::NoSuchEngine => mailbox::Reject::NoSuchEngine,
        Reject::ChannelOpen => mailbox::Reject::ChannelOpen,
        Reject::ChannelClosed => mailbox::Reject::ChannelClosed,
        Reject::TsgFull => mailbox::Reject::TsgFull,
        Reject::TsgElsewhere => mailbox::Reject::TsgElsewhere,
        Reject::Ring => mailbox::Reject::Ring,
        Reject::SlotInUse => mailbox::Reject::SlotInUse,
        Reject::Deadline => mailbox::Reject::Deadline,
        Reject::Incomplete => mailbox::Reject::Incomplete,
        Reject::Record => mailbox::Reject::Record,
        Reject::OutOfRange => mailbox::Reject::OutOfRange,
        Reject::Grace => mailbox::Reject::Grace,
        Reject::Banned => mailbox::Reject::Banned,
    }
}

fn failure(why: Failure) -> mailbox::Failure {
    match why {
        Failure::Copy(CopyStatus::BadCrc) => mailbox::Failure::BadCrc,
        Failure::Copy(CopyStatus::OutOfRange) => mailbox::Failure::OutOfRange,
        Failure::Copy(CopyStatus::Done | CopyStatus::Error) => mailbox::Failure::Copy,
        Failure::Late => mailbox::Failure::Late,
    }
}

fn vgpu(record: &VgpuRecord) -> record::Vgpu {
    record::Vgpu {
        guest_time_ns: record.guest_time_ns,
        pending_vectors: record.pending_vectors,
        channel_count: record.channel_count,
        context_count: record.context_count,
        debts_ns: record.debts_ns,
    }
}

fn channel(record: &ChannelRecord) -> record::Channel {
    record::Channel {
        channel: record.channel.raw(),
        tsg: record.tsg.raw(),
        runlist: record.runlist.raw(),
        ring_base: record.ring.base(),
        ring_log2: record.ring.entries_log2(),
        grace: record.grace,
        fault: record.fault.map_or(0, |fault| fault as u8),
        pending: record.pending,
        used: record.used,
        left_at: match record.left_at {
            None => 0,
            Some(PreemptMode::Wfi) => 1,
            Some(PreemptMode::Cta) => 2,
            Some(PreemptMode::Instruction) => 3,
        },
    }
}
