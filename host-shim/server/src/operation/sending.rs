//! A vGPU that is sent to another server, while it runs.

use super::linking::{Link, There};
use super::moving::{How, Rounds, progress, save_options, side};
use super::{NAP, Outcome, Site, Work, let_go};
use crate::events::Where;
use crate::host::ServedHost;
use godwit_control::{Code, EventKind, MovePhase, Moved, Progress, Refusal, Told};
use godwit_shim::{Decision, Source, SourceState, Token, TransportError};
use godwit_types::Gfid;
use std::time::{Duration, Instant};

/// How long what is over is still told to the other server, or waited for a link to tell it.
const FAREWELL: Duration = Duration::from_secs(30);
/// How long the server may sleep while there is no link.
const UNLINKED: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(crate) struct Sending {
    name: String,
    host: usize,
    gfid: Gfid,
    token: Token,
    how: How,
    there: There,
    link: Link,
    /// Once there was a link: before, nothing is done to the vGPU.
    source: Option<Source>,
    began: Instant,
    stopped: Option<Instant>,
    is_committed: bool,
    blackout: Option<Duration>,
    rounds: Rounds,
    /// An operator has decided, since the other server is gone for good.
    is_resolved: bool,
    /// What has become of it here; it is told there yet.
    over: Option<(Instant, Result<(), Refusal>)>,
}

impl Sending {
    /// Begins it. The vGPU is seized.
    pub(crate) fn new(
        host: usize,
        name: &str,
        (gfid, token): (Gfid, Token),
        how: How,
        there: There,
    ) -> Self {
        Self {
            name: name.to_owned(),
            host,
            gfid,
            token,
            how,
            link: Link::new(&there),
            there,
            source: None,
            began: Instant::now(),
            stopped: None,
            is_committed: false,
            blackout: None,
            rounds: Rounds::new(),
            is_resolved: false,
            over: None,
        }
    }

    /// Makes the link, or makes it again.
    fn step_link(&mut self, site: &mut Site<'_>) -> Result<(), Refusal> {
        match (self.link.step(&self.there), &mut self.source) {
            (None, _) => {}
            (Some(Ok(())), Some(source)) => source.link_back(),
            (Some(Ok(())), None) => {
                let mut side = side(&mut site.hosts[self.host], site.now_ns);
                let options = save_options(self.token.uuid, self.token.number);
                let source = Source::new(&mut side, self.gfid, options, self.how.live());
                let failed = |error| Refusal::new(Code::Failed, error).help(super::HOST_HELP);
                self.source = Some(source.map_err(failed)?);
                let text = format!("migrates to {}", self.there.address);
                let at = Where::of(&site.hosts[self.host].name, &self.name);
                site.events.note(EventKind::Began, at, &text);
            }
            // Nothing has begun, so nothing is to be undone.
            (Some(Err(refusal)), None) => return Err(refusal),
            (Some(Err(_)), Some(_)) => {}
        }
        Ok(())
    }

    /// Carries messages both ways.
    fn carry(&mut self, site: &mut Site<'_>) {
        let (Some(port), Some(source)) = (self.link.port(), &mut self.source) else { return };
        let mut side = side(&mut site.hosts[self.host], site.now_ns);
        let mut carry = || -> Result<(), TransportError> {
            while let Some(message) = port.poll(false)? {
                if *message.token() == self.token {
                    source.handle(&mut side, &message);
                }
            }
            while port.takes()
                && let Some(message) = source.poll_message()
            {
                port.send(&message);
            }
            port.flush()
        };
        if let Err(error) = carry() {
            self.link = Link::Lost(Instant::now());
            source.link_lost(&mut side);
            if self.over.is_none() {
                let at = Where::of(&site.hosts[self.host].name, &self.name);
                let mut text = format!("the link to {} was lost: {error}", self.there.address);
                if self.is_committed {
                    text += "; it stands still until that server says whether it runs there; if \
                             that is gone for good: `godwit ctl resolve`";
                }
                site.events.note(EventKind::Note, at, &text);
            }
        }
    }

    /// Goes on with the source.
    fn step_source(&mut self, site: &mut Site<'_>) {
        let Some(source) = &mut self.source else { return };
        let host = &mut site.hosts[self.host];
        host.host.settle();
        let mut it = side(host, site.now_ns);
        match source.step(&mut it) {
            SourceState::WantsPause => {
                // Nobody has it, so there is no guest to be paused.
                source.guest_paused(&mut it);
                self.stopped.get_or_insert_with(Instant::now);
            }
            SourceState::RunsOn => self.stopped = None,
            SourceState::Working => {}
            SourceState::Committed => self.is_committed = true,
            SourceState::Moved => {
                if self.over.is_none() {
                    self.blackout = self.stopped.map(|at| at.elapsed());
                    self.over = Some((Instant::now(), Ok(())));
                    host.remove(&self.name);
                    host.stats.gone();
                    let text = format!("moved to {}", self.there.address);
                    let at = Where::of(&host.name, &self.name);
                    site.events.note(EventKind::Moved, at, &text);
                }
            }
            SourceState::Undone(why) => {
                if self.over.is_none() {
                    let help = match self.is_resolved {
                        true => "it runs on where it was, as was decided",
                        false => "it runs on where it was; try again when the cause is gone",
                    };
                    let refusal = super::not_moved(&host.host, &why, help);
                    self.over = Some((Instant::now(), Err(refusal)));
                    let_go(site, self.host, &self.name, &format!("migrate: {why}"));
                }
            }
        }
        if let Some(source) = &self.source
            && self.stopped.is_none()
        {
            self.rounds.note(source, &site.hosts[self.host]);
        }
    }

    /// What is told of it, once the other server knows, or does not hear of it for long.
    fn ended(&mut self, site: &Site<'_>) -> Option<Outcome> {
        let (since, end) = self.over.as_ref()?;
        // A port that takes more has taken all that there was to say.
        let is_told = match self.link.port() {
            Some(port) => port.takes() && port.is_flushed(),
            // The other server has said that it runs there, and asks its journal for the rest.
            None => end.is_ok() || self.is_resolved,
        };
        if !is_told && since.elapsed() < FAREWELL {
            return None;
        }
        let (_, end) = self.over.take()?;
        let stats = self.source.as_ref().map(Source::stats).unwrap_or_default();
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Some(end.map(|()| {
            Told::Moved(Moved {
                vgpu: self.name.clone(),
                from: site.hosts[self.host].name.clone(),
                to: self.there.address.to_string(),
                rounds: stats.rounds,
                precopy_bytes: stats.precopy_bytes,
                stop_bytes: stats.stop_bytes,
                blackout_ns: ns(self.blackout.unwrap_or_default()),
                total_ns: ns(self.began.elapsed()),
            })
        }))
    }
}

impl Work for Sending {
    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        if let Err(refusal) = self.step_link(site) {
            let_go(site, self.host, &self.name, &format!("migrate: {refusal}"));
            return Some(Err(refusal));
        }
        self.step_source(site);
        self.carry(site);
        self.ended(site)
    }

    fn vgpu(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_over(&self) -> bool {
        self.over.is_some()
    }

    fn rest(&self) -> Duration {
        if matches!(self.link, Link::There(_)) { NAP } else { UNLINKED }
    }

    fn resolve(&mut self, site: &mut Site<'_>, decision: Decision) -> Result<(), String> {
        let Some(source) = &mut self.source else { return Err("it has not begun".into()) };
        let mut side = side(&mut site.hosts[self.host], site.now_ns);
        source.resolve(&mut side, decision).map_err(|refusal| refusal.to_string())?;
        self.is_resolved = true;
        Ok(())
    }

    fn progress(&self, hosts: &[ServedHost]) -> Option<Progress> {
        let source = self.source.as_ref()?;
        let phase = match (&self.link, self.stopped) {
            (Link::Coming(_) | Link::Lost(_), _) => MovePhase::Unlinked,
            (_, Some(_)) => MovePhase::Stopped,
            (_, None) => MovePhase::Rounds,
        };
        Some(progress(&self.name, phase, source, &hosts[self.host]))
    }
}
