//! What the checks share: vGPUs in their places, and waiting with a bound.

use super::verdict::{Fact, Verdict, differ, same};
use super::{Bench, Work};
use godwit_hal::{Apertures, Channels, CopyRing, Interrupts, Partitions, Routes, Runlists};
use godwit_types::{
    Aperture, BarMode, ChannelConfig, ChannelId, CopyDone, CopyOp, CopyRequest, CopyStatus, Gfid,
    GuestChannelId, Index, PAGE_BYTES, Placement, Profile, RingConfig, Route, RunlistEvent,
    RunlistId, SlotId, TsgId,
};

/// The vGPUs of the suite. Every device must have room for three.
pub const PROFILE: Profile = Profile {
    fb_bytes: 4 << 20,
    bar_bytes: 1 << 20,
    channel_count: 8,
    context_bytes: 2 * PAGE_BYTES,
};

/// From here on a partition is the bench's own.
pub const SCRATCH_AT: u64 = 2 << 20;

/// How much time passes between two looks at the hardware.
pub const STEP_NS: u64 = 5_000;

/// How long an answer may take.
pub const PATIENCE_NS: u64 = 20_000_000;

/// Where the suite's rings begin, and how far they are apart.
const RINGS_AT: u64 = 0x8_0000;
const RING_STRIDE: u64 = 0x1000;
const RING_LOG2: u8 = 4;

/// Where work leaves its marks.
pub(super) const DATA_AT: u64 = 0x1_0000;

/// Looks of one wait.
const LOOKS: u64 = PATIENCE_NS / STEP_NS;

/// A bench with the hardware that is checked.
#[derive(Debug)]
pub(super) struct Rig<'b, B> {
    pub(super) bench: &'b mut B,
    tag: u16,
}

pub(super) const fn placement(index: u16) -> Placement {
    Placement {
        fb_base: index as u64 * PROFILE.fb_bytes,
        bar_base: index as u64 * PROFILE.bar_bytes,
        channel_base: index * PROFILE.channel_count,
        context_base: index as u64 * PROFILE.context_total(),
    }
}

pub(super) const fn route(index: u16) -> Route {
    Route {
        channel_base: placement(index).channel_base,
        channel_count: PROFILE.channel_count,
        time_offset_ns: 0,
        interrupts_open: true,
    }
}

pub(super) const fn window(index: u16, mode: BarMode) -> Aperture {
    Aperture {
        bar_base: placement(index).bar_base,
        fb_offset: 0,
        byte_count: PROFILE.bar_bytes,
        mode,
    }
}

/// The vGPU that sits in the `index`-th place.
pub(super) fn gfid(index: u16) -> Gfid {
    Gfid::from_index(usize::from(index)).expect("there are more than the suite has places")
}

pub(super) fn slot(raw: u8) -> SlotId {
    SlotId::new(raw).expect("there are more than the suite uses")
}

pub(super) fn tsg(raw: u16) -> TsgId {
    TsgId::new(raw).expect("there are more than the suite uses")
}

/// Channel `guest` of the vGPU in a place.
pub(super) fn channel(index: u16, guest: u16) -> ChannelId {
    ChannelId::new(placement(index).channel_base + guest).expect("within the suite's places")
}

/// What channel `guest` of the vGPU in a place is bound to: the group of the same number.
pub(super) fn config(index: u16, guest: u16, runlist: RunlistId) -> ChannelConfig {
    let placement = placement(index);
    let ring = RINGS_AT + RING_STRIDE * u64::from(guest);
    ChannelConfig {
        gfid: gfid(index),
        guest: GuestChannelId::new(guest).expect("within the profile"),
        tsg: tsg(placement.channel_base + guest),
        runlist,
        ring: RingConfig::new(ring, RING_LOG2, PROFILE.fb_bytes).expect("within the partition"),
        context_at: placement.context_base + u64::from(guest) * u64::from(PROFILE.context_bytes),
        context_bytes: PROFILE.context_bytes,
        grace: 0,
        fault: None,
    }
}

impl<'b, B: Bench> Rig<'b, B> {
    pub(super) fn new(bench: &'b mut B) -> Self {
        Self { bench, tag: 0 }
    }

    pub(super) fn hardware(&mut self) -> &mut B::Hardware {
        self.bench.hardware()
    }

    /// Lets time pass and takes note of what it brought.
    pub(super) fn pass(&mut self, ns: u64) {
        self.bench.pass(ns);
        self.hardware().collect();
    }

    /// Asks again and again, while time passes, until there is an answer or patience is over.
    pub(super) fn until<T>(
        &mut self,
        mut poll: impl FnMut(&mut B::Hardware) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..LOOKS {
            let hardware = self.bench.hardware();
            hardware.collect();
            if let Some(answer) = poll(hardware) {
                return Some(answer);
            }
            self.bench.pass(STEP_NS);
        }
        None
    }

    /// Gives the vGPU in a place its partition and its route.
    pub(super) fn vgpu(&mut self, index: u16) -> Verdict<Gfid> {
        let gfid = gfid(index);
        self.hardware().set_partition(gfid, &placement(index), &PROFILE);
        let answer = self.until(Partitions::poll_partition);
        same("answer to `set_partition`", answer, Some(gfid))?;
        self.hardware().set_route(gfid, &route(index));
        self.pass(STEP_NS);
        Ok(gfid)
    }

    /// Binds a vGPU's window and waits for the answer.
    pub(super) fn open(&mut self, index: u16, mode: BarMode) -> Verdict {
        self.hardware().bind_aperture(gfid(index), &window(index, mode));
        let answer = self.until(Apertures::poll_aperture);
        same("answer to `bind_aperture`", answer, Some(gfid(index)))
    }

    /// Binds a channel of the vGPU in a place.
    pub(super) fn bind(&mut self, index: u16, guest: u16, runlist: RunlistId) -> ChannelId {
        let id = channel(index, guest);
        self.hardware().bind_channel(id, &config(index, guest, runlist));
        self.pass(STEP_NS);
        id
    }

    /// Puts work into the ring of a channel of the vGPU in the first place.
    pub(super) fn push(&mut self, guest: u16, work: Work) {
        let ring = config(0, guest, RunlistId::COMPUTE).ring;
        self.bench.push(gfid(0), ring, work);
    }

    /// A u64 of the first vGPU's partition.
    pub(super) fn peek(&mut self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.bench.read(gfid(0), at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Starts the group of a channel of the first vGPU; the number of the request.
    pub(super) fn start(&mut self, runlist: RunlistId, guest: u16) -> u32 {
        let group = config(0, guest, runlist).tsg;
        let hardware = self.hardware();
        let seq = hardware.last_requests(runlist).0.wrapping_add(1);
        hardware.start(runlist, group, seq);
        seq
    }

    /// The runlist's next answer.
    pub(super) fn answer(&mut self, runlist: RunlistId) -> Option<RunlistEvent> {
        self.until(|hardware| hardware.poll_runlist(runlist))
    }

    /// The runlist's answer within a shorter time than patience lasts.
    pub(super) fn answer_within(&mut self, runlist: RunlistId, ns: u64) -> Option<RunlistEvent> {
        for _ in 0..=ns / STEP_NS {
            self.hardware().collect();
            if let Some(event) = self.hardware().poll_runlist(runlist) {
                return Some(event);
            }
            self.bench.pass(STEP_NS);
        }
        None
    }

    /// The group of a channel runs to its end.
    pub(super) fn run_idle(&mut self, runlist: RunlistId, guest: u16) -> Verdict {
        let seq = self.start(runlist, guest);
        let answer = self.answer(runlist);
        same("answer to `start`", answer, Some(RunlistEvent::Idle { seq }))
    }

    /// A tag that no operation had before.
    pub(super) fn next_tag(&mut self) -> u16 {
        self.tag += 0x101;
        self.tag
    }

    /// Submits an operation for the vGPU in a place, and waits for its answer.
    pub(super) fn copy(&mut self, index: u16, op: CopyOp) -> Verdict<CopyDone> {
        let tag = self.next_tag();
        let request = CopyRequest { tag, gfid: gfid(index), op };
        same("`submit_copy` on a ring with room", self.hardware().submit_copy(&request), true)?;
        match self.until(CopyRing::poll_copy) {
            Some(done) if done.tag == tag => Ok(done),
            other => {
                let expected = Fact::Copy(tag, CopyStatus::Done);
                let found = other.map_or(Fact::Nothing, |done| Fact::Copy(done.tag, done.status));
                Err(differ("tag of the answer", found, expected))
            }
        }
    }

    /// An operation that must end in this way.
    pub(super) fn copy_ends(
        &mut self,
        index: u16,
        op: CopyOp,
        expected: CopyStatus,
    ) -> Verdict<CopyDone> {
        let done = self.copy(index, op)?;
        let (tag, status) = (done.tag, done.status);
        same("end of the copy", Fact::Copy(tag, status), Fact::Copy(tag, expected))?;
        Ok(done)
    }
}
