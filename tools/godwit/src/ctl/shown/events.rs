//! What has happened.

use godwit_control::{Event, EventKind};
use std::time::{Duration, SystemTime};

/// Milliseconds from 1970 to the end of the year 9999.
const AT_MS_MAX: u64 = 253_402_300_799_999;

/// An event, in a line.
pub(super) fn line(event: &Event) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(event.at_ms.min(AT_MS_MAX));
    let (at, kind) = (humantime::format_rfc3339_millis(at), kind(event.kind));
    format!("{:>6}  {at}  {kind:<13}  {}\n", event.number, sentence(event))
}

/// Where something has happened, and what.
pub(crate) fn sentence(event: &Event) -> String {
    match (&event.vgpu, &event.host) {
        (Some(vgpu), Some(host)) => format!("`{vgpu}` on `{host}`: {}", event.text),
        (Some(name), None) | (None, Some(name)) => format!("`{name}`: {}", event.text),
        (None, None) => event.text.clone(),
    }
}

/// A kind as the protocol calls it.
fn kind(kind: EventKind) -> String {
    // It always becomes a text.
    serde_json::to_value(kind)
        .ok()
        .and_then(|it| it.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The time of the day of so many milliseconds since 1970, in UTC.
pub(crate) fn time_of_day(at_ms: u64) -> String {
    let seconds = at_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_can_be_shown() {
        let event = |at_ms| Event {
            number: 7,
            at_ms,
            kind: EventKind::Note,
            vgpu: None,
            host: None,
            text: "x".to_owned(),
        };
        let shown = line(&event(1_000_000_000_123));
        assert_eq!(shown, "     7  2001-09-09T01:46:40.123Z  note           x\n");
        let shown = line(&event(u64::MAX));
        assert_eq!(shown, "     7  9999-12-31T23:59:59.999Z  note           x\n");
        assert_eq!(time_of_day(1_000_000_000_123), "01:46:40");
        assert_eq!(time_of_day(u64::MAX).len(), 8);
    }

    #[test]
    fn a_sentence_says_where() {
        let mut event = Event {
            number: 1,
            at_ms: 0,
            kind: EventKind::FirmwareLost,
            vgpu: Some("v".to_owned()),
            host: Some("h".to_owned()),
            text: "x".to_owned(),
        };
        assert_eq!(sentence(&event), "`v` on `h`: x");
        event.vgpu = None;
        assert_eq!(sentence(&event), "`h`: x");
        assert_eq!(kind(event.kind), "firmware-lost");
    }
}
