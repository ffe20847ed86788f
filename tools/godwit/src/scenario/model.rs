//! A scenario that was checked: every reference leads somewhere, every size fits.

use godwit_control::Sizes;
use godwit_server::{ControlConfig, MetricsConfig};
use godwit_shim::stream::StreamVersion;
use godwit_shim::{Downtime, Mishap, SealKey};
use godwit_sim_gpu::{CostRow, Costs, Fault};
use godwit_types::{Engines, PreemptMode, Profile, Scheduling, Share};
use godwit_world::CopyWork;
use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Hosts, vGPUs, jobs and what happens to them.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// All randomness of the run comes from it.
    pub seed: u64,
    /// Virtual time after which the run ends, done or not.
    pub time_limit_ns: u64,
    /// What things cost in virtual time.
    pub costs: CostModel,
    /// At least one.
    pub hosts: Vec<Host>,
    /// At least one.
    pub vgpus: Vec<Vgpu>,
    /// Those of one vGPU run one after the other.
    pub jobs: Vec<Job>,
    /// In the order of the file, which is the order in which those of one vGPU happen.
    pub events: Vec<Event>,
}

impl Scenario {
    /// Makes every resume leave its file usable.
    pub fn keep_files(&mut self) {
        for event in &mut self.events {
            if let Action::Resume { keep, .. } = &mut event.action {
                *keep = true;
            }
        }
    }
}

macro_rules! reference {
    ($(#[$doc:meta])* $name:ident, $list:ident, $to:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub(super) usize);

        impl $name {
            /// Its place in the scenario's list.
            pub const fn index(self) -> usize {
                self.0
            }

            /// What it refers to, in the scenario that it is of.
            pub fn of(self, scenario: &Scenario) -> &$to {
                &scenario.$list[self.0]
            }
        }
    };
}

reference!(
    /// A host of a scenario.
    HostRef, hosts, Host
);
reference!(
    /// A vGPU of a scenario.
    VgpuRef, vgpus, Vgpu
);
reference!(
    /// A job of a scenario.
    JobRef, jobs, Job
);

/// A host with one GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Unique among hosts.
    pub name: String,
    /// Bytes of framebuffer that partitions may take.
    pub fb_bytes: u64,
    /// Bytes of BAR that apertures may take.
    pub bar_bytes: u64,
    /// Bytes of context memory.
    pub context_bytes: u64,
    /// What the GPU's timer shows at the start.
    pub timer_start_ns: u64,
    /// The GPU's engines for guests.
    pub engines: Engines,
    /// Whether they stand still while there is no firmware, after one that ended by itself.
    pub stops_on_crash: bool,
    /// How its vGPUs take turns.
    pub scheduling: Scheduling,
}

/// A vGPU and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vgpu {
    /// Unique among vGPUs.
    pub name: String,
    /// Where it starts; all vGPUs of a host fit it together.
    pub host: HostRef,
    /// What it is.
    pub profile: Profile,
    /// What it is due of the engines.
    pub share: Share,
}

impl HostRef {
    /// The name that it has in a list of hosts.
    pub(crate) fn named(self, hosts: &[Host]) -> &str {
        hosts.get(self.0).map_or("", |host| &host.name)
    }
}

/// What `godwit serve` serves.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The folder of its sockets.
    pub(crate) sockets: PathBuf,
    /// The folder of suspended vGPUs.
    pub(crate) states: Option<PathBuf>,
    /// Of which sizes the vGPUs of each host may be.
    pub(crate) sizes: Sizes,
    /// Who may ask, and where.
    pub(crate) control: ControlConfig,
    /// Where its metrics are had; `None`: nowhere.
    pub(crate) metrics: Option<MetricsConfig>,
    /// Its hosts.
    pub(crate) hosts: Vec<Host>,
    /// Their vGPUs.
    pub(crate) vgpus: Vec<Vgpu>,
}

/// A program on a vGPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Unique among jobs.
    pub name: String,
    /// Where it runs.
    pub vgpu: VgpuRef,
    /// What runs.
    pub work: Work,
    /// What must come out.
    pub expected: Expected,
    /// About how many instructions it takes, where that is known.
    pub instructions_about: Option<u64>,
}

/// What a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A program, on the compute engine.
    Program(Program),
    /// A list for the copy engine, and how often it is gone through.
    Copies(CopyWork, u32),
}

/// A program with all that a launch of it takes, which the guest's driver has agreed to.
/// Addresses count from the partition's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// An RV64IMAC ELF file, linked for its place in the partition.
    pub elf: Cow<'static, [u8]>,
    /// Thread blocks.
    pub grid: u32,
    /// Threads of a block.
    pub block: u32,
    /// Words of the argument block.
    pub args: Vec<u64>,
    /// Bytes of shared memory of a block.
    pub shared_bytes: u32,
    /// Bytes of stack of a thread, a multiple of 16.
    pub stack_bytes: u32,
    /// Where ring, arguments, shared memory and stacks go.
    pub arena: Range<u64>,
    /// What to put where before the launch.
    pub inputs: Vec<(u64, Arc<[u8]>)>,
    /// Where the result lies.
    pub output: Range<u64>,
}

/// What a job's output must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Bytes with this SHA-256 digest.
    Sha256([u8; 32]),
    /// The job never ends: it must still be running at the end, without a fault.
    Endless,
    /// Nobody said, so the output cannot be verified.
    Unknown,
}

/// Something that happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub action: Action,
    /// How it must end.
    pub expect: Expect,
    /// Where the scenario has it, for reports: a line, counted from 1. `None`: the command line.
    pub line: Option<usize>,
}

/// When an event happens; if an earlier event of the same vGPU is not over then, after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At this virtual time.
    At {
        /// Nanoseconds from the start.
        ns: u64,
    },
    /// When a job has run so many instructions.
    After {
        /// Which job.
        job: JobRef,
        /// Instructions of all its threads together.
        instructions: u64,
    },
}

/// What an event does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A vGPU moves to another host.
    Move {
        /// Which vGPU.
        vgpu: VgpuRef,
        /// Where to.
        to: HostRef,
        /// Whether it runs on meanwhile.
        kind: MoveKind,
        /// How long it may stand still.
        downtime: Option<Downtime>,
        /// How it is stopped.
        stop: Stop,
    },
    /// All vGPUs of a host move to others.
    Evacuate(Evacuation),
    /// A vGPU goes into a file.
    Suspend {
        /// Which vGPU.
        vgpu: VgpuRef,
        /// Which file.
        file: StateFile,
        /// How it is stopped.
        stop: Stop,
        /// Version of the stream in the file.
        version: StreamVersion,
        /// What it is sealed with, if it is.
        key: Option<KeyFile>,
    },
    /// A vGPU comes out of a file that an earlier event has suspended it to.
    Resume {
        /// Which vGPU.
        vgpu: VgpuRef,
        /// Which file.
        file: StateFile,
        /// Where to.
        host: HostRef,
        /// What it is sealed with, if it is.
        key: Option<KeyFile>,
        /// Whether the file stays usable.
        keep: bool,
    },
    /// Something breaks on a host's GPU.
    Fault {
        /// Which host.
        host: HostRef,
        /// What breaks.
        fault: Fault,
    },
    /// The firmware of a host is restarted under everything.
    RestartFirmware {
        /// Which host.
        host: HostRef,
    },
    /// The firmware of a host ends by itself, and is restarted.
    CrashFirmware {
        /// Which host.
        host: HostRef,
        /// How.
        mishap: Mishap,
        /// After so many instructions of its next work that has as many.
        instructions: u32,
    },
    /// The firmware of a host is replaced by another image under everything.
    UpdateFirmware {
        /// Which host.
        host: HostRef,
        /// As the scenario writes it.
        shown: String,
        /// An ELF file.
        image: Arc<[u8]>,
    },
    /// A host's vGPUs take turns in another way.
    Schedule {
        /// Which host.
        host: HostRef,
        /// How.
        how: Scheduling,
    },
    /// A vGPU is due something else.
    Share {
        /// Which vGPU.
        vgpu: VgpuRef,
        /// What.
        share: Share,
    },
}

impl Action {
    /// The vGPU that it transfers, if it does: such events happen one after the other.
    pub const fn vgpu(&self) -> Option<VgpuRef> {
        match self {
            Self::Move { vgpu, .. } | Self::Suspend { vgpu, .. } | Self::Resume { vgpu, .. } => {
                Some(*vgpu)
            }
            Self::Evacuate(_)
            | Self::Fault { .. }
            | Self::RestartFirmware { .. }
            | Self::CrashFirmware { .. }
            | Self::UpdateFirmware { .. }
            | Self::Schedule { .. }
            | Self::Share { .. } => None,
        }
    }
}

/// A host that is to be empty, and how its vGPUs move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evacuation {
    /// Which host.
    pub host: HostRef,
    /// Where its vGPUs may go; empty: to every other host.
    pub to: Vec<HostRef>,
    /// Moves at a time.
    pub parallel: u32,
    /// Bytes a second that all of them together may put on links; `None`: as many as links take.
    pub bandwidth: Option<u64>,
    /// Whether the vGPUs run on meanwhile.
    pub kind: MoveKind,
    /// How long each may stand still.
    pub downtime: Option<Downtime>,
    /// How each is stopped.
    pub stop: Stop,
}

/// Whether a vGPU runs on while its memory is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// It does, until little is left to copy.
    Live,
    /// It is stopped first.
    StopAndCopy,
}

/// How a vGPU is brought to a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// At which boundary, or at the first that is reached.
    pub mode: Option<PreemptMode>,
    /// How long that may take.
    pub timeout_ns: u64,
}

/// A file that holds a vGPU's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// As the scenario names it, for reports.
    pub shown: String,
    /// Where it is: a real path, so that one file has one.
    pub path: PathBuf,
}

/// A file with a key that state files are sealed with.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// As the scenario names it.
    pub shown: String,
    /// The key, which was in it.
    pub key: Arc<SealKey>,
}

/// By name: keys are compared by nobody.
impl PartialEq for KeyFile {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}

impl Eq for KeyFile {}

/// How an event must end for the run to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is done.
    Done,
    /// It is refused and changes nothing.
    Refused,
    /// It fails midway, and its vGPU runs on where it was.
    Failed,
    /// It is a fault that meets nothing.
    Unmet,
}

/// The costs of a run, and which of them the scenario has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostModel {
    /// What the simulated GPU takes.
    pub costs: Costs,
    /// Numerator and denominator that all default costs were multiplied with.
    pub scale: (u64, u64),
    /// Costs that the scenario gives itself.
    pub given: Vec<&'static str>,
}

impl CostModel {
    /// The figures in their usual order.
    pub fn rows(&self) -> impl Iterator<Item = CostRow> + use<> {
        self.costs.rows()
    }
}
