//! Metrics of a server that runs.

use crate::control::Asker;
use crate::neighbour::Neighbour;
use crate::serving::{ATTACKED, NEIGHBOUR, OTHER, PATIENCE, Serving, wait_until};
use godwit_control::{Histogram, VgpuStatus};
use prometheus_parse::{Scrape, Value};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// What is told of metrics now, over TCP, as Prometheus asks for it.
fn scrape(serving: &Serving) -> Scrape {
    let mut stream = TcpStream::connect(serving.metrics()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Prometheus/3\r\n\
               Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n\r\n";
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; "), "{head}");
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// The value of the only series with these labels.
fn value<'a>(scrape: &'a Scrape, name: &str, labels: &[(&str, &str)]) -> &'a Value {
    let has = |sample: &&prometheus_parse::Sample| {
        let fits = |(name, value): &(&str, &str)| sample.labels.get(name) == Some(*value);
        sample.metric == format!("GODWIT_FI_{name}") && labels.iter().all(fits)
    };
    let mut found = scrape.samples.iter().filter(has);
    let first = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert!(found.next().is_none(), "{name} {labels:?} twice");
    &first.value
}

fn number(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    match value(scrape, name, labels) {
        Value::Counter(value) | Value::Gauge(value) => *value,
        other => panic!("{name}: {other:?}"),
    }
}

fn counts(histogram: &Histogram) -> Vec<f64> {
    let buckets = histogram.buckets.iter().map(|bucket| bucket.count as f64);
    buckets.chain([histogram.count as f64]).collect()
}

/// Holds what was scraped against what the control socket has told before and after.
fn check(scrape: &Scrape, before: &VgpuStatus, after: &VgpuStatus) {
    let gfid = after.gfid.to_string();
    let labels = [("vgpu", after.name.as_str()), ("UUID", &after.uuid), ("gfid", &gfid)];
    let within = |name: &str, labels: &[(&str, &str)], first: f64, last: f64| {
        let found = number(scrape, name, labels);
        assert!((first..=last).contains(&found), "{name}: {first} to {last}, and not {found}");
    };
    let of = |vgpu: &VgpuStatus| (vgpu.framebuffer_bytes, vgpu.channels, vgpu.attached);
    assert_eq!(of(before), of(after));
    assert_eq!(number(scrape, "DEV_VGPU_FB_bytes", &labels), after.framebuffer_bytes as f64);
    assert_eq!(number(scrape, "DEV_VGPU_CHANNELS", &labels), f64::from(after.channels));
    assert_eq!(number(scrape, "DEV_VGPU_ATTACHED", &labels), f64::from(u8::from(after.attached)));
    let (first, last) = (&before.stats, &after.stats);
    within("DEV_VGPU_FAULTS_total", &labels, first.faults as f64, last.faults as f64);
    for (first, last) in first.engines.iter().zip(&last.engines) {
        let labels = [labels.as_slice(), &[("engine", last.engine.as_str())]].concat();
        let (first_s, last_s) = (first.busy_ns as f64 / 1e9, last.busy_ns as f64 / 1e9);
        within("PROF_ENGINE_BUSY_seconds_total", &labels, first_s, last_s);
        let (first, last) = (first.switches as f64, last.switches as f64);
        within("PROF_ENGINE_SWITCHES_total", &labels, first, last);
        within("PROF_ENGINE_ACTIVE_ratio", &labels, 0.0, 1.0);
    }
    let Value::Histogram(found) = value(scrape, "PROF_SLICE_seconds", &labels) else { panic!() };
    let (first, last) = (counts(&first.slices), counts(&last.slices));
    assert_eq!(found.len(), last.len());
    for ((bucket, first), last) in found.iter().zip(first).zip(last) {
        assert!((first..=last).contains(&bucket.count), "{bucket:?}: {first} to {last}");
    }
}

#[test]
fn metrics_say_what_the_control_socket_says() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    let mut neighbour = Neighbour::new(&serving);
    neighbour.finish();
    let before = asker.list();
    let scraped = scrape(&serving);
    let after = asker.list();
    for (before, after) in before.iter().zip(&after) {
        check(&scraped, before, after);
    }
    let names: Vec<&str> = after.iter().map(|vgpu| vgpu.name.as_str()).collect();
    assert_eq!(names, [ATTACKED, NEIGHBOUR]);
    let [idle, busy] = after.as_slice() else { panic!("{after:?}") };
    assert!(busy.stats.engines[0].busy_ns > 1_000_000, "{:?}", busy.stats);
    assert!(busy.stats.slices.count > 0, "{:?}", busy.stats);
    assert_eq!((idle.stats.engines[0].busy_ns, idle.stats.slices.count), (0, 0));
    for (gpu, host) in [("0", "host"), ("1", OTHER)] {
        let total = number(&scraped, "DEV_FB_TOTAL_bytes", &[("gpu", gpu), ("host", host)]);
        assert_eq!(total, f64::from(64 << 20));
    }
    assert_eq!(number(&scraped, "DEV_VGPU_IDS_FREE", &[("host", OTHER)]), 32.0);
    assert_eq!(number(&scraped, "SERVER_CONTROL_CLIENTS", &[]), 1.0);
    assert!(number(&scraped, "SERVER_EVENTS_total", &[]) >= 2.0, "two have connected");
    drop(neighbour);
    serving.stop();
}

#[test]
fn who_asks_for_metrics_and_says_no_more_keeps_nobody_from_being_served() {
    let mut serving = Serving::start();
    let mut neighbour = Neighbour::new(&serving);
    let connect = || {
        let mut stream = TcpStream::connect(serving.metrics()).unwrap();
        stream.write_all(b"GET /met").unwrap();
        stream
    };
    let slow: Vec<TcpStream> = (0..40).map(|_| connect()).collect();
    neighbour.finish();
    serving.wait_for_note("metrics: 16 clients are connected: one is refused");
    drop(slow);
    // There is room as soon as they are gone.
    wait_until("metrics are had", || {
        let mut stream = TcpStream::connect(serving.metrics()).unwrap();
        let mut answer = String::new();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200 OK")
    });
    drop(neighbour);
    serving.stop();
}
