//! The side of a move that gives a vGPU away.

mod doubt;
mod kept;
mod lost;

use crate::chunks::Chunks;
use crate::host::Host;
use crate::journal::{Decision, Journal, JournalError, MoveStage, Refusal, Side};
use crate::key::SealKey;
use crate::link::{ALIVE_NS, DATA_MAX, LinkMessage, SILENCE_MAX_NS, Token, versions_apart};
use crate::pace::{Estimate, Far, Live, PaceState, PacedSaver};
use crate::release::Release;
use crate::save::{SaveError, SaveOptions, SaveStats};
use crate::stream::Sealer;
use doubt::{Doubt, Next};
use godwit_types::Gfid;
use kept::Kept;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// What a side of a move works on.
#[derive(Debug)]
pub struct Site<'a> {
    /// The host.
    pub host: &'a mut Host,
    /// Its journal.
    pub journal: &'a mut Journal,
    /// A clock that never goes back, in nanoseconds, by which the peer's silence is measured.
    pub now_ns: u64,
}

/// Why a move cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The host has no such vGPU.
    #[error("its host does not know it")]
    NoVgpu,
    /// The journal does not take it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

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
    /// It is the destination's; nothing of it is left here.
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

impl Phase {
    /// The move can be called off.
    fn is_open(&self) -> bool {
        match self {
            Self::Offering { .. } | Self::Saving | Self::AwaitingReady { .. } => true,
            Self::Committed
            | Self::Releasing(_)
            | Self::Moved
            | Self::Undoing(_)
            | Self::Undone(_) => false,
        }
    }
}

/// What is sent, sealed.
#[derive(Debug)]
struct Sealed {
    sealer: Sealer,
    bytes: Chunks,
}

/// A move, at its source.
#[derive(Debug)]
pub struct Source {
    token: Token,
    saver: PacedSaver,
    sealed: Option<Sealed>,
    kept: Option<Kept>,
    phase: Phase,
    out: VecDeque<LinkMessage>,
    /// The link is there, as far as is known.
    linked: bool,
    /// What went wrong beside the move.
    trouble: Option<String>,
    doubt: Option<Doubt>,
    /// Messages that the link took: so many, and so many when it was looked at last, and when
    /// that was.
    taken: u64,
    taken_before: u64,
    taken_ns: u64,
}

impl Source {
    /// Offers a vGPU. `live`: rounds while it runs; `None`: it is stopped first.
    ///
    /// # Errors
    ///
    /// When the host has no such vGPU, or the journal does not take a move of this number.
    pub fn new(
        site: &mut Site<'_>,
        gfid: Gfid,
        options: SaveOptions,
        live: Option<Live>,
    ) -> Result<Self, SourceError> {
        let token = Token { uuid: options.uuid, number: options.token };
        let saver = PacedSaver::new(site.host, gfid, options, live).ok_or(SourceError::NoVgpu)?;
        site.journal.record(token, MoveStage::Offered)?;
        let version = site.host.stream_version().raw();
        let engines = site.host.engines_in_use(gfid);
        let needs = LinkMessage::Needs(token, engines.bits() as u8);
        Ok(Self {
            token,
            saver,
            sealed: None,
            kept: None,
            phase: Phase::Offering { since_ns: site.now_ns },
            out: VecDeque::from([LinkMessage::Offer(token, version), needs]),
            linked: true,
            trouble: None,
            doubt: None,
            taken: 0,
            taken_before: 0,
            taken_ns: site.now_ns,
        })
    }

    /// Seals what is sent, which only a destination with the same key opens
    /// ([`Destination::open_with`](crate::Destination::open_with)), whoever carries it. To be
    /// called before anything is sent.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn seal_with(&mut self, key: &SealKey) -> io::Result<()> {
        self.sealed = Some(Sealed { sealer: Sealer::new(key)?, bytes: Chunks::default() });
        Ok(())
    }

    /// Has what is sent written to a state file, too, before anything is: it is whole before the
    /// commit, and removed when the move is over. A host that ends meanwhile has the vGPU in it,
    /// for the case that it is given back. `key`: what the file is sealed with.
    ///
    /// # Errors
    ///
    /// When there can be no state file of that name.
    pub fn keep_state(&mut self, path: &Path, key: Option<&SealKey>) -> io::Result<()> {
        self.kept = Some(Kept::create(path, key)?);
        Ok(())
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

    /// What an operator must know: the peer has said what cannot be, so that the vGPU may run on
    /// both hosts, or cannot say whose a committed vGPU is, or the journal cannot be written. It is
    /// told once.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
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
        if !self.phase.is_open() {
            return None;
        }
        self.next_bytes().map(|bytes| LinkMessage::Data(self.token, bytes))
    }

    /// Bytes to be sent, if there are any.
    fn next_bytes(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(sealed) = self.sealed.as_mut().filter(|it| it.bytes.len() != 0) {
                return Some(sealed.bytes.take(DATA_MAX));
            }
            if self.saver.buffered() == 0 {
                return None;
            }
            let bytes = self.saver.take(DATA_MAX);
            if let Some(kept) = &mut self.kept {
                kept.append(&bytes);
            }
            let Some(Sealed { sealer, bytes: out }) = &mut self.sealed else { return Some(bytes) };
            // A record that is not whole is sealed with what comes next.
            sealer.feed(&bytes);
            out.push(sealer.take());
        }
    }

    /// Whether it has bytes to send.
    fn has_bytes(&self) -> bool {
        self.saver.buffered() != 0 || self.sealed.as_ref().is_some_and(|it| it.bytes.len() != 0)
    }

    /// The guest does not run any more.
    pub fn guest_paused(&mut self, site: &mut Site<'_>) {
        self.saver.guest_paused(site.host);
    }

    /// Takes a message of the destination. One of another move is stale and is dropped.
    pub fn handle(&mut self, site: &mut Site<'_>, message: &LinkMessage) {
        if *message.token() != self.token || message.addressee() != Side::Source {
            return;
        }
        match (message, &self.phase) {
            (LinkMessage::Accept(_, theirs), Phase::Offering { since_ns }) => {
                let far = Far { round_trip_ns: site.now_ns.saturating_sub(*since_ns) };
                let Some(version) = site.host.stream_version().agreed(*theirs) else {
                    let why = versions_apart("the destination reads", *theirs, "written");
                    return self.abort(site, &why);
                };
                self.saver.set_version(version);
                self.phase = Phase::Saving;
                self.saver.go_on(site.host, far);
            }
            (LinkMessage::Ready(_), Phase::AwaitingReady { .. }) => self.commit(site),
            (LinkMessage::Decline(_, why), phase) if phase.is_open() => {
                self.abort(site, &format!("the destination declines: {why}"));
            }
            (LinkMessage::Decline(_, why), Phase::Committed) => {
                self.doubt.get_or_insert_with(|| Doubt::new(why, site.now_ns));
            }
            (LinkMessage::Query(_), phase) if phase.is_open() => {
                // It has lost the link, and learns that this is not committed: so it never is.
                self.abort(site, "the link was lost");
                self.reply(site, message);
            }
            (LinkMessage::Done(_), Phase::Committed) => {
                self.reply(site, message);
                self.phase = Phase::Releasing(Release::new(site.host, self.saver.gfid()));
            }
            (LinkMessage::Return(_, why), Phase::Committed) => {
                self.reply(site, message);
                self.take_back(site, format!("the destination gives it back: {why}"));
            }
            _ => self.reply(site, message),
        }
    }

    /// Answers from the journal.
    fn reply(&mut self, site: &mut Site<'_>, message: &LinkMessage) {
        match site.journal.reply(message) {
            Ok(answer) => self.out.extend(answer),
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    /// Gives the vGPU away, once that is written down.
    fn commit(&mut self, site: &mut Site<'_>) {
        let kept = self.kept.as_mut().map_or(Ok(()), Kept::commit);
        if let Err(error) = kept {
            return self.abort(site, &format!("its state cannot be kept: {error}"));
        }
        // As late as can be: what is kept was written to a disk.
        if !self.saver.is_in_time(site.host) {
            return self.abort(site, "it would have stood still for too long");
        }
        match site.journal.record(self.token, MoveStage::Committed) {
            Ok(()) => {
                self.phase = Phase::Committed;
                self.out.push_back(LinkMessage::Commit(self.token));
            }
            Err(error) => self.abort(site, &error.to_string()),
        }
    }

    /// The destination has nothing of it, never had it run, and that is written down.
    fn take_back(&mut self, site: &mut Site<'_>, why: String) {
        self.saver.give_up(site.host);
        self.phase = Phase::Undoing(why);
    }

    /// The link is gone: before the commit the move is off.
    pub fn link_lost(&mut self, site: &mut Site<'_>) {
        self.linked = false;
        self.abort(site, "the link was lost");
        self.out.clear();
    }

    /// The link is there again: says how it stands, since nobody knows what has arrived.
    pub fn link_back(&mut self) {
        self.linked = true;
        self.out.clear();
        self.out.extend(match &self.phase {
            Phase::Offering { .. } | Phase::Saving | Phase::AwaitingReady { .. } => None,
            Phase::Committed => Some(LinkMessage::Commit(self.token)),
            Phase::Releasing(_) | Phase::Moved => Some(LinkMessage::Closed(self.token)),
            Phase::Undoing(_) | Phase::Undone(_) => Some(LinkMessage::Abort(self.token)),
        });
    }

    /// Calls the move off, if it is not committed.
    pub fn abort(&mut self, site: &mut Site<'_>, why: &str) {
        if self.phase.is_open() {
            self.saver.give_up(site.host);
            self.called_off(site);
            self.phase = Phase::Undoing(why.into());
        }
    }

    /// From now on it cannot be committed any more. That holds here even where it cannot be
    /// written: a host that starts anew finds an offer, and gives that up.
    fn called_off(&mut self, site: &mut Site<'_>) {
        let _ = site.journal.record(self.token, MoveStage::Aborted);
        self.out.push_back(LinkMessage::Abort(self.token));
    }

    /// Does what an operator has decided, with a peer that is dead for good.
    ///
    /// # Errors
    ///
    /// When it is not committed, when the destination has said that it runs there, or can say
    /// so, and when the decision cannot be written down: it can be asked for again then.
    pub fn resolve(&mut self, site: &mut Site<'_>, decision: Decision) -> Result<(), Refusal> {
        let knows = !self.doubt.as_ref().is_some_and(Doubt::is_told);
        if matches!(self.phase, Phase::Committed) && self.linked && knows {
            return Err(Refusal::PeerIsThere(self.token));
        }
        site.journal.resolve(Side::Source, &self.token, decision)?;
        match decision {
            Decision::RunHere => self.take_back(site, "resolved: it runs here".into()),
            Decision::Gone => {
                self.phase = Phase::Releasing(Release::new(site.host, self.saver.gfid()));
            }
        }
        Ok(())
    }

    /// While it has something to send: calls it off when the link takes nothing any more, and says
    /// that it is there when there is nothing just now. The destination's time to answer begins
    /// when it can have everything.
    fn check_silence(&mut self, site: &mut Site<'_>) {
        let now_ns = site.now_ns;
        let has_bytes = self.has_bytes();
        let sends = match &mut self.phase {
            Phase::Saving => true,
            Phase::AwaitingReady { deadline_ns } if has_bytes => {
                *deadline_ns = now_ns + SILENCE_MAX_NS;
                true
            }
            _ => false,
        };
        if self.taken != self.taken_before || !sends {
            self.taken_before = self.taken;
            self.taken_ns = now_ns;
            return;
        }
        let quiet_ns = now_ns.saturating_sub(self.taken_ns);
        if self.out.is_empty() && !has_bytes {
            if quiet_ns >= ALIVE_NS {
                self.out.push_back(LinkMessage::Alive(self.token));
            }
        } else if quiet_ns >= SILENCE_MAX_NS {
            self.abort(site, "the destination takes nothing");
        }
    }

    /// Sees to a destination that cannot say whose it is.
    fn check_doubt(&mut self, site: &Site<'_>) {
        let Some(doubt) = &mut self.doubt else { return };
        if !matches!(self.phase, Phase::Committed) {
            self.doubt = None;
            return;
        }
        match doubt.next(site.now_ns) {
            Some(Next::Tell(why)) => self.trouble = Some(format!("move {}: {why}", self.token)),
            Some(Next::Ask) if self.linked && self.out.is_empty() => {
                self.out.push_back(LinkMessage::Commit(self.token));
            }
            Some(Next::Ask) | None => {}
        }
    }

    /// The vGPU is on one side alone.
    fn over(&mut self, phase: Phase) {
        self.phase = phase;
        if let Some(mut kept) = self.kept.take() {
            kept.remove();
        }
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, site: &mut Site<'_>) -> SourceState {
        self.check_lost(site);
        self.check_silence(site);
        self.check_doubt(site);
        self.saver.note_sealed(self.sealed.as_ref().map_or(0, |it| it.bytes.len()));
        let saved = match self.phase {
            Phase::Committed | Phase::Releasing(_) | Phase::Moved | Phase::Undone(_) => None,
            _ => Some(self.saver.step(site.host)),
        };
        match (&mut self.phase, saved) {
            (Phase::Undoing(why), Some(PaceState::Undone(error))) => {
                let why = std::mem::take(why);
                self.over(Phase::Undone(match error {
                    SaveError::NotStarted(_) => format!("{why}; {error}"),
                    _ => why,
                }));
            }
            (_, Some(PaceState::Undone(error))) => {
                // The save ended by itself and has put everything back.
                self.called_off(site);
                self.over(Phase::Undone(error.to_string()));
            }
            (Phase::Saving, Some(PaceState::Complete)) => {
                let deadline_ns = site.now_ns + SILENCE_MAX_NS;
                self.phase = Phase::AwaitingReady { deadline_ns };
            }
            (Phase::Offering { since_ns }, _) if *since_ns + SILENCE_MAX_NS <= site.now_ns => {
                self.abort(site, "the destination does not answer");
            }
            (Phase::AwaitingReady { deadline_ns }, _) if *deadline_ns <= site.now_ns => {
                self.abort(site, "the destination does not answer");
            }
            (Phase::Releasing(release), _) => {
                let done = release.step(site.host);
                if done {
                    self.over(Phase::Moved);
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
