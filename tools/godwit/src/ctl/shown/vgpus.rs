//! vGPUs.

use super::{facts, or_dash};
use crate::ctl::measure::quantile;
use crate::table::table;
use crate::units::{about_count, about_size, about_time, exact_size};
use godwit_control::{EngineStatus, Histogram, ShareStatus, VgpuStats, VgpuStatus};

/// All of them, a line each.
pub(super) fn list(all: &[VgpuStatus]) -> String {
    if all.is_empty() {
        return "there are no vGPUs\n".to_owned();
    }
    let header = [
        "vGPU",
        "host",
        "profile",
        "framebuffer",
        "state",
        "what is done",
        "machine",
        "compute engine",
        "copy engine",
    ];
    let mut table = table(&header, 7..9, None);
    for vgpu in all {
        table.add_row([
            vgpu.name.clone(),
            vgpu.host.clone(),
            or_dash(vgpu.profile.as_ref()),
            exact_size(vgpu.framebuffer_bytes),
            vgpu.state.clone(),
            or_dash(vgpu.busy.as_ref()),
            if vgpu.attached { "attached" } else { "-" }.to_owned(),
            part_of(&vgpu.stats, "compute"),
            part_of(&vgpu.stats, "copy"),
        ]);
    }
    format!("{table}\n")
}

/// Which part of an engine's time it had of late.
fn part_of(stats: &VgpuStats, engine: &str) -> String {
    let found = stats.engines.iter().find(|it| it.engine == engine);
    or_dash(found.map(|it| format!("{:.2} %", it.share * 100.0)))
}

/// All that is known of one.
pub(super) fn one(vgpu: &VgpuStatus) -> String {
    let stats = &vgpu.stats;
    let mut parts = vec![facts("vGPU", &vgpu.name, &status(vgpu))];
    if !stats.engines.is_empty() {
        parts.push(engines(&stats.engines));
    }
    parts.push(measured(stats));
    parts.push(facts("counted", "", &counted(stats)));
    parts.join("\n\n") + "\n"
}

fn status(vgpu: &VgpuStatus) -> Vec<(&'static str, String)> {
    let bytes_at = |bytes, base| format!("{} at {base:#x}", exact_size(bytes));
    vec![
        ("uuid", vgpu.uuid.clone()),
        ("host", vgpu.host.clone()),
        ("id on the GPU", vgpu.gfid.to_string()),
        ("state", vgpu.state.clone()),
        ("what is done", or_dash(vgpu.busy.as_ref())),
        ("profile", or_dash(vgpu.profile.as_ref())),
        ("placement", or_dash(vgpu.placement)),
        ("framebuffer", bytes_at(vgpu.framebuffer_bytes, vgpu.framebuffer_base)),
        ("aperture", bytes_at(vgpu.aperture_bytes, vgpu.aperture_base)),
        ("channels", vgpu.channels.to_string()),
        ("due", due(&vgpu.share)),
        ("machine", if vgpu.attached { "attached" } else { "none" }.to_owned()),
        ("migration manager", if vgpu.managed { "connected" } else { "none" }.to_owned()),
        ("socket", vgpu.socket.display().to_string()),
        ("migration socket", vgpu.migration_socket.display().to_string()),
    ]
}

fn due(share: &ShareStatus) -> String {
    let percent = |part: u16| format!("{:.2} %", f64::from(part) / 100.0);
    let part = match share.part {
        0 => "as its framebuffer is of the host's".to_owned(),
        part => percent(part),
    };
    let cap = match share.cap {
        0 => String::new(),
        cap => format!(", up to {} of what others leave", percent(cap)),
    };
    format!("weight {}; of fixed shares {part}{cap}", share.weight)
}

fn engines(all: &[EngineStatus]) -> String {
    let mut table = table(&["engine", "share", "had it", "debt", "switches"], 1..5, None);
    for it in all {
        table.add_row([
            it.engine.clone(),
            format!("{:.2} %", it.share * 100.0),
            about_time(it.busy_ns),
            about_time(it.debt_ns),
            about_count(it.switches),
        ]);
    }
    table.to_string()
}

fn measured(stats: &VgpuStats) -> String {
    let mut table = table(&["measured", "count", "mean", "p50", "p99"], 1..5, None);
    let all: [(&str, &Histogram); 3] = [
        ("slices", &stats.slices),
        ("preemptions", &stats.preemptions),
        ("standstills of moves", &stats.blackouts),
    ];
    for (what, histogram) in all {
        table.add_row([
            what.to_owned(),
            about_count(histogram.count),
            or_dash(histogram.sum_ns.checked_div(histogram.count).map(about_time)),
            or_dash(quantile(histogram, 50)),
            or_dash(quantile(histogram, 99)),
        ]);
    }
    table.to_string()
}

fn counted(stats: &VgpuStats) -> Vec<(&'static str, String)> {
    let per_second = |bytes| format!("{} a second", about_size(bytes));
    vec![
        ("channels that have faulted", stats.faults.to_string()),
        ("too much of something", stats.abuses.to_string()),
        ("moves", stats.moves.to_string()),
        ("moves that have failed", stats.moves_failed.to_string()),
        ("written between rounds", or_dash(stats.dirty_bytes_per_second.map(per_second))),
    ]
}

/// One that was just made.
pub(in crate::ctl) fn made(vgpu: &VgpuStatus) -> String {
    let profile = match &vgpu.profile {
        Some(profile) => profile.clone(),
        None => exact_size(vgpu.framebuffer_bytes),
    };
    let place = vgpu.placement.map_or_else(String::new, |id| format!(" at placement {id}"));
    let socket = vgpu.socket.display();
    format!("`{}` runs on `{}`: {profile}{place}, served at {socket}\n", vgpu.name, vgpu.host)
}
