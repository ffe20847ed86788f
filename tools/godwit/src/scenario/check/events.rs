//! Events, in their order.

use super::hosts::exceeded;
use super::stops::{downtime, stop};
use super::{Checker, Names, Span, TIME_NS_MAX, raw};
use crate::scenario::mistake::listed;
use crate::scenario::model::{
    Action, Event, Expect, Host, HostRef, JobRef, MoveKind, StateFile, Trigger, Vgpu, VgpuRef,
};
use crate::scenario::raw::{Engine, FaultKind};
use godwit_sim_gpu::Fault;
use godwit_types::RunlistId;
use toml::Spanned;

/// Events of a scenario.
const EVENTS_MAX: usize = 256;
/// How many times slower than usual a copy can be made.
const FACTOR_MAX: u64 = 1_000_000;

/// Where a vGPU is after the events so far.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Host(HostRef),
    File(StateFile),
    /// A mistake was made, so nothing more is said about it.
    Unknown,
}

/// What the events so far lead to, if each ends as it is expected to.
pub(super) struct Course<'a> {
    names: &'a Names<'a>,
    hosts: &'a [Option<Host>],
    vgpus: &'a [Option<Vgpu>],
    places: Vec<Place>,
}

/// Reads the events. Those of one vGPU happen in their order in the file.
pub(super) fn check(
    document: &raw::Document,
    names: &Names<'_>,
    hosts: &[Option<Host>],
    vgpus: &[Option<Vgpu>],
    checker: &mut Checker<'_>,
) -> Vec<Option<Event>> {
    let tables = &document.event;
    if let Some(table) = tables.get(EVENTS_MAX) {
        let wrong = format!("there are {} `[[event]]`", tables.len());
        checker.wrong::<()>(table.span(), wrong, format!("up to {EVENTS_MAX}"));
    }
    let place = |vgpu: &Option<Vgpu>| match vgpu {
        Some(vgpu) => Place::Host(vgpu.host),
        None => Place::Unknown,
    };
    let places = vgpus.iter().map(place).collect();
    let mut course = Course { names, hosts, vgpus, places };
    tables.iter().map(|table| course.event(&table.span(), table.get_ref(), checker)).collect()
}

impl Course<'_> {
    fn event(&mut self, at: &Span, event: &raw::Event, checker: &mut Checker<'_>) -> Option<Event> {
        let trigger = self.trigger(at, event, checker);
        let expect = match event.expect.as_ref().map(|expect| *expect.get_ref()) {
            None | Some(raw::Expect::Done) => Expect::Done,
            Some(raw::Expect::Refused) => Expect::Refused,
            Some(raw::Expect::Failed) => Expect::Failed,
            Some(raw::Expect::Unmet) => Expect::Unmet,
        };
        let action = self.action(at, event, expect, checker);
        if action.is_none() {
            self.places.fill(Place::Unknown);
        }
        let (trigger, action) = (trigger?, action?);
        if let Some(written) = &event.expect
            && let Some((wrong, allowed)) = impossible(&action, expect)
        {
            return checker.wrong(written.span(), wrong, allowed);
        }
        Some(Event { trigger, action, expect, line: checker.line(at) })
    }

    fn trigger(&self, at: &Span, event: &raw::Event, checker: &mut Checker<'_>) -> Option<Trigger> {
        match (&event.at, &event.after) {
            (Some(time), None) => {
                let ns = checker.time(time, "at", 0..=TIME_NS_MAX)?;
                Some(Trigger::At { ns })
            }
            (None, Some(table)) => {
                let (after, span) = (table.get_ref(), table.span());
                let job = checker
                    .required(&span, &after.job, "job", "the name of a job")
                    .and_then(|name| self.names.jobs.find(name, checker));
                let instructions = checker
                    .required(&span, &after.instructions, "instructions", "a whole number")
                    .and_then(|count| checker.count(count, "instructions", 1..=u64::MAX));
                Some(Trigger::After { job: JobRef(job?), instructions: instructions? })
            }
            (time, _) => {
                let what = if time.is_some() { "both `at` and" } else { "neither `at` nor" };
                checker.wrong(at.clone(), format!("the event has {what} `after`"), "one of them")
            }
        }
    }

    fn action(
        &mut self,
        at: &Span,
        event: &raw::Event,
        expect: Expect,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let raw::Event { move_, suspend, resume, fault, .. } = event;
        let raw::Event { restart_firmware, crash_firmware, update_firmware, .. } = event;
        let raw::Event { schedule, share, .. } = event;
        let is_there = [
            move_.is_some(),
            suspend.is_some(),
            resume.is_some(),
            fault.is_some(),
            restart_firmware.is_some(),
            crash_firmware.is_some(),
            update_firmware.is_some(),
            schedule.is_some(),
            share.is_some(),
        ];
        match is_there.into_iter().filter(|it| *it).count() {
            0 => return checker.wrong(at.clone(), "the event does nothing", one_action()),
            1 => {}
            _ => return checker.wrong(at.clone(), "the event does several things", one_action()),
        }
        if let Some(table) = move_ {
            return self.move_(&table.span(), table.get_ref(), expect, checker);
        }
        if let Some(table) = suspend {
            return self.suspend(&table.span(), table.get_ref(), expect, checker);
        }
        if let Some(table) = resume {
            return self.resume(&table.span(), table.get_ref(), expect, checker);
        }
        if let Some(table) = fault {
            return self.fault(&table.span(), table.get_ref(), checker);
        }
        if let Some(table) = restart_firmware {
            return self.restart_firmware(&table.span(), table.get_ref(), checker);
        }
        if let Some(table) = crash_firmware {
            return self.crash_firmware(&table.span(), table.get_ref(), checker);
        }
        if let Some(table) = schedule {
            return self.schedule(&table.span(), table.get_ref(), checker);
        }
        if let Some(table) = share {
            return self.share(&table.span(), table.get_ref(), checker);
        }
        let table = update_firmware.as_ref()?;
        self.update_firmware(&table.span(), table.get_ref(), checker)
    }

    pub(super) fn host(
        &self,
        at: &Span,
        field: &raw::Field<String>,
        key: &str,
        checker: &mut Checker<'_>,
    ) -> Option<HostRef> {
        let name = checker.required(at, field, key, "the name of a host")?;
        self.names.hosts.find(name, checker).map(HostRef)
    }

    pub(super) fn vgpu(
        &self,
        at: &Span,
        field: &raw::Field<String>,
        checker: &mut Checker<'_>,
    ) -> Option<VgpuRef> {
        let name = checker.required(at, field, "vgpu", "the name of a vGPU")?;
        self.names.vgpus.find(name, checker).map(VgpuRef)
    }

    /// A vGPU that is on a host, and which that is.
    fn vgpu_on_host(
        &mut self,
        at: &Span,
        field: &raw::Field<String>,
        checker: &mut Checker<'_>,
    ) -> Option<(VgpuRef, HostRef)> {
        let vgpu = self.vgpu(at, field, checker)?;
        match self.places.get(vgpu.index())? {
            Place::Host(host) => Some((vgpu, *host)),
            Place::Unknown => None,
            Place::File(_) => {
                let span = field.as_ref().map_or(at.clone(), Spanned::span);
                checker.wrong(span, "the vGPU is suspended then", "one that is on a host")
            }
        }
    }

    /// Notes where a vGPU is after an event.
    fn put(&mut self, vgpu: VgpuRef, place: Place, expect: Expect) {
        if let Some(slot) = self.places.get_mut(vgpu.index())
            && expect == Expect::Done
        {
            *slot = place;
        }
    }

    /// Checks that a vGPU fits a host at all; who else is there is only known when it comes.
    fn fits(
        &self,
        at: Span,
        vgpu: VgpuRef,
        host: HostRef,
        checker: &mut Checker<'_>,
    ) -> Option<()> {
        let vgpu = self.vgpus.get(vgpu.index())?.as_ref()?;
        let host = self.hosts.get(host.index())?.as_ref()?;
        match exceeded(&vgpu.profile, host, &[]) {
            None => Some(()),
            Some(why) => {
                let wrong = format!("`{}` does not fit `{}`: {why}", vgpu.name, host.name);
                checker.wrong(at, wrong, "a host that is large enough")
            }
        }
    }

    fn move_(
        &mut self,
        at: &Span,
        move_: &raw::Move,
        expect: Expect,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let vgpu = self.vgpu_on_host(at, &move_.vgpu, checker);
        let to = self.host(at, &move_.to, "to", checker);
        let stop = stop(move_.preempt, move_.timeout.as_ref(), checker);
        let (vgpu, from) = vgpu?;
        let to_span = move_.to.as_ref().map_or(at.clone(), Spanned::span);
        self.put(vgpu, to.map_or(Place::Unknown, Place::Host), expect);
        let to = to?;
        if to == from {
            return checker.wrong(to_span, "the vGPU is on this host then", "another host");
        }
        self.fits(to_span, vgpu, to, checker)?;
        let kind = match move_.kind {
            None | Some(raw::MoveKind::Live) => MoveKind::Live,
            Some(raw::MoveKind::StopAndCopy) => MoveKind::StopAndCopy,
        };
        let downtime = downtime(move_, kind, checker)?;
        Some(Action::Move { vgpu, to, kind, downtime, stop: stop? })
    }

    fn suspend(
        &mut self,
        at: &Span,
        suspend: &raw::Suspend,
        expect: Expect,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let vgpu = self.vgpu_on_host(at, &suspend.vgpu, checker);
        let file = checker
            .required(at, &suspend.file, "file", "the path of a file to write")
            .and_then(|file| self.file_to_write(file, checker));
        let stop = stop(suspend.preempt, suspend.timeout.as_ref(), checker);
        let version = checker.stream_version(&suspend.version);
        let key = checker.key_file(&suspend.key_file);
        let (vgpu, _) = vgpu?;
        let place = file.clone().map_or(Place::Unknown, Place::File);
        self.put(vgpu, place, expect);
        Some(Action::Suspend { vgpu, file: file?, stop: stop?, version: version?, key: key? })
    }

    fn file_to_write(
        &self,
        file: &Spanned<String>,
        checker: &mut Checker<'_>,
    ) -> Option<StateFile> {
        let found = checker.file_to_write(file)?;
        if self.holder(&found).is_some() {
            let wrong = format!("`{}` holds a suspended vGPU then", found.shown);
            return checker.wrong(file.span(), wrong, "a file for each");
        }
        Some(found)
    }

    /// The vGPU that is in a file, whatever the file is called.
    fn holder(&self, file: &StateFile) -> Option<VgpuRef> {
        let is_there = |place: &Place| matches!(place, Place::File(held) if held.path == file.path);
        self.places.iter().position(is_there).map(VgpuRef)
    }

    fn resume(
        &mut self,
        at: &Span,
        resume: &raw::Resume,
        expect: Expect,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let file = checker.required(at, &resume.file, "file", "the path of a suspended vGPU");
        let host = self.host(at, &resume.host, "host", checker);
        let key = checker.key_file(&resume.key_file);
        let file = file?;
        let found = checker.state_file(file.get_ref());
        let held = found.and_then(|found| Some((self.holder(&found)?, found)));
        let Some((vgpu, found)) = held else {
            if !self.places.contains(&Place::Unknown) {
                let suspended = self.places.iter().filter_map(|place| match place {
                    Place::File(held) => Some(held.shown.as_str()),
                    Place::Host(_) | Place::Unknown => None,
                });
                let allowed = listed(suspended);
                let wrong = format!("no vGPU is suspended to `{}` then", file.get_ref());
                checker.wrong::<()>(file.span(), wrong, allowed);
            }
            return None;
        };
        if let Some(name) = &resume.vgpu
            && self.names.vgpus.find(name, checker)? != vgpu.index()
        {
            let wrong = format!("`{}` holds another vGPU then", file.get_ref());
            let holds = self.names.vgpus.names.get(vgpu.index()).copied();
            return checker.wrong(name.span(), wrong, listed(holds.into_iter()));
        }
        let host = host?;
        self.put(vgpu, Place::Host(host), expect);
        let host_at = resume.host.as_ref().map_or(at.clone(), Spanned::span);
        self.fits(host_at, vgpu, host, checker)?;
        let keep = resume.keep.unwrap_or(false);
        Some(Action::Resume { vgpu, file: found, host, key: key?, keep })
    }

    fn fault(&self, at: &Span, fault: &raw::Fault, checker: &mut Checker<'_>) -> Option<Action> {
        let host = self.host(at, &fault.host, "host", checker);
        let kinds = "`ack-lost`, `ack-late`, `ack-doubled`, `ack-wrong`, `engine-hang`, \
                     `copy-error`, `copy-bad-crc`, `copy-slow`, `bar-stuck`";
        let kind = *checker.required(at, &fault.kind, "kind", kinds)?.get_ref();
        let uses = uses(kind);
        let delay = match uses.delay {
            true => checker
                .required(at, &fault.delay, "delay", "a time such as \"1 ms\"")
                .and_then(|time| checker.time(time, "delay", 1..=TIME_NS_MAX)),
            false => unused(fault.delay.as_ref(), "delay", checker).map(|()| 0),
        };
        let factor = match uses.factor {
            true => checker
                .required(at, &fault.factor, "factor", "how many times slower")
                .and_then(|count| checker.count(count, "factor", 2..=FACTOR_MAX)),
            false => unused(fault.factor.as_ref(), "factor", checker).map(|()| 0),
        };
        let engine = match uses.engine {
            true => checker
                .required(at, &fault.engine, "engine", "`compute` or `copy`")
                .map(|engine| runlist(*engine.get_ref())),
            false => unused(fault.engine.as_ref(), "engine", checker).map(|()| RunlistId::COMPUTE),
        };
        let fault = made(kind, engine?, delay?, factor?);
        Some(Action::Fault { host: host?, fault })
    }
}

/// Says what is wrong when no such event can end so, and how it can.
fn impossible(action: &Action, expect: Expect) -> Option<(&'static str, &'static str)> {
    match (action, expect) {
        (_, Expect::Done)
        | (Action::Fault { .. } | Action::CrashFirmware { .. }, Expect::Unmet)
        | (Action::UpdateFirmware { .. }, Expect::Failed)
        | (
            Action::Move { .. } | Action::Suspend { .. } | Action::Resume { .. },
            Expect::Refused | Expect::Failed,
        ) => None,
        (Action::Fault { .. } | Action::CrashFirmware { .. }, Expect::Refused | Expect::Failed) => {
            Some(("a fault can neither be refused nor fail", "`done` or `unmet`"))
        }
        (Action::UpdateFirmware { .. }, _) => {
            Some(("an update can be done or fail", "`done` or `failed`"))
        }
        (Action::Schedule { .. } | Action::Share { .. }, _) => {
            Some(("a change of shares can neither be refused nor fail", "`done`"))
        }
        (Action::RestartFirmware { .. }, _) => {
            Some(("a restart can neither be refused nor fail", "`done`"))
        }
        (_, Expect::Unmet) => {
            Some(("only a fault can meet nothing", "`done`, `refused`, `failed`"))
        }
    }
}

fn one_action() -> String {
    let actions = [
        "move",
        "suspend",
        "resume",
        "fault",
        "restart_firmware",
        "crash_firmware",
        "update_firmware",
        "schedule",
        "share",
    ];
    format!("one of {}", listed(actions.into_iter()))
}

/// Which keys a kind of fault has besides its host.
struct Uses {
    engine: bool,
    delay: bool,
    factor: bool,
}

const fn uses(kind: FaultKind) -> Uses {
    let (engine, delay, factor) = match kind {
        FaultKind::AckLost
        | FaultKind::AckDoubled
        | FaultKind::AckWrong
        | FaultKind::EngineHang => (true, false, false),
        FaultKind::AckLate => (true, true, false),
        FaultKind::CopyError | FaultKind::CopyBadCrc => (false, false, false),
        FaultKind::CopySlow => (false, false, true),
        FaultKind::BarStuck => (false, true, false),
    };
    Uses { engine, delay, factor }
}

/// Checks that a key is not there.
fn unused<T>(field: Option<&Spanned<T>>, key: &str, checker: &mut Checker<'_>) -> Option<()> {
    match field {
        None => Some(()),
        Some(value) => {
            let wrong = format!("this kind of fault has no `{key}`");
            checker.wrong(value.span(), wrong, "the key left out")
        }
    }
}

const fn runlist(engine: Engine) -> RunlistId {
    match engine {
        Engine::Compute => RunlistId::COMPUTE,
        Engine::Copy => RunlistId::COPY,
    }
}

const fn made(kind: FaultKind, engine: RunlistId, delay_ns: u64, factor: u64) -> Fault {
    match kind {
        FaultKind::AckLost => Fault::AckLost(engine),
        FaultKind::AckLate => Fault::AckLate(engine, delay_ns),
        FaultKind::AckDoubled => Fault::AckDoubled(engine),
        FaultKind::AckWrong => Fault::AckWrong(engine),
        FaultKind::EngineHang => Fault::EngineHang(engine),
        FaultKind::CopyError => Fault::CopyError,
        FaultKind::CopyBadCrc => Fault::CopyBadCrc,
        FaultKind::CopySlow => Fault::CopySlow(factor),
        FaultKind::BarStuck => Fault::BarStuckNs(delay_ns),
    }
}
