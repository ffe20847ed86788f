//! What a side says to a message when the journal alone can say it: when whoever moved the vGPU
//! is gone, or has nothing to add.

use super::{Journal, JournalError, MoveStage, Side};
use crate::link::{LinkMessage, Token};

/// Why a destination cannot say whose a committed vGPU is.
pub(crate) const UNSURE: &str =
    "its host was started anew while the vGPU was to start, and whether it has run is not known";

impl Journal {
    /// Answers a message of the peer, if there is an answer, and takes note of what it says.
    ///
    /// For moves that a [`Source`](crate::Source) or [`Destination`](crate::Destination) has, it is
    /// theirs to take it; they ask here for what they do not answer themselves.
    ///
    /// # Errors
    ///
    /// [`JournalError::Conflict`] when the peer says what cannot be; nothing is answered then.
    /// Others when something cannot be written.
    pub fn reply(&mut self, message: &LinkMessage) -> Result<Option<LinkMessage>, JournalError> {
        match message.addressee() {
            Side::Source => self.reply_as_source(message),
            Side::Destination => self.reply_as_destination(message),
        }
    }

    fn reply_as_source(
        &mut self,
        message: &LinkMessage,
    ) -> Result<Option<LinkMessage>, JournalError> {
        use MoveStage::{Aborted, Committed, Done, Offered};
        let token = *message.token();
        let stage = self.stage(Side::Source, &token);
        Ok(match (message, stage) {
            (LinkMessage::Query(_), Some(Committed | Done)) => {
                Some(LinkMessage::Answer(token, true))
            }
            (LinkMessage::Query(_), stage) => {
                // After this answer it must never be committed.
                if stage == Some(Offered) {
                    self.record(token, Aborted)?;
                }
                Some(LinkMessage::Answer(token, false))
            }
            (LinkMessage::Ready(_), Some(Committed)) => Some(LinkMessage::Commit(token)),
            (LinkMessage::Accept(..) | LinkMessage::Ready(_), Some(Aborted) | None) => {
                Some(LinkMessage::Abort(token))
            }
            (LinkMessage::Done(_), Some(Committed)) => {
                self.record(token, Done)?;
                Some(LinkMessage::Closed(token))
            }
            (LinkMessage::Done(_), Some(Done)) => Some(LinkMessage::Closed(token)),
            (LinkMessage::Done(_), Some(here @ (Offered | Aborted))) => {
                return Err(JournalError::Conflict { token, here, says: "it runs at the peer" });
            }
            // It was forgotten, which only what is over can be.
            (LinkMessage::Done(_), None) if self.is_stale(&token) => {
                Some(LinkMessage::Closed(token))
            }
            (LinkMessage::Return(..), Some(Committed)) => {
                self.record(token, Aborted)?;
                None
            }
            _ => None,
        })
    }

    fn reply_as_destination(
        &mut self,
        message: &LinkMessage,
    ) -> Result<Option<LinkMessage>, JournalError> {
        use MoveStage::{Closed, Ready, Released, Restoring, Running, Started};
        let token = *message.token();
        let stage = self.stage(Side::Destination, &token);
        let unsure = self.is_unsure(&token);
        Ok(match (message, stage) {
            (LinkMessage::Commit(_) | LinkMessage::Answer(_, true), Some(Started | Closed)) => {
                Some(LinkMessage::Done(token))
            }
            // It says nothing of whose it is; the source goes on keeping it.
            (LinkMessage::Commit(_) | LinkMessage::Answer(_, true), Some(Running)) if unsure => {
                Some(LinkMessage::decline(token, UNSURE))
            }
            (LinkMessage::Commit(_) | LinkMessage::Answer(_, true), Some(Released)) => {
                let why = match self.entry(Side::Destination, &token) {
                    Some(entry) if entry.resolved => "it was decided that it is gone there",
                    _ => "it was released, and has never run here",
                };
                Some(LinkMessage::give_back(token, why))
            }
            (LinkMessage::Abort(_) | LinkMessage::Answer(_, false), Some(Restoring | Ready)) => {
                self.record(token, Released)?;
                None
            }
            // The source has it by decision, and nothing of it is left here.
            (LinkMessage::Abort(_) | LinkMessage::Answer(_, false), Some(Running)) if unsure => {
                self.record(token, Released)?;
                None
            }
            (
                LinkMessage::Abort(_) | LinkMessage::Answer(_, false),
                Some(here @ (Running | Started | Closed)),
            ) => return Err(self.not_committed(token, here)),
            (LinkMessage::Closed(_), Some(Running | Started)) => {
                self.record(token, Closed)?;
                None
            }
            (LinkMessage::Offer(..), stage)
                if stage == Some(Released) || stage.is_none() && self.is_stale(&token) =>
            {
                Some(LinkMessage::decline(token, "this move is stale"))
            }
            _ => None,
        })
    }

    /// The source says that a move is not committed which is this side's.
    pub(crate) fn not_committed(&self, token: Token, here: MoveStage) -> JournalError {
        JournalError::Conflict { token, here, says: "it is not committed" }
    }

    fn is_stale(&self, token: &Token) -> bool {
        self.newest(&token.uuid).is_some_and(|newest| newest >= token.number)
    }
}
