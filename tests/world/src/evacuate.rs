//! Evacuations: all vGPUs of a host move to others, several at a time, and all of them together
//! take no more of the links than they may.

use crate::events::{EventId, MoveSpec};
use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_shim::evacuate::{self, Leaver, Misfit, Room};
use godwit_shim::{Live, Token};
use godwit_types::Identity;
use godwit_wire::mailbox::StopMode;

/// An evacuation to be made.
#[derive(Clone, Debug)]
pub struct EvacuateSpec {
    /// Which host is to be empty.
    pub from: HostId,
    /// Where its vGPUs may go; empty: to every other host.
    pub to: Vec<HostId>,
    /// Moves at a time, at least 1.
    pub parallel: usize,
    /// Bytes a second that all moves together may put on links, at least 1; `None`: no cap.
    pub bandwidth: Option<u64>,
    /// Rounds before each stop; `None`: stop-and-copy.
    pub live: Option<Live>,
    /// At what boundary each vGPU is stopped.
    pub stop: StopMode,
    /// How long each stop may take, in nanoseconds.
    pub stop_timeout_ns: u64,
}

/// How an evacuation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvacuationReport {
    /// The action, if it was scheduled.
    pub event: Option<EventId>,
    /// Which host is to be empty.
    pub from: HostId,
    /// Its vGPUs: first those that have a destination, in the order of the plan.
    pub legs: Vec<LegReport>,
}

impl EvacuationReport {
    /// Whether every move of it has ended.
    pub fn is_over(&self) -> bool {
        self.legs.iter().all(|leg| leg.outcome.is_some())
    }
}

/// How the move of one vGPU in an evacuation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegReport {
    /// Which vGPU.
    pub vgpu: VgpuId,
    /// Where to; `None`: it fits nowhere.
    pub to: Option<HostId>,
    /// `None`: it has not ended. `Ok`: it came to pass; otherwise why not.
    pub outcome: Option<Result<(), String>>,
    /// Place of its move in [`World::move_reports`], if there was one and it has ended.
    pub transfer: Option<usize>,
}

/// Lets bytes pass at a rate. A bucket of tokens that holds those of the frame that passes: the
/// next one may begin when all before it have had their time. So in any time no more bytes begin
/// than the rate says, and one frame.
#[derive(Debug)]
struct Cap {
    /// Bytes a second.
    rate: u64,
    /// When the next frame may begin, in picoseconds.
    opens_ps: u128,
}

impl Cap {
    fn opens_ns(&self) -> u64 {
        self.opens_ps.div_ceil(1_000) as u64
    }

    fn charge(&mut self, start_ns: u64, byte_count: u64) {
        let start_ps = u128::from(start_ns) * 1_000;
        let takes_ps = (u128::from(byte_count) * 1_000_000_000_000).div_ceil(self.rate.into());
        self.opens_ps = start_ps + takes_ps;
    }
}

/// An evacuation, open or over.
#[derive(Debug)]
pub(crate) struct Evacuation {
    event: Option<EventId>,
    spec: EvacuateSpec,
    legs: Vec<LegReport>,
    /// So many legs have begun, from the first on.
    begun: usize,
    cap: Option<Cap>,
    turn: usize,
    /// Reports of the world that were looked at.
    seen: usize,
}

impl Evacuation {
    /// Whether a move of it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.legs.iter().any(|leg| leg.outcome.is_none())
    }

    /// When the next frame of its moves may begin.
    pub(crate) fn cap_opens_ns(&self) -> u64 {
        self.cap.as_ref().map_or(0, Cap::opens_ns)
    }

    /// A frame of its moves begins then.
    pub(crate) fn charge(&mut self, start_ns: u64, byte_count: u64) {
        if let Some(cap) = &mut self.cap {
            cap.charge(start_ns, byte_count);
        }
    }

    /// Counts up: whose turn it is.
    pub(crate) fn next_turn(&mut self) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }

    /// Its moves that are under way.
    fn moving(&self) -> impl Iterator<Item = &LegReport> {
        self.legs[..self.begun].iter().filter(|leg| leg.outcome.is_none())
    }
}

impl World {
    /// Evacuations, in the order in which they began.
    pub fn evacuation_reports(&self) -> impl Iterator<Item = EvacuationReport> {
        self.evacuations.iter().map(|it| EvacuationReport {
            event: it.event,
            from: it.spec.from,
            legs: it.legs.clone(),
        })
    }

    /// Whether a host can be evacuated now: no vGPU of it is in transfer, and it is not under way.
    pub(crate) fn can_evacuate(&self, host: HostId) -> bool {
        let at_rest = |home: &Home| !matches!(home, Home::Host(at, _) if *at == host);
        self.vgpus.iter().all(|vgpu| !vgpu.in_transfer || at_rest(&vgpu.home))
            && !self.evacuations.iter().any(|it| it.is_open() && it.spec.from == host)
    }

    /// Whether an evacuation is about to move a vGPU, or does.
    pub(crate) fn is_to_leave(&self, vgpu: VgpuId) -> bool {
        let mut legs = self.evacuations.iter().flat_map(|it| &it.legs);
        legs.any(|leg| leg.vgpu == vgpu && leg.outcome.is_none())
    }

    /// The evacuation whose cap holds for a move: its place in the list.
    pub(crate) fn cap_of(&self, token: &Token) -> Option<usize> {
        self.evacuations.iter().position(|it| {
            let is_its = |leg: &LegReport| self.vgpus[leg.vgpu.0].uuid == token.uuid;
            it.cap.is_some() && it.moving().any(is_its)
        })
    }

    pub(crate) fn begin_evacuation(&mut self, event: Option<EventId>, spec: EvacuateSpec) {
        let mut spec = spec;
        if spec.to.is_empty() {
            spec.to = (0..self.hosts.len()).map(HostId).collect();
        }
        spec.to.retain(|to| *to != spec.from);
        let (ids, leavers) = self.leavers(spec.from);
        let rooms: Vec<Room> =
            spec.to.iter().map(|to| Room::of(&mut self.hosts[to.0].host)).collect();
        let plan = evacuate::plan(&leavers, &rooms);
        let leg = |vgpu, to, outcome| LegReport { vgpu, to, outcome, transfer: None };
        let steps = plan.steps.iter().map(|it| leg(ids[it.leaver], Some(spec.to[it.to]), None));
        let left = plan.left.iter().map(|(at, why)| {
            let why = Err(format!("refused: {}", self.nowhere(&spec.to, why)));
            leg(ids[*at], None, Some(why))
        });
        let legs: Vec<LegReport> = steps.chain(left).collect();
        let cap = spec.bandwidth.map(|rate| Cap { rate: rate.max(1), opens_ps: 0 });
        let seen = self.reports.len();
        self.evacuations.push(Evacuation { event, spec, legs, begun: 0, cap, turn: 0, seen });
    }

    /// The vGPUs of a host, and what a plan must know of them.
    fn leavers(&mut self, from: HostId) -> (Vec<VgpuId>, Vec<Leaver>) {
        let host = &mut self.hosts[from.0].host;
        let Identity { context_layout, engines, .. } = host.identity();
        let here = self.vgpus.iter().enumerate().filter_map(|(id, vgpu)| match vgpu.home {
            Home::Host(at, gfid) if at == from => Some((VgpuId(id), host.vgpu(gfid)?)),
            Home::Host(..) | Home::InFlight | Home::File(_) => None,
        });
        let leaver = |info: &godwit_shim::VgpuInfo| Leaver {
            profile: info.profile,
            placement: info.placement,
            context_layout,
            engines,
        };
        here.map(|(id, info)| (id, leaver(info))).unzip()
    }

    /// Says why a vGPU fits none of these hosts.
    fn nowhere(&self, to: &[HostId], why: &[Misfit]) -> String {
        if to.is_empty() {
            return "there is no other host".into();
        }
        let each = to.iter().zip(why);
        let told: Vec<String> =
            each.map(|(to, why)| format!("on `{}` {why}", self.host_name(*to))).collect();
        format!("it fits nowhere: {}", told.join("; "))
    }

    /// Takes note of moves that have ended, and begins others in their place.
    pub(crate) fn step_evacuations(&mut self) {
        for at in 0..self.evacuations.len() {
            if self.evacuations[at].is_open() {
                self.note_ended(at);
                while self.begin_leg(at) {
                    self.note_ended(at);
                }
            }
        }
    }

    fn note_ended(&mut self, at: usize) {
        let it = &mut self.evacuations[at];
        let begun = it.begun;
        for (transfer, report) in self.reports.iter().enumerate().skip(it.seen) {
            let mut open = it.legs[..begun].iter_mut().filter(|leg| leg.outcome.is_none());
            if let Some(leg) = open.find(|leg| leg.vgpu == report.vgpu) {
                leg.outcome = Some(report.outcome.clone());
                leg.transfer = Some(transfer);
            }
        }
        it.seen = self.reports.len();
    }

    /// Begins the next move, if it may begin: not too many are under way, and all that go where it
    /// goes have their places there, so that it finds the one that was planned. Returns whether it
    /// was begun.
    fn begin_leg(&mut self, at: usize) -> bool {
        let it = &self.evacuations[at];
        let Some(leg) = it.legs.get(it.begun).filter(|leg| leg.outcome.is_none()) else {
            return false;
        };
        let Some(to) = leg.to else { return false };
        let is_placed = |leg: &LegReport| {
            self.moves.iter().any(|one| one.vgpu == leg.vgpu && one.home().is_some())
        };
        let in_order = it.moving().all(|other| other.to != Some(to) || is_placed(other));
        if it.moving().count() >= it.spec.parallel.max(1) || !in_order {
            return false;
        }
        let (vgpu, spec) = (leg.vgpu, &it.spec);
        let (live, stop, stop_timeout_ns) = (spec.live, spec.stop, spec.stop_timeout_ns);
        let stays = matches!(self.vgpus[vgpu.0].home, Home::Host(at, _) if at == spec.from);
        let it = &mut self.evacuations[at];
        it.begun += 1;
        if stays {
            self.begin_move(&MoveSpec { vgpu, to, live, stop, stop_timeout_ns });
        } else {
            it.legs[it.begun - 1].outcome = Some(Err("refused: it has left before".into()));
        }
        true
    }
}
