//! Profiles of a GPU, in the manner of NVIDIA's vGPU types, and where vGPUs of them may be.
//!
//! A GPU of 512 MiB is a `GW512`. `GW512-64Q` is an eighth of it: 64 MiB, and eight fit. A profile
//! is a half of the one before, down to a 32nd part, as long as it is whole MiB. Placement ids
//! count in units of the smallest, and a vGPU of a profile may be at multiples of its own size: so
//! vGPUs of mixed sizes leave gaps that larger ones fit, and ids stay what they are whatever else
//! is there (NVIDIA Virtual GPU Software User Guide, "vGPU placements for mixed-size mode").

use godwit_control::{Code, PlacementStatus, ProfileStatus, Refusal, Sizes};
use godwit_shim::evacuate::Room;
use godwit_types::{Gfid, PAGE_BYTES, Placement, Profile, VGPU_COUNT};

const MIB: u64 = 1 << 20;
/// Bytes of an aperture unless the framebuffer is smaller.
const APERTURE_BYTES: u64 = 64 * MIB;
/// Channels, and threads that may be in flight on each: as of a vGPU of a configuration that says
/// nothing of them.
const CHANNELS: u16 = 8;
const THREADS: u32 = 256;

/// What can be created on a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VgpuType {
    pub(crate) name: String,
    pub(crate) profile: Profile,
    /// So many fit on an empty GPU.
    pub(crate) instances_max: u32,
}

/// Where a vGPU is to be: its id there, and its place.
pub(crate) type Found = (Gfid, Placement);

/// The profiles of a GPU, the largest first.
pub(crate) fn of(fb_bytes: u64) -> Vec<VgpuType> {
    let halves = (0..=VGPU_COUNT.ilog2()).map(|shift| 1_u32 << shift);
    let is_whole = |count: &u32| fb_bytes > 0 && fb_bytes.is_multiple_of(MIB * u64::from(*count));
    let whole = halves.take_while(is_whole);
    let types = whole.map(|count| {
        let bytes = fb_bytes / u64::from(count);
        let context_bytes = Profile::CONTEXT_HEADER_BYTES + THREADS * Profile::CONTEXT_THREAD_BYTES;
        // A BAR is a power of two.
        let bar_bytes = APERTURE_BYTES.min(1 << bytes.ilog2());
        VgpuType {
            name: format!("GW{}-{}Q", fb_bytes / MIB, bytes / MIB),
            profile: Profile {
                fb_bytes: bytes,
                bar_bytes,
                channel_count: CHANNELS,
                context_bytes: context_bytes.next_multiple_of(PAGE_BYTES),
            },
            instances_max: count,
        }
    });
    types.collect()
}

/// The profile and the placement id that a framebuffer of this size at this place has.
pub(crate) fn named(fb_bytes: u64, bytes: u64, base: u64) -> (Option<String>, Option<u32>) {
    let all = of(fb_bytes);
    let Some(of_it) = all.iter().find(|it| it.profile.fb_bytes == bytes) else {
        return (None, None);
    };
    let id = all.last().filter(|_| base.is_multiple_of(bytes)).map(|smallest| {
        // Both are of one GPU, so at most 31.
        u32::try_from(base / smallest.profile.fb_bytes).unwrap_or(u32::MAX)
    });
    (Some(of_it.name.clone()), id)
}

/// The placement ids of a profile among those of its GPU, with where each begins.
fn placements(of_it: &VgpuType, all: &[VgpuType]) -> impl Iterator<Item = (u32, u64)> {
    let smallest = all.last().map_or(of_it.profile.fb_bytes, |it| it.profile.fb_bytes);
    let (bytes, count) = (of_it.profile.fb_bytes, of_it.instances_max);
    let units = u32::try_from(bytes / smallest).unwrap_or(1);
    (0..count).map(move |number| (number * units, u64::from(number) * bytes))
}

/// What can be created on a host, as long as that stays as it is: to work it out takes far longer
/// than the rest of an answer.
#[derive(Debug, Default)]
pub(crate) struct Known(Option<(Room, Sizes, Vec<ProfileStatus>)>);

impl Known {
    /// What can be created now.
    pub(crate) fn status(&mut self, room: &Room, sizes: Sizes) -> Vec<ProfileStatus> {
        match &self.0 {
            Some((of, with, known)) if of == room && *with == sizes => known.clone(),
            _ => {
                let found = status(room, sizes);
                self.0 = Some((room.clone(), sizes, found.clone()));
                found
            }
        }
    }
}

/// What can be created on a host now.
pub(crate) fn status(room: &Room, sizes: Sizes) -> Vec<ProfileStatus> {
    let all = of(room.device.fb_bytes);
    let status = |it: &VgpuType| {
        let is_allowed = other_size(room, sizes, it.profile.fb_bytes).is_none();
        let (mut later, mut creatable, mut ids) = (room.clone(), 0, Vec::new());
        for (id, base) in placements(it, &all) {
            let free = is_allowed && room.place_at(&it.profile, base).is_some();
            ids.push(PlacementStatus { id, free });
            if free && let Some((gfid, placement)) = later.place_at(&it.profile, base) {
                later.taken.push((gfid, it.profile, placement));
                creatable += 1;
            }
        }
        ProfileStatus {
            name: it.name.clone(),
            framebuffer_bytes: it.profile.fb_bytes,
            aperture_bytes: it.profile.bar_bytes,
            channels: it.profile.channel_count,
            instances_max: it.instances_max,
            creatable,
            placements: ids,
        }
    };
    all.iter().map(status).collect()
}

/// A size that is there, where all must have one and this is another.
fn other_size(room: &Room, sizes: Sizes, bytes: u64) -> Option<u64> {
    let mut there = room.taken.iter().map(|(_, profile, _)| profile.fb_bytes);
    there.find(|there| sizes == Sizes::Homogeneous && *there != bytes)
}

/// Whether a vGPU of so many bytes may come to a host; `what` it is.
pub(crate) fn check_size(room: &Room, sizes: Sizes, what: &str, bytes: u64) -> Result<(), Refusal> {
    let Some(there) = other_size(room, sizes, bytes) else { return Ok(()) };
    let (there, bytes) = (there / MIB, bytes / MIB);
    let why = format!("its vGPUs are homogeneous, of {there} MiB, and {what} has {bytes} MiB");
    let help =
        "take one of that size, or allow mixed sizes: `godwit ctl policy HOST --sizes mixed`";
    Err(Refusal::new(Code::NoRoom, why).help(help))
}

/// A place for a vGPU of a profile on a host, at a placement id or the first that is free.
/// `name`: what a vGPU of the host is called.
pub(crate) fn find(
    room: &Room,
    sizes: Sizes,
    profile: &str,
    placement: Option<u32>,
    name: impl Fn(Gfid) -> String,
) -> Result<(Profile, Found), Refusal> {
    let all = of(room.device.fb_bytes);
    let Some(it) = all.iter().find(|it| it.name.eq_ignore_ascii_case(profile)) else {
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        let why = format!("`{profile}` is no profile of this host");
        let allowed = if names.is_empty() { "it has none".into() } else { names.join(", ") };
        return Err(Refusal::new(Code::NoProfile, why).help(format!("allowed: {allowed}")));
    };
    check_size(room, sizes, &it.name, it.profile.fb_bytes)?;
    let mut at = placements(it, &all);
    let found = match placement {
        Some(id) => {
            let Some((_, base)) = at.find(|(one, _)| *one == id) else {
                let ids = listed(placements(it, &all).map(|(id, _)| id));
                let why = format!("placement {id} is none of {}", it.name);
                return Err(Refusal::new(Code::BadValue, why).help(format!("allowed: {ids}")));
            };
            room.place_at(&it.profile, base).ok_or_else(|| taken_by(room, it, (id, base), name))
        }
        None => at.find_map(|(_, base)| room.place_at(&it.profile, base)).ok_or_else(|| {
            let why = format!("there is no room for a {}: {}", it.name, lacking(room, it));
            Refusal::new(Code::NoRoom, why)
        }),
    };
    match found {
        Ok(found) => Ok((it.profile, found)),
        Err(refusal) => Err(refusal.help(what_would(room, sizes, it))),
    }
}

/// Why a placement is not to be had.
fn taken_by(
    room: &Room,
    it: &VgpuType,
    (id, base): (u32, u64),
    name: impl Fn(Gfid) -> String,
) -> Refusal {
    let end = base + it.profile.fb_bytes;
    let over =
        room.taken.iter().filter(|(_, of, at)| at.fb_base < end && base < at.fb_base + of.fb_bytes);
    let names: Vec<String> = over.map(|(gfid, ..)| format!("`{}`", name(*gfid))).collect();
    let why = if names.is_empty() {
        format!("placement {id} is free, and {}", lacking(room, it))
    } else {
        format!("placement {id} is taken by {}", names.join(", "))
    };
    Refusal::new(Code::NoRoom, why)
}

/// What a host has too little of for a profile.
fn lacking(room: &Room, it: &VgpuType) -> String {
    let lacks: Vec<String> = room.lacks(&it.profile).iter().map(ToString::to_string).collect();
    if lacks.is_empty() {
        // There is room, and no placement that is wholly in it.
        let mib = it.profile.fb_bytes / MIB;
        return format!("no {mib} MiB are free that begin at a multiple of {mib} MiB");
    }
    lacks.join("; ")
}

/// What does fit.
fn what_would(room: &Room, sizes: Sizes, wanted: &VgpuType) -> String {
    let all = status(room, sizes);
    let this = all.iter().find(|it| it.name == wanted.name && it.creatable > 0);
    if let Some(this) = this {
        let free = this.placements.iter().filter(|at| at.free).map(|at| at.id);
        return format!("free placements of {}: {}", this.name, listed(free));
    }
    let fits = all.iter().filter(|it| it.creatable > 0);
    let fits: Vec<String> = fits.map(|it| format!("{} ({})", it.name, it.creatable)).collect();
    if fits.is_empty() {
        return "nothing fits: destroy, suspend or migrate a vGPU of this host first".to_owned();
    }
    format!("what fits, and how often: {}; or destroy, suspend or migrate one", fits.join(", "))
}

fn listed(ids: impl Iterator<Item = u32>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
