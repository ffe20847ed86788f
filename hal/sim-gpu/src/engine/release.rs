//! How an engine lets go of its group: preemption, saving, reset.

use super::group::{Activity, CHUNK_BYTES, Group, Image, Resident};
use super::runlist::{Engine, LateAck, Phase, Preempt};
use crate::board::Board;
use crate::context::Flight;
use crate::fault::AckFault;
use crate::stats::Stay;
use godwit_regs::bits::CtxStatus;
use godwit_types::{ChannelFault, ChannelId, Gfid, PreemptMode};
use std::mem;

/// From the first to the second of two acknowledges that are one too many.
const DOUBLED_NS: u64 = 1_000;
/// What an acknowledge with a wrong number is wrong by.
const WRONG_BY: u32 = 0x1000;

impl Engine {
    /// A newer request takes the place of an older one.
    pub(super) fn request_preempt(&mut self, board: &mut Board, preempt: Preempt) {
        self.late = None;
        let fresh = self.preempt.replace(preempt).is_none();
        if let Some(stay) = &mut self.stay {
            stay.asked_ns.get_or_insert(board.now_ns);
        }
        let Phase::Run(group) = &mut self.phase else {
            return;
        };
        group.drop_rebound(board);
        for resident in &mut group.residents {
            resident.drained = false;
        }
        if fresh {
            // Whoever is asked again is no more obedient.
            let stubborn_ns = board.vgpus[group.gfid].stubborn_ns;
            let works = group.activity.is_work();
            self.obeys_ns = if works { board.now_ns.saturating_add(stubborn_ns) } else { 0 };
        }
        if group.activity.is_work() && board.faults.take_hang(self.id) {
            self.hung = true;
        }
    }

    /// Empties the engine by force. What waits its turn is saved as it is; the channel that
    /// executes loses its entry.
    pub(super) fn reset(&mut self, board: &mut Board, seq: u32) {
        let hung = mem::replace(&mut self.hung, false);
        self.held = None;
        self.timed = None;
        self.preempt = None;
        self.late = None;
        let (group, images, guilty, begun) = match mem::replace(&mut self.phase, Phase::Empty) {
            Phase::Empty | Phase::Load { .. } => (None, Vec::new(), None, None),
            Phase::Run(mut group) => {
                group.drop_rebound(board);
                let guilty = take_guilty(&mut group, hung);
                if hung || self.obeys_ns > board.now_ns {
                    board.note_unwilling(guilty);
                }
                let images = group.images(board);
                (Some(group), images, guilty, None)
            }
            Phase::Save { group, images, .. } => (Some(group), images, None, None),
            Phase::Reset { group, images, guilty, end_ns, .. } => {
                (group, images, guilty, Some(end_ns))
            }
        };
        let end_ns = begun.unwrap_or(board.now_ns + board.costs.engine_reset_ns);
        self.phase = Phase::Reset { group, images, guilty, seq, end_ns };
    }

    /// Lets every channel of the group come to the boundary, then saves them all.
    pub(super) fn drain(
        &mut self,
        board: &mut Board,
        mut group: Group,
        mode: PreemptMode,
    ) -> (Phase, bool) {
        let works = group.activity.is_work();
        if works && group.current_mut().is_some_and(|at| at.must_go_on(mode)) {
            // Only now: work that is stubborn goes on as if it were not asked.
            aim_transfer(board, &mut group, mode);
            return (Phase::Run(group), false);
        }
        let goes_on = |at: &Resident| at.must_go_on(mode) && !at.waits_for_peer(board);
        let next = group.residents.iter().position(goes_on);
        let Some(next) = next else {
            return (self.begin_save(board, group, false), true);
        };
        group.current = next;
        group.resume(board);
        aim_transfer(board, &mut group, mode);
        (Phase::Run(group), true)
    }

    pub(super) fn begin_save(&mut self, board: &mut Board, mut group: Group, idle: bool) -> Phase {
        let images = group.images(board);
        let bytes = images.iter().map(Image::len).sum();
        self.view.set_status(CtxStatus::CtxswSave, Some(group.tsg));
        if let Some(stay) = &mut self.stay {
            stay.saving_ns = board.now_ns;
        }
        Phase::Save { group, images, idle, end_ns: board.now_ns + board.costs.context_ns(bytes) }
    }

    pub(super) fn finish_save(
        &mut self,
        board: &mut Board,
        group: &Group,
        images: &[Image],
        idle: bool,
    ) -> Phase {
        images.iter().for_each(|image| image.write(board));
        group.show_off_engine(board);
        self.end_stay(board, false);
        self.view.set_status(CtxStatus::Invalid, None);
        if idle {
            self.view.finish_idle(group.start_seq);
            board.raised = true;
        } else {
            board.vgpus[group.gfid].stats.preemptions += 1;
        }
        // A preempt request, whether it caused this or came meanwhile, is answered next.
        Phase::Empty
    }

    /// A group is put on the engine.
    pub(super) fn begin_stay(&mut self, gfid: Gfid, now_ns: u64) {
        self.stay = Some(Stay {
            runlist: self.id,
            gfid,
            start_ns: now_ns,
            loaded_ns: now_ns,
            // It may be started only to come to a boundary, and be asked for that already.
            asked_ns: self.preempt.is_some().then_some(now_ns),
            saving_ns: now_ns,
            empty_ns: now_ns,
            reset: false,
        });
    }

    /// The engine is empty again.
    pub(super) fn end_stay(&mut self, board: &mut Board, reset: bool) {
        let Some(mut stay) = self.stay.take() else { return };
        stay.empty_ns = board.now_ns;
        stay.reset = reset;
        if let Some(stays) = &mut board.stays {
            stays.push(stay);
        }
    }

    pub(super) fn acknowledge(&mut self, board: &mut Board, seq: u32) {
        let late = |after_ns| LateAck { at_ns: board.now_ns.saturating_add(after_ns), seq };
        let number = match board.faults.take_ack(self.id) {
            None => seq,
            Some(AckFault::Wrong) => seq.wrapping_add(WRONG_BY),
            Some(AckFault::Lost) => return,
            Some(AckFault::Late(after_ns)) => {
                self.late = Some(late(after_ns));
                return;
            }
            Some(AckFault::Doubled) => {
                self.late = Some(late(DOUBLED_NS));
                seq
            }
        };
        self.view.finish_preempt(number);
        board.raised = true;
    }
}

/// Puts away what was on the engine when it was reset.
pub(super) fn finish_reset(
    board: &mut Board,
    group: Option<Group>,
    images: &[Image],
    guilty: Option<ChannelId>,
) {
    images.iter().for_each(|image| image.write(board));
    let Some(mut group) = group else { return };
    group.drop_rebound(board);
    let found = group.residents.iter().find(|at| Some(at.id) == guilty);
    if let Some(resident) = found {
        board.fault(resident.id, ChannelFault::EngineReset);
    }
    group.show_off_engine(board);
    board.vgpus[group.gfid].stats.resets += 1;
}

/// Lets a transfer go on to the boundary of this mode only.
fn aim_transfer(board: &Board, group: &mut Group, mode: PreemptMode) {
    let Some(resident) = group.residents.get(group.current) else {
        return;
    };
    let Flight::Transfer { transfer, done } = &resident.context.flight else {
        return;
    };
    let boundary = match mode {
        // What goes to a peer that may not be reached any more does not come to its end.
        PreemptMode::Wfi if !resident.waits_for_peer(board) => transfer.byte_count(),
        PreemptMode::Wfi | PreemptMode::Cta => done.next_multiple_of(CHUNK_BYTES),
        PreemptMode::Instruction => *done,
    };
    let aim = boundary.min(transfer.byte_count());
    if let Activity::Transfer { to, .. } = &mut group.activity {
        *to = aim;
    }
}

/// Takes the entry from the channel that executes, and names it.
fn take_guilty(group: &mut Group, hung: bool) -> Option<ChannelId> {
    let resident = group.current_mut()?;
    if !hung && !resident.context.flight.is_work() {
        return None;
    }
    resident.drop_entry();
    Some(resident.id)
}
