//! Entries of a ring: looking for them, beginning, doing and finishing them.

use super::group::{Activity, CHUNK_BYTES, Group, Resident};
use crate::board::{Board, Keep};
use crate::compute::{Core, LaunchRun, Outcome, Until};
use crate::context::{Flight, Transfer, resident_threads};
use crate::dma::Access;
use godwit_regs::fifo::{Address, Entry, EntryWords, USERD_GET, USERD_PUT};
use godwit_types::{ChannelFault, Gfid, RingConfig, RunlistId};

/// Bytes that are copied in one go.
const BOUNCE_BYTES: u64 = CHUNK_BYTES;
const PS_PER_NS: u64 = 1_000;

/// What a channel has for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// Work.
    Work,
    /// It waits for a semaphore, or until it may reach its peers again.
    Blocked,
    /// Nothing.
    Nothing,
}

impl Resident {
    /// Looks for work. Takes note of a semaphore that has its value, and of a PUT that
    /// cannot be.
    pub(super) fn ready(&mut self, board: &mut Board) -> Ready {
        if self.is_faulted(board) {
            return Ready::Nothing;
        }
        if self.stands_for_peer(board) {
            return Ready::Blocked;
        }
        if self.context.flight.is_work() {
            return self.ready_to_move(board);
        }
        if let Flight::Acquire { at, value } = self.context.flight {
            match board.load_at(self.config.gfid, at) {
                Ok(Some(now)) if now == value => self.finish_entry(board),
                Ok(_) => return Ready::Blocked,
                Err(fault) => self.fail(board, fault),
            }
            if self.is_faulted(board) {
                return Ready::Nothing;
            }
            self.show(board, true);
        }
        let userd = self.config.ring.base();
        let Some(put) = board.load_word(self.config.gfid, userd + USERD_PUT) else {
            self.fail(board, ChannelFault::OutOfPartition);
            return Ready::Nothing;
        };
        let ahead = put.wrapping_sub(self.context.get);
        if ahead > self.config.ring.entry_count() {
            self.fail(board, ChannelFault::BadPut);
            return Ready::Nothing;
        }
        if ahead == 0 { Ready::Nothing } else { Ready::Work }
    }

    /// Whether the work in flight can go on: what a copy reads next is at hand, and there is room
    /// for what it writes.
    fn ready_to_move(&mut self, board: &mut Board) -> Ready {
        let Flight::Transfer { transfer, done } = self.context.flight else { return Ready::Work };
        match transfer.is_at_hand(board, self.config.gfid, done, transfer.stop_after(done)) {
            Ok(true) => Ready::Work,
            Ok(false) => Ready::Blocked,
            Err(fault) => {
                self.fail(board, fault);
                Ready::Nothing
            }
        }
    }

    /// Counts the entry in flight as done, and tells the guest.
    fn finish_entry(&mut self, board: &mut Board) {
        self.context.flight = Flight::Clear;
        self.context.get = self.context.get.wrapping_add(1);
        let at = self.config.ring.base() + USERD_GET;
        let get = self.context.get.to_le();
        let stored = board
            .partition_mut(self.config.gfid)
            .is_some_and(|partition| partition.store(at, get).is_ok());
        if !stored {
            self.fail(board, ChannelFault::OutOfPartition);
        }
    }

    /// The entry at GET, for this channel's engine.
    fn fetch(&self, board: &Board) -> Result<Entry, ChannelFault> {
        let ring = self.config.ring;
        let index = self.context.get % ring.entry_count();
        let first = RingConfig::USERD_BYTES + u64::from(index) * RingConfig::ENTRY_BYTES;
        let mut bytes = [0; RingConfig::ENTRY_BYTES as usize];
        board
            .partition(self.config.gfid)
            .and_then(|partition| partition.read(ring.base() + first, &mut bytes).ok())
            .ok_or(ChannelFault::OutOfPartition)?;
        let mut words = EntryWords::default();
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let entry = Entry::parse(&words).ok_or(ChannelFault::BadEntry)?;
        let here = match entry {
            Entry::Launch(_) => self.config.runlist == RunlistId::COMPUTE,
            Entry::Copy { .. } | Entry::Fill { .. } => self.config.runlist == RunlistId::COPY,
            Entry::Acquire { .. } | Entry::Release { .. } | Entry::Notify(_) => true,
        };
        if here { Ok(entry) } else { Err(ChannelFault::BadEntry) }
    }

    /// Fetches the entry at GET and begins it; what takes no time is done at once.
    pub(super) fn begin_entry(&mut self, board: &mut Board) {
        let begun = self.fetch(board).and_then(|entry| self.begin(board, entry));
        if let Err(fault) = begun {
            // The entry was not in flight yet, and is the guilty one all the same.
            self.context.get = self.context.get.wrapping_add(1);
            self.fail(board, fault);
        }
    }

    fn begin(&mut self, board: &mut Board, entry: Entry) -> Result<(), ChannelFault> {
        let gfid = self.config.gfid;
        let closed = board.vgpus[gfid].peers.closed && entry_reaches_peer(board, gfid, &entry);
        let full = matches!(entry, Entry::Release { at, .. } if board.is_wire_full(gfid, at));
        self.held_back = closed || full;
        if self.held_back {
            return Ok(());
        }
        match entry {
            Entry::Launch(launch) => {
                let threads = resident_threads(self.config.context_bytes);
                let run = LaunchRun::new(&launch, threads)?;
                if !matches!(board.vgpus[gfid].keep, Keep::No) {
                    // Who has mapped the memory may have written the program without a word.
                    board.note_write(gfid);
                }
                self.context.flight = Flight::Launch(Box::new(run));
            }
            Entry::Copy { from, to, byte_count } => {
                if from.target == to.target && from.at.abs_diff(to.at) < byte_count {
                    return Err(ChannelFault::BadEntry);
                }
                board.check_access(gfid, from, byte_count, Access::Read)?;
                board.check_access(gfid, to, byte_count, Access::Write)?;
                self.begin_transfer(Transfer::Copy { from, to, byte_count });
            }
            Entry::Fill { at, byte_count, value } => {
                board.check_access(gfid, Address::fb(at), byte_count, Access::Write)?;
                self.begin_transfer(Transfer::Fill { at, byte_count, value });
            }
            Entry::Acquire { at, value } => {
                board.check_access(gfid, at, 4, Access::Read)?;
                self.context.flight = Flight::Acquire { at, value };
                self.show(board, true);
            }
            Entry::Release { at, value } => {
                board.store_at(gfid, at, value)?;
                self.finish_entry(board);
            }
            Entry::Notify(vector) => {
                board.raise_vectors(gfid, 1 << vector.raw());
                self.finish_entry(board);
            }
        }
        Ok(())
    }

    fn begin_transfer(&mut self, transfer: Transfer) {
        self.context.flight = Flight::Transfer { transfer, done: 0 };
    }

    /// Moves the bytes of the transfer in flight up to `reached`, which may be its end.
    fn move_bytes(&mut self, board: &mut Board, reached: u64) {
        let Flight::Transfer { transfer, done } = &mut self.context.flight else {
            return;
        };
        let (transfer, first) = (*transfer, *done);
        let gfid = self.config.gfid;
        // A partition that is taken away is found at once, however time is cut.
        if reached > first || board.partition(gfid).is_none() {
            *done = reached;
            let moved = match board.partition(gfid) {
                Some(_) => transfer.perform(board, gfid, first, reached - first),
                None => Err(ChannelFault::OutOfPartition),
            };
            if transfer.writes_framebuffer() {
                board.note_write(gfid);
            }
            board.vgpus[gfid].stats.copied_bytes += reached - first;
            if let Err(fault) = moved {
                self.fail(board, fault);
                return;
            }
        }
        if reached >= transfer.byte_count() {
            self.finish_entry(board);
        }
    }
}

/// Whether some of what an entry reads or writes is a peer's.
fn entry_reaches_peer(board: &Board, gfid: Gfid, entry: &Entry) -> bool {
    match *entry {
        Entry::Copy { from, to, byte_count } => {
            Transfer::Copy { from, to, byte_count }.reaches_peer(board, gfid, 0)
        }
        Entry::Acquire { at, .. } | Entry::Release { at, .. } => board.reaches_peer(gfid, at, 4),
        Entry::Launch(_) | Entry::Fill { .. } | Entry::Notify(_) => false,
    }
}

/// The address so many bytes further on; one past the last is in no window.
const fn plus(address: Address, bytes: u64) -> Address {
    Address { target: address.target, at: address.at.saturating_add(bytes) }
}

impl Transfer {
    /// Does `byte_count` bytes of it from the `first` on.
    fn perform(
        self,
        board: &mut Board,
        gfid: Gfid,
        first: u64,
        byte_count: u64,
    ) -> Result<(), ChannelFault> {
        if let Self::Fill { at, value: 0, .. } = self {
            // Zeros need no memory.
            let zeroed = board.partition_mut(gfid).map(|own| own.zero(at + first, byte_count));
            return zeroed.and_then(Result::ok).ok_or(ChannelFault::OutOfPartition);
        }
        let mut bytes = vec![0; byte_count.min(BOUNCE_BYTES) as usize];
        let mut place = first;
        while place < first + byte_count {
            let part = (first + byte_count - place).min(BOUNCE_BYTES) as usize;
            let bytes = &mut bytes[..part];
            match self {
                Self::Copy { from, to, .. } => {
                    board.read_at(gfid, plus(from, place), bytes)?;
                    board.write_at(gfid, plus(to, place), bytes)?;
                }
                Self::Fill { at, value, .. } => {
                    bytes.fill(value);
                    board.write_at(gfid, Address::fb(at + place), bytes)?;
                }
            }
            place += part as u64;
        }
        Ok(())
    }

    const fn writes_framebuffer(self) -> bool {
        match self {
            Self::Copy { to, .. } => !to.is_bus(),
            Self::Fill { .. } => true,
        }
    }

    /// Whether the bytes from `first` up to `end` can be moved now. What has to be read from
    /// elsewhere for it is asked for.
    fn is_at_hand(
        self,
        board: &mut Board,
        gfid: Gfid,
        first: u64,
        end: u64,
    ) -> Result<bool, ChannelFault> {
        let Self::Copy { from, to, .. } = self else { return Ok(true) };
        if !self.is_over_bus() || !board.vgpus[gfid].dma.has_wire() || first >= end {
            return Ok(true);
        }
        Ok(!board.is_wire_full(gfid, to) && board.fetch(gfid, plus(from, first), end - first)?)
    }

    /// The next place after `done` bytes at which it can stop, which may be its end.
    pub(super) fn stop_after(self, done: u64) -> u64 {
        (done / CHUNK_BYTES + 1).saturating_mul(CHUNK_BYTES).min(self.byte_count())
    }

    /// Whether some of what is left of it after `done` bytes goes to a peer.
    pub(super) fn reaches_peer(self, board: &Board, gfid: Gfid, done: u64) -> bool {
        let Self::Copy { from, to, byte_count } = self else { return false };
        let left = byte_count.saturating_sub(done);
        [from, to].into_iter().any(|end| board.reaches_peer(gfid, plus(end, done), left))
    }
}

impl Group {
    /// Moves the bytes that the time until now suffices for. When the transfer is at the
    /// place it goes to, it is done or drained, and the engine looks for other work.
    pub(super) fn progress(&mut self, board: &mut Board) {
        let Activity::Transfer { start_ns, from, to } = self.activity else {
            return;
        };
        let Some(resident) = self.residents.get_mut(self.current) else {
            return;
        };
        let Some(elapsed_ns) = board.now_ns.checked_sub(start_ns) else {
            return;
        };
        let over_bus = resident.context.flight.is_over_bus();
        let reached = from.saturating_add(board.costs.guest_copy_bytes(elapsed_ns, over_bus));
        let reached = reached.min(to);
        if let Flight::Transfer { transfer, done } = resident.context.flight
            && transfer.is_at_hand(board, resident.config.gfid, done, reached) == Ok(false)
        {
            // What was read ahead for it is gone again.
            self.activity = Activity::Choose;
            return;
        }
        resident.move_bytes(board, reached);
        if reached >= to || !resident.context.flight.is_work() {
            self.activity = Activity::Choose;
        }
    }

    /// When the transfer is where it goes to.
    pub(super) fn transfer_end_ns(&self, board: &Board) -> Option<u64> {
        match self.activity {
            Activity::Transfer { start_ns, from, to } => {
                let flight = &self.residents.get(self.current)?.context.flight;
                Some(start_ns + board.costs.guest_copy_ns(to - from, flight.is_over_bus()))
            }
            _ => None,
        }
    }

    /// Runs the current channel's kernel from `from_ns` until `until_ns` at most. Returns the
    /// time it has come to.
    pub(super) fn run_kernel(
        &mut self,
        board: &mut Board,
        core: &mut Core,
        (from_ns, until_ns): (u64, u64),
        until: Until,
    ) -> u64 {
        let Activity::Launch { spare_ps } = self.activity else {
            return until_ns;
        };
        let Some(resident) = self.residents.get_mut(self.current) else {
            return until_ns;
        };
        let gfid = resident.config.gfid;
        let cost_ps = board.costs.kernel_instruction_ps.max(1);
        let time_ps = spare_ps.saturating_add((until_ns - from_ns).saturating_mul(PS_PER_NS));
        let vgpu = &board.vgpus[gfid];
        let to_watch = vgpu.watch.saturating_sub(vgpu.stats.instructions);
        let budget = (time_ps / cost_ps).min(to_watch);
        resident.note_writes(board, core);
        let (ran, outcome) = resident.run_launch(board, core, budget, until);
        let spent_ps = ran * cost_ps;
        // Where the work ended before the time did, the engine has come to its end.
        let whole = outcome == Outcome::Budget && budget < to_watch;
        let reached_ns = if whole {
            until_ns
        } else {
            from_ns + spent_ps.saturating_sub(spare_ps).div_ceil(PS_PER_NS)
        };
        let passed_ps = (reached_ns - from_ns) * PS_PER_NS;
        self.activity =
            Activity::Launch { spare_ps: (spare_ps + passed_ps).saturating_sub(spent_ps) };
        if ran > 0 {
            let stats = &mut board.vgpus[gfid].stats;
            let began_ns = from_ns - spare_ps.div_ceil(PS_PER_NS).min(from_ns);
            stats.instructions += ran;
            stats.first_instruction_ns.get_or_insert(began_ns);
            stats.last_instruction_ns = Some(reached_ns);
        }
        self.conclude(board, outcome);
        reached_ns
    }

    fn conclude(&mut self, board: &mut Board, outcome: Outcome) {
        let Some(resident) = self.residents.get_mut(self.current) else {
            return;
        };
        match outcome {
            Outcome::Budget => return,
            Outcome::BlockEnd => resident.drained = true,
            Outcome::Done => resident.finish_entry(board),
            Outcome::Fault(fault) => resident.fail(board, fault),
        }
        self.activity = Activity::Choose;
    }
}

impl Resident {
    fn run_launch(
        &mut self,
        board: &mut Board,
        core: &mut Core,
        budget: u64,
        until: Until,
    ) -> (u64, Outcome) {
        let Flight::Launch(run) = &mut self.context.flight else {
            return (0, Outcome::Fault(ChannelFault::BadContext));
        };
        match board.partition_mut(self.config.gfid) {
            Some(partition) => run.run(core, partition, budget, until),
            None => (0, Outcome::Fault(ChannelFault::OutOfPartition)),
        }
    }
}
