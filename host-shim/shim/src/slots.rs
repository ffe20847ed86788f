//! Who uses which staging slot.

use godwit_types::{Gfid, SLOT_COUNT, SlotId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    Free,
    /// A transfer of this vGPU has it. `busy`: the firmware has it just now. `known`: the
    /// firmware counts it as this vGPU's, and will scrub it.
    Lent {
        gfid: Gfid,
        busy: bool,
        known: bool,
    },
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
        let known = matches!(self.state(found), SlotState::Lent { known: true, .. });
        *self.state(found) = SlotState::Lent { gfid, busy: true, known };
        Some(found)
    }

    /// The firmware counts the slot as its transfer's.
    pub(crate) fn know(&mut self, slot: SlotId) {
        if let SlotState::Lent { known, .. } = self.state(slot) {
            *known = true;
        }
    }

    /// The firmware gave a slot back with data for its transfer, or is done with its data.
    pub(crate) fn give_back(&mut self, slot: SlotId) {
        match self.state(slot) {
            SlotState::Lent { busy, .. } => *busy = false,
            state @ SlotState::Scrubbing => *state = SlotState::Free,
            SlotState::Free => {}
        }
    }

    /// A transfer has ended: its slots are free once they are scrubbed; one that the
    /// firmware never took on was never written.
    pub(crate) fn end(&mut self, gfid: Gfid) {
        for state in &mut self.states {
            match *state {
                SlotState::Lent { gfid: who, known, .. } if who == gfid => {
                    *state = if known { SlotState::Scrubbing } else { SlotState::Free };
                }
                _ => {}
            }
        }
    }

    /// The firmware has restarted and scrubs all slots.
    pub(crate) fn restarted(&mut self) {
        self.states = [SlotState::Scrubbing; SLOT_COUNT as usize];
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
        for slot in &taken {
            slots.know(*slot);
        }
        slots.end(a);
        let others: Vec<_> = std::iter::from_fn(|| slots.take(b)).collect();
        assert!(taken.iter().all(|slot| !others.contains(slot)));
        slots.give_back(taken[0]);
        assert_eq!(slots.state(taken[0]), &SlotState::Free);
    }
}
