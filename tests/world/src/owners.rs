//! Exactly one owner: no vGPU runs on two cards, none that has been given away runs where it was,
//! none runs where it was not given to, and nothing runs that is nobody's.

use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_types::{Gfid, Index, VGPU_COUNT};

/// A place that is a vGPU's for now.
struct Claim {
    vgpu: VgpuId,
    at: (HostId, Gfid),
    may_run: bool,
}

fn gfids() -> impl Iterator<Item = Gfid> {
    (0..VGPU_COUNT as usize).filter_map(Gfid::from_index)
}

impl World {
    pub(crate) fn check_owners(&mut self) {
        self.check_still();
        let claims = self.claims();
        let mut runs = vec![0; self.vgpus.len()];
        let mut wrong = Vec::new();
        for at in self.running() {
            let (host, gfid) = (&self.hosts[at.0.0].name, at.1);
            let Some(claim) = claims.iter().find(|claim| claim.at == at) else {
                wrong.push(format!("{host} runs {gfid:?}, which is nobody's"));
                continue;
            };
            let name = &self.vgpus[claim.vgpu.0].name;
            runs[claim.vgpu.0] += 1;
            if !claim.may_run {
                wrong.push(format!("{host} runs {name}, which is another's now"));
            }
            if runs[claim.vgpu.0] > 1 {
                wrong.push(format!("{host} runs {name}, which runs on another host too"));
            }
        }
        for what in wrong {
            self.problem(what);
        }
    }

    /// A card does nothing for a vGPU that its firmware takes for one that stands still.
    fn check_still(&mut self) {
        let mut wrong = Vec::new();
        for node in &mut self.hosts {
            for gfid in gfids() {
                let runs = node.host.card().is_running(gfid);
                let stats = node.host.card().gpu().stats(gfid);
                let done = stats.instructions + stats.copied_bytes;
                let (before, ran) = node.work.insert(gfid, (done, runs)).unwrap_or((done, runs));
                if done > before && !runs && !ran {
                    wrong.push(format!("{}: {gfid:?} stands still and works", node.name));
                }
            }
        }
        for what in wrong {
            self.problem(what);
        }
    }

    /// Everything that runs, as the firmware has it.
    fn running(&self) -> Vec<(HostId, Gfid)> {
        let on = |at: usize| {
            let card = self.hosts[at].host.card();
            gfids().filter(|gfid| card.is_running(*gfid)).map(move |gfid| (HostId(at), gfid))
        };
        (0..self.hosts.len()).flat_map(on).collect()
    }

    fn claims(&self) -> Vec<Claim> {
        let homes = self.vgpus.iter().enumerate().filter_map(|(id, node)| match node.home {
            Home::Host(host, gfid) => {
                Some(Claim { vgpu: VgpuId(id), at: (host, gfid), may_run: true })
            }
            Home::InFlight | Home::File(_) => None,
        });
        let moves = self.moves.iter().flat_map(|one| {
            let (vgpu, committed) = (one.vgpu, one.is_committed());
            let from = one.source.as_ref().map(|_| (one.from, one.gfid));
            let source = from.map(|at| Claim { vgpu, at, may_run: !committed });
            let destination = one.home().map(|at| Claim { vgpu, at, may_run: committed });
            [source, destination].into_iter().flatten()
        });
        let suspends = self.suspends.iter().map(|one| {
            // From its commit on it is the file's.
            let may_run = matches!(self.vgpus[one.vgpu.0].home, Home::Host(..));
            Claim { vgpu: one.vgpu, at: (one.host, one.suspend.gfid()), may_run }
        });
        let resumes = self.resumes.iter().filter_map(|one| {
            let (gfid, _) = one.resume.home()?;
            Some(Claim { vgpu: one.vgpu, at: (one.host, gfid), may_run: true })
        });
        // A place of a transfer says more of it than the home that the vGPU still has there.
        moves.chain(suspends).chain(resumes).chain(homes).collect()
    }
}
