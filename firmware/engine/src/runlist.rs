//! What one engine is doing.

use crate::trace::trace;
use crate::transition::{Now, State, Transition};
use crate::turns::{Skipped, Spare, Turn};
use godwit_types::{Gfid, PreemptMode, RunlistId, SwitchCause, TsgId};
use static_assertions::const_assert;

/// Why a group is being taken off an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its slice is over, or another reason of the scheduler's own: an engine that does not
    /// answer is reset.
    Slice,
    /// Its vGPU is being stopped: nothing is done by force, and at the deadline it is only
    /// looked whether the answer was lost.
    Stop,
    /// As `Stop`, and the next mode is tried at the deadline, a reset last.
    Escalate,
}

/// What the engine was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)] // from 1, so that `None` in its place is zero
pub(crate) enum Doing {
    /// To run.
    Running = 1,
    /// To let go, by the runlist's deadline.
    Preempting { mode: PreemptMode, why: Why },
    /// To let go, and the deadline has passed: what it holds is being looked at, since the
    /// acknowledge may be what was lost.
    Probing { mode: PreemptMode, why: Why },
    /// To reset itself, by the runlist's deadline.
    Resetting { tries: u8 },
}

/// Whose time a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)] // `Own` is zero
pub(crate) enum Time {
    /// Its vGPU's turn.
    Own = 0,
    /// Somebody else's turn, who has no work.
    Lent,
    /// Time of its vGPU's next turn, in the middle of another.
    Ahead,
}

/// The group on an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) tsg: TsgId,
    pub(crate) gfid: Gfid,
    pub(crate) doing: Doing,
}

const_assert!(size_of::<Current>() <= 8);

/// The time that the group on an engine has it. Beside [`Current`], since it does not change the
/// engine's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stint {
    pub(crate) time: Time,
    /// Why it was asked to let go first.
    pub(crate) cause: SwitchCause,
    /// From when on its vGPU is charged for the engine.
    pub(crate) since_ns: u64,
    pub(crate) slice_end_ns: u64,
    /// When it was asked to let go first; `u64::MAX`: it was not.
    pub(crate) asked_ns: u64,
    /// Others want the engine, and all the time of it is charged. The device was asked in advance
    /// to take the group off when its slice is over, or is asked to do so now.
    pub(crate) wanted: bool,
}

impl Stint {
    const NONE: Self = Self {
        time: Time::Own,
        cause: SwitchCause::Idle,
        since_ns: 0,
        slice_end_ns: 0,
        asked_ns: 0,
        wanted: false,
    };

    /// How long it was to be.
    pub(crate) fn slice_ns(&self) -> u64 {
        self.slice_end_ns.saturating_sub(self.since_ns)
    }

    /// Others want the engine from now on, if they did not before.
    pub(crate) fn want(&mut self, now_ns: u64) {
        if !self.wanted && self.slice_end_ns < now_ns {
            // Until then it was free to have.
            self.since_ns = now_ns.saturating_sub(self.slice_ns());
            self.slice_end_ns = now_ns;
        }
        self.wanted = true;
    }

    /// One that begins now.
    pub(crate) fn new(time: Time, now_ns: u64, slice_ns: u64) -> Self {
        Self {
            time,
            cause: SwitchCause::Slice,
            since_ns: now_ns,
            slice_end_ns: now_ns.saturating_add(slice_ns),
            asked_ns: u64::MAX,
            wanted: false,
        }
    }
}

#[cold]
#[inline(never)]
fn warn(_transition: &Transition<RunlistId, RunlistName>) {
    trace!(warn, "{}", _transition);
}

/// A group that has left an engine, for what is told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    pub(crate) tsg: TsgId,
    /// `None`: none has left yet.
    pub(crate) gfid: Option<Gfid>,
    /// Of its [`Stint`].
    pub(crate) since_ns: u64,
    pub(crate) slice_end_ns: u64,
    pub(crate) asked_ns: u64,
    pub(crate) at_ns: u64,
    pub(crate) mode: Option<PreemptMode>,
    pub(crate) cause: SwitchCause,
    pub(crate) debt_ns: u32,
}

impl Gone {
    const NONE: Self = Self {
        tsg: match TsgId::new(0) {
            Some(tsg) => tsg,
            None => unreachable!(),
        },
        gfid: None,
        since_ns: 0,
        slice_end_ns: 0,
        asked_ns: 0,
        at_ns: 0,
        mode: None,
        cause: SwitchCause::Idle,
        debt_ns: 0,
    };
}

/// What an engine is doing, and with which group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum RunlistName {
    Empty,
    Running(TsgId),
    Preempting(TsgId, PreemptMode),
    Probing(TsgId),
    Resetting(TsgId),
}

impl State for Option<Current> {
    type Of = RunlistId;
    type Name = RunlistName;

    fn name(&self) -> RunlistName {
        let Some(Current { tsg, doing, .. }) = *self else { return RunlistName::Empty };
        match doing {
            Doing::Running => RunlistName::Running(tsg),
            Doing::Preempting { mode, .. } => RunlistName::Preempting(tsg, mode),
            Doing::Probing { .. } => RunlistName::Probing(tsg),
            Doing::Resetting { .. } => RunlistName::Resetting(tsg),
        }
    }

    #[inline]
    fn tell(transition: &Transition<RunlistId, RunlistName>) {
        match transition.to {
            // An engine that does not answer.
            RunlistName::Probing(_) | RunlistName::Resetting(_) => warn(transition),
            RunlistName::Empty | RunlistName::Running(_) | RunlistName::Preempting(..) => {
                trace!(trace, "{}", transition);
            }
        }
    }
}

/// One runlist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runlist {
    pub(crate) current: Now<Option<Current>>,
    pub(crate) stint: Stint,
    /// The group that has left last; the action that tells of it is taken before another leaves.
    pub(crate) gone: Gone,
    /// vGPUs, by bit, that have a group in their queue and may run.
    pub(crate) ready: u32,
    pub(crate) turn: Turn,
    /// How much shorter the next turn is that is nobody's.
    pub(crate) nobody_less_ns: u32,
    /// A vGPU that runs before the turn goes on, since its latency matters.
    pub(crate) ahead: Option<Gfid>,
    /// It does so in a turn that is worth to go on with afterwards.
    pub(crate) ahead_pays: bool,
    /// vGPUs, by bit, that have done so since their last turn.
    pub(crate) went_ahead: u32,
    /// What saves take, as was learned; 0: nothing was.
    pub(crate) learned_ns: u32,
    /// The vGPU that was lent time last.
    pub(crate) lent: u8,
    /// vGPUs, by bit, that may have enough of others' time for a switch, as far as they may at all.
    pub(crate) loans: u32,
    pub(crate) spare: Option<Spare>,
    pub(crate) skipped: Skipped,
    /// When the engine is late with what it was asked last; `u64::MAX`: nobody waits for it.
    pub(crate) deadline_ns: u64,
    /// When it was looked at last what a group does that nobody else wants the engine from.
    pub(crate) looked_ns: u64,
    /// Numbers of the last requests: an answer to an older one says nothing.
    pub(crate) run_seq: u32,
    pub(crate) preempt_seq: u32,
    pub(crate) reset_seq: u32,
    /// The engine could not be emptied by any means.
    pub(crate) lost: bool,
}

impl Runlist {
    pub(crate) const EMPTY: Self = Self {
        current: Now::new(None),
        stint: Stint::NONE,
        gone: Gone::NONE,
        ready: 0,
        turn: Turn::NONE,
        nobody_less_ns: 0,
        ahead: None,
        ahead_pays: false,
        went_ahead: 0,
        learned_ns: 0,
        lent: 0,
        loans: 0,
        spare: None,
        skipped: Skipped::NONE,
        deadline_ns: 0,
        looked_ns: 0,
        run_seq: 0,
        preempt_seq: 0,
        reset_seq: 0,
        lost: false,
    };

    /// Notes what the engine `id`, which this is, was asked for with its group, and until when.
    pub(crate) fn ask(&mut self, id: RunlistId, doing: Doing, deadline_ns: u64) {
        self.deadline_ns = deadline_ns;
        if let Some(current) = *self.current {
            self.current.enter(id, Some(Current { doing, ..current }));
        }
    }
}
