//! What `promtool check metrics` looks for, and what a scrape fails by.

use prometheus_parse::{LineInfo, SampleType};
use std::collections::{BTreeMap, BTreeSet};

/// Units that are not the base units, and abbreviations of units.
const OTHER_UNITS: &[&str] = &[
    "ns",
    "us",
    "ms",
    "s",
    "sec",
    "min",
    "nanoseconds",
    "microseconds",
    "milliseconds",
    "minutes",
    "hours",
    "b",
    "kb",
    "mb",
    "gb",
    "kib",
    "mib",
    "gib",
    "kilobytes",
    "megabytes",
    "bits",
    "percent",
    "hz",
];

#[derive(Default)]
struct Family {
    kind: Option<SampleType>,
    /// Buckets of each series: bounds and counts, in their order.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    sums: BTreeSet<String>,
    counts: BTreeMap<String, f64>,
    samples: usize,
}

/// Fails where something is not as it should be. The names of the metrics, in order.
pub(super) fn lint(text: &str) -> Vec<String> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let (mut names, mut family) = (Vec::<String>::new(), Family::default());
    let mut series = BTreeSet::new();
    let mut helped = None;
    for line in text.lines() {
        match LineInfo::parse(line) {
            LineInfo::Doc { metric_name, doc } => {
                assert!(!doc.trim().is_empty(), "{line}");
                finish(names.last(), &family);
                helped = Some(metric_name.to_owned());
                family = Family::default();
            }
            LineInfo::Type { metric_name, metric_alias, sample_type } => {
                let name = metric_alias.unwrap_or(metric_name);
                assert_eq!(helped.take().as_ref(), Some(&name), "a help comes first: {line}");
                assert!(!names.contains(&name), "{name} comes twice");
                check_name(&name, sample_type);
                family.kind = Some(sample_type);
                names.push(name);
            }
            LineInfo::Sample { metric_name, labels, value, timestamp } => {
                assert_eq!(timestamp, None, "{line}");
                let labels = labels.unwrap_or("");
                check_labels(labels);
                assert!(series.insert((metric_name.to_owned(), labels.to_owned())), "{line}");
                let name = names.last().expect("a type comes first");
                let suffix = metric_name.strip_prefix(name.as_str()).expect("of another metric");
                family.take(suffix, labels, value.parse().unwrap());
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    finish(names.last(), &family);
    names
}

impl Family {
    fn take(&mut self, suffix: &str, labels: &str, value: f64) {
        assert!(value >= 0.0 && value.is_finite(), "{suffix} {labels}: {value}");
        self.samples += 1;
        match (suffix, self.kind) {
            ("", Some(SampleType::Counter | SampleType::Gauge)) => {}
            ("_bucket", Some(SampleType::Histogram)) => {
                let (of, bound) = labels.rsplit_once("le=\"").unwrap();
                let bound = bound.strip_suffix('"').unwrap().replace("+Inf", "inf");
                let of = of.trim_end_matches(',').to_owned();
                self.buckets.entry(of).or_default().push((bound.parse().unwrap(), value));
            }
            ("_sum", Some(SampleType::Histogram)) => {
                self.sums.insert(labels.to_owned());
            }
            ("_count", Some(SampleType::Histogram)) => {
                self.counts.insert(labels.to_owned(), value);
            }
            other => panic!("{other:?} {labels}"),
        }
    }
}

fn finish(name: Option<&String>, family: &Family) {
    let Some(name) = name else { return };
    assert!(family.samples > 0, "{name} has no value");
    assert_eq!(family.buckets.len(), family.counts.len(), "{name}");
    assert_eq!(family.buckets.len(), family.sums.len(), "{name}");
    for (labels, buckets) in &family.buckets {
        let grows = buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1);
        assert!(grows, "{name} {labels}: {buckets:?}");
        assert!(buckets.len() > 1 && family.sums.contains(labels), "{name} {labels}");
        let (bound, last) = buckets.last().unwrap();
        assert!(bound.is_infinite(), "{name} {labels}");
        assert_eq!(Some(last), family.counts.get(labels), "{name} {labels}");
    }
}

fn is_name(name: &str, more: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
    name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(fine)
}

fn check_name(name: &str, kind: SampleType) {
    assert!(is_name(name, ":"), "{name}");
    assert!(name.starts_with("GODWIT_FI_"), "{name}");
    assert_eq!(name.ends_with("_total"), kind == SampleType::Counter, "{name}: {kind:?}");
    for suffix in ["_sum", "_count", "_bucket"] {
        assert!(!name.ends_with(suffix), "{name} is no part of a histogram");
    }
    let words = name.split('_').map(str::to_lowercase);
    for word in words {
        assert!(!OTHER_UNITS.contains(&word.as_str()), "{name}: {word} is no base unit");
        let kinds = ["counter", "gauge", "histogram", "summary"];
        assert!(!kinds.contains(&word.as_str()), "{name}: its type is told beside it");
    }
    if kind == SampleType::Histogram {
        assert!(name.ends_with("_seconds"), "{name}");
    }
    // Units are in small letters, and no word has both kinds.
    let mixed = |word: &str| {
        word.contains(|c: char| c.is_lowercase()) && word.contains(|c: char| c.is_uppercase())
    };
    assert!(!name.split('_').any(mixed), "{name}");
}

fn check_labels(labels: &str) {
    if labels.is_empty() {
        return;
    }
    let mut names = BTreeSet::new();
    for label in labels.split("\",") {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
        assert!(is_name(name, "") && !name.starts_with("__"), "{labels}");
        assert!(names.insert(name), "{labels}: {name} comes twice");
        // One that is empty is none.
        assert!(!value.trim_end_matches('"').is_empty() || name == "profile", "{labels}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    let wrong = |text: &str| {
        let text = text.to_owned();
        assert!(std::panic::catch_unwind(|| lint(&text)).is_err(), "{text}");
    };
    let head = "# HELP GODWIT_FI_A_total x\n# TYPE GODWIT_FI_A_total counter\n";
    lint(&format!("{head}GODWIT_FI_A_total 1\n"));
    wrong(&format!("{head}GODWIT_FI_A_total 1"));
    wrong(head);
    wrong(&format!("{head}GODWIT_FI_A_total 1\nGODWIT_FI_A_total 1\n"));
    wrong(&format!("{head}GODWIT_FI_B_total 1\n"));
    wrong(&format!("{head}GODWIT_FI_A_total{{a=\"1\",a=\"2\"}} 1\n"));
    wrong(&format!("{head}GODWIT_FI_A_total 1\n{head}GODWIT_FI_A_total{{a=\"1\"}} 1\n"));
    wrong("# TYPE GODWIT_FI_A_total counter\nGODWIT_FI_A_total 1\n");
    for (name, kind) in
        [("A", "counter"), ("A_total", "gauge"), ("A_ms", "gauge"), ("A_count", "gauge")]
    {
        let name = format!("GODWIT_FI_{name}");
        wrong(&format!("# HELP {name} x\n# TYPE {name} {kind}\n{name} 1\n"));
    }
    let name = "GODWIT_FI_A_seconds";
    let head = format!("# HELP {name} x\n# TYPE {name} histogram\n");
    let histogram = |buckets: [u32; 2], count: u32| {
        let [first, last] = buckets;
        format!(
            "{head}{name}_bucket{{le=\"1\"}} {first}\n{name}_bucket{{le=\"+Inf\"}} {last}\n\
             {name}_sum 1\n{name}_count {count}\n"
        )
    };
    lint(&histogram([1, 2], 2));
    wrong(&histogram([1, 2], 3));
    wrong(&histogram([3, 2], 2));
}
