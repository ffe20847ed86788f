//! What the engine knows of one vGPU.

use crate::abuse::Watch;
use crate::account::Account;
use crate::message::StopMode;
use crate::peers::Peers;
use crate::save::Save;
use crate::trace::trace;
use crate::transition::{Now, State, Transition};
use crate::tsg::TsgQueue;
use godwit_types::{
    Epoch, Gfid, GuestChannelId, Placement, PreemptMode, Profile, Quiesced, RUNLIST_COUNT,
    RunlistId, Share, Table, Throttle,
};

/// A stop that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The request that asked for it.
    pub(crate) id: u32,
    pub(crate) mode: StopMode,
    /// When it is refused, or when reopening counts as done.
    pub(crate) deadline_ns: u64,
    pub(crate) step: StopStep,
}

impl Stop {
    /// The boundary that every group must stand at.
    pub(crate) fn wanted(&self) -> PreemptMode {
        match self.mode {
            StopMode::Pinned(mode) => mode,
            StopMode::Escalate => PreemptMode::Instruction,
        }
    }

    /// The mode that a group on the engine is asked with first.
    pub(crate) fn first_mode(&self) -> PreemptMode {
        match self.mode {
            StopMode::Pinned(mode) => mode,
            StopMode::Escalate => PreemptMode::Wfi,
        }
    }
}

/// What a stop waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum StopStep {
    /// The engines have let go of all groups.
    Engines,
    /// The aperture is blocked and quiet.
    Aperture,
    /// The pending vectors are read.
    Vectors,
    /// It is refused, and the aperture is opened again.
    Reopening,
}

/// What a restore still waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Channel records.
    pub(crate) channels: u16,
    /// Channels whose contexts are not complete.
    pub(crate) contexts: u16,
    /// The context that is being loaded, and how far.
    pub(crate) context: Option<(GuestChannelId, u32)>,
}

/// What a release does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReleaseStep {
    /// Waits until the copy ring and the engines have nothing of this vGPU.
    Drain { deadline_ns: u64 },
    /// Waits until the aperture is blocked.
    Aperture { deadline_ns: u64 },
    /// Unbinds channels, from this one on.
    Channels(u16),
    /// Scrubs: this many fills are still to be submitted.
    Scrub(u8),
    /// Waits until the fills are done.
    Scrubbing,
    /// Waits until the partition is cleared.
    Partition { deadline_ns: u64 },
}

/// The life of a vGPU. All that is true of a phase sits in its variant.
#[derive(Debug)]
pub(crate) enum Phase {
    Absent,
    /// Its partition is being set.
    Creating {
        id: u32,
        deadline_ns: u64,
    },
    Running,
    Stopping(Stop),
    /// Nothing of it runs or moves.
    Stopped {
        proof: Quiesced,
        guest_time_ns: u64,
        /// It has never run and has no channel: it may be restored into.
        pristine: bool,
    },
    /// Records are being loaded. The vGPU's own comes first.
    Resuming {
        expected: Option<Expected>,
        guest_time_ns: u64,
    },
    /// Its aperture is being opened.
    Starting {
        id: u32,
        guest_time_ns: u64,
        deadline_ns: u64,
    },
    /// A restore failed, or its making.
    Failed,
    /// `id`: who waits for it; `None`: it was late, and goes on by itself until somebody asks
    /// again.
    Releasing {
        id: Option<u32>,
        step: ReleaseStep,
    },
}

impl Phase {
    /// When what it waits for is late; `u64::MAX`: it waits for nothing, or for the copy ring,
    /// which has a deadline of its own.
    pub(crate) fn deadline_ns(&self) -> u64 {
        match *self {
            Self::Stopping(Stop { step: StopStep::Vectors, .. }) => u64::MAX,
            Self::Stopping(Stop { deadline_ns, .. })
            | Self::Creating { deadline_ns, .. }
            | Self::Starting { deadline_ns, .. } => deadline_ns,
            Self::Releasing { step, .. } => match step {
                ReleaseStep::Drain { deadline_ns }
                | ReleaseStep::Aperture { deadline_ns }
                | ReleaseStep::Partition { deadline_ns } => deadline_ns,
                ReleaseStep::Channels(_) | ReleaseStep::Scrub(_) | ReleaseStep::Scrubbing => {
                    u64::MAX
                }
            },
            Self::Absent
            | Self::Running
            | Self::Stopped { .. }
            | Self::Resuming { .. }
            | Self::Failed => u64::MAX,
        }
    }
}

/// A phase, and the step in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum PhaseName {
    Absent,
    Creating,
    Running,
    Stopping(StopStep),
    Stopped,
    Resuming,
    Starting,
    Failed,
    Releasing(ReleaseName),
}

/// A step of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum ReleaseName {
    Drain,
    Aperture,
    Channels,
    Scrub,
    Partition,
}

impl State for Phase {
    type Of = Gfid;
    type Name = PhaseName;

    fn name(&self) -> PhaseName {
        match *self {
            Self::Absent => PhaseName::Absent,
            Self::Creating { .. } => PhaseName::Creating,
            Self::Running => PhaseName::Running,
            Self::Stopping(stop) => PhaseName::Stopping(stop.step),
            Self::Stopped { .. } => PhaseName::Stopped,
            Self::Resuming { .. } => PhaseName::Resuming,
            Self::Starting { .. } => PhaseName::Starting,
            Self::Failed => PhaseName::Failed,
            Self::Releasing { step, .. } => PhaseName::Releasing(match step {
                ReleaseStep::Drain { .. } => ReleaseName::Drain,
                ReleaseStep::Aperture { .. } => ReleaseName::Aperture,
                ReleaseStep::Channels(_) => ReleaseName::Channels,
                ReleaseStep::Scrub(_) | ReleaseStep::Scrubbing => ReleaseName::Scrub,
                ReleaseStep::Partition { .. } => ReleaseName::Partition,
            }),
        }
    }

    #[inline(never)]
    fn tell(transition: &Transition<Gfid, PhaseName>) {
        match transition.to {
            PhaseName::Failed => trace!(warn, "{}", transition),
            _ => trace!(info, "{}", transition),
        }
    }
}

/// One vGPU.
#[derive(Debug)]
pub(crate) struct Vgpu {
    pub(crate) phase: Now<Phase>,
    pub(crate) profile: Profile,
    pub(crate) placement: Placement,
    pub(crate) share: Share,
    /// How long its turns are: its quantum. Half as long while it did too much of something.
    pub(crate) turn_ns: u32,
    /// Which part of its turns it has while it is being saved.
    pub(crate) throttle: Throttle,
    /// How much of others' time it may have between two turns.
    pub(crate) elastic_ns: u32,
    pub(crate) accounts: Table<RunlistId, Account, { RUNLIST_COUNT as usize }>,
    pub(crate) watch: Watch,
    pub(crate) epoch: Epoch,
    /// Its channels' way to peers.
    pub(crate) peers: Peers,
    /// Guest time less device time, while it runs.
    pub(crate) time_offset_ns: u64,
    /// Vectors that were pending when it stopped and are raised when it starts elsewhere.
    pub(crate) vectors: u32,
    pub(crate) save: Now<Save>,
    /// The standstill in which the round's log was taken; `None`: while it ran.
    pub(crate) flipped_in: Option<Epoch>,
    /// A restore has ended and its slots are to be scrubbed.
    pub(crate) cleaning: bool,
    /// Operations of the copy ring that are under way for it.
    pub(crate) copies: u8,
    pub(crate) ready: Table<RunlistId, TsgQueue, { RUNLIST_COUNT as usize }>,
    pub(crate) parked: Table<RunlistId, TsgQueue, { RUNLIST_COUNT as usize }>,
    /// Channels that faulted and of which the host was not told.
    pub(crate) untold: u16,
    /// Channels that are being closed.
    pub(crate) closing: u16,
    /// The one of them whose context is being scrubbed.
    pub(crate) scrubbing: Option<GuestChannelId>,
}

impl crate::engine::Engine {
    /// Changes a vGPU's phase. Whose turns there are depends on it, and when somebody is late.
    pub(crate) fn enter_phase(&mut self, gfid: Gfid, phase: Phase) {
        let vgpu = &mut self.vgpus[gfid];
        let before = vgpu.takes_part();
        // Too early is no harm: it is looked at again then.
        self.phases_due_ns = self.phases_due_ns.min(phase.deadline_ns());
        vgpu.phase.enter(gfid, phase);
        self.counted &= before == vgpu.takes_part();
    }
}

impl Vgpu {
    pub(crate) const ABSENT: Self = Self {
        phase: Now::new(Phase::Absent),
        profile: Profile { fb_bytes: 0, bar_bytes: 0, channel_count: 0, context_bytes: 0 },
        placement: Placement { fb_base: 0, bar_base: 0, channel_base: 0, context_base: 0 },
        share: Share { weight: 0, part: 0, cap: 0 },
        turn_ns: 0,
        throttle: Throttle::NONE,
        elastic_ns: 0,
        accounts: Table::new([Account::EMPTY; RUNLIST_COUNT as usize]),
        watch: Watch::NOTHING,
        epoch: Epoch(0),
        peers: Peers::OPEN,
        time_offset_ns: 0,
        vectors: 0,
        save: Now::new(Save::None),
        flipped_in: None,
        cleaning: false,
        copies: 0,
        ready: Table::new([TsgQueue::EMPTY; RUNLIST_COUNT as usize]),
        parked: Table::new([TsgQueue::EMPTY; RUNLIST_COUNT as usize]),
        untold: 0,
        closing: 0,
        scrubbing: None,
    };

    /// Whether its groups may be put on an engine.
    pub(crate) fn may_run(&self) -> bool {
        matches!(
            *self.phase,
            Phase::Running | Phase::Stopping(Stop { step: StopStep::Engines, .. })
        )
    }

    /// What turns depend on.
    fn takes_part(&self) -> (bool, bool, bool) {
        (self.is_present(), self.may_run(), self.draining().is_some())
    }

    /// When something that it waits for is late; `u64::MAX`: nothing will be.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.peers.deadline_ns().min(self.phase.deadline_ns())
    }

    pub(crate) fn is_present(&self) -> bool {
        !matches!(*self.phase, Phase::Absent)
    }

    /// Whether it may have something to do without being asked.
    pub(crate) fn has_steps(&self) -> bool {
        !matches!(*self.save, Save::None)
            || self.untold != 0
            || self.closing != 0
            || self.watch.untold != 0
            || self.cleaning
            || matches!(*self.phase, Phase::Releasing { .. })
    }

    /// The stop that waits for the engines, if one does.
    pub(crate) fn draining(&self) -> Option<Stop> {
        match *self.phase {
            Phase::Stopping(stop) if stop.step == StopStep::Engines => Some(stop),
            _ => None,
        }
    }
}
