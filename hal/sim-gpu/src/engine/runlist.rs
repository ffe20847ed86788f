//! One engine and its runlist: which group it holds, and how it lets go of it.

use super::execute::Ready;
use super::group::{Activity, CHANNEL_SLICE_NS, Group, Image};
use super::release::finish_reset;
use crate::board::Board;
use crate::compute::{Core, Until};
use crate::context::Flight;
use crate::stats::Stay;
use godwit_mmio::SharedWords;
use godwit_mmio::device::{PreemptRequest, RunlistView, StartRequest};
use godwit_regs::bits::CtxStatus;
use godwit_types::{ChannelId, Gfid, PreemptMode, RunlistId, TsgId};
use std::mem;

/// How long the engine waits before it looks at semaphores again.
const POLL_NS: u64 = 1_000;

/// What the engine is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing.
    Empty,
    /// It loads the contexts of a group.
    Load { members: Vec<ChannelId>, tsg: TsgId, seq: u32, gfid: Gfid, end_ns: u64 },
    /// It runs a group.
    Run(Group),
    /// It saves a group's contexts. `idle`: since there is no more work.
    Save { group: Group, images: Vec<Image>, idle: bool, end_ns: u64 },
    /// It resets itself.
    Reset {
        /// What was on it and can be saved.
        group: Option<Group>,
        images: Vec<Image>,
        /// The channel that is at fault, and is lost.
        guilty: Option<ChannelId>,
        seq: u32,
        end_ns: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Preempt {
    pub(super) mode: PreemptMode,
    /// Number of the start request that is meant.
    pub(super) run: u32,
    pub(super) seq: u32,
}

/// An acknowledge that is still to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct LateAck {
    pub(super) at_ns: u64,
    pub(super) seq: u32,
}

/// One engine.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) id: RunlistId,
    pub(super) view: RunlistView<SharedWords>,
    core: Core,
    pub(super) phase: Phase,
    /// A group to start when the engine is empty.
    pub(super) held: Option<StartRequest>,
    pub(super) preempt: Option<Preempt>,
    /// The current channel ignores preemption until the engine is reset.
    pub(super) hung: bool,
    pub(super) late: Option<LateAck>,
    /// A preempt request that comes later.
    pub(super) timed: Option<PreemptRequest>,
    /// When the preempt request is obeyed, by work that is stubborn.
    pub(super) obeys_ns: u64,
    /// The stay of the group on the engine, up to now.
    pub(super) stay: Option<Stay>,
}

impl Engine {
    pub(crate) fn new(words: SharedWords, id: RunlistId) -> Self {
        let mut view = RunlistView::new(words, id);
        view.set_status(CtxStatus::Invalid, None);
        Self {
            id,
            view,
            core: Core::new(),
            phase: Phase::Empty,
            held: None,
            preempt: None,
            hung: false,
            late: None,
            timed: None,
            obeys_ns: 0,
            stay: None,
        }
    }

    /// Takes up what is asked of the runlist.
    pub(crate) fn serve(&mut self, board: &mut Board) {
        if let Some(seq) = self.view.poll_reset() {
            self.reset(board, seq);
        }
        if let Some(start) = self.view.poll_start() {
            self.held = Some(start);
        }
        if let Some(request) = self.view.poll_preempt() {
            self.timed = Some(request);
            self.take_timed(board);
        }
    }

    /// Takes up a preempt request whose time has come.
    fn take_timed(&mut self, board: &mut Board) {
        let Some(PreemptRequest { mode, run, seq, at_ns }) = self.timed else { return };
        // One that takes the place of another which is being obeyed must be answered, too.
        if at_ns <= board.now_ns || self.preempt.is_some() {
            self.timed = None;
            self.request_preempt(board, Preempt { mode, run, seq });
        }
    }

    /// Does everything that is due now.
    pub(crate) fn settle(&mut self, board: &mut Board) {
        self.take_timed(board);
        if let Some(late) = self.late.filter(|late| late.at_ns <= board.now_ns) {
            self.late = None;
            self.view.finish_preempt(late.seq);
            board.raised = true;
        }
        loop {
            let phase = mem::replace(&mut self.phase, Phase::Empty);
            let (next, changed) = self.turn(board, phase);
            self.phase = next;
            if !changed {
                break;
            }
        }
        // What was to come later is void once its group has left, however it has.
        self.timed = self.timed.filter(|timed| self.has(timed.run));
    }

    /// Whether the group of this start request waits for the engine or has not left it.
    fn has(&self, run: u32) -> bool {
        let on_engine = match &self.phase {
            Phase::Load { seq, .. } => *seq == run,
            Phase::Run(group)
            | Phase::Save { group, .. }
            | Phase::Reset { group: Some(group), .. } => group.start_seq == run,
            Phase::Empty | Phase::Reset { group: None, .. } => false,
        };
        on_engine || self.held.is_some_and(|start| start.seq == run)
    }

    /// One step of [`Self::settle`]: the next phase, and whether there may be more to do.
    fn turn(&mut self, board: &mut Board, phase: Phase) -> (Phase, bool) {
        let now_ns = board.now_ns;
        match phase {
            Phase::Empty => self.turn_empty(board),
            Phase::Load { members, tsg, seq, gfid, end_ns } if end_ns <= now_ns => {
                self.view.set_status(CtxStatus::Valid, Some(tsg));
                if let Some(stay) = &mut self.stay {
                    stay.loaded_ns = now_ns;
                }
                let group = Group::load(board, &members, (tsg, seq), gfid);
                (Phase::Run(group), true)
            }
            Phase::Run(group) => self.turn_run(board, group),
            Phase::Save { group, images, idle, end_ns } if end_ns <= now_ns => {
                (self.finish_save(board, &group, &images, idle), true)
            }
            Phase::Reset { group, images, guilty, seq, end_ns } if end_ns <= now_ns => {
                finish_reset(board, group, &images, guilty);
                self.end_stay(board, true);
                self.view.set_status(CtxStatus::Invalid, None);
                self.view.finish_reset(seq);
                board.raised = true;
                (Phase::Empty, true)
            }
            other => (other, false),
        }
    }

    fn turn_empty(&mut self, board: &mut Board) -> (Phase, bool) {
        // One that is for a group which is still to be started waits for it.
        let meant = |preempt: &mut Preempt| self.held.is_none_or(|start| start.seq != preempt.run);
        if let Some(preempt) = self.preempt.take_if(meant) {
            self.acknowledge(board, preempt.seq);
            return (Phase::Empty, true);
        }
        let Some(start) = self.held.take() else {
            return (Phase::Empty, false);
        };
        let members = match start.tsg {
            Some(tsg) => board.channels.runnable(self.id, tsg),
            None => Vec::new(),
        };
        let first = members.first().and_then(|id| board.channels.get(*id));
        let (Some(tsg), Some(first)) = (start.tsg, first) else {
            self.view.finish_idle(start.seq);
            board.raised = true;
            return (Phase::Empty, true);
        };
        let gfid = first.config.gfid;
        self.begin_stay(gfid, board.now_ns);
        self.view.set_status(CtxStatus::CtxswLoad, Some(tsg));
        let bytes = Group::load_bytes(board, &members);
        let loading = Phase::Load {
            members,
            tsg,
            seq: start.seq,
            gfid,
            end_ns: board.now_ns + board.costs.context_ns(bytes),
        };
        (loading, true)
    }

    /// The preempt request that the group has to obey.
    fn obeyed(&self, now_ns: u64) -> Option<Preempt> {
        self.preempt.filter(|_| !self.hung && self.obeys_ns <= now_ns)
    }

    fn turn_run(&mut self, board: &mut Board, mut group: Group) -> (Phase, bool) {
        group.drop_rebound(board);
        group.progress(board);
        group.hold_peers(board);
        if let Some(preempt) = self.obeyed(board.now_ns) {
            return self.drain(board, group, preempt.mode);
        }
        let now_ns = board.now_ns;
        match group.activity {
            Activity::Choose => self.choose(board, group),
            Activity::Fetch { end_ns } if end_ns <= now_ns => {
                group.activity = Activity::Choose;
                if let Some(resident) = group.current_mut() {
                    resident.begin_entry(board);
                }
                (Phase::Run(group), true)
            }
            Activity::Wait { end_ns } if end_ns <= now_ns => {
                group.activity = Activity::Choose;
                (Phase::Run(group), true)
            }
            activity if activity.is_work() && group.slice_end_ns <= now_ns && !self.hung => {
                let switched = rotate(board, &mut group);
                (Phase::Run(group), switched)
            }
            _ => (Phase::Run(group), false),
        }
    }

    /// Turns to the next channel with work: the current one while its slice lasts.
    fn choose(&mut self, board: &mut Board, mut group: Group) -> (Phase, bool) {
        let count = group.residents.len();
        let over = group.slice_end_ns <= board.now_ns;
        let candidates = if self.hung { count.min(1) } else { count };
        let first = group.current + usize::from(over && !self.hung);
        let mut blocked = false;
        for place in (first..first + candidates).map(|place| place % count) {
            match group.residents[place].ready(board) {
                Ready::Work => {
                    if place != group.current || over {
                        group.slice_end_ns = board.now_ns + CHANNEL_SLICE_NS;
                    }
                    group.current = place;
                    group.resume(board);
                    return (Phase::Run(group), true);
                }
                Ready::Blocked => blocked = true,
                Ready::Nothing => {}
            }
        }
        if self.hung {
            group.activity = Activity::Stuck;
        } else if blocked {
            let end_ns = board.now_ns + POLL_NS;
            group.activity = Activity::Wait { end_ns };
        } else {
            return (self.begin_save(board, group, true), true);
        }
        (Phase::Run(group), false)
    }

    /// Runs a kernel, if there is one to run. Returns the time it has come to.
    pub(crate) fn run(&mut self, board: &mut Board, from_ns: u64, until_ns: u64) -> u64 {
        let mode = self.obeyed(from_ns).map(|preempt| preempt.mode);
        let until = match mode {
            None => Until::Budget,
            Some(PreemptMode::Wfi) => Until::LaunchEnd,
            Some(PreemptMode::Cta | PreemptMode::Instruction) => Until::BlockEnd,
        };
        match &mut self.phase {
            Phase::Run(group) => {
                group.run_kernel(board, &mut self.core, (from_ns, until_ns), until)
            }
            _ => until_ns,
        }
    }

    /// Whether it is at an access of this vGPU to a peer.
    pub(crate) fn is_at_peer(&self, board: &Board, gfid: Gfid) -> bool {
        match &self.phase {
            Phase::Run(group) => group.is_at_peer(board, gfid),
            Phase::Empty | Phase::Load { .. } | Phase::Save { .. } | Phase::Reset { .. } => false,
        }
    }

    /// Counts time in which a group held the engine.
    pub(crate) fn account(&self, board: &mut Board, ns: u64) {
        let gfid = match &self.phase {
            Phase::Run(group)
            | Phase::Save { group, .. }
            | Phase::Reset { group: Some(group), .. } => group.gfid,
            Phase::Load { gfid, .. } => *gfid,
            Phase::Empty | Phase::Reset { group: None, .. } => return,
        };
        let stats = &mut board.vgpus[gfid].stats;
        if self.id == RunlistId::COMPUTE {
            stats.compute_busy_ns += ns;
        } else {
            stats.copy_busy_ns += ns;
        }
    }

    /// When the engine has to be looked at next, if it does not run a kernel before.
    pub(crate) fn next_ns(&self, board: &Board) -> Option<u64> {
        let phase = match &self.phase {
            Phase::Empty => None,
            Phase::Load { end_ns, .. }
            | Phase::Save { end_ns, .. }
            | Phase::Reset { end_ns, .. } => Some(*end_ns),
            Phase::Run(group) => self.next_run_ns(board, group),
        };
        phase.into_iter().chain(self.next_late_ns()).min()
    }

    fn next_run_ns(&self, board: &Board, group: &Group) -> Option<u64> {
        let alone = group.residents.len() < 2 || self.hung || self.preempt.is_some();
        let slice_end_ns = (!alone).then_some(group.slice_end_ns);
        let obeys_ns =
            self.preempt.map(|_| self.obeys_ns).filter(|at| *at > board.now_ns && !self.hung);
        let next_ns = self.next_work_ns(board, group, slice_end_ns);
        next_ns.into_iter().chain(obeys_ns).min()
    }

    fn next_work_ns(&self, board: &Board, group: &Group, slice_end_ns: Option<u64>) -> Option<u64> {
        match group.activity {
            Activity::Choose => Some(board.now_ns),
            Activity::Fetch { end_ns } | Activity::Wait { end_ns } => Some(end_ns),
            Activity::Launch { .. } => slice_end_ns,
            Activity::Transfer { .. } => {
                let end_ns = group.transfer_end_ns(board);
                end_ns.into_iter().chain(slice_end_ns).min()
            }
            Activity::Stuck => None,
        }
    }

    /// Whether nobody can say when what the engine is at will end.
    pub(crate) fn is_open_ended(&self) -> bool {
        match &self.phase {
            Phase::Run(group) => {
                matches!(group.activity, Activity::Launch { .. } | Activity::Wait { .. })
            }
            _ => false,
        }
    }

    /// When an acknowledge that is late comes, or a preempt request.
    pub(crate) fn next_late_ns(&self) -> Option<u64> {
        let late_ns = self.late.map(|late| late.at_ns);
        late_ns.into_iter().chain(self.timed.map(|timed| timed.at_ns)).min()
    }
}

/// Turns to another channel of the group that has work, when the current one's slice is
/// over. `false`, and another slice for it, when there is none.
fn rotate(board: &mut Board, group: &mut Group) -> bool {
    let count = group.residents.len();
    group.slice_end_ns = board.now_ns + CHANNEL_SLICE_NS;
    for place in (group.current + 1..group.current + count).map(|place| place % count) {
        if group.residents[place].ready(board) == Ready::Work {
            if let Some(Flight::Launch(run)) = group.current_mut().map(|at| &mut at.context.flight)
            {
                run.break_reservations();
            }
            group.current = place;
            group.resume(board);
            return true;
        }
    }
    false
}
