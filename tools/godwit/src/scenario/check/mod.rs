//! From what is written to what is meant, with every mistake on the way named.

mod control;
mod costs;
pub(super) mod evacuate;
mod events;
mod faults;
mod files;
mod firmware;
mod hosts;
mod jobs;
mod kernels;
mod launch;
mod lists;
mod programs;
mod service;
mod shares;
mod stops;

pub(super) use service::service;

use super::mistake::{Mistake, ScenarioError, from_toml, line_and_column, listed};
use super::model::Scenario;
use super::raw;
use super::value::{Bytes, Count, Nanos};
use crate::units;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Virtual time that a run may take unless the scenario says otherwise.
const TIME_LIMIT_NS: u64 = 60_000_000_000;
/// Longest virtual time that a scenario may ask for: an hour.
const TIME_NS_MAX: u64 = 3_600_000_000_000;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 32;

/// A place in the text.
type Span = Range<usize>;

/// Reads a scenario's text. Relative paths in it start at `base`; `seed` overrides its own.
pub(super) fn scenario(
    path: &Path,
    text: &str,
    base: &Path,
    seed: Option<u64>,
) -> Result<Scenario, ScenarioError> {
    let wrong = |mistakes| ScenarioError::new(path, text, mistakes);
    let document: raw::Document =
        toml::from_str(text).map_err(|error| wrong(vec![from_toml(&error, text)]))?;
    let mut checker = Checker::new(text, base);
    checker.note_input(path);
    let scenario = document.check(&mut checker, seed);
    match scenario {
        Some(scenario) if checker.mistakes.is_empty() => Ok(scenario),
        _ => Err(wrong(checker.mistakes)),
    }
}

impl raw::Document {
    fn check(&self, checker: &mut Checker<'_>, seed: Option<u64>) -> Option<Scenario> {
        let seed = seed.unwrap_or_else(|| self.seed.as_ref().map_or(0, |seed| seed.get_ref().0));
        let time_limit_ns = match &self.time_limit {
            Some(limit) => checker.time(limit, "time_limit", 1..=TIME_NS_MAX),
            None => Some(TIME_LIMIT_NS),
        };
        let costs = costs::check(self, checker);
        let names = Names::collect(self, checker);
        let hosts = hosts::hosts(&self.host, checker);
        let vgpus = hosts::vgpus(&self.vgpu, 1, &names, checker);
        hosts::capacity(&self.vgpu, &vgpus, &hosts, checker);
        let jobs = jobs::check(&self.job, &names, &vgpus, seed, checker);
        let events = events::check(self, &names, &hosts, &vgpus, checker);
        if !checker.mistakes.is_empty() {
            return None;
        }
        // Only now, since it takes time: what the host must compute itself.
        let jobs =
            jobs::build(&self.job, jobs.into_iter().collect::<Option<_>>()?, &vgpus, checker)?;
        Some(Scenario {
            seed,
            time_limit_ns: time_limit_ns?,
            costs: costs?,
            hosts: hosts.into_iter().collect::<Option<_>>()?,
            vgpus: vgpus.into_iter().collect::<Option<_>>()?,
            jobs,
            events: events.into_iter().collect::<Option<_>>()?,
        })
    }
}

/// Collects mistakes. Whatever gives an `Option` here has noted a mistake when it is `None`.
pub(super) struct Checker<'a> {
    text: &'a str,
    base: &'a Path,
    mistakes: Vec<Mistake>,
    /// Files that the scenario reads, itself among them, by their real paths.
    inputs: Vec<PathBuf>,
    /// Bytes that the files which it names may have yet.
    file_bytes_left: u64,
}

impl<'a> Checker<'a> {
    const fn new(text: &'a str, base: &'a Path) -> Self {
        let file_bytes_left = programs::FILES_BYTES_MAX;
        Self { text, base, mistakes: Vec::new(), inputs: Vec::new(), file_bytes_left }
    }

    /// Notes a mistake.
    fn wrong<T>(
        &mut self,
        span: Span,
        what: impl Into<String>,
        allowed: impl Display,
    ) -> Option<T> {
        self.mistakes.push(Mistake { span, what: what.into(), allowed: allowed.to_string() });
        None
    }

    /// A value that must be there; its absence is a mistake of the table.
    fn required<'f, T>(
        &mut self,
        table: &Span,
        field: &'f raw::Field<T>,
        key: &str,
        allowed: &str,
    ) -> Option<&'f Spanned<T>> {
        if field.is_none() {
            self.wrong::<()>(table.clone(), format!("`{key}` is missing"), allowed);
        }
        field.as_ref()
    }

    /// A whole number in its range.
    fn count(
        &mut self,
        value: &Spanned<Count>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = value.get_ref().0;
        if range.contains(&number) {
            return Some(number);
        }
        let (low, high) = range.into_inner();
        self.wrong(value.span(), format!("`{key}` is {number}"), format!("{low} to {high}"))
    }

    /// A whole number of 32 bits in its range, which must be one of 32 bits.
    fn count32(&mut self, value: &Spanned<Count>, key: &str, low: u32, high: u32) -> Option<u32> {
        let number = self.count(value, key, low.into()..=high.into())?;
        u32::try_from(number).ok()
    }

    /// A time in its range.
    fn time(
        &mut self,
        value: &Spanned<Nanos>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let ns = value.get_ref().0;
        if range.contains(&ns) {
            return Some(ns);
        }
        let (low, high) = range.into_inner();
        let allowed = format!("{} to {}", units::exact_time(low), units::exact_time(high));
        self.wrong(value.span(), format!("`{key}` is {}", units::exact_time(ns)), allowed)
    }

    /// A size: a multiple of `unit`, at least one of it, at most `most`.
    fn size(&mut self, value: &Spanned<Bytes>, key: &str, unit: u64, most: u64) -> Option<u64> {
        let bytes = value.get_ref().0;
        if bytes >= unit && bytes <= most && bytes.is_multiple_of(unit) {
            return Some(bytes);
        }
        let range = format!("{} to {}", units::exact_size(unit), units::exact_size(most));
        let allowed = match unit {
            1 => range,
            _ => format!("{range}, in multiples of {}", units::exact_size(unit)),
        };
        self.wrong(value.span(), format!("`{key}` is {}", units::exact_size(bytes)), allowed)
    }

    /// The line of a place, to refer to from another.
    fn line(&self, span: &Span) -> usize {
        line_and_column(self.text, span.start).0
    }

    /// A path, as the scenario's folder sees it.
    fn path(&self, written: &str) -> PathBuf {
        self.base.join(written)
    }
}

/// The names of a scenario, each found by its place in its list.
pub(super) struct Names<'a> {
    hosts: List<'a>,
    vgpus: List<'a>,
    jobs: List<'a>,
}

/// The names of one kind of thing.
struct List<'a> {
    what: &'static str,
    names: Vec<&'a str>,
    /// Every one is a name and differs from the others.
    sound: bool,
}

impl<'a> Names<'a> {
    fn collect(document: &'a raw::Document, checker: &mut Checker<'_>) -> Self {
        let jobs = document.job.iter().map(|job| (job.span(), &job.get_ref().name));
        let jobs = List::collect("job", jobs, checker);
        Self { jobs, ..Self::of_hosts(&document.host, &document.vgpu, checker) }
    }

    /// The same where there are no jobs.
    fn of_hosts(
        hosts: &'a raw::Tables<raw::Host>,
        vgpus: &'a raw::Tables<raw::Vgpu>,
        checker: &mut Checker<'_>,
    ) -> Self {
        let hosts = hosts.iter().map(|host| (host.span(), &host.get_ref().name));
        let vgpus = vgpus.iter().map(|vgpu| (vgpu.span(), &vgpu.get_ref().name));
        Self {
            hosts: List::collect("host", hosts, checker),
            vgpus: List::collect("vGPU", vgpus, checker),
            jobs: List::collect("job", std::iter::empty(), checker),
        }
    }
}

impl<'a> List<'a> {
    fn collect(
        what: &'static str,
        tables: impl Iterator<Item = (Span, &'a raw::Field<String>)>,
        checker: &mut Checker<'_>,
    ) -> Self {
        let allowed = format!("1 to {NAME_CHARS_MAX} letters, digits, `-` and `_`");
        let mistakes = checker.mistakes.len();
        let mut names: Vec<(&str, Span)> = Vec::new();
        for (table, field) in tables {
            let Some(name) = checker.required(&table, field, "name", &allowed) else { continue };
            let text = name.get_ref().as_str();
            let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if text.is_empty() || text.chars().count() > NAME_CHARS_MAX || !text.chars().all(fine) {
                let wrong = format!("the name of a {what} is no name");
                checker.wrong::<()>(name.span(), wrong, &allowed);
            } else if let Some((_, first)) = names.iter().find(|(known, _)| *known == text) {
                let line = checker.line(first);
                let wrong = format!("line {line} has a {what} with the name `{text}` already");
                checker.wrong::<()>(name.span(), wrong, "each name once");
            }
            names.push((text, name.span()));
        }
        let names = names.into_iter().map(|(name, _)| name).collect();
        Self { what, names, sound: checker.mistakes.len() == mistakes }
    }

    /// The place of a name. Where names are wrong themselves, nothing is said about whoever
    /// uses them.
    fn find(&self, name: &Spanned<String>, checker: &mut Checker<'_>) -> Option<usize> {
        if !self.sound {
            return None;
        }
        let found = self.names.iter().position(|known| known == name.get_ref());
        if found.is_none() {
            let wrong = format!("no {} has the name `{}`", self.what, name.get_ref());
            checker.wrong::<()>(name.span(), wrong, listed(self.names.iter().copied()));
        }
        found
    }
}
