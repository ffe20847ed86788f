//! The way of a vGPU's channels to its peers. Before the vGPUs that reach one another are stopped
//! the host closes it for each of them, so that none finds another stopped.

use crate::deadline::DEVICE_DEADLINE_NS;
use crate::engine::Engine;
use crate::message::{Action, Reject};
use crate::vgpu::Phase;
use godwit_types::Gfid;

/// A request that waits until the device has done it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeersWait {
    id: u32,
    deadline_ns: u64,
    /// What it was before.
    was_closed: bool,
}

impl Engine {
    pub(crate) fn set_peer(&mut self, id: u32, gfid: Gfid, open: bool) -> Result<(), Reject> {
        let vgpu = &self.vgpus[gfid];
        let stands = match *vgpu.phase {
            Phase::Stopped { .. } | Phase::Resuming { .. } => true,
            Phase::Running | Phase::Stopping(_) | Phase::Starting { .. } => false,
            Phase::Absent | Phase::Creating { .. } | Phase::Failed | Phase::Releasing { .. } => {
                return Err(Reject::WrongPhase);
            }
        };
        if vgpu.peers_wait.is_some() {
            return Err(Reject::WrongPhase);
        }
        let was_closed = vgpu.peers_closed;
        self.put_peers(gfid, open);
        if stands {
            // Nothing of it is under way; a start finds what was asked.
            self.done(id);
        } else {
            let deadline_ns = self.after(DEVICE_DEADLINE_NS);
            self.vgpus[gfid].peers_wait = Some(PeersWait { id, deadline_ns, was_closed });
            self.phases_due_ns = self.phases_due_ns.min(deadline_ns);
        }
        Ok(())
    }

    fn put_peers(&mut self, gfid: Gfid, open: bool) {
        self.vgpus[gfid].peers_closed = !open;
        self.act(Action::SetPeers(gfid, open));
    }

    /// It is as asked, and no access is under way that is not to be.
    pub(crate) fn peers_set(&mut self, gfid: Gfid) {
        if let Some(wait) = self.vgpus[gfid].peers_wait.take() {
            self.done(wait.id);
        }
    }

    /// The device has not answered in time: all is as it was before.
    pub(crate) fn peers_late(&mut self, gfid: Gfid) {
        if let Some(wait) = self.vgpus[gfid].peers_wait.take_if(|at| at.deadline_ns <= self.now_ns)
        {
            self.put_peers(gfid, !wait.was_closed);
            self.refuse(wait.id, Reject::Deadline);
        }
    }

    /// The vGPU is being released: whoever waits will not get what was asked, and whoever has its
    /// id next finds the way open.
    pub(crate) fn release_peers(&mut self, gfid: Gfid) {
        if let Some(wait) = self.vgpus[gfid].peers_wait.take() {
            self.refuse(wait.id, Reject::WrongPhase);
        }
        if self.vgpus[gfid].peers_closed {
            self.put_peers(gfid, true);
        }
    }
}

impl PeersWait {
    pub(crate) const fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }
}
