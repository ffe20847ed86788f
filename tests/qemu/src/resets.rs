//! The firmware loses its power while a vGPU is saved or restored.
//!
//! In the host's process it does so before each word that it writes, of a register or of what it
//! retains: every boundary between two actions is among them. In QEMU it does so at chosen
//! instructions. Firmware that takes over after such a cut can be cut again, before each word that
//! it writes until it is at rest. What must hold afterwards is the same: the vGPU runs on one host
//! or is whole in its file, what was undone can be done again, and all work ends with the right
//! bytes.

use godwit_kernels::Job;
use godwit_shim::{CallLengths, FileOptions, Live, Mcu, Mishap, MishapAt, ResumeOptions};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    Action, HostId, HostSpec, JobId, JobSource, JobSpec, MoveSpec, ResumeSpec, SuspendSpec,
    Trigger, VgpuId, VgpuSpec, World, WorldConfig, WorldError,
};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const STOP_TIMEOUT_NS: u64 = 640_000_000;
/// Until then everything has settled, or never will.
const LIMIT_NS: u64 = 10_000_000_000;
/// Where in its work the vGPU is saved.
const INSTRUCTIONS: u64 = 60_000;

/// What is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A live move, at the host that saves.
    MoveFrom,
    /// A live move, at the host that restores.
    MoveTo,
    /// A suspend to a file.
    Suspend,
    /// A resume from a file.
    Resume,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MoveFrom, Self::MoveTo, Self::Suspend, Self::Resume];
}

/// When the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// After so many calls to the firmware; 0 in the host's process.
    pub calls: u32,
    /// And so many instructions of the next, or words in the host's process.
    pub instructions: u32,
    /// In the host's process, again while the next firmware takes over, after so many words.
    pub takeover: Option<u32>,
}

/// What a run has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The power was cut before the transfer had ended.
    pub cut: bool,
    /// It was cut again before the firmware had taken over.
    pub cut_again: bool,
    /// The transfer went through all the same.
    pub went_through: bool,
    /// Calls to the firmware that was to lose its power, while the transfer went on, by their
    /// instructions; none in the host's process.
    pub calls: Vec<u32>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// Keeps the instructions of one cut apart from those of the next.
const INSTRUCTIONS_APART: u32 = 2_654_435_761;

/// The cuts of a scene in QEMU, by number: in its calls in turn, and each time at another
/// instruction of the whole call.
pub fn spread(number: u32, calls: &[u32]) -> Cut {
    let call = number % (calls.len() as u32).max(1);
    let length = calls.get(call as usize).copied().unwrap_or_default().max(1);
    let instructions = 1 + number.wrapping_mul(INSTRUCTIONS_APART) % length;
    Cut { calls: 1 + call, instructions, takeover: None }
}

/// Runs a scene. Files go into `folder`.
///
/// # Errors
///
/// When the simulated hosts cannot be made.
pub fn run(scene: Scene, mcu: &Mcu, cut: Option<Cut>, folder: &Path) -> Result<Shown, WorldError> {
    let lengths = CallLengths::default();
    let mut stage = Stage::new(scene, mcu, &lengths, folder)?;
    let mut shown = Shown::default();
    stage.until_in_work();
    if scene == Scene::Resume {
        stage.transfer(stage.suspend());
        shown.problems.extend(stage.last_failure());
    }
    let (action, host) = match scene {
        Scene::MoveFrom => (stage.moving(), stage.from),
        Scene::MoveTo => (stage.moving(), stage.to),
        Scene::Suspend => (stage.suspend(), stage.from),
        Scene::Resume => (stage.resume(), stage.to),
    };
    let before = stage.world.calls(host).unwrap_or_default();
    if let Some(Cut { calls, instructions, takeover }) = cut {
        let call = before.saturating_add(calls);
        stage.world.arrange(host, MishapAt { mishap: Mishap::Cut, call, instructions });
        if let Some(words) = takeover {
            stage.world.arrange_takeover(host, words);
        }
    }
    stage.transfer(action.clone());
    shown.cut = cut.is_some() && !stage.world.call_off(host);
    shown.cut_again = stage.world.losses().filter(|(lost, ..)| *lost == host).count() > 1;
    shown.calls = lengths.so_far().split_off(before as usize);
    shown.went_through = stage.last_failure().is_none();
    if !shown.went_through {
        if !shown.cut {
            shown.problems.extend(stage.last_failure());
        }
        // Nothing is lost: what was undone is done again.
        stage.transfer(action);
        shown.problems.extend(stage.last_failure());
    }
    if scene == Scene::Suspend {
        stage.transfer(stage.resume());
        shown.problems.extend(stage.last_failure());
    }
    shown.problems.extend(stage.end());
    Ok(shown)
}

/// Two hosts, a vGPU that is saved and restored, and a neighbour on each.
struct Stage {
    world: World,
    from: HostId,
    to: HostId,
    vgpu: VgpuId,
    job: JobId,
    file: PathBuf,
}

impl Stage {
    fn new(
        scene: Scene,
        mcu: &Mcu,
        lengths: &CallLengths,
        folder: &Path,
    ) -> Result<Self, WorldError> {
        let costs = Costs { kernel_instruction_ps: 20_000, ..Costs::default() };
        let mut world = World::new(WorldConfig { seed: 7, costs });
        let cut = match mcu {
            Mcu::Native => Mcu::Native,
            Mcu::Attached(mcu) => Mcu::Attached(mcu.clone()),
            Mcu::Qemu(mcu) => Mcu::Qemu(mcu.clone().with_call_lengths(lengths.clone())),
        };
        let at_source = matches!(scene, Scene::MoveFrom | Scene::Suspend);
        let (at_from, at_to) = if at_source { (&cut, mcu) } else { (mcu, &cut) };
        world.set_mcu(at_from.clone());
        let from = host(&mut world, "from", 1_000_000_007)?;
        world.set_mcu(at_to.clone());
        let to = host(&mut world, "to", 77)?;
        for (name, home, seed) in [("near", from, 3), ("far", to, 4)] {
            vgpu(&mut world, name, home, Job::sha256_chain(seed, 2, 2, 4))?;
        }
        let (vgpu, job) = vgpu(&mut world, "moved", from, Job::histogram(5, 4096, 16, 4, 2))?;
        Ok(Self { world, from, to, vgpu, job, file: folder.join("vgpu.godwit") })
    }

    fn until_in_work(&mut self) {
        while self.world.now_ns() < LIMIT_NS {
            let reports = self.world.job_reports();
            let done = reports.iter().find(|report| report.job == self.job);
            if done.is_some_and(|report| report.instructions >= INSTRUCTIONS) {
                return;
            }
            self.world.step();
        }
    }

    fn moving(&self) -> Action {
        Action::Move(MoveSpec {
            vgpu: self.vgpu,
            to: self.to,
            live: Some(Live { rounds_max: 2, pages_enough: 4, downtime: None }),
            stop: StopMode::Escalate,
            stop_timeout_ns: STOP_TIMEOUT_NS,
        })
    }

    fn suspend(&self) -> Action {
        Action::Suspend(SuspendSpec {
            vgpu: self.vgpu,
            path: self.file.clone(),
            stop: StopMode::Escalate,
            stop_timeout_ns: STOP_TIMEOUT_NS,
            options: FileOptions::default(),
        })
    }

    fn resume(&self) -> Action {
        let (path, options) = (self.file.clone(), ResumeOptions::default());
        Action::Resume(ResumeSpec { vgpu: self.vgpu, path, to: self.to, options })
    }

    /// Does it, until it has ended.
    fn transfer(&mut self, action: Action) {
        let reports = self.world.move_reports().len();
        self.world.schedule(Trigger::At(self.world.now_ns()), action);
        while self.world.move_reports().len() == reports && self.world.now_ns() < LIMIT_NS {
            self.world.step();
        }
    }

    fn last_failure(&self) -> Option<String> {
        self.world.move_reports().last()?.outcome.clone().err()
    }

    fn end(&mut self) -> Vec<String> {
        let settled = self.world.run_until_settled(LIMIT_NS);
        self.world.check_leaks();
        self.world.check_guests();
        let mut problems = self.world.problems().to_vec();
        if !settled {
            problems.push(format!("it does not settle: {:?}", self.world.transfers()));
        }
        for report in self.world.job_reports().into_iter().filter(|report| !report.ok) {
            problems.push(format!("{} is {}", report.name, report.state));
        }
        if !self.world.suspended().is_empty() {
            problems.push("the vGPU is still in its file".to_owned());
        }
        problems
    }
}

fn host(world: &mut World, name: &str, start_ns: u64) -> Result<HostId, WorldError> {
    world.add_host(HostSpec {
        name: name.to_owned(),
        fb_bytes: 64 * MIB,
        bar_bytes: 64 * MIB,
        context_bytes: 4 * MIB,
        start_ns,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    })
}

fn vgpu(
    world: &mut World,
    name: &str,
    host: HostId,
    kernel: Job,
) -> Result<(VgpuId, JobId), WorldError> {
    let profile = Profile {
        fb_bytes: 8 * MIB,
        bar_bytes: 6 * MIB,
        channel_count: 2,
        context_bytes: 16 * 1024,
    };
    let vgpu =
        world.add_vgpu(VgpuSpec { name: name.to_owned(), host, profile, share: Share::DEFAULT })?;
    let job = world.add_job(JobSpec {
        name: format!("{name}.job"),
        vgpu,
        source: JobSource::Kernel(kernel),
        repeat: 1,
        endless: false,
    })?;
    Ok((vgpu, job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_spread_over_every_call_and_all_of_it() {
        let calls = [1, 300, 22_000];
        let mut parts = [[0; 10]; 3];
        for number in 0..3_000 {
            let Cut { calls: call, instructions, .. } = spread(number, &calls);
            let (at, length) = (call as usize - 1, calls[call as usize - 1]);
            assert!((1..=length).contains(&instructions), "{instructions} of {length}");
            parts[at][((instructions - 1) * 10 / length) as usize] += 1;
        }
        assert_eq!(parts[0][0], 1_000);
        for tenth in parts[1..].iter().flatten() {
            assert!((50..200).contains(tenth), "{parts:?}");
        }
        assert_eq!(spread(5, &[]).calls, 1, "without calls there is nothing to choose from");
    }
}
