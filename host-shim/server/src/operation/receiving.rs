//! A vGPU that another server sends.

use super::moving::side;
use super::{NAP, Outcome, Site, Work};
use crate::events::Where;
use crate::host::Sockets;
use godwit_control::{Code, EventKind, Refusal, Told};
use godwit_shim::{
    Decision, Destination, DestinationState, LinkMessage, LinkPort, MoveStage, Side, Token,
    TransportError,
};
use godwit_types::Profile;
use std::time::{Duration, Instant};

/// Bytes that wait to be restored, from which on no more are received.
const BUFFERED_MAX: usize = 1 << 20;
/// How long the offer may take to come, and how long what is over is still told.
const OFFER_MAX: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(30);
/// How long the server may sleep while there is no link.
const UNLINKED: Duration = Duration::from_millis(50);

/// Where more is known of what went wrong.
const THERE_HELP: &str = "the events of the server that sends it tell more";

/// See the module. Its sockets are there already, since they may not be had.
#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) name: String,
    pub(crate) host: usize,
    pub(crate) token: Token,
    /// Where the vGPU is to be reached, and what it was announced as.
    sockets: Option<Sockets>,
    profile: Option<Profile>,
    port: Option<LinkPort>,
    destination: Option<Destination>,
    began: Instant,
    /// Since when it is over, and what became of it.
    over: Option<(Instant, Result<(), String>)>,
    is_told_of: bool,
    /// Something was heard over this link.
    is_heard: bool,
}

impl Receiving {
    /// Awaits it, of this profile and no other, since that is what was checked.
    pub(crate) fn new(
        name: String,
        host: usize,
        token: Token,
        (profile, sockets): (Profile, Sockets),
    ) -> Self {
        let over = None;
        Self {
            sockets: Some(sockets),
            profile: Some(profile),
            over,
            ..Self::known(name, host, token)
        }
    }

    /// It is over, and its host's journal answers.
    pub(crate) fn known(name: String, host: usize, token: Token) -> Self {
        Self {
            name,
            host,
            token,
            sockets: None,
            profile: None,
            port: None,
            destination: None,
            began: Instant::now(),
            over: Some((Instant::now(), Ok(()))),
            is_told_of: false,
            is_heard: false,
        }
    }

    fn carry(&mut self, site: &mut Site<'_>) {
        let Some(port) = &mut self.port else { return };
        let now_ns = site.now_ns;
        let host = &mut site.hosts[self.host];
        let destination = &mut self.destination;
        let is_heard = &mut self.is_heard;
        let mut carry = || -> Result<(), TransportError> {
            let is_full = |it: &Option<Destination>| {
                it.as_ref().is_some_and(|it| it.buffered() > BUFFERED_MAX)
            };
            while let Some(message) = port.poll(is_full(destination))? {
                if *message.token() != self.token {
                    continue;
                }
                *is_heard = true;
                match (&mut *destination, message) {
                    (Some(destination), message) => {
                        destination.handle(&mut side(host, now_ns), message);
                    }
                    (None, LinkMessage::Offer(token, version)) if self.sockets.is_some() => {
                        let site = &mut side(host, now_ns);
                        let mut made = Destination::new(site, token, version, None);
                        if let Some(profile) = self.profile {
                            made.want_profile(profile);
                        }
                        *destination = Some(made);
                    }
                    (None, message) => {
                        let answer = host.journal.reply(&message).ok().flatten();
                        if let Some(answer) = answer.filter(|_| port.takes()) {
                            port.send(&answer);
                        }
                    }
                }
            }
            while port.takes()
                && let Some(message) = destination.as_mut().and_then(Destination::poll_message)
            {
                port.send(&message);
            }
            port.flush()
        };
        if let Err(error) = carry() {
            self.port = None;
            if let Some(destination) = &mut self.destination {
                destination.link_lost(&mut side(host, now_ns));
            }
            if self.over.is_none() {
                let text = format!("the link over which it comes was lost: {error}");
                let at = Where::of(&host.name, &self.name);
                site.events.note(EventKind::Note, at, &text);
            }
        }
    }

    fn step_destination(&mut self, site: &mut Site<'_>) {
        let Some(destination) = &mut self.destination else { return };
        let host = &mut site.hosts[self.host];
        host.host.settle();
        let at = Where { vgpu: Some(&self.name), host: Some(&host.name.clone()) };
        match destination.step(&mut side(host, site.now_ns)) {
            DestinationState::Working => {}
            DestinationState::Ready => {
                if self.port.is_none() && !std::mem::replace(&mut self.is_told_of, true) {
                    let text = "it is here, and only the server that sends it can say whether it \
                                is to run; if that is gone for good: `godwit ctl resolve`";
                    site.events.note(EventKind::Note, at, text);
                }
            }
            DestinationState::Running(gfid) => {
                if let Some(sockets) = self.sockets.take() {
                    host.add(&self.name, gfid, (self.token.uuid, self.token.number), sockets);
                    host.stats.came();
                    host.stats.moved(gfid, None, None);
                    site.events.note(EventKind::Moved, at, "has come from another server");
                    self.over = Some((Instant::now(), Ok(())));
                }
            }
            DestinationState::Undone(why) => {
                if self.over.is_none() {
                    self.sockets = None;
                    site.events.note(EventKind::Failed, at, &format!("receive: {why}"));
                    self.over = Some((Instant::now(), Err(why)));
                }
            }
            DestinationState::Stuck(why) => {
                if !std::mem::replace(&mut self.is_told_of, true) {
                    let text = format!("receive: {why}; decide: `godwit ctl resolve`");
                    site.events.note(EventKind::Failed, at, &text);
                }
            }
        }
    }
}

impl Work for Receiving {
    fn brings_to(&self, host: usize) -> bool {
        self.host == host && self.over.is_none()
    }

    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        self.carry(site);
        self.step_destination(site);
        // What that has to say is said before it may be over.
        self.carry(site);
        if self.destination.is_none() && self.over.is_none() {
            let is_late = self.port.is_none() || self.began.elapsed() > OFFER_MAX;
            return is_late
                .then(|| Err(Refusal::new(Code::Failed, "no offer has come").help(THERE_HELP)));
        }
        let (since, end) = self.over.as_ref()?;
        let stage = site.hosts[self.host].journal.stage(Side::Destination, &self.token);
        let is_known = matches!(stage, Some(MoveStage::Closed | MoveStage::Released));
        // Whoever has made a link again is answered before that ends.
        let is_told = self.port.as_ref().is_none_or(|port| self.is_heard && port.is_flushed());
        if !(is_known && is_told) && since.elapsed() < FAREWELL {
            return None;
        }
        // Nobody is told here: the client is a server, and hears of it over the link.
        Some(match end {
            Ok(()) => Ok(Told::Resolved(self.name.clone())),
            Err(why) => Err(Refusal::new(Code::Failed, why).help(THERE_HELP)),
        })
    }

    fn vgpu(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_over(&self) -> bool {
        self.over.is_some()
    }

    fn token(&self) -> Option<&Token> {
        Some(&self.token)
    }

    fn rest(&self) -> Duration {
        if self.port.is_some() { NAP } else { UNLINKED }
    }

    fn awaits_offer(&self) -> bool {
        self.destination.is_none() && self.over.is_none()
    }

    fn take_link(&mut self, port: LinkPort) {
        self.port = Some(port);
        (self.is_told_of, self.is_heard) = (false, false);
        if let Some(destination) = &mut self.destination {
            destination.link_back();
        }
    }

    fn resolve(&mut self, site: &mut Site<'_>, decision: Decision) -> Result<(), String> {
        let Some(destination) = &mut self.destination else {
            return Err("it has not begun".into());
        };
        let mut side = side(&mut site.hosts[self.host], site.now_ns);
        destination.resolve(&mut side, decision).map_err(|refusal| refusal.to_string())
    }
}
