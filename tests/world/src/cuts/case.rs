//! A case, and the words that name it.

use crate::Way;
use godwit_shim::{Downtime, Live, Otherwise, SealKey, Side};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How the vGPU is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is stopped first.
    Stop,
    /// Rounds before the stop.
    Live,
    /// Rounds, and a bound on how long it stands still.
    Bounded,
    /// Rounds, and what is sent is sealed, and what is kept.
    Sealed,
}

/// Whose process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// The source's.
    Source,
    /// The destination's.
    Destination,
    /// Both.
    Both,
}

/// What happens when the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It comes back.
    Heals,
    /// It does not, or not after one of the next times, and an operator decides.
    Dies,
    /// A process ends then, or soon after, and is started anew; the connection comes back.
    Lost(Lost),
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// How it is moved.
    pub kind: Kind,
    /// In which direction bytes are counted; [`Way::Forth`] is the source's.
    pub way: Way,
    /// So many of them arrive.
    pub at_byte: u64,
    /// All else follows from it.
    pub seed: u64,
    /// What becomes of the link, or of a process.
    pub fate: Fate,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stop, Self::Live, Self::Bounded, Self::Sealed];

    /// Rounds before the stop.
    pub(super) fn live(self) -> Option<Live> {
        let live = |downtime| Some(Live { rounds_max: 2, pages_enough: 4, downtime });
        match self {
            Self::Stop => None,
            Self::Live | Self::Sealed => live(None),
            Self::Bounded => {
                live(Some(Downtime { max_ns: 20_000_000, otherwise: Otherwise::GiveUp }))
            }
        }
    }

    /// What is sent is sealed with this.
    pub(super) fn seal(self) -> Option<Arc<SealKey>> {
        (self == Self::Sealed).then(|| Arc::new(SealKey::new([5; 32])))
    }
}

impl Lost {
    pub(super) fn has(self, side: Side) -> bool {
        match self {
            Self::Source => side == Side::Source,
            Self::Destination => side == Side::Destination,
            Self::Both => true,
        }
    }
}

impl Fate {
    /// Those of a link.
    pub const OF_LINKS: [Self; 2] = [Self::Heals, Self::Dies];
    /// Those of processes.
    pub const OF_PROCESSES: [Self; 3] =
        [Self::Lost(Lost::Source), Self::Lost(Lost::Destination), Self::Lost(Lost::Both)];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Live => "live",
            Self::Bounded => "bounded",
            Self::Sealed => "sealed",
        })
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Heals => "heals",
            Self::Dies => "dies",
            Self::Lost(Lost::Source) => "source-lost",
            Self::Lost(Lost::Destination) => "destination-lost",
            Self::Lost(Lost::Both) => "both-lost",
        })
    }
}

/// The arguments that repeat it.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.way == Way::Forth { "forth" } else { "back" };
        write!(f, "{} {way} {} {} {}", self.kind, self.at_byte, self.seed, self.fate)
    }
}

/// Arguments that name no case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a case is `stop`, `live`, `bounded` or `sealed`, `forth` or `back`, a byte, a seed, and \
     `heals`, `dies`, `source-lost`, `destination-lost` or `both-lost`"
)]
pub struct NoCase;

/// What is called so.
fn named<T: Copy + fmt::Display>(
    word: &str,
    all: impl IntoIterator<Item = T>,
) -> Result<T, NoCase> {
    all.into_iter().find(|one| one.to_string() == word).ok_or(NoCase)
}

impl FromStr for Case {
    type Err = NoCase;

    fn from_str(text: &str) -> Result<Self, NoCase> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [kind, way, at_byte, seed, fate] = words[..] else { return Err(NoCase) };
        let way = match way {
            "forth" => Way::Forth,
            "back" => Way::Back,
            _ => return Err(NoCase),
        };
        Ok(Self {
            kind: named(kind, Kind::ALL)?,
            way,
            at_byte: at_byte.parse().map_err(|_| NoCase)?,
            seed: seed.parse().map_err(|_| NoCase)?,
            fate: named(fate, Fate::OF_LINKS.into_iter().chain(Fate::OF_PROCESSES))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_repeated_as_it_was_printed() {
        let (way, at_byte, seed) = (Way::Back, 12, 7);
        for kind in Kind::ALL {
            for fate in Fate::OF_LINKS.into_iter().chain(Fate::OF_PROCESSES) {
                let case = Case { kind, way, at_byte, seed, fate };
                assert_eq!(case.to_string().parse(), Ok(case));
            }
        }
        assert_eq!("live back 12 7".parse::<Case>(), Err(NoCase));
        assert_eq!("live back 12 7 maybe".parse::<Case>(), Err(NoCase));
    }
}
