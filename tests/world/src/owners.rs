//! Exactly one owner: no vGPU runs on two cards, none that has been given away runs where it was,
//! none runs where it was not given to, and nothing runs that is nobody's.

use crate::vgpu::Home;
use crate::world::{HostId, VgpuId, World};
use godwit_sim_gpu::Residue;
use godwit_types::{Gfid, Index, VGPU_COUNT};

/// A place that is a vGPU's for now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) vgpu: VgpuId,
    pub(crate) at: (HostId, Gfid),
    pub(crate) may_run: bool,
}

fn gfids() -> impl Iterator<Item = Gfid> {
    (0..VGPU_COUNT as usize).filter_map(Gfid::from_index)
}

impl World {
    pub(crate) fn check_owners(&mut self) {
        self.check_still();
        self.check_scrubbed();
        for wrong in misplaced(&self.claims(), &self.running()) {
            let what = match wrong {
                Misplaced::Nobodys((host, gfid)) => {
                    format!("{} runs {gfid:?}, which is nobody's", self.hosts[host.0].name)
                }
                Misplaced::GivenAway(vgpu, host) => format!(
                    "{} runs {}, which is another's now",
                    self.hosts[host.0].name, self.vgpus[vgpu.0].name
                ),
                Misplaced::Twice(vgpu, host) => format!(
                    "{} runs {}, which runs on another host too",
                    self.hosts[host.0].name, self.vgpus[vgpu.0].name
                ),
            };
            self.problem(what);
        }
    }

    /// A card does nothing for a vGPU that its firmware takes for one that stands still.
    pub(crate) fn check_still(&mut self) {
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

    /// What a card has cleared was zero.
    fn check_scrubbed(&mut self) {
        let mut wrong = Vec::new();
        for node in &mut self.hosts {
            for left in node.host.card_mut().gpu_mut().take_residues() {
                let Residue { gfid, region, at } = left;
                wrong.push(format!(
                    "{}: {gfid:?} was released with data left in {region:?} at {at:#x}",
                    node.name
                ));
            }
        }
        for what in wrong {
            self.problem(what);
        }
    }

    /// Everything that runs, as the firmware has it.
    pub(crate) fn running(&self) -> Vec<(HostId, Gfid)> {
        let on = |at: usize| {
            let card = self.hosts[at].host.card();
            gfids().filter(|gfid| card.is_running(*gfid)).map(move |gfid| (HostId(at), gfid))
        };
        (0..self.hosts.len()).flat_map(on).collect()
    }

    pub(crate) fn claims(&self) -> Vec<Claim> {
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
        let remote = self.remote_claim();
        moves.chain(suspends).chain(resumes).chain(remote).chain(homes).collect()
    }
}

/// Something that runs where it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misplaced {
    Nobodys((HostId, Gfid)),
    GivenAway(VgpuId, HostId),
    Twice(VgpuId, HostId),
}

/// What runs and may not, by whose it is.
fn misplaced(claims: &[Claim], running: &[(HostId, Gfid)]) -> Vec<Misplaced> {
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    for at in running {
        let Some(claim) = claims.iter().find(|claim| claim.at == *at) else {
            wrong.push(Misplaced::Nobodys(*at));
            continue;
        };
        if !claim.may_run {
            wrong.push(Misplaced::GivenAway(claim.vgpu, at.0));
        }
        if seen.contains(&claim.vgpu) {
            wrong.push(Misplaced::Twice(claim.vgpu, at.0));
        }
        seen.push(claim.vgpu);
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_owners_of_one_vgpu_are_found() {
        let gfid = Gfid::new(1).unwrap();
        let (vgpu, here, there) = (VgpuId(0), (HostId(0), gfid), (HostId(1), gfid));
        let both =
            [Claim { vgpu, at: here, may_run: true }, Claim { vgpu, at: there, may_run: false }];
        assert_eq!(misplaced(&both, &[here]), []);
        assert_eq!(misplaced(&both, &[there]), [Misplaced::GivenAway(vgpu, there.0)]);
        let twice = both.map(|claim| Claim { may_run: true, ..claim });
        assert_eq!(misplaced(&twice, &[here, there]), [Misplaced::Twice(vgpu, there.0)]);
        assert_eq!(misplaced(&both[..1], &[here, there]), [Misplaced::Nobodys(there)]);
    }
}
