//! What is shown, computed from what a server has said. It reads no clock and draws nothing.

use super::rates::Rates;
use godwit_control::{Event, EventKind, HostStatus, VgpuStatus};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Events that are kept.
const EVENTS_MAX: usize = 500;

/// Something that is new.
#[derive(Clone, Debug)]
pub(super) enum Update {
    /// What there is.
    State {
        /// The vGPUs.
        vgpus: Vec<VgpuStatus>,
        /// The hosts.
        hosts: Vec<HostStatus>,
    },
    /// Something has happened.
    Event(Event),
    /// The server is not there, and why.
    Lost(String),
}

/// Whether what is shown is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing was heard yet.
    Awaited,
    /// It was, so long after the begin.
    Live(Duration),
    /// It is not any more: since when, and why.
    Lost(Duration, String),
}

/// A vGPU, and what was computed of it.
#[derive(Clone, Debug)]
pub(super) struct VgpuRow {
    /// As the server has said.
    pub(super) status: VgpuStatus,
    /// Of late.
    pub(super) rates: Rates,
    /// What was last told of what is done to it, and since when it is.
    pub(super) doing: Option<Doing>,
}

/// What is being done to a vGPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doing {
    /// Since when, after the begin.
    pub(super) since: Duration,
    /// The last event of it.
    pub(super) text: Option<String>,
}

/// See the module. Times are since the begin.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) hosts: Vec<HostStatus>,
    pub(super) vgpus: Vec<VgpuRow>,
    /// The newest last.
    pub(super) events: VecDeque<Event>,
    pub(super) link: Link,
    /// Number and time of the last event.
    last_event: Option<(u64, u64)>,
}

impl Model {
    pub(super) fn new() -> Self {
        let (hosts, vgpus, events) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { hosts, vgpus, events, link: Link::Awaited, last_event: None }
    }

    /// Takes in what is new.
    pub(super) fn take(&mut self, update: Update, now: Duration) {
        match update {
            Update::State { vgpus, hosts } => {
                self.hosts = hosts;
                self.take_vgpus(vgpus, now);
                self.link = Link::Live(now);
            }
            Update::Event(event) => self.take_event(event),
            Update::Lost(why) => {
                self.link = match std::mem::replace(&mut self.link, Link::Awaited) {
                    Link::Lost(since, _) => Link::Lost(since, why),
                    Link::Live(since) => Link::Lost(since, why),
                    Link::Awaited => Link::Lost(now, why),
                }
            }
        }
    }

    fn take_vgpus(&mut self, vgpus: Vec<VgpuStatus>, now: Duration) {
        let before = std::mem::take(&mut self.vgpus).into_iter();
        let mut before: BTreeMap<String, VgpuRow> =
            before.map(|row| (row.status.uuid.clone(), row)).collect();
        self.vgpus = vgpus
            .into_iter()
            .map(|status| {
                let row = before.remove(&status.uuid);
                // What is measured begins anew on another host.
                let same = row.as_ref().is_some_and(|row| row.status.host == status.host);
                let (rates, doing) =
                    row.map_or_else(Default::default, |row| (row.rates, row.doing));
                let mut rates = if same { rates } else { Rates::default() };
                rates.take(&status.stats, now);
                let busy = status.busy.is_some();
                let doing = busy.then(|| doing.unwrap_or(Doing { since: now, text: None }));
                VgpuRow { status, rates, doing }
            })
            .collect();
    }

    fn take_event(&mut self, event: Event) {
        // Who is connected again is told once more what was told before. A server that was started
        // again begins anew with its numbers, at a later time.
        if event.kind != EventKind::Missed {
            let is_known = self
                .last_event
                .is_some_and(|(number, at_ms)| event.number <= number && event.at_ms <= at_ms);
            if is_known {
                return;
            }
            self.last_event = Some((event.number, event.at_ms));
        }
        let of = event.vgpu.as_ref();
        if let Some(row) = self.vgpus.iter_mut().find(|row| Some(&row.status.name) == of)
            && let Some(doing) = &mut row.doing
        {
            doing.text = Some(event.text.clone());
        }
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The engines that vGPUs have, in the order in which they are told.
    pub(super) fn engines(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for engine in self.vgpus.iter().flat_map(|row| &row.status.stats.engines) {
            if !names.contains(&engine.engine.as_str()) {
                names.push(&engine.engine);
            }
        }
        names
    }
}
