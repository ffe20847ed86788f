//! Operations of the copy ring that are under way, and who has which staging slot.

use crate::deadline::COPY_DEADLINE_NS;
use crate::engine::{Engine, Step};
use crate::message::{Event, Reject};
use godwit_types::{
    COPY_RING_ENTRIES, CopyDone, CopyOp, CopyRequest, CopyStatus, Gfid, Index, SlotId,
};

/// Who has a staging slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotUse {
    /// The host: it reads it, fills it, or keeps it.
    Host,
    /// Lent to a save, and free.
    Credit,
    /// The copy ring.
    Copying,
    /// Nobody any more: it could not be scrubbed, and may hold bytes of a vGPU.
    Lost,
}

/// Scrubs of one slot that may fail one after the other.
const SCRUB_TRIES: u8 = 8;

/// One staging slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) held: SlotUse,
    /// Whose bytes may be in it, so that they are scrubbed when the transfer ends.
    pub(crate) gfid: Option<Gfid>,
    /// Scrubs of it that failed one after the other.
    failed: u8,
}

impl Slot {
    pub(crate) const HOST: Self = Self { held: SlotUse::Host, gfid: None, failed: 0 };
}

/// What an operation is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CopyKind {
    /// The log of writes: start, flip, stop.
    Log = 0,
    /// Pages into a slot.
    Gather = 1,
    /// A context into a slot.
    ContextOut = 2,
    /// A slot into pages or a context.
    Load = 3,
    /// A channel that is being closed.
    Close = 4,
    /// Scrubbing of a partition and its contexts.
    Scrub = 5,
    /// Scrubbing of a slot.
    ScrubSlot = 6,
    /// Scrubbing of a slot when the firmware starts: for no vGPU.
    StartScrub = 7,
}

impl CopyKind {
    const fn new(raw: u16) -> Option<Self> {
        Some(match raw {
            0 => Self::Log,
            1 => Self::Gather,
            2 => Self::ContextOut,
            3 => Self::Load,
            4 => Self::Close,
            5 => Self::Scrub,
            6 => Self::ScrubSlot,
            7 => Self::StartScrub,
            _ => return None,
        })
    }
}

const GFID_BITS: u32 = 5;
const SLOT_BITS: u32 = 4;

fn encode_tag(kind: CopyKind, gfid: Gfid, slot: Option<SlotId>) -> u16 {
    let slot = slot.map_or(0, |slot| u16::from(slot.raw()));
    gfid.index() as u16
        | slot.wrapping_shl(GFID_BITS)
        | (kind as u16).wrapping_shl(GFID_BITS.wrapping_add(SLOT_BITS))
}

fn parse_tag(tag: u16) -> Option<(CopyKind, Gfid, SlotId)> {
    let kind = CopyKind::new(tag.wrapping_shr(GFID_BITS.wrapping_add(SLOT_BITS)))?;
    let gfid = Gfid::from_index(usize::from(tag & 0x1f))?;
    let slot = SlotId::new((tag.wrapping_shr(GFID_BITS) & 0xf) as u8)?;
    Some((kind, gfid, slot))
}

impl Engine {
    /// Whether the copy ring takes one more, and its answer could be told.
    pub(crate) fn may_copy(&self) -> bool {
        self.copies < COPY_RING_ENTRIES && self.has_event_room()
    }

    /// Submits an operation; ask [`Self::may_copy`] first.
    pub(crate) fn copy(&mut self, gfid: Gfid, kind: CopyKind, slot: Option<SlotId>, op: CopyOp) {
        if self.copies == 0 {
            self.copy_deadline_ns = Some(self.after(COPY_DEADLINE_NS));
        }
        self.copies = self.copies.saturating_add(1);
        if kind != CopyKind::StartScrub {
            let vgpu = &mut self.vgpus[gfid];
            vgpu.copies = vgpu.copies.saturating_add(1);
        }
        if let Some(slot) = slot {
            self.lend_slot(gfid, slot, SlotUse::Copying);
        }
        self.act_copy(CopyRequest { tag: encode_tag(kind, gfid, slot), gfid, op });
    }

    /// Why an operation that somebody asks for cannot be submitted: the asker waits for room,
    /// unless the ring is late.
    pub(crate) fn no_room(&self) -> Reject {
        if self.copy_late { Reject::Deadline } else { Reject::Full }
    }

    /// The copy ring answered.
    pub(crate) fn copied(&mut self, done: CopyDone) {
        let Some((kind, gfid, slot)) = parse_tag(done.tag) else {
            return self.stray_copy();
        };
        if kind != CopyKind::StartScrub {
            let vgpu = &mut self.vgpus[gfid];
            let Some(left) = vgpu.copies.checked_sub(1) else {
                return self.stray_copy();
            };
            vgpu.copies = left;
        }
        self.copies = self.copies.saturating_sub(1);
        self.copy_late = false;
        self.copy_deadline_ns = (self.copies != 0).then(|| self.after(COPY_DEADLINE_NS));
        match kind {
            CopyKind::Log => self.logged(gfid, &done),
            CopyKind::Gather => self.gathered(gfid, slot, &done),
            CopyKind::ContextOut => self.context_out(gfid, slot, &done),
            CopyKind::Load => self.loaded(gfid, slot, &done),
            CopyKind::Close => self.closed(gfid, &done),
            CopyKind::Scrub => self.scrubbed(gfid, &done),
            CopyKind::ScrubSlot => self.slot_scrubbed(slot, &done),
            CopyKind::StartScrub => {
                self.slot_scrubbed(slot, &done);
                if done.status != CopyStatus::Done && self.slots[slot].held == SlotUse::Host {
                    // Nobody else would try it again.
                    self.start_scrub(slot);
                }
            }
        }
        self.wake(gfid);
        // Whoever waited for room in the ring may go on.
        self.wake_all();
    }

    fn stray_copy(&mut self) {
        self.counters.stray_copies = self.counters.stray_copies.wrapping_add(1);
    }

    /// The host lends a slot to a save.
    pub(crate) fn credit(&mut self, gfid: Gfid, slot: SlotId) -> Result<(), Reject> {
        if !self.vgpus[gfid].save.takes_credit() {
            return Err(Reject::WrongPhase);
        }
        let held = self.slots[slot];
        // Another vGPU's bytes are scrubbed before a slot is used for this one.
        if held.held != SlotUse::Host || held.gfid.is_some_and(|other| other != gfid) {
            return Err(Reject::SlotInUse);
        }
        self.lend_slot(gfid, slot, SlotUse::Credit);
        self.wake(gfid);
        Ok(())
    }

    pub(crate) fn lend_slot(&mut self, gfid: Gfid, slot: SlotId, held: SlotUse) {
        self.slots[slot].held = held;
        self.slots[slot].gfid = Some(gfid);
    }

    /// The host has put this vGPU's bytes into a slot of its own: whatever becomes of the
    /// command that says so, they are scrubbed with the vGPU.
    pub(crate) fn claim_slot(&mut self, gfid: Gfid, slot: SlotId) {
        let entry = &mut self.slots[slot];
        if entry.held == SlotUse::Host && entry.gfid.is_none() {
            entry.gfid = Some(gfid);
        }
    }

    /// A slot that was lent to this vGPU and is free.
    pub(crate) fn credited_slot(&self, gfid: Gfid) -> Option<SlotId> {
        self.slots
            .iter()
            .find(|(_, slot)| slot.held == SlotUse::Credit && slot.gfid == Some(gfid))
            .map(|(id, _)| id)
    }

    /// Submits the scrub of one slot that may hold this vGPU's bytes, if the copy ring takes
    /// it now. `None`: there is none left.
    pub(crate) fn scrub_slot(&mut self, gfid: Gfid) -> Option<Step> {
        let slot = self
            .slots
            .iter()
            .find(|(_, slot)| {
                slot.gfid == Some(gfid) && matches!(slot.held, SlotUse::Host | SlotUse::Credit)
            })
            .map(|(id, _)| id)?;
        if !self.may_copy() || !self.has_action_room() {
            return Some(Step::Waits);
        }
        self.copy(gfid, CopyKind::ScrubSlot, Some(slot), CopyOp::FillSlot { slot });
        Some(Step::Went)
    }

    /// A slot was scrubbed. One that failed is tried again by whoever asked for it, since the
    /// slot still counts as this vGPU's; one that fails again and again is nobody's any more.
    fn slot_scrubbed(&mut self, slot: SlotId, done: &CopyDone) {
        let entry = &mut self.slots[slot];
        if entry.held != SlotUse::Copying {
            return;
        }
        if done.status == CopyStatus::Done {
            *entry = Slot::HOST;
            return self.tell(Event::Free { slot });
        }
        entry.failed = entry.failed.saturating_add(1);
        entry.held = if entry.failed < SCRUB_TRIES { SlotUse::Host } else { SlotUse::Lost };
    }

    fn wake_all(&mut self) {
        let busy: u32 = self
            .vgpus
            .iter()
            .filter(|(_, vgpu)| vgpu.has_steps())
            .map(|(gfid, _)| crate::engine::bit(gfid))
            .fold(0, |mask, bit| mask | bit);
        for gfid in crate::engine::each(busy) {
            self.wake(gfid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_whose_operation_it_was() {
        for index in [0, 31] {
            let gfid = Gfid::from_index(index).unwrap();
            let slot = SlotId::new(15).unwrap();
            let tag = encode_tag(CopyKind::Scrub, gfid, Some(slot));
            assert_eq!(parse_tag(tag), Some((CopyKind::Scrub, gfid, slot)));
        }
        assert_eq!(parse_tag(u16::MAX), None);
    }
}
