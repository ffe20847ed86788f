//! A guest of the bench: its memory, its driver, and the work that it has its device do.

use godwit_conformance::vfio::{GUEST_MEMORY, READ_AT, Work};
use godwit_guest::{Channel, ChannelStatus, CopySpec, Device, Job, JobSpec, JobState, Kernel};
use godwit_regs::fifo::{Address, Entry};
use godwit_shim::Host;
use godwit_sim_gpu::{DmaTarget, DmaWindow};
use godwit_sys::MemFile;
use godwit_types::{Gfid, GuestChannelId, GuestTsgId, RunlistId, Vector};
use godwit_world::HostBars;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// Where the bus has the peer's aperture.
pub(crate) const PEER_AT: u64 = 1 << 40;

/// Rings of the lists for the copy engine, and that of short work with the word that it counts in.
const PEER_RING: Range<u64> = 0x1_0000..0x2_0000;
const GUEST_MEMORY_RING: Range<u64> = 0x2_0000..0x3_0000;
const SHORT_RING: u64 = 0x3_0000;
const SHORT_AT: u64 = 0x3_8000;
const SHORT_RING_LOG2: u8 = 4;
/// What lists copy, in turn, and where they put what they read.
const SOURCES: [u64; 2] = [6 << 20, (6 << 20) + PART_BYTES];
const PART_BYTES: u64 = 256 << 10;
const READ_TO: u64 = 7 << 20;
/// Where in the peer's memory they write.
const PEER_TO: u64 = 5 << 20;
/// Repetitions of work that never ends.
const ENDLESS: u32 = u32::MAX;

const SHORT_VECTOR: Vector = Vector::new(5).expect("there are 32");
/// Pages of the writer, its threads.
const WRITER: (u32, u32) = (16, 4);
/// How long a driver waits for its channel.
const STEP_NS: u64 = 20_000;
const STEPS_MAX: u32 = 10_000;

#[derive(Debug)]
struct Started {
    job: Job,
    /// Where in the device's memory its progress shows.
    shows: Range<u64>,
    expected: Vec<u8>,
}

/// A guest.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) memory: Arc<MemFile>,
    jobs: BTreeMap<Work, Started>,
    short: Option<Channel>,
    shorts: u32,
    interrupts: u64,
}

/// The number of a channel, and of its group.
fn numbers(raw: u16) -> (GuestChannelId, GuestTsgId) {
    let id = GuestChannelId::new(raw).expect("there are eight");
    (id, GuestTsgId::new(raw).expect("there are eight"))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Bytes of a device's memory, as they are behind its back; none where there is no device.
fn peek(host: &Host, gfid: Gfid, range: &Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    match host.card().gpu().partition(gfid) {
        Some(partition) => partition.read(range.start, &mut bytes).expect("it is within"),
        None => bytes.clear(),
    }
    bytes
}

/// All of it.
pub(crate) fn peek_all(host: &Host, gfid: Gfid) -> Vec<u8> {
    let partition = host.card().gpu().partition(gfid);
    partition.map_or_else(Vec::new, |partition| peek(host, gfid, &(0..partition.file().len())))
}

impl Guest {
    pub(crate) fn new() -> Self {
        let memory = MemFile::new("godwit-guest", GUEST_MEMORY.byte_count);
        Self {
            memory: Arc::new(memory.expect("the system gives memory files")),
            jobs: BTreeMap::new(),
            short: None,
            shorts: 0,
            interrupts: 0,
        }
    }

    /// Lets a device reach the guest's memory, and no other guest's.
    pub(crate) fn map(&self, host: &mut Host, gfid: Gfid) {
        let (iova, byte_count) = (GUEST_MEMORY.iova, GUEST_MEMORY.byte_count);
        let _ = host.dma_unmap(gfid, iova, byte_count);
        let target = DmaTarget::Memory { memory: Arc::clone(&self.memory), offset: 0 };
        let window = DmaWindow { iova, byte_count, read: true, write: true, target };
        host.dma_map(gfid, window).expect("nothing else is there");
    }

    /// The device was reset: the driver begins anew.
    pub(crate) fn reboot(&mut self) {
        self.jobs.clear();
        (self.short, self.shorts) = (None, 0);
    }

    /// Begins work that was not begun, or one more piece of short work. `None`: the guest does not
    /// reach its device, or gets no channel.
    pub(crate) fn start(&mut self, host: &mut Host, gfid: Gfid, work: Work) -> Option<()> {
        let mut bars = HostBars { host, gfid };
        let device = Device::probe(&mut bars).ok()?;
        if work == Work::Short {
            return self.start_short(&device, host, gfid);
        }
        let (mut started, number) = plan(&device, work);
        let (id, tsg) = numbers(number);
        started.job = started.job.on_channel(id, tsg).expect("there is such a channel");
        started.job.start(&mut bars).ok()?;
        for _ in 0..STEPS_MAX {
            pass(host, STEP_NS);
            match started.job.poll(&mut HostBars { host, gfid }).ok()? {
                JobState::Creating => {}
                JobState::Running => {
                    self.jobs.insert(work, started);
                    return Some(());
                }
                _ => return None,
            }
        }
        None
    }

    fn start_short(&mut self, device: &Device, host: &mut Host, gfid: Gfid) -> Option<()> {
        let mut channel = match self.short.take() {
            Some(channel) => channel,
            None => open_short(device, host, gfid)?,
        };
        self.shorts += 1;
        let entries = [
            Entry::Release { at: Address::fb(SHORT_AT), value: self.shorts },
            Entry::Notify(SHORT_VECTOR),
        ];
        channel.submit(&mut HostBars { host, gfid }, &entries).ok()?;
        self.short = Some(channel);
        Some(())
    }

    /// The driver looks how far its work is, and gives the device more of it. One that does not
    /// reach its device gets no further with it.
    pub(crate) fn attend(&mut self, host: &mut Host, gfid: Gfid) {
        for started in self.jobs.values_mut() {
            let _ = started.job.poll(&mut HostBars { host, gfid });
        }
    }

    /// See the suite's `Bench`; `peer` is the other vGPU of the card.
    pub(crate) fn progress(&self, host: &Host, gfid: Gfid, peer: Gfid, work: Work) -> u64 {
        match work {
            Work::Writer | Work::Job => {
                self.jobs.get(&work).map_or(0, |at| hash(&peek(host, gfid, &at.shows)))
            }
            Work::Peer => hash(&peek(host, peer, &(PEER_TO..PEER_TO + PART_BYTES))),
            Work::GuestMemory => {
                let mut bytes = vec![0; READ_AT as usize];
                self.memory.read(0, &mut bytes).expect("it is within");
                hash(&bytes)
            }
            Work::Short => {
                let bytes = peek(host, gfid, &(SHORT_AT..SHORT_AT + 4));
                bytes.try_into().map_or(0, |word| u32::from_le_bytes(word).into())
            }
        }
    }

    /// Whether the job has ended, and with the right bytes.
    pub(crate) fn result(&self, host: &mut Host, gfid: Gfid) -> Option<bool> {
        let Started { job, expected, .. } = self.jobs.get(&Work::Job)?;
        match job.state() {
            JobState::Planned | JobState::Creating | JobState::Running => None,
            JobState::Done => {
                let output = job.read_output(&mut HostBars { host, gfid });
                Some(output.is_ok_and(|output| output == *expected))
            }
            JobState::Faulted(_) | JobState::Refused => Some(false),
        }
    }

    pub(crate) fn ring(&self, host: &mut Host, gfid: Gfid) {
        if let Some(channel) = &self.short {
            let rung = channel.ring_doorbell(&mut HostBars { host, gfid });
            rung.expect("the doorbell is always there");
        }
    }

    pub(crate) fn interrupts(&mut self, host: &mut Host, gfid: Gfid) -> u64 {
        let vectors = host.take_vectors(gfid);
        self.interrupts += u64::from(vectors >> SHORT_VECTOR.raw() & 1);
        self.interrupts
    }

    pub(crate) fn memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; GUEST_MEMORY.byte_count as usize];
        self.memory.read(0, &mut bytes).expect("it is within");
        bytes
    }
}

/// Lets time pass on a card.
pub(crate) fn pass(host: &mut Host, ns: u64) {
    let until_ns = host.now_ns() + ns;
    while host.now_ns() < until_ns {
        host.run(until_ns);
    }
}

/// A channel for short work.
fn open_short(device: &Device, host: &mut Host, gfid: Gfid) -> Option<Channel> {
    let (id, tsg) = numbers(3);
    let mut bars = HostBars { host, gfid };
    let (engine, base) = (RunlistId::COPY, SHORT_RING);
    let channel = Channel::create(&mut bars, device, id, tsg, engine, base, SHORT_RING_LOG2);
    let channel = channel.ok()?;
    for _ in 0..STEPS_MAX {
        pass(host, STEP_NS);
        match channel.poll_ready(&mut HostBars { host, gfid }).ok()? {
            ChannelStatus::Free => {}
            ChannelStatus::Ready => return Some(channel),
            ChannelStatus::Faulted(_) | ChannelStatus::Refused => return None,
        }
    }
    None
}

/// Work, and the number of its channel.
fn plan(device: &Device, work: Work) -> (Started, u16) {
    match work {
        Work::Writer => {
            let mut job = godwit_kernels::Job::page_writer(WRITER.0, WRITER.1, 1);
            job.args[2] = u64::MAX;
            let shows = job.args[0]..job.args[0] + 8;
            (kernel(device, job, shows), 0)
        }
        Work::Job => {
            let job = godwit_kernels::Job::matmul(1, 64, 8);
            let shows = job.output.clone();
            (kernel(device, job, shows), 0)
        }
        Work::Peer => {
            let to = Address::bus(PEER_AT + PEER_TO);
            let copy = |from| Entry::Copy { from: Address::fb(from), to, byte_count: PART_BYTES };
            (list(device, SOURCES.map(copy).to_vec(), PEER_RING), 1)
        }
        Work::GuestMemory => {
            let parts = READ_AT / PART_BYTES;
            let entries = SOURCES.into_iter().flat_map(|from| {
                (0..parts).flat_map(move |part| {
                    let bus = |at| Address::bus(GUEST_MEMORY.iova + at);
                    let (at, byte_count) = (part * PART_BYTES, PART_BYTES);
                    let read = (bus(READ_AT + at), Address::fb(READ_TO));
                    let written = (Address::fb(from), bus(at));
                    [written, read].map(|(from, to)| Entry::Copy { from, to, byte_count })
                })
            });
            (list(device, entries.collect(), GUEST_MEMORY_RING), 2)
        }
        Work::Short => unreachable!("it has a channel of its own"),
    }
}

fn kernel(device: &Device, job: godwit_kernels::Job, shows: Range<u64>) -> Started {
    let spec = JobSpec {
        kernel: Kernel::parse(job.elf).expect("it is compiled with this"),
        grid: job.grid,
        block: job.block,
        shared_bytes: job.shared_bytes,
        stack_bytes: job.stack_bytes,
        args: job.args,
        inputs: job.inputs.into_iter().map(|(at, bytes)| (at, bytes.into())).collect(),
        output: Some(job.output),
        repeat: 1,
    };
    let arena = godwit_kernels::LAUNCH_BASE..godwit_kernels::DATA_BASE;
    let planned = Job::plan(device, spec, arena).expect("it fits");
    Started { job: planned, shows, expected: job.expected }
}

fn list(device: &Device, entries: Vec<Entry>, arena: Range<u64>) -> Started {
    let source = |(at, byte): (u64, u8)| (at, vec![byte; PART_BYTES as usize].into());
    let inputs = SOURCES.into_iter().zip([0x5a, 0xc3]).map(source).collect();
    let spec = CopySpec { entries, repeat: ENDLESS, inputs, output: None };
    let job = Job::plan_copies(device, spec, arena).expect("it fits");
    Started { job, shows: 0..0, expected: Vec::new() }
}
