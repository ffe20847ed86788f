//! Jobs of guests.

use crate::bars::HostBars;
use crate::report::JobReport;
use crate::vgpu::{Home, VgpuNode};
use crate::world::{JobId, VgpuId, World, WorldError};
use godwit_guest::{ChannelStatus, Job, JobState, Kernel};
use godwit_types::{Gfid, GuestChannelId, GuestTsgId, Vector};
use std::ops::Range;

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
        inputs: Vec<(u64, Vec<u8>)>,
        /// Where the result lies.
        output: Option<Range<u64>>,
        /// Part of the partition for ring, arguments, shared memory and stacks.
        arena: Range<u64>,
        /// What the output must be; `None`: nothing is prescribed.
        expected: Option<Vec<u8>>,
    },
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
    /// Launches, one after the other.
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
    expected: Option<Vec<u8>>,
    endless: bool,
    /// Its vGPU's counts when it began and when it ended: instructions, preemptions.
    began: Option<(u64, u64)>,
    ended: Option<(u64, u64)>,
    /// Its channel is closed, so that the next job can have its memory.
    closed: bool,
    output: Option<Vec<u8>>,
}

impl JobNode {
    pub(crate) fn plan(spec: JobSpec, vgpu: &VgpuNode, number: usize) -> Result<Self, WorldError> {
        let JobSpec { name, source, repeat, endless, .. } = spec;
        let elf_error = |error| WorldError::Elf { name: name.clone(), error: Box::new(error) };
        let (guest_spec, arena, expected) = match source {
            JobSource::Kernel(job) => {
                let output = (!job.expected.is_empty()).then_some(job.output);
                let spec = godwit_guest::JobSpec {
                    kernel: Kernel::parse(job.elf).map_err(elf_error)?,
                    grid: job.grid,
                    block: job.block,
                    shared_bytes: job.shared_bytes,
                    stack_bytes: job.stack_bytes,
                    args: job.args,
                    inputs: job.inputs,
                    output,
                    repeat,
                };
                (spec, ARENA, (!job.expected.is_empty()).then_some(job.expected))
            }
            JobSource::Program {
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
                let kernel = Kernel::parse(&elf).map_err(elf_error)?;
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
                (spec, arena, expected)
            }
        };
        let job_error = |error| WorldError::Job { name: name.clone(), error: Box::new(error) };
        let mut job = Job::plan(&vgpu.device, guest_spec, arena).map_err(job_error)?;
        // Jobs follow one another, each on a channel and with a vector of its own where there
        // are so many.
        let turn = number as u16 % vgpu.profile.channel_count;
        if let (Some(channel), Some(tsg)) = (GuestChannelId::new(turn), GuestTsgId::new(turn)) {
            job = job.on_channel(channel, tsg).map_err(job_error)?;
        }
        if let Some(vector) = Vector::new((number % 32) as u8) {
            job = job.with_vector(vector);
        }
        let vgpu = spec.vgpu;
        let (began, ended, closed, output) = (None, None, false, None);
        Ok(Self { name, vgpu, job, expected, endless, began, ended, closed, output })
    }

    pub(crate) fn is_endless(&self) -> bool {
        self.endless
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Instructions that its vGPU has run since it began.
    pub(crate) fn instructions(&self, world: &World) -> Option<u64> {
        let (began, _) = self.began?;
        let (now, _) = self.ended.unwrap_or_else(|| world.counts(self.vgpu));
        Some(now - began)
    }

    pub(crate) fn report(&self, world: &World) -> JobReport {
        let id = JobId(world.jobs.iter().position(|job| std::ptr::eq(job, self)).unwrap_or(0));
        let (now, now_preempted) = self.ended.unwrap_or_else(|| world.counts(self.vgpu));
        let (began, began_preempted) = self.began.unwrap_or((now, now_preempted));
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
            instructions: now - began,
            preemptions: now_preempted - began_preempted,
            output: self.output.clone(),
            expected: self.expected.clone(),
            ok: if self.endless { runs } else { done && right && self.job.interrupts() != 0 },
            endless: self.endless,
        }
    }
}

impl World {
    /// Instructions and preemptions of a vGPU, wherever it ran.
    pub(crate) fn counts(&self, vgpu: VgpuId) -> (u64, u64) {
        let node = &self.vgpus[vgpu.0];
        let present = match node.home {
            Home::Host(host, gfid) => Some(self.hosts[host.0].host.card().gpu().stats(gfid)),
            Home::InFlight | Home::File(_) => None,
        };
        let totals = node.totals(present);
        (totals.instructions, totals.preemptions)
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
        let current = jobs.into_iter().find(|job| !self.jobs[job.0].closed);
        if let Some(job) = current {
            self.step_job(job, gfid, host.0);
        }
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
