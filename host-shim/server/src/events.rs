//! What has happened of late, for those who ask and those who follow.

use godwit_control::{Event, EventKind};
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

/// Events that are kept.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Bytes of the words of one: a firmware's or a client's words may be in it.
const TEXT_BYTES_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    kept: VecDeque<Event>,
    /// The number of the last.
    last: u64,
    /// Who has asked for what happens now.
    by: Option<String>,
}

/// Where something has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Where<'a> {
    pub(crate) vgpu: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
}

impl<'a> Where<'a> {
    pub(crate) const NOWHERE: Self = Self { vgpu: None, host: None };

    pub(crate) fn of(host: &'a str, vgpu: &'a str) -> Self {
        Self { vgpu: Some(vgpu), host: Some(host) }
    }

    pub(crate) fn host(host: &'a str) -> Self {
        Self { vgpu: None, host: Some(host) }
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl EventLog {
    /// Says with what happens from now on who has asked for it; `None`: nobody.
    pub(crate) fn set_by(&mut self, by: Option<&str>) {
        self.by = by.map(str::to_owned);
    }

    /// Notes what has happened.
    pub(crate) fn note(&mut self, kind: EventKind, at: Where<'_>, text: &str) {
        self.last += 1;
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        self.kept.push_back(Event {
            number: self.last,
            at_ms: now_ms(),
            kind,
            vgpu: at.vgpu.map(str::to_owned),
            host: at.host.map(str::to_owned),
            text: match &self.by {
                Some(by) => format!("{}; by {by}", &text[..end]),
                None => text[..end].to_owned(),
            },
        });
        if self.kept.len() > EVENTS_MAX {
            self.kept.pop_front();
        }
    }

    /// The number of the last.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Those after a number that are kept, and an event in the place of those that are not any
    /// more, with the number of the last of them.
    pub(crate) fn after(&self, number: u64) -> (Option<Event>, impl Iterator<Item = &Event>) {
        let first = self.last + 1 - self.kept.len() as u64;
        let missed = first.saturating_sub(number.saturating_add(1));
        let missed = (missed > 0).then(|| Event {
            number: first - 1,
            at_ms: now_ms(),
            kind: EventKind::Missed,
            vgpu: None,
            host: None,
            text: format!("{missed} events were not kept"),
        });
        let skip = (number.saturating_add(1)).saturating_sub(first);
        (missed, self.kept.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_asked_for_is_told_with_who_it_was() {
        let mut log = EventLog::default();
        for by in [Some("uid 0 (pid 1)"), None] {
            log.set_by(by);
            log.note(EventKind::Created, Where::NOWHERE, "created");
        }
        let texts: Vec<&str> = log.after(0).1.map(|event| event.text.as_str()).collect();
        assert_eq!(texts, ["created; by uid 0 (pid 1)", "created"]);
    }

    #[test]
    fn the_last_are_kept_and_those_that_are_not_are_counted() {
        let mut log = EventLog::default();
        assert_eq!(log.after(0).1.count(), 0);
        for _ in 0..EVENTS_MAX + 10 {
            log.note(EventKind::Note, Where::of("h", "v"), &"\u{e4}".repeat(TEXT_BYTES_MAX));
        }
        let numbers = |after| {
            let (missed, events) = log.after(after);
            let missed = missed.map(|it| {
                assert_eq!(it.kind, EventKind::Missed);
                (it.number, it.text)
            });
            (missed, events.map(|event| event.number).collect::<Vec<_>>())
        };
        let last = EVENTS_MAX as u64 + 10;
        assert_eq!(log.last(), last);
        assert_eq!(numbers(last), (None, vec![]));
        assert_eq!(numbers(last + 5), (None, vec![]));
        assert_eq!(numbers(u64::MAX), (None, vec![]));
        assert_eq!(numbers(last - 2), (None, vec![last - 1, last]));
        let missed = |count: u64| Some((10, format!("{count} events were not kept")));
        assert_eq!((numbers(0).0, numbers(0).1.len()), (missed(10), EVENTS_MAX));
        assert_eq!(numbers(4).0, missed(6));
        assert_eq!(log.after(0).1.next().unwrap().text.len(), TEXT_BYTES_MAX);
    }
}
