//! Changes of who gets how much of the engines.

use super::{Outcome, Site, Work, refused};
use crate::control::status;
use crate::events::Where;
use godwit_control::{EventKind, Sizes};
use godwit_shim::Change;

/// A change that is under way.
#[derive(Debug)]
pub(crate) struct Changing {
    pub(crate) host: usize,
    /// Of this vGPU; `None`: of the host.
    pub(crate) vgpu: Option<String>,
    pub(crate) change: Option<Change>,
    pub(crate) sizes: Option<Sizes>,
    /// What is changed, in words.
    pub(crate) text: String,
}

impl Work for Changing {
    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        let host = &mut site.hosts[self.host];
        host.host.settle();
        if let Some(change) = &mut self.change
            && let Err(error) = change.step(&mut host.host)?
        {
            return Some(Err(refused(&error)));
        }
        if let Some(sizes) = self.sizes {
            host.sizes = sizes;
        }
        let host_name = host.name.clone();
        let at = Where { vgpu: self.vgpu.as_deref(), host: Some(&host_name) };
        let kind = if self.vgpu.is_some() { EventKind::Share } else { EventKind::Policy };
        site.events.note(kind, at, &self.text);
        Some(match &self.vgpu {
            Some(name) => status::told(site.hosts, site.places, name),
            None => status::host_told(site.hosts, &host_name),
        })
    }
}
