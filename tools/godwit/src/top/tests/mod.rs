//! What is computed, and what is drawn of it.

mod drawing;
mod keys;
mod models;

use super::model::{Model, Update};
use godwit_control::{
    Bucket, EngineStatus, Event, EventKind, Firmware, Histogram, HostMoves, HostStatus, PolicyName,
    Room, ShareStatus, Sizes, VgpuStats, VgpuStatus,
};
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn room(total: u64, free: u64) -> Room {
    Room { total, free, piece: free }
}

fn host(name: &str, free_mib: u64) -> HostStatus {
    HostStatus {
        name: name.to_owned(),
        framebuffer: room(512 * MIB, free_mib * MIB),
        bar: room(512 * MIB, free_mib * MIB),
        channels: room(2048, 2000),
        vgpus: room(32, 30),
        policy: PolicyName::EqualShare,
        slice_ns: 2_000_000,
        averaging: 33,
        sizes: Sizes::Mixed,
        firmware: Firmware::default(),
        moves: HostMoves { came: 3, gone: 1, failed: 0 },
        profiles: Vec::new(),
    }
}

/// So many slices, one of a hundred of them long.
fn histogram(count: u64) -> Histogram {
    let bucket = |le_ns, count| Bucket { le_ns, count };
    let buckets = vec![bucket(2_000_000, count - count / 50), bucket(4_000_000, count)];
    Histogram { buckets, count, sum_ns: count * 2_000_000 }
}

fn vgpu(name: &str, host: &str, percent: u8, slices: u64) -> VgpuStatus {
    let share = f64::from(percent) / 100.0;
    let engine = |engine: &str, share: f64| EngineStatus {
        engine: engine.to_owned(),
        busy_ns: slices * 2_000_000,
        share,
        debt_ns: u64::from(percent) * 1_000,
        switches: slices,
    };
    VgpuStatus {
        name: name.to_owned(),
        uuid: format!("{name:0>32}"),
        host: host.to_owned(),
        gfid: 1,
        state: "RUNNING".to_owned(),
        busy: None,
        profile: Some("GW512-64Q".to_owned()),
        placement: Some(4),
        framebuffer_bytes: 64 * MIB,
        framebuffer_base: 0,
        aperture_bytes: 64 * MIB,
        aperture_base: 0,
        channels: 8,
        share: ShareStatus { weight: 1, part: 0, cap: 0 },
        attached: percent > 40,
        managed: false,
        socket: format!("/run/godwit/{name}.sock").into(),
        migration_socket: format!("/run/godwit/{name}.mig").into(),
        stats: VgpuStats {
            engines: vec![engine("compute", share), engine("copy", share / 4.0)],
            slices: histogram(slices),
            preemptions: histogram(slices / 2),
            ..VgpuStats::default()
        },
    }
}

fn event(number: u64, kind: EventKind, vgpu: &str, text: &str) -> Event {
    // 2001-09-09 01:46:40, and a second for each.
    let at_ms = 1_000_000_000_000 + number * 1_000;
    let (vgpu, host) = (Some(vgpu.to_owned()), Some("a".to_owned()));
    Event { number, at_ms, kind, vgpu, host, text: text.to_owned() }
}

/// Two hosts with three vGPUs, one of which moves, after ten seconds.
fn busy_server() -> Model {
    let mut model = Model::new();
    for second in 0..=10 {
        let mut moving = vgpu("v1", "a", 20, second * 50);
        moving.busy = (second > 6).then(|| "migrate".to_owned());
        let vgpus = vec![vgpu("v0", "a", 75, second * 500), moving, vgpu("w0", "b", 50, 700)];
        let hosts = vec![host("a", 384), host("b", 448)];
        model.take(Update::State { vgpus, hosts }, seconds(second));
    }
    let events = [
        event(1, EventKind::Created, "v0", "created"),
        event(2, EventKind::Refused, "v9", "destroy: there is no vGPU `v9`"),
        event(3, EventKind::Began, "v1", "migrates to `b`"),
    ];
    for event in events {
        model.take(Update::Event(event), seconds(8));
    }
    model
}
