//! Commands of the host become the engine's: numbers are bounded here, once.

use godwit_engine::{ChannelRecord, Command, Request, StopMode, VgpuRecord};
use godwit_types::{
    ChannelFault, GRACE_MAX, Gfid, GuestChannelId, GuestTsgId, Limit, Limits, Measure, Placement,
    Policy, PreemptMode, Profile, RingConfig, RunlistId, SLOT_BYTES, Scheduling, Share, SlotId,
    SlotRange, Throttle,
};
use godwit_wire::{mailbox, record};

/// `None` when a number is out of its range. What depends on the state is the engine's to
/// refuse.
#[inline(never)] // inlined, every field of every command is held apart
pub(crate) fn request(request: &mailbox::Request) -> Option<Request> {
    let gfid = Gfid::new(request.gfid)?;
    Some(Request { id: request.id, gfid, command: command(&request.command)? })
}

fn command(command: &mailbox::Command) -> Option<Command> {
    Some(match *command {
        mailbox::Command::Create { profile: ref what, placement: ref place, share: due } => {
            Command::Create {
                profile: profile(what),
                placement: placement(place),
                share: share(due)?,
            }
        }
        mailbox::Command::Release => Command::Release,
        mailbox::Command::Start => Command::Start,
        mailbox::Command::Stop { mode, timeout_ns } => {
            Command::Stop { mode: stop_mode(mode), timeout_ns }
        }
        mailbox::Command::OpenChannel { channel, tsg, runlist, ring_base, ring_log2, grace } => {
            Command::OpenChannel {
                channel: GuestChannelId::new(channel)?,
                tsg: GuestTsgId::new(tsg)?,
                runlist: RunlistId::new(runlist)?,
                ring: ring(ring_base, ring_log2)?,
                grace: in_range(grace)?,
            }
        }
        mailbox::Command::CloseChannel { channel } => {
            Command::CloseChannel { channel: GuestChannelId::new(channel)? }
        }
        mailbox::Command::SaveBegin => Command::SaveBegin,
        mailbox::Command::SaveRound { throttle } => Command::SaveRound(Throttle::new(throttle)?),
        mailbox::Command::SaveState => Command::SaveState,
        mailbox::Command::SaveEnd => Command::SaveEnd,
        mailbox::Command::Credit { slot } => Command::Credit { slot: SlotId::new(slot)? },
        mailbox::Command::RestoreBegin => Command::RestoreBegin,
        mailbox::Command::LoadVgpu(ref record) => Command::LoadVgpu(vgpu_record(record)),
        mailbox::Command::LoadChannel(ref record) => Command::LoadChannel(channel_record(record)?),
        mailbox::Command::LoadPages(data) => {
            Command::LoadPages { from: slot_range(&data)?, crc: data.crc }
        }
        mailbox::Command::LoadContext { channel, at, data } => Command::LoadContext {
            channel: GuestChannelId::new(channel)?,
            at,
            from: slot_range(&data)?,
            crc: data.crc,
        },
        mailbox::Command::RestoreEnd => Command::RestoreEnd,
        mailbox::Command::SetShare(due) => Command::SetShare(share(due)?),
        mailbox::Command::SetScheduling(how) => Command::SetScheduling(scheduling(how)?),
        mailbox::Command::SetPeer { open } => Command::SetPeer { open },
        mailbox::Command::SetLimits(ref limits) => Command::SetLimits(self::limits(limits)?),
    })
}

pub(crate) fn profile(profile: &mailbox::Profile) -> Profile {
    Profile {
        fb_bytes: profile.fb_bytes,
        bar_bytes: profile.bar_bytes,
        channel_count: profile.channel_count,
        context_bytes: profile.context_bytes,
    }
}

pub(crate) fn placement(placement: &mailbox::Placement) -> Placement {
    Placement {
        fb_base: placement.fb_base,
        bar_base: placement.bar_base,
        channel_base: placement.channel_base,
        context_base: placement.context_base,
    }
}

pub(crate) fn share(share: mailbox::Share) -> Option<Share> {
    let mailbox::Share { weight, part, cap } = share;
    Some(Share { weight, part, cap }).filter(Share::is_valid)
}

pub(crate) fn scheduling(how: mailbox::Scheduling) -> Option<Scheduling> {
    let mailbox::Scheduling { policy, slice_ns, averaging } = how;
    Some(Scheduling { policy: Policy::new(policy)?, slice_ns, averaging })
        .filter(Scheduling::is_valid)
}

pub(crate) fn limits(limits: &mailbox::Limits) -> Option<Limits> {
    let limit = |limit: mailbox::Limit| {
        Some(Limit { count: limit.count, measure: Measure::new(limit.measure)? })
    };
    let [resets, faults, doorbells, interrupts] = limits.of;
    let of = [limit(resets)?, limit(faults)?, limit(doorbells)?, limit(interrupts)?];
    Some(Limits { window_ms: limits.window_ms, of }).filter(Limits::is_valid)
}

fn in_range(grace: u8) -> Option<u8> {
    (grace <= GRACE_MAX).then_some(grace)
}

fn stop_mode(mode: mailbox::StopMode) -> StopMode {
    match mode {
        mailbox::StopMode::Wfi => StopMode::Pinned(PreemptMode::Wfi),
        mailbox::StopMode::Cta => StopMode::Pinned(PreemptMode::Cta),
        mailbox::StopMode::Instruction => StopMode::Pinned(PreemptMode::Instruction),
        mailbox::StopMode::Escalate => StopMode::Escalate,
    }
}

/// Whether the ring fits the partition is the engine's to say.
fn ring(base: u64, entries_log2: u8) -> Option<RingConfig> {
    RingConfig::new(base, entries_log2, u64::MAX)
}

fn slot_range(data: &mailbox::SlotData) -> Option<SlotRange> {
    if data.byte_count > SLOT_BYTES {
        return None;
    }
    Some(SlotRange { slot: SlotId::new(data.slot)?, byte_count: data.byte_count })
}

fn vgpu_record(record: &record::Vgpu) -> VgpuRecord {
    VgpuRecord {
        guest_time_ns: record.guest_time_ns,
        pending_vectors: record.pending_vectors,
        channel_count: record.channel_count,
        context_count: record.context_count,
        debts_ns: record.debts_ns,
    }
}

fn channel_record(record: &record::Channel) -> Option<ChannelRecord> {
    Some(ChannelRecord {
        channel: GuestChannelId::new(record.channel)?,
        tsg: GuestTsgId::new(record.tsg)?,
        runlist: RunlistId::new(record.runlist)?,
        ring: ring(record.ring_base, record.ring_log2)?,
        grace: in_range(record.grace)?,
        fault: match record.fault {
            0 => None,
            raw => Some(ChannelFault::new(raw)?),
        },
        pending: record.pending,
        used: record.used,
        left_at: match record.left_at {
            0 => None,
            1 => Some(PreemptMode::Wfi),
            2 => Some(PreemptMode::Cta),
            3 => Some(PreemptMode::Instruction),
            _ => return None,
        },
    })
}
