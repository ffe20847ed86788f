//! The scenario's events, each in its turn.

use super::build::Ids;
use crate::progress::Progress;
use crate::scenario::{Action, Event, KeyFile, MoveKind, Scenario, Stop, Trigger};
use godwit_shim::{Downtime, FileOptions, Live, ResumeOptions, SealKey};
use godwit_types::PreemptMode;
use godwit_wire::mailbox::StopMode;
use godwit_world::{
    self as world, EvacuateSpec, EvacuationReport, EventId, MoveSpec, ResumeSpec, SuspendSpec,
    World,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// When a live move stops the vGPU: after so many rounds, or when a round had so few pages. With a
/// bound there are more, since each may have to be smaller than the one before.
const fn live(downtime: Option<Downtime>) -> Live {
    let rounds_max = if downtime.is_some() { 40 } else { 8 };
    Live { rounds_max, pages_enough: 64, downtime }
}

/// Which event is under way, and how those before it ended.
pub(super) struct Course {
    /// For each vGPU its events that have not ended. The first has been handed to the world.
    waiting: Vec<VecDeque<(usize, world::Trigger, world::Action)>>,
    /// The events of no vGPU, all of which the world has.
    apart: Vec<(usize, EventId)>,
    /// For each report of the world, the event that it is of.
    ended: Vec<usize>,
}

impl Course {
    /// Hands the world what it may do at once: of each vGPU its first event, and all that is
    /// about no vGPU.
    pub(super) fn new(scenario: &Scenario, ids: &Ids, world: &mut World) -> Self {
        let waiting = scenario.vgpus.iter().map(|_| VecDeque::new()).collect();
        let mut course = Self { waiting, apart: Vec::new(), ended: Vec::new() };
        for (at, event) in scenario.events.iter().enumerate() {
            let (trigger, action) = translated(event, ids);
            match event.action.vgpu() {
                Some(vgpu) => course.waiting[vgpu.index()].push_back((at, trigger, action)),
                None => course.apart.push((at, world.schedule(trigger, action))),
            }
        }
        for vgpu in 0..course.waiting.len() {
            course.start(vgpu, world);
        }
        course
    }

    /// Hands the world the next event of this vGPU.
    fn start(&self, vgpu: usize, world: &mut World) {
        if let Some((_, trigger, action)) = self.waiting[vgpu].front() {
            // What becomes of it is in the world's reports.
            world.schedule(*trigger, action.clone());
        }
    }

    /// Takes note of events that have ended, and starts those that come after them.
    pub(super) fn follow(&mut self, ids: &Ids, world: &mut World, progress: &mut dyn Progress) {
        while let Some(report) = world.move_reports().get(self.ended.len()) {
            if let Some(event) = self.evacuation_of(world, self.ended.len()) {
                let told = report.outcome.as_ref().map_or_else(String::as_str, |()| "moved");
                progress.event(event, &format!("{}: {told}", world.vgpu_name(report.vgpu)));
                self.ended.push(event);
                continue;
            }
            let vgpu = ids.vgpus.iter().position(|id| *id == report.vgpu);
            let vgpu = vgpu.expect("the world knows no other vGPUs");
            let (event, ..) =
                self.waiting[vgpu].pop_front().expect("the world does what it was told, once");
            progress.event(event, report.outcome.as_ref().map_or_else(String::as_str, |()| "done"));
            self.ended.push(event);
            self.start(vgpu, world);
        }
    }

    /// The event of the evacuation that a report of the world is of, if it is of one.
    fn evacuation_of(&self, world: &World, transfer: usize) -> Option<usize> {
        let is_its =
            |it: &EvacuationReport| it.legs.iter().any(|leg| leg.transfer == Some(transfer));
        self.evacuations(world).find(|(_, it)| is_its(it)).map(|(event, _)| event)
    }

    /// Evacuations that have begun, and their events.
    pub(super) fn evacuations(
        &self,
        world: &World,
    ) -> impl Iterator<Item = (usize, EvacuationReport)> {
        let event = |id: EventId| self.apart.iter().find(|(_, one)| *one == id);
        world.evacuation_reports().filter_map(move |it| Some((event(it.event?)?.0, it)))
    }

    /// Tells what is under way.
    pub(super) fn tell(&self, ids: &Ids, world: &World, progress: &mut dyn Progress) {
        for (id, phase) in world.transfers() {
            let vgpu = ids.vgpus.iter().position(|vgpu| *vgpu == id);
            if let Some((event, ..)) = vgpu.and_then(|vgpu| self.waiting[vgpu].front()) {
                progress.event(*event, &phase);
            }
        }
    }

    /// Whether every event has ended. A fault has when it is injected.
    pub(super) fn is_over(&self, world: &World) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
            && !self.apart.iter().any(|(_, id)| world.is_pending(*id))
            && self.evacuations(world).all(|(_, it)| it.is_over())
    }

    /// Faults that were injected and have met nothing so far.
    pub(super) fn unmet(&self, world: &World) -> Vec<usize> {
        let unmet = world.unmet_faults();
        let apart = self.apart.iter().filter(|(_, id)| unmet.contains(id));
        apart.map(|(event, _)| *event).collect()
    }

    /// Updates of firmware that are over, and how they ended.
    pub(super) fn updates<'a>(
        &'a self,
        world: &'a World,
    ) -> impl Iterator<Item = (usize, &'a Result<(), String>)> {
        let event = |id: EventId| self.apart.iter().find(|(_, one)| *one == id);
        world.updates().iter().filter_map(move |(id, done)| Some((event(*id)?.0, done)))
    }

    /// For each report of the world, the event that it is of.
    pub(super) fn ended(&self) -> &[usize] {
        &self.ended
    }

    /// Events that have not ended, in the order of the scenario.
    pub(super) fn missing(&self, world: &World) -> Vec<usize> {
        let apart = self.apart.iter().filter(|(_, id)| world.is_pending(*id));
        let mut missing: Vec<usize> = apart.map(|(event, _)| *event).collect();
        missing.extend(self.waiting.iter().flatten().map(|(event, ..)| *event));
        let open = self.evacuations(world).filter(|(_, it)| !it.is_over());
        missing.extend(open.map(|(event, _)| event));
        missing.sort_unstable();
        missing
    }
}

fn translated(event: &Event, ids: &Ids) -> (world::Trigger, world::Action) {
    let trigger = match event.trigger {
        Trigger::At { ns } => world::Trigger::At(ns),
        Trigger::After { job, instructions } => {
            world::Trigger::After { job: ids.jobs[job.index()], instructions }
        }
    };
    let action = match &event.action {
        Action::Move { vgpu, to, kind, downtime, stop } => world::Action::Move(MoveSpec {
            vgpu: ids.vgpus[vgpu.index()],
            to: ids.hosts[to.index()],
            live: match kind {
                MoveKind::Live => Some(live(*downtime)),
                MoveKind::StopAndCopy => None,
            },
            stop: stop_mode(*stop),
            stop_timeout_ns: stop.timeout_ns,
        }),
        Action::Evacuate(how) => world::Action::Evacuate(EvacuateSpec {
            from: ids.hosts[how.host.index()],
            to: how.to.iter().map(|to| ids.hosts[to.index()]).collect(),
            parallel: how.parallel as usize,
            bandwidth: how.bandwidth,
            live: (how.kind == MoveKind::Live).then(|| live(how.downtime)),
            stop: stop_mode(how.stop),
            stop_timeout_ns: how.stop.timeout_ns,
        }),
        Action::Suspend { vgpu, file, stop, version, key } => world::Action::Suspend(SuspendSpec {
            vgpu: ids.vgpus[vgpu.index()],
            path: file.path.clone(),
            stop: stop_mode(*stop),
            stop_timeout_ns: stop.timeout_ns,
            options: FileOptions { version: *version, key: key_of(key) },
        }),
        Action::Resume { vgpu, file, host, key, keep } => world::Action::Resume(ResumeSpec {
            vgpu: ids.vgpus[vgpu.index()],
            path: file.path.clone(),
            to: ids.hosts[host.index()],
            options: ResumeOptions { key: key_of(key), keep: *keep },
        }),
        Action::Fault { host, fault } => world::Action::Fault(ids.hosts[host.index()], *fault),
        Action::RestartFirmware { host } => world::Action::RestartFirmware(ids.hosts[host.index()]),
        Action::CrashFirmware { host, mishap, instructions } => {
            world::Action::CrashFirmware(ids.hosts[host.index()], *mishap, *instructions)
        }
        Action::UpdateFirmware { host, image, .. } => {
            world::Action::UpdateFirmware(ids.hosts[host.index()], image.clone())
        }
        Action::Schedule { host, how } => world::Action::Schedule(ids.hosts[host.index()], *how),
        Action::Share { vgpu, share } => world::Action::Share(ids.vgpus[vgpu.index()], *share),
    };
    (trigger, action)
}

fn key_of(file: &Option<KeyFile>) -> Option<Arc<SealKey>> {
    file.as_ref().map(|file| file.key.clone())
}

const fn stop_mode(stop: Stop) -> StopMode {
    match stop.mode {
        Some(PreemptMode::Wfi) => StopMode::Wfi,
        Some(PreemptMode::Cta) => StopMode::Cta,
        Some(PreemptMode::Instruction) => StopMode::Instruction,
        None => StopMode::Escalate,
    }
}
