//! A job from load to result, and the plan of one that runs a kernel.

use crate::bars::read;
use crate::kernel::write_chunks;
use crate::plan::{Arena, Placed, check_apart, place_data};
use crate::work::{ChannelPlan, Script, Work};
use crate::{Bars, Channel, Device, Group, GuestError, JobError, JobState, Kernel, Region};
use godwit_regs::fifo::{Entry, Launch};
use godwit_types::{GuestChannelId, GuestTsgId, PAGE_BYTES, RunlistId, Vector};
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are read in one go.
const CHUNK_BYTES: usize = 64 * 1024;
/// Alignment of the argument block: a line of most caches.
const ARGUMENTS_ALIGN: u64 = 64;
/// Shared memory and stacks begin on pages of their own, so that each dirties its own.
const PAGE_ALIGN: u64 = PAGE_BYTES as u64;

/// A kernel and all that a launch of it takes. Addresses are relative to the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// The program.
    pub kernel: Kernel,
    /// Thread blocks.
    pub grid: u32,
    /// Threads of each block.
    pub block: u32,
    /// Bytes of shared memory of a block.
    pub shared_bytes: u32,
    /// Bytes of each thread's stack, a multiple of 16.
    pub stack_bytes: u32,
    /// Words of the argument block.
    pub args: Vec<u64>,
    /// What to put where before the launch.
    pub inputs: Vec<(u64, Arc<[u8]>)>,
    /// Where the result lies.
    pub output: Option<Range<u64>>,
    /// Launches, one after the other.
    pub repeat: u32,
}

/// Work for one channel, and all that goes with it: a kernel's run ([`Self::plan`]) or a list for
/// the copy engine ([`Self::plan_copies`]). [`Self::start`] and then [`Self::poll`] until the
/// state is an end.
///
/// After an error of the BARs the job is in an unknown state and is to be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub(crate) kernel: Option<Kernel>,
    /// What to put where before the start.
    pub(crate) inputs: Vec<(u64, Arc<[u8]>)>,
    pub(crate) output: Option<Range<u64>>,
    pub(crate) work: Work,
}

impl Job {
    /// Places the ring, the arguments, shared memory and stacks in `arena`, and checks that
    /// the job can be done.
    ///
    /// The channel and its group are number 0, and so is the vector that tells of the end; see
    /// [`Self::on_channel`] and [`Self::with_vector`].
    pub fn plan(device: &Device, spec: JobSpec, arena: Range<u64>) -> Result<Self, JobError> {
        check_shape(device, &spec)?;
        let mut arena = Arena::new(device, arena)?;
        let mut script = Script {
            body: Vec::with_capacity(1),
            repeat: spec.repeat,
            vector: Vector::new(0).expect("every vGPU has a vector 0"),
        };
        let (ring_base, ring_log2) = arena.place_ring(u64::from(spec.repeat) + 1)?;
        let args: Vec<u8> = spec.args.iter().flat_map(|word| word.to_le_bytes()).collect();
        let args_at = arena.place(Region::Arguments, args.len() as u64, ARGUMENTS_ALIGN)?;
        let shared_bytes = spec.shared_bytes;
        let shared = arena.place(Region::SharedMemory, shared_bytes.into(), PAGE_ALIGN)?;
        let stacks_bytes = u64::from(spec.block) * u64::from(spec.stack_bytes);
        let stacks = arena.place(Region::Stacks, stacks_bytes, PAGE_ALIGN)?;
        check_places(device, &spec, arena.placed())?;
        script.body.push(Entry::Launch(Launch {
            entry: spec.kernel.entry(),
            grid: spec.grid,
            block: spec.block,
            args: args_at,
            stacks,
            stack_bytes: spec.stack_bytes,
            shared_bytes,
            shared,
        }));
        let channel = ChannelPlan {
            id: GuestChannelId::new(0).expect("every vGPU has a channel 0"),
            group: GuestTsgId::new(0).expect("every vGPU has a group 0").into(),
            engine: RunlistId::COMPUTE,
            ring_base,
            ring_log2,
        };
        let mut inputs = spec.inputs;
        inputs.push((args_at, args.into()));
        let work = Work::new(*device, channel, script);
        Ok(Self { kernel: Some(spec.kernel), inputs, output: spec.output, work })
    }

    /// The same job on another channel, in another group.
    pub fn on_channel(
        mut self,
        id: GuestChannelId,
        group: impl Into<Group>,
    ) -> Result<Self, JobError> {
        self.work.move_to(id, group.into())?;
        Ok(self)
    }

    /// The same job, whose end another vector tells of.
    #[must_use]
    pub fn with_vector(mut self, vector: Vector) -> Self {
        self.work.script.vector = vector;
        self
    }

    /// Puts everything in place and asks for the channel. What lies in the arena is
    /// overwritten.
    pub fn start(&mut self, bars: &mut impl Bars) -> Result<(), GuestError> {
        if self.state() != JobState::Planned {
            return Err(GuestError::Started);
        }
        if let Some(kernel) = &self.kernel {
            kernel.load(bars)?;
        }
        for (at, bytes) in &self.inputs {
            write_chunks(bars, *at, bytes)?;
        }
        self.work.start(bars)
    }

    /// Goes on with a job that another driver, with the same plan, has begun on this vGPU: a
    /// virtual machine that has moved has its driver's memory; whoever has only the plan finds the
    /// rest on the device. What was not begun is left as it is.
    ///
    /// Of a job with fewer than 2^32 entries, whose channel is not closed yet.
    pub fn take_over(&mut self, bars: &mut impl Bars) -> Result<JobState, GuestError> {
        self.work.take_over(bars)?;
        Ok(self.state())
    }

    /// Looks how far the job is, and submits what the ring has room for.
    pub fn poll(&mut self, bars: &mut impl Bars) -> Result<JobState, GuestError> {
        self.work.poll(bars)
    }

    /// How far the job was at the last look.
    pub fn state(&self) -> JobState {
        self.work.state()
    }

    /// The job's channel, once it is asked for.
    pub fn channel(&self) -> Option<&Channel> {
        self.work.channel()
    }

    /// The bytes of the output as they are now; none when the job has no output.
    pub fn read_output(&self, bars: &mut impl Bars) -> Result<Vec<u8>, GuestError> {
        let Some(output) = &self.output else {
            return Ok(Vec::new());
        };
        let mut bytes = vec![0; (output.end - output.start) as usize];
        let places = (output.start..).step_by(CHUNK_BYTES);
        for (at, chunk) in places.zip(bytes.chunks_mut(CHUNK_BYTES)) {
            read(bars, at, chunk)?;
        }
        Ok(bytes)
    }

    /// Notes interrupts, a bit for each vector that arrived. Nothing waits for them.
    pub fn interrupted(&mut self, vectors: u32) {
        self.work.interrupted(vectors);
    }

    /// How often the vector that tells of the end has arrived.
    pub fn interrupts(&self) -> u32 {
        self.work.interrupts()
    }

    /// Asks that the channel be destroyed, so that another job can have it. It is free a while
    /// later.
    pub fn close(&self, bars: &mut impl Bars) -> Result<(), GuestError> {
        self.work.close(bars)
    }
}

fn check_shape(device: &Device, spec: &JobSpec) -> Result<(), JobError> {
    let &JobSpec { grid, block, stack_bytes, .. } = spec;
    if spec.repeat == 0 {
        return Err(JobError::Nothing);
    }
    if grid == 0 || block == 0 || grid.checked_mul(block).is_none() {
        return Err(JobError::Grid { grid, block });
    }
    let threads_max = device.threads_max();
    if block > threads_max {
        return Err(JobError::Block { block, threads_max });
    }
    if !stack_bytes.is_multiple_of(16) {
        return Err(JobError::StackBytes { stack_bytes });
    }
    Ok(())
}

/// Checks that all lies in the aperture, and that what the guest provides lies over nothing.
/// An output may be part of the kernel's own data or of an input.
fn check_places(device: &Device, spec: &JobSpec, own: &[Placed]) -> Result<(), JobError> {
    let limit_bytes = device.aperture_bytes();
    spec.kernel.check_fit(limit_bytes)?;
    let segments: Vec<Placed> = spec
        .kernel
        .segments()
        .iter()
        .map(|segment| (Region::Segment(segment.index), segment.range.clone()))
        .collect();
    let (inputs, outputs) = place_data(device, &spec.inputs, spec.output.as_ref())?;
    check_apart(&inputs, &segments)?;
    check_apart(own, &segments)?;
    check_apart(own, &inputs)?;
    check_apart(own, &outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{APERTURE_BYTES, Fake, THREADS};
    use godwit_kernels::{LAUNCH_BASE, MATMUL};
    use godwit_types::ChannelFault;

    const ARENA: Range<u64> = LAUNCH_BASE..godwit_kernels::DATA_BASE;

    fn spec() -> JobSpec {
        let job = godwit_kernels::Job::matmul(1, 8, 4);
        JobSpec {
            kernel: Kernel::parse(MATMUL).unwrap(),
            grid: job.grid,
            block: job.block,
            shared_bytes: job.shared_bytes,
            stack_bytes: job.stack_bytes,
            args: job.args,
            inputs: job.inputs.into_iter().map(|(at, bytes)| (at, bytes.into())).collect(),
            output: Some(job.output),
            repeat: 1,
        }
    }

    fn started(fake: &mut Fake, spec: JobSpec) -> Job {
        let device = Device::probe(fake).unwrap();
        let mut job = Job::plan(&device, spec, ARENA).unwrap();
        job.start(fake).unwrap();
        job
    }

    fn refusal(change: impl FnOnce(&mut JobSpec)) -> JobError {
        let device = Device::probe(&mut Fake::new()).unwrap();
        let mut spec = spec();
        change(&mut spec);
        Job::plan(&device, spec, ARENA).expect_err("a refusal")
    }

    #[test]
    fn a_job_goes_from_load_to_result() {
        let mut fake = Fake::new();
        let spec = spec();
        let mut job = started(&mut fake, spec.clone());
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Creating);
        assert!(matches!(job.start(&mut fake), Err(GuestError::Started)));
        fake.take_requests();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Running);
        assert_eq!(fake.rings, 1);
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Running);
        assert_eq!(fake.rings, 1, "nothing new, no doorbell");
        fake.run();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Done);
        assert_eq!(fake.vectors, [1]);
        let [launch] = fake.launches[..] else { panic!("{:?}", fake.launches) };
        assert_eq!(launch.entry, spec.kernel.entry());
        assert_eq!((launch.grid, launch.block), (spec.grid, spec.block));
        let at = launch.args as usize;
        assert_eq!(fake.memory[at..at + 8], spec.args[0].to_le_bytes());
        for (at, bytes) in &spec.inputs {
            assert_eq!(fake.memory[*at as usize..][..bytes.len()], **bytes);
        }
        let output = spec.output.unwrap();
        fake.memory[output.start as usize..output.end as usize].fill(7);
        assert_eq!(job.read_output(&mut fake).unwrap(), [7; 8 * 8 * 4]);
    }

    #[test]
    fn a_job_goes_on_under_another_driver_with_the_same_plan() {
        let mut fake = Fake::new();
        let repeat = 1000;
        let device = Device::probe(&mut fake).unwrap();
        let plan = || Job::plan(&device, JobSpec { repeat, ..spec() }, ARENA).unwrap();
        let mut other = plan();
        assert_eq!(other.take_over(&mut fake).unwrap(), JobState::Planned, "nothing is begun");
        let mut job = started(&mut fake, JobSpec { repeat, ..spec() });
        fake.take_requests();
        job.poll(&mut fake).unwrap();
        fake.run();
        job.poll(&mut fake).unwrap();
        drop(job);
        assert_eq!(other.take_over(&mut fake).unwrap(), JobState::Running);
        assert!(matches!(other.take_over(&mut fake), Err(GuestError::Started)));
        while other.poll(&mut fake).unwrap() != JobState::Done {
            fake.run();
        }
        assert_eq!(fake.launches.len(), 1000, "each once");
        let mut elsewhere = plan()
            .on_channel(GuestChannelId::new(1).unwrap(), GuestTsgId::new(1).unwrap())
            .unwrap();
        assert_eq!(elsewhere.take_over(&mut fake).unwrap(), JobState::Planned);
    }

    #[test]
    fn launches_are_repeated_as_often_as_asked_for_in_a_shorter_ring() {
        let mut fake = Fake::new();
        let repeat = 1000;
        let mut job = started(&mut fake, JobSpec { repeat, ..spec() });
        fake.take_requests();
        let mut polls = 0;
        while job.poll(&mut fake).unwrap() != JobState::Done {
            fake.run();
            polls += 1;
            assert!(polls < 100, "no end");
        }
        assert_eq!(fake.launches.len(), 1000);
        assert_eq!(fake.vectors, [1], "told once, at the end");
        assert!(polls > 3);
    }

    #[test]
    fn interrupts_of_its_own_vector_are_counted() {
        let vector = Vector::new(31).unwrap();
        let mut fake = Fake::new();
        let device = Device::probe(&mut fake).unwrap();
        let mut job = Job::plan(&device, spec(), ARENA).unwrap().with_vector(vector);
        job.interrupted(u32::MAX >> 1);
        assert_eq!(job.interrupts(), 0);
        job.interrupted(1 << 31);
        job.interrupted(u32::MAX);
        assert_eq!(job.interrupts(), 2);
        job.start(&mut fake).unwrap();
        fake.take_requests();
        job.poll(&mut fake).unwrap();
        fake.run();
        assert_eq!(fake.vectors, [1 << 31]);
    }

    #[test]
    fn a_fault_and_a_refusal_end_the_job() {
        let mut fake = Fake::new();
        let mut job = started(&mut fake, spec());
        fake.take_requests();
        job.poll(&mut fake).unwrap();
        let launch_at = job.channel().unwrap().ring().base() + 512;
        fake.memory[launch_at as usize] = 99; // an operation that there is not
        fake.run();
        let faulted = JobState::Faulted(ChannelFault::BadEntry);
        assert_eq!(job.poll(&mut fake).unwrap(), faulted);
        assert_eq!(job.poll(&mut fake).unwrap(), faulted);

        let mut fake = Fake::new();
        fake.refuses = true;
        let mut job = started(&mut fake, spec());
        fake.take_requests();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Refused);
    }

    #[test]
    fn a_closed_job_s_channel_is_free_for_the_next() {
        let mut fake = Fake::new();
        for _ in 0..2 {
            let mut job = started(&mut fake, spec());
            fake.take_requests();
            job.poll(&mut fake).unwrap();
            fake.run();
            assert_eq!(job.poll(&mut fake).unwrap(), JobState::Done);
            job.close(&mut fake).unwrap();
            fake.take_requests();
        }
        assert_eq!(fake.launches.len(), 2);
    }

    #[test]
    fn a_channel_that_vanishes_is_an_error() {
        let mut fake = Fake::new();
        let mut job = started(&mut fake, spec());
        fake.take_requests();
        job.poll(&mut fake).unwrap();
        job.close(&mut fake).unwrap();
        fake.take_requests();
        let result = job.poll(&mut fake);
        assert!(matches!(result, Err(GuestError::ChannelGone { channel: 0 })));
    }

    #[test]
    fn a_job_on_another_channel_asks_for_that_one() {
        let mut fake = Fake::new();
        let device = Device::probe(&mut fake).unwrap();
        let plan = || Job::plan(&device, spec(), ARENA).unwrap();
        let id = GuestChannelId::new(7).unwrap();
        let tsg = GuestTsgId::new(8).unwrap();
        let beyond = plan().on_channel(id, tsg);
        assert!(matches!(beyond, Err(JobError::Channel(_))));
        let mut job = plan().on_channel(id, GuestTsgId::new(2).unwrap()).unwrap();
        job.start(&mut fake).unwrap();
        assert_eq!(job.channel().map(Channel::id), Some(id));
    }

    #[test]
    fn shapes_that_no_launch_can_have_are_refused() {
        let no_grid = refusal(|spec| spec.grid = 0);
        assert!(matches!(no_grid, JobError::Grid { .. }));
        let huge = refusal(|spec| (spec.grid, spec.block) = (1 << 24, 256));
        assert!(matches!(huge, JobError::Grid { .. }));
        let wide = refusal(|spec| spec.block = THREADS + 1);
        assert!(matches!(wide, JobError::Block { .. }));
        let odd = refusal(|spec| spec.stack_bytes = 1000);
        assert!(matches!(odd, JobError::StackBytes { .. }));
        assert!(matches!(refusal(|spec| spec.repeat = 0), JobError::Nothing));
    }

    #[test]
    fn what_lies_in_the_wrong_place_is_named_with_its_range() {
        let message = |change: fn(&mut JobSpec)| refusal(change).to_string();
        let input = message(|spec| spec.inputs[1].0 = APERTURE_BYTES - 255);
        assert_eq!(
            input,
            "input 1, 0x100 bytes at 0x7fff01, does not lie within the first 0x800000 bytes of \
             the partition"
        );
        let overflow = message(|spec| spec.inputs[0].0 = u64::MAX);
        assert!(overflow.starts_with("input 0,"), "{overflow}");
        let ring = message(|spec| spec.inputs[0].0 = LAUNCH_BASE + 100);
        assert!(
            ring.starts_with("the ring (0x200000..0x200280) and input 0 (0x200064.."),
            "{ring}"
        );
        let code = message(|spec| spec.inputs[0].0 = spec.kernel.entry());
        assert!(code.contains("segment 0 of the kernel (0x100000.."), "{code}");
        let output = message(|spec| spec.output = Some(LAUNCH_BASE..LAUNCH_BASE + 1));
        assert!(output.ends_with("the output (0x200000..0x200001) overlap"), "{output}");
        #[expect(clippy::reversed_empty_ranges)]
        let reversed = message(|spec| spec.output = Some(9..8));
        assert!(reversed.contains("before its start"), "{reversed}");
        let stacks = message(|spec| spec.stack_bytes = 1 << 20);
        assert!(stacks.starts_with("the arena has no room for the stacks: 0x"), "{stacks}");
    }

    #[test]
    fn an_arena_must_lie_in_the_aperture_and_off_the_kernel() {
        let device = Device::probe(&mut Fake::new()).unwrap();
        let plan = |arena| Job::plan(&device, spec(), arena);
        let beyond = plan(0..APERTURE_BYTES + 1);
        assert!(matches!(beyond, Err(JobError::Arena { .. })));
        #[expect(clippy::reversed_empty_ranges)]
        let reversed = plan(8..0);
        assert!(matches!(reversed, Err(JobError::Arena { .. })));
        let on_the_kernel = plan(1 << 20..4 << 20);
        assert!(matches!(on_the_kernel, Err(JobError::Overlap { .. })));
        let none = plan(LAUNCH_BASE..LAUNCH_BASE);
        assert!(matches!(none, Err(JobError::ArenaFull { .. })));
        assert!(plan(0..1 << 20).is_ok());
    }
}
