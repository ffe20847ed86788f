//! One side of a move in a process of its own, which may end at any time and be started anew: what
//! outlives it is its journal, and what its source has kept of the state.

use super::{BEGIN, Kind, LIMIT_NS, PROFILE, host_spec, kernel};
use crate::{AwaySpec, HostId, JobId, JobSpec, RemoteState, VgpuId, VgpuSpec, World, WorldConfig};
use godwit_shim::{
    Decision, DestinationState, Journal, JournalEntry, LinkMessage, MoveStage, Side, SourceState,
    Token,
};
use godwit_sim_gpu::Costs;
use godwit_types::Share;
use godwit_wire::mailbox::StopMode;
use std::fs;
use std::path::{Path, PathBuf};

const SEED: u64 = 11;

/// Where a side's journal is, and the state that is kept of the one vGPU.
#[derive(Debug)]
pub(super) struct Disk {
    journal: PathBuf,
    kept: PathBuf,
}

impl Disk {
    pub(super) fn new(folder: &Path, side: Side) -> Self {
        let name = format!("{side:?}");
        Self { journal: folder.join(&name), kept: folder.join(name + ".state") }
    }
}

/// A process with a host.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) world: World,
    side: Side,
    host: HostId,
    vgpu: VgpuId,
    job: JobId,
    /// When it was started, by the clock that both sides have.
    began_ns: u64,
    /// How its side of the move stands; `None`: it has none, but what its journal says.
    state: Option<RemoteState>,
    token: Token,
    kept: PathBuf,
    /// It runs on from what was kept.
    resumed: bool,
    /// What its operator was told.
    pub(super) told: Vec<String>,
}

/// The token of the one move.
pub(super) fn token() -> Token {
    Token { uuid: World::vgpu_uuid(SEED, 0), number: 1 }
}

/// A world with the host of a side.
fn world(kind: Kind, side: Side) -> (World, HostId) {
    let costs = Costs { kernel_instruction_ps: 9_973, ..Costs::default() };
    let mut world = World::new(WorldConfig { seed: SEED, costs });
    world.set_seal(kind.seal());
    let (name, start_ns) = match side {
        Side::Source => ("a", 1_000_000_007),
        Side::Destination => ("b", 77),
    };
    let host = world.add_host(host_spec(name, start_ns)).expect("a host");
    (world, host)
}

impl Process {
    /// The first process of a side: at its source the vGPU is in the middle of a kernel.
    pub(super) fn first(kind: Kind, side: Side, disk: &Disk, now_ns: u64) -> Self {
        let mut process = Self::new(kind, side, disk, now_ns, side == Side::Source);
        let open = process.world.journal(process.host).host_started().expect("a journal");
        assert!(open.is_empty(), "it is a new journal");
        while side == Side::Source && process.instructions() < BEGIN {
            process.world.step();
        }
        process
    }

    /// One that is started anew, at that time. What is given back and was kept goes on.
    pub(super) fn anew(kind: Kind, side: Side, disk: &Disk, now_ns: u64) -> Self {
        let mut process = Self::new(kind, side, disk, now_ns, false);
        let open = process.world.journal(process.host).host_started().expect("a journal");
        let tell = |entry: JournalEntry| format!("{} is {}", entry.token, entry.stage);
        process.told.extend(open.into_iter().map(tell));
        process
    }

    fn new(kind: Kind, side: Side, disk: &Disk, now_ns: u64, here: bool) -> Self {
        let (mut world, host) = world(kind, side);
        let share = Share::DEFAULT;
        let spec = VgpuSpec { name: "moved".into(), host, profile: PROFILE, share };
        let file = (side == Side::Source).then(|| (disk.kept.clone(), token().number));
        let vgpu = match here {
            true => world.add_vgpu_as(spec, 0),
            false => world.add_vgpu_away(spec, 0, file),
        };
        let vgpu = vgpu.expect("a vGPU");
        let (name, source) = ("moved.job".into(), kernel(12));
        let job = JobSpec { name, vgpu, source, repeat: 1, endless: false };
        let job = world.add_job(job).expect("a job");
        world.set_journal(host, Journal::open(&disk.journal).expect("a journal"));
        Self {
            world,
            side,
            host,
            vgpu,
            job,
            began_ns: now_ns,
            state: None,
            token: token(),
            kept: disk.kept.clone(),
            resumed: false,
            told: Vec::new(),
        }
    }

    fn instructions(&self) -> u64 {
        self.world.job_reports()[self.job.0].instructions
    }

    /// The source offers its vGPU, and keeps its state.
    pub(super) fn send(&mut self, kind: Kind, now_ns: u64) {
        let (stop, stop_timeout_ns) = (StopMode::Instruction, 640_000_000);
        let spec = AwaySpec { vgpu: self.vgpu, live: kind.live(), stop, stop_timeout_ns };
        let kept = self.kept.clone();
        let sent = self.world.send_away(&spec, Some(&kept), now_ns).expect("it can be sent");
        assert_eq!(sent, self.token);
        self.began_ns = now_ns.saturating_sub(self.world.now_ns());
        self.state = Some(RemoteState::Sending(SourceState::Working));
    }

    /// Its card goes on until that time.
    pub(super) fn step_card(&mut self, now_ns: u64) {
        while self.began_ns + self.world.now_ns() < now_ns {
            self.world.step();
        }
    }

    /// Goes on until that time.
    pub(super) fn step(&mut self, now_ns: u64) {
        self.step_card(now_ns);
        if let Some(state) = self.world.step_remote(now_ns) {
            self.state = Some(state);
        }
        // As `godwit send` does: what is given back goes on from what was kept.
        let back = self.side == Side::Source && self.state.is_none() && !self.resumed;
        if back && self.stage() == Some(MoveStage::Aborted) && self.kept.is_file() {
            self.resumed = true;
            self.world.resume_here(self.vgpu, self.host);
        }
        if back && self.stage() == Some(MoveStage::Done) {
            let _ = fs::remove_file(&self.kept);
        }
    }

    pub(super) fn stage(&mut self) -> Option<MoveStage> {
        self.world.journal(self.host).stage(self.side, &self.token)
    }

    pub(super) fn is_unsure(&mut self) -> bool {
        self.world.journal(self.host).is_unsure(&self.token)
    }

    /// Takes a message, and answers what its journal alone can answer.
    pub(super) fn take(&mut self, message: LinkMessage, now_ns: u64) -> Option<LinkMessage> {
        if self.state.is_some() {
            self.world.handle_remote(message, now_ns);
            return None;
        }
        // What an operator is told by whoever asks.
        if let LinkMessage::Decline(_, why) = &message
            && self.stage() == Some(MoveStage::Committed)
        {
            self.told.push(why.clone());
        }
        match self.world.journal(self.host).reply(&message) {
            Ok(None) => {}
            Ok(answer) => return answer,
            Err(error) => self.told.push(format!("problem: {error}")),
        }
        if let LinkMessage::Offer(token, version) = message {
            let taken = self.world.take_in(self.vgpu, self.host, (token, version), now_ns);
            taken.expect("it is not here");
            self.state = Some(RemoteState::Taking(DestinationState::Working));
        }
        None
    }

    pub(super) fn link_lost(&mut self, now_ns: u64) {
        self.world.remote_lost(now_ns);
    }

    /// What a process with nothing but its journal says first.
    pub(super) fn link_back(&mut self) -> Option<LinkMessage> {
        self.world.remote_back();
        let asks = self.state.is_none() && self.stage() == Some(MoveStage::Committed);
        asks.then_some(LinkMessage::Commit(self.token))
    }

    /// Its operator decides.
    pub(super) fn resolve(&mut self, decision: Decision, now_ns: u64) -> Result<(), String> {
        if self.state.is_some() {
            return self.world.resolve_remote(decision, now_ns);
        }
        let decided = self.world.journal(self.host).resolve(self.side, &self.token, decision);
        decided.map(drop).map_err(|refusal| refusal.to_string())
    }

    /// Whether its side of the move needs nothing more, of itself or of the other.
    pub(super) fn is_over(&mut self) -> bool {
        let stage = self.stage();
        match &self.state {
            Some(RemoteState::Sending(SourceState::Moved | SourceState::Undone(_))) => true,
            Some(RemoteState::Taking(DestinationState::Running(_))) => {
                stage != Some(MoveStage::Running)
            }
            Some(RemoteState::Taking(DestinationState::Undone(_))) => true,
            Some(_) => false,
            None if self.side == Side::Source && stage == Some(MoveStage::Aborted) => {
                self.resumed || !self.kept.is_file()
            }
            None => !matches!(stage, Some(MoveStage::Committed | MoveStage::Running)),
        }
    }

    /// Whether it has the vGPU, running or about to.
    pub(super) fn has_it(&mut self) -> bool {
        match &self.state {
            Some(RemoteState::Sending(SourceState::Undone(_)))
            | Some(RemoteState::Taking(DestinationState::Running(_))) => true,
            Some(_) => false,
            None => self.resumed,
        }
    }

    /// How many vGPUs its card runs.
    pub(super) fn running(&self) -> usize {
        self.world.running().len()
    }

    /// Lets the vGPU's kernel come to its end, and looks at everything.
    pub(super) fn finish(&mut self, problems: &mut Vec<String>) {
        let limit_ns = self.world.now_ns() + LIMIT_NS;
        while self.has_it() && !self.world.has_ended(self.job) && self.world.now_ns() < limit_ns {
            self.world.step();
            self.world.step_remote(self.began_ns + self.world.now_ns());
        }
        self.world.check_leaks();
        self.world.check_guests();
        if self.has_it() {
            let report = &self.world.job_reports()[self.job.0];
            if !report.ok {
                problems.push(format!("{} is {}", report.name, report.state));
            }
        } else if self.world.vgpu_count(self.host) != 0 {
            problems.push(format!("{:?}: something of it is left", self.side));
        }
        for problem in self.world.problems() {
            match problem.contains("does not say whose it is") {
                true => self.told.push(problem.clone()),
                false => problems.push(problem.clone()),
            }
        }
    }

    /// Whether its operator was told that the other side cannot say whose the vGPU is.
    pub(super) fn knows_of_doubt(&self) -> bool {
        let mut all = self.told.iter().chain(self.world.problems());
        all.any(|told| told.contains("is not known"))
    }
}
