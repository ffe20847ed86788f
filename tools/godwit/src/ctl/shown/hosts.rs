//! Hosts, and what can be created there.

use super::facts;
use crate::table::table;
use crate::units::{exact_size, exact_time};
use godwit_control::{
    Firmware, HostStatus, PlacementStatus, PolicyName, ProfileStatus, Room, Sizes,
};

/// Runs of placement ids that are shown.
const RUNS_SHOWN: usize = 8;

/// A policy as the command line calls it.
pub(crate) fn policy_name(policy: PolicyName) -> &'static str {
    match policy {
        PolicyName::BestEffort => "best-effort",
        PolicyName::EqualShare => "equal-share",
        PolicyName::FixedShare => "fixed-share",
    }
}

/// Sizes as the command line calls them.
pub(crate) fn sizes_name(sizes: Sizes) -> &'static str {
    match sizes {
        Sizes::Mixed => "mixed",
        Sizes::Homogeneous => "homogeneous",
    }
}

/// All of them, a line each.
pub(super) fn list(all: &[HostStatus]) -> String {
    if all.is_empty() {
        return "there are no hosts\n".to_owned();
    }
    let header = ["host", "vGPUs", "framebuffer", "free", "policy", "slice", "sizes", "firmware"];
    let mut table = table(&header, 1..4, None);
    for host in all {
        table.add_row([
            host.name.clone(),
            format!("{} of {}", taken(&host.vgpus), host.vgpus.total),
            exact_size(host.framebuffer.total),
            exact_size(host.framebuffer.free),
            policy_name(host.policy).to_owned(),
            exact_time(host.slice_ns),
            sizes_name(host.sizes).to_owned(),
            firmware(&host.firmware),
        ]);
    }
    format!("{table}\n")
}

fn taken(room: &Room) -> u64 {
    room.total.saturating_sub(room.free)
}

fn firmware(it: &Firmware) -> String {
    match (it.lost, it.losses) {
        (true, _) => "LOST".to_owned(),
        (false, 0) => "runs".to_owned(),
        (false, 1) => "runs, restarted once".to_owned(),
        (false, losses) => format!("runs, restarted {losses} times"),
    }
}

/// All that is known of one.
pub(super) fn one(host: &HostStatus) -> String {
    let bytes = |room: &Room| {
        let (free, total) = (exact_size(room.free), exact_size(room.total));
        format!("{free} of {total} free, {} in a piece", exact_size(room.piece))
    };
    let count = |room: &Room| format!("{} of {} free", room.free, room.total);
    let rows = [
        ("policy", policy_name(host.policy).to_owned()),
        ("slice", exact_time(host.slice_ns)),
        ("averaging", format!("{} turns", host.averaging)),
        ("sizes", sizes_name(host.sizes).to_owned()),
        ("framebuffer", bytes(&host.framebuffer)),
        ("BAR", bytes(&host.bar)),
        ("channels", count(&host.channels)),
        ("vGPUs", count(&host.vgpus)),
        ("firmware", firmware(&host.firmware)),
        ("log overwritten", exact_size(host.firmware.log_lost_bytes)),
        ("switches not counted", host.firmware.switches_lost.to_string()),
        ("vGPUs that came", host.moves.came.to_string()),
        ("vGPUs that went", host.moves.gone.to_string()),
        ("moves that have failed", host.moves.failed.to_string()),
    ];
    let facts = facts("host", &host.name, &rows);
    format!("{facts}\n\n{}", profiles(std::slice::from_ref(host)))
}

/// What can be created.
pub(in crate::ctl) fn profiles(hosts: &[HostStatus]) -> String {
    if hosts.iter().all(|host| host.profiles.is_empty()) {
        return "there are no profiles\n".to_owned();
    }
    let header = [
        "host",
        "profile",
        "framebuffer",
        "aperture",
        "channels",
        "at most",
        "more now",
        "free placements",
    ];
    let mut table = table(&header, 2..7, None);
    for host in hosts {
        for it in &host.profiles {
            table.add_row(profile(&host.name, it));
        }
    }
    format!("{table}\n")
}

fn profile(host: &str, it: &ProfileStatus) -> [String; 8] {
    [
        host.to_owned(),
        it.name.clone(),
        exact_size(it.framebuffer_bytes),
        exact_size(it.aperture_bytes),
        it.channels.to_string(),
        it.instances_max.to_string(),
        it.creatable.to_string(),
        free(&it.placements),
    ]
}

/// The ids of those that are free. They are in order, at equal distances: runs are shown by their
/// ends.
fn free(all: &[PlacementStatus]) -> String {
    let runs = all.split(|it| !it.free).filter(|run| !run.is_empty());
    let mut shown: Vec<String> = runs
        .map(|run| match run {
            [only] => only.id.to_string(),
            [first, second] => format!("{}, {}", first.id, second.id),
            [first, second, third] => format!("{}, {}, {}", first.id, second.id, third.id),
            [first, second, .., last] => format!("{}, {} … {}", first.id, second.id, last.id),
            [] => String::new(),
        })
        .collect();
    if shown.is_empty() {
        return "none".to_owned();
    }
    if shown.len() > RUNS_SHOWN {
        shown.truncate(RUNS_SHOWN);
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_placements_are_shown_by_their_ends() {
        let all = |free: &str| -> Vec<PlacementStatus> {
            let place = |(at, c)| PlacementStatus { id: at as u32 * 4, free: c == '.' };
            free.chars().enumerate().map(place).collect()
        };
        assert_eq!(free(&all("")), "none");
        assert_eq!(free(&all("xx")), "none");
        assert_eq!(free(&all(".xx..x...x")), "0, 12, 16, 24, 28, 32");
        assert_eq!(free(&all("x....")), "4, 8 … 16");
        assert_eq!(free(&all(&".x".repeat(9))), "0, 8, 16, 24, 32, 40, 48, 56, …");
    }
}
