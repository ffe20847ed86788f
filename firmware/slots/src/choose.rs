//! Which slot boots.

use crate::{Header, Refusal, State};
use core::cmp::Reverse;
use core::fmt;

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Its number: 0 or 1.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The slot of this number.
    pub const fn numbered(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::A),
            1 => Some(Self::B),
            _ => None,
        }
    }

    /// The one that it is not.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// What boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The slot.
    pub slot: Slot,
    /// What its image says of itself.
    pub header: Header,
    /// Why the other slot does not boot; `None` when it does.
    pub other: Option<Refusal>,
}

/// The slot that the state prefers boots, and the other one when its image is refused. Without
/// a state the image with the highest security version does, then that of the highest version,
/// then slot a: nobody knows the guard any more, and this is the least that it can have been.
///
/// # Errors
///
/// Why neither does.
pub fn choose(
    state: Option<State>,
    a: Result<Header, Refusal>,
    b: Result<Header, Refusal>,
) -> Result<Choice, [Refusal; 2]> {
    match (a, b) {
        (Err(a), Err(b)) => Err([a, b]),
        (Ok(header), Err(other)) => Ok(Choice { slot: Slot::A, header, other: Some(other) }),
        (Err(other), Ok(header)) => Ok(Choice { slot: Slot::B, header, other: Some(other) }),
        (Ok(a), Ok(b)) => {
            let rank = |header: &Header| Reverse((header.security_version, header.version));
            let first = if rank(&a) <= rank(&b) { Slot::A } else { Slot::B };
            let slot = state.map_or(first, |state| state.slot);
            let header = match slot {
                Slot::A => a,
                Slot::B => b,
            };
            Ok(Choice { slot, header, other: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoardName, Version};

    fn header(security_version: u32, patch: u16) -> Header {
        let version = Version::new([1, 0, patch]);
        let board = BoardName::new("b").unwrap();
        Header { board, version, security_version, load: 0, entry: 0, length: 1, sha256: [0; 32] }
    }

    fn slot(state: Option<Slot>, a: (u32, u16), b: (u32, u16)) -> Slot {
        let state = state.map(|slot| State { slot, ..State::FIRST });
        choose(state, Ok(header(a.0, a.1)), Ok(header(b.0, b.1))).unwrap().slot
    }

    #[test]
    fn the_state_says_which_of_two_right_images_boots() {
        assert_eq!(slot(Some(Slot::A), (1, 1), (2, 2)), Slot::A);
        assert_eq!(slot(Some(Slot::B), (2, 2), (1, 1)), Slot::B);
    }

    #[test]
    fn without_a_state_security_goes_first() {
        assert_eq!(slot(None, (1, 9), (2, 1)), Slot::B);
        assert_eq!(slot(None, (2, 1), (2, 2)), Slot::B);
        assert_eq!(slot(None, (2, 2), (2, 2)), Slot::A);
    }

    #[test]
    fn what_is_refused_never_boots() {
        let good = Ok(header(1, 1));
        for preferred in [Slot::A, Slot::B] {
            let state = Some(State { slot: preferred, ..State::FIRST });
            let choice = choose(state, Err(Refusal::Hash), good).unwrap();
            assert_eq!((choice.slot, choice.other), (Slot::B, Some(Refusal::Hash)));
            let choice = choose(state, good, Err(Refusal::Empty)).unwrap();
            assert_eq!((choice.slot, choice.other), (Slot::A, Some(Refusal::Empty)));
            let neither = choose(state, Err(Refusal::Hash), Err(Refusal::Empty));
            assert_eq!(neither, Err([Refusal::Hash, Refusal::Empty]));
        }
    }
}
