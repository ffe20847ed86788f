//! Suspends and resumes.

use crate::events::{ResumeSpec, SuspendSpec};
use crate::report::{MoveKind, MoveReport, PhaseBytes, Place};
use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_shim::{Resume, ResumeState, SaveOptions, SaveStats, Suspend, SuspendState, Wanted};
use godwit_types::{Gfid, Placement};
use std::path::{Path, PathBuf};

/// A suspend that is under way.
#[derive(Debug)]
pub(crate) struct SuspendNode {
    pub(crate) vgpu: VgpuId,
    pub(crate) host: HostId,
    old: Placement,
    path: PathBuf,
    began_ns: u64,
    pub(crate) suspend: Suspend,
}

/// A resume that is under way.
#[derive(Debug)]
pub(crate) struct ResumeNode {
    pub(crate) vgpu: VgpuId,
    pub(crate) host: HostId,
    began_ns: u64,
    pub(crate) resume: Resume,
    /// It runs again.
    runs: bool,
}

fn ended(
    vgpu: VgpuId,
    kind: MoveKind,
    outcome: Result<(), String>,
    total_ns: u64,
    stats: SaveStats,
) -> MoveReport {
    MoveReport {
        vgpu,
        kind,
        outcome,
        blackout_ns: None,
        estimate: None,
        total_ns,
        rounds: stats.rounds,
        throttle: stats.throttle,
        bytes: PhaseBytes {
            precopy: stats.precopy_bytes,
            stop: stats.stop_bytes,
            state: stats.state_bytes,
        },
        instructions: 0,
        job: None,
        copied_bytes: 0,
        old: None,
        to: None,
        new: None,
    }
}

impl World {
    pub(crate) fn begin_suspend(&mut self, spec: &SuspendSpec) {
        let now_ns = self.now_ns;
        let fail =
            |why: String| ended(spec.vgpu, MoveKind::Suspend, Err(why), 0, SaveStats::default());
        let Home::Host(host, gfid) = self.vgpus[spec.vgpu.0].home else {
            self.reports.push(fail("refused: it is on no host".into()));
            return;
        };
        let held = Home::File(spec.path.clone());
        if self.vgpus.iter().any(|other| other.home == held) || self.is_written(&spec.path) {
            self.reports.push(fail("refused: another vGPU is in this file".into()));
            return;
        }
        let node = &mut self.vgpus[spec.vgpu.0];
        node.token += 1;
        let options = SaveOptions {
            uuid: node.uuid,
            token: node.token,
            stop: spec.stop,
            stop_timeout_ns: spec.stop_timeout_ns,
        };
        let shim = &mut self.hosts[host.0].host;
        let old = shim.vgpu(gfid).map(|info| info.placement);
        match (Suspend::new(shim, gfid, options, None, &spec.path, &spec.options), old) {
            (Ok(suspend), Some(old)) => {
                self.vgpus[spec.vgpu.0].in_transfer = true;
                let (vgpu, path, began_ns) = (spec.vgpu, spec.path.clone(), now_ns);
                self.suspends.push(SuspendNode { vgpu, host, old, path, began_ns, suspend });
            }
            (Err(error), _) => self.reports.push(fail(format!("failed: {error}"))),
            (Ok(_), None) => self.reports.push(fail("its host does not know it".into())),
        }
    }

    /// Whether a suspend to this path is under way.
    fn is_written(&self, path: &Path) -> bool {
        self.suspends.iter().any(|one| one.path == path)
    }

    pub(crate) fn begin_resume(&mut self, spec: &ResumeSpec) {
        let node = &self.vgpus[spec.vgpu.0];
        let wanted =
            Wanted { profile: Some(node.profile), uuid: Some(node.uuid), token: Some(node.token) };
        let avoid = node.last_place.map(|(_, placement)| placement);
        let fail =
            |why: String| ended(spec.vgpu, MoveKind::Resume, Err(why), 0, SaveStats::default());
        if !matches!(node.home, Home::File(_)) {
            self.reports.push(fail("refused: it is in no file".into()));
            return;
        }
        let host = &self.hosts[spec.to.0].host;
        match Resume::new(host, &spec.path, wanted, avoid, &spec.options) {
            Ok(resume) => {
                self.vgpus[spec.vgpu.0].in_transfer = true;
                let (vgpu, host, began_ns) = (spec.vgpu, spec.to, self.now_ns);
                self.resumes.push(ResumeNode { vgpu, host, began_ns, resume, runs: false });
            }
            Err(error) => {
                let how = if error.is_refusal() { "refused" } else { "failed" };
                self.reports.push(fail(format!("{how}: {error}")));
            }
        }
    }

    /// Goes on with all suspends and resumes.
    pub(crate) fn step_suspends(&mut self) {
        for mut one in std::mem::take(&mut self.suspends) {
            let host = &mut self.hosts[one.host.0].host;
            let mut state = one.suspend.step(host);
            if state == SuspendState::WantsPause {
                self.vgpus[one.vgpu.0].paused = true;
                self.note_written(one.vgpu);
                let host = &mut self.hosts[one.host.0].host;
                one.suspend.guest_paused(host);
                state = one.suspend.step(host);
            }
            if let Some(trouble) = one.suspend.take_trouble() {
                self.problem(trouble);
            }
            match state {
                SuspendState::Working | SuspendState::WantsPause => self.suspends.push(one),
                SuspendState::RunsOn => {
                    self.unpause(one.vgpu);
                    self.suspends.push(one);
                }
                SuspendState::Committed => {
                    self.leave_host(one.vgpu, Home::File(one.path.clone()));
                    self.suspends.push(one);
                }
                SuspendState::Suspended => {
                    self.leave_host(one.vgpu, Home::File(one.path.clone()));
                    self.end_suspend(&one, Ok(()));
                }
                SuspendState::Undone(why) => {
                    self.unpause(one.vgpu);
                    self.end_suspend(&one, Err(why));
                }
            }
        }
        for mut one in std::mem::take(&mut self.resumes) {
            let was_placed = one.resume.home().is_some();
            let state = one.resume.step(&mut self.hosts[one.host.0].host);
            let placed = one.resume.home().filter(|_| !was_placed);
            if let (Some(place), Some((_, old))) = (placed, self.vgpus[one.vgpu.0].last_place) {
                self.check_place(one.vgpu, one.host, &old, place);
            }
            if let Some((gfid, _)) = one.resume.home() {
                self.map_ram(one.vgpu, one.host, gfid);
            }
            match state {
                ResumeState::Working => self.resumes.push(one),
                ResumeState::Running(gfid) => self.resumed(one, gfid),
                ResumeState::Undone(why) => {
                    let total_ns = self.now_ns - one.began_ns;
                    let stats = one.resume.stats();
                    let report = ended(one.vgpu, MoveKind::Resume, Err(why), total_ns, stats);
                    self.finish_transfer(report, one.began_ns);
                }
            }
        }
    }

    /// A vGPU has been given away: what it ran here is counted, and no more comes.
    pub(crate) fn leave_host(&mut self, vgpu: VgpuId, to: Home) {
        self.note_told(vgpu);
        self.check_ram(vgpu);
        self.take_debts(vgpu);
        let left_in = self.kernel_at_work(vgpu);
        let node = &mut self.vgpus[vgpu.0];
        if let Home::Host(host, gfid) = node.home {
            let stats = self.hosts[host.0].host.card().gpu().stats(gfid);
            node.last_ns = stats.last_instruction_ns.map(|at| self.hosts[host.0].world_ns(at));
            node.earlier = node.totals(Some(stats));
            node.left_in = left_in;
            node.home = to;
        }
    }

    fn end_suspend(&mut self, one: &SuspendNode, outcome: Result<(), String>) {
        let total_ns = self.now_ns - one.began_ns;
        let mut report = ended(one.vgpu, MoveKind::Suspend, outcome, total_ns, one.suspend.stats());
        if report.outcome.is_ok() {
            let earlier = &self.vgpus[one.vgpu.0].earlier;
            report.instructions = earlier.instructions;
            report.copied_bytes = earlier.copied_bytes;
            report.job = self.vgpus[one.vgpu.0].left_in;
        }
        report.old = Some(Place { host: one.host, placement: one.old });
        self.vgpus[one.vgpu.0].last_place = Some((one.host, one.old));
        self.finish_transfer(report, one.began_ns);
    }

    /// It runs: at once for its guest. It is reported when its first instruction is known, or
    /// has had time to come.
    fn resumed(&mut self, mut one: ResumeNode, gfid: Gfid) {
        let vgpu = &mut self.vgpus[one.vgpu.0];
        if !one.runs {
            one.runs = true;
            vgpu.home = Home::Host(one.host, gfid);
            if self.vgpus[one.vgpu.0].comes_from_elsewhere {
                self.take_over_jobs(one.vgpu);
            }
            self.unpause(one.vgpu);
        }
        let vgpu = &self.vgpus[one.vgpu.0];
        let last_ns = vgpu.last_ns;
        let node = &self.hosts[one.host.0];
        let first_ns = node.host.card().gpu().stats(gfid).first_instruction_ns;
        let first_ns = first_ns.map(|at| node.world_ns(at));
        if self.waits_for_first(one.vgpu, one.began_ns, last_ns, first_ns) {
            self.resumes.push(one);
            return;
        }
        let total_ns = self.now_ns - one.began_ns;
        let stats = one.resume.stats();
        let mut report = ended(one.vgpu, MoveKind::Resume, Ok(()), total_ns, stats);
        report.blackout_ns = self.blackout_ns(one.vgpu, last_ns, first_ns);
        let vgpu = &mut self.vgpus[one.vgpu.0];
        report.old = vgpu.last_place.map(|(host, placement)| Place { host, placement });
        if let Some((_, placement)) = one.resume.home() {
            report.new = Some(Place { host: one.host, placement });
            vgpu.last_place = Some((one.host, placement));
        }
        self.finish_transfer(report, one.began_ns);
    }
}
