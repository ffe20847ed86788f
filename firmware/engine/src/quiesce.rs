//! Bringing a vGPU to a stop and letting it run again. Proofs are minted here and nowhere
//! else.

use crate::deadline::DEVICE_DEADLINE_NS;
use crate::engine::Engine;
use crate::message::{Action, Window};
use crate::message::{Reject, StopMode};
use crate::runlist::Current;
use crate::vgpu::{Phase, Stop, StopStep};
use godwit_types::{Gfid, Quiesced, RunlistId};

impl Engine {
    /// Starts to bring a running vGPU to a stop.
    pub(crate) fn stop(
        &mut self,
        id: u32,
        gfid: Gfid,
        mode: StopMode,
        timeout_ns: u64,
    ) -> Result<(), Reject> {
        if !matches!(*self.vgpus[gfid].phase, Phase::Running) {
            return Err(Reject::WrongPhase);
        }
        // One that escalates ends by the engines' own deadlines, if at all.
        let timeout_ns = match mode {
            StopMode::Pinned(_) => timeout_ns,
            StopMode::Escalate => timeout_ns.max(DEVICE_DEADLINE_NS),
        };
        let deadline_ns = self.after(timeout_ns);
        let stop = Stop { id, mode, deadline_ns, step: StopStep::Engines };
        self.enter_phase(gfid, Phase::Stopping(stop));
        self.park(gfid);
        self.preempt_vgpu(gfid);
        self.check_drained(gfid);
        Ok(())
    }

    pub(crate) fn on_engine(&self, gfid: Gfid) -> bool {
        self.runlists.iter().any(
            |(_, runlist)| matches!(*runlist.current, Some(Current { gfid: on, .. }) if on == gfid),
        )
    }

    /// Goes on with a stop, or a release, once the engines have let go of everything.
    #[inline]
    pub(crate) fn check_drained(&mut self, gfid: Gfid) {
        if let Some(stop) = self.vgpus[gfid].draining() {
            self.drained(gfid, stop);
        }
    }

    #[inline(never)]
    fn drained(&mut self, gfid: Gfid, stop: Stop) {
        let vgpu = &self.vgpus[gfid];
        let queued = [RunlistId::COMPUTE, RunlistId::COPY]
            .into_iter()
            .any(|runlist| !vgpu.ready[runlist].is_empty());
        if queued || self.on_engine(gfid) {
            return;
        }
        self.enter_phase(gfid, Phase::Stopping(Stop { step: StopStep::Aperture, ..stop }));
        self.act(Action::BindAperture(gfid, Window::Blocked));
    }

    /// The boundary was not reached in time, or the aperture does not become quiet: the stop
    /// is refused and the vGPU runs on.
    pub(crate) fn stop_deadline(&mut self, gfid: Gfid, stop: Stop) {
        match stop.step {
            StopStep::Engines => {
                self.cancel_preempts(gfid);
                self.refuse_stop(gfid, &stop);
            }
            StopStep::Aperture => {
                // The guest is told when it can reach its aperture again.
                let deadline_ns = self.after(DEVICE_DEADLINE_NS);
                let reopening = Stop { step: StopStep::Reopening, deadline_ns, ..stop };
                self.enter_phase(gfid, Phase::Stopping(reopening));
                self.act(Action::BindAperture(gfid, Window::Direct));
            }
            StopStep::Reopening => self.refuse_stop(gfid, &stop),
            StopStep::Vectors => {}
        }
    }

    fn refuse_stop(&mut self, gfid: Gfid, stop: &Stop) {
        self.enter_phase(gfid, Phase::Running);
        self.unpark(gfid);
        self.refuse(stop.id, Reject::Deadline);
    }

    /// An aperture is bound as asked: the next step of a stop, a start or a release.
    pub(crate) fn aperture_set(&mut self, gfid: Gfid) {
        if self.recovering & crate::engine::bit(gfid) != 0 {
            return self.recovered(gfid);
        }
        match *self.vgpus[gfid].phase {
            Phase::Stopping(stop) if stop.step == StopStep::Reopening => {
                self.refuse_stop(gfid, &stop);
            }
            Phase::Stopping(stop) if stop.step == StopStep::Aperture => {
                self.enter_phase(gfid, Phase::Stopping(Stop { step: StopStep::Vectors, ..stop }));
                self.act(Action::SetRoute(gfid, false));
                self.act(Action::ReadVectors(gfid));
            }
            Phase::Starting { id, guest_time_ns, .. } => self.started(gfid, id, guest_time_ns),
            Phase::Releasing { .. } => self.release_aperture_set(gfid),
            Phase::Absent
            | Phase::Creating { .. }
            | Phase::Running
            | Phase::Stopping(_)
            | Phase::Stopped { .. }
            | Phase::Resuming { .. }
            | Phase::Failed => {}
        }
    }

    /// The last step of a stop: engines have acknowledged, the window is quiet, the vectors
    /// are known. From here on the vGPU stands still.
    pub(crate) fn vectors_read(&mut self, gfid: Gfid, vectors: u32) {
        let Phase::Stopping(stop) = *self.vgpus[gfid].phase else {
            return;
        };
        if stop.step != StopStep::Vectors {
            return;
        }
        let vgpu = &mut self.vgpus[gfid];
        vgpu.vectors = vectors;
        vgpu.epoch = vgpu.epoch.next();
        let proof = Quiesced::mint(gfid, vgpu.epoch);
        let guest_time_ns = self.now_ns.wrapping_add(vgpu.time_offset_ns);
        self.enter_phase(gfid, Phase::Stopped { proof, guest_time_ns, pristine: false });
        self.act(Action::Retain);
        self.done(stop.id);
    }

    /// The standstill of a vGPU that was just made, restored or taken over: nothing of it
    /// runs here. The caller has it retained.
    pub(crate) fn standing(&mut self, gfid: Gfid, guest_time_ns: u64, pristine: bool) {
        let vgpu = &mut self.vgpus[gfid];
        vgpu.epoch = vgpu.epoch.next();
        let proof = Quiesced::mint(gfid, vgpu.epoch);
        self.enter_phase(gfid, Phase::Stopped { proof, guest_time_ns, pristine });
    }

    /// Starts to let a vGPU run: its proof is given up, its aperture opened.
    pub(crate) fn start(&mut self, id: u32, gfid: Gfid) -> Result<(), Reject> {
        let Phase::Stopped { guest_time_ns, .. } = *self.vgpus[gfid].phase else {
            return Err(Reject::WrongPhase);
        };
        if self.vgpus[gfid].save.is_past_rounds() {
            return Err(Reject::WrongPhase);
        }
        let deadline_ns = self.after(DEVICE_DEADLINE_NS);
        self.enter_phase(gfid, Phase::Starting { id, guest_time_ns, deadline_ns });
        self.act(Action::BindAperture(gfid, Window::Direct));
        Ok(())
    }

    fn started(&mut self, gfid: Gfid, id: u32, guest_time_ns: u64) {
        let vgpu = &mut self.vgpus[gfid];
        vgpu.time_offset_ns = guest_time_ns.wrapping_sub(self.now_ns);
        let vectors = core::mem::take(&mut vgpu.vectors);
        self.enter_phase(gfid, Phase::Running);
        // First, and seen by nobody while the route is closed: a restart after the record is
        // written would not know of them.
        if vectors != 0 {
            self.act(Action::Inject(gfid, vectors));
        }
        self.act(Action::Retain);
        self.act(Action::SetRoute(gfid, true));
        let parked = &self.vgpus[gfid].parked;
        if parked.iter().any(|(_, queue)| !queue.is_empty()) {
            // Its work has stood still for long enough: it goes ahead, once, and pays for that.
            self.hint(gfid);
        }
        self.unpark(gfid);
        self.done(id);
    }
}
