//! Running work: interrupts, time, runlists, channels, copies.

use godwit_types::{
    ChannelConfig, ChannelFault, ChannelId, CopyDone, CopyRequest, Gfid, Identity, PreemptMode,
    RunlistEvent, RunlistId, RunlistState, Switch, TsgId,
};

/// Interrupts from the device and from the host.
pub trait Interrupts {
    /// Takes note of what is pending and acknowledges it. The `poll_*` calls of the other
    /// traits look at what was noted. Returns whether anything is.
    fn collect(&mut self) -> bool;
}

/// The device's clock, the only one there is.
pub trait Timer {
    /// Nanoseconds since the device started; never goes back.
    fn now_ns(&self) -> u64;

    /// Sets the one alarm; `None` clears it. A time that has passed rings at once.
    fn set_alarm(&mut self, at_ns: Option<u64>);

    /// Whether the alarm rang since the last call.
    fn poll_alarm(&mut self) -> bool;
}

/// The engines' runlists: who runs. Sees no context byte.
pub trait Runlists {
    /// Puts a group on an engine that is empty. The answer is a later
    /// [`RunlistEvent::Idle`], or that of a preempt or reset.
    fn start(&mut self, runlist: RunlistId, tsg: TsgId, seq: u32);

    /// Asks the engine to save what it runs and become empty.
    fn request_preempt(&mut self, runlist: RunlistId, mode: PreemptMode, seq: u32);

    /// Asks the engine to let go of what was started last when the device's clock reads `at_ns`, as
    /// if [`Self::request_preempt`] came then. It is void once the group has left, and any later
    /// request takes its place.
    fn preempt_at(&mut self, runlist: RunlistId, mode: PreemptMode, seq: u32, at_ns: u64);

    /// Empties the engine; what was on it is lost.
    fn request_reset(&mut self, runlist: RunlistId, seq: u32);

    /// The next answer of this runlist, each once. A request that was replaced by a newer one
    /// need not be answered; after the newer one's answer it is not.
    fn poll_runlist(&mut self, runlist: RunlistId) -> Option<RunlistEvent>;

    /// What the engine holds now.
    fn runlist_state(&self, runlist: RunlistId) -> RunlistState;

    /// Numbers of the last start, preempt and reset request that were written, whoever wrote
    /// them: what a restarted firmware counts on from.
    fn last_requests(&self, runlist: RunlistId) -> (u32, u32, u32);
}

/// Channel slots, doorbells and faults.
pub trait Channels {
    /// How large the device is.
    fn identity(&self) -> Identity;

    /// Binds a slot. Its earlier fault, if any, is forgotten.
    fn bind_channel(&mut self, channel: ChannelId, config: &ChannelConfig);

    /// Binds a slot to nothing. The channel must be on no engine.
    fn unbind_channel(&mut self, channel: ChannelId);

    /// What a slot is bound to, as it was last written.
    fn read_channel(&self, channel: ChannelId) -> Option<ChannelConfig>;

    /// Why the device has stopped a channel, if it has, since the slot was bound.
    fn channel_fault(&self, channel: ChannelId) -> Option<ChannelFault>;

    /// The next channel whose doorbell rang; the bell is acknowledged. Bells of several
    /// channels may be acknowledged together and handed out later: a restarted firmware counts
    /// every bound channel as rung.
    fn poll_doorbell(&mut self) -> Option<ChannelId>;

    /// The next vGPU whose guest has said with a doorbell that latency matters; that is
    /// acknowledged. Its doorbell is handed out by a later [`Self::poll_doorbell`].
    fn poll_hint(&mut self) -> Option<Gfid>;

    /// The next channel that faulted; the fault is acknowledged.
    fn poll_fault(&mut self) -> Option<(ChannelId, ChannelFault)>;
}

/// What is told of the engines' switches.
pub trait Telemetry {
    /// Adds a switch to the ring, over the oldest.
    fn record(&mut self, switch: &Switch);
}

/// The privileged copy ring. Bulk bytes never pass through the caller.
pub trait CopyRing {
    /// How many operations the ring takes now.
    fn copy_room(&self) -> u8;

    /// Submits an operation. The answer is a later [`Self::poll_copy`], in order. Returns
    /// `false`, and does nothing, when the ring is full.
    #[must_use]
    fn submit_copy(&mut self, request: &CopyRequest) -> bool;

    /// The next answer. Operations that an earlier driver submitted are answered to nobody.
    fn poll_copy(&mut self) -> Option<CopyDone>;
}
