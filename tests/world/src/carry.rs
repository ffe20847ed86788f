//! What goes between hosts: the messages of moves, and what an operator decides when none do.

use crate::link::{Link, LinkCut, LinkFlip, Pace, SentFrame, Way};
use crate::moves::Move;
use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_shim::{Decision, Destination, DestinationState, LinkMessage, Side, SourceState};

/// Bytes that a destination may hold before the link waits for it.
const DESTINATION_BUFFER: usize = 1024 * 1024;

/// The direction of a link from one host to another.
fn way(from: HostId, to: HostId) -> Way {
    if from < to { Way::Forth } else { Way::Back }
}

impl World {
    /// Carries messages of all moves both ways. Those of evacuations with a cap come after the
    /// others, and take turns.
    pub(crate) fn carry(&mut self, moves: &mut [Move], window_ns: u64) {
        for one in moves.iter_mut() {
            if self.cap_of(&one.token).is_some() {
                continue;
            }
            while let Some((from, to, message)) = self.next_message(one, window_ns) {
                self.send(from, to, &message);
            }
        }
        for at in 0..self.evacuations.len() {
            self.carry_capped(at, moves, window_ns);
        }
    }

    /// Carries messages of an evacuation's moves for as long as its cap lets them begin within the
    /// window, one of each move in turn.
    fn carry_capped(&mut self, at: usize, moves: &mut [Move], window_ns: u64) {
        let until_ns = self.now_ns + window_ns;
        let is_mine = |one: &Move| self.cap_of(&one.token) == Some(at);
        let mine: Vec<usize> = (0..moves.len()).filter(|it| is_mine(&moves[*it])).collect();
        let mut silent = 0;
        while silent < mine.len() && self.evacuations[at].cap_opens_ns() < until_ns {
            let turn = self.evacuations[at].next_turn() % mine.len();
            let one = &mut moves[mine[turn]];
            // A source that has a cap always has more to say than it may.
            let next = self.next_back(one, window_ns);
            match next.or_else(|| self.next_forth(one, window_ns)) {
                Some((from, to, message)) => {
                    silent = 0;
                    self.send(from, to, &message);
                }
                None => silent += 1,
            }
        }
    }

    /// The next message of a move for which its link has room, from where and to where.
    fn next_message(
        &mut self,
        one: &mut Move,
        window_ns: u64,
    ) -> Option<(HostId, HostId, LinkMessage)> {
        self.next_forth(one, window_ns).or_else(|| self.next_back(one, window_ns))
    }

    fn next_forth(
        &mut self,
        one: &mut Move,
        window_ns: u64,
    ) -> Option<(HostId, HostId, LinkMessage)> {
        let (from, to) = (one.from, one.to);
        let held_back =
            one.destination.as_ref().is_some_and(|to| to.buffered() > DESTINATION_BUFFER);
        let takes = !held_back && !one.told[0].1 && self.has_room(from, to, window_ns);
        let message = one.source.as_mut().filter(|_| takes)?.poll_message()?;
        Some((from, to, message))
    }

    fn next_back(
        &mut self,
        one: &mut Move,
        window_ns: u64,
    ) -> Option<(HostId, HostId, LinkMessage)> {
        let (from, to) = (one.to, one.from);
        let takes = !one.told[1].1 && self.has_room(from, to, window_ns);
        let message = one.destination.as_mut().filter(|_| takes)?.poll_message()?;
        Some((from, to, message))
    }

    fn has_room(&mut self, from: HostId, to: HostId, window_ns: u64) -> bool {
        let now_ns = self.now_ns;
        self.link_between(from, to).takes(way(from, to), now_ns, window_ns)
    }

    /// Puts a message on the wire: at once, or when the cap of the evacuation that it belongs to
    /// lets it begin.
    fn send(&mut self, from: HostId, to: HostId, message: &LinkMessage) {
        let (mut pace, way) = (self.pace(), way(from, to));
        let cap = self.cap_of(message.token());
        if let Some(at) = cap {
            pace.now_ns = pace.now_ns.max(self.evacuations[at].cap_opens_ns());
        }
        let link = self.link_between(from, to);
        let start_ns = link.start_ns(way, pace.now_ns);
        let byte_count = link.send(way, pace, message);
        if let Some(at) = cap {
            self.evacuations[at].charge(start_ns, byte_count);
        }
    }

    /// The connection between two hosts.
    pub(crate) fn link_between(&mut self, a: HostId, b: HostId) -> &mut Link {
        self.links.entry((a.min(b), a.max(b))).or_default()
    }

    fn pace(&self) -> Pace {
        let costs = self.config.costs;
        let (byte_ps, latency_ns) = (costs.link_byte_ps, costs.link_latency_ns);
        Pace { now_ns: self.now_ns, byte_ps, latency_ns }
    }

    /// Connects hosts that have something to say to each other, where that can be.
    pub(crate) fn connect_links(&mut self) {
        let pace = self.pace();
        for link in self.links.values_mut() {
            link.connect(pace);
        }
    }

    /// Hands out what has arrived on the links.
    pub(crate) fn deliver(&mut self) {
        let ends: Vec<(HostId, HostId)> = self.links.keys().copied().collect();
        for (a, b) in ends {
            for (from, to) in [(a, b), (b, a)] {
                loop {
                    let now_ns = self.now_ns;
                    match self.link_between(a, b).receive(way(from, to), now_ns) {
                        Ok(Some(message)) => self.hand_over(from, to, message),
                        Ok(None) => break,
                        Err(error) => break self.problem(error.to_string()),
                    }
                }
            }
        }
    }

    fn hand_over(&mut self, from: HostId, to: HostId, message: LinkMessage) {
        let now_ns = self.now_ns;
        let token = *message.token();
        let source = message.addressee() == Side::Source;
        let node = &mut self.hosts[to.0];
        let one = self.moves.iter_mut().find(|one| {
            let (here, there) = if source { (one.from, one.to) } else { (one.to, one.from) };
            one.token == token && here == to && there == from
        });
        // Whatever has become of a side, its host has the journal.
        let answer = match (one, message) {
            (Some(Move { source: Some(source), .. }), message)
                if message.addressee() == Side::Source =>
            {
                source.handle(&mut node.site(now_ns), &message);
                return;
            }
            (Some(Move { destination: Some(destination), .. }), message)
                if message.addressee() == Side::Destination =>
            {
                destination.handle(&mut node.site(now_ns), message);
                return;
            }
            (Some(one), LinkMessage::Offer(token, version)) => {
                let (site, avoid) = (&mut node.site(now_ns), Some(one.old));
                let mut destination = Destination::new(site, token, version, avoid);
                if let Some(key) = &self.seal {
                    destination.open_with(key);
                }
                one.destination = Some(destination);
                return;
            }
            (_, message) => node.journal.reply(&message),
        };
        match answer {
            Ok(None) => {}
            Ok(Some(answer)) => self.send(to, from, &answer),
            Err(error) => self.problem(error.to_string()),
        }
    }

    /// Does what an operator has decided about a vGPU's move, on one side of it.
    ///
    /// # Errors
    ///
    /// When no move of it is under way, and when that side refuses.
    pub fn resolve(&mut self, vgpu: VgpuId, side: Side, decision: Decision) -> Result<(), String> {
        let now_ns = self.now_ns;
        let one = self.moves.iter_mut().find(|one| one.vgpu == vgpu);
        let one = one.ok_or("no move of it is under way")?;
        let refusal = match (side, &mut one.source, &mut one.destination) {
            (Side::Source, Some(source), _) => {
                source.resolve(&mut self.hosts[one.from.0].site(now_ns), decision)
            }
            (Side::Destination, _, Some(destination)) => {
                destination.resolve(&mut self.hosts[one.to.0].site(now_ns), decision)
            }
            _ => return Err("nothing of it is left on this side".into()),
        };
        refusal.map_err(|refusal| refusal.to_string())
    }

    /// How far both sides of a vGPU's move are; the destination once it has heard of it. `None`:
    /// no move of it is under way.
    pub fn sides(&self, vgpu: VgpuId) -> Option<(SourceState, Option<DestinationState>)> {
        let one = self.moves.iter().find(|one| one.vgpu == vgpu)?;
        let there = one.destination.as_ref().map(|_| one.destination_state.clone());
        Some((one.source_state.clone(), there))
    }

    /// Has connections between two hosts end, one after the other, and from now on keeps what is
    /// sent between them.
    pub fn plan_cuts(&mut self, a: HostId, b: HostId, cuts: &[LinkCut]) {
        let link = self.link_between(a, b);
        link.planned.extend(cuts);
        link.transcript.get_or_insert_default();
    }

    /// Has a bit of the next connection between two hosts arrive wrong. Whoever refuses it ends the
    /// connection.
    pub fn plan_flip(&mut self, a: HostId, b: HostId, flip: LinkFlip) {
        self.link_between(a, b).flip = Some(flip);
    }

    /// What was sent between two hosts since [`Self::plan_cuts`].
    pub fn transcript(&self, a: HostId, b: HostId) -> &[SentFrame] {
        let link = self.links.get(&(a.min(b), a.max(b)));
        link.and_then(|link| link.transcript.as_deref()).unwrap_or_default()
    }

    /// Whether two hosts can talk now.
    pub fn can_talk(&self, a: HostId, b: HostId) -> bool {
        let link = self.links.get(&(a.min(b), a.max(b)));
        link.is_some_and(Link::is_agreed)
    }

    /// Since when two hosts cannot talk, if they never will again.
    pub fn dead_since(&self, a: HostId, b: HostId) -> Option<u64> {
        self.links.get(&(a.min(b), a.max(b)))?.dead_since()
    }

    /// On which host a vGPU is; none while it is between two, or in a file.
    pub fn home_of(&self, vgpu: VgpuId) -> Option<HostId> {
        match self.vgpus[vgpu.0].home {
            Home::Host(host, _) => Some(host),
            Home::InFlight | Home::File(_) => None,
        }
    }

    /// How many vGPUs a host has, those of transfers included.
    pub fn vgpu_count(&self, host: HostId) -> usize {
        self.hosts[host.0].host.vgpus().count()
    }

    /// Sends what was sent before, as no sound link would.
    pub fn send_again(&mut self, from: HostId, to: HostId, message: &LinkMessage) {
        let pace = self.pace();
        self.link_between(from, to).send(way(from, to), pace, message);
    }

    pub(crate) fn cut_link(&mut self, a: HostId, b: HostId, ns: u64) {
        let now_ns = self.now_ns;
        self.link_between(a, b).cut(now_ns, ns, [0, 0]);
    }

    pub(crate) fn stall_link(&mut self, a: HostId, b: HostId, ns: u64) {
        let until_ns = self.now_ns + ns;
        self.link_between(a, b).stall(until_ns);
    }
}
