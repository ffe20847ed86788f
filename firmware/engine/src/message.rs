//! What goes in and what comes out.

use godwit_types::{
    Abuse, ChannelFault, ChannelId, CopyDone, CopyStatus, Gfid, GuestChannelId, GuestTsgId, Limits,
    Measure, Placement, PlacementError, PreemptMode, Profile, ProfileError, RUNLIST_COUNT,
    RingConfig, RunlistEvent, RunlistId, RunlistState, Scheduling, Share, SlotId, SlotRange,
    Throttle, TsgId,
};
use static_assertions::const_assert;

/// Something that has happened, or that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input {
    /// A guest says that the latency of what it rings for next matters.
    Hint(Gfid),
    /// A channel's doorbell rang.
    Doorbell(ChannelId),
    /// The device stopped a channel.
    Fault(ChannelId, ChannelFault),
    /// A runlist answered.
    Runlist(RunlistId, RunlistEvent),
    /// What a runlist held when [`Action::Probe`] was performed.
    Probed(RunlistId, RunlistState),
    /// The alarm rang.
    Alarm,
    /// The copy ring answered.
    Copied(CopyDone),
    /// A partition was set or cleared.
    PartitionSet(Gfid),
    /// An aperture is bound as asked, and quiet.
    ApertureSet(Gfid),
    /// A vGPU's way to its peers is as asked, and no access is under way that is not to be.
    PeersSet(Gfid),
    /// Vectors that were pending when [`Action::ReadVectors`] was performed.
    Vectors(Gfid, u32),
    /// How many interrupts the device had raised for a vGPU, wrapping, when [`Action::Record`] of
    /// it or [`Action::CountInterrupts`] was performed.
    Interrupts(Gfid, u32),
}

/// A command of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request {
    /// Echoed in [`Event::Done`] or [`Event::Refused`].
    pub id: u32,
    /// The vGPU that is meant.
    pub gfid: Gfid,
    /// What to do.
    pub command: Command,
}

/// How a vGPU is brought to a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StopMode {
    /// At this boundary or not at all: past the deadline the stop is refused and the vGPU
    /// runs on. No engine is reset for it.
    Pinned(PreemptMode),
    /// At the first boundary that is reached in time: WFI, then CTA, then instruction.
    Escalate,
}

/// What the host can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Command {
    /// Makes a vGPU. It stands still, with no channels and zeros for memory.
    Create {
        /// What it is.
        profile: Profile,
        /// Where it sits.
        placement: Placement,
        /// What it is due of the engines.
        share: Share,
    },
    /// Scrubs everything of the vGPU and makes it absent. Possible in every phase.
    Release,
    /// Lets the vGPU run.
    Start,
    /// Brings it to a stop.
    Stop {
        /// How.
        mode: StopMode,
        /// How long it may take, from now.
        timeout_ns: u64,
    },
    /// Opens a channel.
    OpenChannel {
        /// Which.
        channel: GuestChannelId,
        /// Its time-slice group.
        tsg: GuestTsgId,
        /// Its engine.
        runlist: RunlistId,
        /// Its ring.
        ring: RingConfig,
        /// Its group's grace period: all channels of a group have the same.
        grace: u8,
    },
    /// Closes a channel; what it had not done is dropped, its context is scrubbed.
    CloseChannel {
        /// Which.
        channel: GuestChannelId,
    },
    /// Starts to save: logs writes, then goes through the first round.
    SaveBegin,
    /// Another round of the pages written since the last. From now on until the save has ended
    /// the vGPU has this part of its turns.
    SaveRound(Throttle),
    /// The rest: vGPU, channels and contexts. The vGPU must stand still and a round must
    /// have ended since it does.
    SaveState,
    /// Ends saving, complete or not; staging is scrubbed.
    SaveEnd,
    /// Gives a staging slot to a save.
    Credit {
        /// Which.
        slot: SlotId,
    },
    /// Starts to restore into a vGPU that was made and never ran.
    RestoreBegin,
    /// The vGPU's record.
    LoadVgpu(VgpuRecord),
    /// A channel's record.
    LoadChannel(ChannelRecord),
    /// Pages in a slot, with a table of runs.
    LoadPages {
        /// The slot and its data bytes.
        from: SlotRange,
        /// Their CRC-32C.
        crc: u32,
    },
    /// Part of a channel's context in a slot.
    LoadContext {
        /// Whose.
        channel: GuestChannelId,
        /// First byte in its context buffer.
        at: u32,
        /// The slot and its data bytes.
        from: SlotRange,
        /// Their CRC-32C.
        crc: u32,
    },
    /// Everything was given: checks that nothing is missing. The vGPU then stands still.
    RestoreEnd,
    /// Changes what the vGPU is due of the engines.
    SetShare(Share),
    /// Changes how vGPUs take turns, for all of the device; which vGPU is meant does not matter.
    SetScheduling(Scheduling),
    /// Changes what is too much of something, likewise.
    SetLimits(Limits),
    /// Opens or closes the way of the vGPU's channels to its peers. It is done when no access to
    /// a peer is under way. One that stands still is started with what was asked last.
    SetPeer {
        /// Whether it is open, as it is at first.
        open: bool,
    },
}

/// A vGPU's state, as the guest would know it: nothing in it belongs to one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VgpuRecord {
    /// The guest's time when it was stopped.
    pub guest_time_ns: u64,
    /// Interrupts that were raised and not taken.
    pub pending_vectors: u32,
    /// Channel records that follow.
    pub channel_count: u16,
    /// Channels whose contexts follow.
    pub context_count: u16,
    /// What it has had too much of each engine's time, compute and copy, in nanoseconds.
    pub debts_ns: [u32; RUNLIST_COUNT as usize],
}

/// One after the other: a reader of the log believes no text with a list in it.
#[cfg(feature = "defmt")]
impl defmt::Format for VgpuRecord {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [compute_ns, copy_ns] = self.debts_ns;
        defmt::write!(
            f,
            "VgpuRecord {{ guest_time_ns: {}, pending_vectors: {}, channel_count: {}, \
             context_count: {}, debts_ns: {}, {} }}",
            self.guest_time_ns,
            self.pending_vectors,
            self.channel_count,
            self.context_count,
            compute_ns,
            copy_ns
        );
    }
}

/// A channel's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChannelRecord {
    /// The guest's number.
    pub channel: GuestChannelId,
    /// Its group.
    pub tsg: GuestTsgId,
    /// Its engine.
    pub runlist: RunlistId,
    /// Its ring.
    pub ring: RingConfig,
    /// Its group's grace period.
    pub grace: u8,
    /// Why it stands still for good, if it does.
    pub fault: Option<ChannelFault>,
    /// Its group has work that is not known to be done, or a doorbell that is not served.
    pub pending: bool,
    /// It has run, so its context follows.
    pub used: bool,
    /// At which boundary its group left the engine; `None`: with its work done.
    pub left_at: Option<PreemptMode>,
}

/// What becomes of a vGPU's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Window {
    /// Accesses reach the partition.
    Direct,
    /// Nothing passes.
    Blocked,
    /// Nothing passes, and its part of the BAR is free for others.
    Gone,
}

/// Something for the hardware to do. It names what it is about; whoever performs it asks the
/// engine for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Write the retained record ([`Engine::retained`](crate::Engine::retained)); before any later
    /// action is performed.
    Retain,
    /// Put a group on an engine.
    Start(RunlistId, TsgId, u32),
    /// Ask an engine to become empty.
    Preempt(RunlistId, PreemptMode, u32),
    /// Ask it to do so at a time, which is the end of a slice.
    PreemptAt(RunlistId, PreemptMode, u32, u64),
    /// Empty an engine by force.
    Reset(RunlistId, u32),
    /// Look at what an engine holds.
    Probe(RunlistId),
    /// Set the alarm; `u64::MAX`: clear it.
    Alarm(u64),
    /// Bind a channel slot to [`Engine::channel_config`](crate::Engine::channel_config).
    Bind(ChannelId, Gfid, GuestChannelId),
    /// Bind a channel slot to nothing.
    Unbind(ChannelId),
    /// Give a vGPU its partition ([`Engine::home`](crate::Engine::home)).
    SetPartition(Gfid),
    /// Take it away.
    ClearPartition(Gfid),
    /// Bind an aperture ([`Engine::aperture`](crate::Engine::aperture)).
    BindAperture(Gfid, Window),
    /// Bind the guest's view ([`Engine::route`](crate::Engine::route)), with vectors open or not.
    SetRoute(Gfid, bool),
    /// Open or close its way to its peers.
    SetPeers(Gfid, bool),
    /// Raise vectors.
    Inject(Gfid, u32),
    /// Record that a group has left an engine ([`Engine::switch`](crate::Engine::switch)), then
    /// look at how many interrupts its vGPU has raised.
    Record(RunlistId),
    /// Look at how many interrupts a vGPU has raised.
    CountInterrupts(Gfid),
    /// Look at which vectors are pending.
    ReadVectors(Gfid),
    /// Submit an operation ([`Engine::poll_copy`](crate::Engine::poll_copy)) to the copy ring. The
    /// engine never has more under way than the ring takes.
    Copy,
}

const_assert!(size_of::<Action>() <= 16); // they wait in a queue, and are handed on by value

/// Something to tell the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// The firmware has started; what was asked of an earlier one and not answered is void.
    Started {
        /// vGPUs that exist, by bit.
        present: u32,
        /// Those of them that run.
        running: u32,
    },
    /// A command is done.
    Done {
        /// Of the request.
        id: u32,
    },
    /// A command is refused, and nothing has changed; for a stop: the vGPU runs on.
    Refused {
        /// Of the request.
        id: u32,
        /// Why.
        why: Reject,
    },
    /// A round of a save begins.
    Round {
        /// Whose.
        gfid: Gfid,
        /// Pages that it has.
        pages: u32,
    },
    /// Pages of a round are in a slot, with a table of runs.
    Pages {
        /// Whose.
        gfid: Gfid,
        /// The slot and its data bytes.
        to: SlotRange,
        /// Their CRC-32C.
        crc: u32,
    },
    /// A round has ended.
    RoundEnd {
        /// Whose.
        gfid: Gfid,
    },
    /// The vGPU's record.
    Vgpu(Gfid, VgpuRecord),
    /// A channel's record.
    Channel(Gfid, ChannelRecord),
    /// Part of a channel's context is in a slot.
    Context {
        /// Whose.
        gfid: Gfid,
        /// Which channel's.
        channel: GuestChannelId,
        /// First byte in the context buffer.
        at: u32,
        /// The slot and its data bytes.
        to: SlotRange,
        /// Their CRC-32C.
        crc: u32,
    },
    /// Everything is saved.
    Saved {
        /// Whose.
        gfid: Gfid,
    },
    /// What a restore has put into a slot was copied to its place.
    Taken {
        /// Which.
        slot: SlotId,
    },
    /// A slot is scrubbed: it is nobody's.
    Free {
        /// Which.
        slot: SlotId,
    },
    /// A channel is closed and scrubbed.
    Closed {
        /// Whose.
        gfid: Gfid,
        /// Which.
        channel: GuestChannelId,
    },
    /// A channel faulted.
    ChannelFault {
        /// Whose.
        gfid: Gfid,
        /// Which.
        channel: GuestChannelId,
        /// Why.
        fault: ChannelFault,
    },
    /// A transfer failed: a save is to be ended, a restore can only be released.
    Failed {
        /// Whose.
        gfid: Gfid,
        /// Why.
        why: Failure,
    },
    /// A vGPU has done too much of something, and what is done about it.
    Abuse {
        /// Which vGPU.
        gfid: Gfid,
        /// Of what.
        abuse: Abuse,
        /// What is done, until its window ends.
        measure: Measure,
    },
    /// An engine could not be emptied by any means and is out of service.
    EngineLost(RunlistId),
}

/// The asker's mistake, or bad timing: nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reject {
    /// Actions or events must be taken first; give the input again.
    Full,
    /// No vGPU has this id.
    NoSuchVgpu,
    /// The id is taken.
    VgpuExists,
    /// The profile breaks a limit.
    Profile(ProfileError),
    /// The placement does not fit the device or overlaps a neighbour's.
    Placement(PlacementError),
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

/// The device's mistake, or the stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Failure {
    /// A copy did not work.
    Copy(CopyStatus),
    /// The copy engine did not answer in time.
    Late,
}
