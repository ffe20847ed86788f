//! `godwit send`.

use super::session::Session;
use super::{Failure, LinkOptions, Shown, address, kept_file, tell_open};
use crate::run::{HostWorld, one_job};
use crate::scenario::{JobRef, Scenario, VgpuRef, listed};
use crate::units::{about_size, about_time};
use clap::{Args, ValueEnum};
use godwit_shim::{
    Downtime, Journal, LinkAddress, LinkMessage, LinkPort, Live, MoveStage, Otherwise, Protection,
    Side, SourceState, Token, TransportError,
};
use godwit_wire::mailbox::StopMode;
use godwit_world::{AwaySpec, HostId, JobId, RemoteState, VgpuId, World};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a stop may take.
const STOP_TIMEOUT_NS: u64 = 640_000_000;
/// How long to wait before a peer is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What to send, and where to.
#[derive(Clone, Debug, Args)]
pub(crate) struct SendOptions {
    /// The vGPU's name in the scenario; its host is this process's.
    #[arg(long, value_name = "NAME")]
    vgpu: String,
    /// Where `godwit receive` listens: unix:PATH or tcp:HOST:PORT.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    to: LinkAddress,
    /// After how many instructions of its job it is sent.
    #[arg(long, value_name = "INSTRUCTIONS", default_value_t = 1_000_000)]
    after: u64,
    /// After how many rounds of copying it is stopped at the latest; 0: at once.
    #[arg(long, value_name = "ROUNDS", default_value_t = 8)]
    max_rounds: u32,
    /// A round with this many pages or fewer is the last.
    #[arg(long, value_name = "PAGES", default_value_t = 64)]
    max_pages: u32,
    /// How long it may stand still, in milliseconds of virtual time: rounds go on until the rest
    /// fits, with less and less of its own turns.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=600_000))]
    max_downtime: Option<u32>,
    /// What happens where it never fits: the move is given up, or the vGPU is moved all the same.
    #[arg(long, value_name = "WHAT", default_value = "give-up", requires = "max_downtime")]
    otherwise: Fallback,
    #[command(flatten)]
    link: LinkOptions,
}

/// What happens when the bound cannot be kept. Comments of the variants would make the help long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fallback {
    // The move is given up.
    GiveUp,
    // It is moved all the same.
    Move,
}

/// What this process's host knows of the vGPU.
enum Past {
    /// It runs here.
    None,
    /// It is committed, and the destination has not said that it runs there.
    Committed(Token),
    /// It is here again, and its state is kept.
    Kept(Token),
}

impl SendOptions {
    /// Sends a vGPU in the middle of its job.
    pub(crate) fn run(&self, scenario: &Scenario) -> Result<Shown, Failure> {
        let no_vgpu = || {
            let names = listed(scenario.vgpus.iter().map(|vgpu| vgpu.name.as_str()));
            let wrong = format!("no vGPU has the name `{}`", self.vgpu);
            Failure::Mistake(format!("{wrong}; allowed: {names}"))
        };
        let vgpu = scenario.vgpu_named(&self.vgpu).ok_or_else(no_vgpu)?;
        let job = one_job(scenario, vgpu).map_err(Failure::Mistake)?;
        if self.max_downtime.is_some() && self.max_rounds == 0 {
            let wrong = "a vGPU that is stopped at once stands still as long as it takes";
            let why = format!("{wrong}; allowed: --max-downtime with --max-rounds of 1 or more");
            return Err(Failure::Mistake(why));
        }
        let how = self.link.protection()?;
        let (key, mcu) = (self.link.key()?, self.link.mcu()?);
        let (mut journal, folder) = self.link.journal()?;
        let uuid = World::vgpu_uuid(scenario.seed, vgpu.index());
        tell_open(&mut journal)?;
        let past = past(&journal, folder, uuid)?;
        let past = match past {
            Past::Committed(token) => match self.settle(&mut journal, folder, token, &how)? {
                Some(shown) => return Ok(shown),
                None => Past::Kept(token),
            },
            past => past,
        };
        let name = &self.vgpu;
        if let (Past::Kept(token), Some(folder)) = (&past, folder) {
            let path = kept_file(folder, token);
            let file = Some((vgpu, path.clone(), token.number));
            let mut host = HostWorld::new(scenario, vgpu.of(scenario).host, file, &mcu)?;
            let (id, job) = (host.vgpu(vgpu), (job, host.job(job)));
            host.world.set_seal(key);
            host.world.resume_here(id, host.host);
            let limit_ns = host.world.now_ns() + scenario.time_limit_ns;
            while host.world.move_reports().is_empty() && host.world.now_ns() < limit_ns {
                host.world.step();
            }
            if let Some(Err(why)) = host.world.move_reports().first().map(|it| &it.outcome) {
                let why = format!("what is kept of `{name}` cannot be resumed: {why}");
                return Err(Failure::Refused(why));
            }
            let shown = Session::new(scenario, host).finish(
                job,
                format!("`{name}` was given back by move {token}, and runs here"),
                true,
            );
            if shown.1 {
                // It has run on: what is kept is of its past.
                fs::remove_file(&path).map_err(|error| Failure::Refused(error.to_string()))?;
            }
            return Ok(shown);
        }
        let mut host = HostWorld::new(scenario, vgpu.of(scenario).host, None, &mcu)?;
        let (id, job) = (host.vgpu(vgpu), (job, host.job(job)));
        host.world.set_seal(key);
        host.world.set_journal(host.host, journal);
        Sending { options: self, how, folder, id, job, session: Session::new(scenario, host) }.run()
    }

    /// The bound on how long it stands still, if there is one.
    fn downtime(&self) -> Option<Downtime> {
        let otherwise = match self.otherwise {
            Fallback::GiveUp => Otherwise::GiveUp,
            Fallback::Move => Otherwise::Move,
        };
        let max_ns = u64::from(self.max_downtime?) * 1_000_000;
        Some(Downtime { max_ns, otherwise })
    }

    /// Connects, and goes on trying while there is patience.
    fn connect(&self, how: &Protection) -> Result<LinkPort, Failure> {
        let begin = Instant::now();
        loop {
            match LinkPort::connect(&self.to, how) {
                Err(TransportError::Io(_)) if begin.elapsed() < self.link.patience() => {
                    std::thread::sleep(RETRY);
                }
                Err(TransportError::Io(error)) => {
                    return Err(Failure::Refused(format!(
                        "{} cannot be reached: {error}; start `godwit receive` there, or wait \
                         longer with --patience",
                        self.to
                    )));
                }
                result => return Ok(result?),
            }
        }
    }

    /// Of a move that an earlier process has committed: says so to the destination until that
    /// says what became of it. `None`: it is this side's again.
    fn settle(
        &self,
        journal: &mut Journal,
        folder: Option<&Path>,
        token: Token,
        how: &Protection,
    ) -> Result<Option<Shown>, Failure> {
        let begin = Instant::now();
        while begin.elapsed() <= self.link.patience() {
            let mut port = self.connect(how).map_err(|failure| still_committed(&token, failure))?;
            // A link that ends is tried again.
            if let Ok(Some(why)) = ask(&mut port, journal, token, begin + self.link.patience()) {
                return Err(Failure::Refused(unsettled(&token, &format!("says: {why}"))));
            }
            match journal.stage(Side::Source, &token) {
                Some(MoveStage::Done) => {
                    forget(folder, &token);
                    let text = format!("move {token}: `{}` runs at the destination\n", self.vgpu);
                    return Ok(Some((text, true)));
                }
                Some(MoveStage::Aborted) => return Ok(None),
                _ => {}
            }
        }
        Err(Failure::Refused(unsettled(&token, UNREACHED)))
    }
}

/// Says that a move is committed, until the destination has answered, or `until`. Returns why it
/// cannot say whose the vGPU is, if it says that.
fn ask(
    port: &mut LinkPort,
    journal: &mut Journal,
    token: Token,
    until: Instant,
) -> Result<Option<String>, TransportError> {
    let (mut asked, mut why) = (false, None);
    loop {
        while let Some(message) = port.poll(false)? {
            if let LinkMessage::Decline(of, said) = &message
                && *of == token
            {
                why = Some(said.clone());
            }
            // What cannot be written is asked for again.
            if let Ok(Some(answer)) = journal.reply(&message) {
                port.send(&answer);
            }
        }
        if port.takes() && !asked {
            asked = true;
            port.send(&LinkMessage::Commit(token));
        }
        port.flush()?;
        let open = journal.stage(Side::Source, &token) == Some(MoveStage::Committed);
        if !open && port.is_flushed() {
            return Ok(None);
        }
        if why.is_some() || Instant::now() > until {
            return Ok(why);
        }
        port.wait(false, RETRY)?;
    }
}

/// What is kept of a move that is over, and was of a process that is gone.
fn forget(folder: Option<&Path>, token: &Token) {
    if let Some(folder) = folder {
        // One that stays is refused by its number.
        let _ = fs::remove_file(kept_file(folder, token));
    }
}

/// What is known of a destination that does not answer.
const UNREACHED: &str = "cannot be reached";

fn unsettled(token: &Token, why: &str) -> String {
    format!(
        "move {token} is committed, and the destination {why}: the vGPU is not run here. Send \
         again when it can say whose it is; if it never will, `godwit resolve` says so"
    )
}

/// The destination of a move that is committed cannot be asked about it.
fn still_committed(token: &Token, failure: Failure) -> Failure {
    match failure {
        Failure::Refused(why) => Failure::Refused(format!(
            "move {token} is committed: {why}; if the destination is gone for good, `godwit \
             resolve` says whose the vGPU is"
        )),
        mistake @ Failure::Mistake(_) => mistake,
    }
}

/// What the journal knows of a vGPU's last move.
fn past(journal: &Journal, folder: Option<&Path>, uuid: [u8; 16]) -> Result<Past, Failure> {
    let Some(number) = journal.newest(&uuid) else { return Ok(Past::None) };
    let token = Token { uuid, number };
    let kept = folder.is_some_and(|folder| kept_file(folder, &token).is_file());
    match journal.stage(Side::Source, &token) {
        Some(MoveStage::Committed) => Ok(Past::Committed(token)),
        Some(MoveStage::Aborted) if kept => Ok(Past::Kept(token)),
        Some(MoveStage::Done) => {
            Err(Failure::Refused(format!("move {token} is done: the vGPU is at its destination")))
        }
        _ => Ok(Past::None),
    }
}

/// A send that is under way.
struct Sending<'a> {
    options: &'a SendOptions,
    how: Protection,
    folder: Option<&'a Path>,
    id: VgpuId,
    job: (JobRef, JobId),
    session: Session<'a>,
}

impl Sending<'_> {
    fn run(mut self) -> Result<Shown, Failure> {
        let limit_ns = self.session.scenario.time_limit_ns;
        while self.session.job(self.job.1).instructions < self.options.after {
            if self.session.world.has_ended(self.job.1) || self.session.world.now_ns() > limit_ns {
                let why =
                    "its job ended before it was to be sent: send it after fewer instructions";
                return Err(Failure::Refused(why.into()));
            }
            self.session.step_world()?;
        }
        self.session.port = Some(self.options.connect(&self.how)?);
        let rounds_max = self.options.max_rounds;
        let downtime = self.options.downtime();
        let live = Live { rounds_max, pages_enough: self.options.max_pages, downtime };
        let spec = AwaySpec {
            vgpu: self.id,
            live: (rounds_max > 0).then_some(live),
            stop: StopMode::Instruction,
            stop_timeout_ns: STOP_TIMEOUT_NS,
        };
        self.session.begin();
        let uuid = World::vgpu_uuid(self.session.scenario.seed, self.vgpu().index());
        let host = self
            .session
            .world
            .home_of(self.id)
            .ok_or_else(|| Failure::Refused("its vGPU is on no host".into()))?;
        let token = self.session.world.journal(host).next_token(uuid);
        let keep = self.folder.map(|folder| kept_file(folder, &token));
        let now_ns = self.session.now_ns();
        let token = self.session.world.send_away(&spec, keep.as_deref(), now_ns);
        let token = token.map_err(Failure::Refused)?;
        self.carry_through(host, token)
    }

    fn vgpu(&self) -> VgpuRef {
        self.job.0.of(self.session.scenario).vgpu
    }

    /// Tells what is known of how long it takes, whenever what is left is counted anew.
    fn tell_estimate(&self, told_bytes: &mut Option<u64>) {
        let Some(estimate) = self.session.world.remote_estimate() else { return };
        if told_bytes.replace(estimate.round_bytes) == Some(estimate.round_bytes) {
            return;
        }
        let known = match (estimate.rate, estimate.downtime_ns) {
            (Some(rate), Some(ns)) => format!(
                ", at {} a second; stopped now, it would stand still for {}",
                about_size(rate),
                about_time(ns)
            ),
            _ => String::new(),
        };
        anstream::eprintln!("left, at most: {}{known}", about_size(estimate.round_bytes));
    }

    /// Goes on until the vGPU is on one side for good.
    fn carry_through(mut self, host: HostId, token: Token) -> Result<Shown, Failure> {
        let mut silent_since = Instant::now();
        let mut told_bytes = None;
        loop {
            let state = self.session.step()?;
            self.tell_estimate(&mut told_bytes);
            match state {
                Some(RemoteState::Sending(SourceState::Moved)) => return Ok(self.moved(token)),
                Some(RemoteState::Sending(SourceState::Undone(why))) => {
                    let told = format!("move {token} is off: {why}");
                    return Ok(self.session.finish(self.job, told, false));
                }
                _ => {}
            }
            if self.session.port.is_none() {
                if silent_since.elapsed() > self.options.link.patience() {
                    return Err(Failure::Refused(unsettled(&token, UNREACHED)));
                }
                if let Ok(port) = LinkPort::connect(&self.options.to, &self.how) {
                    self.session.port = Some(port);
                    self.session.world.remote_back();
                } else {
                    std::thread::sleep(RETRY);
                }
            }
            let carried = self.session.carry(|session, message| {
                if *message.token() == token {
                    session.hand_over(message);
                    return None;
                }
                // Of an earlier move this side knows what became of it.
                session.world.journal(host).reply(&message).unwrap_or_else(|error| {
                    session.problems.push(error.to_string());
                    None
                })
            });
            match carried {
                Ok(()) if self.session.port.is_some() => silent_since = Instant::now(),
                Ok(()) => {}
                Err(error) => {
                    anstream::eprintln!("the link was lost: {error}");
                    let now_ns = self.session.now_ns();
                    self.session.world.remote_lost(now_ns);
                }
            }
        }
    }

    /// It runs there. The destination is told that this side knows, if it still listens.
    fn moved(mut self, token: Token) -> Shown {
        let begin = Instant::now();
        while begin.elapsed() < self.options.link.patience()
            && self.session.carry(|_, _| None).is_ok()
            && self.session.port.as_ref().is_some_and(|port| !port.is_flushed())
        {
            if self.session.wait().is_err() {
                break;
            }
        }
        self.session.world.check_leaks();
        let problems = self.session.world.problems();
        let instructions = self.session.job(self.job.1).instructions;
        let mut text = format!(
            "move {token}: `{}` was stopped after {instructions} instructions of its job and runs \
             at the destination\n",
            self.options.vgpu
        );
        problems.iter().for_each(|problem| text += &format!("problem: {problem}\n"));
        (text, problems.is_empty())
    }
}
