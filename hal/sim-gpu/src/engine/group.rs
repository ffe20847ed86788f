//! The group on an engine: its channels with their contexts, and what the engine is at.

use crate::board::Board;
use crate::compute::Core;
use crate::context::{Buffer, Context, Flight};
use godwit_regs::bits::ChannelStatus;
use godwit_types::{ChannelConfig, ChannelFault, ChannelId, Gfid, PreemptMode, TsgId};

/// Bytes between two places at which a copy or fill can stop for a CTA preemption.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;
/// How long one channel of a group runs while others wait.
pub(super) const CHANNEL_SLICE_NS: u64 = 200_000;

/// What an engine that runs is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// It looks for work.
    Choose,
    /// It fetches the current channel's next entry.
    Fetch { end_ns: u64 },
    /// It runs the current channel's kernel. Time that did not suffice for an instruction is
    /// kept for the next.
    Launch { spare_ps: u64 },
    /// It moves bytes for the current channel: `from` are done at `start_ns`, and it goes on
    /// to `to`.
    Transfer { start_ns: u64, from: u64, to: u64 },
    /// All channels with work wait for semaphores, which are looked at again then.
    Wait { end_ns: u64 },
    /// The channel that hangs has nothing more to do.
    Stuck,
}

impl Activity {
    /// Whether the current channel's entry is being executed.
    pub(super) const fn is_work(self) -> bool {
        matches!(self, Self::Launch { .. } | Self::Transfer { .. })
    }
}

/// A channel with its context on the engine.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) id: ChannelId,
    pub(super) config: ChannelConfig,
    pub(super) context: Context,
    /// Which binding of the slot this is.
    binding: u64,
    /// Bytes of its context that were loaded.
    loaded_bytes: u32,
    /// It has reached the boundary of the preempt request.
    pub(super) drained: bool,
    /// Count of writes by others that its kernel knows of.
    seen_writes: Option<u64>,
    /// Its next entry was fetched, and goes to a peer that it may not reach now, or to memory to
    /// which too much is under way.
    pub(super) held_back: bool,
    /// It is shown as one that waits for that.
    shown_standing: bool,
}

/// A context on its way to memory.
#[derive(Debug)]
pub(super) struct Image {
    id: ChannelId,
    binding: u64,
    at: u64,
    bytes: Vec<u8>,
    /// Bytes of what it replaces.
    old_bytes: u64,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Writes it to the context memory, with zeros over what is left of the older one. Not
    /// when the slot was bound anew meanwhile: the buffer may be somebody else's.
    pub(super) fn write(&self, board: &Board) {
        if !is_bound(board, self.id, self.binding) {
            return;
        }
        let end = self.at + self.len();
        let stale = self.old_bytes.saturating_sub(self.len());
        // The buffer was checked to lie in context memory when the slot was bound.
        let written = board.context.write(self.at, &self.bytes);
        debug_assert!(written.is_ok());
        let zeroed = board.context.zero(end, stale);
        debug_assert!(zeroed.is_ok());
    }
}

fn is_bound(board: &Board, id: ChannelId, binding: u64) -> bool {
    let slot = board.channels.get(id);
    slot.is_some_and(|slot| slot.binding == binding)
}

impl Resident {
    /// Loads a channel's context. A bad one faults the channel.
    pub(super) fn load(board: &mut Board, id: ChannelId) -> Option<Self> {
        let slot = *board.channels.get(id)?;
        let buffer = Buffer { at: slot.config.context_at, byte_count: slot.config.context_bytes };
        let layout = board.identity.context_layout;
        match buffer.load(&board.context, layout, slot.config.runlist) {
            Ok(context) => Some(Self {
                id,
                config: slot.config,
                context,
                binding: slot.binding,
                loaded_bytes: buffer.used_bytes(&board.context),
                drained: false,
                seen_writes: None,
                held_back: false,
                shown_standing: false,
            }),
            Err(fault) => {
                board.fault(id, fault);
                None
            }
        }
    }

    /// Whether the slot is still bound as it was when this was loaded.
    fn is_bound(&self, board: &Board) -> bool {
        is_bound(board, self.id, self.binding)
    }

    pub(super) fn is_faulted(&self, board: &Board) -> bool {
        let slot = board.channels.get(self.id);
        slot.is_none_or(|slot| slot.fault.is_some())
    }

    /// Its context as it goes to memory.
    fn image(&mut self, board: &mut Board) -> Image {
        let layout = board.identity.context_layout;
        let mut bytes = self.context.encode(layout);
        if bytes.len() > self.config.context_bytes as usize {
            // The cap on resident threads keeps this from happening.
            self.fail(board, ChannelFault::TooLarge);
            bytes = self.context.encode(layout);
        }
        Image {
            id: self.id,
            binding: self.binding,
            at: self.config.context_at,
            bytes,
            old_bytes: u64::from(self.loaded_bytes),
        }
    }

    /// Drops the entry in flight, so that the channel would go on after it.
    pub(super) fn drop_entry(&mut self) {
        if !matches!(self.context.flight, Flight::Clear) {
            self.context.flight = Flight::Clear;
            self.context.get = self.context.get.wrapping_add(1);
        }
    }

    /// Stops the channel with a fault of the entry in flight, if there is one.
    pub(super) fn fail(&mut self, board: &mut Board, fault: ChannelFault) {
        self.drop_entry();
        board.fault(self.id, fault);
    }

    /// Before its kernel runs: voids what others' writes have made untrue.
    pub(super) fn note_writes(&mut self, board: &Board, core: &mut Core) {
        let writes = board.vgpus[self.config.gfid].writes;
        if self.seen_writes != Some(writes) {
            self.seen_writes = Some(writes);
            core.invalidate_code();
            if let Flight::Launch(run) = &mut self.context.flight {
                run.break_reservations();
            }
        }
    }

    /// Whether what it does next goes where it may not write now.
    pub(super) fn waits_for_peer(&self, board: &Board) -> bool {
        let gfid = self.config.gfid;
        let closed = board.vgpus[gfid].peers.closed;
        if let Flight::Clear = self.context.flight {
            return self.held_back && (closed || !board.vgpus[gfid].wire.has_room());
        }
        closed
            && match self.context.flight {
                Flight::Clear | Flight::Launch(_) => false,
                Flight::Transfer { transfer, done } => transfer.reaches_peer(board, gfid, done),
                Flight::Acquire { at, .. } => board.reaches_peer(gfid, at, 4),
            }
    }

    /// The same, and shows it.
    pub(super) fn stands_for_peer(&mut self, board: &mut Board) -> bool {
        let stands = self.waits_for_peer(board);
        if stands != self.shown_standing {
            self.shown_standing = stands;
            self.show(board, true);
        }
        stands
    }

    /// Whether it must run on before the engine may stop at this boundary.
    pub(super) fn must_go_on(&self, mode: PreemptMode) -> bool {
        let work = match (mode, &self.context.flight) {
            (PreemptMode::Instruction, _) | (_, Flight::Clear | Flight::Acquire { .. }) => false,
            (PreemptMode::Cta, Flight::Transfer { done, .. }) => !done.is_multiple_of(CHUNK_BYTES),
            (PreemptMode::Wfi | PreemptMode::Cta, _) => true,
        };
        work && !self.drained
    }

    /// Says what the channel is doing.
    pub(super) fn show(&self, board: &mut Board, on_engine: bool) {
        if self.is_faulted(board) || !self.is_bound(board) {
            return;
        }
        let mut status = ChannelStatus::ENABLE;
        status.set(ChannelStatus::ON_ENG, on_engine);
        let put = board.load_word(self.config.gfid, self.config.ring.base());
        let has_work = put.is_some_and(|put| put != self.context.get);
        status.set(ChannelStatus::BUSY, has_work);
        let acquires = matches!(self.context.flight, Flight::Acquire { .. });
        let waits = acquires || self.waits_for_peer(board);
        status.set(ChannelStatus::ACQUIRE_FAIL, waits);
        board.device.set_channel_status(self.id, status);
    }
}

/// The group on an engine.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) tsg: TsgId,
    /// Number of the request that started it.
    pub(super) start_seq: u32,
    /// Who pays for the engine's time.
    pub(super) gfid: Gfid,
    pub(super) residents: Vec<Resident>,
    /// Index of the channel that has the engine.
    pub(super) current: usize,
    /// When the engine turns to the group's next channel.
    pub(super) slice_end_ns: u64,
    pub(super) activity: Activity,
    /// Count of bindings up to which those of the residents are known to hold.
    bindings: u64,
}

impl Group {
    /// Loads the contexts of these channels.
    pub(super) fn load(
        board: &mut Board,
        members: &[ChannelId],
        start: (TsgId, u32),
        gfid: Gfid,
    ) -> Self {
        let residents: Vec<Resident> =
            members.iter().filter_map(|id| Resident::load(board, *id)).collect();
        for resident in &residents {
            resident.show(board, true);
        }
        Self {
            tsg: start.0,
            start_seq: start.1,
            gfid,
            residents,
            current: 0,
            slice_end_ns: board.now_ns + CHANNEL_SLICE_NS,
            activity: Activity::Choose,
            bindings: board.channels.bindings(),
        }
    }

    /// Bytes that a load of these channels reads.
    pub(super) fn load_bytes(board: &Board, members: &[ChannelId]) -> u64 {
        let slots = members.iter().filter_map(|id| board.channels.get(*id));
        slots
            .map(|slot| Buffer {
                at: slot.config.context_at,
                byte_count: slot.config.context_bytes,
            })
            .map(|buffer| u64::from(buffer.used_bytes(&board.context)))
            .sum()
    }

    /// The channel that has the engine.
    pub(super) fn current_mut(&mut self) -> Option<&mut Resident> {
        self.residents.get_mut(self.current)
    }

    /// Lets go of channels whose slots were bound anew meanwhile: their buffers may be
    /// somebody else's.
    pub(super) fn drop_rebound(&mut self, board: &Board) {
        let bindings = board.channels.bindings();
        if self.bindings == bindings {
            return;
        }
        self.bindings = bindings;
        let current = self.residents.get(self.current).map(|resident| resident.id);
        let count = self.residents.len();
        self.residents.retain(|resident| resident.is_bound(board));
        if self.residents.len() == count {
            return;
        }
        let place = self.residents.iter().position(|resident| Some(resident.id) == current);
        match place {
            Some(place) => self.current = place,
            None => {
                self.current = 0;
                self.activity = Activity::Choose;
            }
        }
    }

    /// What the engine does first when it turns to the current channel.
    pub(super) fn resume(&mut self, board: &Board) {
        let Some(resident) = self.residents.get(self.current) else {
            self.activity = Activity::Choose;
            return;
        };
        self.activity = match &resident.context.flight {
            Flight::Launch(_) => Activity::Launch { spare_ps: 0 },
            Flight::Transfer { transfer, done } => {
                // What is not mapped comes piece by piece.
                let wired = board.vgpus[resident.config.gfid].dma.has_wire();
                let piecewise = wired && transfer.is_over_bus();
                Activity::Transfer {
                    start_ns: board.now_ns + board.costs.copy_setup_ns,
                    from: *done,
                    to: if piecewise { transfer.stop_after(*done) } else { transfer.byte_count() },
                }
            }
            Flight::Clear => Activity::Fetch { end_ns: board.now_ns + board.costs.entry_ns.max(1) },
            Flight::Acquire { .. } => Activity::Choose,
        };
    }

    /// Lets a transfer to a peer that may not be reached any more come to the next place at which
    /// it can stop, and no further.
    pub(super) fn hold_peers(&mut self, board: &Board) {
        let Activity::Transfer { to, .. } = &mut self.activity else { return };
        let Some(resident) = self.residents.get(self.current) else { return };
        let Flight::Transfer { transfer, done } = resident.context.flight else { return };
        if !resident.waits_for_peer(board) {
            return;
        }
        let aim = done.next_multiple_of(CHUNK_BYTES).min(transfer.byte_count());
        if done < aim {
            *to = aim.min(*to);
        } else {
            self.activity = Activity::Choose;
        }
    }

    /// Whether an access of this vGPU to a peer is under way.
    pub(super) fn is_at_peer(&self, board: &Board, gfid: Gfid) -> bool {
        let Some(resident) = self.residents.get(self.current) else { return false };
        match (self.activity, &resident.context.flight) {
            (Activity::Transfer { .. }, Flight::Transfer { transfer, done }) => {
                resident.config.gfid == gfid && transfer.reaches_peer(board, gfid, *done)
            }
            _ => false,
        }
    }

    /// The contexts as they go to memory.
    pub(super) fn images(&mut self, board: &mut Board) -> Vec<Image> {
        self.drop_rebound(board);
        board.vgpus[self.gfid].wire.drop_reads();
        self.residents.iter_mut().map(|resident| resident.image(board)).collect()
    }

    /// Says that the channels have left the engine.
    pub(super) fn show_off_engine(&self, board: &mut Board) {
        for resident in &self.residents {
            resident.show(board, false);
        }
    }
}
