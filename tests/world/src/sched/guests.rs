//! Guests that always have work, and guests that do what they can to have more than their share.

use crate::bars::HostBars;
use godwit_guest::{Bars as _, Channel, ChannelStatus, Device, ElfError, GuestError, Kernel};
use godwit_kernels::{Job, LAUNCH_BASE};
use godwit_regs::fifo::{Address, Entry, Launch};
use godwit_regs::guest::{DOORBELL, DOORBELL_URGENT};
use godwit_shim::{CardError, Host, HostError};
use godwit_types::{Gfid, GuestChannelId, GuestTsgId, Index, Profile, RunlistId, Share, Vector};
use std::collections::BTreeSet;

const MIB: u64 = 1 << 20;
// Places in the part of a partition that kernels leave to whoever launches them.
const RINGS_AT: u64 = LAUNCH_BASE;
const RING_STRIDE: u64 = 0x1000;
const RING_LOG2: u8 = 4;
const STACKS_AT: u64 = LAUNCH_BASE + 0x8_0000;
const BIG_RING_AT: u64 = LAUNCH_BASE + 0x10_0000;
const BIG_RING_LOG2: u8 = 12;
const ARGS_AT: u64 = LAUNCH_BASE + 0x18_0000;
const COPIES_AT: u64 = 4 * MIB;
/// Bytes of each copy of an endless copy job, and of one that is large.
const COPY_BYTES: u64 = MIB;
const LARGE_COPY_BYTES: u64 = 6 * MIB;
/// Short jobs, of those that are done at once and of those late in a turn: semaphores that they
/// release on the compute engine, half a microsecond each; bytes that they fill on the copy engine.
const SHORTS: [(usize, u64); 2] = [(16, 64 << 10), (200, MIB)];
const SHORT_RING_LOG2: u8 = 8;
/// An engine counts as hung when it has not let go after so long, its contexts saved.
const DEADLINE_NS: u64 = 1_000_000;
/// How long before that it is obeyed by whoever makes the most of it.
const MARGIN_NS: u64 = 1_000;
/// Longer than any deadline.
const NEVER_NS: u64 = 1 << 50;
/// Channels of most guests; of these, those that ring in a storm without work.
const CHANNELS: u16 = 8;
const STORM_CHANNELS: u16 = 6;
/// Channels of the large group.
const GROUP_CHANNELS: u16 = 128;
/// Threads of a kernel, and of each kernel of the large group: its contexts are small ones, which
/// together are as long as anybody else's.
pub(super) const THREADS: u32 = 256;
const GROUP_THREADS: u32 = 1;
/// A context buffer of so many threads, in whole pages, and one of the large group's.
const CONTEXT_BYTES: u32 = 80 << 10;
const GROUP_CONTEXT_BYTES: u32 = 4 << 10;
/// How far time goes on while a guest is set up.
const SETUP_STEP_NS: u64 = 10_000;
const SETUP_STEPS_MAX: u32 = 100_000;

/// Why a benchmark could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SchedError {
    /// The card does not come up.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The host or its firmware refuses.
    #[error(transparent)]
    Host(HostError),
    /// A guest cannot reach its vGPU, or the vGPU refuses.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A kernel is refused.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A channel does not come up.
    #[error("a channel does not come up")]
    Channel,
    /// A guest that behaves well has lost work.
    #[error("a channel of a guest that behaves well has status {0:?}")]
    Lost(ChannelStatus),
}

/// What a hostile guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostile {
    /// Its kernel never ends, its copies are large, and both ignore preemption until just before
    /// the deadline.
    Stubborn,
    /// It has short jobs on both engines, and says that each is urgent. It gives out one at once
    /// when the one before is done, and rings channels without work all the time until that is
    /// done too; then one late in a neighbour's turn; then only a doorbell late in such a turn.
    Doorbells,
    /// Its work raises interrupts all the time, beside a kernel that never ends and large copies,
    /// and it rings all the time that this is urgent.
    Interrupts,
    /// Its kernel faults, and it opens its channel anew and launches again.
    Faults,
    /// A group of 128 channels, each with a kernel that never ends.
    Group,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Stubborn, Self::Doorbells, Self::Interrupts, Self::Faults, Self::Group];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    WellBehaved { copies: bool },
    Hostile(Hostile),
}

/// How one hostile guest is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mischief {
    /// Work that ignores preemption never obeys.
    pub(super) hangs: bool,
    /// How long saving a context takes, which counts against the deadline too.
    pub(super) save_ns: u64,
}

/// A guest.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) gfid: Gfid,
    pub(super) share: Share,
    kind: Kind,
    /// It does not let go of an engine.
    hangs: bool,
    device: Device,
    channels: Vec<Channel>,
    launch: Launch,
    /// Channels of it that are being closed or opened.
    reopening: BTreeSet<usize>,
    /// Short jobs that it has given each engine.
    shorts: [u32; 2],
    /// Its guest's work was asked to be done over again: how often.
    look: u32,
}

impl Guest {
    /// One that always has a kernel to run, and copies if it is to.
    pub(super) fn well_behaved(
        host: &mut Host,
        copies: bool,
        share: Share,
    ) -> Result<Self, SchedError> {
        let mut guest = Self::new(host, Kind::WellBehaved { copies }, share)?;
        guest.open_endless(host, 1, false)?;
        if copies {
            guest.open_small(host, 1, RunlistId::COPY)?;
        }
        Ok(guest)
    }

    /// One of a hostile kind.
    pub(super) fn hostile(
        host: &mut Host,
        what: Hostile,
        share: Share,
        how: Mischief,
    ) -> Result<Self, SchedError> {
        let mut guest = Self::new(host, Kind::Hostile(what), share)?;
        let gfid = guest.gfid;
        match what {
            Hostile::Stubborn => {
                let in_time_ns = DEADLINE_NS.saturating_sub(how.save_ns + MARGIN_NS);
                guest.hangs = how.hangs;
                let ns = if how.hangs { NEVER_NS } else { in_time_ns };
                host.card_mut().gpu_mut().set_stubborn(gfid, ns);
                guest.open_endless(host, 1, false)?;
                guest.open_small(host, 1, RunlistId::COPY)?;
            }
            Hostile::Doorbells => {
                for number in 0..STORM_CHANNELS {
                    guest.open_small(host, number, RunlistId::COMPUTE)?;
                }
                let ring = (BIG_RING_AT, SHORT_RING_LOG2);
                guest.open(host, STORM_CHANNELS, STORM_CHANNELS, RunlistId::COMPUTE, ring)?;
                guest.open_small(host, STORM_CHANNELS + 1, RunlistId::COPY)?;
            }
            Hostile::Interrupts => {
                guest.open_endless(host, 1, false)?;
                let ring = (BIG_RING_AT, BIG_RING_LOG2);
                guest.open(host, 1, 1, RunlistId::COMPUTE, ring)?;
                guest.open_small(host, 2, RunlistId::COPY)?;
            }
            Hostile::Faults => {
                // There is no code at the partition's start.
                guest.launch.entry = 0;
                guest.open_endless(host, 1, false)?;
            }
            Hostile::Group => guest.open_endless(host, GROUP_CHANNELS, true)?,
        }
        Ok(guest)
    }

    fn new(host: &mut Host, kind: Kind, share: Share) -> Result<Self, SchedError> {
        let (channel_count, threads, context_bytes) = match kind {
            Kind::Hostile(Hostile::Group) => (GROUP_CHANNELS, GROUP_THREADS, GROUP_CONTEXT_BYTES),
            Kind::Hostile(_) | Kind::WellBehaved { .. } => (CHANNELS, THREADS, CONTEXT_BYTES),
        };
        let profile =
            Profile { fb_bytes: 16 * MIB, bar_bytes: 8 * MIB, channel_count, context_bytes };
        let gfid = host.create_running(profile, share, None).map_err(SchedError::Host)?;
        let mut bars = HostBars { host, gfid };
        let device = Device::probe(&mut bars)?;
        let job = Job::spinner(threads);
        let kernel = Kernel::parse(job.elf)?;
        kernel.load(&mut bars)?;
        let args: Vec<u8> = job.args.iter().flat_map(|word| word.to_le_bytes()).collect();
        bars.write(ARGS_AT, &args).map_err(SchedError::Host)?;
        let launch = Launch {
            entry: kernel.entry(),
            grid: job.grid,
            block: job.block,
            args: ARGS_AT,
            stacks: STACKS_AT,
            stack_bytes: job.stack_bytes,
            shared_bytes: 0,
            shared: 0,
        };
        let channels = Vec::new();
        let reopening = BTreeSet::new();
        let (hangs, shorts, look) = (false, [0; 2], 0);
        let guest =
            Self { gfid, share, kind, hangs, device, channels, launch, reopening, shorts, look };
        Ok(guest)
    }

    /// Its name in reports.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::WellBehaved { .. } => "well-behaved",
            Kind::Hostile(Hostile::Stubborn) => "ignores preemption",
            Kind::Hostile(Hostile::Doorbells) => "urgent storm",
            Kind::Hostile(Hostile::Interrupts) => "interrupt storm",
            Kind::Hostile(Hostile::Faults) => "faults for ever",
            Kind::Hostile(Hostile::Group) => "group of 128",
        }
    }

    pub(super) fn is_hostile(&self) -> bool {
        matches!(self.kind, Kind::Hostile(_))
    }

    /// Whether it always has work for an engine.
    pub(super) fn is_busy(&self, runlist: RunlistId) -> bool {
        let computes = runlist == RunlistId::COMPUTE;
        match self.kind {
            Kind::WellBehaved { copies } => computes || copies,
            // One that is reset has no work until it has opened its channel anew.
            Kind::Hostile(Hostile::Stubborn) => !self.hangs,
            Kind::Hostile(Hostile::Interrupts) => true,
            Kind::Hostile(Hostile::Group) => computes,
            Kind::Hostile(Hostile::Doorbells | Hostile::Faults) => false,
        }
    }

    /// Whether it says that its work is urgent.
    pub(super) fn hurries(&self) -> bool {
        matches!(self.kind, Kind::Hostile(Hostile::Doorbells | Hostile::Interrupts))
    }

    /// Opens channels from 0 on, each with a kernel that never ends; `together`: in one group.
    fn open_endless(
        &mut self,
        host: &mut Host,
        count: u16,
        together: bool,
    ) -> Result<(), SchedError> {
        for number in 0..count {
            let ring = (RINGS_AT + u64::from(number) * RING_STRIDE, RING_LOG2);
            let group = if together { 0 } else { number };
            self.open(host, number, group, RunlistId::COMPUTE, ring)?;
        }
        for number in 0..count {
            self.launch(host, number)?;
        }
        Ok(())
    }

    /// Opens a channel with a ring of usual size, in a group of its own.
    fn open_small(
        &mut self,
        host: &mut Host,
        number: u16,
        runlist: RunlistId,
    ) -> Result<(), SchedError> {
        let ring_at = RINGS_AT + u64::from(number) * RING_STRIDE;
        self.open(host, number, number, runlist, (ring_at, RING_LOG2))
    }

    fn open(
        &mut self,
        host: &mut Host,
        number: u16,
        group: u16,
        runlist: RunlistId,
        (ring_at, log2): (u64, u8),
    ) -> Result<(), SchedError> {
        let id = GuestChannelId::new(number).ok_or(SchedError::Channel)?;
        let group = GuestTsgId::new(group).ok_or(SchedError::Channel)?;
        let mut bars = HostBars { host, gfid: self.gfid };
        let channel = Channel::create(&mut bars, &self.device, id, group, runlist, ring_at, log2)?;
        for _ in 0..SETUP_STEPS_MAX {
            if channel.poll_ready(&mut HostBars { host, gfid: self.gfid })? == ChannelStatus::Ready
            {
                self.channels.push(channel);
                return Ok(());
            }
            let next_ns = host.now_ns() + SETUP_STEP_NS;
            host.run(next_ns);
        }
        Err(SchedError::Channel)
    }

    fn launch(&mut self, host: &mut Host, number: u16) -> Result<(), SchedError> {
        let stack = u64::from(number) * u64::from(self.launch.stack_bytes);
        let launch = Launch { stacks: STACKS_AT + stack, ..self.launch };
        let mut bars = HostBars { host, gfid: self.gfid };
        if let Some(channel) = self.channels.get_mut(usize::from(number)) {
            channel.submit(&mut bars, &[Entry::Launch(launch)])?;
        }
        Ok(())
    }

    /// Looks at what has become of its work, and goes on with its mischief. `late`: of each engine,
    /// who of the well-behaved has it and has had most of a turn.
    pub(super) fn look(
        &mut self,
        host: &mut Host,
        late: [Option<Gfid>; 2],
    ) -> Result<(), SchedError> {
        self.look = self.look.wrapping_add(1);
        match self.kind {
            Kind::WellBehaved { copies } => self.look_well(host, copies),
            Kind::Hostile(Hostile::Doorbells) => {
                if self.hurry(host, STORM_CHANNELS, late, RunlistId::COMPUTE)? {
                    self.ring_urgently(host, STORM_CHANNELS);
                }
                self.hurry(host, STORM_CHANNELS + 1, late, RunlistId::COPY)?;
                Ok(())
            }
            Kind::Hostile(Hostile::Interrupts) => {
                self.notify(host)?;
                self.ring_urgently(host, STORM_CHANNELS);
                self.copy(host, 2, LARGE_COPY_BYTES)
            }
            Kind::Hostile(Hostile::Faults) => self.reopen(host, 0),
            Kind::Hostile(Hostile::Stubborn) => {
                self.reopen(host, 0)?;
                self.reopen(host, 1)?;
                if self.hangs {
                    self.copy_again(host)
                } else {
                    self.copy(host, 1, LARGE_COPY_BYTES)
                }
            }
            Kind::Hostile(Hostile::Group) => Ok(()),
        }
    }

    fn look_well(&mut self, host: &mut Host, copies: bool) -> Result<(), SchedError> {
        let bars = &mut HostBars { host, gfid: self.gfid };
        if self.look.is_multiple_of(256) {
            for channel in &self.channels {
                match channel.poll_ready(bars)? {
                    ChannelStatus::Ready => {}
                    other => return Err(SchedError::Lost(other)),
                }
            }
        }
        if copies { self.copy(host, 1, COPY_BYTES) } else { Ok(()) }
    }

    /// Fills a channel's ring with copies when it is half empty.
    fn copy(&mut self, host: &mut Host, index: usize, byte_count: u64) -> Result<(), SchedError> {
        let mut bars = HostBars { host, gfid: self.gfid };
        let Some(channel) = self.channels.get_mut(index) else { return Ok(()) };
        let room = channel.room(&mut bars)?;
        let copy = Entry::Copy {
            from: Address::fb(COPIES_AT),
            to: Address::fb(COPIES_AT + byte_count),
            byte_count,
        };
        if room > channel.ring().entry_count() / 2 {
            channel.submit(&mut bars, &vec![copy; room as usize])?;
        }
        Ok(())
    }

    /// The same for a channel that is reset now and then.
    fn copy_again(&mut self, host: &mut Host) -> Result<(), SchedError> {
        let Some(channel) = self.channels.get(1) else { return Ok(()) };
        let status = channel.poll_ready(&mut HostBars { host, gfid: self.gfid })?;
        if status == ChannelStatus::Ready && !self.reopening.contains(&1) {
            self.copy(host, 1, LARGE_COPY_BYTES)?;
        }
        Ok(())
    }

    /// Rings its first channels.
    fn ring_urgently(&self, host: &mut Host, count: u16) {
        for channel in self.channels.iter().take(count.into()) {
            let token = u32::from(channel.id().raw()) | DOORBELL_URGENT;
            host.bar0_write(self.gfid, DOORBELL, token);
        }
    }

    /// Gives a channel its next short job when the one before is done, and when it hurts most.
    /// Whether one is under way that was given to it at once.
    fn hurry(
        &mut self,
        host: &mut Host,
        number: u16,
        late: [Option<Gfid>; 2],
        runlist: RunlistId,
    ) -> Result<bool, SchedError> {
        let mut bars = HostBars { host, gfid: self.gfid };
        let Some(channel) = self.channels.get_mut(usize::from(number)) else { return Ok(false) };
        let is_late = late[runlist.index()].is_some();
        let given = &mut self.shorts[runlist.index()];
        if channel.pending(&mut bars)? > 0 {
            return Ok(*given % 3 == 1);
        }
        let kind = *given as usize % 3;
        if kind > 0 && !is_late {
            return Ok(false);
        }
        *given = given.wrapping_add(1);
        if let Some((releases, byte_count)) = SHORTS.get(kind).copied() {
            let (at, value) = (COPIES_AT, 0);
            let entries = match runlist {
                RunlistId::COPY => vec![Entry::Fill { at, byte_count, value }],
                _ => vec![Entry::Release { at: Address::fb(at), value: 0 }; releases],
            };
            channel.submit(&mut bars, &entries)?;
        }
        let token = u32::from(channel.id().raw()) | DOORBELL_URGENT;
        host.bar0_write(self.gfid, DOORBELL, token);
        Ok(false)
    }

    fn notify(&mut self, host: &mut Host) -> Result<(), SchedError> {
        let mut bars = HostBars { host, gfid: self.gfid };
        let Some(channel) = self.channels.get_mut(1) else { return Ok(()) };
        let room = channel.room(&mut bars)?;
        if let Some(vector) = Vector::new(0)
            && room > channel.ring().entry_count() / 2
        {
            channel.submit(&mut bars, &vec![Entry::Notify(vector); room as usize])?;
        }
        Ok(())
    }

    /// Opens a channel anew when it has faulted; the first one launches its kernel again.
    fn reopen(&mut self, host: &mut Host, index: usize) -> Result<(), SchedError> {
        let mut bars = HostBars { host, gfid: self.gfid };
        let Some(channel) = self.channels.get_mut(index) else { return Ok(()) };
        let is_reopening = self.reopening.contains(&index);
        match channel.poll_ready(&mut bars)? {
            ChannelStatus::Faulted(_) if !is_reopening => {
                channel.destroy(&mut bars)?;
                self.reopening.insert(index);
            }
            ChannelStatus::Free if is_reopening => {
                let (id, ring) = (channel.id(), channel.ring());
                let group = GuestTsgId::new(id.raw()).ok_or(SchedError::Channel)?;
                let runlist = if index == 0 { RunlistId::COMPUTE } else { RunlistId::COPY };
                let (at, log2) = (ring.base(), ring.entries_log2());
                *channel = Channel::create(&mut bars, &self.device, id, group, runlist, at, log2)?;
            }
            ChannelStatus::Ready if is_reopening => {
                self.reopening.remove(&index);
                if index == 0 {
                    self.launch(host, 0)?;
                }
            }
            // One that is banned is refused, and does not try again.
            ChannelStatus::Faulted(_)
            | ChannelStatus::Free
            | ChannelStatus::Ready
            | ChannelStatus::Refused => {}
        }
        Ok(())
    }
}
