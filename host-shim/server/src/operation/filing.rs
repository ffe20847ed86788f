//! vGPUs that are suspended to files of the server, and resumed from them.

use super::{Outcome, Site, Work, let_go};
use crate::control::status;
use crate::events::Where;
use crate::host::Sockets;
use godwit_control::{Code, EventKind, MovePhase, Progress, Refusal, Suspended, Told};
use godwit_shim::{Resume, ResumeState, Suspend, SuspendState};
use std::path::PathBuf;
use std::time::Instant;

/// A vGPU that is being suspended.
#[derive(Debug)]
pub(crate) struct Suspending {
    pub(crate) host: usize,
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) path: PathBuf,
    pub(crate) suspend: Suspend,
    pub(crate) began: Instant,
}

impl Work for Suspending {
    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        let host = &mut site.hosts[self.host];
        host.host.settle();
        let state = self.suspend.step(&mut host.host);
        match state {
            // Nobody has it, so there is no guest to be paused.
            SuspendState::WantsPause => self.suspend.guest_paused(&mut host.host),
            SuspendState::Working | SuspendState::RunsOn | SuspendState::Committed => {}
            SuspendState::Undone(why) => {
                let_go(site, self.host, &self.name, &format!("suspend: {why}"));
                let help = "it runs on; free what the message names, and try again";
                return Some(Err(Refusal::new(Code::Failed, why).help(help)));
            }
            SuspendState::Suspended => {
                host.remove(&self.name);
                host.stats.gone();
                let mut text = format!("suspended to `{}`", self.file);
                if let Some(trouble) = self.suspend.take_trouble() {
                    text += &format!("; {trouble}");
                }
                site.events.note(EventKind::Suspended, Where::of(&host.name, &self.name), &text);
                let bytes = std::fs::metadata(&self.path).map_or(0, |about| about.len());
                let total_ns = self.began.elapsed().as_nanos() as u64;
                let (vgpu, file) = (self.name.clone(), self.file.clone());
                return Some(Ok(Told::Suspended(Suspended { vgpu, file, bytes, total_ns })));
            }
        }
        host.host.lost_for_good().map(|error| {
            let_go(site, self.host, &self.name, &format!("suspend: {error}"));
            Err(super::refused(&error))
        })
    }

    fn progress(&self, _: &[crate::host::ServedHost]) -> Option<Progress> {
        let stats = self.suspend.stats();
        Some(Progress {
            vgpu: self.name.clone(),
            phase: MovePhase::Stopped,
            rounds: stats.rounds,
            sent_bytes: stats.precopy_bytes + stats.stop_bytes + stats.state_bytes,
            left_bytes: 0,
            downtime_ns: None,
        })
    }
}

/// A vGPU that is being resumed. Its sockets are there already, since they may not be had.
#[derive(Debug)]
pub(crate) struct Resuming {
    pub(crate) host: usize,
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) resume: Resume,
    pub(crate) sockets: Option<Sockets>,
}

impl Work for Resuming {
    fn brings_to(&self, host: usize) -> bool {
        self.host == host
    }

    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        let host = &mut site.hosts[self.host];
        host.host.settle();
        let at = Where::of(&host.name, &self.name);
        match self.resume.step(&mut host.host) {
            ResumeState::Working => {}
            ResumeState::Undone(why) => {
                site.events.note(EventKind::Failed, at, &format!("resume: {why}"));
                let help = "nothing of it is left here; `godwit ctl profiles` shows what fits";
                return Some(Err(Refusal::new(Code::Failed, why).help(help)));
            }
            ResumeState::Running(gfid) => {
                let sockets = self.sockets.take()?;
                let text = format!("resumed from `{}`", self.file);
                site.events.note(EventKind::Resumed, at, &text);
                let identity = self.resume.identity()?;
                if !host.add(&self.name, gfid, identity, sockets) {
                    let why = "it ran, and its host's firmware has lost it";
                    return Some(Err(Refusal::new(Code::FirmwareLost, why).help(super::HOST_HELP)));
                }
                host.stats.came();
                host.stats.moved(gfid, None, None);
                return Some(status::told(site.hosts, site.places, &self.name));
            }
        }
        host.host.lost_for_good().map(|error| {
            let text = format!("resume: {error}");
            site.events.note(EventKind::Failed, Where::of(&host.name, &self.name), &text);
            Err(super::refused(&error))
        })
    }
}
