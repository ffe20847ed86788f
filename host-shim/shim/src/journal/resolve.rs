//! What an operator decides about a move whose peer is dead for good.

use super::{Journal, JournalEntry, JournalError, MoveStage, Side};
use crate::link::Token;

/// Whose a vGPU is to be from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This side's: it runs here, and never there.
    RunHere,
    /// Not this side's: what is left of it here is released.
    Gone,
}

/// Why there is nothing to decide, or not like that.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows of it.
    #[error("move {0} is not known here")]
    Unknown(Token),
    /// Both ends can talk: they know more than anybody else.
    #[error("move {0}: the peer can be reached, and will say whose it is")]
    PeerIsThere(Token),
    /// It goes on, or is undone, by itself.
    #[error(
        "move {token} is {stage}: it is the source's until it is committed, and ends by itself"
    )]
    NotNeeded {
        /// The move.
        token: Token,
        /// How far it is.
        stage: MoveStage,
    },
    /// It is over; whose the vGPU is, is known.
    #[error("move {token} is {stage}: {}", whose(*.stage))]
    Over {
        /// The move.
        token: Token,
        /// How far it is.
        stage: MoveStage,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Whose a vGPU is whose move is over on one side.
fn whose(stage: MoveStage) -> &'static str {
    match stage {
        MoveStage::Done => "the vGPU is the destination's, and would run twice",
        MoveStage::Aborted => "the vGPU is this side's",
        MoveStage::Running => "the vGPU is this side's, and is about to start",
        MoveStage::Started => "the vGPU is this side's, and has run here",
        MoveStage::Closed => "the vGPU runs here, and the source knows it",
        MoveStage::Released => "nothing of the vGPU is left here",
        MoveStage::Offered | MoveStage::Committed | MoveStage::Restoring | MoveStage::Ready => {
            "it is under way"
        }
    }
}

impl Journal {
    /// Writes down what an operator decides; then it may be done. Messages of this move that do
    /// not agree are refused from then on.
    ///
    /// A decision is asked for in three states only: committed at the source, without word of the
    /// destination; ready at the destination, without word of the source; and running at a
    /// destination whose host has started anew ([`Journal::is_unsure`]), where `RunHere` says that
    /// the vGPU has run there.
    ///
    /// # Errors
    ///
    /// In every other state, with the reason, or when it cannot be written: then nothing is
    /// decided, and it can be asked for again.
    pub fn resolve(
        &mut self,
        side: Side,
        token: &Token,
        decision: Decision,
    ) -> Result<MoveStage, Refusal> {
        let token = *token;
        let stage = self.stage(side, &token).ok_or(Refusal::Unknown(token))?;
        let next = match (stage, decision) {
            (MoveStage::Committed, Decision::RunHere) => MoveStage::Aborted,
            (MoveStage::Committed, Decision::Gone) => MoveStage::Done,
            (MoveStage::Ready, Decision::RunHere) => MoveStage::Running,
            (MoveStage::Ready, Decision::Gone) => MoveStage::Released,
            (MoveStage::Running, Decision::RunHere) if self.is_unsure(&token) => MoveStage::Started,
            (MoveStage::Running, Decision::Gone) if self.is_unsure(&token) => MoveStage::Released,
            (MoveStage::Offered | MoveStage::Restoring, _) => {
                return Err(Refusal::NotNeeded { token, stage });
            }
            (
                MoveStage::Done
                | MoveStage::Aborted
                | MoveStage::Running
                | MoveStage::Started
                | MoveStage::Closed
                | MoveStage::Released,
                _,
            ) => return Err(Refusal::Over { token, stage }),
        };
        self.decide(token, next)?;
        Ok(next)
    }

    /// Takes a move to a stage by decision, which holds only once it is written: what is left in
    /// the storage leads elsewhere.
    pub(crate) fn decide(&mut self, token: Token, stage: MoveStage) -> Result<(), JournalError> {
        self.write(JournalEntry { token, stage, resolved: true }, false)
    }
}
