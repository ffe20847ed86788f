//! Rounds of work, each checked.

use crate::completions::Completions;
use crate::guest::Guest;
use anyhow::{Context as _, Result, bail};
use godwit_guest::{Channel, ChannelStatus, Device, Job, JobSpec, JobState, Kernel};
use godwit_kernels::{DATA_BASE, LAUNCH_BASE};
use godwit_regs::fifo::{Address, Entry};
use godwit_regs::guest::{ChannelRegister, channel_offset};
use godwit_types::{GuestChannelId, GuestTsgId, RunlistId, Vector};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// How long an interrupt may take. A machine that stands still while it is moved sees no time pass.
const PATIENCE: Duration = Duration::from_secs(20);
/// Waits for one thing, of which others' interrupts end some.
const WAITS_MAX: u32 = 1_000;
/// Vectors of kernels and of copies.
const KERNEL_VECTOR: u8 = 1;
const COPY_VECTOR: u8 = 2;
/// Where the copy channel's ring is in the aperture: behind every kernel's data.
const RING_AT: u64 = 24 << 20;
const RING_LOG2: u8 = 6;
/// Where copies go in the framebuffer.
const COPIES_AT: u64 = 26 << 20;
/// Where the counter is in the aperture.
const COUNTER_AT: u64 = 30 << 20;
/// Copies of a round.
pub(crate) const COPIES: u32 = 4;
/// Bytes of each.
pub(crate) const COPY_BYTES: [u64; COPIES as usize] = [4, 4096, 65_540, 256 << 10];
/// In the guest's memory: what is copied, and what comes back.
const FROM_AT: u64 = 0;
const BACK_AT: u64 = 1 << 20;
const COMPLETIONS_AT: u64 = 2 << 20;

/// What a round has come to, as it is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Round {
    /// Its number, from 1.
    pub round: u64,
    /// Kernels that were run so far.
    pub kernels: u64,
    /// Copies that were made so far.
    pub copies: u64,
    /// Completion numbers that were seen so far, each once.
    pub completions: u32,
    /// Interrupts that never came, though the work was done, so far.
    pub lost_wakeups: u64,
    /// What was wrong in this round.
    pub errors: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Rounds {
    device: Device,
    copies: Channel,
    completions: Completions,
    /// How long an interrupt may take.
    patience: Duration,
    last: Round,
}

fn vector(raw: u8) -> Vector {
    Vector::new(raw).expect("a vector")
}

/// The register that keeps a counter: one of a channel that is never created.
fn counter_register(device: &Device) -> u32 {
    let last = GuestChannelId::new(device.channel_count() - 1).expect("the last channel");
    channel_offset(last, ChannelRegister::RingLo)
}

/// The kernels of a round, with what each must come to, which is computed here.
pub(crate) fn kernels(round: u64) -> [godwit_kernels::Job; 3] {
    [
        godwit_kernels::Job::sha256_chain(round, 64, 32, 24),
        godwit_kernels::Job::matmul(round, 32, 8),
        godwit_kernels::Job::histogram(round, 16 << 10, 64, 32, 2),
    ]
}

/// What a copy of a round copies.
pub(crate) fn copied_bytes(round: u64, number: u32) -> Vec<u8> {
    let seed = round * u64::from(COPIES) + u64::from(number);
    let byte_count = COPY_BYTES[number as usize % COPY_BYTES.len()];
    (0..byte_count).map(|at| (at.wrapping_mul(31).wrapping_add(seed * 7)) as u8).collect()
}

impl Rounds {
    /// Finds out what the device is, and opens the channel for copies.
    ///
    /// # Errors
    ///
    /// When it is none that the rounds fit, or does not open the channel.
    pub fn new(guest: &mut impl Guest) -> Result<Self> {
        let device = Device::probe(guest)?;
        if device.channel_count() < 3 || device.aperture_bytes() < 32 << 20 {
            bail!("three channels and 32 MiB of aperture are needed: {device:?}");
        }
        let (id, group) = (GuestChannelId::new(1), GuestTsgId::new(1));
        let (id, group) = (id.context("channel 1")?, group.context("group 1")?);
        let (engine, ring) = (RunlistId::COPY, (RING_AT, RING_LOG2));
        let copies = Channel::create(guest, &device, id, group, engine, ring.0, ring.1)?;
        for _ in 0..WAITS_MAX {
            match copies.poll_ready(guest)? {
                ChannelStatus::Ready => {
                    let completions = Completions::new(COMPLETIONS_AT);
                    let (patience, last) = (PATIENCE, Round::default());
                    return Ok(Self { device, copies, completions, patience, last });
                }
                ChannelStatus::Free => {
                    guest.wait(Duration::from_millis(1))?;
                }
                other => bail!("the copy channel is {other:?}"),
            }
        }
        bail!("the copy channel is not opened")
    }

    /// Does a round. What goes wrong is in it, and the next goes on.
    ///
    /// # Errors
    ///
    /// When the machine itself fails.
    pub fn round(&mut self, guest: &mut impl Guest) -> Result<Round> {
        self.last.round += 1;
        self.last.errors.clear();
        for job in kernels(self.last.round) {
            let name = job.name;
            if let Err(error) = self.kernel(guest, job) {
                self.wrong(format!("{name}: {error:#}"));
            }
        }
        for number in 0..COPIES {
            if let Err(error) = self.copy(guest, number) {
                self.wrong(format!("copy {number}: {error:#}"));
            }
        }
        self.counters(guest)?;
        Ok(self.last.clone())
    }

    fn wrong(&mut self, what: String) {
        self.last.errors.push(what);
    }

    /// Runs a kernel, and compares what it leaves with what the CPU has computed.
    fn kernel(&mut self, guest: &mut impl Guest, job: godwit_kernels::Job) -> Result<()> {
        let spec = JobSpec {
            kernel: Kernel::parse(job.elf)?,
            grid: job.grid,
            block: job.block,
            shared_bytes: job.shared_bytes,
            stack_bytes: job.stack_bytes,
            args: job.args,
            inputs: job.inputs.into_iter().map(|(at, bytes)| (at, Arc::from(bytes))).collect(),
            output: Some(job.output),
            repeat: 1,
        };
        let plan = Job::plan(&self.device, spec, LAUNCH_BASE..DATA_BASE)?;
        let mut work = plan.with_vector(vector(KERNEL_VECTOR));
        let before = guest.interrupts(KERNEL_VECTOR)?;
        work.start(guest)?;
        self.await_quietly(guest, |guest| Ok(work.poll(guest)? != JobState::Creating))?;
        self.await_interrupt(guest, (KERNEL_VECTOR, before), |guest| {
            Ok(work.poll(guest)? != JobState::Running)
        })?;
        let state = work.state();
        let is_right = state == JobState::Done && work.read_output(guest)? == job.expected;
        // Whatever it has come to, the next one has the channel.
        work.close(guest)?;
        let channel = work.channel().context("it had a channel")?.clone();
        self.await_quietly(guest, |guest| Ok(channel.poll_ready(guest)? == ChannelStatus::Free))?;
        if state != JobState::Done {
            bail!("it ends as {state:?}");
        }
        if !is_right {
            bail!("its bytes are wrong");
        }
        self.last.kernels += 1;
        Ok(())
    }

    /// Copies from the guest's memory to the framebuffer and back, and compares.
    fn copy(&mut self, guest: &mut impl Guest, number: u32) -> Result<()> {
        let bytes = copied_bytes(self.last.round, number);
        let byte_count = bytes.len() as u64;
        guest.dma_write(FROM_AT, &bytes)?;
        guest.dma_write(BACK_AT, &vec![0x5a; bytes.len()])?;
        let (there, bus) = (Address::fb(COPIES_AT), guest.bus());
        let completion = self.completions.seen() + 1;
        let released = bus + self.completions.place(completion);
        let entries = [
            Entry::Copy { from: Address::bus(bus + FROM_AT), to: there, byte_count },
            Entry::Copy { from: there, to: Address::bus(bus + BACK_AT), byte_count },
            Entry::Release { at: Address::bus(released), value: completion },
            Entry::Notify(vector(COPY_VECTOR)),
        ];
        let before = guest.interrupts(COPY_VECTOR)?;
        self.copies.submit(guest, &entries)?;
        let copies = self.copies.clone();
        self.await_interrupt(guest, (COPY_VECTOR, before), |guest| {
            Ok(copies.pending(guest)? == 0 || copies.fault(guest)?.is_some())
        })?;
        if let Some(fault) = self.copies.fault(guest)? {
            bail!("the copy channel has stopped: {fault:?}");
        }
        let mut errors = Vec::new();
        self.completions.take(guest, &mut errors)?;
        self.last.errors.append(&mut errors);
        let mut back = vec![0; bytes.len()];
        guest.dma_read(BACK_AT, &mut back)?;
        if back != bytes {
            let at = back.iter().zip(&bytes).position(|(found, wanted)| found != wanted);
            bail!("{byte_count} bytes come back wrong, from byte {at:?} on");
        }
        self.last.copies += 1;
        Ok(())
    }

    /// Counters in the aperture, in a register and in the guest's memory: all of the last round,
    /// and then of this one.
    fn counters(&mut self, guest: &mut impl Guest) -> Result<()> {
        let mut errors = Vec::new();
        self.completions.check(guest, &mut errors)?;
        let register = counter_register(&self.device);
        let before = (self.last.round - 1) as u32;
        let found = guest.read32(register)?;
        if found != before {
            errors.push(format!("the counter in BAR0 is {found}, and was {before}"));
        }
        let found = godwit_guest::load_word(guest, COUNTER_AT)?;
        if found != before {
            errors.push(format!("the counter in BAR2 is {found}, and was {before}"));
        }
        let wanted = self.last.round * u64::from(COPIES);
        if u64::from(self.completions.seen()) != wanted {
            errors.push(format!("{} completions of {wanted} were seen", self.completions.seen()));
        }
        guest.write32(register, self.last.round as u32)?;
        godwit_guest::store_word(guest, COUNTER_AT, self.last.round as u32)?;
        self.last.completions = self.completions.seen();
        self.last.errors.append(&mut errors);
        Ok(())
    }

    /// Waits until something is so, of which the device tells by a vector that was raised so often
    /// before. Where it is so and the vector was not raised, a wake-up was lost.
    fn await_interrupt<G: Guest>(
        &mut self,
        guest: &mut G,
        (vector, mut before): (u8, u32),
        mut until: impl FnMut(&mut G) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..WAITS_MAX {
            let raised = guest.interrupts(vector)?;
            if raised != before {
                before = raised;
                if until(guest)? {
                    return Ok(());
                }
            } else if !guest.wait(self.patience)? {
                if !until(guest)? {
                    bail!("nothing happens for {} s", self.patience.as_secs());
                }
                self.last.lost_wakeups += 1;
                return Ok(());
            }
        }
        bail!("interrupts come without end")
    }

    /// Waits for what no interrupt tells of.
    fn await_quietly<G: Guest>(
        &mut self,
        guest: &mut G,
        mut until: impl FnMut(&mut G) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..10 * WAITS_MAX {
            if until(guest)? {
                return Ok(());
            }
            guest.wait(Duration::from_millis(1))?;
        }
        bail!("it does not come to its end")
    }
}
