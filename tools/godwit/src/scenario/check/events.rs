//! Events, in their order.

use super::hosts::exceeded;
use super::stops::{downtime, stop};
use super::{Checker, Names, Span, TIME_NS_MAX, raw};
use crate::scenario::mistake::listed;
use crate::scenario::model::{
    Action, Event, Expect, Host, HostRef, JobRef, MoveKind, StateFile, Trigger, Vgpu, VgpuRef,
};
use toml::Spanned;

/// Events of a scenario.
const EVENTS_MAX: usize = 256;

/// Where a vGPU is after the events so far.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Host(HostRef),
    /// On a host, and which that is depends on how an evacuation goes.
    SomeHost,
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
        Some(Event { trigger, action, expect, line: Some(checker.line(at)) })
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
        let raw::Event { move_, evacuate, suspend, resume, fault, .. } = event;
        let raw::Event { restart_firmware, crash_firmware, update_firmware, .. } = event;
        let raw::Event { schedule, share, .. } = event;
        let is_there = [
            move_.is_some(),
            evacuate.is_some(),
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
        if let Some(table) = evacuate {
            return self.evacuate(&table.span(), table.get_ref(), checker);
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
        self.named(name, checker)
    }

    pub(super) fn named(
        &self,
        name: &Spanned<String>,
        checker: &mut Checker<'_>,
    ) -> Option<HostRef> {
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

    /// A vGPU that is on a host, and which that is, if it is known.
    fn vgpu_on_host(
        &mut self,
        at: &Span,
        field: &raw::Field<String>,
        checker: &mut Checker<'_>,
    ) -> Option<(VgpuRef, Option<HostRef>)> {
        let vgpu = self.vgpu(at, field, checker)?;
        match self.places.get(vgpu.index())? {
            Place::Host(host) => Some((vgpu, Some(*host))),
            Place::SomeHost => Some((vgpu, None)),
            Place::Unknown => None,
            Place::File(_) => {
                let span = field.as_ref().map_or(at.clone(), Spanned::span);
                checker.wrong(span, "the vGPU is suspended then", "one that is on a host")
            }
        }
    }

    /// Notes that the vGPUs of a host are on others, or where they were.
    pub(super) fn scatter(&mut self, host: HostRef) {
        for place in self.places.iter_mut().filter(|place| **place == Place::Host(host)) {
            *place = Place::SomeHost;
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
        if Some(to) == from {
            return checker.wrong(to_span, "the vGPU is on this host then", "another host");
        }
        self.fits(to_span, vgpu, to, checker)?;
        let kind = match move_.kind {
            None | Some(raw::MoveKind::Live) => MoveKind::Live,
            Some(raw::MoveKind::StopAndCopy) => MoveKind::StopAndCopy,
        };
        let downtime = downtime(&move_.max_downtime, &move_.otherwise, kind, checker)?;
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
                    Place::Host(_) | Place::SomeHost | Place::Unknown => None,
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
        (Action::Evacuate(_), Expect::Failed) => None,
        (Action::Evacuate(_), _) => {
            Some(("an evacuation is done, or fails when a vGPU stays", "`done` or `failed`"))
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
        "evacuate",
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
