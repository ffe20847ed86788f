//! How much is noted of one vGPU: a guest or a client that does wrong all the time is told of, and
//! fills no disk.

use std::time::{Duration, Instant};

/// Lines that may come at once, and how long it takes until another may.
const BURST: u32 = 500;
const PACE: Duration = Duration::from_millis(50);

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
    pub(crate) fn pass(&mut self, name: &str, notes: Vec<String>, now: Instant) -> Vec<String> {
        let earned = now.saturating_duration_since(self.since).as_nanos() / PACE.as_nanos();
        if earned > 0 {
            self.left = BURST.min(self.left + u32::try_from(earned).unwrap_or(BURST).min(BURST));
            self.since = now;
        }
        let mut told = Vec::new();
        if self.dropped > 0 && self.left > 1 {
            told.push(format!("{name}: {} more lines were left out", self.dropped));
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
        let many = |count: u32| vec!["v0: no".to_owned(); count as usize];
        assert_eq!(limit.pass("v0", many(BURST - 1), began).len(), BURST as usize - 1);
        assert_eq!(limit.pass("v0", many(10), began).len(), 1);
        assert!(limit.pass("v0", many(3), began + PACE / 2).is_empty());
        let told = limit.pass("v0", many(1), began + 3 * PACE);
        assert_eq!(told, ["v0: 12 more lines were left out", "v0: no"]);
        // It is never more than at first, however long nothing is said.
        let later = began + PACE * 10 * BURST;
        assert_eq!(limit.pass("v0", many(2 * BURST), later).len(), BURST as usize);
        assert_eq!(limit.pass("v0", Vec::new(), later + 2 * PACE).len(), 1);
    }
}
