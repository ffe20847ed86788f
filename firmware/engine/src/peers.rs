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
}

/// The way to peers of one vGPU. None of its fields has a value to spare: so all of its bytes are
/// zero when it is open and nobody waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peers {
    pub(crate) closed: bool,
    /// What it was before the request that waits.
    was_closed: bool,
    wait: Option<PeersWait>,
}

impl Peers {
    pub(crate) const OPEN: Self = Self { closed: false, was_closed: false, wait: None };

    /// When the device is late; `u64::MAX`: nobody waits for it.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.wait.map_or(u64::MAX, |wait| wait.deadline_ns)
    }
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
        if vgpu.peers.wait.is_some() {
            return Err(Reject::WrongPhase);
        }
        let was_closed = vgpu.peers.closed;
        self.put_peers(gfid, open);
        if stands {
            // Nothing of it is under way; a start finds what was asked.
            self.done(id);
        } else {
            let deadline_ns = self.after(DEVICE_DEADLINE_NS);
            let peers = &mut self.vgpus[gfid].peers;
            peers.was_closed = was_closed;
            peers.wait = Some(PeersWait { id, deadline_ns });
            self.phases_due_ns = self.phases_due_ns.min(deadline_ns);
        }
        Ok(())
    }

    fn put_peers(&mut self, gfid: Gfid, open: bool) {
        self.vgpus[gfid].peers.closed = !open;
        self.act(Action::SetPeers(gfid, open));
    }

    /// It is as asked, and no access is under way that is not to be.
    pub(crate) fn peers_set(&mut self, gfid: Gfid) {
        if let Some(wait) = self.vgpus[gfid].peers.wait.take() {
            self.done(wait.id);
        }
    }

    /// The device has not answered in time: all is as it was before.
    pub(crate) fn peers_late(&mut self, gfid: Gfid) {
        let now_ns = self.now_ns;
        let peers = &mut self.vgpus[gfid].peers;
        let was_closed = peers.was_closed;
        if let Some(wait) = peers.wait.take_if(|wait| wait.deadline_ns <= now_ns) {
            self.put_peers(gfid, !was_closed);
            self.refuse(wait.id, Reject::Deadline);
        }
    }

    /// The vGPU is being released: whoever waits will not get what was asked, and whoever has its
    /// id next finds the way open.
    pub(crate) fn release_peers(&mut self, gfid: Gfid) {
        if let Some(wait) = self.vgpus[gfid].peers.wait.take() {
            self.refuse(wait.id, Reject::WrongPhase);
        }
        if self.vgpus[gfid].peers.closed {
            self.put_peers(gfid, true);
        }
    }
}
