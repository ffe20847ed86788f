//! What is told of clients. Each kind has a bound of its own, so that those who are not let in
//! cannot hide what those do who are.

use crate::events::{EventLog, Where};
use crate::notes::{Note, NoteLimit};
use crate::operation::Asked;
use godwit_control::{EventKind, Told};
use std::time::Instant;

/// Characters of a question that are told.
const QUESTION_CHARS_MAX: usize = 200;

/// Of whom something is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// Somebody who is not let in.
    Stranger,
    /// A client.
    Client,
    /// A client for whom something was changed.
    Change,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Record {
    kinds: [(Vec<Note>, NoteLimit); 3],
    refused: u64,
}

impl Record {
    pub(super) fn new(now: Instant) -> Self {
        let kinds = std::array::from_fn(|_| (Vec::new(), NoteLimit::new(now)));
        Self { kinds, refused: 0 }
    }

    pub(super) fn note(&mut self, of: Of, kind: EventKind, text: &str) {
        self.refused += u64::from(kind == EventKind::Refused);
        let text = printable(text);
        self.kinds[of as usize].0.push(Note { kind, text });
    }

    /// Questions and clients that were refused, told of or not.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// What has become of what somebody has asked, where that is over.
    pub(super) fn note_outcome(&mut self, asked: &Asked, told: &Told) {
        match told {
            Told::Error(why) => {
                self.note(Of::Change, EventKind::Note, &format!("{asked} has failed: {why}"));
            }
            told if told.is_last() => {
                self.note(Of::Change, EventKind::Note, &format!("{asked} is done"));
            }
            _ => {}
        }
    }

    /// Takes what there is, a line each.
    pub(super) fn take(&mut self, events: &mut EventLog) -> Vec<String> {
        let mut lines = Vec::new();
        for (of, (notes, limit)) in self.kinds.iter_mut().enumerate() {
            for note in limit.pass(std::mem::take(notes), Instant::now()) {
                let line = format!("control: {}", note.text);
                // A change is an event already, with who has asked for it.
                if of != Of::Change as usize {
                    events.note(note.kind, Where::NOWHERE, &line);
                }
                lines.push(line);
            }
        }
        lines
    }
}

/// The beginning of what somebody has asked.
pub(super) fn question(line: &[u8]) -> String {
    // A character has up to four bytes.
    let part = &line[..line.len().min(4 * QUESTION_CHARS_MAX)];
    let text = String::from_utf8_lossy(part);
    let mut shown: String = text.trim().chars().take(QUESTION_CHARS_MAX).collect();
    if shown.len() < line.trim_ascii().len() {
        shown += " ...";
    }
    shown
}

/// A text that is one line, of characters that a terminal only shows: a client's words are in it.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => shown.push(c),
            c => shown.extend(c.escape_default()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_let_in_does_not_hide_what_is_done() {
        let (mut record, mut events) = (Record::new(Instant::now()), EventLog::default());
        for _ in 0..10_000 {
            record.note(Of::Stranger, EventKind::Refused, "a stranger");
        }
        record.note(Of::Client, EventKind::Refused, "a question");
        record.note(Of::Change, EventKind::Note, "a change");
        let lines = record.take(&mut events);
        assert!(lines.len() < 1_000, "{}", lines.len());
        assert_eq!(record.refused(), 10_001);
        for part in ["control: a question", "control: a change"] {
            assert!(lines.iter().any(|line| line == part), "{part}");
        }
        // The change is an event without it.
        assert_eq!(events.last(), lines.len() as u64 - 1);
    }

    #[test]
    fn what_a_client_says_is_one_line_that_a_terminal_only_shows() {
        let (mut record, mut events) = (Record::new(Instant::now()), EventLog::default());
        record.note(Of::Client, EventKind::Refused, "a\nb\u{1b}[2J\u{9b}\u{202e} `\"'\\");
        let lines = record.take(&mut events);
        assert_eq!(lines, ["control: a\\nb\\u{1b}[2J\\u{9b}\\u{202e} `\"'\\"]);
    }

    #[test]
    fn the_beginning_of_a_long_question_is_told() {
        assert_eq!(question(b" {\"command\":\"list\"}\r"), "{\"command\":\"list\"}");
        assert_eq!(question(&[b'x'; 5_000]), "x".repeat(QUESTION_CHARS_MAX) + " ...");
        assert!(question(&[0xff; 5_000]).ends_with("\u{fffd} ..."));
    }
}
