//! Exceptions by name. Each allows exactly what is there, so that the list only shrinks.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::Workspace;

use super::measure::{Measure, Subject};

/// Where the exceptions are.
const EXCEPTIONS_PATH: &str = "tools/xtask/tidy.toml";

/// `tidy.toml` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exceptions {
    #[serde(default)]
    exception: Vec<Exception>,
}

/// One thing that may be larger than others of its kind.
#[derive(Clone, Debug, Deserialize)]
struct Exception {
    #[serde(flatten)]
    subject: Subject,
    allowed: usize,
    /// Required, so that nobody lists anything without saying why.
    why: String,
}

impl Exceptions {
    /// Reads `tidy.toml`.
    pub(crate) fn load(workspace: &Workspace) -> Result<Self> {
        Self::parse(&workspace.read(EXCEPTIONS_PATH)?)
            .with_context(|| format!("`{EXCEPTIONS_PATH}` is not understood"))
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.exception.len()
    }

    /// Names what is too large, and every exception that allows more than it must.
    pub(crate) fn judge(&self, measures: &[Measure], problems: &mut Vec<String>) {
        let mut listed: BTreeMap<&Subject, &Exception> = BTreeMap::new();
        for exception in &self.exception {
            let subject = &exception.subject;
            if listed.insert(subject, exception).is_some() {
                problems.push(format!("{EXCEPTIONS_PATH}: {subject} is listed twice"));
            }
            if exception.why.trim().is_empty() {
                problems.push(format!("{EXCEPTIONS_PATH}: {subject} does not say why"));
            }
        }
        for measure in measures {
            let exception = listed.remove(&measure.subject);
            problems.extend(verdict(measure, exception.map(|found| found.allowed)));
        }
        for subject in listed.into_keys() {
            problems.push(format!("{EXCEPTIONS_PATH}: {subject} does not exist; remove the entry"));
        }
    }
}

/// What is wrong with one size, given what an exception allows.
fn verdict(measure: &Measure, allowed: Option<usize>) -> Option<String> {
    let Measure { subject, size, line } = measure;
    let (limit, unit) = (subject.rule.limit(), subject.rule.unit());
    match allowed {
        None if *size <= limit => None,
        None => Some(format!("{subject} (line {line}) has {size} {unit}, and {limit} are allowed")),
        Some(_) if *size <= limit => {
            Some(format!("{EXCEPTIONS_PATH}: {subject} needs no exception; remove the entry"))
        }
        Some(allowed) if *size < allowed => {
            Some(format!("{EXCEPTIONS_PATH}: {subject} has {size} {unit}; lower {allowed} to that"))
        }
        Some(allowed) if *size > allowed => Some(format!(
            "{subject} (line {line}) has {size} {unit}, and its exception allows {allowed}"
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Rule;
    use super::{Exceptions, Measure, Subject};

    const LISTED: &str = "[[exception]]\nrule = \"function\"\npath = \"a.rs\"\nname = \"A::f\"\n\
                          allowed = 90\nwhy = \"It is a table.\"\n";

    fn verdicts(listed: &str, rule: Rule, name: &str, size: usize) -> Vec<String> {
        let subject = Subject { rule, path: "a.rs".into(), name: name.into() };
        let mut problems = Vec::new();
        let exceptions = Exceptions::parse(listed).unwrap();
        exceptions.judge(&[Measure { subject, size, line: 7 }], &mut problems);
        problems
    }

    #[test]
    fn a_function_too_long_is_found() {
        assert_eq!(verdicts("", Rule::Function, "f", 70), [""; 0]);
        assert_eq!(
            verdicts("", Rule::Function, "f", 71),
            ["`f` in `a.rs` (line 7) has 71 lines, and 70 are allowed"]
        );
    }

    #[test]
    fn files_lines_and_roots_have_bounds_of_their_own() {
        for (rule, limit) in [(Rule::File, 500), (Rule::Line, 100), (Rule::Lib, 0)] {
            assert_eq!(verdicts("", rule, "", limit), [""; 0]);
            assert_eq!(verdicts("", rule, "", limit + 1).len(), 1);
        }
    }

    #[test]
    fn an_exception_allows_exactly_what_is_there() {
        assert_eq!(verdicts(LISTED, Rule::Function, "A::f", 90), [""; 0]);
        let grown = verdicts(LISTED, Rule::Function, "A::f", 91);
        assert!(grown[0].ends_with("its exception allows 90"), "{grown:?}");
        let shrunk = verdicts(LISTED, Rule::Function, "A::f", 89);
        assert!(shrunk[0].ends_with("has 89 lines; lower 90 to that"), "{shrunk:?}");
    }

    #[test]
    fn a_stale_exception_is_found() {
        let fits = verdicts(LISTED, Rule::Function, "A::f", 70);
        assert!(fits[0].ends_with("needs no exception; remove the entry"), "{fits:?}");
        let gone = verdicts(LISTED, Rule::Function, "A::g", 1);
        assert!(gone[0].ends_with("does not exist; remove the entry"), "{gone:?}");
    }

    #[test]
    fn an_exception_is_listed_once_and_says_why() {
        let twice = verdicts(&LISTED.repeat(2), Rule::Function, "A::f", 90);
        assert!(twice[0].ends_with("is listed twice"), "{twice:?}");
        let silent = verdicts(&LISTED.replace("It is a table.", " "), Rule::Function, "A::f", 90);
        assert!(silent[0].ends_with("does not say why"), "{silent:?}");
        assert!(Exceptions::parse("[[exception]]\nrule = \"file\"\npath = \"a.rs\"\n").is_err());
    }

    #[test]
    fn the_exceptions_in_use_are_understood() {
        Exceptions::parse(include_str!("../../tidy.toml")).unwrap();
    }
}
