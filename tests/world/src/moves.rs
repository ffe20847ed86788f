//! Moves between hosts.

use crate::events::MoveSpec;
use crate::report::{MoveKind, MoveReport, PhaseBytes, Place};
use crate::vgpu::Home;
use crate::world::{HostId, JobId, VgpuId, World};
use godwit_shim::{
    Destination, DestinationState, Estimate, SaveOptions, SaveStats, Source, SourceState, Token,
};
use godwit_sim_gpu::VgpuStats;
use godwit_types::{Gfid, Placement, Throttle};

/// A move that is under way.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) vgpu: VgpuId,
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) gfid: Gfid,
    pub(crate) old: Placement,
    live: bool,
    began_ns: u64,
    pub(crate) source: Option<Source>,
    pub(crate) source_state: SourceState,
    pub(crate) destination: Option<Destination>,
    pub(crate) destination_state: DestinationState,
    pub(crate) token: Token,
    stats: SaveStats,
    /// As its guest was paused last.
    estimate: Option<Estimate>,
    /// The source has given it away, and what ran there is counted.
    left: bool,
    /// Time of the last instruction at the source, if there was one.
    last_ns: Option<u64>,
    /// What was counted of it in all when it was given away.
    counts: VgpuStats,
    /// What was counted of it before it was given away.
    before: VgpuStats,
    /// The link as its ends know it, the source's first: cuts that it was told of, and whether
    /// it waits for a new connection.
    pub(crate) told: [(u32, bool); 2],
}

impl Move {
    /// What it does, in a few words.
    pub(crate) fn describe(&self) -> String {
        format!("moving: {:?}, {:?}", self.source_state, self.destination_state)
    }

    /// Whether the source has given the vGPU away.
    pub(crate) fn is_committed(&self) -> bool {
        matches!(self.source_state, SourceState::Committed | SourceState::Moved)
    }

    /// Where it is being restored, so far.
    pub(crate) fn home(&self) -> Option<(HostId, Gfid)> {
        let (gfid, _) = self.destination.as_ref()?.home()?;
        Some((self.to, gfid))
    }
}

impl World {
    pub(crate) fn begin_move(&mut self, spec: &MoveSpec) {
        let node = &mut self.vgpus[spec.vgpu.0];
        let kind = if spec.live.is_some() { MoveKind::Live } else { MoveKind::StopAndCopy };
        let Home::Host(from, gfid) = node.home else {
            return self.refuse(spec, kind, "it is on no host");
        };
        if from == spec.to {
            return self.refuse(spec, kind, "it is there already");
        }
        node.token += 1;
        let options = SaveOptions {
            uuid: node.uuid,
            token: node.token,
            stop: spec.stop,
            stop_timeout_ns: spec.stop_timeout_ns,
        };
        let host = &mut self.hosts[from.0].host;
        let Some(old) = host.vgpu(gfid).map(|info| info.placement) else {
            return self.refuse(spec, kind, "its host does not know it");
        };
        let now_ns = self.now_ns;
        let site = &mut self.hosts[from.0].site(now_ns);
        let mut source = match Source::new(site, gfid, options, spec.live) {
            Ok(source) => source,
            Err(why) => return self.refuse(spec, kind, &why.to_string()),
        };
        if let Some(Err(why)) = self.seal.as_deref().map(|key| source.seal_with(key)) {
            self.problem(format!("a move is not sealed: {why}"));
        }
        self.vgpus[spec.vgpu.0].in_transfer = true;
        let link = self.link_between(from, spec.to);
        link.wanted = true;
        let told = link.known_to_both(now_ns);
        self.moves.push(Move {
            vgpu: spec.vgpu,
            from,
            to: spec.to,
            gfid,
            old,
            live: spec.live.is_some(),
            began_ns: self.now_ns,
            token: *source.token(),
            source: Some(source),
            source_state: SourceState::Working,
            destination: None,
            destination_state: DestinationState::Working,
            stats: SaveStats::default(),
            estimate: None,
            left: false,
            last_ns: None,
            counts: VgpuStats::default(),
            before: VgpuStats::default(),
            told,
        });
    }

    fn refuse(&mut self, &MoveSpec { vgpu, to, .. }: &MoveSpec, kind: MoveKind, why: &str) {
        self.reports.push(MoveReport {
            vgpu,
            kind,
            outcome: Err(format!("refused: {why}")),
            blackout_ns: None,
            estimate: None,
            total_ns: 0,
            rounds: 0,
            throttle: Throttle::NONE,
            bytes: PhaseBytes::default(),
            instructions: 0,
            job: None,
            copied_bytes: 0,
            old: None,
            to: Some(to),
            new: None,
        });
    }

    /// Goes on with all moves, `window_ns` of the link's time.
    pub(crate) fn step_moves(&mut self, window_ns: u64) {
        let mut moves = std::mem::take(&mut self.moves);
        for one in &mut moves {
            self.step_cut(one);
            self.step_source(one);
            self.step_destination(one);
        }
        self.carry(&mut moves, window_ns);
        let mut left = Vec::new();
        for one in moves {
            if let Some(one) = self.end_move(one) {
                left.push(one);
            }
        }
        // Actions of this step may have begun others.
        left.append(&mut self.moves);
        self.moves = left;
    }

    /// Tells each end when it notices that the link was lost, and when it is there again.
    fn step_cut(&mut self, one: &mut Move) {
        let now_ns = self.now_ns;
        let (flip, link) = (usize::from(one.from > one.to), self.link_between(one.from, one.to));
        let known = [0, 1].map(|end| link.known_cuts(end ^ flip, now_ns));
        let is_cut = link.is_cut(now_ns);
        let (from, to) = (one.from.0, one.to.0);
        for (end, known) in known.into_iter().enumerate() {
            let (cuts, waits) = &mut one.told[end];
            let lost = *cuts != known;
            let back = (lost || *waits) && !is_cut;
            *cuts = known;
            *waits = (lost || *waits) && is_cut;
            if end == 0
                && let Some(source) = &mut one.source
            {
                if lost {
                    source.link_lost(&mut self.hosts[from].site(now_ns));
                }
                if back {
                    source.link_back();
                }
            }
            if end == 1
                && let Some(destination) = &mut one.destination
            {
                if lost {
                    destination.link_lost(&mut self.hosts[to].site(now_ns));
                }
                if back {
                    destination.link_back();
                }
            }
        }
    }

    fn step_source(&mut self, one: &mut Move) {
        let Some(source) = &mut one.source else { return };
        let now_ns = self.now_ns;
        one.source_state = source.step(&mut self.hosts[one.from.0].site(now_ns));
        if one.source_state == SourceState::WantsPause {
            // The hypervisor stops the guest's processors, then its device.
            self.vgpus[one.vgpu.0].paused = true;
            self.note_written(one.vgpu);
            let mut site = self.hosts[one.from.0].site(now_ns);
            one.estimate = Some(source.estimate(site.host));
            source.guest_paused(&mut site);
            one.source_state = source.step(&mut site);
        }
        one.stats = source.stats();
        let trouble = source.take_trouble();
        if one.left && !one.is_committed() {
            self.come_back(one);
        }
        match one.source_state {
            SourceState::Committed => {
                if !one.left {
                    one.left = true;
                    one.before = self.vgpus[one.vgpu.0].earlier;
                    self.leave_host(one.vgpu, Home::InFlight);
                    one.last_ns = self.vgpus[one.vgpu.0].last_ns;
                    one.counts = self.vgpus[one.vgpu.0].earlier;
                }
            }
            SourceState::Moved => one.source = None,
            SourceState::Undone(_) | SourceState::RunsOn => self.unpause(one.vgpu),
            SourceState::Working | SourceState::WantsPause => {}
        }
        if let Some(trouble) = trouble {
            self.problem(trouble);
        }
    }

    /// It was given away, and is the source's again.
    fn come_back(&mut self, one: &mut Move) {
        one.left = false;
        let vgpu = &mut self.vgpus[one.vgpu.0];
        vgpu.home = Home::Host(one.from, one.gfid);
        vgpu.earlier = one.before;
    }

    fn step_destination(&mut self, one: &mut Move) {
        let Some(destination) = &mut one.destination else { return };
        let was_placed = destination.home().is_some();
        one.destination_state = destination.step(&mut self.hosts[one.to.0].site(self.now_ns));
        if let Some(trouble) = destination.take_trouble() {
            self.problem(trouble);
        }
        let Some(destination) = &one.destination else { return };
        if let Some(place) = destination.home().filter(|_| !was_placed) {
            self.check_place(one.vgpu, one.to, &one.old, place);
        }
        if let Some((gfid, _)) = destination.home() {
            // Its hypervisor maps the guest's memory before it is started.
            self.map_ram(one.vgpu, one.to, gfid);
        }
        if let DestinationState::Running(gfid) = one.destination_state {
            let vgpu = &mut self.vgpus[one.vgpu.0];
            if vgpu.paused {
                vgpu.home = Home::Host(one.to, gfid);
                self.unpause(one.vgpu);
            }
        }
    }

    /// Its vGPU runs again, or still: the guest goes on, and finds all as it left it.
    pub(crate) fn unpause(&mut self, vgpu: VgpuId) {
        self.vgpus[vgpu.0].clock.may_have_stood();
        if std::mem::take(&mut self.vgpus[vgpu.0].paused) {
            self.check_registers(vgpu);
        }
    }

    /// Reports a move that is over on both sides; gives one back that is not.
    fn end_move(&mut self, one: Move) -> Option<Move> {
        let source_over =
            one.source.is_none() || matches!(one.source_state, SourceState::Undone(_));
        let over = match &one.destination_state {
            DestinationState::Running(_) => one.source.is_none(),
            DestinationState::Undone(_) => source_over,
            DestinationState::Working | DestinationState::Ready | DestinationState::Stuck(_) => {
                source_over && one.destination.is_none()
            }
        };
        if !over {
            return Some(one);
        }
        let moved = one.destination.as_ref().and_then(Destination::home);
        let (outcome, new) = match (&one.source_state, &one.destination_state) {
            (_, DestinationState::Running(_)) => (Ok(()), moved),
            (SourceState::Undone(why), _) => (Err(why.clone()), None),
            (_, DestinationState::Undone(why)) => (Err(why.clone()), None),
            _ => (Err("it ended without an end".into()), None),
        };
        let first_ns = new.and_then(|(gfid, _)| {
            let node = &self.hosts[one.to.0];
            let first = node.host.card().gpu().stats(gfid).first_instruction_ns?;
            Some(node.world_ns(first))
        });
        if new.is_some() && self.waits_for_first(one.vgpu, one.began_ns, one.last_ns, first_ns) {
            return Some(one);
        }
        let report = MoveReport {
            vgpu: one.vgpu,
            kind: if one.live { MoveKind::Live } else { MoveKind::StopAndCopy },
            outcome,
            blackout_ns: self.blackout_ns(one.vgpu, one.last_ns, first_ns),
            estimate: one.estimate,
            total_ns: self.now_ns - one.began_ns,
            rounds: one.stats.rounds,
            throttle: one.stats.throttle,
            bytes: PhaseBytes {
                precopy: one.stats.precopy_bytes,
                stop: one.stats.stop_bytes,
                state: one.stats.state_bytes,
            },
            instructions: one.counts.instructions,
            job: self.vgpus[one.vgpu.0].left_in.filter(|_| one.left),
            copied_bytes: one.counts.copied_bytes,
            old: Some(Place { host: one.from, placement: one.old }),
            to: Some(one.to),
            new: new.map(|(_, placement)| Place { host: one.to, placement }),
        };
        if let Some((_, placement)) = new {
            self.vgpus[one.vgpu.0].last_place = Some((one.to, placement));
        }
        self.finish_transfer(report, one.began_ns);
        None
    }

    /// How long a vGPU stood still, between its last instruction where it was and its first where
    /// it is. One whose first came before its last has run in two places, which is a problem.
    pub(crate) fn blackout_ns(
        &mut self,
        vgpu: VgpuId,
        last_ns: Option<u64>,
        first_ns: Option<u64>,
    ) -> Option<u64> {
        let (last, first) = (last_ns?, first_ns?);
        let blackout_ns = first.checked_sub(last);
        if blackout_ns.is_none() {
            let (name, seed) = (&self.vgpus[vgpu.0].name, self.config.seed);
            self.problem(format!(
                "{name} ran in two places: its first instruction where it is was at {first} ns, \
                 before its last where it was, at {last} ns (seed {seed})"
            ));
        }
        blackout_ns
    }

    /// Whether a vGPU that was at work and runs again will show its first instruction.
    pub(crate) fn waits_for_first(
        &self,
        vgpu: VgpuId,
        began_ns: u64,
        last_ns: Option<u64>,
        first_ns: Option<u64>,
    ) -> bool {
        let comes = last_ns.is_some() && first_ns.is_none() && self.computes(vgpu);
        comes && self.now_ns < began_ns + 1_000_000_000
    }

    /// Whether a vGPU's guest has a kernel that is not done.
    fn computes(&self, vgpu: VgpuId) -> bool {
        let mut jobs = self.vgpus[vgpu.0].jobs.iter().map(|job| &self.jobs[job.0]);
        jobs.any(|job| job.computes() && !job.has_ended())
    }

    /// The kernel of a vGPU that has begun and of whose end its guest does not know, and the
    /// instructions that it has run.
    pub(crate) fn kernel_at_work(&self, vgpu: VgpuId) -> Option<(JobId, u64)> {
        let at_work = |id: &&JobId| {
            let job = &self.jobs[id.0];
            job.computes() && !job.has_ended() && job.instructions(self).is_some()
        };
        let id = *self.vgpus[vgpu.0].jobs.iter().find(at_work)?;
        Some((id, self.jobs[id.0].instructions(self)?))
    }

    /// Whether a vGPU's guest has given it work that is not done.
    pub(crate) fn has_work(&self, vgpu: VgpuId) -> bool {
        self.vgpus[vgpu.0].jobs.iter().any(|job| !self.jobs[job.0].has_ended())
    }
}
