//! How a firmware was lost.

use crate::mcu::Mishap;
use godwit_log::LogLine;
use godwit_regs::crash::{Cause, Record, Shared};
use godwit_slots::Refusal;
use godwit_sys::QemuError;
use godwit_types::Gfid;
use std::fmt;

/// A firmware that has ended or does not come to rest, and what it was last seen doing.
#[derive(Debug)]
pub struct Loss {
    /// Why.
    pub cause: LossCause,
    /// Turns of the loop, times that it found nothing to do, call, answer.
    pub(crate) signs: [u32; 4],
    /// What else is known of its silence: what QEMU has said.
    pub(crate) said: String,
    /// The last lines of its log.
    pub last: Vec<LogLine>,
}

/// Why a firmware is lost.
#[derive(Debug)]
pub enum LossCause {
    /// It has ended by itself, and left this.
    Crash(Box<Record>),
    /// It says nothing.
    Silent,
    /// It answers, and there is work for it all the same, however often it is called.
    Restless,
    /// It was made to end, and could leave no record: its power was cut, or it runs in this
    /// process.
    Arranged(Mishap),
    /// Its microcontroller has ended, or cannot be reached.
    Qemu(QemuError),
    /// It speaks another version of the mailbox's protocol than the host, and does not see it.
    Version {
        /// The firmware's.
        firmware: u32,
        /// The host's.
        host: u32,
    },
    /// The line to somebody else's microcontroller is broken.
    Line(std::io::Error),
    /// It is at work, and has not started since the device came up.
    Stale,
    /// It has started without these vGPUs, which the one before it had: they are lost, and it runs.
    Vgpus(Vec<Gfid>),
}

impl Loss {
    /// Of firmware in this process, which leaves no signs.
    pub(crate) fn native(cause: LossCause) -> Self {
        Self { cause, signs: [0; 4], said: String::new(), last: Vec::new() }
    }
}

impl Loss {
    /// Whether the firmware has left the engines as they were, whatever it was to do with them.
    pub(crate) fn left_engines(&self) -> bool {
        !matches!(self.cause, LossCause::Crash(_))
    }
}

impl From<QemuError> for LossCause {
    fn from(error: QemuError) -> Self {
        Self::Qemu(error)
    }
}

impl LossCause {
    /// What it is called in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash(record) => match record.cause {
                Cause::Exception { .. } => "trap",
                Cause::Panic { .. } => "panic",
                Cause::NoDevice => "no device",
                Cause::NoImage { .. } => "no image",
                Cause::StackOverflow { .. } => "stack overflow",
                Cause::Stalled { .. } => "stalled",
                Cause::Version { .. } => "version",
            },
            Self::Silent => "silent",
            Self::Restless => "restless",
            Self::Arranged(mishap) => mishap.name(),
            Self::Qemu(_) | Self::Line(_) => "gone",
            Self::Stale => "stale",
            Self::Version { .. } => "version",
            Self::Vgpus(_) => "vGPUs lost",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [turns, idle, call, rest] = self.signs;
        match &self.cause {
            LossCause::Crash(record) => f.write_str(&told(record))?,
            LossCause::Qemu(error) => {
                write!(f, "the firmware's microcontroller is gone: {error}")?;
            }
            LossCause::Line(error) => {
                write!(f, "the line to the firmware's microcontroller is broken: {error}")?;
            }
            LossCause::Stale => write!(
                f,
                "the firmware was at work before the device came up: start its microcontroller anew"
            )?,
            LossCause::Arranged(mishap) => {
                write!(f, "the firmware was made to end: {}", mishap.name())?;
            }
            LossCause::Version { firmware, host } => {
                f.write_str(&version_sentence(*firmware, *host))?;
            }
            LossCause::Vgpus(gfids) => {
                write!(f, "the firmware has started without {}", named(gfids))?;
            }
            LossCause::Silent if turns == 0 => write!(f, "the firmware does not start")?,
            LossCause::Silent | LossCause::Restless => {
                write!(f, "the firmware does not come to rest")?;
            }
        }
        write!(
            f,
            "; seen last: {turns} turns of its loop, idle {idle} times, call {call}, answered \
             {rest}"
        )?;
        if let (LossCause::Silent, false) = (&self.cause, self.said.is_empty()) {
            write!(f, "; {}", self.said)?;
        }
        self.last.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// vGPUs by their ids on the card.
pub(crate) fn named(gfids: &[Gfid]) -> String {
    let ids: Vec<String> = gfids.iter().map(|gfid| gfid.raw().to_string()).collect();
    format!("{} {}", if ids.len() == 1 { "vGPU" } else { "vGPUs" }, ids.join(", "))
}

/// A record as people read it: the cause, and the registers by their names.
pub(crate) fn told(record: &Record) -> String {
    let cause = match record.cause {
        Cause::Exception { number, at, value } => {
            format!("exception {number} at {at:#x}, value {value:#x}")
        }
        Cause::Panic { line } => format!("a panic in line {line}"),
        Cause::NoDevice => "the device did not come up".to_owned(),
        Cause::StackOverflow { at, value } => {
            format!("the stack has overflown at {at:#x}, reaching for {value:#x}")
        }
        Cause::Stalled { at } => format!("the watchdog has ended it at {at:#x}"),
        Cause::Version { of, found, known } => return mismatch(of, found, known),
        Cause::NoImage { a, b } => {
            return format!("neither slot boots: slot a: {}; slot b: {}", why(a), why(b));
        }
    };
    let names = record.core.register_names();
    let cause = format!("the firmware has ended: {cause}");
    let registers = names.iter().zip(record.registers);
    registers.fold(cause, |text, (name, value)| format!("{text}, {name} {value:#x}"))
}

/// That the firmware has met another version than it knows.
fn mismatch(of: Shared, found: u32, known: u32) -> String {
    match of {
        Shared::Map => {
            format!("the device's registers have version {found}, and this firmware knows {known}")
        }
        Shared::Mailbox => version_sentence(known, found),
        Shared::Retained => {
            format!("the retained record has version {found}, and this firmware reads {known}")
        }
    }
}

/// The versions of the mailbox's protocol that firmware and host speak, where that was the end.
pub(crate) fn other_protocol(cause: &LossCause) -> Option<(u32, u32)> {
    match cause {
        LossCause::Version { firmware, host } => Some((*firmware, *host)),
        LossCause::Crash(record) => match record.cause {
            Cause::Version { of: Shared::Mailbox, found, known } => Some((known, found)),
            _ => None,
        },
        _ => None,
    }
}

/// That firmware and host speak different versions of the mailbox's protocol.
pub(crate) fn version_sentence(firmware: u32, host: u32) -> String {
    let older = if firmware < host { "firmware" } else { "host" };
    format!(
        "the firmware speaks version {firmware} of the mailbox's protocol and this host version \
         {host}: the {older} is too old"
    )
}

/// Why a slot does not boot, by the boot stage's number.
fn why(code: u32) -> String {
    match Refusal::from_code(code) {
        Some(refusal) => refusal.to_string(),
        None => format!("reason {code}, which this host does not know"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_side_is_named() {
        let sentence = version_sentence;
        assert!(sentence(1, 2).ends_with("the firmware is too old"), "{}", sentence(1, 2));
        assert!(sentence(2, 1).ends_with("the host is too old"), "{}", sentence(2, 1));
    }
}
