//! What a host must not forget about moves, and the rules by which they go on.
//!
//! ```text
//! source        offered ─▶ committed ─▶ done
//!                  │           │
//!                  └───────────┴─▶ aborted        (from committed: given back, or resolved)
//!
//! destination   restoring ─▶ ready ─▶ running ─▶ started ─▶ closed
//!                  │           │         │
//!                  └───────────┴─────────┴─▶ released     (from running: it never started)
//! ```
//!
//! Each stage is written, and on the disk, before what it announces is said or done. So without
//! `committed` a move has not happened, and with `aborted` or `released` it never will: a stage is
//! never left against an arrow. A number is used once: what is not newer than all that is known of
//! a vGPU is stale.
//!
//! `running` is written before the start, and `started` after it, before the source hears of it. A
//! host that starts anew and finds `running` cannot know whether the vGPU has run: it says neither
//! that it has nor that it has not, and its operator decides ([`Journal::resolve`]).

mod entry;
mod file;
mod reply;
mod resolve;

pub use entry::{JournalEntry, MoveStage, Side};
pub use file::{JournalFile, JournalFileError};
pub use resolve::{Decision, Refusal};

use crate::link::Token;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;

/// Entries that a journal keeps at most. Those of moves that are over are given up for new ones,
/// the oldest first; with this many under way no other begins.
pub(crate) const ENTRIES_MAX: usize = 16_384;
/// Entries that a storage may have beside those that are kept, before it is written anew.
const SPARE_MAX: usize = 256;
/// Entries for which room is made at a time.
const ROOM: usize = ENTRIES_MAX / 16;

/// Where entries are kept.
pub trait JournalStorage: Debug + Send {
    /// Appends an entry, which is kept when this returns.
    ///
    /// # Errors
    ///
    /// When it is not; then it is as if it had not been tried, or nothing is taken any more.
    fn append(&mut self, entry: &JournalEntry) -> io::Result<()>;

    /// Has these entries in the place of all that it had.
    ///
    /// # Errors
    ///
    /// When it has not; then it has those of before.
    fn rewrite(&mut self, entries: &[JournalEntry]) -> io::Result<()>;
}

/// Keeps nothing: what is in the journal ends with it.
#[derive(Debug)]
struct InMemory;

impl JournalStorage for InMemory {
    fn append(&mut self, _: &JournalEntry) -> io::Result<()> {
        Ok(())
    }

    fn rewrite(&mut self, _: &[JournalEntry]) -> io::Result<()> {
        Ok(())
    }
}

/// Why a move cannot go on as was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The number was used.
    #[error("move {token} is stale: number {newest} of this vGPU is known here")]
    Stale {
        /// The move.
        token: Token,
        /// The newest of its vGPU.
        newest: u64,
    },
    /// A stage does not follow.
    #[error("move {token} is {from} here, and cannot be {to}")]
    Stage {
        /// The move.
        token: Token,
        /// What it is.
        from: MoveStage,
        /// What it is not to become.
        to: MoveStage,
    },
    /// The two sides do not agree, which only an operator's decision or a lost journal can bring
    /// about.
    #[error("move {token} is {here} here, and the peer says `{says}`: it may run on both hosts")]
    Conflict {
        /// The move.
        token: Token,
        /// What it is.
        here: MoveStage,
        /// What the peer says.
        says: &'static str,
    },
    /// All of it is taken by moves that are under way.
    #[error("{} moves are under way, and more are not kept", ENTRIES_MAX)]
    Full,
    /// The storage.
    #[error("the journal cannot be written: {0}")]
    Storage(#[from] io::Error),
}

/// The moves that a host knows of, in both directions.
#[derive(Debug)]
pub struct Journal {
    /// With each the count of entries before it, which says how old it is.
    entries: BTreeMap<(Token, Side), (JournalEntry, u64)>,
    storage: Box<dyn JournalStorage>,
    count: u64,
    /// Entries in the storage.
    stored: usize,
    /// Moves that were running when the host started anew.
    unsure: BTreeSet<Token>,
}

impl Journal {
    /// A journal without entries, which ends with this process.
    pub fn in_memory() -> Self {
        Self::with_storage(Box::new(InMemory), &[])
    }

    /// A journal with what a storage has, in the order in which it was written.
    pub fn with_storage(storage: Box<dyn JournalStorage>, stored: &[JournalEntry]) -> Self {
        let (entries, unsure) = (BTreeMap::new(), BTreeSet::new());
        let mut journal = Self { entries, storage, count: 0, stored: 0, unsure };
        for entry in stored {
            journal.insert(*entry);
            journal.stored += 1;
        }
        journal
    }

    fn insert(&mut self, entry: JournalEntry) {
        self.entries.insert((entry.token, entry.stage.side()), (entry, self.count));
        self.count += 1;
    }

    /// What is known of a move on one side of it.
    pub fn entry(&self, side: Side, token: &Token) -> Option<&JournalEntry> {
        self.entries.get(&(*token, side)).map(|(entry, _)| entry)
    }

    /// How far a move is on one side of it.
    pub fn stage(&self, side: Side, token: &Token) -> Option<MoveStage> {
        self.entry(side, token).map(|entry| entry.stage)
    }

    /// The number of the newest move of a vGPU, on whichever side.
    pub fn newest(&self, uuid: &[u8; 16]) -> Option<u64> {
        let least = (Token { uuid: *uuid, number: 0 }, Side::Source);
        let most = (Token { uuid: *uuid, number: u64::MAX }, Side::Destination);
        self.entries.range(least..=most).next_back().map(|((token, _), _)| token.number)
    }

    /// The token of a vGPU's next move.
    pub fn next_token(&self, uuid: [u8; 16]) -> Token {
        let number = self.newest(&uuid).map_or(1, |newest| newest.saturating_add(1));
        Token { uuid, number }
    }

    /// Every move that is known, by vGPU and number.
    pub fn entries(&self) -> impl Iterator<Item = &JournalEntry> {
        self.entries.values().map(|(entry, _)| entry)
    }

    /// Takes a move to a stage; then it may be said and done.
    ///
    /// # Errors
    ///
    /// When the stage does not follow, or was not written. A stage that gives a move up holds all
    /// the same: what is left in the storage leads to the same end after a restart, or to an
    /// operator.
    pub fn record(&mut self, token: Token, stage: MoveStage) -> Result<(), JournalError> {
        // Who has started it on an operator's word has it on that word.
        let before = self.entry(stage.side(), &token);
        let resolved = stage == MoveStage::Started && before.is_some_and(|entry| entry.resolved);
        let held = stage.gives_up();
        self.write(JournalEntry { token, stage, resolved }, held)
    }

    /// Writes an entry. `held`: it holds here even if it is not written.
    fn write(&mut self, entry: JournalEntry, held: bool) -> Result<(), JournalError> {
        let JournalEntry { token, stage, .. } = entry;
        let before = self.stage(stage.side(), &token);
        match before {
            Some(from) if !stage.follows(from) => {
                return Err(JournalError::Stage { token, from, to: stage });
            }
            Some(_) => {}
            None => self.check_new(token, stage)?,
        }
        let written =
            self.make_room(before.is_none()).and_then(|()| Ok(self.storage.append(&entry)?));
        if written.is_ok() || held {
            self.insert(entry);
            if stage.side() == Side::Destination {
                self.unsure.remove(&token);
            }
        }
        self.stored += usize::from(written.is_ok());
        written
    }

    /// A move begins with the first stage of its side, and with a number that is new.
    fn check_new(&self, token: Token, stage: MoveStage) -> Result<(), JournalError> {
        if let Some(newest) = self.newest(&token.uuid)
            && newest >= token.number
        {
            return Err(JournalError::Stale { token, newest });
        }
        let first = MoveStage::first(stage.side());
        if stage == first {
            Ok(())
        } else {
            Err(JournalError::Stage { token, from: first, to: stage })
        }
    }

    /// Gives up what need not be kept, when there is much of it.
    fn make_room(&mut self, is_new: bool) -> Result<(), JournalError> {
        let full = is_new && self.entries.len() >= ENTRIES_MAX;
        if !full && self.stored <= self.entries.len() + SPARE_MAX {
            return Ok(());
        }
        self.forget_superseded();
        if full {
            self.forget_oldest();
        }
        let mut kept: Vec<_> = self.entries.values().copied().collect();
        kept.sort_unstable_by_key(|(_, age)| *age);
        let kept: Vec<JournalEntry> = kept.into_iter().map(|(entry, _)| entry).collect();
        self.storage.rewrite(&kept)?;
        self.stored = kept.len();
        if full && kept.len() >= ENTRIES_MAX { Err(JournalError::Full) } else { Ok(()) }
    }

    /// Forgets moves that are over, the oldest first, until there is room for some.
    fn forget_oldest(&mut self) {
        let over = self.entries.iter().filter(|(_, (entry, _))| entry.stage.is_over());
        let mut over: Vec<_> = over.map(|(key, (_, age))| (*age, *key)).collect();
        over.sort_unstable_by_key(|(age, _)| *age);
        let surplus = self.entries.len().saturating_sub(ENTRIES_MAX - ROOM);
        for (_, key) in over.iter().take(surplus) {
            self.entries.remove(key);
        }
    }

    /// Forgets moves that are over and of whose vGPU a newer one is known, by which theirs are
    /// stale. What an operator has decided is kept, to tell a peer that does not agree.
    fn forget_superseded(&mut self) {
        let newest: BTreeMap<[u8; 16], u64> =
            self.entries.keys().map(|(token, _)| (token.uuid, token.number)).collect();
        self.entries.retain(|(token, _), (entry, _)| {
            let superseded = newest.get(&token.uuid).is_some_and(|newest| token.number < *newest);
            !(superseded && entry.stage.is_over() && !entry.resolved)
        });
    }

    /// The host has started anew, and its card is empty: what was under way and not given away
    /// is given up. Returns what is open, which an operator is to be told: moves that are committed
    /// and of which nothing was heard since, and those that may have run here or not.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn host_started(&mut self) -> Result<Vec<JournalEntry>, JournalError> {
        let all: Vec<JournalEntry> = self.entries().copied().collect();
        let mut open = Vec::new();
        for entry in all {
            match entry.stage {
                MoveStage::Offered => self.record(entry.token, MoveStage::Aborted)?,
                MoveStage::Restoring | MoveStage::Ready => {
                    self.record(entry.token, MoveStage::Released)?;
                }
                MoveStage::Committed => open.push(entry),
                MoveStage::Running => {
                    self.unsure.insert(entry.token);
                    open.push(entry);
                }
                MoveStage::Done
                | MoveStage::Aborted
                | MoveStage::Started
                | MoveStage::Closed
                | MoveStage::Released => {}
            }
        }
        Ok(open)
    }

    /// Whether a vGPU that is this side's may have run before the host started anew, or not.
    pub fn is_unsure(&self, token: &Token) -> bool {
        self.unsure.contains(token)
    }
}

#[cfg(test)]
mod tests;
