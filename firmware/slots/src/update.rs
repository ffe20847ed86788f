//! Writing to the flash, so that an interruption at any byte leaves what boots.

use crate::flash::slot_at;
use crate::{Flash, HEADER_BYTES, Header, Refusal, Slot, State, Terms, check_file};
use core::fmt;

/// What is written to.
///
/// A medium that must be erased before it is written erases the sectors of a write first.
pub trait Medium {
    /// Why it failed.
    type Error;

    /// Writes bytes at an offset.
    ///
    /// # Errors
    ///
    /// When it cannot; some of the bytes may be written then.
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Returns when all that was written before would outlive a loss of power.
    ///
    /// # Errors
    ///
    /// When it cannot.
    fn sync(&mut self) -> Result<(), Self::Error>;
}

/// Why a flash is not written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateRefusal {
    /// The image would not boot.
    Image(Refusal),
    /// The slot holds the only image that boots, and an interruption would leave none.
    OnlyImage(Slot),
    /// Nothing boots, so that there is nothing to confirm.
    NothingBoots([Refusal; 2]),
    /// The state has been written as often as it can count.
    WornOut,
}

impl fmt::Display for UpdateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(refusal) => write!(f, "the image is refused: {refusal}"),
            Self::OnlyImage(slot) => write!(
                f,
                "slot {slot} holds the only image that boots, and an interruption would leave \
                 none: slot {} is allowed",
                slot.other()
            ),
            Self::NothingBoots([a, b]) => {
                write!(f, "neither slot boots: slot a: {a}; slot b: {b}")
            }
            Self::WornOut => f.write_str("the state has counted all its numbers"),
        }
    }
}

impl core::error::Error for UpdateRefusal {}

/// A change of the flash that was found right, to be performed.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    image: Option<(Slot, &'a [u8])>,
    state: State,
    state_at: usize,
}

impl<'a> Update<'a> {
    /// Puts an image file into a slot, unless it is there already, and prefers it.
    ///
    /// # Errors
    ///
    /// [`UpdateRefusal`]; the flash is as it was.
    pub fn install(
        flash: &Flash<'_>,
        slot: Slot,
        file: &'a [u8],
    ) -> Result<(Self, Header), UpdateRefusal> {
        let key = flash.key().ok_or(UpdateRefusal::Image(Refusal::Key))?;
        let decision = flash.decide();
        let terms = Terms { key: &key, place: flash.place(), guard: decision.guard() };
        let image = check_file(file, &terms).map_err(UpdateRefusal::Image)?;
        if flash.holds(slot, file) {
            // As after an update that only lacked its end.
            let update = Self::of_state(flash, None, slot, decision.guard())?;
            return Ok((update, image.header));
        }
        if decision.slot(slot).is_ok() && decision.slot(slot.other()).is_err() {
            return Err(UpdateRefusal::OnlyImage(slot));
        }
        let update = Self::of_state(flash, Some((slot, file)), slot, decision.guard())?;
        Ok((update, image.header))
    }

    /// Raises the guard to the security version of what boots, and goes on preferring that.
    ///
    /// # Errors
    ///
    /// [`UpdateRefusal`]; the flash is as it was.
    pub fn confirm(flash: &Flash<'_>) -> Result<(Self, Slot, Header), UpdateRefusal> {
        let decision = flash.decide();
        let choice = decision.choice.map_err(UpdateRefusal::NothingBoots)?;
        let guard = decision.guard().max(choice.header.security_version);
        let update = Self::of_state(flash, None, choice.slot, guard)?;
        Ok((update, choice.slot, choice.header))
    }

    fn of_state(
        flash: &Flash<'_>,
        image: Option<(Slot, &'a [u8])>,
        slot: Slot,
        guard: u32,
    ) -> Result<Self, UpdateRefusal> {
        let before = flash.state().map_or(0, |state| state.sequence);
        let sequence = before.checked_add(1).ok_or(UpdateRefusal::WornOut)?;
        let state = State { sequence, slot, guard };
        Ok(Self { image, state, state_at: flash.next_state_at() })
    }

    /// What the flash will remember.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Performs it: the old header goes first and the new one comes after its payload, so that
    /// a slot never holds a header beside a payload that is not its own; the state comes last.
    ///
    /// # Errors
    ///
    /// The medium's, which may have been written to.
    pub fn perform<M: Medium>(&self, medium: &mut M) -> Result<(), M::Error> {
        if let Some((slot, file)) = self.image {
            let at = slot_at(slot);
            let (header, payload) = file.split_at_checked(HEADER_BYTES).unwrap_or((file, &[]));
            medium.write(at, &[0; HEADER_BYTES])?;
            medium.sync()?;
            medium.write(at.saturating_add(HEADER_BYTES), payload)?;
            medium.sync()?;
            medium.write(at, header)?;
            medium.sync()?;
        }
        medium.write(self.state_at, &self.state.record())?;
        medium.sync()
    }
}
