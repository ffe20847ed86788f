//! The control socket: who is connected, what they ask, and what is under way for them. Who is
//! refused, what is refused, and who had what changed is told, with who it was.
//!
//! What is said is the crate `godwit-control`'s. A client that is slow, says rubbish or does not
//! read harms itself: it has a bound for what it says and what it has not read, all have one for
//! both together, and each is answered one question before the next is.

mod client;
mod dispatch;
mod door;
mod files;
pub(crate) mod profiles;
mod record;
mod remote;
pub(crate) mod status;

use crate::config::{ControlConfig, Places};
use crate::events::EventLog;
use crate::host::ServedHost;
use crate::metrics::ServerCounts;
use crate::operation::{Asked, ClientId, Operations, Site};
use crate::server::ServerError;
use client::{Client, Cut, too_long};
use dispatch::Next;
use door::{Caller, Door};
use godwit_control::{Ask, Code, Decision, EventKind, LINE_BYTES_MAX, Refusal, Told};
use godwit_shim::{LinkAddress, Protection};
use record::{Of, Record};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Resource, getrlimit};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes that all of them together have not read, from which on the one that has taken none for
/// the longest time is cut off.
const UNREAD_BYTES_MAX: usize = 64 << 20;
/// How long a client may be silent when others want its place.
const IDLE: Duration = Duration::from_secs(10);
/// How long questions are answered before the vGPUs have their turn.
const TURN: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Control {
    door: Door,
    clients: Vec<Client>,
    clients_max: usize,
    last_id: u64,
    operations: Operations,
    began: Instant,
    record: Record,
    /// How other servers are connected to.
    protection: Protection,
}

impl Control {
    /// Listens.
    ///
    /// # Errors
    ///
    /// When a socket cannot be had.
    pub(crate) fn new(config: &ControlConfig, sockets: &Path) -> Result<Self, ServerError> {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        let door = Door::open(config, sockets)?;
        let mut record = Record::new(Instant::now());
        if let Some(address) = door.remote().filter(|_| door.is_plain()) {
            let why = "whoever reaches it may ask, and whoever is on the way hears and changes it";
            let text = format!("{address} is plaintext: {why}");
            record.note(Of::Client, EventKind::Note, &text);
        }
        Ok(Self {
            door,
            clients: Vec::new(),
            clients_max: config.clients_max.min(half).max(1),
            last_id: 0,
            operations: Operations::default(),
            began: Instant::now(),
            record,
            protection: config.protection.clone(),
        })
    }

    /// Where those on other machines ask, with the port that it has.
    pub(crate) fn remote(&self) -> Option<LinkAddress> {
        self.door.remote()
    }

    /// Goes on with all that is under way, and answers who asks.
    pub(crate) fn serve(
        &mut self,
        hosts: &mut [ServedHost],
        places: &Places,
        events: &mut EventLog,
    ) {
        self.let_in_all();
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let protection = self.protection.clone();
        let mut site = Site { hosts, places, events, protection: &protection, now_ns };
        let (clients, record) = (&mut self.clients, &mut self.record);
        self.operations.step(&mut site, |id, asked, told| {
            record.note_outcome(asked, &told);
            if let Some(client) = clients.iter_mut().find(|client| client.id == id) {
                client.waits &= !told.is_last();
                client.tell(&told);
            }
        });
        self.answer_all(&mut site);
        for client in &mut self.clients {
            if let Some(after) = client.follows
                && after < site.events.last()
            {
                let (missed, news) = site.events.after(after);
                client.tell_events(missed, news, site.events.last());
            }
        }
        self.carry_all();
    }

    fn let_in_all(&mut self) {
        let record = &mut self.record;
        let mut refused = |why: String| record.note(Of::Stranger, EventKind::Refused, &why);
        for caller in self.door.let_in(&mut refused) {
            self.let_in(caller);
        }
    }

    /// A new client takes the place of one that has been silent, where there is no other.
    fn let_in(&mut self, Caller { peer, socket }: Caller) {
        self.last_id += 1;
        let mut client = Client::new(ClientId(self.last_id), peer, socket);
        if self.clients.len() >= self.clients_max {
            // One that follows is silent, and is told of what happens.
            let is_idle = |client: &Client| {
                !client.waits && client.follows.is_none() && client.heard.elapsed() > IDLE
            };
            let Some(idle) = self.clients.iter().position(is_idle) else {
                let why = format!("{} clients are connected", self.clients_max);
                let refusal = Refusal::new(Code::TooMany, &why).help("try again in a while");
                client.tell(&Told::Error(refusal));
                // It is told if it listens.
                let _ = client.flush();
                client.say_end();
                let text = format!("{} is refused: {why}", client.peer);
                return self.record.note(Of::Client, EventKind::Refused, &text);
            };
            let mut idle = self.clients.remove(idle);
            idle.say_end();
            let seconds = IDLE.as_secs();
            let why = format!("it was silent for {seconds} seconds, and another wants its place");
            self.note_cut(&idle.peer, &why);
        }
        self.clients.push(client);
    }

    fn note_cut(&mut self, peer: &str, why: &str) {
        self.record.note(Of::Client, EventKind::Note, &format!("{peer} is cut off: {why}"));
    }

    /// Answers a question of each, as long as there is time; whoever was not asked is the first
    /// next time.
    fn answer_all(&mut self, site: &mut Site<'_>) {
        self.carry_all();
        let began = Instant::now();
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            let Some(line) = client.take_line() else { continue };
            let id = client.id;
            let (peer, question) = (client.peer.clone(), record::question(&line));
            let asked = Asked { peer, question };
            site.events.set_by(Some(&asked.peer));
            let next = self.answer(&line, site);
            site.events.set_by(None);
            let next = match next {
                Ok(Next::Follow(_)) if !self.may_follow() => Err(self.too_many_follow()),
                next => next,
            };
            let client = &mut self.clients[at];
            match next {
                Ok(Next::Now(told)) => {
                    if matches!(told, Told::Resolved(_)) {
                        self.record.note_outcome(&asked, &told);
                    }
                    client.tell(&told);
                }
                Ok(Next::Follow(after)) => client.follows = Some(after),
                Ok(Next::Linked { token, work, told }) => {
                    let mut client = self.clients.remove(at);
                    client.tell(&told);
                    if let Some((name, work)) = work {
                        self.operations.begin(id, asked.clone(), name, work);
                    }
                    match client.into_link() {
                        Ok(port) => self.operations.give_link(&token, port),
                        Err(why) => {
                            let text = format!("{asked}: {why}");
                            self.record.note(Of::Client, EventKind::Note, &text);
                        }
                    }
                    // Another has its place now, and is the first to be asked next time.
                    self.clients.rotate_left(at);
                    break;
                }
                Ok(Next::Later(name, work)) => {
                    client.waits = true;
                    self.operations.begin(id, asked, name, work);
                }
                Err(refusal) => {
                    client.tell(&Told::Error(refusal.clone()));
                    let text = format!("{asked} is refused: {refusal}");
                    self.record.note(Of::Client, EventKind::Refused, &text);
                }
            }
            if began.elapsed() > TURN {
                self.clients.rotate_left(at + 1);
                break;
            }
        }
    }

    /// Whether one more may follow events: such a client keeps its place however long it is silent,
    /// so they have a half of the places.
    fn may_follow(&self) -> bool {
        let follow = self.clients.iter().filter(|client| client.follows.is_some()).count();
        follow < self.clients_max / 2
    }

    fn too_many_follow(&self) -> Refusal {
        let why =
            format!("{} clients follow events, of {}", self.clients_max / 2, self.clients_max);
        let help = "leave out `--follow`, or raise `clients` in the server's `[control]`";
        Refusal::new(Code::TooMany, why).help(help)
    }

    fn answer(&mut self, line: &[u8], site: &mut Site<'_>) -> Result<Next, Refusal> {
        if line.len() > LINE_BYTES_MAX {
            return Err(too_long());
        }
        let ask: Ask = serde_json::from_slice(line).map_err(|error| {
            let help = "`godwit ctl schema` prints what may be asked";
            Refusal::new(Code::BadRequest, error).help(help)
        })?;
        match ask {
            Ask::Resolve { vgpu, decision } => {
                let decision = match decision {
                    Decision::RunHere => godwit_shim::Decision::RunHere,
                    Decision::Gone => godwit_shim::Decision::Gone,
                };
                self.operations.resolve(site, &vgpu, decision).map(Next::Now)
            }
            ask => dispatch::ask(ask, site, &self.operations),
        }
    }

    /// Sends and takes what can be sent and taken, and cuts off who does wrong.
    fn carry_all(&mut self) {
        let mut cut = Vec::new();
        self.clients.retain_mut(|client| {
            let stays = match client.carry() {
                Ok(()) => !client.is_done(),
                Err(Cut::Refused(refusal)) => {
                    client.tell(&Told::Error(refusal.clone()));
                    // It is told if it listens.
                    let _ = client.flush();
                    let text = format!("{} is refused: {refusal}", client.peer);
                    self.record.note(Of::Client, EventKind::Refused, &text);
                    false
                }
                Err(Cut::Wrong(why)) => {
                    cut.push((std::mem::take(&mut client.peer), why));
                    false
                }
                Err(Cut::Gone) => false,
            };
            if !stays {
                client.say_end();
            }
            stays
        });
        while self.clients.iter().map(Client::unread).sum::<usize>() > UNREAD_BYTES_MAX {
            let deaf = (0..self.clients.len()).filter(|at| self.clients[*at].unread() > 0);
            let Some(deaf) = deaf.min_by_key(|at| self.clients[*at].took) else { break };
            let mut client = self.clients.remove(deaf);
            let why = format!("it has not read {} bytes", client.unread());
            cut.push((std::mem::take(&mut client.peer), why));
        }
        for (peer, why) in cut {
            self.note_cut(&peer, &why);
        }
    }

    /// What it counts, for metrics.
    pub(crate) fn counts(&self, events: &EventLog) -> ServerCounts {
        let control_clients = self.clients.len() as u64;
        ServerCounts { control_clients, refused: self.record.refused(), events: events.last() }
    }

    /// Takes what happened that somebody may want to know, a line each.
    pub(crate) fn take_notes(&mut self, events: &mut EventLog) -> Vec<String> {
        self.record.take(events)
    }

    /// How long nothing happens here by itself.
    pub(crate) fn rest(&self) -> Option<Duration> {
        if self.clients.iter().any(Client::is_due) {
            return Some(Duration::ZERO);
        }
        self.operations.rest().into_iter().chain(self.door.rest()).min()
    }

    pub(crate) fn add_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        self.door.add_fds(fds);
        for client in &self.clients {
            fds.push(PollFd::new(client, client.wanted()));
        }
    }

    /// What became of those that [`Self::add_fds`] has added.
    pub(crate) fn note_ready(&mut self, flags: &[PollFlags]) {
        let mut flags = flags.iter().copied();
        self.door.note_ready(&mut flags);
        for (client, flags) in self.clients.iter_mut().zip(flags) {
            client.note_ready(flags);
        }
    }
}
