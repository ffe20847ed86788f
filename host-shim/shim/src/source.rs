//! The side of a move that gives a vGPU away.

use crate::host::Host;
use crate::journal::Journal;
use crate::link::{ALIVE_NS, DATA_MAX, LinkMessage, SILENCE_MAX_NS, Token, versions_apart};
use crate::pace::{Estimate, Far, Live, PaceState, PacedSaver};
use crate::release::Release;
use crate::save::{SaveOptions, SaveStats};
use godwit_types::Gfid;
use std::collections::VecDeque;

/// How far a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// Under way.
    Working,
    /// The guest is to be paused; then [`Source::guest_paused`].
    WantsPause,
    /// The vGPU was stopped and runs again, since what is left does not fit into the bound yet: the
    /// guest is to go on. Said once.
    RunsOn,
    /// Committed: the vGPU is the destination's, and stands still here until it says so.
    Committed,
    /// It runs at the destination; nothing of it is left here.
    Moved,
    /// The move is off, and the vGPU runs here; why.
    Undone(String),
}

#[derive(Debug)]
enum Phase {
    Offering { since_ns: u64 },
    Saving,
    AwaitingReady { deadline_ns: u64 },
    Committed,
    Releasing(Release),
    Moved,
    Undoing(String),
    Undone(String),
}

/// A move, at its source.
#[derive(Debug)]
pub struct Source {
    token: Token,
    saver: PacedSaver,
    phase: Phase,
    out: VecDeque<LinkMessage>,
    /// Messages that the link took: so many, and so many when it was looked at last, and when
    /// that was.
    taken: u64,
    taken_before: u64,
    taken_ns: u64,
}

impl Source {
    /// Offers a vGPU. `live`: rounds while it runs; `None`: it is stopped first.
    ///
    /// `None`: the host has no such vGPU.
    pub fn new(
        host: &mut Host,
        gfid: Gfid,
        options: SaveOptions,
        live: Option<Live>,
    ) -> Option<Self> {
        let token = Token { uuid: options.uuid, number: options.token };
        let saver = PacedSaver::new(host, gfid, options, live)?;
        let now_ns = host.now_ns();
        Some(Self {
            token,
            saver,
            phase: Phase::Offering { since_ns: now_ns },
            out: VecDeque::from([LinkMessage::Offer(token, host.stream_version().raw())]),
            taken: 0,
            taken_before: 0,
            taken_ns: now_ns,
        })
    }

    /// Which move this is.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Which vGPU is moved.
    pub fn gfid(&self) -> Gfid {
        self.saver.gfid()
    }

    /// What was sent so far.
    pub fn stats(&self) -> SaveStats {
        self.saver.stats()
    }

    /// What is known of how long it still takes.
    pub fn estimate(&self, host: &Host) -> Estimate {
        self.saver.estimate(host)
    }

    /// The next message to the destination. Take no more than the link carries: what is not
    /// taken holds the save back.
    pub fn poll_message(&mut self) -> Option<LinkMessage> {
        let message = self.next_message();
        self.taken += u64::from(message.is_some());
        message
    }

    fn next_message(&mut self) -> Option<LinkMessage> {
        if let Some(message) = self.out.pop_front() {
            return Some(message);
        }
        let sends = matches!(
            self.phase,
            Phase::Offering { .. } | Phase::Saving | Phase::AwaitingReady { .. }
        );
        if !sends || self.saver.buffered() == 0 {
            return None;
        }
        Some(LinkMessage::Data(self.token, self.saver.take(DATA_MAX)))
    }

    /// The guest does not run any more.
    pub fn guest_paused(&mut self, host: &mut Host) {
        self.saver.guest_paused(host);
    }

    /// Takes a message of the destination. One of another move is stale and is dropped.
    pub fn handle(&mut self, host: &mut Host, journal: &mut Journal, message: &LinkMessage) {
        if *message.token() != self.token {
            return;
        }
        match (message, &self.phase) {
            (LinkMessage::Accept(_, theirs), Phase::Offering { since_ns }) => {
                let far = Far { round_trip_ns: host.now_ns() - since_ns };
                let Some(version) = host.stream_version().agreed(*theirs) else {
                    let why = versions_apart("the destination reads", *theirs, "written");
                    return self.abort(host, &why);
                };
                self.saver.set_version(version);
                self.phase = Phase::Saving;
                self.saver.go_on(host, far);
            }
            (LinkMessage::Decline(_, why), _) => {
                self.abort(host, &format!("the destination declines: {why}"));
            }
            (LinkMessage::Ready(_), Phase::AwaitingReady { .. })
                if !self.saver.is_in_time(host) =>
            {
                self.abort(host, "it would have stood still for too long");
            }
            (LinkMessage::Ready(_), Phase::AwaitingReady { .. }) => {
                // Written before it is said: from here on the vGPU is the destination's.
                journal.commit(self.token);
                self.phase = Phase::Committed;
                self.out.push_back(LinkMessage::Commit(self.token));
            }
            (LinkMessage::Done(_), Phase::Committed) => {
                self.phase = Phase::Releasing(Release::new(host, self.saver.gfid()));
            }
            _ => {}
        }
    }

    /// The link is gone: before the commit the move is off.
    pub fn link_lost(&mut self, host: &mut Host) {
        self.out.clear();
        self.abort(host, "the link was lost");
    }

    /// Calls the move off, if it is not committed.
    pub fn abort(&mut self, host: &mut Host, why: &str) {
        if matches!(
            self.phase,
            Phase::Offering { .. } | Phase::Saving | Phase::AwaitingReady { .. }
        ) {
            self.out.push_back(LinkMessage::Abort(self.token));
            self.saver.give_up(host);
            self.phase = Phase::Undoing(why.into());
        }
    }

    /// While it saves: calls it off when the link takes nothing any more, and says that it is
    /// there when it has nothing to send.
    fn check_silence(&mut self, host: &mut Host) {
        let now_ns = host.now_ns();
        if self.taken != self.taken_before || !matches!(self.phase, Phase::Saving) {
            self.taken_before = self.taken;
            self.taken_ns = now_ns;
            return;
        }
        let quiet_ns = now_ns - self.taken_ns;
        if self.out.is_empty() && self.saver.buffered() == 0 {
            if quiet_ns >= ALIVE_NS {
                self.out.push_back(LinkMessage::Alive(self.token));
            }
        } else if quiet_ns >= SILENCE_MAX_NS {
            self.abort(host, "the destination takes nothing");
        }
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, host: &mut Host) -> SourceState {
        self.check_silence(host);
        let saved = match self.phase {
            Phase::Committed | Phase::Releasing(_) | Phase::Moved | Phase::Undone(_) => None,
            _ => Some(self.saver.step(host)),
        };
        match (&mut self.phase, saved) {
            (Phase::Undoing(why), Some(PaceState::Undone(_))) => {
                self.phase = Phase::Undone(std::mem::take(why));
            }
            (_, Some(PaceState::Undone(error))) => {
                // The save ended by itself and has put everything back.
                self.out.push_back(LinkMessage::Abort(self.token));
                self.phase = Phase::Undone(error.to_string());
            }
            (Phase::Saving, Some(PaceState::Complete)) => {
                let deadline_ns = host.now_ns() + SILENCE_MAX_NS;
                self.phase = Phase::AwaitingReady { deadline_ns };
            }
            (Phase::Offering { since_ns }, _) if *since_ns + SILENCE_MAX_NS <= host.now_ns() => {
                self.abort(host, "the destination does not answer");
            }
            (Phase::AwaitingReady { deadline_ns }, _) if *deadline_ns <= host.now_ns() => {
                self.abort(host, "the destination does not answer");
            }
            (Phase::Releasing(release), _) => {
                let done = release.step(host);
                if done {
                    self.phase = Phase::Moved;
                }
            }
            _ => {}
        }
        match &self.phase {
            Phase::Saving if saved == Some(PaceState::WantsPause) => SourceState::WantsPause,
            Phase::Saving if saved == Some(PaceState::RunsOn) => SourceState::RunsOn,
            Phase::Offering { .. }
            | Phase::Saving
            | Phase::AwaitingReady { .. }
            | Phase::Undoing(_) => SourceState::Working,
            Phase::Committed | Phase::Releasing(_) => SourceState::Committed,
            Phase::Moved => SourceState::Moved,
            Phase::Undone(why) => SourceState::Undone(why.clone()),
        }
    }
}
