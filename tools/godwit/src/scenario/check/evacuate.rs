//! Evacuations, out of a scenario and from the command line.

use super::events::Course;
use super::stops::{downtime, stop};
use super::{Checker, Span, TIME_NS_MAX, raw};
use crate::scenario::mistake::listed;
use crate::scenario::model::{
    Action, Evacuation, Event, Expect, HostRef, MoveKind, Scenario, Stop, Trigger,
};
use crate::scenario::value::{parse_bytes, parse_time};
use crate::units::{exact_size, exact_time};
use clap::Args;
use godwit_shim::{Downtime, Otherwise};
use godwit_types::PreemptMode;
use toml::Spanned;

/// Moves at a time: as many as a scenario has vGPUs.
const PARALLEL_MAX: u32 = 64;
/// Moves at a time unless something else is said.
const PARALLEL: u32 = 2;
/// Least bytes a second: with fewer the peers of moves would seem to be silent, which they may be
/// for 2 s. One has its turn after a frame of 64 KiB of each of 32 others, a host's whole, in half
/// of that.
const BANDWIDTH_MIN: u64 = 2 << 20;
/// Most bytes a second.
const BANDWIDTH_MAX: u64 = 1 << 40;

impl Course<'_> {
    pub(super) fn evacuate(
        &mut self,
        at: &Span,
        evacuate: &raw::Evacuate,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let host = self.host(at, &evacuate.host, "host", checker);
        let to = self.destinations(host, &evacuate.to, checker);
        let parallel = match &evacuate.parallel {
            Some(count) => checker.count32(count, "parallel", 1, PARALLEL_MAX),
            None => Some(PARALLEL),
        };
        let bandwidth = match &evacuate.bandwidth {
            Some(bytes) if !is_bandwidth(bytes.get_ref().0) => {
                let wrong = format!("`bandwidth` is {} a second", exact_size(bytes.get_ref().0));
                checker.wrong(bytes.span(), wrong, bandwidths())
            }
            Some(bytes) => Some(Some(bytes.get_ref().0)),
            None => Some(None),
        };
        let kind = match evacuate.kind {
            None | Some(raw::MoveKind::Live) => MoveKind::Live,
            Some(raw::MoveKind::StopAndCopy) => MoveKind::StopAndCopy,
        };
        let downtime = downtime(&evacuate.max_downtime, &evacuate.otherwise, kind, checker);
        let stop = stop(evacuate.preempt, evacuate.timeout.as_ref(), checker);
        self.scatter(host?);
        Some(Action::Evacuate(Evacuation {
            host: host?,
            to: to?,
            parallel: parallel?,
            bandwidth: bandwidth?,
            kind,
            downtime: downtime?,
            stop: stop?,
        }))
    }

    /// The hosts that are named, each once, and not the one that is to be empty.
    fn destinations(
        &self,
        host: Option<HostRef>,
        to: &raw::Field<Vec<Spanned<String>>>,
        checker: &mut Checker<'_>,
    ) -> Option<Vec<HostRef>> {
        let Some(list) = to else { return Some(Vec::new()) };
        if list.get_ref().is_empty() {
            let wrong = "`to` is empty, so there is nowhere to go";
            return checker.wrong(list.span(), wrong, "names of hosts, or the key left out");
        }
        let mut found = Vec::new();
        for name in list.get_ref() {
            let to = self.named(name, checker)?;
            if Some(to) == host || found.contains(&to) {
                let wrong = format!("`{}` is where they are, or named before", name.get_ref());
                return checker.wrong(name.span(), wrong, "other hosts, each once");
            }
            found.push(to);
        }
        Some(found)
    }
}

fn is_bandwidth(bytes: u64) -> bool {
    (BANDWIDTH_MIN..=BANDWIDTH_MAX).contains(&bytes)
}

fn bandwidths() -> String {
    format!("{} to {} a second", exact_size(BANDWIDTH_MIN), exact_size(BANDWIDTH_MAX))
}

/// What `godwit evacuate` is told of the evacuation; the rest is as in a scenario.
#[derive(Clone, Debug, Args)]
pub(crate) struct EvacuateOptions {
    /// The host that is to be empty.
    #[arg(long, value_name = "NAME")]
    host: String,
    /// A host to go to; once for each. Without it, all others.
    #[arg(long, value_name = "NAME")]
    to: Vec<String>,
    /// When it begins, in virtual time, such as "3 ms"; a number is nanoseconds.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time)]
    at: u64,
    /// Moves at a time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = PARALLEL,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PARALLEL_MAX))
    )]
    parallel: u32,
    /// What all moves together may put on the links in a second, such as "100 MiB"; a number is
    /// bytes. Without it, as much as the links take.
    #[arg(long, value_name = "BYTES/S", value_parser = bandwidth)]
    bandwidth: Option<u64>,
    /// How long each vGPU may stand still, in milliseconds; where that cannot be kept, it stays.
    #[arg(
        long,
        value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1..=TIME_NS_MAX / 1_000_000)
    )]
    max_downtime: Option<u64>,
}

/// Reads a time of the command line.
fn time(text: &str) -> Result<u64, String> {
    let ns = parse_time(text)?;
    let allowed = || format!("allowed: up to {}", exact_time(TIME_NS_MAX));
    if ns <= TIME_NS_MAX { Ok(ns) } else { Err(allowed()) }
}

/// Reads a rate of the command line.
fn bandwidth(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    if is_bandwidth(bytes) { Ok(bytes) } else { Err(format!("allowed: {}", bandwidths())) }
}

impl EvacuateOptions {
    /// Puts the evacuation behind the scenario's own events.
    ///
    /// # Errors
    ///
    /// When a host is not one of the scenario's, is named twice, or is to take in what it has.
    pub(crate) fn add_to(&self, scenario: &mut Scenario) -> Result<(), String> {
        let host = named(scenario, &self.host)?;
        let mut to = Vec::new();
        for name in &self.to {
            let found = named(scenario, name)?;
            if found == host || to.contains(&found) {
                let wrong = format!("--to `{name}`: it is where they are, or named before");
                return Err(format!("{wrong}; allowed: other hosts, each once"));
            }
            to.push(found);
        }
        let otherwise = Otherwise::GiveUp;
        let bound = |ms: u64| Downtime { max_ns: ms * 1_000_000, otherwise };
        let action = Action::Evacuate(Evacuation {
            host,
            to,
            parallel: self.parallel,
            bandwidth: self.bandwidth,
            kind: MoveKind::Live,
            downtime: self.max_downtime.map(bound),
            stop: Stop {
                mode: Some(PreemptMode::Instruction),
                timeout_ns: super::stops::STOP_TIMEOUT_NS,
            },
        });
        let trigger = Trigger::At { ns: self.at };
        scenario.events.push(Event { trigger, action, expect: Expect::Done, line: None });
        Ok(())
    }
}

fn named(scenario: &Scenario, name: &str) -> Result<HostRef, String> {
    scenario.host_named(name).ok_or_else(|| {
        let names = listed(scenario.hosts.iter().map(|host| host.name.as_str()));
        format!("no host has the name `{name}`; allowed: {names}")
    })
}
