//! How a check ends.

use super::device::errno;
use std::fmt;
use std::format;
use std::string::String;

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What was looked at.
    pub what: String,
    /// What the rule says.
    pub expected: String,
    /// What was there.
    pub found: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, found } = self;
        write!(f, "{what}: expected {expected}, found {found}")
    }
}

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The rule does not hold.
    Broken(Broken),
    /// The bench cannot do what the check needs.
    Skipped(&'static str),
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// How a check ends.
pub type Verdict<T = ()> = Result<T, Unmet>;

/// That what was found is not what was expected.
pub(super) fn differ(
    what: impl Into<String>,
    found: impl Into<String>,
    expected: impl Into<String>,
) -> Unmet {
    let (what, found, expected) = (what.into(), found.into(), expected.into());
    Unmet::Broken(Broken { what, expected, found })
}

/// Whether what was found is what was expected.
pub(super) fn same<T: PartialEq + fmt::Debug>(
    what: impl Into<String>,
    found: T,
    expected: T,
) -> Verdict {
    if found == expected {
        return Ok(());
    }
    Err(differ(what, format!("{found:?}"), format!("{expected:?}")))
}

/// Whether something is so.
pub(super) fn holds(what: impl Into<String>, found: bool) -> Verdict {
    let word = |is| if is { "yes" } else { "no" };
    if found { Ok(()) } else { Err(differ(what, word(false), word(true))) }
}

/// What a call has given, which must not be an error.
pub(super) fn done<T>(what: impl Into<String>, found: Result<T, i32>) -> Verdict<T> {
    found.map_err(|error| differ(what, named(error), "success"))
}

/// Whether a call was refused, with this error.
pub(super) fn refused<T: fmt::Debug>(
    what: impl Into<String>,
    found: Result<T, i32>,
    error: i32,
) -> Verdict {
    match found {
        Err(found) if found == error => Ok(()),
        Err(found) => Err(differ(what, named(found), named(error))),
        Ok(found) => Err(differ(what, format!("{found:?}"), named(error))),
    }
}

/// Whether a call has failed, with an error of whatever kind.
pub(super) fn fails<T: fmt::Debug>(what: impl Into<String>, found: Result<T, i32>) -> Verdict {
    match found {
        Err(error) if error > 0 => Ok(()),
        found => Err(differ(what, format!("{found:?}"), "an error")),
    }
}

fn named(error: i32) -> String {
    match error {
        errno::EINVAL => "EINVAL".into(),
        errno::ENOMSG => "ENOMSG".into(),
        other => format!("error {other}"),
    }
}

/// Goes on only with a bench that can.
pub(super) fn needs(can: bool, why: &'static str) -> Verdict {
    if can { Ok(()) } else { Err(Unmet::Skipped(why)) }
}
