//! Who uses which staging slot.

use godwit_types::{Gfid, SLOT_COUNT, SlotId};

/// What the firmware knows of a slot that a transfer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Nothing, and no byte of the vGPU is in it.
    None,
    /// It was asked to take it on, and has not answered.
    Asked,
    /// It counts the slot as this vGPU's, and will scrub it at the transfer's end.
    Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    Free,
    /// A transfer of this vGPU has it. `busy`: the firmware has it just now.
    Lent {
        gfid: Gfid,
        busy: bool,
        claim: Claim,
    },
    /// Its transfer has ended, and whether the firmware had taken it on is not known yet.
    Ending,
    /// The firmware scrubs it, or will.
    Scrubbing,
}

/// The staging slots of a card, as the host knows them. A slot that held one vGPU's bytes is
/// scrubbed by the firmware before another transfer gets it.
#[derive(Debug)]
pub(crate) struct Slots {
    states: [SlotState; SLOT_COUNT as usize],
}

/// Slots that one transfer may have, so that several can go on side by side.
const SLOTS_PER_TRANSFER: usize = 4;

impl Slots {
    pub(crate) fn new() -> Self {
        Self { states: [SlotState::Free; SLOT_COUNT as usize] }
    }

    fn ids() -> impl Iterator<Item = SlotId> {
        (0..SLOT_COUNT).filter_map(SlotId::new)
    }

    fn state(&mut self, slot: SlotId) -> &mut SlotState {
        &mut self.states[usize::from(slot.raw())]
    }

    /// A slot for a transfer of this vGPU: one that it has and is not busy, or a fresh one.
    pub(crate) fn take(&mut self, gfid: Gfid) -> Option<SlotId> {
        let mine =
            |state: &SlotState| matches!(state, SlotState::Lent { gfid: who, .. } if *who == gfid);
        let idle =
            |state: &SlotState| mine(state) && !matches!(state, SlotState::Lent { busy: true, .. });
        let count = self.states.iter().filter(|state| mine(state)).count();
        let found = Self::ids().find(|slot| idle(self.state(*slot))).or_else(|| {
            (count < SLOTS_PER_TRANSFER)
                .then(|| Self::ids().find(|slot| *self.state(*slot) == SlotState::Free))
                .flatten()
        })?;
        let claim = match *self.state(found) {
            SlotState::Lent { claim, .. } => claim,
            SlotState::Free | SlotState::Ending | SlotState::Scrubbing => Claim::None,
        };
        *self.state(found) = SlotState::Lent { gfid, busy: true, claim };
        Some(found)
    }

    /// The firmware is asked to take the slot on.
    pub(crate) fn asked(&mut self, slot: SlotId) {
        if let SlotState::Lent { claim: claim @ Claim::None, .. } = self.state(slot) {
            *claim = Claim::Asked;
        }
    }

    /// It has answered.
    pub(crate) fn answered(&mut self, slot: SlotId, taken: bool) {
        match (self.state(slot), taken) {
            (SlotState::Lent { claim, .. }, true) => *claim = Claim::Known,
            (SlotState::Lent { claim, busy, .. }, false) => {
                *busy = false;
                if *claim == Claim::Asked {
                    *claim = Claim::None;
                }
            }
            (state @ SlotState::Ending, true) => *state = SlotState::Scrubbing,
            (state @ SlotState::Ending, false) => *state = SlotState::Free,
            (SlotState::Free | SlotState::Scrubbing, _) => {}
        }
    }

    /// The slot is the firmware's with the command that names it, whatever the answer.
    pub(crate) fn named(&mut self, slot: SlotId) {
        if let SlotState::Lent { claim, .. } = self.state(slot) {
            *claim = Claim::Known;
        }
    }

    /// The firmware has no use for the slot just now: its transfer may use it again.
    pub(crate) fn give_back(&mut self, slot: SlotId) {
        if let SlotState::Lent { busy, .. } = self.state(slot) {
            *busy = false;
        }
    }

    /// The firmware has scrubbed the slot.
    pub(crate) fn scrubbed(&mut self, slot: SlotId) {
        if let state @ SlotState::Scrubbing = self.state(slot) {
            *state = SlotState::Free;
        }
    }

    /// The command that ends a transfer is on its way: the transfer's slots are free once they
    /// are scrubbed; one that the firmware never took on was never written.
    pub(crate) fn end(&mut self, gfid: Gfid) {
        for state in &mut self.states {
            match *state {
                SlotState::Lent { gfid: who, claim, .. } if who == gfid => {
                    *state = match claim {
                        Claim::None => SlotState::Free,
                        Claim::Asked => SlotState::Ending,
                        Claim::Known => SlotState::Scrubbing,
                    };
                }
                _ => {}
            }
        }
    }

    /// The firmware has restarted and scrubs all slots.
    pub(crate) fn restarted(&mut self) {
        self.states = [SlotState::Scrubbing; SLOT_COUNT as usize];
    }

    /// Whether every slot is scrubbed and nobody's.
    pub(crate) fn are_free(&self) -> bool {
        self.states.iter().all(|state| *state == SlotState::Free)
    }

    /// Whether bytes of this vGPU may be in a slot: of a slot that is scrubbed it is not known
    /// here whose they are.
    pub(crate) fn may_hold(&self, slot: SlotId, gfid: Gfid) -> bool {
        match self.states[usize::from(slot.raw())] {
            SlotState::Free => false,
            SlotState::Lent { gfid: who, .. } => who == gfid,
            SlotState::Ending | SlotState::Scrubbing => true,
        }
    }

    /// Whether a transfer of this vGPU has a slot that the firmware is using.
    pub(crate) fn is_busy(&self, gfid: Gfid) -> bool {
        self.states.iter().any(
            |state| matches!(state, SlotState::Lent { gfid: who, busy: true, .. } if *who == gfid),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_to_another_vgpu_only_after_its_scrub() {
        let (a, b) = (Gfid::new(1).unwrap(), Gfid::new(2).unwrap());
        let mut slots = Slots::new();
        let taken: Vec<_> = std::iter::from_fn(|| slots.take(a)).collect();
        assert_eq!(taken.len(), SLOTS_PER_TRANSFER);
        for slot in &taken[..2] {
            slots.asked(*slot);
        }
        slots.answered(taken[0], true);
        slots.named(taken[2]);
        slots.end(a);
        let others: Vec<_> = std::iter::from_fn(|| slots.take(b)).collect();
        assert!(taken[..3].iter().all(|slot| !others.contains(slot)));
        // Taken on and then scrubbed; refused; scrubbed; never given.
        slots.answered(taken[1], false);
        slots.scrubbed(taken[0]);
        slots.scrubbed(taken[2]);
        slots.end(b);
        assert!(slots.are_free());
    }

    #[test]
    fn a_slot_whose_answer_is_late_waits_for_its_scrub() {
        let a = Gfid::new(1).unwrap();
        let mut slots = Slots::new();
        let slot = slots.take(a).unwrap();
        slots.asked(slot);
        slots.end(a);
        slots.answered(slot, true);
        assert!(!slots.are_free());
        slots.scrubbed(slot);
        assert!(slots.are_free());
    }
}
