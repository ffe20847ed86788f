//! A journal of moves whose bits are flipped.

use super::piece;
use godwit_shim::{Decision, Journal, JournalEntry, MoveStage, Side, Token};
use std::error::Error;
use std::fs;
use std::path::Path;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 32;

/// The file of a journal with moves in both directions.
#[derive(Clone, Debug)]
pub(super) struct JournalBytes {
    pub(super) bytes: Vec<u8>,
    /// What a reader knows from all entries, and from all but the last.
    whole: Vec<JournalEntry>,
    torn: Vec<JournalEntry>,
}

impl JournalBytes {
    pub(super) fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("journal");
        let token = |id, number| Token { uuid: [id; 16], number };
        let mut journal = Journal::open(&path)?;
        for (token, stages) in [
            (token(1, 1), &[MoveStage::Offered, MoveStage::Aborted][..]),
            (token(1, 2), &[MoveStage::Offered, MoveStage::Committed, MoveStage::Done]),
            (token(2, 7), &[MoveStage::Restoring, MoveStage::Ready, MoveStage::Running]),
            (token(3, 1), &[MoveStage::Offered, MoveStage::Committed]),
            (token(2, 7), &[MoveStage::Started]),
        ] {
            for stage in stages {
                journal.record(token, *stage)?;
            }
        }
        journal.resolve(Side::Source, &token(3, 1), Decision::RunHere)?;
        journal.record(token(4, 1), MoveStage::Offered)?;
        journal.record(token(4, 1), MoveStage::Committed)?;
        drop(journal);
        let bytes = fs::read(&path)?;
        let whole = read(&path, &bytes)?;
        let torn = read(&path, &bytes[..bytes.len() - ENTRY_BYTES])?;
        if whole == torn {
            return Err("the last entry of the journal says nothing".into());
        }
        Ok(Self { bytes, whole, torn })
    }

    /// Why it is refused with this bit flipped, or that its last entry is dropped.
    pub(super) fn refusal(&self, bit: Option<usize>) -> Result<Option<String>, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("journal");
        let flipped = piece(&self.bytes, 0, self.bytes.len(), bit);
        match read(&path, &flipped) {
            // What is refused is as it was, for whoever looks at it.
            Err(why) if fs::read(&path)? == flipped => Ok(Some(why.to_string())),
            Err(_) => Ok(None),
            Ok(entries) => {
                let last = 8 * (self.bytes.len() - ENTRY_BYTES);
                let in_last = bit.is_some_and(|bit| (last..8 * self.bytes.len()).contains(&bit));
                let dropped = in_last && entries == self.torn && entries != self.whole;
                Ok(dropped.then(|| "the last entry counts as torn".to_owned()))
            }
        }
    }
}

/// What a journal with these bytes knows.
fn read(path: &Path, bytes: &[u8]) -> Result<Vec<JournalEntry>, Box<dyn Error>> {
    fs::write(path, bytes)?;
    Ok(Journal::open(path)?.entries().copied().collect())
}
