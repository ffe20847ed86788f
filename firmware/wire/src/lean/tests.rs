use super::*;
use crate::mailbox::{
    Command, Event, Failure, Limit, Limits, MESSAGE_BYTES_MAX, Placement, PlacementReject, Profile,
    ProfileReject, Reject, Request, Scheduling, Share, SlotData, StopMode,
};
use crate::record;
use crate::retained::{Phase, Rules, Vgpu};
use core::fmt::Debug;
use std::vec::Vec;

/// Numbers whose lengths differ, cut to what a field has.
const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 1 << 56, u64::MAX];

fn profile(n: u64) -> Profile {
    Profile { fb_bytes: n, bar_bytes: !n, channel_count: n as u16, context_bytes: n as u32 }
}

fn placement(n: u64) -> Placement {
    Placement { fb_base: n, bar_base: !n, channel_base: n as u16, context_base: n }
}

fn share(n: u64) -> Share {
    Share { weight: n as u8, part: n as u16, cap: !n as u16 }
}

fn scheduling(n: u64) -> Scheduling {
    let slice_ns = Some(n).filter(|n| *n != 0);
    Scheduling { policy: n as u8, slice_ns, averaging: !n as u8 }
}

fn limits(n: u64) -> Limits {
    let of = [0, 7, 14, 21].map(|by| Limit { count: (n >> by) as u32, measure: n as u8 });
    Limits { window_ms: n as u32, of }
}

fn slot_data(n: u64) -> SlotData {
    SlotData { slot: n as u8, byte_count: n as u32, crc: !n as u32 }
}

fn vgpu(n: u64) -> record::Vgpu {
    let (channel_count, context_count) = (n as u16, !n as u16);
    record::Vgpu { guest_time_ns: n, pending_vectors: n as u32, channel_count, context_count }
}

fn channel(n: u64) -> record::Channel {
    record::Channel {
        channel: n as u16,
        tsg: !n as u16,
        runlist: n as u8,
        ring_base: n,
        ring_log2: n as u8,
        grace: !n as u8,
        fault: n as u8,
        pending: n & 1 != 0,
        used: n & 1 == 0,
        left_at: n as u8,
    }
}

/// Every command.
fn commands(n: u64) -> Vec<Command> {
    let (channel, raw) = (n as u16, n as u8);
    let stop = |mode| Command::Stop { mode, timeout_ns: n };
    let modes = [StopMode::Wfi, StopMode::Cta, StopMode::Instruction, StopMode::Escalate];
    let (profile, placement) = (profile(n), placement(n));
    let mut all = std::vec![
        Command::Create { profile, placement, share: share(n) },
        Command::Release,
        Command::Start,
    ];
    all.extend(modes.map(stop));
    let (ring_base, ring_log2) = (n, raw);
    all.extend([
        Command::OpenChannel {
            channel,
            tsg: channel,
            runlist: raw,
            ring_base,
            ring_log2,
            grace: raw,
        },
        Command::CloseChannel { channel },
        Command::SaveBegin,
        Command::SaveRound,
        Command::SaveState,
        Command::SaveEnd,
        Command::Credit { slot: raw },
        Command::RestoreBegin,
        Command::LoadVgpu(vgpu(n)),
        Command::LoadChannel(self::channel(n)),
        Command::LoadPages(slot_data(n)),
        Command::LoadContext { channel, at: n as u32, data: slot_data(n) },
        Command::RestoreEnd,
        Command::SetShare(share(n)),
        Command::SetScheduling(scheduling(n)),
        Command::SetLimits(limits(n)),
    ]);
    all
}

fn rejects() -> Vec<Reject> {
    let mut all = std::vec![
        Reject::NoSuchVgpu,
        Reject::VgpuExists,
        Reject::WrongPhase,
        Reject::NoSuchChannel,
        Reject::NoSuchEngine,
        Reject::ChannelOpen,
        Reject::ChannelClosed,
        Reject::TsgFull,
        Reject::TsgElsewhere,
        Reject::Ring,
        Reject::SlotInUse,
        Reject::Deadline,
        Reject::Incomplete,
        Reject::Record,
        Reject::OutOfRange,
        Reject::Grace,
        Reject::Banned,
    ];
    let parts = [ProfileReject::Framebuffer, ProfileReject::Bar, ProfileReject::Channels];
    all.extend(parts.map(Reject::Profile));
    let parts = [PlacementReject::Bar, PlacementReject::Channels, PlacementReject::Context];
    all.extend(parts.map(Reject::Placement));
    all
}

/// Every event.
fn events(n: u64) -> Vec<Event> {
    let (word, half, gfid) = (n as u32, n as u16, n as u8);
    let mut all = std::vec![
        Event::Started { generation: word, present: word, running: !word },
        Event::Done { id: word },
        Event::Malformed,
        Event::Round { gfid, pages: word },
        Event::Pages { gfid, data: slot_data(n) },
        Event::RoundEnd { gfid },
        Event::Vgpu { gfid, record: vgpu(n) },
        Event::Channel { gfid, record: channel(n) },
        Event::Context { gfid, channel: half, at: word, data: slot_data(n) },
        Event::Saved { gfid },
        Event::Taken { slot: gfid },
        Event::Free { slot: gfid },
        Event::Closed { gfid, channel: half },
        Event::ChannelFault { gfid, channel: half, fault: gfid },
        Event::EngineLost { runlist: gfid },
        Event::Abuse { gfid, abuse: gfid, measure: !gfid },
    ];
    all.extend(rejects().into_iter().map(|why| Event::Refused { id: word, why }));
    let failures = [Failure::Copy, Failure::BadCrc, Failure::OutOfRange, Failure::Late];
    all.extend(failures.map(|why| Event::Failed { gfid, why }));
    all
}

fn kept(n: u64) -> Vec<Vgpu> {
    let phases = [
        Phase::Running { time_offset_ns: n },
        Phase::Stopped { guest_time_ns: n, vectors: n as u32, pristine: n & 1 == 0 },
        Phase::Broken,
    ];
    let (profile, placement) = (profile(n), placement(n));
    let of =
        |phase| Vgpu { gfid: n as u8, phase, profile, placement, epoch: n as u32, share: share(n) };
    phases.map(of).into()
}

/// Encodes a value with both; they agree, also on how much room there is to be.
fn encoded<T: Serialize + Debug>(value: &T) -> Vec<u8> {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let bytes = crate::encode(value, &mut buffer).unwrap().to_vec();
    for room in 0..=bytes.len() {
        let mut buffer = std::vec![0xee; room];
        let expected = if room < bytes.len() { Err(WireError::NoRoom) } else { Ok(&*bytes) };
        assert_eq!(encode(value, &mut buffer), expected, "{value:?} in {room} bytes");
    }
    bytes
}

/// Decodes bytes with both, and the same with each byte changed, and their beginnings; the two
/// agree.
fn decoded<T>(bytes: &[u8])
where
    T: serde::de::DeserializeOwned + Debug + PartialEq,
{
    let compare = |bytes: &[u8]| {
        assert_eq!(decode::<T>(bytes), crate::decode(bytes), "{bytes:02x?}");
    };
    let mut changed = bytes.to_vec();
    for (at, byte) in bytes.iter().enumerate() {
        compare(&bytes[..at]);
        for other in 0..=u8::MAX {
            changed[at] = other;
            compare(&changed);
        }
        changed[at] = *byte;
    }
    for more in [0, 1, 0x80] {
        changed.push(more);
        compare(&changed);
    }
}

#[test]
fn requests_are_read_as_by_postcard() {
    for n in NUMBERS {
        for command in commands(n) {
            let request = Request { id: n as u32, generation: !n as u32, gfid: n as u8, command };
            let bytes = encoded(&request);
            assert_eq!(Request::decode(&bytes), Ok(request));
            decoded::<Request>(&bytes);
        }
    }
}

#[test]
fn events_are_written_as_by_postcard() {
    for n in NUMBERS {
        for event in events(n) {
            let bytes = encoded(&event);
            assert_eq!(crate::decode(&bytes), Ok(event));
            decoded::<Event>(&bytes);
        }
    }
}

#[test]
fn retained_records_are_postcards() {
    for n in NUMBERS {
        let rules = Rules { scheduling: scheduling(n), limits: limits(n) };
        decoded::<Rules>(&encoded(&rules));
        for vgpu in kept(n) {
            decoded::<Vgpu>(&encoded(&vgpu));
        }
    }
}

/// Whether these are the numbers of all variants: the next one is none.
fn all_of<T: serde::de::DeserializeOwned>(before: &[u8], numbers: impl Iterator<Item = u8>) {
    let numbers: std::collections::BTreeSet<u8> = numbers.collect();
    let count = numbers.len() as u8;
    assert!(numbers.iter().copied().eq(0..count), "{numbers:?}");
    let mut bytes = before.to_vec();
    bytes.push(count);
    bytes.resize(MESSAGE_BYTES_MAX, 0);
    assert!(decode_first::<T>(&bytes).is_err(), "variant {count} is not among the samples");
}

#[test]
fn every_variant_is_among_the_samples() {
    let request = |command| encoded(&Request { id: 0, generation: 0, gfid: 0, command });
    all_of::<Request>(&[0; 3], commands(0).into_iter().map(|command| request(command)[3]));
    all_of::<Event>(&[], events(0).iter().map(|event| encoded(event)[0]));
    all_of::<Reject>(&[], rejects().iter().map(|reject| encoded(reject)[0]));
}

#[test]
fn a_number_ends_within_its_bits() {
    decoded::<u16>(&[0xff, 0xff, 0x03]);
    decoded::<u32>(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    decoded::<u64>(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(decode::<u16>(&[0xff, 0xff, 0x03]), Ok(u16::MAX));
    assert_eq!(decode::<u16>(&[0xff, 0xff, 0x04]), Err(WireError::Malformed));
    assert_eq!(decode::<u16>(&[0x80, 0x80, 0x80, 0x00]), Err(WireError::Malformed));
    assert_eq!(decode::<u16>(&[0x80, 0x00]), Ok(0));
}

#[test]
fn kinds_that_are_not_here_are_refused() {
    let mut buffer = [0; 16];
    assert_eq!(encode(&1i32, &mut buffer), Err(WireError::NoRoom));
    assert_eq!(encode(&"text", &mut buffer), Err(WireError::NoRoom));
    assert_eq!(decode::<i32>(&[0]), Err(WireError::Malformed));
    assert_eq!(decode::<heapless::Vec<u8, 4>>(&[0]), Err(WireError::Malformed));
}
