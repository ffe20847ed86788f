//! A line of the log.

use std::fmt;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What a step leads to.
    Debug,
    /// What an operator may want to know.
    Info,
    /// Something did not go as it should, and was seen to.
    Warn,
    /// Something is out of service.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        })
    }
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The firmware.
    Said,
    /// The reader: it came too late for so many bytes, which the firmware has gone over.
    Overrun {
        /// How many.
        byte_count: u64,
    },
    /// The reader: a frame makes no sense with this image.
    Undecodable,
    /// Who listens: nothing more can be read, since nobody knows the texts of what runs now.
    Unreadable,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The device's time; of a line of the reader that of the last one of the firmware.
    pub timestamp_ns: u64,
    /// How much it matters.
    pub level: Level,
    /// Where in the firmware it is said.
    pub module: String,
    /// What is said.
    pub text: String,
    /// Who says it.
    pub kind: Kind,
}

/// Time in seconds, level, module, text.
impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND_NS: u64 = 1_000_000_000;
        let (seconds, ns) = (self.timestamp_ns / SECOND_NS, self.timestamp_ns % SECOND_NS);
        let Self { level, module, text, .. } = self;
        write!(f, "{seconds:>3}.{ns:09} {level:5} {module}: {text}")
    }
}
