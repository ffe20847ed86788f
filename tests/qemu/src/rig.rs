//! One host whose firmware runs in QEMU, and guests on it that submit by hand: for whoever wants to
//! know what single calls cost.

use godwit_guest::{Bars as _, Channel, ChannelStatus, Device, GuestError, Kernel};
use godwit_kernels::LAUNCH_BASE;
use godwit_regs::fifo::{Entry, Launch};
use godwit_shim::{Host, Mcu};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{
    Engines, Gfid, GuestChannelId, GuestTsgId, Identity, Profile, RunlistId, Share,
};
use godwit_world::HostBars;
use std::error::Error;

const MIB: u64 = 1 << 20;

/// What every guest's vGPU is.
const PROFILE: Profile =
    Profile { fb_bytes: 16 * MIB, bar_bytes: 8 * MIB, channel_count: 4, context_bytes: 32 * 1024 };

/// How far time goes on between two looks.
const STEP_NS: u64 = 10_000;
/// Looks until something has come to an end, which it does far sooner.
const LOOKS_MAX: u32 = 20_000;

// Places in the part of a partition that kernels leave to whoever launches them.
const RINGS_AT: u64 = LAUNCH_BASE;
const RING_STRIDE: u64 = 0x1000;
const RING_LOG2: u8 = 4;
const ARGS_AT: u64 = LAUNCH_BASE + 0x8_0000;
const STACKS_AT: u64 = LAUNCH_BASE + 0x9_0000;

/// A host.
#[derive(Debug)]
pub struct Rig {
    /// It.
    pub host: Host,
}

/// A kernel in a guest's partition, and the channels on which it is launched, each in a group of
/// its own.
#[derive(Debug)]
pub struct Work {
    /// The guest's vGPU.
    pub gfid: Gfid,
    channels: Vec<Channel>,
    launches: Vec<Entry>,
}

impl Rig {
    /// Powers a host on, until its firmware is at rest.
    ///
    /// # Errors
    ///
    /// When QEMU is missing, or the firmware does not come up.
    pub fn new(mcu: &Mcu) -> Result<Self, Box<dyn Error>> {
        let identity = Identity {
            fb_bytes: 1024 * MIB,
            bar_bytes: 1024 * MIB,
            context_bytes: 128 * MIB,
            context_layout: 1,
            engines: Engines::ALL,
        };
        let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
        Ok(Self { host: Host::new(config, mcu)? })
    }

    /// Makes a vGPU whose guest has a kernel that ends after a while.
    ///
    /// # Errors
    ///
    /// When the host or the device refuses.
    pub fn short_work(&mut self) -> Result<Work, Box<dyn Error>> {
        self.work(&godwit_kernels::Job::sha256_chain(1, 1, 1, 20), PROFILE.channel_count, 1)
    }

    /// Makes a vGPU whose guest has a kernel that never ends.
    ///
    /// # Errors
    ///
    /// When the host or the device refuses.
    pub fn endless_work(&mut self) -> Result<Work, Box<dyn Error>> {
        self.work(&godwit_kernels::Job::spinner(1), PROFILE.channel_count, 1)
    }

    /// Makes a vGPU with so many channels, each with a kernel that never ends.
    ///
    /// # Errors
    ///
    /// When the host or the device refuses.
    pub fn endless_work_on(&mut self, channel_count: u16) -> Result<Work, Box<dyn Error>> {
        self.work(&godwit_kernels::Job::spinner(1), channel_count, channel_count)
    }

    fn work(
        &mut self,
        job: &godwit_kernels::Job,
        channel_count: u16,
        used: u16,
    ) -> Result<Work, Box<dyn Error>> {
        let profile = Profile { channel_count, ..PROFILE };
        let gfid = self.host.create_running(profile, Share::DEFAULT, None)?;
        let mut bars = HostBars { host: &mut self.host, gfid };
        let device = Device::probe(&mut bars)?;
        let kernel = Kernel::parse(job.elf)?;
        kernel.load(&mut bars)?;
        let args: Vec<u8> = job.args.iter().flat_map(|word| word.to_le_bytes()).collect();
        bars.write(ARGS_AT, &args)?;
        for (at, bytes) in &job.inputs {
            bars.write(*at, bytes)?;
        }
        let mut work = Work { gfid, channels: Vec::new(), launches: Vec::new() };
        for number in 0..used {
            let place = u64::from(number);
            work.channels.push(Channel::create(
                &mut HostBars { host: &mut self.host, gfid },
                &device,
                GuestChannelId::new(number).ok_or("the device has such a channel")?,
                GuestTsgId::new(number).ok_or("the device has such a group")?,
                RunlistId::COMPUTE,
                RINGS_AT + place * RING_STRIDE,
                RING_LOG2,
            )?);
            work.launches.push(Entry::Launch(Launch {
                entry: kernel.entry(),
                grid: job.grid,
                block: job.block,
                args: ARGS_AT,
                stacks: STACKS_AT + place * u64::from(job.stack_bytes),
                stack_bytes: job.stack_bytes,
                shared_bytes: 0,
                shared: 0,
            }));
            self.until("a channel is ready", |host| work.is_ready(host))?;
        }
        Ok(work)
    }

    /// Lets time go on, step by step, until it is so.
    ///
    /// # Errors
    ///
    /// When it never is, or cannot be known.
    pub fn until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Host) -> Result<bool, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        for _ in 0..LOOKS_MAX {
            if is_so(&mut self.host)? {
                return Ok(());
            }
            self.pass(STEP_NS);
        }
        Err(format!("it never comes to pass that {what}").into())
    }

    /// Lets time go on for so long.
    pub fn pass(&mut self, ns: u64) {
        let until_ns = self.host.now_ns() + ns;
        while self.host.now_ns() < until_ns {
            self.host.run(until_ns);
        }
    }

    /// Lets time go on until a kernel has ended and the firmware is at rest.
    ///
    /// # Errors
    ///
    /// When it never ends.
    pub fn finish(&mut self, work: &Work) -> Result<(), Box<dyn Error>> {
        self.until("a kernel ends", |host| {
            let mut bars = HostBars { host, gfid: work.gfid };
            work.channels
                .iter()
                .try_fold(true, |ended, channel| Ok(ended && channel.pending(&mut bars)? == 0))
        })?;
        // The firmware learns of it, and takes the channel off the engine.
        self.pass(STEP_NS);
        Ok(())
    }

    /// How often a vGPU was taken off an engine with work left.
    pub fn preemptions(&self, gfid: Gfid) -> u64 {
        self.host.card().gpu().stats(gfid).preemptions
    }

    /// The same of all vGPUs together.
    pub fn all_preemptions(&self) -> u64 {
        self.host.vgpus().map(|(gfid, _)| self.preemptions(gfid)).sum()
    }

    /// Instructions of the longest call since this was asked last.
    pub fn take_longest_call(&mut self) -> u32 {
        self.host.card_mut().take_longest_call()
    }
}

impl Work {
    fn is_ready(&self, host: &mut Host) -> Result<bool, Box<dyn Error>> {
        let mut bars = HostBars { host, gfid: self.gfid };
        self.channels.iter().try_fold(true, |ready, channel| {
            Ok(ready && channel.poll_ready(&mut bars)? == ChannelStatus::Ready)
        })
    }

    /// Writes a launch into each ring and rings. The firmware has not heard of it yet.
    ///
    /// # Errors
    ///
    /// When a ring is full, or the aperture cannot be reached.
    pub fn submit(&mut self, host: &mut Host) -> Result<(), GuestError> {
        let mut bars = HostBars { host, gfid: self.gfid };
        for (channel, launch) in self.channels.iter_mut().zip(&self.launches) {
            channel.submit(&mut bars, &[*launch])?;
        }
        Ok(())
    }
}
