//! What the host and the firmware say to each other.

use crate::codec::WireError;
use crate::{codec, record};
use serde::{Deserialize, Serialize};

/// Longest message in bytes; what a slot of a mailbox ring holds.
pub const MESSAGE_BYTES_MAX: usize = 252;

/// A command with its number and the vGPU that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Echoed in the answer.
    pub id: u32,
    /// Of the firmware that is meant, as [`Event::Started`] told it: what was sent to one that
    /// is gone is void, and dropped by the next.
    pub generation: u32,
    /// Guest function id, 1 to 32.
    pub gfid: u8,
    /// What to do.
    pub command: Command,
}

impl Request {
    /// Decodes a command: once in all of the firmware, since each copy of this is kilobytes.
    ///
    /// # Errors
    ///
    /// As [`decode`](crate::decode).
    #[inline(never)]
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        codec::decode(bytes)
    }
}

/// How large a vGPU is. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Partition.
    pub fb_bytes: u64,
    /// BAR2 aperture.
    pub bar_bytes: u64,
    /// Channels.
    pub channel_count: u16,
    /// Each channel's context buffer.
    pub context_bytes: u32,
}

/// Where a vGPU sits on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// First byte of the partition.
    pub fb_base: u64,
    /// First byte of the aperture.
    pub bar_base: u64,
    /// First hardware channel.
    pub channel_base: u16,
    /// First byte of the context buffers.
    pub context_base: u64,
}

/// What a vGPU is due of the engines; ranges are those of the type of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Length of its turns relative to the others'.
    pub weight: u8,
    /// Its fixed part, in units of a ten-thousandth; 0: by its framebuffer.
    pub part: u16,
    /// What it may have at most of others' parts and its own; 0: its own.
    pub cap: u16,
}

/// How vGPUs take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// 0 best effort, 1 equal share, 2 fixed share.
    pub policy: u8,
    /// A turn of average length; `None`: by how many vGPUs there are.
    pub slice_ns: Option<u64>,
    /// Over how many turns an overshoot is paid back.
    pub averaging: u8,
}

/// How much of something is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// As often in a window is allowed; 0: any number.
    pub count: u32,
    /// 0 report, 1 shorten, 2 ban, 3 pause.
    pub measure: u8,
}

/// What is too much, for each vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The window.
    pub window_ms: u32,
    /// Resets, faults, doorbells, interrupts.
    pub of: [Limit; 4],
}

/// How a vGPU is brought to a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// When its work in flight is done, or not at all.
    Wfi,
    /// Between two thread blocks, or not at all.
    Cta,
    /// Between two instructions, or not at all.
    Instruction,
    /// At the first of these that is reached in time.
    Escalate,
}

/// Data in a staging slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotData {
    /// Which slot.
    pub slot: u8,
    /// Bytes of it, from its start.
    pub byte_count: u32,
    /// Their CRC-32C.
    pub crc: u32,
}

/// What the host can ask for. See the engine's commands of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the engine's command of the same name says what it means")]
pub enum Command {
    Create {
        profile: Profile,
        placement: Placement,
        share: Share,
    },
    Release,
    Start,
    Stop {
        mode: StopMode,
        timeout_ns: u64,
    },
    OpenChannel {
        channel: u16,
        tsg: u16,
        runlist: u8,
        ring_base: u64,
        ring_log2: u8,
        grace: u8,
    },
    CloseChannel {
        channel: u16,
    },
    SaveBegin,
    SaveRound {
        /// The vGPU's own turns are shorter from now on, by powers of two; 0: they are not.
        throttle: u8,
    },
    SaveState,
    SaveEnd,
    Credit {
        slot: u8,
    },
    RestoreBegin,
    LoadVgpu(record::Vgpu),
    LoadChannel(record::Channel),
    LoadPages(SlotData),
    LoadContext {
        channel: u16,
        at: u32,
        data: SlotData,
    },
    RestoreEnd,
    SetShare(Share),
    /// For all of the device; the request's vGPU does not matter.
    SetScheduling(Scheduling),
    /// Likewise.
    SetLimits(Limits),
    SetPeer {
        open: bool,
    },
}

/// Why a command was refused. The numbers are frozen with the protocol's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reject {
    /// No vGPU has this id.
    NoSuchVgpu,
    /// The id is taken.
    VgpuExists,
    /// The profile breaks a limit.
    Profile(ProfileReject),
    /// The placement does not fit or overlaps a neighbour's.
    Placement(PlacementReject),
    /// Not in this phase.
    WrongPhase,
    /// The profile has no such channel or group.
    NoSuchChannel,
    /// The device has no such engine.
    NoSuchEngine,
    /// The channel is open already.
    ChannelOpen,
    /// The channel is not open.
    ChannelClosed,
    /// The group has as many channels as one may have.
    TsgFull,
    /// The group is another engine's.
    TsgElsewhere,
    /// The ring does not lie in the partition.
    Ring,
    /// The slot is in use.
    SlotInUse,
    /// The boundary was not reached in time, or the device did not answer.
    Deadline,
    /// Records are missing.
    Incomplete,
    /// A record does not fit the vGPU or came twice.
    Record,
    /// A number is out of its range.
    OutOfRange,
    /// The group has another grace period.
    Grace,
    /// The vGPU did too much of something and can open no channel now.
    Banned,
}

/// Which rule a profile breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the profile's parts")]
pub enum ProfileReject {
    Framebuffer,
    Bar,
    Channels,
    Context,
}

/// Which part of a placement does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the placement's parts")]
pub enum PlacementReject {
    Framebuffer,
    Bar,
    Channels,
    Context,
}

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The copy engine failed.
    Copy,
    /// Bytes in a slot do not have their CRC.
    BadCrc,
    /// Bytes were meant for a place outside the vGPU.
    OutOfRange,
    /// The copy engine did not answer in time.
    Late,
}

/// What the firmware tells. See the engine's events of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the engine's event of the same name says what it means")]
pub enum Event {
    Started {
        /// Names this start of the firmware.
        generation: u32,
        present: u32,
        running: u32,
    },
    Done {
        id: u32,
    },
    Refused {
        id: u32,
        why: Reject,
    },
    /// A command that could not be decoded; it has no number.
    Malformed,
    Round {
        gfid: u8,
        pages: u32,
    },
    Pages {
        gfid: u8,
        data: SlotData,
    },
    RoundEnd {
        gfid: u8,
    },
    Vgpu {
        gfid: u8,
        record: record::Vgpu,
    },
    Channel {
        gfid: u8,
        record: record::Channel,
    },
    Context {
        gfid: u8,
        channel: u16,
        at: u32,
        data: SlotData,
    },
    Saved {
        gfid: u8,
    },
    Taken {
        slot: u8,
    },
    Free {
        slot: u8,
    },
    Closed {
        gfid: u8,
        channel: u16,
    },
    ChannelFault {
        gfid: u8,
        channel: u16,
        fault: u8,
    },
    Failed {
        gfid: u8,
        why: Failure,
    },
    EngineLost {
        runlist: u8,
    },
    Abuse {
        gfid: u8,
        /// 0 resets, 1 faults, 2 doorbells, 3 interrupts.
        abuse: u8,
        /// As in [`Limit`].
        measure: u8,
    },
}

impl Event {
    /// Encodes an event: once in all of the firmware, as [`Request::decode`].
    ///
    /// # Errors
    ///
    /// As [`encode`](crate::encode).
    #[inline(never)]
    pub fn encode<'a>(&self, into: &'a mut [u8]) -> Result<&'a [u8], WireError> {
        codec::encode(self, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, encode};

    #[test]
    fn the_longest_messages_fit_a_slot() {
        let profile = Profile {
            fb_bytes: u64::MAX,
            bar_bytes: u64::MAX,
            channel_count: u16::MAX,
            context_bytes: u32::MAX,
        };
        let placement = Placement {
            fb_base: u64::MAX,
            bar_base: u64::MAX,
            channel_base: u16::MAX,
            context_base: u64::MAX,
        };
        let request = Request {
            id: u32::MAX,
            generation: u32::MAX,
            gfid: 255,
            command: Command::Create {
                profile,
                placement,
                share: Share { weight: 255, part: u16::MAX, cap: u16::MAX },
            },
        };
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let bytes = encode(&request, &mut buffer).unwrap();
        assert_eq!(decode::<Request>(bytes), Ok(request));
    }
}
