//! How vGPUs and hosts are now.

use super::profiles;
use crate::config::Places;
use crate::host::{Served, ServedHost};
use crate::operation::{Outcome, no_vgpu};
use godwit_control::{
    Code, HostStatus, PolicyName, Refusal, Room as RoomStatus, ShareStatus, Told, VgpuStatus,
};
use godwit_shim::evacuate::{Resource, Room};
use godwit_types::{Policy, Scheduling, Share};

/// All vGPUs, by host and id.
pub(crate) fn vgpus(hosts: &[ServedHost], places: &Places) -> Vec<VgpuStatus> {
    let all = hosts.iter().flat_map(|host| host.devices.iter().map(move |served| (host, served)));
    all.filter_map(|(host, served)| vgpu(host, served, places)).collect()
}

/// All hosts.
pub(crate) fn hosts(hosts: &mut [ServedHost]) -> Vec<HostStatus> {
    hosts.iter_mut().map(host).collect()
}

/// One vGPU, as an answer.
pub(crate) fn told(hosts: &[ServedHost], places: &Places, name: &str) -> Outcome {
    let found = hosts.iter().find_map(|host| vgpu(host, host.served(name)?, places));
    found.map(|it| Told::Vgpu(Box::new(it))).ok_or_else(|| no_vgpu(name))
}

/// One host, as an answer.
pub(crate) fn host_told(hosts: &mut [ServedHost], name: &str) -> Outcome {
    let found = hosts.iter_mut().find(|it| it.name == name).map(host);
    found.map(|it| Told::Host(Box::new(it))).ok_or_else(|| no_host(name))
}

pub(crate) fn no_host(name: &str) -> Refusal {
    let why = format!("there is no host `{}`", name.escape_default());
    Refusal::new(Code::NoHost, why).help("`godwit ctl list --hosts` shows which there are")
}

fn vgpu(host: &ServedHost, served: &Served, places: &Places) -> Option<VgpuStatus> {
    let device = &served.device;
    let info = host.host.vgpu(device.gfid)?;
    let (bytes, base) = (info.profile.fb_bytes, info.placement.fb_base);
    let (profile, placement) = profiles::named(host.fb_bytes, bytes, base);
    let Share { weight, part, cap } = info.share;
    Some(VgpuStatus {
        name: device.name.clone(),
        uuid: format!("{:032x}", u128::from_be_bytes(device.migration.uuid())),
        host: host.name.clone(),
        gfid: device.gfid.raw(),
        state: device.migration.state().to_string(),
        busy: device.busy.map(str::to_owned),
        profile,
        placement,
        framebuffer_bytes: bytes,
        framebuffer_base: base,
        aperture_bytes: info.profile.bar_bytes,
        aperture_base: info.placement.bar_base,
        channels: info.profile.channel_count,
        share: ShareStatus { weight, part, cap },
        attached: device.machine.is_some(),
        managed: device.manager.is_some(),
        socket: places.device(&device.name),
        migration_socket: places.migration(&device.name),
        stats: host.stats.vgpu(device.gfid),
    })
}

fn host(served: &mut ServedHost) -> HostStatus {
    let room = Room::of(&mut served.host);
    let of = |resource| {
        let (total, free, piece) = room.of_resource(resource);
        RoomStatus { total, free, piece }
    };
    let Scheduling { policy, slice_ns, averaging } = served.host.scheduling();
    let count = u32::try_from(room.taken.len()).unwrap_or(u32::MAX);
    HostStatus {
        name: served.name.clone(),
        framebuffer: of(Resource::Framebuffer),
        bar: of(Resource::Bar),
        channels: of(Resource::Channels),
        vgpus: of(Resource::Ids),
        policy: match policy {
            Policy::BestEffort => PolicyName::BestEffort,
            Policy::EqualShare => PolicyName::EqualShare,
            Policy::FixedShare => PolicyName::FixedShare,
        },
        slice_ns: slice_ns.unwrap_or_else(|| Scheduling::default_slice_ns(count)),
        averaging,
        sizes: served.sizes,
        firmware: served.stats.firmware(&served.host),
        moves: served.stats.moves(),
        profiles: served.profiles.status(&room, served.sizes),
    }
}
