//! A host that is being emptied: several moves, some at a time.

use super::{How, Moving, Outcome, Site, Work, seize};
use crate::control::profiles::check_size;
use crate::events::Where;
use crate::host::ServedHost;
use godwit_control::{Code, Evacuation, EventKind, Progress, Refusal, Stayed, Told};
use godwit_shim::evacuate::{Leaver, Room, plan};
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub(crate) struct Evacuating {
    host: usize,
    how: How,
    parallel: usize,
    /// Who goes where, in the order in which they are to begin.
    waiting: VecDeque<(String, usize)>,
    moving: Vec<Moving>,
    done: Evacuation,
}

impl Evacuating {
    /// Plans it. Whoever a machine has stays, and is told of.
    pub(crate) fn new(
        site: &mut Site<'_>,
        host: usize,
        to: &[usize],
        parallel: usize,
        how: How,
    ) -> Self {
        let name = site.hosts[host].name.clone();
        let (mut stayed, mut names, mut leavers) = (Vec::new(), Vec::new(), Vec::new());
        let here = &mut site.hosts[host];
        here.is_evacuated = true;
        let all: Vec<String> = here.devices.iter().map(|it| it.device.name.clone()).collect();
        for vgpu in all {
            match seize(here, &vgpu, "evacuate") {
                Err(why) => stayed.push(Stayed { vgpu, why }),
                Ok(gfid) => {
                    if let Some(leaver) = Leaver::of(&mut here.host, gfid) {
                        leavers.push(leaver);
                        names.push(vgpu);
                    } else if let Some(served) = here.served_mut(&vgpu) {
                        served.device.busy = None;
                    }
                }
            }
        }
        let rooms: Vec<Room> = to.iter().map(|at| Room::of(&mut site.hosts[*at].host)).collect();
        let plan = plan(&leavers, &rooms);
        let step = |step: &godwit_shim::evacuate::Step| (names[step.leaver].clone(), to[step.to]);
        let waiting = plan.steps.iter().map(step).collect();
        for (leaver, misfits) in &plan.left {
            let why = misfits
                .iter()
                .zip(to)
                .map(|(misfit, at)| format!("`{}`: {misfit}", site.hosts[*at].name));
            let why = format!("it fits nowhere: {}", why.collect::<Vec<_>>().join("; "));
            let vgpu = names[*leaver].clone();
            super::let_go(site, host, &vgpu, &format!("evacuate: {why}"));
            let help =
                "make room there, or name other hosts: `godwit ctl profiles` shows what fits";
            stayed.push(Stayed { vgpu, why: Refusal::new(Code::NoRoom, why).help(help) });
        }
        let done = Evacuation { host: name, moved: Vec::new(), stayed };
        Self { host, how, parallel, waiting, moving: Vec::new(), done }
    }

    /// Whether a host takes one of that size. The plan does not know: who came before decides. One
    /// that is not taken is let go.
    fn check_size(&self, site: &mut Site<'_>, to: usize, vgpu: &str) -> Result<(), Refusal> {
        let from = &mut site.hosts[self.host];
        let gfid = from.served(vgpu).map(|it| it.device.gfid);
        let profile = gfid.and_then(|gfid| from.host.vgpu(gfid)).map(|it| it.profile);
        let Some(profile) = profile else { return Err(super::no_vgpu(vgpu)) };
        let to = &mut site.hosts[to];
        let (room, what) = (Room::of(&mut to.host), format!("`{vgpu}`"));
        check_size(&room, to.sizes, &what, profile.fb_bytes).inspect_err(|refusal| {
            super::let_go(site, self.host, vgpu, &format!("evacuate: {refusal}"));
        })
    }
}

impl Work for Evacuating {
    fn brings_to(&self, host: usize) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|(_, to)| *to == host) || self.moving.iter().any(|it| it.brings_to(host))
    }

    fn step(&mut self, site: &mut Site<'_>) -> Option<Outcome> {
        while self.moving.len() < self.parallel
            && let Some((vgpu, to)) = self.waiting.pop_front()
        {
            let begun = self
                .check_size(site, to, &vgpu)
                .and_then(|()| Moving::new(site, (self.host, to), &vgpu, self.how));
            match begun {
                Ok(moving) => self.moving.push(moving),
                Err(why) => self.done.stayed.push(Stayed { vgpu, why }),
            }
        }
        let done = &mut self.done;
        self.moving.retain_mut(|moving| match moving.go_on(site) {
            None => true,
            Some(Ok(moved)) => {
                done.moved.push(moved);
                false
            }
            Some(Err(why)) => {
                done.stayed.push(Stayed { vgpu: moving.name().to_owned(), why });
                false
            }
        });
        if !self.moving.is_empty() || !self.waiting.is_empty() {
            return None;
        }
        site.hosts[self.host].is_evacuated = false;
        let (moved, stayed) = (self.done.moved.len(), self.done.stayed.len());
        let text = format!("evacuated: {moved} moved, {stayed} stayed");
        site.events.note(EventKind::Evacuated, Where::host(&self.done.host), &text);
        Some(Ok(Told::Evacuated(self.done.clone())))
    }

    fn progress(&self, hosts: &[ServedHost]) -> Option<Progress> {
        self.moving.first()?.progress(hosts)
    }
}
