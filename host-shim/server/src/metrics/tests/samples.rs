//! Hosts and vGPUs, with a number of its own for everything.

use godwit_control::{
    Bucket, EngineStatus, Firmware, Histogram, HostMoves, HostStatus, PolicyName, Room,
    ShareStatus, Sizes, VgpuStats, VgpuStatus,
};

pub(in crate::metrics) fn hosts() -> Vec<HostStatus> {
    [("a", 1), ("b", 1_000)].map(|(name, scale)| host(name, scale)).into()
}

pub(in crate::metrics) fn vgpus() -> Vec<VgpuStatus> {
    let mut full = vgpu("a", "v0", 1, 1);
    full.share = ShareStatus { weight: 7, part: 2_500, cap: 5_000 };
    full.profile = Some("GW512-64Q".into());
    full.stats.dirty_bytes_per_second = Some(9_000_000);
    (full.attached, full.managed) = (true, true);
    vec![full, vgpu("b", "v1", 1, 10_000)]
}

fn host(name: &str, scale: u64) -> HostStatus {
    let room = |at: u64| Room {
        total: scale * (at * 100 + 30),
        free: scale * (at * 100 + 20),
        piece: scale * (at * 100 + 10),
    };
    HostStatus {
        name: name.into(),
        framebuffer: room(1),
        bar: room(2),
        channels: room(3),
        vgpus: room(4),
        policy: PolicyName::BestEffort,
        slice_ns: 2_000_000 * scale,
        averaging: 33,
        sizes: Sizes::Mixed,
        firmware: Firmware {
            losses: 501 * scale,
            lost: scale > 1,
            log_lost_bytes: 502 * scale,
            switches_lost: 503 * scale,
        },
        moves: HostMoves { came: 504 * scale, gone: 505 * scale, failed: 506 * scale },
        profiles: Vec::new(),
    }
}

fn histogram(scale: u64) -> Histogram {
    let buckets = [(50_000, 2 * scale), (2_000_000, 3 * scale), (60_000_000, 9 * scale)];
    let buckets = buckets.map(|(le_ns, count)| Bucket { le_ns, count }).into();
    Histogram { buckets, count: 10 * scale, sum_ns: 123_456_789 * scale }
}

fn vgpu(host: &str, name: &str, gfid: u8, scale: u64) -> VgpuStatus {
    let engine = |engine: &str, at: u64| EngineStatus {
        engine: engine.into(),
        busy_ns: 1_500_000_000 * at * scale,
        share: 0.25 * at as f64,
        debt_ns: 12_500 * at * scale,
        switches: 601 * at * scale,
    };
    VgpuStatus {
        name: name.into(),
        uuid: format!("{gfid:016x}{scale:016x}"),
        host: host.into(),
        gfid,
        state: "RUNNING".into(),
        busy: None,
        profile: None,
        placement: None,
        framebuffer_bytes: 701 * scale,
        framebuffer_base: 0,
        aperture_bytes: 702 * scale,
        aperture_base: 0,
        channels: 8,
        share: ShareStatus { weight: 1, part: 0, cap: 0 },
        attached: false,
        managed: false,
        socket: "/run/a.sock".into(),
        migration_socket: "/run/a.mig".into(),
        stats: VgpuStats {
            engines: vec![engine("compute", 1), engine("copy", 2)],
            slices: histogram(scale),
            preemptions: histogram(2 * scale),
            faults: 801 * scale,
            abuses: 802 * scale,
            moves: 803 * scale,
            moves_failed: 804 * scale,
            blackouts: histogram(3 * scale),
            dirty_bytes_per_second: None,
        },
    }
}
