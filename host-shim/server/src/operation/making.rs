//! vGPUs that are made and removed.

use super::{Outcome, Site, Work, let_go, refused};
use crate::control::status;
use crate::events::Where;
use crate::host::Sockets;
use godwit_control::{Code, EventKind, Refusal, Told};
use godwit_shim::{Creation, Removal};

/// A vGPU that is being made. Its sockets are there already, since they may not be had.
#[derive(Debug)]
pub(crate) struct Making {
    pub(crate) host: usize,
    pub(crate) name: String,
    pub(crate) uuid: [u8; 16],
    pub(crate) creation: Creation,
    pub(crate) sockets: Option<Sockets>,
}

impl Work for Making {
    fn brings_to(&self, host: usize) -> bool {
        self.host == host
    }

    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        let host = &mut site.hosts[self.host];
        host.host.settle();
        let made = self.creation.step(&mut host.host)?;
        if let Err(error) = made {
            self.sockets = None;
            let at = Where::of(&host.name, &self.name);
            site.events.note(EventKind::Failed, at, &format!("create: {error}"));
            return Some(Err(refused(&error)));
        }
        let sockets = self.sockets.take()?;
        let gfid = self.creation.gfid();
        if !host.add(&self.name, gfid, (self.uuid, 0), sockets) {
            let why = "its host's firmware has lost it as soon as it was made";
            return Some(Err(Refusal::new(Code::FirmwareLost, why).help(super::HOST_HELP)));
        }
        site.events.note(EventKind::Created, Where::of(&host.name, &self.name), "created");
        Some(status::told(site.hosts, site.places, &self.name))
    }
}

/// A vGPU that is being removed.
#[derive(Debug)]
pub(crate) struct Removing {
    pub(crate) host: usize,
    pub(crate) name: String,
    pub(crate) removal: Removal,
}

impl Work for Removing {
    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        let host = &mut site.hosts[self.host];
        host.host.settle();
        let done = self.removal.step(&mut host.host)?;
        if let Err(error) = done {
            let_go(site, self.host, &self.name, &format!("destroy: {error}"));
            return Some(Err(refused(&error)));
        }
        host.remove(&self.name);
        site.events.note(EventKind::Destroyed, Where::of(&host.name, &self.name), "destroyed");
        Some(Ok(Told::Destroyed(self.name.clone())))
    }
}
