//! The world: what is in it and what can be asked of it.

use crate::evacuate::Evacuation;
use crate::events::{Action, EventId, Pending};
use crate::files::PartitionFile;
use crate::host::{HostNode, HostSpec};
use crate::jobs::{JobNode, JobSpec};
use crate::link::Link;
use crate::moves::Move;
use crate::neighbours::Window;
use crate::remote::Remote;
use crate::report::{JobReport, MoveReport};
use crate::suspend::{ResumeNode, SuspendNode};
use crate::vgpu::{Home, VgpuNode, VgpuSpec};
use godwit_guest::{ElfError, GuestError, JobError};
use godwit_log::LogLine;
use godwit_shim::{CardError, Host, HostError, Mcu, SealKey};
use godwit_sim_gpu::{Costs, Fault, GpuConfig};
use godwit_types::{Identity, Scheduling};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Names a host of the world, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub(crate) usize);

/// Names a vGPU of the world, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VgpuId(pub(crate) usize);

/// Names a job of the world, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub(crate) usize);

/// What a world is made with.
#[derive(Clone, Copy, Debug)]
pub struct WorldConfig {
    /// Everything that is random follows from it: ids and canaries of vGPUs, and what the
    /// guests leave in their memory.
    pub seed: u64,
    /// What things cost in virtual time.
    pub costs: Costs,
}

/// Why the world could not be made as asked.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A host's card does not come up.
    #[error("{0}")]
    Card(#[from] CardError),
    /// A host refused.
    #[error("{name}: {error}")]
    Host {
        /// Which vGPU, or which host.
        name: String,
        /// Why.
        error: HostError,
    },
    /// A kernel is refused.
    #[error("job {name}: {error}")]
    Elf {
        /// Which job.
        name: String,
        /// Why.
        error: Box<ElfError>,
    },
    /// A job does not fit its vGPU.
    #[error("job {name}: {error}")]
    Job {
        /// Which job.
        name: String,
        /// Why.
        error: Box<JobError>,
    },
    /// A guest cannot reach its vGPU.
    #[error("{name}: {error}")]
    Guest {
        /// Which vGPU or job.
        name: String,
        /// Why.
        error: Box<GuestError>,
    },
}

/// Hosts, links, guests, and a clock.
#[derive(Debug)]
pub struct World {
    pub(crate) config: WorldConfig,
    mcu: Mcu,
    pub(crate) now_ns: u64,
    pub(crate) hosts: Vec<HostNode>,
    pub(crate) vgpus: Vec<VgpuNode>,
    pub(crate) jobs: Vec<JobNode>,
    pub(crate) links: BTreeMap<(HostId, HostId), Link>,
    pub(crate) moves: Vec<Move>,
    pub(crate) evacuations: Vec<Evacuation>,
    /// What moves are sealed with, and what is kept of them.
    pub(crate) seal: Option<Arc<SealKey>>,
    /// Files of all partitions that were ever given to somebody.
    pub(crate) files: Vec<PartitionFile>,
    pub(crate) suspends: Vec<SuspendNode>,
    pub(crate) resumes: Vec<ResumeNode>,
    pub(crate) remote: Option<Remote>,
    pub(crate) pending: Vec<Pending>,
    /// How many actions were scheduled.
    pub(crate) scheduled: usize,
    /// Scheduled faults, in the order in which they were injected.
    pub(crate) injected: Vec<(EventId, HostId, Fault)>,
    /// Scheduled crashes, in the order in which they were arranged.
    pub(crate) crashes: Vec<(EventId, HostId)>,
    pub(crate) updates: Vec<(EventId, Result<(), String>)>,
    pub(crate) reports: Vec<MoveReport>,
    pub(crate) windows: Vec<Window>,
    pub(crate) problems: Vec<String>,
    /// A transfer has ended, and nobody has looked for leaked bytes since.
    pub(crate) leaks_due: bool,
    /// Messages when the last step began, and whether there was none since the one before.
    pub(crate) messages_seen: u64,
    pub(crate) quiet: bool,
}

impl World {
    /// A world without hosts, at time 0.
    pub fn new(config: WorldConfig) -> Self {
        Self {
            config,
            mcu: Mcu::Native,
            now_ns: 0,
            hosts: Vec::new(),
            vgpus: Vec::new(),
            jobs: Vec::new(),
            links: BTreeMap::new(),
            moves: Vec::new(),
            evacuations: Vec::new(),
            files: Vec::new(),
            seal: None,
            suspends: Vec::new(),
            resumes: Vec::new(),
            remote: None,
            pending: Vec::new(),
            scheduled: 0,
            injected: Vec::new(),
            crashes: Vec::new(),
            updates: Vec::new(),
            reports: Vec::new(),
            windows: Vec::new(),
            problems: Vec::new(),
            leaks_due: false,
            messages_seen: 0,
            quiet: false,
        }
    }

    /// What the firmware of hosts that are added from now on runs on; this process, unless
    /// told otherwise.
    pub fn set_mcu(&mut self, mcu: Mcu) {
        self.mcu = mcu;
    }

    /// Virtual time since the start, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Powers a host on.
    ///
    /// # Errors
    ///
    /// When the system gives no memory.
    pub fn add_host(&mut self, spec: HostSpec) -> Result<HostId, WorldError> {
        let identity = Identity {
            fb_bytes: spec.fb_bytes,
            bar_bytes: spec.bar_bytes,
            context_bytes: spec.context_bytes,
            context_layout: spec.context_layout,
            engines: spec.engines,
        };
        let costs = self.config.costs;
        let config = GpuConfig { identity, start_ns: spec.start_ns, costs };
        let mut host = Host::new(config, &self.mcu)?;
        if spec.scheduling != Scheduling::DEFAULT {
            host.set_scheduling(spec.scheduling)
                .map_err(|error| WorldError::Host { name: spec.name.clone(), error })?;
        }
        self.hosts.push(HostNode::new(spec, host));
        Ok(HostId(self.hosts.len() - 1))
    }

    /// Makes a vGPU on a host and lets it run. Before anything else goes on there.
    ///
    /// # Errors
    ///
    /// When it does not fit the host.
    pub fn add_vgpu(&mut self, spec: VgpuSpec) -> Result<VgpuId, WorldError> {
        self.add_vgpu_as(spec, self.vgpus.len())
    }

    /// The same, with the ids of the vGPU that is added as this number to another world with this
    /// seed.
    ///
    /// # Errors
    ///
    /// When it does not fit the host.
    pub fn add_vgpu_as(&mut self, spec: VgpuSpec, number: usize) -> Result<VgpuId, WorldError> {
        let host = spec.host;
        let node = &mut self.hosts[host.0];
        let gfid = node
            .host
            .create_running(spec.profile, spec.share, None)
            .map_err(|error| WorldError::Host { name: spec.name.clone(), error })?;
        let id = VgpuId(self.vgpus.len());
        let vgpu = VgpuNode::new(self.config.seed, number, spec, gfid, node)?;
        self.vgpus.push(vgpu);
        self.map_ram(id, host, gfid);
        Ok(id)
    }

    /// Gives a vGPU's guest a job. Kernels run one after the other. Lists of copies run beside
    /// them and one another, all in one group.
    ///
    /// # Errors
    ///
    /// When the kernel is refused or the job does not fit the vGPU.
    pub fn add_job(&mut self, spec: JobSpec) -> Result<JobId, WorldError> {
        let id = JobId(self.jobs.len());
        let vgpu = &mut self.vgpus[spec.vgpu.0];
        let number = vgpu.jobs.len();
        let shared = vgpu.jobs.iter().position(|job| !self.jobs[job.0].computes());
        let group = shared.filter(|_| !spec.source.computes()).unwrap_or(number);
        let job = JobNode::plan(spec, vgpu, (number, group))?;
        vgpu.jobs.push(id);
        self.jobs.push(job);
        Ok(id)
    }

    /// Breaks a host's device on demand, at its next opportunity.
    pub fn inject(&mut self, host: HostId, fault: Fault) {
        self.hosts[host.0].host.card_mut().gpu_mut().inject(fault);
    }

    /// Has the groups of a vGPU's jobs that are planned from now on go on for so long at the end of
    /// a slice, in units of 100 us, to a milder boundary.
    pub fn set_grace(&mut self, vgpu: VgpuId, grace: u8) {
        self.vgpus[vgpu.0].grace = grace;
    }

    /// Makes a vGPU's work go on for so long after it was asked to let go of an engine; until it
    /// leaves its host.
    pub fn set_stubborn(&mut self, vgpu: VgpuId, ns: u64) {
        if let Home::Host(host, gfid) = self.vgpus[vgpu.0].home {
            self.hosts[host.0].host.card_mut().gpu_mut().set_stubborn(gfid, ns);
        }
    }

    /// What the firmware of each host has logged since the last time, where its log is read; the
    /// times are those of the world.
    pub fn take_log(&mut self) -> Vec<(HostId, LogLine)> {
        let mut all = Vec::new();
        for (at, node) in self.hosts.iter_mut().enumerate() {
            for line in node.host.card_mut().take_log() {
                let timestamp_ns = node.world_ns(line.timestamp_ns);
                all.push((HostId(at), LogLine { timestamp_ns, ..line }));
            }
        }
        all
    }

    /// Takes back all faults that have not happened.
    pub fn clear_faults(&mut self) {
        for node in &mut self.hosts {
            node.host.card_mut().gpu_mut().clear_faults();
        }
    }

    /// Engine resets on all hosts whose firmware is in this process.
    pub fn engine_resets(&self) -> u32 {
        let pumps = self.hosts.iter().filter_map(|node| node.host.card().pump());
        pumps.map(|pump| pump.engine().counters().resets).sum()
    }

    /// Moves, suspends and resumes that have ended, in the order of their ends.
    pub fn move_reports(&self) -> &[MoveReport] {
        &self.reports
    }

    /// How each job stands, in the order in which they were added.
    pub fn job_reports(&self) -> Vec<JobReport> {
        self.jobs.iter().map(|job| job.report(self)).collect()
    }

    /// What was found wrong so far; nothing may be.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether a transfer is under way or waits for its trigger.
    pub fn is_transferring(&self) -> bool {
        let empty = self.moves.is_empty() && self.suspends.is_empty() && self.resumes.is_empty();
        !empty || self.is_remote_open() || self.evacuations.iter().any(Evacuation::is_open)
    }

    /// The state of each transfer that is under way, to show it: the vGPU, and what it does.
    pub fn transfers(&self) -> Vec<(VgpuId, String)> {
        let moves = self.moves.iter().map(|one| (one.vgpu, one.describe()));
        let suspends = self.suspends.iter().map(|one| (one.vgpu, "suspending".into()));
        let resumes = self.resumes.iter().map(|one| (one.vgpu, "resuming".into()));
        moves.chain(suspends).chain(resumes).collect()
    }

    /// Whether every job that can end has ended, nothing is under way or pending, and the
    /// staging slots are scrubbed.
    pub fn is_settled(&self) -> bool {
        !self.is_transferring()
            && self.pending.is_empty()
            && self.hosts.iter().all(|node| node.host.is_staging_free())
            && self.jobs.iter().all(|job| job.is_endless() || job.has_ended())
    }

    /// vGPUs that are in a file and of which no transfer is under way or pending.
    pub fn suspended(&self) -> Vec<(VgpuId, PathBuf)> {
        let wanted = |id: VgpuId| {
            self.pending
                .iter()
                .any(|pending| matches!(&pending.action, Action::Resume(spec) if spec.vgpu == id))
        };
        (0..self.vgpus.len())
            .map(VgpuId)
            .filter(|id| !self.vgpus[id.0].in_transfer && !wanted(*id))
            .filter_map(|id| match &self.vgpus[id.0].home {
                Home::File(path) => Some((id, path.clone())),
                Home::Host(..) | Home::InFlight => None,
            })
            .collect()
    }

    /// A vGPU's name.
    pub fn vgpu_name(&self, id: VgpuId) -> &str {
        &self.vgpus[id.0].name
    }

    /// A host's name.
    pub fn host_name(&self, id: HostId) -> &str {
        &self.hosts[id.0].name
    }
}
