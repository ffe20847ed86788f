//! What a host must not forget about moves: which it has committed.

use crate::link::Token;
use std::collections::BTreeSet;

/// The moves that this host, as a source, has committed. Written before the commit is sent:
/// without an entry a move has not happened.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    committed: BTreeSet<Token>,
}

impl Journal {
    /// A journal without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the entry of a commit.
    pub fn commit(&mut self, token: Token) {
        self.committed.insert(token);
    }

    /// Whether a move was committed.
    pub fn is_committed(&self, token: &Token) -> bool {
        self.committed.contains(token)
    }
}
