//! The device as a whole: time, and what its parts do in it.

mod dma;

use crate::bar::BarError;
use crate::board::{Board, Keep, gfids};
use crate::copy_ring::CopyEngine;
use crate::costs::Costs;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::partition::Partition;
use crate::residue::Residue;
use crate::staging::Staging;
use crate::stats::{Stay, VgpuStats};
use godwit_hal::Identity;
use godwit_mmio::SharedWords;
use godwit_regs::copy::SLOT_STRIDE;
use godwit_types::{Gfid, GuestChannelId, RunlistId, SLOT_COUNT, SlotId};
use std::collections::BTreeSet;
use std::io;

/// Longest time in which one engine runs while the others stand, so that each sees the
/// others' writes soon.
const STEP_NS: u64 = 10_000;
/// How far ahead [`Gpu::next_event_ns`] looks while kernels run.
const HORIZON_NS: u64 = 20_000;

/// What a device is made with.
#[derive(Clone, Copy, Debug)]
pub struct GpuConfig {
    /// How large it is.
    pub identity: Identity,
    /// What its timer shows at power-on. No two devices need agree.
    pub start_ns: u64,
    /// What things cost.
    pub costs: Costs,
}

/// Why time has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The time that was asked for is reached.
    Reached,
    /// Something was raised to the firmware or to the host.
    Raised,
    /// This vGPU's instruction watch was hit.
    Watch(Gfid),
}

/// Where data lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// In a vGPU's partition.
    Partition(Gfid),
    /// In the context memory.
    Context,
    /// In a staging slot, its table of runs included.
    Slot(SlotId),
}

/// An alarm that has not rung.
#[derive(Clone, Copy, Debug)]
struct Alarm {
    at_ns: u64,
    seq: u32,
}

/// A simulated GPU: it serves a register map, and time passes for it only in
/// [`Self::advance`].
#[derive(Debug)]
pub struct Gpu {
    board: Board,
    alarm: Option<Alarm>,
    /// Those that the device has.
    engines: Vec<Engine>,
    copy_ring: CopyEngine,
}

impl Gpu {
    /// A device that comes up over this map.
    ///
    /// # Errors
    ///
    /// When the system gives no memory files.
    pub fn new(config: GpuConfig, words: SharedWords) -> io::Result<Self> {
        let mut board = Board::new(&config, &words)?;
        board.device.set_time(config.start_ns);
        Ok(Self {
            board,
            alarm: None,
            engines: [RunlistId::COMPUTE, RunlistId::COPY]
                .into_iter()
                .filter(|id| config.identity.engines.has(*id))
                .map(|id| Engine::new(words.clone(), id))
                .collect(),
            copy_ring: CopyEngine::new(words),
        })
    }

    /// What its timer shows.
    pub fn now_ns(&self) -> u64 {
        self.board.now_ns
    }

    /// Takes up all requests in the registers at the present time; lets no time pass.
    pub fn service(&mut self) {
        if let Some((at_ns, seq)) = self.board.device.poll_alarm() {
            self.alarm = (at_ns != u64::MAX).then_some(Alarm { at_ns, seq });
        }
        self.board.serve_blocks();
        for engine in &mut self.engines {
            engine.serve(&mut self.board);
        }
        self.settle();
    }

    /// Does everything that is due now.
    fn settle(&mut self) {
        let now_ns = self.board.now_ns;
        if let Some(alarm) = self.alarm.take_if(|alarm| alarm.at_ns <= now_ns) {
            self.board.device.ring_alarm(alarm.seq);
            self.board.raised = true;
        }
        self.board.settle_apertures();
        for engine in &mut self.engines {
            engine.settle(&mut self.board);
        }
        self.copy_ring.settle(&mut self.board);
        let engines = &self.engines;
        self.board.settle_peers(|board, gfid| {
            engines.iter().any(|engine| engine.is_at_peer(board, gfid))
        });
    }

    /// Takes up all requests, then lets time pass until `until_ns` at most.
    ///
    /// Stops early, after the instruction or at the time, when an interrupt to the firmware
    /// or a vector to a host was raised, or a watch was hit. What was raised since the last
    /// such stop, by [`Self::service`] or [`Self::ring`] too, stops it at once.
    pub fn advance(&mut self, until_ns: u64) -> Stop {
        self.service();
        loop {
            if let Some(stop) = self.take_stop() {
                return stop;
            }
            let from_ns = self.board.now_ns;
            if from_ns >= until_ns {
                return Stop::Reached;
            }
            let mut reached_ns = self.step_end_ns(until_ns);
            for engine in &mut self.engines {
                reached_ns = engine.run(&mut self.board, from_ns, reached_ns);
            }
            self.pass(reached_ns - from_ns);
            self.settle();
        }
    }

    fn take_stop(&mut self) -> Option<Stop> {
        if std::mem::take(&mut self.board.raised) {
            return Some(Stop::Raised);
        }
        self.board.take_watch().map(Stop::Watch)
    }

    /// Up to when nothing is known to happen.
    fn step_end_ns(&self, until_ns: u64) -> u64 {
        let now_ns = self.board.now_ns;
        let engines = self.engines.iter();
        let events =
            engines.filter_map(|engine| engine.next_ns(&self.board)).chain(self.next_other_ns());
        let end_ns = events.fold(until_ns, u64::min);
        if self.engines.iter().any(Engine::is_open_ended) {
            return end_ns.min(now_ns + STEP_NS);
        }
        end_ns
    }

    /// Events that are no engine's.
    fn next_other_ns(&self) -> impl Iterator<Item = u64> {
        self.alarm
            .map(|alarm| alarm.at_ns)
            .into_iter()
            .chain(self.copy_ring.next_ns())
            .chain(self.board.next_aperture_ns())
            .chain(self.board.next_peers_ns())
    }

    fn pass(&mut self, ns: u64) {
        for engine in &self.engines {
            engine.account(&mut self.board, ns);
        }
        self.board.now_ns += ns;
        self.board.device.set_time(self.board.now_ns);
    }

    /// The earliest time at which something is known to happen, once all requests are taken
    /// up: some time ahead while kernels run whose end nobody knows, `None` when nothing
    /// will happen by itself.
    pub fn next_event_ns(&self) -> Option<u64> {
        let horizon_ns = self.board.now_ns + HORIZON_NS;
        let engines = self.engines.iter().filter_map(|engine| {
            if engine.is_open_ended() {
                let late = engine.next_late_ns().unwrap_or(u64::MAX);
                return Some(horizon_ns.min(late));
            }
            engine.next_ns(&self.board)
        });
        engines.chain(self.next_other_ns()).min()
    }

    /// A guest's write of `token` to its doorbell page. `false`: the token names no channel
    /// of this vGPU's route.
    pub fn ring(&mut self, gfid: Gfid, token: u32) -> bool {
        self.board.ring(gfid, token)
    }

    /// Reads through the BAR, as the CPU does, at an address of the device's BAR.
    ///
    /// # Errors
    ///
    /// When the access does not pass the BAR blocks.
    pub fn bar_read(&mut self, at: u64, into: &mut [u8]) -> Result<(), BarError> {
        let (gfid, place) = self.board.resolve(at, into.len() as u64)?;
        let partition = self.board.partition(gfid).ok_or(BarError::Unbound)?;
        let read = partition.read(place, into);
        read.map_err(|_| BarError::Crosses)
    }

    /// Writes through the BAR, as the CPU does: no log knows of it.
    ///
    /// # Errors
    ///
    /// When the access does not pass the BAR blocks; nothing is written.
    pub fn bar_write(&mut self, at: u64, from: &[u8]) -> Result<(), BarError> {
        let (gfid, place) = self.board.resolve(at, from.len() as u64)?;
        let partition = self.board.partition(gfid).ok_or(BarError::Unbound)?;
        let written = partition.file().write(place, from);
        written.map_err(|_| BarError::Crosses)?;
        self.board.note_write(gfid);
        Ok(())
    }

    /// The staging slots. A clone reaches the same memory.
    pub fn staging(&self) -> &Staging {
        &self.board.staging
    }

    /// Stops time exactly when this vGPU has executed so many instructions since its
    /// partition was set, once; at once if it has already. `None` watches no more.
    pub fn watch(&mut self, gfid: Gfid, instructions: Option<u64>) {
        self.board.vgpus[gfid].watch = instructions.unwrap_or(u64::MAX);
    }

    /// What was counted for a vGPU since its partition was set.
    pub fn stats(&self, gfid: Gfid) -> VgpuStats {
        self.board.vgpus[gfid].stats
    }

    /// Makes a vGPU's work go on for so long after it was asked to let go of an engine, until its
    /// partition is taken away: 0 as on any device. An engine that is reset is free at once.
    pub fn set_stubborn(&mut self, gfid: Gfid, ns: u64) {
        self.board.vgpus[gfid].stubborn_ns = ns;
    }

    /// Takes the stays of groups on engines that have ended since the last call, and notes those
    /// that end from now on.
    pub fn take_stays(&mut self) -> Vec<Stay> {
        self.board.stays.replace(Vec::new()).unwrap_or_default()
    }

    /// Takes the channels whose engine was reset since the last call while their work would not let
    /// go of it, for whatever reason: only these may lose anything by it.
    pub fn take_unwilling(&mut self) -> BTreeSet<(Gfid, GuestChannelId)> {
        std::mem::take(&mut self.board.unwilling)
    }

    /// Lets something go wrong at its next opportunity.
    pub fn inject(&mut self, fault: Fault) {
        self.board.faults.inject(fault);
    }

    /// The injected faults that have not happened yet, oldest first.
    pub fn pending_faults(&self) -> &[Fault] {
        self.board.faults.pending()
    }

    /// Forgets the injected faults that have not happened yet.
    pub fn clear_faults(&mut self) {
        self.board.faults.clear();
    }

    /// What partitions and their contexts still held when they were cleared, since the last call.
    pub fn take_residues(&mut self) -> Vec<Residue> {
        std::mem::take(&mut self.board.residues)
    }

    /// Breaks the context memory, as nothing does that works: what lies at `at` is overwritten.
    ///
    /// # Panics
    ///
    /// When it is not wholly inside.
    pub fn overwrite_context(&mut self, at: u64, bytes: &[u8]) {
        self.board.context.write(at, bytes).expect("a place in the context memory");
    }

    /// Keeps a vGPU's memory file, or ends that: whoever has this id next gets it again, emptied,
    /// if it is as large. It is for one who has mapped it and does not map it anew, to whom the
    /// vGPU is one device that is reset or written.
    pub fn keep_memory(&mut self, gfid: Gfid, keep: bool) {
        let vgpu = &mut self.board.vgpus[gfid];
        match (&vgpu.keep, keep) {
            (Keep::No, true) => vgpu.keep = Keep::Yes(None),
            (Keep::Yes(_), false) => vgpu.keep = Keep::No,
            (Keep::No, false) | (Keep::Yes(_), true) => {}
        }
    }

    /// Moves a vGPU's memory to a new file: whoever has mapped the one before sees no more of it.
    ///
    /// # Errors
    ///
    /// When the system gives no such file; all is as before.
    pub fn renew_memory(&mut self, gfid: Gfid) -> io::Result<()> {
        let vgpu = &mut self.board.vgpus[gfid];
        if let Keep::Yes(kept) = &mut vgpu.keep {
            *kept = None;
        }
        match &mut vgpu.home {
            Some(home) => home.partition.renew(),
            None => Ok(()),
        }
    }

    /// A vGPU's partition, if it has one.
    pub fn partition(&self, gfid: Gfid) -> Option<&Partition> {
        self.board.partition(gfid)
    }

    /// Visits every range of bytes that may hold data, with its offset in its region, as
    /// [`MemFile::for_each_data`](godwit_sys::MemFile::for_each_data) does.
    ///
    /// # Errors
    ///
    /// When the system refuses to tell where data is.
    pub fn for_each_data(&self, visit: &mut dyn FnMut(Region, u64, &[u8])) -> io::Result<()> {
        for gfid in gfids() {
            if let Some(partition) = self.partition(gfid) {
                partition.file().for_each_data(&mut |at, bytes| {
                    visit(Region::Partition(gfid), at, bytes);
                })?;
            }
        }
        self.board.context.for_each_data(&mut |at, bytes| {
            visit(Region::Context, at, bytes);
        })?;
        self.board.staging.file().for_each_data(&mut |at, bytes| {
            visit_slots(at, bytes, visit);
        })
    }
}

/// Hands on bytes of the staging memory slot by slot.
fn visit_slots(at: u64, bytes: &[u8], visit: &mut dyn FnMut(Region, u64, &[u8])) {
    let stride = u64::from(SLOT_STRIDE);
    for slot in (0..SLOT_COUNT).filter_map(SlotId::new) {
        let start = Staging::offset(slot);
        let first = at.max(start);
        let last = (at + bytes.len() as u64).min(start + stride);
        if first < last {
            let part = &bytes[(first - at) as usize..(last - at) as usize];
            visit(Region::Slot(slot), first - start, part);
        }
    }
}

#[cfg(test)]
mod tests;
