//! A client of the control socket: it asks, and believes no answer that it has not looked at.

use super::connect::{ConnectOptions, Wire};
use super::error::ControlError;
use godwit_control::{Ask, Told};
use godwit_shim::TransportError;
use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::time::{Duration, Instant};

/// Bytes of a line of a server.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;
/// Characters that are shown of why a line says nothing.
const REASON_CHARS_MAX: usize = 300;

/// A line of a server. Nothing in it can move a terminal's cursor.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// As it came.
    pub(crate) line: String,
    /// What it says.
    pub(crate) told: Told,
}

/// See the module.
pub(crate) struct ControlClient {
    wire: BufReader<Box<dyn Wire>>,
    patience: Duration,
}

impl ControlClient {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub(crate) fn connect(options: &ConnectOptions) -> Result<Self, ControlError> {
        let wire = BufReader::new(options.connect()?);
        Ok(Self { wire, patience: options.patience() })
    }

    /// Asks, and hands out all lines of the answer but the last, which it returns.
    ///
    /// # Errors
    ///
    /// When there is no whole answer. What was asked may have been done all the same.
    pub(crate) fn ask(
        &mut self,
        ask: &Ask,
        mut on: impl FnMut(&Heard),
    ) -> Result<Heard, ControlError> {
        self.say(ask)?;
        loop {
            let heard = self.hear(Some(self.patience))?;
            if heard.told.is_last() {
                return Ok(heard);
            }
            on(&heard);
        }
    }

    /// Says a line.
    ///
    /// # Errors
    ///
    /// When it cannot be said.
    pub(crate) fn say(&mut self, ask: &Ask) -> Result<(), ControlError> {
        // Text and numbers always become JSON.
        let mut line = serde_json::to_vec(ask).unwrap_or_default();
        line.push(b'\n');
        match self.wire.get_mut().write_all(&line) {
            // It may have said why before it went.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(ControlError::Silent(self.patience))
            }
            said => said.map_err(lost),
        }
    }

    /// The next line, which may take so long from now on, or, without `patience`, from its first
    /// byte on.
    ///
    /// # Errors
    ///
    /// When there is none, or it says nothing that is known.
    pub(crate) fn hear(&mut self, patience: Option<Duration>) -> Result<Heard, ControlError> {
        let mut line = Vec::new();
        let mut end = patience.map(|patience| Instant::now() + patience);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ControlError::Silent(patience.unwrap_or(self.patience)));
            }
            self.wire.get_ref().set_patience(left).map_err(ControlError::Lost)?;
            let part = match self.wire.fill_buf() {
                Ok([]) if is_alert(&line) => return Err(ControlError::SpeaksTls),
                Ok([]) => return Err(ControlError::Closed),
                Ok(part) => part,
                Err(error) if is_wait(&error) => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(ControlError::Closed);
                }
                Err(error) => return Err(lost(error)),
            };
            let found = part.iter().position(|byte| *byte == b'\n');
            let count = found.map_or(part.len(), |at| at + 1);
            line.extend_from_slice(&part[..count]);
            self.wire.consume(count);
            if line.len() > LINE_BYTES_MAX {
                return Err(ControlError::TooLong);
            }
            if found.is_some() {
                return understood(&line);
            }
            end = end.or_else(|| Some(Instant::now() + self.patience));
        }
    }
}

/// Whether it is how TLS refuses what is no TLS: a record of an alert, of whichever version.
fn is_alert(said: &[u8]) -> bool {
    said.starts_with(&[21, 3])
}

/// What it means that a connection is lost.
fn lost(error: io::Error) -> ControlError {
    match error.downcast::<TransportError>() {
        Ok(error @ TransportError::Tls(_)) => ControlError::Tls(error),
        Ok(error) => ControlError::Lost(io::Error::other(error)),
        Err(error) => ControlError::Lost(error),
    }
}

/// Whether nothing is wrong, and nothing was there.
fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Reads a line of a server.
fn understood(line: &[u8]) -> Result<Heard, ControlError> {
    // The number of the alert for what was not expected is that of a line's end.
    if is_alert(line) {
        return Err(ControlError::SpeaksTls);
    }
    let garbage = |why: String| {
        ControlError::Garbage(printable(&why).chars().take(REASON_CHARS_MAX).collect())
    };
    let line = str::from_utf8(line).map_err(|error| garbage(error.to_string()))?.trim();
    let mut value: Value =
        serde_json::from_str(line).map_err(|error| garbage(error.to_string()))?;
    make_printable(&mut value);
    let told = serde_json::from_value(value).map_err(|error| garbage(error.to_string()))?;
    Ok(Heard { line: printable_json(line), told })
}

/// Makes every text in it one that a terminal only shows.
fn make_printable(value: &mut Value) {
    match value {
        Value::String(text) => *text = printable(text),
        Value::Array(all) => all.iter_mut().for_each(make_printable),
        Value::Object(fields) => fields.values_mut().for_each(make_printable),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text that a terminal only shows: what it would obey, or what hides, is written out.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// The same JSON, in which no text has a character that a terminal would obey.
fn printable_json(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            // A tab between two values; in a text it is written out already.
            '\t' | '\r' => shown.push(' '),
            c if c.escape_debug().len() == 1 => shown.push(c),
            // Only a text can have it.
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    shown += &format!("\\u{unit:04x}");
                }
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_control::Code;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("a\u{1b}[2J\n\u{9b}\u{202e}é"), "a\\u{1b}[2J\\n\\u{9b}\\u{202e}é");
        assert_eq!(printable("it's \"so\" \\"), "it's \"so\" \\");
    }

    #[test]
    fn a_line_is_printed_as_the_same_json() {
        let line = "{\"a\":\t\"x\u{9b}\u{202e}\u{e0001}\\u001b é\"}";
        let shown = printable_json(line);
        assert_eq!(shown, "{\"a\": \"x\\u009b\\u202e\\udb40\\udc01\\u001b é\"}");
        let same = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(same(line), same(&shown));
    }

    #[test]
    fn texts_of_an_answer_are_printable_wherever_they_are() {
        let line = br#"{"error":{"code":"failed","message":"\u001b]0;x\u0007","help":"\u009b"}}"#;
        let heard = understood(line).unwrap();
        let Told::Error(refusal) = heard.told else { panic!("{heard:?}") };
        assert_eq!((refusal.code, refusal.help.as_deref()), (Code::Failed, Some("\\u{9b}")));
        assert_eq!(refusal.message, "\\u{1b}]0;x\\u{7}");
        assert_eq!(heard.line.as_bytes(), line);
    }

    #[test]
    fn what_is_no_answer_is_no_answer() {
        let wrong: [&[u8]; 6] =
            [b"", b"\xff\xfe", b"SSH-2.0-x\r\n", b"{}", b"{\"vgpus\":7}", b"{\"\\u001b\":[]}"];
        for line in wrong {
            let Err(ControlError::Garbage(why)) = understood(line) else { panic!("{line:?}") };
            assert!(!why.chars().any(char::is_control), "{why}");
        }
    }
}
