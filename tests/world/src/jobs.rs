//! Jobs of guests.

use crate::bars::HostBars;
use crate::copies::CopyWork;
use crate::report::{JobReport, ShareReport};
use crate::vgpu::{Home, VgpuNode};
use crate::world::{HostId, JobId, VgpuId, World, WorldError};
use godwit_guest::{Channel, ChannelStatus, Device, Group, Job, JobError, JobState, Kernel};
use godwit_sim_gpu::VgpuStats;
use godwit_types::{Gfid, GuestChannelId, GuestTsgId, Vector};
use std::ops::Range;
use std::sync::Arc;

/// Part of a partition that jobs of `godwit-kernels` leave to whoever launches them.
const ARENA: Range<u64> = godwit_kernels::LAUNCH_BASE..godwit_kernels::DATA_BASE;

/// What a job runs.
#[derive(Clone, Debug)]
pub enum JobSource {
    /// One of the kernels that come with Godwit, with an expected output.
    Kernel(godwit_kernels::Job),
    /// Any program.
    Program {
        /// The ELF file's bytes.
        elf: Vec<u8>,
        /// Thread blocks.
        grid: u32,
        /// Threads of each block.
        block: u32,
        /// Bytes of shared memory of a block.
        shared_bytes: u32,
        /// Bytes of each thread's stack.
        stack_bytes: u32,
        /// Words of the argument block.
        args: Vec<u64>,
        /// What to put where before the launch.
        inputs: Vec<(u64, Arc<[u8]>)>,
        /// Where the result lies.
        output: Option<Range<u64>>,
        /// Part of the partition for ring, arguments, shared memory and stacks.
        arena: Range<u64>,
        /// What the output must be; `None`: nothing is prescribed.
        expected: Option<Vec<u8>>,
    },
    /// A list for the copy engine, with an expected output.
    Copies(CopyWork),
}

impl JobSource {
    /// Whether it is for the compute engine.
    pub(crate) fn computes(&self) -> bool {
        match self {
            Self::Kernel(_) | Self::Program { .. } => true,
            Self::Copies(_) => false,
        }
    }

    /// What the guest's driver is to do, and what must come out.
    fn plan(
        self,
        device: &Device,
        repeat: u32,
        name: &str,
    ) -> Result<(Job, Option<Vec<u8>>), WorldError> {
        let parse = |elf: &[u8]| {
            let kernel = Kernel::parse(elf);
            kernel.map_err(|error| WorldError::Elf { name: name.into(), error: Box::new(error) })
        };
        let (job, expected) = match self {
            Self::Kernel(job) => {
                let ends = !job.expected.is_empty();
                let spec = godwit_guest::JobSpec {
                    kernel: parse(job.elf)?,
                    grid: job.grid,
                    block: job.block,
                    shared_bytes: job.shared_bytes,
                    stack_bytes: job.stack_bytes,
                    args: job.args,
                    inputs: job.inputs.into_iter().map(|(at, it)| (at, it.into())).collect(),
                    output: ends.then_some(job.output),
                    repeat,
                };
                (Job::plan(device, spec, ARENA), ends.then_some(job.expected))
            }
            Self::Program {
                elf,
                grid,
                block,
                shared_bytes,
                stack_bytes,
                args,
                inputs,
                output,
                arena,
                expected,
            } => {
                let kernel = parse(&elf)?;
                let spec = godwit_guest::JobSpec {
                    kernel,
                    grid,
                    block,
                    shared_bytes,
                    stack_bytes,
                    args,
                    inputs,
                    output,
                    repeat,
                };
                (Job::plan(device, spec, arena), expected)
            }
            Self::Copies(work) => {
                let job = Job::plan_copies(device, work.spec(repeat), work.arena());
                (job, Some(work.expected(repeat)))
            }
        };
        let job = job.map_err(|error| job_error(name, error))?;
        Ok((job, expected))
    }
}

fn job_error(name: &str, error: JobError) -> WorldError {
    WorldError::Job { name: name.into(), error: Box::new(error) }
}

/// A job to be run.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// For reports.
    pub name: String,
    /// Whose guest runs it.
    pub vgpu: VgpuId,
    /// What.
    pub source: JobSource,
    /// Launches, or rounds of a list, one after the other.
    pub repeat: u32,
    /// Whether it never ends by itself.
    pub endless: bool,
}

/// A job, and what is known of it.
#[derive(Debug)]
pub(crate) struct JobNode {
    pub(crate) name: String,
    pub(crate) vgpu: VgpuId,
    job: Job,
    /// It is for the compute engine.
    computes: bool,
    expected: Option<Vec<u8>>,
    endless: bool,
    /// Its vGPU's counts when it began and when it ended.
    began: Option<VgpuStats>,
    ended: Option<VgpuStats>,
    /// Its channel is closed, so that the next job can have its memory.
    closed: bool,
    output: Option<Vec<u8>>,
}

impl JobNode {
    /// Plans a job on the channel of this number, in the group of that number.
    pub(crate) fn plan(
        spec: JobSpec,
        vgpu: &VgpuNode,
        (number, group): (usize, usize),
    ) -> Result<Self, WorldError> {
        let JobSpec { name, source, repeat, endless, .. } = spec;
        let computes = source.computes();
        let (mut job, expected) = source.plan(&vgpu.device, repeat, &name)?;
        // Each on a channel and with a vector of its own where there are so many.
        let turn = |number: usize| number as u16 % vgpu.profile.channel_count;
        let (channel, tsg) = (GuestChannelId::new(turn(number)), GuestTsgId::new(turn(group)));
        if let (Some(channel), Some(tsg)) = (channel, tsg) {
            let group = Group { tsg, grace: vgpu.grace };
            job = job.on_channel(channel, group).map_err(|error| job_error(&name, error))?;
        }
        if let Some(vector) = Vector::new((number % 31) as u8) {
            job = job.with_vector(vector);
        }
        let vgpu = spec.vgpu;
        Ok(Self {
            name,
            vgpu,
            job,
            computes,
            expected,
            endless,
            began: None,
            ended: None,
            closed: false,
            output: None,
        })
    }

    pub(crate) fn is_endless(&self) -> bool {
        self.endless
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it is for the compute engine.
    pub(crate) fn computes(&self) -> bool {
        self.computes
    }

    pub(crate) fn state(&self) -> JobState {
        self.job.state()
    }

    /// The guest's end of its channel.
    pub(crate) fn channel(&self) -> Option<&Channel> {
        self.job.channel()
    }

    /// Instructions that its vGPU has run since it began.
    pub(crate) fn instructions(&self, world: &World) -> Option<u64> {
        let now = self.ended.unwrap_or_else(|| world.counts(self.vgpu));
        Some(now.instructions - self.began?.instructions)
    }

    pub(crate) fn report(&self, world: &World) -> JobReport {
        let id = JobId(world.jobs.iter().position(|job| std::ptr::eq(job, self)).unwrap_or(0));
        let now = self.ended.unwrap_or_else(|| world.counts(self.vgpu));
        let began = self.began.unwrap_or(now);
        let done = self.job.state() == JobState::Done;
        let right = self.expected.is_none() || self.output == self.expected;
        let runs = self.endless && self.job.state() == JobState::Running;
        JobReport {
            job: id,
            name: self.name.clone(),
            vgpu: self.vgpu,
            state: match self.job.state() {
                JobState::Planned | JobState::Creating => "waiting".into(),
                JobState::Running => "running".into(),
                JobState::Done => "done".into(),
                JobState::Faulted(fault) => format!("faulted: {fault:?}"),
                JobState::Refused => "refused".into(),
            },
            instructions: now.instructions - began.instructions,
            copied_bytes: now.copied_bytes - began.copied_bytes,
            preemptions: now.preemptions - began.preemptions,
            output: self.output.clone(),
            expected: self.expected.clone(),
            ok: if self.endless { runs } else { done && right && self.job.interrupts() != 0 },
            endless: self.endless,
        }
    }
}

impl World {
    /// What was counted of a vGPU, wherever it ran.
    pub(crate) fn counts(&self, vgpu: VgpuId) -> VgpuStats {
        let node = &self.vgpus[vgpu.0];
        let present = match node.home {
            Home::Host(host, gfid) => Some(self.hosts[host.0].host.card().gpu().stats(gfid)),
            Home::InFlight | Home::File(_) => None,
        };
        node.totals(present)
    }

    /// A guest that comes from another process finds its jobs on its vGPU.
    pub(crate) fn take_over_jobs(&mut self, id: VgpuId) {
        let counts = self.counts(id);
        let Home::Host(host, gfid) = self.vgpus[id.0].home else { return };
        for job in self.vgpus[id.0].jobs.clone() {
            let node = &mut self.jobs[job.0];
            let mut bars = HostBars { host: &mut self.hosts[host.0].host, gfid };
            match node.job.take_over(&mut bars) {
                Ok(JobState::Planned) => {}
                Ok(_) => node.began = Some(counts),
                Err(error) => self.problems.push(format!("job {}: {error}", node.name)),
            }
        }
    }

    /// What each vGPU had of the engines so far, in the order in which they were added.
    pub fn share_reports(&self) -> Vec<ShareReport> {
        let report = |vgpu: VgpuId| {
            let counts = self.counts(vgpu);
            ShareReport {
                vgpu,
                compute_ns: counts.compute_busy_ns,
                copy_ns: counts.copy_busy_ns,
                preemptions: counts.preemptions,
                abuses: self.vgpus[vgpu.0].abuses.clone(),
            }
        };
        (0..self.vgpus.len()).map(VgpuId).map(report).collect()
    }

    /// Takes note of vGPUs that do too much of something.
    pub(crate) fn note_abuses(&mut self) {
        for (at, node) in self.hosts.iter_mut().enumerate() {
            for abuse in node.host.take_abuses() {
                let home = Home::Host(HostId(at), abuse.gfid);
                if let Some(vgpu) = self.vgpus.iter_mut().find(|vgpu| vgpu.home == home) {
                    vgpu.abuses.push(format!("{:?}: {:?}", abuse.abuse, abuse.measure));
                }
            }
        }
    }

    /// Lets every guest that is not paused do what it would: take interrupts, and go on with
    /// its jobs.
    pub(crate) fn step_guests(&mut self) {
        for id in (0..self.vgpus.len()).map(VgpuId) {
            if !self.vgpus[id.0].paused {
                self.step_guest(id);
            }
        }
    }

    fn step_guest(&mut self, id: VgpuId) {
        let Home::Host(host, gfid) = self.vgpus[id.0].home else { return };
        let vectors = self.hosts[host.0].host.take_vectors(gfid);
        self.check_guest_time(id);
        let jobs = self.vgpus[id.0].jobs.clone();
        for job in &jobs {
            self.jobs[job.0].job.interrupted(vectors);
        }
        let (kernels, lists): (Vec<JobId>, Vec<JobId>) =
            jobs.into_iter().partition(|job| self.jobs[job.0].computes());
        if let Some(job) = kernels.into_iter().find(|job| !self.jobs[job.0].closed) {
            self.step_job(job, gfid, host.0);
        }
        for job in lists {
            if !self.jobs[job.0].closed {
                self.step_job(job, gfid, host.0);
            }
            // The next one begins when this one is at work, so that its doorbell finds their
            // group on the engine.
            if !self.has_progress(job, gfid, host.0) {
                break;
            }
        }
    }

    /// Whether an entry of a job is done.
    fn has_progress(&mut self, job: JobId, gfid: Gfid, host: usize) -> bool {
        let node = &self.jobs[job.0];
        let mut bars = HostBars { host: &mut self.hosts[host].host, gfid };
        let done = node.channel().map(|channel| channel.completed(&mut bars));
        node.has_ended() || matches!(done, Some(Ok(1..)))
    }

    fn step_job(&mut self, id: JobId, gfid: Gfid, host: usize) {
        let counts = self.counts(self.jobs[id.0].vgpu);
        let node = &mut self.jobs[id.0];
        let mut bars = HostBars { host: &mut self.hosts[host].host, gfid };
        if node.ended.is_some() {
            let channel = node.job.channel();
            let status = channel.map(|channel| channel.poll_ready(&mut bars));
            node.closed = matches!(status, None | Some(Ok(ChannelStatus::Free) | Err(_)));
            return;
        }
        let result = if node.job.state() == JobState::Planned {
            node.began = Some(counts);
            node.job.start(&mut bars).map(|()| JobState::Creating)
        } else {
            node.job.poll(&mut bars)
        };
        match result {
            Ok(JobState::Planned | JobState::Creating | JobState::Running) => {}
            // The last entry of a job raises its interrupt: a guest would sleep until then.
            Ok(JobState::Done) if node.job.interrupts() == 0 => {}
            Ok(JobState::Done) => {
                node.ended = Some(counts);
                match node.job.read_output(&mut bars) {
                    Ok(output) => node.output = Some(output),
                    Err(error) => self.problems.push(format!("job {}: {error}", node.name)),
                }
                if node.expected.is_some() && node.output != node.expected {
                    self.problems.push(format!("job {}: its bytes are wrong", node.name));
                }
                self.close_job(id, gfid, host);
            }
            Ok(JobState::Faulted(_) | JobState::Refused) => {
                node.ended = Some(counts);
                self.check_guilt(id);
                self.close_job(id, gfid, host);
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                self.problems.push(format!(
                    "at {} ns: job {}: {error}: {}",
                    self.now_ns,
                    node.name,
                    source.unwrap_or_default()
                ));
                node.ended = Some(counts);
            }
        }
    }

    /// The guest closes the channel of a job that has ended.
    fn close_job(&mut self, id: JobId, gfid: Gfid, host: usize) {
        let node = &mut self.jobs[id.0];
        let mut bars = HostBars { host: &mut self.hosts[host].host, gfid };
        if let Err(error) = node.job.close(&mut bars) {
            self.problems.push(format!("job {}: {error}", node.name));
        }
    }
}
