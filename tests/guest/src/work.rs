//! The state machine behind jobs: a list of entries, repeated, through a channel of its own.

use crate::{Bars, Channel, ChannelStatus, Device, Group, GuestError, JobError};
use godwit_regs::fifo::Entry;
use godwit_types::{ChannelFault, GuestChannelId, RunlistId, Vector};

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Nothing is asked of the device.
    Planned,
    /// The channel is asked for.
    Creating,
    /// The channel works, or waits for its turn.
    Running,
    /// All entries are done.
    Done,
    /// The device has stopped the channel.
    Faulted(ChannelFault),
    /// The device has refused the channel.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Planned,
    Creating(Channel),
    Running { channel: Channel, submitted: u64 },
    Ended { channel: Channel, state: JobState },
}

/// The channel that a job asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChannelPlan {
    pub(crate) id: GuestChannelId,
    pub(crate) group: Group,
    pub(crate) engine: RunlistId,
    pub(crate) ring_base: u64,
    pub(crate) ring_log2: u8,
}

/// What a job puts into its ring: `body`, `repeat` times, then a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) body: Vec<Entry>,
    pub(crate) repeat: u32,
    pub(crate) vector: Vector,
}

impl Script {
    /// Entries in all.
    pub(crate) fn entry_count(&self) -> u64 {
        self.body.len() as u64 * u64::from(self.repeat) + 1
    }

    /// Up to `count` entries from the `first` on.
    fn entries(&self, first: u64, count: u32) -> Vec<Entry> {
        let last = self.entry_count() - 1;
        let end = (first + u64::from(count)).min(last + 1);
        let entry = |index| match index == last {
            true => Entry::Notify(self.vector),
            false => self.body[(index % self.body.len() as u64) as usize],
        };
        (first..end).map(entry).collect()
    }
}

/// A script on its way through a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    device: Device,
    channel: ChannelPlan,
    pub(crate) script: Script,
    state: State,
    interrupts: u32,
}

impl Work {
    pub(crate) fn new(device: Device, channel: ChannelPlan, script: Script) -> Self {
        Self { device, channel, script, state: State::Planned, interrupts: 0 }
    }

    /// Chooses the channel; one that is asked for is kept.
    pub(crate) fn move_to(&mut self, id: GuestChannelId, group: Group) -> Result<(), JobError> {
        let checked = self.device.check_channel(id, group.tsg);
        checked.map_err(JobError::Channel)?;
        self.channel.id = id;
        self.channel.group = group;
        Ok(())
    }

    pub(crate) fn state(&self) -> JobState {
        match &self.state {
            State::Planned => JobState::Planned,
            State::Creating(_) => JobState::Creating,
            State::Running { .. } => JobState::Running,
            State::Ended { state, .. } => *state,
        }
    }

    /// The channel, once it is asked for.
    pub(crate) fn channel(&self) -> Option<&Channel> {
        match &self.state {
            State::Planned => None,
            State::Creating(channel)
            | State::Running { channel, .. }
            | State::Ended { channel, .. } => Some(channel),
        }
    }

    pub(crate) fn start(&mut self, bars: &mut impl Bars) -> Result<(), GuestError> {
        if self.state != State::Planned {
            return Err(GuestError::Started);
        }
        let plan = self.channel;
        self.state = State::Creating(Channel::create(
            bars,
            &self.device,
            plan.id,
            plan.group,
            plan.engine,
            plan.ring_base,
            plan.ring_log2,
        )?);
        Ok(())
    }

    /// Goes on where another driver was, if it has begun.
    pub(crate) fn take_over(&mut self, bars: &mut impl Bars) -> Result<(), GuestError> {
        if self.state != State::Planned {
            return Err(GuestError::Started);
        }
        let plan = self.channel;
        let found = Channel::take_over(bars, plan.id, plan.ring_base, plan.ring_log2)?;
        if let Some(channel) = found {
            self.state = match channel.poll_ready(bars)? {
                ChannelStatus::Free => State::Creating(channel),
                ChannelStatus::Ready => {
                    let submitted = channel.put().into();
                    State::Running { channel, submitted }
                }
                ChannelStatus::Faulted(fault) => {
                    State::Ended { channel, state: JobState::Faulted(fault) }
                }
                ChannelStatus::Refused => State::Ended { channel, state: JobState::Refused },
            };
        }
        Ok(())
    }

    pub(crate) fn poll(&mut self, bars: &mut impl Bars) -> Result<JobState, GuestError> {
        match &self.state {
            State::Planned | State::Ended { .. } => {}
            State::Creating(channel) => match channel.poll_ready(bars)? {
                ChannelStatus::Free => {}
                ChannelStatus::Ready => {
                    let channel = channel.clone();
                    self.state = State::Running { channel, submitted: 0 };
                    self.submit(bars)?;
                }
                ChannelStatus::Faulted(fault) => self.end(JobState::Faulted(fault)),
                ChannelStatus::Refused => self.end(JobState::Refused),
            },
            State::Running { channel, .. } => match channel.poll_ready(bars)? {
                ChannelStatus::Ready => self.submit(bars)?,
                ChannelStatus::Faulted(fault) => self.end(JobState::Faulted(fault)),
                ChannelStatus::Free | ChannelStatus::Refused => {
                    let channel = channel.id().raw();
                    return Err(GuestError::ChannelGone { channel });
                }
            },
        }
        Ok(self.state())
    }

    /// Fills the ring with what is left, or ends when nothing is left and all is done.
    fn submit(&mut self, bars: &mut impl Bars) -> Result<(), GuestError> {
        let State::Running { channel, submitted } = &mut self.state else {
            return Ok(());
        };
        if *submitted == self.script.entry_count() {
            if channel.pending(bars)? == 0 {
                self.end(JobState::Done);
            }
            return Ok(());
        }
        let entries = self.script.entries(*submitted, channel.room(bars)?);
        let before = channel.put();
        let result = channel.submit(bars, &entries);
        // Counted even when the doorbell failed: the entries are in the ring.
        *submitted += u64::from(channel.put().wrapping_sub(before));
        result.map(drop)
    }

    fn end(&mut self, state: JobState) {
        if let Some(channel) = self.channel().cloned() {
            self.state = State::Ended { channel, state };
        }
    }

    /// Asks that the channel be destroyed, if it was asked for.
    pub(crate) fn close(&self, bars: &mut impl Bars) -> Result<(), GuestError> {
        match self.channel() {
            Some(channel) => channel.destroy(bars),
            None => Ok(()),
        }
    }

    /// Notes interrupts: a bit for each vector that arrived.
    pub(crate) fn interrupted(&mut self, vectors: u32) {
        self.interrupts += vectors >> self.script.vector.raw() & 1;
    }

    pub(crate) fn interrupts(&self) -> u32 {
        self.interrupts
    }
}
