//! Hosts, vGPUs, and whether the ones hold the others.

use super::{Checker, Names, Span, TIME_NS_MAX, raw, shares};
use crate::scenario::model::{Host, HostRef, Vgpu};
use crate::scenario::value::{Bytes, Count};
use crate::units;
use godwit_types::{
    CHANNEL_COUNT, CONTEXT_BYTES_MAX, Engines, FB_BYTES_MAX, PAGE_BYTES, Profile, RunlistId,
    VGPU_COUNT,
};
use toml::Spanned;

/// Hosts of a scenario.
const HOSTS_MAX: usize = 8;
/// vGPUs of a scenario.
const VGPUS_MAX: usize = 64;
/// Page, as sizes are counted.
const PAGE: u64 = PAGE_BYTES as u64;
/// Context memory unless the scenario says otherwise.
const CONTEXT_MEMORY: u64 = 64 << 20;
/// Most context memory, all vGPUs' contexts together.
const CONTEXT_MEMORY_MAX: u64 = 1 << 36;
/// Aperture of a vGPU unless the scenario says otherwise, if its framebuffer is as large.
const APERTURE: u64 = 64 << 20;
/// Channels of a vGPU unless the scenario says otherwise.
const CHANNELS: u16 = 8;
/// Resident threads of a vGPU unless the scenario says otherwise.
const THREADS: u32 = 256;
/// Most resident threads: what the largest context buffer holds.
const THREADS_MAX: u32 =
    (CONTEXT_BYTES_MAX - Profile::CONTEXT_HEADER_BYTES) / Profile::CONTEXT_THREAD_BYTES;
/// What a size in a scenario looks like.
const A_SIZE: &str = "a size such as \"256 MiB\"";

/// Reads the hosts.
pub(super) fn hosts(
    tables: &raw::Tables<raw::Host>,
    checker: &mut Checker<'_>,
) -> Vec<Option<Host>> {
    let end = tables.get(HOSTS_MAX).map_or(0..0, Spanned::span);
    if tables.is_empty() || tables.len() > HOSTS_MAX {
        let wrong = format!("there are {} `[[host]]`", tables.len());
        checker.wrong::<()>(end, wrong, format!("1 to {HOSTS_MAX}"));
    }
    tables.iter().map(|table| host(&table.span(), table.get_ref(), checker)).collect()
}

fn host(at: &Span, host: &raw::Host, checker: &mut Checker<'_>) -> Option<Host> {
    let fb_bytes = checker
        .required(at, &host.framebuffer, "framebuffer", A_SIZE)
        .and_then(|size| checker.size(size, "framebuffer", PAGE, FB_BYTES_MAX));
    let bar_bytes = match &host.bar {
        Some(size) => checker.size(size, "bar", PAGE, FB_BYTES_MAX),
        None => fb_bytes,
    };
    let context_bytes = match &host.context_memory {
        Some(size) => checker.size(size, "context_memory", PAGE, CONTEXT_MEMORY_MAX),
        None => Some(CONTEXT_MEMORY),
    };
    let timer_start_ns = match &host.timer_start {
        Some(time) => checker.time(time, "timer_start", 0..=TIME_NS_MAX),
        None => Some(0),
    };
    let engines = match &host.engines {
        Some(list) if list.get_ref().is_empty() => {
            let allowed = "\"compute\", \"copy\" or both".to_owned();
            checker.wrong(list.span(), "`engines` is empty".to_owned(), allowed)
        }
        Some(list) => Some(list.get_ref().iter().fold(Engines::NONE, |all, one| {
            all.with(match one {
                raw::Engine::Compute => RunlistId::COMPUTE,
                raw::Engine::Copy => RunlistId::COPY,
            })
        })),
        None => Some(Engines::ALL),
    };
    let raw::Host { policy, slice, averaging, .. } = host;
    let scheduling = shares::scheduling(*policy, slice.as_ref(), averaging.as_ref(), checker);
    Some(Host {
        scheduling: scheduling?,
        engines: engines?,
        name: host.name.as_ref()?.get_ref().clone(),
        fb_bytes: fb_bytes?,
        bar_bytes: bar_bytes?,
        context_bytes: context_bytes?,
        timer_start_ns: timer_start_ns?,
        stops_on_crash: host.on_crash == Some(raw::OnCrash::Stop),
    })
}

/// Reads the vGPUs, of which there are so many at least.
pub(super) fn vgpus(
    tables: &raw::Tables<raw::Vgpu>,
    least: usize,
    names: &Names<'_>,
    checker: &mut Checker<'_>,
) -> Vec<Option<Vgpu>> {
    let end = tables.get(VGPUS_MAX).map_or(0..0, Spanned::span);
    if tables.len() < least || tables.len() > VGPUS_MAX {
        let wrong = format!("there are {} `[[vgpu]]`", tables.len());
        checker.wrong::<()>(end, wrong, format!("{least} to {VGPUS_MAX}"));
    }
    tables.iter().map(|table| vgpu(&table.span(), table.get_ref(), names, checker)).collect()
}

fn vgpu(at: &Span, vgpu: &raw::Vgpu, names: &Names<'_>, checker: &mut Checker<'_>) -> Option<Vgpu> {
    let host = checker
        .required(at, &vgpu.host, "host", "the name of a host")
        .and_then(|name| names.hosts.find(name, checker));
    let profile = checker
        .required(at, &vgpu.profile, "profile", "a table such as { framebuffer = \"64 MiB\" }")
        .and_then(|table| profile(&table.span(), table.get_ref(), checker));
    let raw::Vgpu { weight, share, cap, .. } = vgpu;
    let share = shares::share(weight.as_ref(), share.as_ref(), cap.as_ref(), checker);
    Some(Vgpu {
        name: vgpu.name.as_ref()?.get_ref().clone(),
        host: HostRef(host?),
        profile: profile?,
        share: share?,
    })
}

fn profile(at: &Span, profile: &raw::Profile, checker: &mut Checker<'_>) -> Option<Profile> {
    let fb_bytes = checker
        .required(at, &profile.framebuffer, "framebuffer", A_SIZE)
        .and_then(|size| checker.size(size, "framebuffer", PAGE, FB_BYTES_MAX));
    let bar_bytes = match &profile.aperture {
        Some(size) => aperture(size, fb_bytes, checker),
        None => fb_bytes.map(|fb_bytes| fb_bytes.min(APERTURE)),
    };
    let number =
        |field: &raw::Field<Count>, key, most, default, checker: &mut Checker<'_>| match field {
            Some(value) => checker.count32(value, key, 1, most),
            None => Some(default),
        };
    let (most, default) = (CHANNEL_COUNT.into(), CHANNELS.into());
    let channels = number(&profile.channels, "channels", most, default, checker);
    let threads = number(&profile.threads, "threads", THREADS_MAX, THREADS, checker)?;
    let context_bytes = Profile::CONTEXT_HEADER_BYTES + threads * Profile::CONTEXT_THREAD_BYTES;
    let profile = Profile {
        fb_bytes: fb_bytes?,
        bar_bytes: bar_bytes?,
        channel_count: u16::try_from(channels?).ok()?,
        context_bytes: context_bytes.next_multiple_of(PAGE_BYTES),
    };
    assert_eq!(profile.check(), Ok(()), "each part was checked");
    Some(profile)
}

fn aperture(
    size: &Spanned<Bytes>,
    fb_bytes: Option<u64>,
    checker: &mut Checker<'_>,
) -> Option<u64> {
    let bytes = checker.size(size, "aperture", PAGE, FB_BYTES_MAX)?;
    if bytes <= fb_bytes? {
        return Some(bytes);
    }
    let wrong = format!("`aperture` is {}", units::exact_size(bytes));
    let allowed = format!("no more than the framebuffer, {}", units::exact_size(fb_bytes?));
    checker.wrong(size.span(), wrong, allowed)
}

/// A resource of a host that its vGPUs share out.
struct Resource {
    has: fn(&Host) -> u64,
    takes: fn(&Profile) -> u64,
    shown: fn(u64) -> String,
}

const RESOURCES: [Resource; 5] = [
    Resource {
        has: |host| host.fb_bytes,
        takes: |profile| profile.fb_bytes,
        shown: |bytes| units::exact_size(bytes) + " of framebuffer",
    },
    Resource {
        has: |host| host.bar_bytes,
        takes: |profile| profile.bar_bytes,
        shown: |bytes| units::exact_size(bytes) + " of BAR",
    },
    Resource {
        has: |host| host.context_bytes,
        takes: Profile::context_total,
        shown: |bytes| units::exact_size(bytes) + " of context memory",
    },
    Resource {
        has: |_| u64::from(CHANNEL_COUNT),
        takes: |profile| profile.channel_count.into(),
        shown: |count| format!("{count} channels"),
    },
    Resource {
        has: |_| u64::from(VGPU_COUNT),
        takes: |_| 1,
        shown: |count| format!("{count} of the GPU's ids for vGPUs"),
    },
];

/// Says which resource of a host, even an empty one, this profile exceeds.
pub(super) fn exceeded(profile: &Profile, host: &Host, taken: &[Profile]) -> Option<String> {
    RESOURCES.iter().find_map(|resource| {
        let taken: u64 = taken.iter().map(resource.takes).sum();
        let (has, takes) = ((resource.has)(host), (resource.takes)(profile));
        let left = has.saturating_sub(taken);
        let (needs, leaves) = ((resource.shown)(takes), (resource.shown)(left));
        (takes > left).then(|| format!("it needs {needs}, {leaves} are left"))
    })
}

/// Checks that the vGPUs of each host fit it together, in the order of the file.
pub(super) fn capacity(
    tables: &raw::Tables<raw::Vgpu>,
    vgpus: &[Option<Vgpu>],
    hosts: &[Option<Host>],
    checker: &mut Checker<'_>,
) {
    for (at, host) in hosts.iter().enumerate() {
        let Some(host) = host else { continue };
        let mut taken: Vec<Profile> = Vec::new();
        for (table, vgpu) in tables.iter().zip(vgpus) {
            let Some(vgpu) = vgpu.as_ref().filter(|vgpu| vgpu.host == HostRef(at)) else {
                continue;
            };
            if let Some(why) = exceeded(&vgpu.profile, host, &taken) {
                let place = table.get_ref().host.as_ref().map_or(table.span(), Spanned::span);
                let wrong = format!("`{}` does not fit `{}`: {why}", vgpu.name, host.name);
                checker.wrong::<()>(place, wrong, "what the vGPUs before it leave");
            } else {
                taken.push(vgpu.profile);
            }
        }
    }
}
