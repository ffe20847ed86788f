//! How much is noted of one vGPU: a guest or a client that does wrong all the time is told of, and
//! fills no disk.

use godwit_control::EventKind;
use std::time::{Duration, Instant};

/// Lines that may come at once, and how long it takes until another may.
const BURST: u32 = 500;
const PACE: Duration = Duration::from_millis(50);

/// Something that somebody may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) kind: EventKind,
    pub(crate) text: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct NoteLimit {
    /// Lines that may come now.
    left: u32,
    since: Instant,
    /// Lines that were left out and not told of.
    dropped: u64,
}

impl NoteLimit {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now, dropped: 0 }
    }

    /// The lines that are told, and that there were more.
    pub(crate) fn pass(&mut self, notes: Vec<Note>, now: Instant) -> Vec<Note> {
        let earned = now.saturating_duration_since(self.since).as_nanos() / PACE.as_nanos();
        if earned > 0 {
            self.left = BURST.min(self.left + u32::try_from(earned).unwrap_or(BURST).min(BURST));
            self.since = now;
        }
        let mut told = Vec::new();
        if self.dropped > 0 && self.left > 1 {
            let text = format!("{} more lines were left out", self.dropped);
            told.push(Note { kind: EventKind::Note, text });
            (self.left, self.dropped) = (self.left - 1, 0);
        }
        for note in notes {
            if self.left == 0 {
                self.dropped += 1;
            } else {
                self.left -= 1;
                told.push(note);
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_told_when_there_is_room_again() {
        let began = Instant::now();
        let mut limit = NoteLimit::new(began);
        let note = |text: &str| Note { kind: EventKind::Note, text: text.into() };
        let many = |count: u32| vec![note("no"); count as usize];
        assert_eq!(limit.pass(many(BURST - 1), began).len(), BURST as usize - 1);
        assert_eq!(limit.pass(many(10), began).len(), 1);
        assert!(limit.pass(many(3), began + PACE / 2).is_empty());
        let told = limit.pass(many(1), began + 3 * PACE);
        assert_eq!(told, [note("12 more lines were left out"), note("no")]);
        // It is never more than at first, however long nothing is said.
        let later = began + PACE * 10 * BURST;
        assert_eq!(limit.pass(many(2 * BURST), later).len(), BURST as usize);
        assert_eq!(limit.pass(Vec::new(), later + 2 * PACE).len(), 1);
    }
}
