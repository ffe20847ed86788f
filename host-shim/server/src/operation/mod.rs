//! What takes longer than an answer: each is stepped beside all else that is served, and ends even
//! if whoever asked for it has gone.

mod changing;
mod evacuating;
mod filing;
mod linking;
mod making;
mod moving;
mod receiving;
mod sending;

pub(crate) use changing::Changing;
pub(crate) use evacuating::Evacuating;
pub(crate) use filing::{Resuming, Suspending};
pub(crate) use linking::There;
pub(crate) use making::{Making, Removing};
pub(crate) use moving::{How, Moving, save_options};
pub(crate) use receiving::Receiving;
pub(crate) use sending::Sending;

use crate::config::Places;
use crate::events::EventLog;
use crate::host::ServedHost;
use godwit_control::{Code, EventKind, Progress, Refusal, Told};
use godwit_shim::{Decision, LinkPort, Protection, Token};
use std::fmt::{self, Debug};
use std::time::{Duration, Instant};

/// Operations that are under way at a time.
pub(crate) const OPERATIONS_MAX: usize = 64;
/// Those among them that other servers have announced and not begun: whoever does no more than that
/// takes no more.
const OFFERS_MAX: usize = OPERATIONS_MAX / 4;
/// How long the server sleeps at most while there are some: what they wait for may be no event of a
/// card.
pub(crate) const NAP: Duration = Duration::from_micros(100);
/// How often the client is told how far its operation is.
const TELL: Duration = Duration::from_millis(100);

/// A client, by a number that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) u64);

/// What is worked on.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) hosts: &'a mut [ServedHost],
    pub(crate) places: &'a Places,
    pub(crate) events: &'a mut EventLog,
    /// How other servers are connected to.
    pub(crate) protection: &'a Protection,
    /// A clock that never goes back.
    pub(crate) now_ns: u64,
}

/// What becomes of an operation.
pub(crate) type Outcome = Result<Told, Refusal>;

/// One thing that takes a while.
pub(crate) trait Work: Debug {
    /// Goes on as far as it can. `None`: it is under way.
    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome>;

    /// How far it is, where that is of interest.
    fn progress(&self, hosts: &[ServedHost]) -> Option<Progress> {
        let _ = hosts;
        None
    }

    /// How long nothing happens to it by itself.
    fn rest(&self) -> Duration {
        NAP
    }

    /// The vGPU that it moves to or from another server.
    fn vgpu(&self) -> Option<&str> {
        None
    }

    /// Whether it is over, and only still told of.
    fn is_over(&self) -> bool {
        false
    }

    /// The move from another server that it is.
    fn token(&self) -> Option<&Token> {
        None
    }

    /// Whether it brings a vGPU to a host.
    fn brings_to(&self, host: usize) -> bool {
        let _ = host;
        false
    }

    /// Whether it waits for another server to say what it sends.
    fn awaits_offer(&self) -> bool {
        false
    }

    /// There is a link for it.
    fn take_link(&mut self, port: LinkPort) {
        drop(port);
    }

    /// An operator has decided about it.
    ///
    /// # Errors
    ///
    /// Why that cannot be done.
    fn resolve(&mut self, site: &mut Site<'_>, decision: Decision) -> Result<(), String> {
        let _ = (site, decision);
        Err("it needs no decision".into())
    }
}

/// Who has asked for something, and for what, in words.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) peer: String,
    pub(crate) question: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.peer, self.question)
    }
}

#[derive(Debug)]
struct Operation {
    client: ClientId,
    asked: Asked,
    /// Names that it takes for vGPUs that there are not yet.
    name: Option<String>,
    work: Box<dyn Work>,
    told: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Operations(Vec<Operation>);

impl Operations {
    /// Whether one more may begin.
    pub(crate) fn check_room(&self) -> Result<(), Refusal> {
        if self.0.len() < OPERATIONS_MAX {
            return Ok(());
        }
        let why = format!("{OPERATIONS_MAX} operations are under way");
        Err(Refusal::new(Code::TooMany, why).help("wait until one has ended: `godwit ctl events`"))
    }

    /// Whether one more may be awaited from another server.
    pub(crate) fn check_offers(&self) -> Result<(), Refusal> {
        if self.0.iter().filter(|it| it.work.awaits_offer()).count() < OFFERS_MAX {
            return Ok(());
        }
        let why = format!("{OFFERS_MAX} vGPUs are awaited of which no offer has come");
        Err(Refusal::new(Code::TooMany, why).help("try again in a while"))
    }

    /// Whether no vGPU is on its way to a host.
    pub(crate) fn check_none_comes(&self, host: usize, name: &str) -> Result<(), Refusal> {
        if !self.0.iter().any(|it| it.work.brings_to(host)) {
            return Ok(());
        }
        let why = format!("a vGPU is on its way to host `{name}`");
        let help = "wait until that has ended: `godwit ctl events` tells";
        Err(Refusal::new(Code::Busy, why).help(help))
    }

    /// Whether a vGPU of this name is being made.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.0.iter().any(|it| it.name.as_deref() == Some(name))
    }

    /// How long nothing happens to any by itself. `None`: there is none.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.0.iter().map(|it| it.work.rest()).min()
    }

    /// Whether a move from another server is under way, or is over and still told.
    pub(crate) fn has_move(&self, token: &Token) -> bool {
        self.0.iter().any(|it| it.work.token() == Some(token))
    }

    /// Gives a link to a move from another server.
    pub(crate) fn give_link(&mut self, token: &Token, port: LinkPort) {
        if let Some(it) = self.0.iter_mut().find(|it| it.work.token() == Some(token)) {
            it.work.take_link(port);
        }
    }

    /// Does what an operator has decided about a vGPU's move to or from another server.
    pub(crate) fn resolve(
        &mut self,
        site: &mut Site<'_>,
        vgpu: &str,
        decision: Decision,
    ) -> Outcome {
        let is_it = |it: &&mut Operation| it.work.vgpu() == Some(vgpu) && !it.work.is_over();
        let Some(it) = self.0.iter_mut().find(is_it) else {
            let why = format!(
                "no move of `{}` to or from another server is under way",
                vgpu.escape_default()
            );
            return Err(Refusal::new(Code::NoVgpu, why).help("`godwit ctl events` shows what was"));
        };
        let done = it.work.resolve(site, decision);
        let help = "wait until its link is lost for good: `godwit ctl events` tells";
        done.map_err(|why| Refusal::new(Code::BadValue, why).help(help))?;
        Ok(Told::Resolved(vgpu.to_owned()))
    }

    pub(crate) fn begin(
        &mut self,
        client: ClientId,
        asked: Asked,
        name: Option<String>,
        work: Box<dyn Work>,
    ) {
        self.0.push(Operation { client, asked, name, work, told: Instant::now() });
    }

    /// Goes on with all, and tells their clients, with what was asked for.
    pub(crate) fn step(
        &mut self,
        site: &mut Site<'_>,
        mut tell: impl FnMut(ClientId, &Asked, Told),
    ) {
        self.0.retain_mut(|it| {
            site.events.set_by(Some(&it.asked.peer));
            let outcome = it.work.step(site);
            site.events.set_by(None);
            let Some(outcome) = outcome else {
                if it.told.elapsed() >= TELL {
                    it.told = Instant::now();
                    // Who waits sees that something is done, whatever it is.
                    let vgpu = || it.work.vgpu().or(it.name.as_deref()).unwrap_or("").to_owned();
                    let progress = it.work.progress(site.hosts);
                    let progress = progress.unwrap_or_else(|| Progress::working(vgpu()));
                    tell(it.client, &it.asked, Told::Progress(progress));
                }
                return true;
            };
            tell(it.client, &it.asked, outcome.unwrap_or_else(Told::Error));
            false
        });
    }
}

/// Has a vGPU be nobody else's while something is done to it.
///
/// # Errors
///
/// When somebody has it, or something else is done to it.
pub(crate) fn seize(
    host: &mut ServedHost,
    name: &str,
    what: &'static str,
) -> Result<godwit_types::Gfid, Refusal> {
    let Some(served) = host.served_mut(name) else { return Err(no_vgpu(name)) };
    let device = &mut served.device;
    if let Some(doing) = device.busy {
        return Err(busy(name, doing));
    }
    if device.machine.is_some() {
        let why = format!("a machine has `{name}`");
        let help = match what {
            "migrate" | "evacuate" => {
                "`godwit vm-migrate` takes it along with the machine; or shut that down first"
            }
            "suspend" => "`godwit vm-suspend` takes it along with the machine",
            _ => "shut that down first",
        };
        return Err(Refusal::new(Code::Attached, why).help(help));
    }
    if device.manager.is_some() || device.state() != godwit_shim::vfio::MigrationState::Running {
        let why = format!("`{name}` is {}, by a migration manager", device.state());
        let help = "wait until it has ended, or end it at the vGPU's migration socket";
        return Err(Refusal::new(Code::Attached, why).help(help));
    }
    device.busy = Some(what);
    Ok(device.gfid)
}

/// Nothing is done to a vGPU any more, and nothing was.
pub(crate) fn let_go(site: &mut Site<'_>, host: usize, name: &str, why: &str) {
    let host = &mut site.hosts[host];
    let busy = host.served_mut(name).map(|it| (it.device.gfid, it.device.busy.take()));
    if let Some((gfid, Some("migrate" | "evacuate" | "suspend"))) = busy {
        host.stats.failed(gfid);
    }
    let at = crate::events::Where::of(&host.name, name);
    site.events.note(EventKind::Failed, at, why);
}

/// Something is done to a vGPU already.
pub(crate) fn busy(name: &str, doing: &str) -> Refusal {
    let help = match doing {
        "migrate" => {
            "wait until that has ended; if it goes to a server that is gone for good, decide: \
             `godwit ctl resolve`"
        }
        _ => "wait until that has ended",
    };
    Refusal::new(Code::Busy, format!("`{name}` is under way: {doing}")).help(help)
}

pub(crate) fn no_vgpu(name: &str) -> Refusal {
    let why = format!("there is no vGPU `{}`", name.escape_default());
    Refusal::new(Code::NoVgpu, why).help("`godwit ctl list` shows which there are")
}

/// What to do about firmware that is gone for good.
pub(crate) const LOST_HELP: &str = "end the server and start it again; its log says what was lost";

/// Where a host says more of what went wrong.
pub(crate) const HOST_HELP: &str = "`godwit ctl events` shows what the host has said";

/// A vGPU that has not left its host. `help`: what to do about it where it runs on.
pub(super) fn not_moved(host: &godwit_shim::Host, why: &str, help: &str) -> Refusal {
    match host.lost_for_good() {
        Some(_) => Refusal::new(Code::FirmwareLost, why).help(LOST_HELP),
        None => Refusal::new(Code::Failed, why).help(help),
    }
}

/// What a host that was asked has answered.
pub(crate) fn refused(error: &godwit_shim::HostError) -> Refusal {
    match error {
        godwit_shim::HostError::Lost => Refusal::new(Code::FirmwareLost, error).help(LOST_HELP),
        godwit_shim::HostError::NoRoom { .. } => {
            Refusal::new(Code::NoRoom, error).help("`godwit ctl profiles` shows what fits where")
        }
        _ => Refusal::new(Code::Failed, error).help(HOST_HELP),
    }
}
