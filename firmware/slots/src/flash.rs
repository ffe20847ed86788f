//! The flash, as whoever can read all of it sees it.

use crate::{
    Choice, HEADER_BYTES, Header, Image, PublicKey, ROOT_RECORD_BYTES, Refusal, Root,
    STATE_RECORD_BYTES, Slot, State, Terms, check, choose,
};
use godwit_regs::flash::{
    self, KEY_AT, Place, SLOT_A_AT, SLOT_B_AT, SLOT_BYTES, STATE_A_AT, STATE_B_AT,
};

/// The bytes of a flash, from its first one. Where they end too soon, nothing is there.
#[derive(Clone, Copy, Debug)]
pub struct Flash<'a> {
    bytes: &'a [u8],
    place: &'a Place,
}

/// What boots from a flash, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state; `None` when neither place of it is sound.
    pub state: Option<State>,
    /// What is in slot a, or why it does not boot.
    pub a: Result<Header, Refusal>,
    /// What is in slot b, or why it does not boot.
    pub b: Result<Header, Refusal>,
    /// What boots, or why neither does.
    pub choice: Result<Choice, [Refusal; 2]>,
}

impl Decision {
    /// What is in a slot, or why it does not boot.
    pub const fn slot(&self, slot: Slot) -> Result<Header, Refusal> {
        match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        }
    }

    /// The lowest security version that boots.
    pub fn guard(&self) -> u32 {
        self.state.map_or(0, |state| state.guard)
    }
}

impl<'a> Flash<'a> {
    /// The flash of a board.
    pub const fn new(bytes: &'a [u8], place: &'a Place) -> Self {
        Self { bytes, place }
    }

    /// The board's place.
    pub const fn place(&self) -> &'a Place {
        self.place
    }

    /// The flash of the board that it says it is for; `None` when there is no such board.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        let root = Root::parse(bytes.get(KEY_AT..)?.get(..ROOT_RECORD_BYTES)?)?;
        Some(Self { bytes, place: flash::place(root.board.as_str())? })
    }

    /// The key that images are checked with; `None` when it is another board's, too.
    pub fn key(&self) -> Option<PublicKey> {
        let root = Root::parse(self.part(KEY_AT, ROOT_RECORD_BYTES))?;
        (root.board.as_str() == self.place.board).then_some(root.key)
    }

    /// The newer of the state's sound records.
    pub fn state(&self) -> Option<State> {
        let (a, b) = (self.state_at(STATE_A_AT), self.state_at(STATE_B_AT));
        match (a, b) {
            (Some(a), Some(b)) if b.sequence > a.sequence => Some(b),
            (a, b) => a.or(b),
        }
    }

    /// Where the next record goes: over the one that is not the state.
    pub fn next_state_at(&self) -> usize {
        let current = self.state();
        if current.is_some() && self.state_at(STATE_A_AT) == current {
            STATE_B_AT
        } else {
            STATE_A_AT
        }
    }

    /// Checks a slot's image.
    ///
    /// # Errors
    ///
    /// Why it does not boot.
    pub fn image(&self, slot: Slot) -> Result<Image<'a>, Refusal> {
        let key = self.key().ok_or(Refusal::Key)?;
        let guard = self.state().map_or(0, |state| state.guard);
        let bytes = self.part(slot_at(slot), SLOT_BYTES);
        check(bytes, &Terms { key: &key, place: self.place, guard })
    }

    /// What boots. The boot stage asks this, and so do the tools.
    pub fn decide(&self) -> Decision {
        let state = self.state();
        let of = |slot| self.image(slot).map(|image| image.header);
        let (a, b) = (of(Slot::A), of(Slot::B));
        Decision { state, a, b, choice: choose(state, a, b) }
    }

    /// The payload of what was chosen, which lies where it was checked.
    pub fn payload(&self, choice: &Choice) -> &'a [u8] {
        let at = slot_at(choice.slot).saturating_add(HEADER_BYTES);
        self.part(at, choice.header.length as usize)
    }

    /// Whether a slot has this file, byte for byte.
    pub(crate) fn holds(&self, slot: Slot, file: &[u8]) -> bool {
        self.part(slot_at(slot), file.len()) == file
    }

    fn state_at(&self, at: usize) -> Option<State> {
        State::parse(self.part(at, STATE_RECORD_BYTES))
    }

    fn part(&self, at: usize, length: usize) -> &'a [u8] {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.get(..length).unwrap_or(rest)
    }
}

/// Where a slot begins.
pub(crate) const fn slot_at(slot: Slot) -> usize {
    match slot {
        Slot::A => SLOT_A_AT,
        Slot::B => SLOT_B_AT,
    }
}
