//! Listens to what a microcontroller's firmware logs, whichever image it is.

use crate::symbols::Texts;
use godwit_log::{Kind, Level, LogLine, LogMemory, LogReader};
use std::sync::Arc;

/// Lines of the log that are told with a loss.
const LAST_LINES: usize = 8;

/// See the module. The ring outlives every firmware, so what each has said lies behind what those
/// before it have: it is read by its own texts, and by no others.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Whether somebody wants the lines as they come.
    is_live: bool,
    /// Those of the firmware that runs; `None`: they are not known.
    texts: Option<Arc<Texts>>,
    /// How much the ring had when the first firmware with these texts was started.
    from: u32,
    /// Reads on, where somebody wants it.
    reader: Option<LogReader>,
    /// Lines that nobody has taken yet.
    lines: Vec<LogLine>,
    /// Bytes that were gone over before they were read.
    lost_bytes: u64,
}

impl Listener {
    /// Listens to firmware with these texts, if they are known, from the first frame on.
    pub(crate) fn new(is_live: bool, texts: Option<Arc<Texts>>) -> Self {
        let (reader, lines) = (None, Vec::new());
        let mut listener = Self { is_live, texts, from: 0, reader, lines, lost_bytes: 0 };
        listener.reader = listener.live_reader();
        listener
    }

    /// Reads what was logged since the last time.
    pub(crate) fn listen(&mut self, memory: &impl LogMemory) {
        if let Some(reader) = &mut self.reader {
            let lines = reader.poll(memory);
            self.hear(lines);
        }
    }

    fn hear(&mut self, lines: Vec<LogLine>) {
        for line in &lines {
            if let Kind::Overrun { byte_count } = line.kind {
                self.lost_bytes += byte_count;
            }
        }
        self.lines.extend(lines);
    }

    /// The firmware has these texts from this count of the ring on. What was said before was
    /// listened to.
    pub(crate) fn change(&mut self, texts: Option<Arc<Texts>>, from: u32) {
        let is_same = match (&self.texts, &texts) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if is_same {
            return;
        }
        (self.texts, self.from) = (texts, from);
        let reader = self.live_reader();
        if let (Some(before), None) = (&self.reader, &reader) {
            self.lines.push(silent(before.last_ns()));
        }
        self.reader = reader;
    }

    fn live_reader(&self) -> Option<LogReader> {
        let texts = self.texts.as_ref().filter(|_| self.is_live)?;
        Some(texts.reader()?.since(self.from))
    }

    /// The last lines of the firmware that are in the ring, whoever has read them.
    pub(crate) fn last_lines(&self, memory: &impl LogMemory) -> Vec<LogLine> {
        let Some(reader) = self.texts.as_ref().and_then(|texts| texts.reader()) else {
            return Vec::new();
        };
        let mut lines = reader.since(self.from).poll(memory);
        lines.split_off(lines.len().saturating_sub(LAST_LINES))
    }

    /// Bytes that were gone over before they were read.
    pub(crate) fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    /// The lines that were logged since the last time.
    pub(crate) fn take(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines)
    }
}

/// That nothing more comes.
fn silent(timestamp_ns: u64) -> LogLine {
    LogLine {
        timestamp_ns,
        level: Level::Warn,
        module: "log".to_owned(),
        text: "there are no symbols of the image that runs now: its log is not read".to_owned(),
        kind: Kind::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_gone_over_is_counted_for_good() {
        let mut listener = Listener::new(true, None);
        let line = |kind| LogLine { kind, ..silent(0) };
        let overrun = |byte_count| line(Kind::Overrun { byte_count });
        listener.hear(vec![overrun(5), line(Kind::Said), line(Kind::Undecodable)]);
        assert_eq!((listener.lost_bytes(), listener.take().len()), (5, 3));
        listener.hear(vec![overrun(7)]);
        listener.change(None, 9);
        assert_eq!((listener.lost_bytes(), listener.take().len()), (12, 1));
    }
}
