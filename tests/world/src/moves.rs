//! Moves between hosts.

use crate::events::MoveSpec;
use crate::link::Link;
use crate::report::{MoveKind, MoveReport, PhaseBytes, Place};
use crate::vgpu::Home;
use crate::world::{HostId, JobId, VgpuId, World};
use godwit_shim::{
    Destination, DestinationState, LinkMessage, SaveOptions, SaveStats, Source, SourceState, Token,
};
use godwit_sim_gpu::VgpuStats;
use godwit_types::{Gfid, Placement, Throttle};

/// Bytes that a destination may hold before the link waits for it.
const DESTINATION_BUFFER: usize = 1024 * 1024;

/// A move that is under way.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) vgpu: VgpuId,
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) gfid: Gfid,
    old: Placement,
    live: bool,
    began_ns: u64,
    pub(crate) source: Option<Source>,
    source_state: SourceState,
    destination: Option<Destination>,
    destination_state: DestinationState,
    token: Token,
    stats: SaveStats,
    /// The source has given it away, and what ran there is counted.
    left: bool,
    /// Time of the last instruction at the source, if there was one.
    last_ns: Option<u64>,
    /// What was counted of it in all when it was given away.
    counts: VgpuStats,
    /// Cuts of the link that both ends were told of.
    cuts_seen: u32,
    was_cut: bool,
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
            return self.refuse(spec.vgpu, kind, "it is on no host");
        };
        if from == spec.to {
            return self.refuse(spec.vgpu, kind, "it is there already");
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
            return self.refuse(spec.vgpu, kind, "its host does not know it");
        };
        let Some(source) = Source::new(host, gfid, options, spec.live) else {
            return self.refuse(spec.vgpu, kind, "its host does not know it");
        };
        self.vgpus[spec.vgpu.0].in_transfer = true;
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
            left: false,
            last_ns: None,
            counts: VgpuStats::default(),
            cuts_seen: self.link_cuts(from, spec.to),
            was_cut: false,
        });
    }

    fn refuse(&mut self, vgpu: VgpuId, kind: MoveKind, why: &str) {
        self.reports.push(MoveReport {
            vgpu,
            kind,
            outcome: Err(format!("refused: {why}")),
            blackout_ns: None,
            total_ns: 0,
            rounds: 0,
            throttle: Throttle::NONE,
            bytes: PhaseBytes::default(),
            instructions: 0,
            job: None,
            copied_bytes: 0,
            old: None,
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
            self.carry(one, window_ns);
        }
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

    /// Tells both ends that the link was lost, and the destination when it is there again.
    fn step_cut(&mut self, one: &mut Move) {
        let (mut cut, mut cuts) = (false, 0);
        for ends in [(one.from, one.to), (one.to, one.from)] {
            let link = self.links.entry(ends).or_default();
            cut |= link.is_cut(self.now_ns);
            cuts += link.cuts;
        }
        if cuts != one.cuts_seen {
            one.cuts_seen = cuts;
            one.was_cut = true;
            if let Some(source) = &mut one.source {
                source.link_lost(&mut self.hosts[one.from.0].host);
            }
            if let Some(destination) = &mut one.destination {
                destination.link_lost(&mut self.hosts[one.to.0].host);
            }
        }
        if one.was_cut && !cut {
            one.was_cut = false;
            if let Some(destination) = &mut one.destination {
                destination.link_back();
            }
        }
    }

    fn step_source(&mut self, one: &mut Move) {
        let Some(source) = &mut one.source else { return };
        let node = &mut self.hosts[one.from.0];
        one.source_state = source.step(&mut node.host);
        if one.source_state == SourceState::WantsPause {
            // The hypervisor stops the guest's processors, then its device.
            self.vgpus[one.vgpu.0].paused = true;
            self.note_written(one.vgpu);
            let node = &mut self.hosts[one.from.0];
            source.guest_paused(&mut node.host);
            one.source_state = source.step(&mut node.host);
        }
        one.stats = source.stats();
        match one.source_state {
            SourceState::Committed => {
                if !one.left {
                    one.left = true;
                    self.leave_host(one.vgpu, Home::InFlight);
                    one.last_ns = self.vgpus[one.vgpu.0].last_ns;
                    one.counts = self.vgpus[one.vgpu.0].earlier;
                }
            }
            SourceState::Moved => one.source = None,
            SourceState::Undone(_) | SourceState::RunsOn => self.unpause(one.vgpu),
            SourceState::Working | SourceState::WantsPause => {}
        }
    }

    fn step_destination(&mut self, one: &mut Move) {
        let Some(destination) = &mut one.destination else { return };
        let was_placed = destination.home().is_some();
        one.destination_state = destination.step(&mut self.hosts[one.to.0].host);
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
        if std::mem::take(&mut self.vgpus[vgpu.0].paused) {
            self.check_registers(vgpu);
        }
    }

    /// Carries messages both ways.
    fn carry(&mut self, one: &mut Move, window_ns: u64) {
        let costs = self.config.costs;
        let (byte_ps, latency_ns) = (costs.link_byte_ps, costs.link_latency_ns);
        let now_ns = self.now_ns;
        let forth = self.links.entry((one.from, one.to)).or_default();
        let held_back =
            one.destination.as_ref().is_some_and(|to| to.buffered() > DESTINATION_BUFFER);
        while let Some(source) = &mut one.source
            && !held_back
            && forth.takes(now_ns, window_ns)
            && let Some(message) = source.poll_message()
        {
            forth.send(now_ns, byte_ps, latency_ns, &message);
        }
        let back = self.links.entry((one.to, one.from)).or_default();
        while let Some(destination) = &mut one.destination
            && back.takes(now_ns, window_ns)
            && let Some(message) = destination.poll_message()
        {
            back.send(now_ns, byte_ps, latency_ns, &message);
        }
    }

    /// Hands out what has arrived on the links.
    pub(crate) fn deliver(&mut self) {
        let ends: Vec<(HostId, HostId)> = self.links.keys().copied().collect();
        for (from, to) in ends {
            while let Some(message) = self
                .links
                .get_mut(&(from, to))
                .and_then(|link: &mut Link| link.receive(self.now_ns))
            {
                self.hand_over(from, to, message);
            }
        }
    }

    fn hand_over(&mut self, from: HostId, to: HostId, message: LinkMessage) {
        let token = *message.token();
        let forth = |one: &&mut Move| one.token == token && one.from == from && one.to == to;
        let back = |one: &&mut Move| one.token == token && one.from == to && one.to == from;
        if let Some(one) = self.moves.iter_mut().find(forth) {
            let host = &mut self.hosts[to.0].host;
            match (&mut one.destination, message) {
                (None, LinkMessage::Offer(token, version)) => {
                    one.destination = Some(Destination::new(host, token, version, Some(one.old)));
                }
                (Some(destination), message) => destination.handle(host, message),
                (None, _) => {}
            }
            return;
        }
        if let Some(one) = self.moves.iter_mut().find(back) {
            let node = &mut self.hosts[to.0];
            if let LinkMessage::Query(token) = message {
                // Answered from the journal, whatever has become of the source.
                let committed = node.journal.is_committed(&token);
                let (byte_ps, latency_ns) =
                    (self.config.costs.link_byte_ps, self.config.costs.link_latency_ns);
                let link = self.links.entry((to, from)).or_default();
                let answer = LinkMessage::Answer(token, committed);
                link.send(self.now_ns, byte_ps, latency_ns, &answer);
            } else if let Some(source) = &mut one.source {
                source.handle(&mut node.host, &mut node.journal, &message);
            }
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
            blackout_ns: first_ns.zip(one.last_ns).map(|(first, last)| first.saturating_sub(last)),
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
            new: new.map(|(_, placement)| Place { host: one.to, placement }),
        };
        if let Some((_, placement)) = new {
            self.vgpus[one.vgpu.0].last_place = Some((one.to, placement));
        }
        self.finish_transfer(report, one.began_ns);
        None
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

    /// Cuts so far of the link between two hosts.
    fn link_cuts(&self, a: HostId, b: HostId) -> u32 {
        let cuts = |ends| self.links.get(&ends).map_or(0, |link| link.cuts);
        cuts((a, b)) + cuts((b, a))
    }

    pub(crate) fn cut_link(&mut self, a: HostId, b: HostId, ns: u64) {
        for ends in [(a, b), (b, a)] {
            self.links.entry(ends).or_default().cut(self.now_ns + ns);
        }
    }

    pub(crate) fn stall_link(&mut self, a: HostId, b: HostId, ns: u64) {
        for ends in [(a, b), (b, a)] {
            self.links.entry(ends).or_default().stall(self.now_ns + ns);
        }
    }
}
