//! A move to or from another process: one side of it is a host of this world, and whoever has the
//! world carries the messages.

use crate::events::{Action, ResumeSpec, Trigger};
use crate::owners::Claim;
use crate::vgpu::{Home, VgpuNode, VgpuSpec};
use crate::world::{HostId, JobId, VgpuId, World, WorldError};
use godwit_shim::{
    Decision, Destination, DestinationState, Estimate, Journal, LinkMessage, Live, MoveStage,
    ResumeOptions, SaveOptions, SealKey, Side, Source, SourceState, Token,
};
use godwit_sim_gpu::VgpuStats;
use godwit_wire::mailbox::StopMode;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a vGPU is sent to another process.
#[derive(Clone, Copy, Debug)]
pub struct AwaySpec {
    /// Which vGPU.
    pub vgpu: VgpuId,
    /// Rounds before the stop; `None`: stop-and-copy.
    pub live: Option<Live>,
    /// At what boundary it is stopped.
    pub stop: StopMode,
    /// How long the stop may take, in nanoseconds.
    pub stop_timeout_ns: u64,
}

/// This side of the move.
#[derive(Debug)]
enum Half {
    Source(Box<Source>, SourceState),
    Destination(Box<Destination>, DestinationState),
}

/// A move to or from another process.
#[derive(Debug)]
pub(crate) struct Remote {
    vgpu: VgpuId,
    host: HostId,
    token: Token,
    half: Half,
    /// Given away: what was counted of it before.
    left: Option<VgpuStats>,
}

/// How far this side is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteState {
    /// The vGPU is being sent.
    Sending(SourceState),
    /// It is being taken in.
    Taking(DestinationState),
}

impl World {
    /// The own id of the vGPU that is added as this number to a world with this seed.
    pub fn vgpu_uuid(seed: u64, number: usize) -> [u8; 16] {
        VgpuNode::ids(seed, number).0
    }

    /// Adds a vGPU that is not in this world yet: its host is where it comes to. It has the ids of
    /// the vGPU of this number; `file`: it is in that state file, of the transfer with that number.
    ///
    /// # Errors
    ///
    /// When it does not fit the host.
    pub fn add_vgpu_away(
        &mut self,
        spec: VgpuSpec,
        number: usize,
        file: Option<(PathBuf, u64)>,
    ) -> Result<VgpuId, WorldError> {
        // What its guest has seen of the device is the same wherever it is: so one is made to look.
        let (host, name) = (spec.host, spec.name.clone());
        let id = self.add_vgpu_as(spec, number)?;
        let Home::Host(_, gfid) = self.vgpus[id.0].home else { return Ok(id) };
        let released = self.hosts[host.0].host.release(gfid);
        released.map_err(|error| WorldError::Host { name, error })?;
        let vgpu = &mut self.vgpus[id.0];
        (vgpu.paused, vgpu.comes_from_elsewhere, vgpu.last_place) = (true, true, None);
        vgpu.home = match file {
            Some((path, token)) => {
                vgpu.token = token;
                Home::File(path)
            }
            None => Home::InFlight,
        };
        Ok(id)
    }

    /// The vGPU with this own id.
    pub fn vgpu_with(&self, uuid: [u8; 16]) -> Option<VgpuId> {
        self.vgpus.iter().position(|vgpu| vgpu.uuid == uuid).map(VgpuId)
    }

    /// Whether a job has ended, in whatever way.
    pub fn has_ended(&self, job: JobId) -> bool {
        self.jobs[job.0].has_ended()
    }

    /// Moves that begin from now on are sealed with this key, those to and from other processes
    /// too, and so is what is kept of them.
    pub fn set_seal(&mut self, key: Option<Arc<SealKey>>) {
        self.seal = key;
    }

    /// What a host knows of moves, in place of a journal that ends with this process.
    pub fn set_journal(&mut self, host: HostId, journal: Journal) {
        self.hosts[host.0].journal = journal;
    }

    /// What a host knows of moves.
    pub fn journal(&mut self, host: HostId) -> &mut Journal {
        &mut self.hosts[host.0].journal
    }

    /// Offers a vGPU to another process. `keep`: its state is kept in that file until it is there.
    ///
    /// # Errors
    ///
    /// When it is on no host, or its host cannot.
    pub fn send_away(
        &mut self,
        spec: &AwaySpec,
        keep: Option<&Path>,
        now_ns: u64,
    ) -> Result<Token, String> {
        let Home::Host(host, gfid) = self.vgpus[spec.vgpu.0].home else {
            return Err("it is on no host".into());
        };
        let uuid = self.vgpus[spec.vgpu.0].uuid;
        let node = &mut self.hosts[host.0];
        let token = node.journal.next_token(uuid);
        let options = SaveOptions {
            uuid,
            token: token.number,
            stop: spec.stop,
            stop_timeout_ns: spec.stop_timeout_ns,
        };
        let source = Source::new(&mut node.site(now_ns), gfid, options, spec.live);
        let mut source = source.map_err(|error| error.to_string())?;
        let key = self.seal.as_deref();
        if let Some(key) = key {
            source.seal_with(key).map_err(|error| error.to_string())?;
        }
        if let Some(path) = keep {
            source.keep_state(path, key).map_err(|error| error.to_string())?;
        }
        let half = Half::Source(Box::new(source), SourceState::Working);
        self.vgpus[spec.vgpu.0].in_transfer = true;
        self.remote = Some(Remote { vgpu: spec.vgpu, host, token, half, left: None });
        Ok(token)
    }

    /// Takes up another process's offer of a vGPU that is not in this world yet, in a stream of up
    /// to that version.
    ///
    /// # Errors
    ///
    /// When it is, or is about to be.
    pub fn take_in(
        &mut self,
        vgpu: VgpuId,
        host: HostId,
        (token, version): (Token, u8),
        now_ns: u64,
    ) -> Result<(), String> {
        if self.vgpus[vgpu.0].home != Home::InFlight {
            return Err("it is here".into());
        }
        if self.is_remote_open() {
            return Err("another move of it is not over here yet".into());
        }
        let site = &mut self.hosts[host.0].site(now_ns);
        let mut destination = Destination::new(site, token, version, None);
        if let Some(key) = &self.seal {
            destination.open_with(key);
        }
        let half = Half::Destination(Box::new(destination), DestinationState::Working);
        self.vgpus[vgpu.0].in_transfer = true;
        self.remote = Some(Remote { vgpu, host, token, half, left: None });
        Ok(())
    }

    /// Which move to or from another process there is, if one has begun.
    pub fn remote_token(&self) -> Option<Token> {
        self.remote.as_ref().map(|remote| remote.token)
    }

    /// The next message to the other process.
    pub fn remote_message(&mut self) -> Option<LinkMessage> {
        match &mut self.remote.as_mut()?.half {
            Half::Source(source, _) => source.poll_message(),
            Half::Destination(destination, _) => destination.poll_message(),
        }
    }

    /// Bytes that wait to be restored; the link is to hold back while there are many.
    pub fn remote_buffered(&self) -> usize {
        match self.remote.as_ref().map(|remote| &remote.half) {
            Some(Half::Destination(destination, _)) => destination.buffered(),
            Some(Half::Source(..)) | None => 0,
        }
    }

    /// Takes a message of the other process.
    pub fn handle_remote(&mut self, message: LinkMessage, now_ns: u64) {
        let Some(remote) = &mut self.remote else { return };
        let mut site = self.hosts[remote.host.0].site(now_ns);
        match &mut remote.half {
            Half::Source(source, _) => source.handle(&mut site, &message),
            Half::Destination(destination, _) => destination.handle(&mut site, message),
        }
    }

    /// The link to the other process is gone.
    pub fn remote_lost(&mut self, now_ns: u64) {
        let Some(remote) = &mut self.remote else { return };
        let mut site = self.hosts[remote.host.0].site(now_ns);
        match &mut remote.half {
            Half::Source(source, _) => source.link_lost(&mut site),
            Half::Destination(destination, _) => destination.link_lost(&mut site),
        }
    }

    /// Does what an operator has decided on this side of the move.
    ///
    /// # Errors
    ///
    /// When there is none, or this side refuses.
    pub fn resolve_remote(&mut self, decision: Decision, now_ns: u64) -> Result<(), String> {
        let remote = self.remote.as_mut().ok_or("no move is under way")?;
        let mut site = self.hosts[remote.host.0].site(now_ns);
        let refusal = match &mut remote.half {
            Half::Source(source, _) => source.resolve(&mut site, decision),
            Half::Destination(destination, _) => destination.resolve(&mut site, decision),
        };
        refusal.map_err(|refusal| refusal.to_string())
    }

    /// What is known of how long a move that is sent takes.
    pub fn remote_estimate(&self) -> Option<Estimate> {
        let remote = self.remote.as_ref()?;
        let Half::Source(source, _) = &remote.half else { return None };
        Some(source.estimate(&self.hosts[remote.host.0].host))
    }

    /// There is a link again.
    pub fn remote_back(&mut self) {
        match self.remote.as_mut().map(|remote| &mut remote.half) {
            Some(Half::Source(source, _)) => source.link_back(),
            Some(Half::Destination(destination, _)) => destination.link_back(),
            None => {}
        }
    }

    /// Goes on with this side of the move. `None`: there is none.
    pub fn step_remote(&mut self, now_ns: u64) -> Option<RemoteState> {
        let mut remote = self.remote.take()?;
        let was_over = remote.is_over();
        let state = self.step_half(&mut remote, now_ns);
        if remote.is_over() && !was_over {
            self.vgpus[remote.vgpu.0].in_transfer = false;
            self.leaks_due = true;
        }
        self.remote = Some(remote);
        Some(state)
    }

    fn step_half(&mut self, remote: &mut Remote, now_ns: u64) -> RemoteState {
        let (vgpu, host) = (remote.vgpu, remote.host);
        match &mut remote.half {
            Half::Source(source, state) => {
                *state = source.step(&mut self.hosts[host.0].site(now_ns));
                if *state == SourceState::WantsPause {
                    // The hypervisor stops the guest's processors, then its device.
                    self.vgpus[vgpu.0].paused = true;
                    self.note_written(vgpu);
                    source.guest_paused(&mut self.hosts[host.0].site(now_ns));
                }
                let (state, gfid, trouble) = (state.clone(), source.gfid(), source.take_trouble());
                let given = matches!(state, SourceState::Committed | SourceState::Moved);
                if given && remote.left.is_none() {
                    remote.left = Some(self.vgpus[vgpu.0].earlier);
                    self.leave_host(vgpu, Home::InFlight);
                }
                if let Some(earlier) = remote.left.filter(|_| !given) {
                    remote.left = None;
                    self.vgpus[vgpu.0].home = Home::Host(host, gfid);
                    self.vgpus[vgpu.0].earlier = earlier;
                }
                if matches!(state, SourceState::Undone(_) | SourceState::RunsOn) {
                    self.unpause(vgpu);
                }
                trouble.into_iter().for_each(|trouble| self.problem(trouble));
                RemoteState::Sending(state)
            }
            Half::Destination(destination, state) => {
                *state = destination.step(&mut self.hosts[host.0].site(now_ns));
                let (state, trouble) = (state.clone(), destination.take_trouble());
                if let Some((gfid, _)) = destination.home() {
                    // Its hypervisor maps the guest's memory before it is started.
                    self.map_ram(vgpu, host, gfid);
                }
                if let DestinationState::Running(gfid) = state
                    && self.vgpus[vgpu.0].home == Home::InFlight
                {
                    self.vgpus[vgpu.0].home = Home::Host(host, gfid);
                    self.take_over_jobs(vgpu);
                    self.unpause(vgpu);
                }
                trouble.into_iter().for_each(|trouble| self.problem(trouble));
                RemoteState::Taking(state)
            }
        }
    }

    /// Resumes a vGPU that was added as one that is in a file.
    pub fn resume_here(&mut self, vgpu: VgpuId, to: HostId) {
        if let Home::File(path) = self.vgpus[vgpu.0].home.clone() {
            let options = ResumeOptions { key: self.seal.clone(), ..ResumeOptions::default() };
            let spec = ResumeSpec { vgpu, path, to, options };
            self.schedule(Trigger::At(0), Action::Resume(spec));
        }
    }

    /// Whether this side of a move to or from another process is under way.
    pub(crate) fn is_remote_open(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| !remote.is_over())
    }

    /// Whose place a move to or from another process holds.
    pub(crate) fn remote_claim(&self) -> Option<Claim> {
        let remote = self.remote.as_ref()?;
        let stage = |side| self.hosts[remote.host.0].journal.stage(side, &remote.token);
        let (at, may_run) = match &remote.half {
            Half::Source(_, SourceState::Moved) => return None,
            Half::Source(source, state) => {
                (source.gfid(), !matches!(state, SourceState::Committed))
            }
            Half::Destination(destination, _) => {
                let given = [MoveStage::Running, MoveStage::Started, MoveStage::Closed].map(Some);
                (destination.home()?.0, given.contains(&stage(Side::Destination)))
            }
        };
        Some(Claim { vgpu: remote.vgpu, at: (remote.host, at), may_run })
    }
}

impl Remote {
    /// One side has it for good, as far as this one knows.
    fn is_over(&self) -> bool {
        match &self.half {
            Half::Source(_, state) => {
                matches!(state, SourceState::Moved | SourceState::Undone(_))
            }
            Half::Destination(_, state) => {
                matches!(state, DestinationState::Running(_) | DestinationState::Undone(_))
            }
        }
    }
}
