//! The side of a move that takes a vGPU in.

use crate::evacuate::Misfit;
use crate::journal::{Decision, JournalError, MoveStage, Refusal, Side};
use crate::key::SealKey;
use crate::link::{ALIVE_NS, LinkMessage, SILENCE_MAX_NS, Token, versions_apart};
use crate::release::Start;
use crate::restore::{RestoreState, Restorer, Wanted};
use crate::source::Site;
use crate::stream::{Opener, SealError};
use bytes::BytesMut;
use godwit_types::{Engines, Gfid, Placement, Profile};
use std::collections::VecDeque;

/// How far a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationState {
    /// Under way.
    Working,
    /// Everything is in place; only the source's commit lets it run, however long that takes.
    Ready,
    /// It runs here.
    Running(Gfid),
    /// The move is off, and nothing of it is left here; why.
    Undone(String),
    /// It is this side's, and whether it ran is not known; why. An operator must release it.
    Stuck(String),
}

#[derive(Debug)]
enum Phase {
    Restoring,
    Ready,
    Starting(Start),
    /// The source hears of it once it is written.
    Running,
    Undoing(String),
    Undone(String),
    Stuck(String),
}

/// A stage that the journal does not take.
#[derive(Debug)]
struct Unwritten {
    /// What was told of it.
    why: String,
    /// When it is tried again.
    again_ns: u64,
}

/// A move, at its destination.
#[derive(Debug)]
pub struct Destination {
    token: Token,
    restorer: Restorer,
    /// The newest version of the stream that the source writes.
    offered: u8,
    /// The placement at the source, where it is known, to be away from.
    avoid: Option<Placement>,
    phase: Phase,
    out: VecDeque<LinkMessage>,
    /// Bytes that the restorer does not take yet.
    waiting: VecDeque<Vec<u8>>,
    opener: Option<Opener>,
    /// The link is there, as far as is known.
    linked: bool,
    /// What went wrong beside the move.
    trouble: Option<String>,
    /// When the source was heard of last.
    heard_ns: u64,
    unwritten: Option<Unwritten>,
}

impl Destination {
    /// Takes up an offer of a stream of up to version `offered`, or declines it when its number was
    /// used.
    pub fn new(site: &mut Site<'_>, token: Token, offered: u8, avoid: Option<Placement>) -> Self {
        // The stream must be of the vGPU and the move that were offered.
        let wanted = Wanted { profile: None, uuid: Some(token.uuid), token: Some(token.number) };
        let mut destination = Self {
            token,
            restorer: Restorer::new(site.host, wanted),
            offered,
            avoid,
            phase: Phase::Restoring,
            out: VecDeque::new(),
            waiting: VecDeque::new(),
            opener: None,
            linked: true,
            trouble: None,
            heard_ns: site.now_ns,
            unwritten: None,
        };
        if let Err(error) = site.journal.record(token, MoveStage::Restoring) {
            let why = error.to_string();
            destination.out.push_back(LinkMessage::decline(token, &why));
            destination.phase = Phase::Undone(why);
        }
        destination
    }

    /// Takes only what was sealed with this key ([`Source::seal_with`](crate::Source::seal_with)).
    /// To be called before anything has come.
    pub fn open_with(&mut self, key: &SealKey) {
        self.opener = Some(Opener::new(key));
    }

    /// Takes no vGPU of another profile than was announced. To be called before anything has come.
    pub fn want_profile(&mut self, profile: Profile) {
        self.restorer.want_profile(profile);
    }

    /// Which move this is.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Where the vGPU is being restored.
    pub fn home(&self) -> Option<(Gfid, Placement)> {
        self.restorer.home()
    }

    /// What an operator must know: the peer has said what cannot be, so that the vGPU may run on
    /// both hosts, or the journal cannot be written. It is told once.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// Bytes that wait to be restored; the link is to hold back while there are many.
    pub fn buffered(&self) -> usize {
        self.waiting.iter().map(Vec::len).sum()
    }

    /// The next message to the source.
    pub fn poll_message(&mut self) -> Option<LinkMessage> {
        self.out.pop_front()
    }

    /// Takes a message of the source. One of another move is stale and is dropped.
    pub fn handle(&mut self, site: &mut Site<'_>, message: LinkMessage) {
        if *message.token() != self.token || message.addressee() != Side::Destination {
            return;
        }
        self.heard_ns = site.now_ns;
        match (message, &self.phase) {
            (LinkMessage::Data(_, bytes), Phase::Restoring) => self.waiting.push_back(bytes),
            (LinkMessage::Needs(_, engines), Phase::Restoring) => {
                self.check_engines(site, Engines::from_bits(engines.into()));
            }
            (LinkMessage::Commit(_) | LinkMessage::Answer(_, true), Phase::Ready) => {
                self.committed(site);
            }
            (LinkMessage::Abort(_), Phase::Restoring | Phase::Ready) => {
                self.undo(site, "the source has called it off");
            }
            (LinkMessage::Answer(_, false), Phase::Ready) => {
                self.undo(site, "the source has not committed");
            }
            // Only an operator knows whether it did run.
            (LinkMessage::Commit(_) | LinkMessage::Answer(..), Phase::Stuck(why)) => {
                self.out.push_back(LinkMessage::decline(self.token, why));
            }
            // It says so when it runs, and that is written.
            (
                LinkMessage::Commit(_) | LinkMessage::Answer(..) | LinkMessage::Closed(_),
                Phase::Starting(_) | Phase::Stuck(_),
            ) => {}
            (
                LinkMessage::Commit(_) | LinkMessage::Answer(..) | LinkMessage::Closed(_),
                Phase::Running,
            ) if self.unwritten.is_some() => {}
            (message, _) => self.reply(site, &message),
        }
    }

    /// A device that lacks an engine which the guest uses can be known to before the guest stops.
    fn check_engines(&mut self, site: &mut Site<'_>, needed: Engines) {
        let lacking = needed.bits() & !site.host.identity().engines.bits();
        if lacking != 0 {
            let why = Misfit::Engines(Engines::from_bits(lacking)).to_string();
            self.out.push_back(LinkMessage::decline(self.token, &why));
            self.undo(site, &why);
        }
    }

    /// Answers from the journal.
    fn reply(&mut self, site: &mut Site<'_>, message: &LinkMessage) {
        match site.journal.reply(message) {
            Ok(answer) => self.out.extend(answer),
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    /// It is this side's, once that is written down; then it starts.
    fn committed(&mut self, site: &mut Site<'_>) {
        match site.journal.record(self.token, MoveStage::Running) {
            Ok(()) => self.start(site),
            // Whether it is still committed then, the source must say again.
            Err(error) => self.not_written(site, &error),
        }
    }

    /// It runs, and once that is written down the source may let go of it.
    fn started(&mut self, site: &mut Site<'_>) {
        match site.journal.record(self.token, MoveStage::Started) {
            Ok(()) => {
                self.unwritten = None;
                self.out.push_back(LinkMessage::Done(self.token));
            }
            Err(error) => self.not_written(site, &error),
        }
    }

    /// The journal does not take a stage, which is tried again. The operator is told, and not every
    /// time.
    fn not_written(&mut self, site: &Site<'_>, error: &JournalError) {
        let why = error.to_string();
        if self.unwritten.as_ref().is_none_or(|before| before.why != why) {
            self.trouble = Some(why.clone());
        }
        self.unwritten = Some(Unwritten { why, again_ns: site.now_ns + ALIVE_NS });
    }

    /// Tries again what was not written.
    fn write_again(&mut self, site: &mut Site<'_>) {
        let Some(unwritten) = &mut self.unwritten else { return };
        if site.now_ns < unwritten.again_ns {
            return;
        }
        unwritten.again_ns = site.now_ns + ALIVE_NS;
        match self.phase {
            Phase::Ready if self.linked && self.out.is_empty() => {
                self.out.push_back(LinkMessage::Query(self.token));
            }
            Phase::Running => self.started(site),
            _ => {}
        }
    }

    fn start(&mut self, site: &mut Site<'_>) {
        self.unwritten = None;
        if let Some((gfid, _)) = self.restorer.home() {
            self.phase = Phase::Starting(Start::of_arrived(site.host, gfid));
        }
    }

    fn undo(&mut self, site: &mut Site<'_>, why: &str) {
        self.waiting.clear();
        self.released(site);
        self.restorer.give_up(site.host);
        self.phase = Phase::Undoing(why.into());
    }

    /// From now on it can never run here. That holds here even where it cannot be written: a
    /// host that starts anew has an empty card, and releases what it finds, or asks its operator.
    fn released(&mut self, site: &mut Site<'_>) {
        if let Err(error @ JournalError::Storage(_)) =
            site.journal.record(self.token, MoveStage::Released)
        {
            self.trouble = Some(error.to_string());
        }
    }

    /// The link is gone. What is ready waits; what is not is scrubbed.
    pub fn link_lost(&mut self, site: &mut Site<'_>) {
        self.linked = false;
        self.out.clear();
        if matches!(self.phase, Phase::Restoring) {
            self.undo(site, "the link was lost");
        }
    }

    /// The link is there again: asks what became of the move, or tells it.
    pub fn link_back(&mut self) {
        self.linked = true;
        self.out.clear();
        self.out.extend(match &self.phase {
            Phase::Ready => Some(LinkMessage::Query(self.token)),
            Phase::Running if self.unwritten.is_none() => Some(LinkMessage::Done(self.token)),
            Phase::Undoing(why) | Phase::Undone(why) | Phase::Stuck(why) => {
                Some(LinkMessage::decline(self.token, why))
            }
            Phase::Restoring | Phase::Starting(_) | Phase::Running => None,
        });
    }

    /// Does what an operator has decided, with a peer that is dead for good.
    ///
    /// # Errors
    ///
    /// When it is not whole, when the source has committed it or can say whether it has, when it
    /// is released, and when the decision cannot be written down.
    pub fn resolve(&mut self, site: &mut Site<'_>, decision: Decision) -> Result<(), Refusal> {
        let Phase::Stuck(_) = self.phase else {
            if matches!(self.phase, Phase::Ready) && self.linked {
                return Err(Refusal::PeerIsThere(self.token));
            }
            site.journal.resolve(Side::Destination, &self.token, decision)?;
            match decision {
                Decision::RunHere => self.start(site),
                Decision::Gone => {
                    self.restorer.give_up(site.host);
                    self.phase = Phase::Undoing("resolved: it is gone".into());
                }
            }
            return Ok(());
        };
        // It is this side's: the operator says whether to try again or to let go of it.
        match decision {
            Decision::RunHere => self.start(site),
            Decision::Gone => {
                site.journal.decide(self.token, MoveStage::Released)?;
                let why = "resolved: it is gone";
                self.restorer.give_up(site.host);
                self.phase = Phase::Undoing(why.into());
                self.out.push_back(LinkMessage::give_back(self.token, why));
            }
        }
        Ok(())
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, site: &mut Site<'_>) -> DestinationState {
        self.check_lost(site);
        self.write_again(site);
        match &mut self.phase {
            Phase::Restoring => self.step_restore(site),
            Phase::Starting(start) => match start.step(site.host) {
                Ok(false) => {}
                Ok(true) => {
                    self.phase = Phase::Running;
                    self.started(site);
                }
                Err(why) => {
                    let certain = start.has_not_run(site.host);
                    self.not_started(site, certain, &format!("it cannot be started: {why:?}"));
                }
            },
            Phase::Undoing(why) => {
                let why = std::mem::take(why);
                self.phase = match self.restorer.step(site.host) {
                    RestoreState::Undone(_) => Phase::Undone(why),
                    _ => Phase::Undoing(why),
                };
            }
            Phase::Ready | Phase::Running | Phase::Undone(_) | Phase::Stuck(_) => {}
        }
        match &self.phase {
            Phase::Restoring | Phase::Starting(_) | Phase::Undoing(_) => DestinationState::Working,
            Phase::Ready => DestinationState::Ready,
            Phase::Running => match self.restorer.home() {
                Some((gfid, _)) => DestinationState::Running(gfid),
                None => DestinationState::Working,
            },
            Phase::Undone(why) => DestinationState::Undone(why.clone()),
            Phase::Stuck(why) => DestinationState::Stuck(why.clone()),
        }
    }

    /// Firmware that is gone for good answers nothing. What it has not started never ran, and the
    /// source has it whole, committed or not.
    fn check_lost(&mut self, site: &mut Site<'_>) {
        let Some(lost) = site.host.lost_for_good() else { return };
        let why = lost.to_string();
        match &mut self.phase {
            Phase::Restoring | Phase::Ready => {
                self.out.push_back(LinkMessage::decline(self.token, &why));
                self.undo(site, &why);
            }
            Phase::Starting(_) => self.not_started(site, false, &why),
            // What it had nobody has.
            Phase::Undoing(why) => {
                let why = std::mem::take(why);
                if let Some((gfid, _)) = self.restorer.home() {
                    site.host.forget(gfid);
                }
                self.phase = Phase::Undone(why);
            }
            Phase::Running | Phase::Undone(_) | Phase::Stuck(_) => {}
        }
    }

    /// The firmware refuses to start it. If no other firmware was there since it was asked to, it
    /// never ran, and goes back to the source, which has it whole. Otherwise one that is gone may
    /// have started it.
    fn not_started(&mut self, site: &mut Site<'_>, certain: bool, why: &str) {
        if certain {
            self.undo(site, why);
            self.out.push_back(LinkMessage::give_back(self.token, why));
        } else {
            // Its operator is told by the state, and the source's by the source.
            self.out.push_back(LinkMessage::decline(self.token, why));
            self.phase = Phase::Stuck(why.into());
        }
    }

    /// Calls it off when it waits for a source that says nothing any more.
    fn check_silence(&mut self, site: &mut Site<'_>) {
        let waits = self.waiting.is_empty() && self.restorer.wants_bytes();
        if waits && site.now_ns.saturating_sub(self.heard_ns) >= SILENCE_MAX_NS {
            let why = "the source says nothing";
            self.out.push_back(LinkMessage::decline(self.token, why));
            self.undo(site, why);
        }
    }

    /// Everything is in place, and that is written down before the source hears of it.
    fn ready(&mut self, site: &mut Site<'_>) {
        match site.journal.record(self.token, MoveStage::Ready) {
            Ok(()) => {
                self.phase = Phase::Ready;
                self.out.push_back(LinkMessage::Ready(self.token));
            }
            Err(error) => {
                let why = error.to_string();
                self.out.push_back(LinkMessage::decline(self.token, &why));
                self.undo(site, &why);
            }
        }
    }

    /// Bytes of the stream for the restorer, opened where they are sealed; `None`: it takes none
    /// now, or none are there.
    fn next_bytes(&mut self) -> Result<Option<BytesMut>, SealError> {
        if !self.restorer.wants_bytes() {
            return Ok(None);
        }
        loop {
            if let Some(opener) = &mut self.opener
                && let Some(record) = opener.next_record()?
            {
                return Ok(Some(record));
            }
            let Some(bytes) = self.waiting.pop_front() else { return Ok(None) };
            match &mut self.opener {
                Some(opener) => opener.feed(&bytes),
                None => return Ok(Some(BytesMut::from(&bytes[..]))),
            }
        }
    }

    fn step_restore(&mut self, site: &mut Site<'_>) {
        loop {
            match self.restorer.step(site.host) {
                RestoreState::Working => match self.next_bytes() {
                    Ok(Some(bytes)) => self.restorer.feed_owned(bytes),
                    Ok(None) => return self.check_silence(site),
                    Err(error) => {
                        let why = error.to_string();
                        self.out.push_back(LinkMessage::decline(self.token, &why));
                        return self.undo(site, &why);
                    }
                },
                RestoreState::Described => {
                    let Some(version) = site.host.stream_version().agreed(self.offered) else {
                        let why = versions_apart("the source writes", self.offered, "read");
                        self.out.push_back(LinkMessage::decline(self.token, &why));
                        return self.undo(site, &why);
                    };
                    self.restorer.accept(site.host, self.avoid.as_ref());
                    if self.restorer.home().is_some() {
                        self.out.push_back(LinkMessage::Accept(self.token, version.raw()));
                    }
                }
                RestoreState::Ready => return self.ready(site),
                RestoreState::Undone(why) => {
                    let why = why.to_string();
                    self.released(site);
                    self.out.push_back(LinkMessage::decline(self.token, &why));
                    self.phase = Phase::Undone(why);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
