//! How a check ends.

use super::{Access, SwitchRead};
use core::fmt;
use godwit_types::{
    ChannelConfig, ChannelFault, ChannelId, CopyStatus, Gfid, RunlistEvent, RunlistState,
};

/// Something that can be expected and found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// No answer, no message, nothing.
    Nothing,
    /// Whether it is so.
    Is(bool),
    /// A count, a length, a time, a number.
    Number(u64),
    /// A runlist's answer.
    Runlist(RunlistEvent),
    /// What an engine holds.
    Engine(RunlistState),
    /// A channel.
    Channel(ChannelId),
    /// What a slot is bound to.
    Config(ChannelConfig),
    /// Why a channel stands still.
    Fault(ChannelFault),
    /// A vGPU.
    Vgpu(Gfid),
    /// The tag of a copy and how it ended.
    Copy(u16, CopyStatus),
    /// What an access met.
    Access(Access),
    /// What the host found in the ring of switches.
    Switch(SwitchRead),
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Is(is) => f.write_str(if *is { "yes" } else { "no" }),
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Runlist(event) => event.fmt(f),
            Self::Engine(state) => state.fmt(f),
            Self::Channel(channel) => channel.fmt(f),
            Self::Config(config) => config.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
            Self::Vgpu(gfid) => gfid.fmt(f),
            Self::Copy(tag, status) => write!(f, "{status:?} of copy {tag}"),
            Self::Access(access) => access.fmt(f),
            Self::Switch(read) => read.fmt(f),
        }
    }
}

macro_rules! facts {
    ($($from:ty => $fact:ident,)*) => {
        $(impl From<$from> for Fact {
            fn from(value: $from) -> Self {
                Self::$fact(value)
            }
        })*
    };
}

facts! {
    bool => Is,
    u64 => Number,
    RunlistEvent => Runlist,
    RunlistState => Engine,
    ChannelId => Channel,
    ChannelConfig => Config,
    ChannelFault => Fault,
    Gfid => Vgpu,
    Access => Access,
    SwitchRead => Switch,
}

impl From<u32> for Fact {
    fn from(value: u32) -> Self {
        Self::Number(u64::from(value))
    }
}

impl From<usize> for Fact {
    fn from(value: usize) -> Self {
        Self::Number(value as u64)
    }
}

impl<T: Into<Self>> From<Option<T>> for Fact {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

/// A rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What was looked at.
    pub what: &'static str,
    /// What the contract says.
    pub expected: Fact,
    /// What was there.
    pub found: Fact,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, found } = self;
        write!(f, "{what}: expected {expected:?}, found {found:?}")
    }
}

/// Why a check did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Whether what was found is what was expected.
pub(super) fn same<T: Into<Fact>>(what: &'static str, found: T, expected: T) -> Verdict {
    let (found, expected) = (found.into(), expected.into());
    if found == expected { Ok(()) } else { Err(differ(what, found, expected)) }
}

/// That what was found is not what was expected.
pub(super) fn differ(what: &'static str, found: Fact, expected: Fact) -> Unmet {
    Unmet::Broken(Broken { what, expected, found })
}

/// Whether something is so.
pub(super) fn holds(what: &'static str, found: bool) -> Verdict {
    same(what, found, true)
}

/// Whether nothing is there.
pub(super) fn nothing<T: Into<Fact>>(what: &'static str, found: Option<T>) -> Verdict {
    same::<Fact>(what, found.into(), Fact::Nothing)
}

/// Goes on only with a bench that can.
pub(super) fn needs(can: bool, why: &'static str) -> Verdict {
    if can { Ok(()) } else { Err(Unmet::Skipped(why)) }
}
