//! A vGPU that moves from one host of this server to another, while it runs.

use super::{Outcome, Site, Work, let_go};
use crate::events::Where;
use crate::host::ServedHost;
use godwit_control::{Code, EventKind, KindOfMove, MovePhase, Moved, Progress, Refusal, Told};
use godwit_shim::{
    Destination, DestinationState, Downtime, LinkMessage, Live, Otherwise, SaveOptions,
    Site as Side, Source, SourceState,
};
use godwit_types::{Gfid, Placement};
use godwit_wire::mailbox::StopMode;
use std::time::{Duration, Instant};

/// Rounds at most, and pages of the last one, as of a move of a scenario.
const ROUNDS_MAX: u32 = 30;
const PAGES_ENOUGH: u32 = 64;
/// How long stopping may take: longer than any preemption that works.
const STOP_TIMEOUT_NS: u64 = 640_000_000;
/// Bytes that wait to be restored, from which on the source is not asked for more.
const BUFFERED_MAX: usize = 1 << 20;
/// How long it goes on before others have their turn.
const TURN: Duration = Duration::from_micros(300);

/// How a vGPU is moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) kind: KindOfMove,
    pub(crate) max_downtime_ns: Option<u64>,
}

impl How {
    pub(crate) fn live(self) -> Option<Live> {
        let bound = |max_ns| Downtime { max_ns, otherwise: Otherwise::GiveUp };
        (self.kind == KindOfMove::Live).then(|| Live {
            rounds_max: ROUNDS_MAX,
            pages_enough: PAGES_ENOUGH,
            downtime: self.max_downtime_ns.map(bound),
        })
    }
}

/// How a vGPU is saved that nobody has.
pub(crate) fn save_options(uuid: [u8; 16], token: u64) -> SaveOptions {
    SaveOptions { uuid, token, stop: StopMode::Instruction, stop_timeout_ns: STOP_TIMEOUT_NS }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Moving {
    name: String,
    from: usize,
    to: usize,
    old: Placement,
    token: u64,
    source: Source,
    destination: Option<Destination>,
    began: Instant,
    stopped: Option<Instant>,
    arrived: Option<Arrived>,
    rounds: Rounds,
}

/// It runs at the destination.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    gfid: Gfid,
    blackout: Duration,
}

/// Both hosts of a move.
fn both(
    hosts: &mut [ServedHost],
    from: usize,
    to: usize,
) -> Option<(&mut ServedHost, &mut ServedHost)> {
    let [a, b] = hosts.get_disjoint_mut([from, to]).ok()?;
    Some((a, b))
}

/// How much a vGPU writes while it is copied: what a round has was written since the one before
/// began.
#[derive(Debug)]
pub(super) struct Rounds {
    /// What the last had, and since when.
    last: (u64, Instant),
    /// Bytes a second, where there was a round to tell.
    pub(super) dirty: Option<u64>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self { last: (0, Instant::now()), dirty: None }
    }

    pub(super) fn note(&mut self, source: &Source, host: &ServedHost) {
        let bytes = source.estimate(&host.host).round_bytes;
        let (before, since) = self.last;
        if bytes == before {
            return;
        }
        let ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        if before != 0 && source.stats().rounds > 1 {
            let rate = u128::from(bytes) * 1_000_000_000 / u128::from(ns);
            self.dirty = Some(u64::try_from(rate).unwrap_or(u64::MAX));
        }
        self.last = (bytes, Instant::now());
    }
}

/// How far a vGPU is that leaves a host.
pub(super) fn progress(
    vgpu: &str,
    phase: MovePhase,
    source: &Source,
    from: &ServedHost,
) -> Progress {
    let (stats, estimate) = (source.stats(), source.estimate(&from.host));
    Progress {
        vgpu: vgpu.to_owned(),
        phase,
        rounds: stats.rounds,
        sent_bytes: stats.precopy_bytes + stats.stop_bytes + stats.state_bytes,
        left_bytes: estimate.round_bytes,
        downtime_ns: estimate.downtime_ns,
    }
}

/// One host of a move.
pub(super) fn side(host: &mut ServedHost, now_ns: u64) -> Side<'_> {
    Side { host: &mut host.host, journal: &mut host.journal, now_ns }
}

impl Moving {
    /// Begins it. The vGPU is seized.
    ///
    /// # Errors
    ///
    /// When there is no such vGPU; it is let go then.
    pub(crate) fn new(
        site: &mut Site<'_>,
        (from, to): (usize, usize),
        name: &str,
        how: How,
    ) -> Result<Self, Refusal> {
        let now_ns = site.now_ns;
        let failed =
            |why: &dyn std::fmt::Display| Refusal::new(Code::Failed, why).help(super::HOST_HELP);
        let host = &mut site.hosts[from];
        let Some(served) = host.served_mut(name) else { return Err(super::no_vgpu(name)) };
        let (gfid, uuid) = (served.device.gfid, served.device.migration.uuid());
        let token = served.device.migration.next_token();
        let begun = match host.host.vgpu(gfid).map(|info| info.placement) {
            None => Err(failed(&"the firmware does not have it")),
            Some(old) => {
                let options = save_options(uuid, token);
                let source = Source::new(&mut side(host, now_ns), gfid, options, how.live());
                source.map(|source| (old, source)).map_err(|error| failed(&error))
            }
        };
        let (old, source) = match begun {
            Ok(begun) => begun,
            Err(refusal) => {
                let_go(site, from, name, &format!("migrate: {refusal}"));
                return Err(refusal);
            }
        };
        let at = site.hosts[from].name.clone();
        let text = format!("migrates to `{}`", site.hosts[to].name);
        site.events.note(EventKind::Began, Where::of(&at, name), &text);
        Ok(Self {
            name: name.to_owned(),
            from,
            to,
            old,
            token,
            source,
            destination: None,
            began: Instant::now(),
            stopped: None,
            arrived: None,
            rounds: Rounds::new(),
        })
    }

    /// Which vGPU moves.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Goes on. `None`: it is under way.
    pub(crate) fn go_on(&mut self, site: &mut Site<'_>) -> Option<Result<Moved, Refusal>> {
        let began = Instant::now();
        let now_ns = site.now_ns;
        loop {
            let (from, to) = both(site.hosts, self.from, self.to)?;
            from.host.settle();
            to.host.settle();
            let state = self.source.step(&mut side(from, now_ns));
            if state == SourceState::WantsPause {
                // Nobody has it, so there is no guest to be paused.
                self.source.guest_paused(&mut side(from, now_ns));
                self.stopped.get_or_insert_with(Instant::now);
            } else if state == SourceState::RunsOn {
                self.stopped = None;
            }
            if self.stopped.is_none() {
                self.rounds.note(&self.source, from);
            }
            let carried = self.carry(from, to, now_ns);
            let there = self.destination.as_mut().map(|it| it.step(&mut side(to, now_ns)));
            if let Some(DestinationState::Running(gfid)) = there
                && self.arrived.is_none()
            {
                let blackout = self.stopped.map_or(Duration::ZERO, |at| at.elapsed());
                self.arrived = Some(Arrived { gfid, blackout });
            }
            if let Some(end) = self.ended(site, &state, there.as_ref()) {
                return Some(end);
            }
            if !carried || began.elapsed() > TURN {
                return None;
            }
        }
    }

    /// Carries messages both ways. `false`: there were none.
    fn carry(&mut self, from: &mut ServedHost, to: &mut ServedHost, now_ns: u64) -> bool {
        let mut any = false;
        while self.destination.as_ref().is_none_or(|it| it.buffered() < BUFFERED_MAX)
            && let Some(message) = self.source.poll_message()
        {
            any = true;
            match (&mut self.destination, message) {
                (Some(destination), message) => destination.handle(&mut side(to, now_ns), message),
                (None, LinkMessage::Offer(token, version)) => {
                    let (mut site, avoid) = (side(to, now_ns), Some(self.old));
                    self.destination = Some(Destination::new(&mut site, token, version, avoid));
                }
                // An offer comes first.
                (None, _) => {}
            }
        }
        while let Some(message) = self.destination.as_mut().and_then(Destination::poll_message) {
            any = true;
            self.source.handle(&mut side(from, now_ns), &message);
        }
        any
    }

    /// What has become of it, once both sides have come to their end.
    fn ended(
        &mut self,
        site: &mut Site<'_>,
        here: &SourceState,
        there: Option<&DestinationState>,
    ) -> Option<Result<Moved, Refusal>> {
        match (here, there) {
            (SourceState::Moved, Some(DestinationState::Running(_))) => {
                let arrived = self.arrived?;
                Some(Ok(self.arrive(site, arrived)))
            }
            (SourceState::Undone(why), None | Some(DestinationState::Undone(_))) => {
                let why = match there {
                    Some(DestinationState::Undone(there)) if !why.contains(there.as_str()) => {
                        format!("{why}: {there}")
                    }
                    _ => why.clone(),
                };
                let_go(site, self.from, &self.name, &format!("migrate: {why}"));
                let host = &site.hosts[self.from].host;
                let fits = "it runs on where it was; `godwit ctl profiles` shows what fits where";
                Some(Err(super::not_moved(host, &why, fits)))
            }
            (_, Some(DestinationState::Stuck(why))) => {
                let why = format!("{why}; whether it ran is not known, and it stands still here");
                let_go(site, self.from, &self.name, &format!("migrate: {why}"));
                let help = format!("what is left of it: `godwit ctl destroy {}`", self.name);
                let code = match site.hosts[self.to].host.lost_for_good() {
                    Some(_) => Code::FirmwareLost,
                    None => Code::Failed,
                };
                Some(Err(Refusal::new(code, why).help(help)))
            }
            _ => None,
        }
    }

    /// Its sockets come to the other host, and are the new vGPU's.
    fn arrive(&mut self, site: &mut Site<'_>, arrived: Arrived) -> Moved {
        let stats = self.source.stats();
        let uuid = self.source.token().uuid;
        let blackout_ns = u64::try_from(arrived.blackout.as_nanos()).unwrap_or(u64::MAX);
        let moved = Moved {
            vgpu: self.name.clone(),
            from: site.hosts[self.from].name.clone(),
            to: site.hosts[self.to].name.clone(),
            rounds: stats.rounds,
            precopy_bytes: stats.precopy_bytes,
            stop_bytes: stats.stop_bytes,
            blackout_ns,
            total_ns: u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        if let Some(sockets) = site.hosts[self.from].remove(&self.name) {
            site.hosts[self.from].stats.gone();
            let to = &mut site.hosts[self.to];
            to.add(&self.name, arrived.gfid, (uuid, self.token), sockets);
            to.stats.came();
            to.stats.moved(arrived.gfid, Some(blackout_ns), self.rounds.dirty);
        }
        let text = format!("moved from `{}` in {} ms", moved.from, moved.total_ns / 1_000_000);
        site.events.note(EventKind::Moved, Where::of(&moved.to, &self.name), &text);
        moved
    }
}

impl Work for Moving {
    fn brings_to(&self, host: usize) -> bool {
        self.to == host
    }

    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        self.go_on(site).map(|end| end.map(Told::Moved))
    }

    fn progress(&self, hosts: &[ServedHost]) -> Option<Progress> {
        let phase = match (&self.arrived, self.stopped) {
            (Some(_), _) => MovePhase::Committed,
            (None, Some(_)) => MovePhase::Stopped,
            (None, None) => MovePhase::Rounds,
        };
        Some(progress(&self.name, phase, &self.source, &hosts[self.from]))
    }
}
