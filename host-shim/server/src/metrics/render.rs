//! From what there is to the text.

use super::family::{Kind, Labels, Scalar, Spread, seconds};
use godwit_control::{EngineStatus, HostStatus, VgpuStats, VgpuStatus};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, TextEncoder};

/// What the server counts of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerCounts {
    /// Who is connected to the control socket.
    pub(crate) control_clients: u64,
    /// Questions and clients that it has refused.
    pub(crate) refused: u64,
    /// Events that it has told.
    pub(crate) events: u64,
}

const HOSTS: &[Scalar<HostStatus>] = &[
    gauge("GODWIT_FI_DEV_FB_TOTAL_bytes", "Framebuffer for vGPUs.", |it| {
        count(it.framebuffer.total)
    }),
    gauge("GODWIT_FI_DEV_FB_FREE_bytes", "Framebuffer that no vGPU has.", |it| {
        count(it.framebuffer.free)
    }),
    gauge("GODWIT_FI_DEV_FB_USED_bytes", "Framebuffer that vGPUs have.", |it| {
        count(it.framebuffer.total - it.framebuffer.free)
    }),
    gauge(
        "GODWIT_FI_DEV_FB_FREE_PIECE_bytes",
        "The largest piece of the framebuffer that is free.",
        |it| count(it.framebuffer.piece),
    ),
    gauge("GODWIT_FI_DEV_BAR_TOTAL_bytes", "BAR for apertures of vGPUs.", |it| count(it.bar.total)),
    gauge("GODWIT_FI_DEV_BAR_FREE_bytes", "BAR that no aperture has.", |it| count(it.bar.free)),
    gauge("GODWIT_FI_DEV_CHANNELS", "Hardware channels.", |it| count(it.channels.total)),
    gauge("GODWIT_FI_DEV_CHANNELS_FREE", "Hardware channels that no vGPU has.", |it| {
        count(it.channels.free)
    }),
    gauge("GODWIT_FI_DEV_VGPU_IDS", "Ids of vGPUs (GFIDs).", |it| count(it.vgpus.total)),
    gauge("GODWIT_FI_DEV_VGPU_IDS_FREE", "Ids that no vGPU has.", |it| count(it.vgpus.free)),
    gauge("GODWIT_FI_DEV_SCHED_SLICE_seconds", "Length of a turn of average length.", |it| {
        Some(seconds(it.slice_ns))
    }),
    counter(
        "GODWIT_FI_DEV_FIRMWARE_LOSSES_total",
        "Times that the firmware ended by itself and was started again.",
        |it| count(it.firmware.losses),
    ),
    gauge(
        "GODWIT_FI_DEV_FIRMWARE_LOST",
        "1: the firmware is given up, and the GPU answers nothing.",
        |it| truth(it.firmware.lost),
    ),
    counter(
        "GODWIT_FI_DEV_FIRMWARE_LOG_LOST_bytes_total",
        "Bytes of the firmware's log that were overwritten before they were read.",
        |it| count(it.firmware.log_lost_bytes),
    ),
    counter(
        "GODWIT_FI_DEV_SWITCHES_LOST_total",
        "Times that a vGPU left an engine and slices and preemptions do not have it.",
        |it| count(it.firmware.switches_lost),
    ),
    counter("GODWIT_FI_DEV_VGPUS_CAME_total", "vGPUs that have come from elsewhere.", |it| {
        count(it.moves.came)
    }),
    counter("GODWIT_FI_DEV_VGPUS_GONE_total", "vGPUs that have gone elsewhere.", |it| {
        count(it.moves.gone)
    }),
    counter(
        "GODWIT_FI_DEV_MOVES_FAILED_total",
        "Moves from this host that did not come to pass.",
        |it| count(it.moves.failed),
    ),
];

const VGPUS: &[Scalar<VgpuStatus>] = &[
    gauge("GODWIT_FI_DEV_VGPU_FB_bytes", "Framebuffer of the vGPU.", |it| {
        count(it.framebuffer_bytes)
    }),
    gauge("GODWIT_FI_DEV_VGPU_APERTURE_bytes", "Aperture of the vGPU, BAR2.", |it| {
        count(it.aperture_bytes)
    }),
    gauge("GODWIT_FI_DEV_VGPU_CHANNELS", "Channels of the vGPU.", |it| count(it.channels.into())),
    gauge("GODWIT_FI_DEV_VGPU_ATTACHED", "1: a virtual machine has the vGPU.", |it| {
        truth(it.attached)
    }),
    gauge("GODWIT_FI_DEV_VGPU_MANAGED", "1: a migration manager is connected.", |it| {
        truth(it.managed)
    }),
    gauge("GODWIT_FI_DEV_VGPU_WEIGHT", "Length of its turns relative to the others'.", |it| {
        count(it.share.weight.into())
    }),
    gauge(
        "GODWIT_FI_DEV_VGPU_PART_ratio",
        "Its fixed part of the engines, where it has one of its own.",
        |it| part(it.share.part),
    ),
    gauge(
        "GODWIT_FI_DEV_VGPU_CAP_ratio",
        "What it may have of the engines at most, where that is not its part.",
        |it| part(it.share.cap),
    ),
    counter("GODWIT_FI_DEV_VGPU_FAULTS_total", "Channels of the vGPU that have faulted.", |it| {
        count(it.stats.faults)
    }),
    counter(
        "GODWIT_FI_DEV_VGPU_ABUSES_total",
        "Interrupts, doorbells, faults or resets that were too many in a window.",
        |it| count(it.stats.abuses),
    ),
    counter(
        "GODWIT_FI_DEV_VGPU_MOVES_total",
        "Moves, suspends and resumes of the vGPU that were carried out.",
        |it| count(it.stats.moves),
    ),
    counter("GODWIT_FI_DEV_VGPU_MOVES_FAILED_total", "Those that did not come to pass.", |it| {
        count(it.stats.moves_failed)
    }),
    gauge(
        "GODWIT_FI_DEV_VGPU_DIRTY_bytes_per_second",
        "What the vGPU wrote between the rounds of its last move, where it had some.",
        |it| it.stats.dirty_bytes_per_second.and_then(count),
    ),
];

/// What a vGPU is in words, which are labels of a 1.
const INFO: Scalar<VgpuStatus> =
    gauge("GODWIT_FI_DEV_VGPU_info", "Profile of the vGPU: always 1.", |_| Some(1.0));
const STATE: Scalar<VgpuStatus> = gauge(
    "GODWIT_FI_DEV_VGPU_STATE",
    "State of a migration that the vGPU is in: 1 of that alone.",
    |_| Some(1.0),
);

const ENGINES: &[Scalar<EngineStatus>] = &[
    gauge(
        "GODWIT_FI_PROF_ENGINE_ACTIVE_ratio",
        "Part of the engine's time that the vGPU had in the last second or so of the GPU's time.",
        |it| Some(it.share),
    ),
    counter(
        "GODWIT_FI_PROF_ENGINE_BUSY_seconds_total",
        "Time of the GPU in which the vGPU had the engine.",
        |it| Some(seconds(it.busy_ns)),
    ),
    counter(
        "GODWIT_FI_PROF_ENGINE_SWITCHES_total",
        "Times that the vGPU has left the engine.",
        |it| count(it.switches),
    ),
    gauge(
        "GODWIT_FI_PROF_ENGINE_DEBT_seconds",
        "What the vGPU had had too much of the engine when it last left it.",
        |it| Some(seconds(it.debt_ns)),
    ),
];

const SPREADS: &[Spread<VgpuStats>] = &[
    Spread {
        name: "GODWIT_FI_PROF_SLICE_seconds",
        help: "How long the vGPU had an engine each time that it left one.",
        value: |it| &it.slices,
    },
    Spread {
        name: "GODWIT_FI_PROF_PREEMPTION_seconds",
        help: "How long it took the vGPU to let go of an engine with work left.",
        value: |it| &it.preemptions,
    },
    Spread {
        name: "GODWIT_FI_DEV_VGPU_BLACKOUT_seconds",
        help: "How long the vGPU stood still in its moves.",
        value: |it| &it.blackouts,
    },
];

const SERVER: &[Scalar<ServerCounts>] = &[
    gauge("GODWIT_FI_SERVER_CONTROL_CLIENTS", "Clients of the control socket.", |it| {
        count(it.control_clients)
    }),
    counter(
        "GODWIT_FI_SERVER_REFUSED_total",
        "Questions and clients that the control socket has refused.",
        |it| count(it.refused),
    ),
    counter("GODWIT_FI_SERVER_EVENTS_total", "Events that the control socket has told.", |it| {
        count(it.events)
    }),
];

const fn gauge<T>(
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> Option<f64>,
) -> Scalar<T> {
    Scalar { name, help, kind: Kind::Gauge, value }
}

const fn counter<T>(
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> Option<f64>,
) -> Scalar<T> {
    Scalar { name, help, kind: Kind::Counter, value }
}

fn count(count: u64) -> Option<f64> {
    Some(count as f64)
}

fn truth(is_so: bool) -> Option<f64> {
    Some(f64::from(u8::from(is_so)))
}

/// Hundredths of a percent, of which 0 says nothing.
fn part(part: u16) -> Option<f64> {
    (part != 0).then(|| f64::from(part) / 10_000.0)
}

/// The text of all metrics.
pub(crate) fn render(hosts: &[HostStatus], vgpus: &[VgpuStatus], counts: &ServerCounts) -> String {
    let numbers: Vec<String> = (0..hosts.len()).map(|number| number.to_string()).collect();
    let gfids: Vec<String> = vgpus.iter().map(|vgpu| vgpu.gfid.to_string()).collect();
    let of_host = |name: &str| {
        let at = hosts.iter().position(|host| host.name == name);
        at.map_or("", |at| numbers[at].as_str())
    };
    let hosts: Vec<(Labels<'_>, &HostStatus)> = hosts
        .iter()
        .map(|host| (vec![("gpu", of_host(&host.name)), ("host", host.name.as_str())], host))
        .collect();
    let vgpus: Vec<(Labels<'_>, &VgpuStatus)> = vgpus
        .iter()
        .zip(&gfids)
        .map(|(vgpu, gfid)| {
            let labels = vec![
                ("gpu", of_host(&vgpu.host)),
                ("host", vgpu.host.as_str()),
                ("vgpu", vgpu.name.as_str()),
                ("UUID", vgpu.uuid.as_str()),
                ("gfid", gfid.as_str()),
            ];
            (labels, vgpu)
        })
        .collect();
    let mut families: Vec<MetricFamily> = Vec::new();
    families.extend(HOSTS.iter().filter_map(|it| it.family(&hosts)));
    families.extend(
        INFO.family(&with(&vgpus, |vgpu| ("profile", vgpu.profile.as_deref().unwrap_or("")))),
    );
    families.extend(STATE.family(&with(&vgpus, |vgpu| ("state", vgpu.state.as_str()))));
    families.extend(VGPUS.iter().filter_map(|it| it.family(&vgpus)));
    families.extend(measured(&vgpus));
    families.extend(SERVER.iter().filter_map(|it| it.family(&[(Vec::new(), counts)])));
    let mut text = Vec::new();
    // Every family has a name and values, and memory takes every byte.
    TextEncoder::new().encode(&families, &mut text).expect("metrics are text");
    String::from_utf8(text).expect("metrics are text")
}

/// The same vGPUs, each with one more label.
fn with<'a>(
    vgpus: &[(Labels<'a>, &'a VgpuStatus)],
    label: impl Fn(&'a VgpuStatus) -> (&'static str, &'a str),
) -> Vec<(Labels<'a>, &'a VgpuStatus)> {
    let add = |(labels, vgpu): &(Labels<'a>, &'a VgpuStatus)| {
        let labels = labels.iter().copied().chain([label(vgpu)]);
        (labels.collect(), *vgpu)
    };
    vgpus.iter().map(add).collect()
}

/// What was measured of vGPUs.
fn measured(vgpus: &[(Labels<'_>, &VgpuStatus)]) -> Vec<MetricFamily> {
    let engines: Vec<(Labels<'_>, &EngineStatus)> = vgpus
        .iter()
        .flat_map(|(labels, vgpu)| {
            vgpu.stats.engines.iter().map(move |engine| {
                let labels = labels.iter().copied().chain([("engine", engine.engine.as_str())]);
                (labels.collect(), engine)
            })
        })
        .collect();
    let stats: Vec<(Labels<'_>, &VgpuStats)> =
        vgpus.iter().map(|(labels, vgpu)| (labels.clone(), &vgpu.stats)).collect();
    let scalars = ENGINES.iter().filter_map(|it| it.family(&engines));
    scalars.chain(SPREADS.iter().filter_map(|it| it.family(&stats))).collect()
}
