//! The side of a move that takes a vGPU in.

use crate::host::Host;
use crate::link::{LinkMessage, SILENCE_MAX_NS, Token, versions_apart};
use crate::release::Start;
use crate::restore::{RestoreState, Restorer, Wanted};
use godwit_types::{Gfid, Placement};
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
    /// It is this side's, and its firmware refuses to start it; why. It stands still, whole.
    Stuck(String),
}

#[derive(Debug)]
enum Phase {
    Restoring,
    Ready,
    Starting(Start),
    Running,
    Undoing(String),
    Undone(String),
    Stuck(String),
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
    /// When the source was heard of last.
    heard_ns: u64,
}

impl Destination {
    /// Takes up an offer of a stream of up to version `offered`.
    pub fn new(host: &Host, token: Token, offered: u8, avoid: Option<Placement>) -> Self {
        // The stream must be of the vGPU and the move that were offered.
        let wanted = Wanted { profile: None, uuid: Some(token.uuid), token: Some(token.number) };
        Self {
            token,
            restorer: Restorer::new(host, wanted),
            offered,
            avoid,
            phase: Phase::Restoring,
            out: VecDeque::new(),
            waiting: VecDeque::new(),
            heard_ns: host.now_ns(),
        }
    }

    /// Which move this is.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Where the vGPU is being restored.
    pub fn home(&self) -> Option<(Gfid, Placement)> {
        self.restorer.home()
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
    pub fn handle(&mut self, host: &mut Host, message: LinkMessage) {
        if *message.token() != self.token {
            return;
        }
        self.heard_ns = host.now_ns();
        match (message, &self.phase) {
            (LinkMessage::Data(_, bytes), Phase::Restoring) => self.waiting.push_back(bytes),
            (LinkMessage::Commit(_) | LinkMessage::Answer(_, true), Phase::Ready) => {
                if let Some((gfid, _)) = self.restorer.home() {
                    self.phase = Phase::Starting(Start::new(host, gfid));
                }
            }
            // A repeated commit: the source has not heard that it runs.
            (LinkMessage::Commit(_) | LinkMessage::Answer(_, true), Phase::Running) => {
                self.out.push_back(LinkMessage::Done(self.token));
            }
            (LinkMessage::Abort(_), Phase::Restoring | Phase::Ready) => {
                self.undo(host, "the source has called it off");
            }
            (LinkMessage::Answer(_, false), Phase::Ready) => {
                self.undo(host, "the source has not committed");
            }
            _ => {}
        }
    }

    fn undo(&mut self, host: &mut Host, why: &str) {
        self.waiting.clear();
        self.restorer.give_up(host);
        self.phase = Phase::Undoing(why.into());
    }

    /// The link is gone. What is ready waits; what is not is scrubbed.
    pub fn link_lost(&mut self, host: &mut Host) {
        self.out.clear();
        if matches!(self.phase, Phase::Restoring) {
            self.undo(host, "the link was lost");
        }
    }

    /// The link is there again: asks what became of the move, or tells it.
    pub fn link_back(&mut self) {
        match self.phase {
            Phase::Ready => self.out.push_back(LinkMessage::Query(self.token)),
            Phase::Running => self.out.push_back(LinkMessage::Done(self.token)),
            _ => {}
        }
    }

    /// Goes on as far as it can.
    pub fn step(&mut self, host: &mut Host) -> DestinationState {
        match &mut self.phase {
            Phase::Restoring => self.step_restore(host),
            Phase::Starting(start) => match start.step(host) {
                Ok(false) => {}
                Ok(true) => {
                    self.phase = Phase::Running;
                    self.out.push_back(LinkMessage::Done(self.token));
                }
                Err(why) => {
                    self.phase = Phase::Stuck(format!("it cannot be started: {why:?}"));
                }
            },
            Phase::Undoing(why) => {
                let why = std::mem::take(why);
                self.phase = match self.restorer.step(host) {
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

    /// Calls it off when it waits for a source that says nothing any more.
    fn check_silence(&mut self, host: &mut Host) {
        let waits = self.waiting.is_empty() && self.restorer.wants_bytes();
        if waits && host.now_ns() - self.heard_ns >= SILENCE_MAX_NS {
            let why = "the source says nothing";
            self.out.push_back(LinkMessage::decline(self.token, why));
            self.undo(host, why);
        }
    }

    fn step_restore(&mut self, host: &mut Host) {
        loop {
            match self.restorer.step(host) {
                RestoreState::Working => {
                    let Some(bytes) = self.waiting.pop_front_if(|_| self.restorer.wants_bytes())
                    else {
                        return self.check_silence(host);
                    };
                    self.restorer.feed(&bytes);
                }
                RestoreState::Described => {
                    let Some(version) = host.stream_version().agreed(self.offered) else {
                        let why = versions_apart("the source writes", self.offered, "read");
                        self.out.push_back(LinkMessage::decline(self.token, &why));
                        return self.undo(host, &why);
                    };
                    self.restorer.accept(host, self.avoid.as_ref());
                    if self.restorer.home().is_some() {
                        self.out.push_back(LinkMessage::Accept(self.token, version.raw()));
                    }
                }
                RestoreState::Ready => {
                    self.phase = Phase::Ready;
                    self.out.push_back(LinkMessage::Ready(self.token));
                    return;
                }
                RestoreState::Undone(why) => {
                    let why = why.to_string();
                    self.out.push_back(LinkMessage::decline(self.token, &why));
                    self.phase = Phase::Undone(why);
                    return;
                }
            }
        }
    }
}
