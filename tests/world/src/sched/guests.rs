//! Guests that always have work, and guests that do what they can to have more than their share.

use crate::bars::HostBars;
use godwit_guest::{Bars as _, Channel, ChannelStatus, Device, ElfError, GuestError, Kernel};
use godwit_kernels::{Job, LAUNCH_BASE};
use godwit_regs::fifo::{Entry, Launch};
use godwit_regs::guest::{DOORBELL, DOORBELL_URGENT};
use godwit_shim::{CardError, Host, HostError};
use godwit_types::{Gfid, GuestChannelId, GuestTsgId, Profile, RunlistId, Share, Vector};

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
/// Bytes of each endless copy job's copies.
const COPY_BYTES: u64 = MIB;
/// A preemption that is ignored for so long is obeyed just before the engine counts as hung.
const JUST_IN_TIME_NS: u64 = 999_000;
/// Longer than any deadline.
const NEVER_NS: u64 = 1 << 50;
/// Channels that ring in a storm, and channels of the large group.
const STORM_CHANNELS: u16 = 8;
const GROUP_CHANNELS: u16 = 128;
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
    /// Its kernel never ends and ignores preemption until just before its deadline.
    Stubborn,
    /// It rings all of its channels all the time, and says that each is urgent.
    Doorbells,
    /// Its work raises interrupts all the time, beside a kernel that never ends.
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

/// A guest.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) gfid: Gfid,
    kind: Kind,
    device: Device,
    channels: Vec<Channel>,
    launch: Launch,
    /// A channel of it is being closed or opened.
    reopening: bool,
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
            guest.open(host, 1, 1, RunlistId::COPY, (RINGS_AT + RING_STRIDE, RING_LOG2))?;
        }
        Ok(guest)
    }

    /// One of a hostile kind; `hangs`: its kernel does not obey at all.
    pub(super) fn hostile(
        host: &mut Host,
        what: Hostile,
        share: Share,
        hangs: bool,
    ) -> Result<Self, SchedError> {
        let mut guest = Self::new(host, Kind::Hostile(what), share)?;
        let gfid = guest.gfid;
        match what {
            Hostile::Stubborn => {
                let ns = if hangs { NEVER_NS } else { JUST_IN_TIME_NS };
                host.card_mut().gpu_mut().set_stubborn(gfid, ns);
                guest.open_endless(host, 1, false)?;
            }
            Hostile::Doorbells => guest.open_endless(host, STORM_CHANNELS, false)?,
            Hostile::Interrupts => {
                guest.open_endless(host, 1, false)?;
                let ring = (BIG_RING_AT, BIG_RING_LOG2);
                guest.open(host, 1, 1, RunlistId::COMPUTE, ring)?;
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
        let channel_count = match kind {
            Kind::Hostile(Hostile::Group) => GROUP_CHANNELS,
            Kind::Hostile(_) | Kind::WellBehaved { .. } => STORM_CHANNELS,
        };
        let profile = Profile {
            fb_bytes: 8 * MIB,
            bar_bytes: 8 * MIB,
            channel_count,
            context_bytes: 32 * 1024,
        };
        let gfid = host.create_running(profile, share, None).map_err(SchedError::Host)?;
        let mut bars = HostBars { host, gfid };
        let device = Device::probe(&mut bars)?;
        let job = Job::spinner(64);
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
        Ok(Self { gfid, kind, device, channels, launch, reopening: false, look: 0 })
    }

    /// Its name in reports.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::WellBehaved { .. } => "well-behaved",
            Kind::Hostile(Hostile::Stubborn) => "ignores preemption",
            Kind::Hostile(Hostile::Doorbells) => "doorbell storm",
            Kind::Hostile(Hostile::Interrupts) => "interrupt storm",
            Kind::Hostile(Hostile::Faults) => "faults for ever",
            Kind::Hostile(Hostile::Group) => "group of 128",
        }
    }

    pub(super) fn is_hostile(&self) -> bool {
        matches!(self.kind, Kind::Hostile(_))
    }

    /// Whether it behaves well and always has work for an engine.
    pub(super) fn uses(&self, runlist: RunlistId) -> bool {
        match self.kind {
            Kind::WellBehaved { copies } => runlist == RunlistId::COMPUTE || copies,
            Kind::Hostile(_) => false,
        }
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

    /// Looks at what has become of its work, and goes on with its mischief.
    pub(super) fn look(&mut self, host: &mut Host) -> Result<(), SchedError> {
        self.look = self.look.wrapping_add(1);
        match self.kind {
            Kind::WellBehaved { copies } => self.look_well(host, copies),
            Kind::Hostile(Hostile::Doorbells) => self.storm(host),
            Kind::Hostile(Hostile::Interrupts) => self.notify(host),
            Kind::Hostile(Hostile::Faults | Hostile::Stubborn) => self.reopen(host),
            Kind::Hostile(Hostile::Group) => Ok(()),
        }
    }

    fn look_well(&mut self, host: &mut Host, copies: bool) -> Result<(), SchedError> {
        let mut bars = HostBars { host, gfid: self.gfid };
        if self.look.is_multiple_of(256) {
            for channel in &self.channels {
                match channel.poll_ready(&mut bars)? {
                    ChannelStatus::Ready => {}
                    other => return Err(SchedError::Lost(other)),
                }
            }
        }
        if copies && let Some(channel) = self.channels.get_mut(1) {
            let room = channel.room(&mut bars)?;
            let byte_count = COPY_BYTES;
            let copy = Entry::Copy { from: COPIES_AT, to: COPIES_AT + COPY_BYTES, byte_count };
            if room > channel.ring().entry_count() / 2 {
                channel.submit(&mut bars, &vec![copy; room as usize])?;
            }
        }
        Ok(())
    }

    fn storm(&mut self, host: &mut Host) -> Result<(), SchedError> {
        for channel in &self.channels {
            let token = u32::from(channel.id().raw()) | DOORBELL_URGENT;
            host.bar0_write(self.gfid, DOORBELL, token);
        }
        Ok(())
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

    /// Opens its channel anew when it has faulted, and launches again.
    fn reopen(&mut self, host: &mut Host) -> Result<(), SchedError> {
        let mut bars = HostBars { host, gfid: self.gfid };
        let Some(channel) = self.channels.first() else { return Ok(()) };
        match channel.poll_ready(&mut bars)? {
            ChannelStatus::Faulted(_) if !self.reopening => {
                channel.destroy(&mut bars)?;
                self.reopening = true;
            }
            ChannelStatus::Free if self.reopening => {
                let (id, ring) = (channel.id(), channel.ring());
                let group = GuestTsgId::new(0).ok_or(SchedError::Channel)?;
                let at = (ring.base(), ring.entries_log2());
                let again = Channel::create(
                    &mut bars,
                    &self.device,
                    id,
                    group,
                    RunlistId::COMPUTE,
                    at.0,
                    at.1,
                )?;
                self.channels = vec![again];
            }
            ChannelStatus::Ready if self.reopening => {
                self.reopening = false;
                self.launch(host, 0)?;
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
