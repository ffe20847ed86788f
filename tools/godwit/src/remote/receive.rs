//! `godwit receive`.

use super::session::Session;
use super::{Failure, LinkOptions, Shown, address, tell_open};
use crate::run::{HostWorld, one_job};
use crate::scenario::{JobRef, Scenario, VgpuRef, listed};
use clap::Args;
use godwit_shim::{
    DestinationState, LinkAddress, LinkListener, LinkMessage, LinkPort, Side, Token,
};
use godwit_world::{HostId, JobId, RemoteState, World};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Where to take a vGPU in.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReceiveOptions {
    /// The host's name in the scenario.
    #[arg(long, value_name = "NAME")]
    host: String,
    /// Where to listen: unix:PATH or tcp:HOST:PORT.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: LinkAddress,
    #[command(flatten)]
    link: LinkOptions,
}

/// Who may have connected and wait; the oldest make room.
const STRANGERS_MAX: usize = 8;
/// How long is waited for one who connects, and for what strangers say, before other work goes on.
const LOOK: Duration = Duration::from_millis(100);
const STRANGERS_LOOK: Duration = Duration::from_millis(1);

/// A vGPU that may come.
struct Expected {
    vgpu: VgpuRef,
    job: (JobRef, JobId),
}

/// What happens in this process.
struct Receiving<'a> {
    session: Session<'a>,
    listener: LinkListener,
    /// Who has connected and is not the peer, or not known to be one yet; the oldest first.
    strangers: VecDeque<LinkPort>,
    host: HostId,
    expected: Vec<Expected>,
    /// What the source was last heard of about the vGPU that came: that it knows.
    closed: bool,
}

impl ReceiveOptions {
    /// Takes one vGPU in, and lets its job come to its end.
    pub(crate) fn run(&self, scenario: &Scenario) -> Result<Shown, Failure> {
        let no_host = || {
            let names = listed(scenario.hosts.iter().map(|host| host.name.as_str()));
            let wrong = format!("no host has the name `{}`", self.host);
            Failure::Mistake(format!("{wrong}; allowed: {names}"))
        };
        let host = scenario.host_named(&self.host).ok_or_else(no_host)?;
        let how = self.link.protection()?;
        let key = self.link.key()?;
        let (mut journal, _) = self.link.journal()?;
        tell_open(&mut journal)?;
        let mut world = HostWorld::new(scenario, host, None, &self.link.mcu()?)?;
        let mut expected = Vec::new();
        for vgpu in scenario.vgpu_refs().filter(|vgpu| vgpu.of(scenario).host != host) {
            // One of several jobs could not be told from another, and one that does not fit the
            // host cannot come.
            if let Ok(job) = one_job(scenario, vgpu)
                && let Ok(()) = world.add_away(scenario, vgpu, None)
            {
                expected.push(Expected { vgpu, job: (job, world.job(job)) });
            }
        }
        world.world.set_seal(key);
        world.world.set_journal(world.host, journal);
        let host = world.host;
        let session = Session::new(scenario, world);
        let listener = LinkListener::bind(&self.listen, how)?;
        if let Ok(address) = listener.address() {
            anstream::eprintln!("listening at {address}");
        }
        let strangers = VecDeque::new();
        Receiving { session, listener, strangers, host, expected, closed: false }.run(self)
    }
}

impl Receiving<'_> {
    fn run(mut self, options: &ReceiveOptions) -> Result<Shown, Failure> {
        let mut silent_since = Instant::now();
        let job = loop {
            self.accept();
            if self.session.port.is_none() && self.session.world.remote_token().is_none() {
                let look = if self.strangers.is_empty() { LOOK } else { STRANGERS_LOOK };
                self.listener.wait(look)?;
            }
            match self.session.step()? {
                Some(RemoteState::Taking(DestinationState::Running(_))) => {
                    if let Some(job) = self.job() {
                        break job;
                    }
                }
                Some(RemoteState::Taking(DestinationState::Stuck(why))) => {
                    // The source is to hear of it, if it can.
                    self.carry();
                    return Err(Failure::Refused(self.stuck(&why)));
                }
                _ => {}
            }
            if self.carry() {
                silent_since = Instant::now();
            }
            if silent_since.elapsed() > options.link.patience() {
                return Err(Failure::Refused(self.nobody_came()));
            }
        };
        // Whoever has sent it is answered until it knows, or is gone.
        let begin = Instant::now();
        while !self.closed && begin.elapsed() < options.link.patience() {
            self.accept();
            self.session.step()?;
            self.carry();
        }
        let token = self.session.world.remote_token().map(|token| token.to_string());
        let told = format!("move {} is done: it runs here", token.unwrap_or_default());
        Ok(self.session.finish(job, told, true))
    }

    /// Why this ends with a vGPU of which nobody knows whether it has run.
    fn stuck(&self, why: &str) -> String {
        let token = self.session.world.remote_token().map(|token| token.to_string());
        format!(
            "move {}: {why}; whether it has run here is not known: `godwit resolve` says whose it \
             is",
            token.unwrap_or_default()
        )
    }

    /// Why this ends without a vGPU.
    fn nobody_came(&mut self) -> String {
        let Some(token) = self.session.world.remote_token() else {
            return "nothing was offered: start `godwit send`, or wait longer with --patience"
                .into();
        };
        match self.session.world.journal(self.host).stage(Side::Destination, &token) {
            Some(stage) => format!(
                "move {token} is {stage}, and the source cannot be reached: what was restored ends \
                 with this process, and it has never run"
            ),
            None => format!("move {token} was declined"),
        }
    }

    /// The job of the vGPU that came.
    fn job(&self) -> Option<(JobRef, JobId)> {
        let token = self.session.world.remote_token()?;
        self.find(&token).map(|expected| expected.job)
    }

    fn find(&self, token: &Token) -> Option<&Expected> {
        let seed = self.session.scenario.seed;
        let is = |it: &&Expected| World::vgpu_uuid(seed, it.vgpu.index()) == token.uuid;
        self.expected.iter().find(is)
    }

    /// Takes a new connection when there is none. Who comes while one is under way waits: a peer
    /// that comes back after a link that only it knows to be dead does so until that has been
    /// silent for too long, and anybody else has no claim to its place.
    fn accept(&mut self) {
        match self.listener.accept() {
            Ok(Some(port)) => {
                if self.strangers.len() == STRANGERS_MAX {
                    self.strangers.pop_front();
                }
                self.strangers.push_back(port);
            }
            Ok(None) => {}
            Err(error) => anstream::eprintln!("a peer was refused: {error}"),
        }
        for _ in 0..self.strangers.len() {
            let Some(mut port) = self.strangers.pop_front() else { return };
            match port.poll_hello() {
                Ok(true) if self.session.port.is_none() => {
                    self.session.port = Some(port);
                    self.session.world.remote_back();
                }
                Ok(_) => self.strangers.push_back(port),
                Err(error) => anstream::eprintln!("a peer was refused: {error}"),
            }
        }
    }

    fn lost(&mut self) {
        let now_ns = self.session.now_ns();
        self.session.world.remote_lost(now_ns);
    }

    /// Carries messages. `false`: there is no link.
    fn carry(&mut self) -> bool {
        let mut said = Vec::new();
        let carried = self.session.carry(|_, message| {
            said.push(message);
            None
        });
        for message in said {
            self.take(message);
        }
        if let Err(error) = carried {
            anstream::eprintln!("the link was lost: {error}");
            self.lost();
        }
        self.session.port.is_some()
    }

    fn take(&mut self, message: LinkMessage) {
        let token = *message.token();
        let current = self.session.world.remote_token() == Some(token);
        self.closed |= current && matches!(message, LinkMessage::Closed(_));
        if current {
            return self.session.hand_over(message);
        }
        let answer = match self.session.world.journal(self.host).reply(&message) {
            Ok(Some(answer)) => Some(answer),
            Ok(None) => match message {
                LinkMessage::Offer(_, version) => self.offered(token, version),
                _ => None,
            },
            Err(error) => {
                self.session.problems.push(error.to_string());
                None
            }
        };
        if let (Some(answer), Some(port)) = (answer, &mut self.session.port) {
            port.send(&answer);
        }
    }

    /// Takes up an offer, or says why not.
    fn offered(&mut self, token: Token, version: u8) -> Option<LinkMessage> {
        let Some(expected) = self.find(&token) else {
            let why = "the scenario here has no such vGPU with one job that fits this host";
            return Some(LinkMessage::Decline(token, why.into()));
        };
        let (vgpu, now_ns) = (expected.vgpu, self.session.now_ns());
        let id = self
            .session
            .world
            .vgpu_with(World::vgpu_uuid(self.session.scenario.seed, vgpu.index()))?;
        if self.session.world.remote_token().is_none() {
            // Nothing has gone on here that virtual time is held back for.
            self.session.begin();
        }
        let taken = self.session.world.take_in(id, self.host, (token, version), now_ns);
        taken.err().map(|why| LinkMessage::Decline(token, why))
    }
}
