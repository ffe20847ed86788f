//! What is rendered, and who reads it.

mod clients;
mod lint;
mod samples;

use super::render::{ServerCounts, render};
use godwit_control::Histogram;
use lint::lint;
use prometheus_parse::{Scrape, Value};
use samples::{hosts, vgpus};
use std::collections::BTreeSet;

const COUNTS: ServerCounts = ServerCounts { control_clients: 3, refused: 5, events: 8 };

fn scrape(text: &str) -> Scrape {
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// The value of the only series with this name and these labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Value {
    let mut found = scrape.samples.iter().filter(|sample| {
        let has = |(name, value): &(&str, &str)| sample.labels.get(name) == Some(*value);
        sample.metric == name && labels.iter().all(has)
    });
    let sample = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert!(found.next().is_none(), "{name} {labels:?} twice");
    sample.value.clone()
}

/// The same where it is a number.
fn number(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    match value(scrape, name, labels) {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
        other => panic!("{name} {labels:?}: {other:?}"),
    }
}

fn check_histogram(scrape: &Scrape, name: &str, labels: &[(&str, &str)], of: &Histogram) {
    let Value::Histogram(found) = value(scrape, name, labels) else { panic!("{name}") };
    let found: Vec<(f64, f64)> = found.iter().map(|it| (it.less_than, it.count)).collect();
    let buckets = of.buckets.iter().map(|it| (it.le_ns as f64 / 1e9, it.count as f64));
    let expected: Vec<_> = buckets.chain([(f64::INFINITY, of.count as f64)]).collect();
    assert_eq!(found, expected, "{name} {labels:?}");
    assert_eq!(number(scrape, &format!("{name}_count"), labels), of.count as f64);
    assert_eq!(number(scrape, &format!("{name}_sum"), labels), of.sum_ns as f64 / 1e9);
}

#[test]
fn what_is_rendered_is_as_prometheus_wants_it() {
    let full = lint(&render(&hosts(), &vgpus(), &COUNTS));
    assert_eq!(full.len(), 43);
    let empty = lint(&render(&hosts(), &[], &COUNTS));
    assert_eq!(empty.len(), 21, "no vGPU is there, and all else is");
    let nothing = lint(&render(&[], &[], &ServerCounts::default()));
    assert_eq!(nothing.len(), 3);
}

#[test]
fn numbers_of_hosts_are_those_of_their_status() {
    let (hosts, vgpus) = (hosts(), vgpus());
    let scrape = scrape(&render(&hosts, &vgpus, &COUNTS));
    for (at, host) in hosts.iter().enumerate() {
        let gpu = at.to_string();
        let labels = [("gpu", gpu.as_str()), ("host", host.name.as_str())];
        let free = host.framebuffer.free;
        for (name, expected) in [
            ("DEV_FB_TOTAL_bytes", host.framebuffer.total),
            ("DEV_FB_FREE_bytes", free),
            ("DEV_FB_USED_bytes", host.framebuffer.total - free),
            ("DEV_FB_FREE_PIECE_bytes", host.framebuffer.piece),
            ("DEV_BAR_TOTAL_bytes", host.bar.total),
            ("DEV_BAR_FREE_bytes", host.bar.free),
            ("DEV_CHANNELS", host.channels.total),
            ("DEV_CHANNELS_FREE", host.channels.free),
            ("DEV_VGPU_IDS", host.vgpus.total),
            ("DEV_VGPU_IDS_FREE", host.vgpus.free),
            ("DEV_FIRMWARE_LOSSES_total", host.firmware.losses),
            ("DEV_FIRMWARE_LOST", host.firmware.lost.into()),
            ("DEV_FIRMWARE_LOG_LOST_bytes_total", host.firmware.log_lost_bytes),
            ("DEV_SWITCHES_LOST_total", host.firmware.switches_lost),
            ("DEV_VGPUS_CAME_total", host.moves.came),
            ("DEV_VGPUS_GONE_total", host.moves.gone),
            ("DEV_MOVES_FAILED_total", host.moves.failed),
        ] {
            let found = number(&scrape, &format!("GODWIT_FI_{name}"), &labels);
            assert_eq!(found, expected as f64, "{name}");
        }
        let slice = number(&scrape, "GODWIT_FI_DEV_SCHED_SLICE_seconds", &labels);
        assert_eq!(slice, host.slice_ns as f64 / 1e9);
    }
    for (name, expected) in
        [("CONTROL_CLIENTS", 3.0), ("REFUSED_total", 5.0), ("EVENTS_total", 8.0)]
    {
        assert_eq!(number(&scrape, &format!("GODWIT_FI_SERVER_{name}"), &[]), expected);
    }
}

#[test]
fn numbers_of_vgpus_are_those_of_their_status() {
    let vgpus = vgpus();
    let scrape = scrape(&render(&hosts(), &vgpus, &COUNTS));
    let mut optional = Vec::new();
    for vgpu in &vgpus {
        let gfid = vgpu.gfid.to_string();
        let gpu = if vgpu.host == "a" { "0" } else { "1" };
        let labels = [
            ("gpu", gpu),
            ("host", vgpu.host.as_str()),
            ("vgpu", vgpu.name.as_str()),
            ("UUID", vgpu.uuid.as_str()),
            ("gfid", gfid.as_str()),
        ];
        for (name, expected) in [
            ("FB_bytes", vgpu.framebuffer_bytes),
            ("APERTURE_bytes", vgpu.aperture_bytes),
            ("CHANNELS", vgpu.channels.into()),
            ("ATTACHED", vgpu.attached.into()),
            ("MANAGED", vgpu.managed.into()),
            ("WEIGHT", vgpu.share.weight.into()),
            ("FAULTS_total", vgpu.stats.faults),
            ("ABUSES_total", vgpu.stats.abuses),
            ("MOVES_total", vgpu.stats.moves),
            ("MOVES_FAILED_total", vgpu.stats.moves_failed),
        ] {
            let found = number(&scrape, &format!("GODWIT_FI_DEV_VGPU_{name}"), &labels);
            assert_eq!(found, expected as f64, "{name} of {}", vgpu.name);
        }
        for engine in &vgpu.stats.engines {
            let labels = [labels.as_slice(), &[("engine", engine.engine.as_str())]].concat();
            let of =
                |name: &str| number(&scrape, &format!("GODWIT_FI_PROF_ENGINE_{name}"), &labels);
            assert_eq!(of("ACTIVE_ratio"), engine.share);
            assert_eq!(of("BUSY_seconds_total"), engine.busy_ns as f64 / 1e9);
            assert_eq!(of("SWITCHES_total"), engine.switches as f64);
            assert_eq!(of("DEBT_seconds"), engine.debt_ns as f64 / 1e9);
        }
        let stats = &vgpu.stats;
        check_histogram(&scrape, "GODWIT_FI_PROF_SLICE_seconds", &labels, &stats.slices);
        check_histogram(&scrape, "GODWIT_FI_PROF_PREEMPTION_seconds", &labels, &stats.preemptions);
        check_histogram(&scrape, "GODWIT_FI_DEV_VGPU_BLACKOUT_seconds", &labels, &stats.blackouts);
        let profile = ("profile", vgpu.profile.as_deref().unwrap_or(""));
        let info = [labels.as_slice(), &[profile]].concat();
        assert_eq!(number(&scrape, "GODWIT_FI_DEV_VGPU_info", &info), 1.0);
        let state = [labels.as_slice(), &[("state", vgpu.state.as_str())]].concat();
        assert_eq!(number(&scrape, "GODWIT_FI_DEV_VGPU_STATE", &state), 1.0);
        for name in ["PART_ratio", "CAP_ratio", "DIRTY_bytes_per_second"] {
            let name = format!("GODWIT_FI_DEV_VGPU_{name}");
            let mut of_it = scrape.samples.iter().filter(|sample| sample.metric == name);
            let there = of_it.any(|it| it.labels.get("vgpu") == Some(vgpu.name.as_str()));
            optional.push(there.then(|| number(&scrape, &name, &labels)));
        }
    }
    assert_eq!(optional, [Some(0.25), Some(0.5), Some(9e6), None, None, None]);
}

#[test]
fn a_label_can_have_anything_in_it() {
    let mut vgpus = vgpus();
    vgpus[0].state = "a\"b\\c\nd".into();
    let text = render(&hosts(), &vgpus, &COUNTS);
    let line = text.lines().find(|line| line.contains("VGPU_STATE{")).unwrap();
    assert!(line.ends_with(r#",state="a\"b\\c\nd"} 1"#), "{line}");
}

#[test]
fn the_table_has_every_metric_and_no_other() {
    let rendered: BTreeSet<String> =
        lint(&render(&hosts(), &vgpus(), &COUNTS)).into_iter().collect();
    let doc = include_str!("../../METRICS.md");
    let words = doc.split('`').filter(|word| word.starts_with("GODWIT_FI_"));
    let told: Vec<&str> = words.filter(|word| !word.contains('…')).collect();
    assert_eq!(told.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>(), rendered);
    assert_eq!(told.len(), rendered.len(), "one is told of twice");
}
