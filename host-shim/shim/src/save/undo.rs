//! Taking a save back: the vGPU is as it was before.

use super::{Next, Phase, SaveError, Saver};
use crate::host::{Answer, Host, Pending};
use crate::release::Start;
use godwit_wire::mailbox::Command;

/// What is being taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// A stop or a start is under way; whether it comes to pass decides what is to be done.
    Settle(Pending, Next),
    End(Pending),
    Start(Start),
}

impl Saver {
    /// Gives up, unless it is over: the vGPU runs on when [`Self::step`] says that it is
    /// undone. A complete save is given up too.
    pub fn give_up(&mut self, host: &mut Host) {
        self.notice_restart(host);
        if !matches!(self.phase, Phase::Undoing(..) | Phase::Undone(_)) {
            self.undo(host, SaveError::GivenUp);
        }
    }

    /// A firmware that has restarted knows nothing of a save. Noticed before anything is sent,
    /// so that what is sent to the new one is not taken for void.
    pub(super) fn notice_restart(&mut self, host: &mut Host) {
        if host.generation() == self.generation {
            return;
        }
        self.generation = host.generation();
        let stands_still = !host.was_running(self.gfid);
        match self.phase {
            // All bytes are out and the vGPU stands still: nothing is lost.
            Phase::Complete => self.begun = false,
            // A start is asked for again by itself.
            Phase::Undone(_) | Phase::Described | Phase::Undoing(_, Undo::Start(_)) => {}
            Phase::Between if !self.begun => {}
            // What was written meanwhile is in the device's log: see `CopyOp::DirtyStart`.
            phase if phase.is_of_rounds() && self.begins_anew && !self.stopped && !stands_still => {
                (self.begun, self.began_anew) = (false, true);
                (self.round_pages, self.in_round) = (None, false);
                self.phase = Phase::Between;
            }
            Phase::Undoing(why, _) => self.resume(host, why, stands_still),
            _ => self.resume(host, SaveError::Restarted, stands_still),
        }
    }

    /// Lets the vGPU run again if it stands still; then it is undone.
    fn resume(&mut self, host: &mut Host, why: SaveError, stands_still: bool) {
        self.begun = false;
        self.phase = if stands_still && !self.stays {
            Phase::Undoing(why, Undo::Start(Start::new(host, self.gfid)))
        } else {
            Phase::Undone(why)
        };
    }

    /// Gives up, and says why.
    pub(crate) fn undo(&mut self, host: &mut Host, why: SaveError) {
        self.stop_asked = false;
        if let Phase::Awaiting(pending, next @ (Next::Stopped | Next::RunsOn)) = self.phase
            && why == SaveError::GivenUp
        {
            self.phase = Phase::Undoing(why, Undo::Settle(pending, next));
            return;
        }
        if self.begun {
            self.begun = false;
            host.slots.end(self.gfid);
            let pending = host.send(self.gfid, Command::SaveEnd);
            self.phase = Phase::Undoing(why, Undo::End(pending));
        } else {
            self.resume(host, why, self.stopped);
        }
    }

    pub(super) fn advance_undo(&mut self, host: &mut Host, why: SaveError, undo: Undo) -> bool {
        // What an ended save still tells is for nobody.
        while host.poll_event(self.gfid).is_some() {}
        match undo {
            Undo::Settle(pending, next) => match host.poll_answer(&pending) {
                Answer::Waiting | Answer::Void => false,
                answer @ (Answer::Done | Answer::Refused(_)) => {
                    // What was refused has changed nothing.
                    self.stopped = (next == Next::Stopped) == (answer == Answer::Done);
                    self.phase = Phase::Undone(why);
                    self.undo(host, why);
                    true
                }
            },
            Undo::End(pending) => match host.poll_answer(&pending) {
                Answer::Waiting | Answer::Void => false,
                Answer::Done | Answer::Refused(_) => {
                    let stopped = self.stopped;
                    self.resume(host, why, stopped);
                    true
                }
            },
            Undo::Start(mut start) => match start.step(host) {
                Ok(done) => {
                    let undoing = Phase::Undoing(why, Undo::Start(start));
                    self.phase = if done { Phase::Undone(why) } else { undoing };
                    done
                }
                Err(refusal) => {
                    self.phase = Phase::Undone(SaveError::NotStarted(refusal));
                    true
                }
            },
        }
    }
}
