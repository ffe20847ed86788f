//! Where the vGPUs of a host go when it is to be emptied.
//!
//! The largest is placed first, and each where it leaves the least room, so that large gaps are
//! kept for those that need them. Places are found as a destination finds them, gaps between
//! neighbours included. A plan reserves nothing: it holds while its steps begin in their order,
//! each when the one before has its place, and nobody else comes to the destinations.

use crate::host::Host;
use crate::place;
use core::cmp::Reverse;
use core::fmt;
use godwit_types::{
    CHANNEL_COUNT, Engines, Gfid, Identity, Placement, Profile, RunlistId, VGPU_COUNT,
};

/// A vGPU that is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// What it is.
    pub profile: Profile,
    /// Where it is; it gets another place wherever there is one.
    pub placement: Placement,
    /// Version of its contexts: that of the device it is on.
    pub context_layout: u32,
    /// What that device has: its work may be for any of these.
    pub engines: Engines,
}

impl Leaver {
    /// A vGPU of a host, with what its guest uses of the engines. `None`: the host has none.
    pub fn of(host: &mut Host, gfid: Gfid) -> Option<Self> {
        let info = *host.vgpu(gfid)?;
        Some(Self {
            profile: info.profile,
            placement: info.placement,
            context_layout: host.identity().context_layout,
            engines: host.engines_in_use(gfid),
        })
    }
}

/// A host that may take vGPUs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its device.
    pub device: Identity,
    /// What is there: by which id, of which profile, and where.
    pub taken: Vec<(Gfid, Profile, Placement)>,
}

impl Room {
    /// What a host has now.
    pub fn of(host: &mut Host) -> Self {
        let device = host.identity();
        let taken = host.vgpus().map(|(gfid, info)| (gfid, info.profile, info.placement));
        Self { device, taken: taken.collect() }
    }

    /// An id and a place for one more whose partition begins there, if that is free.
    pub fn place_at(&self, profile: &Profile, fb_base: u64) -> Option<(Gfid, Placement)> {
        place::find_at(&self.device, profile, &self.taken, fb_base)
    }

    /// All that there is of a resource, what is free of it, and the largest piece of that.
    pub fn of_resource(&self, resource: Resource) -> (u64, u64, u64) {
        let ranges = self.taken.iter().map(|(gfid, of, at)| resource.range(*gfid, of, at));
        let mut ranges: Vec<(u64, u64)> = ranges.collect();
        ranges.sort_unstable();
        let total = resource.total(&self.device);
        let taken: u64 = ranges.iter().map(|(_, count)| count).sum();
        let (mut piece, mut end) = (0, 0);
        for (base, count) in ranges.into_iter().chain([(total, 0)]) {
            piece = piece.max(base.saturating_sub(end));
            end = base + count;
        }
        let free = total.saturating_sub(taken);
        // Any id will do; everything else is in one piece.
        (total, free, if resource == Resource::Ids { free } else { piece })
    }

    /// Why a vGPU of this profile does not fit, where it does not.
    pub fn lacks(&self, profile: &Profile) -> Vec<Lack> {
        Resource::ALL.into_iter().filter_map(|it| self.lack(it, profile)).collect()
    }

    /// What a resource lacks for a vGPU of this profile, if it does.
    fn lack(&self, resource: Resource, profile: &Profile) -> Option<Lack> {
        let (total, free, piece) = self.of_resource(resource);
        let needed = resource.needed(profile);
        (piece < needed).then_some(Lack { resource, needed, piece, free, total })
    }

    /// What would be left of each resource beside these and one more.
    fn left(&self, profile: &Profile) -> [u64; 5] {
        Resource::ALL.map(|resource| {
            let taken = self.taken.iter().map(|(_, of, _)| resource.needed(of)).sum::<u64>();
            resource.total(&self.device).saturating_sub(taken + resource.needed(profile))
        })
    }

    /// Engines that the vGPU may have work for and that are not there.
    fn lacking_engines(&self, leaver: &Leaver) -> Engines {
        Engines::from_bits(leaver.engines.bits() & !self.device.engines.bits())
    }

    fn misfit(&self, leaver: &Leaver) -> Misfit {
        let (state, host) = (leaver.context_layout, self.device.context_layout);
        if state != host {
            return Misfit::Layout { state, host };
        }
        let engines = self.lacking_engines(leaver);
        if engines != Engines::NONE {
            return Misfit::Engines(engines);
        }
        Misfit::Lacks(self.lacks(&leaver.profile))
    }
}

/// What a host shares out among its vGPUs, the scarcest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Framebuffer for partitions, in bytes.
    Framebuffer,
    /// BAR for apertures, in bytes.
    Bar,
    /// Context memory, in bytes.
    Contexts,
    /// Hardware channels.
    Channels,
    /// Ids of vGPUs.
    Ids,
}

const MIB: u64 = 1 << 20;

impl Resource {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Framebuffer, Self::Bar, Self::Contexts, Self::Channels, Self::Ids];

    fn total(self, device: &Identity) -> u64 {
        match self {
            Self::Framebuffer => device.fb_bytes,
            Self::Bar => device.bar_bytes,
            Self::Contexts => device.context_bytes,
            Self::Channels => CHANNEL_COUNT.into(),
            Self::Ids => VGPU_COUNT.into(),
        }
    }

    fn needed(self, profile: &Profile) -> u64 {
        match self {
            Self::Framebuffer => profile.fb_bytes,
            Self::Bar => profile.bar_bytes,
            Self::Contexts => profile.context_total(),
            Self::Channels => profile.channel_count.into(),
            Self::Ids => 1,
        }
    }

    /// What a vGPU has of it: the first and how many.
    fn range(self, gfid: Gfid, profile: &Profile, at: &Placement) -> (u64, u64) {
        let first = match self {
            Self::Framebuffer => at.fb_base,
            Self::Bar => at.bar_base,
            Self::Contexts => at.context_base,
            Self::Channels => at.channel_base.into(),
            Self::Ids => u64::from(gfid.raw()),
        };
        (first, self.needed(profile))
    }

    /// What it is called behind an amount.
    const fn name(self) -> &'static str {
        match self {
            Self::Framebuffer => "of framebuffer",
            Self::Bar => "of BAR",
            Self::Contexts => "of context memory",
            Self::Channels => "channels",
            Self::Ids => "ids of vGPUs",
        }
    }

    /// An amount of it, for people: memory is shared out in whole pages of 4 KiB.
    fn shown(self, amount: u64) -> String {
        match self {
            Self::Framebuffer | Self::Bar | Self::Contexts => match amount % MIB {
                0 => format!("{} MiB", amount / MIB),
                _ => format!("{} KiB", amount / 1024),
            },
            Self::Channels | Self::Ids => amount.to_string(),
        }
    }
}

/// What a host has too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Of what.
    pub resource: Resource,
    /// So much is needed, in one piece.
    pub needed: u64,
    /// The largest piece that is free.
    pub piece: u64,
    /// All that is free.
    pub free: u64,
    /// All that there is.
    pub total: u64,
}

/// What is missing, and what would do.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, needed, piece, free, total } = *self;
        let shown = |amount| resource.shown(amount);
        write!(f, "it needs {} {}", shown(needed), resource.name())?;
        let (free_shown, piece) = (shown(free), shown(piece));
        if needed > total {
            write!(f, ", and the GPU has {} in all", shown(total))
        } else if needed <= free {
            write!(f, " in one piece: {free_shown} are free, {piece} of them in the largest piece")
        } else {
            let more = shown(needed - free);
            write!(f, ", and {free_shown} are free: {more} more would do, in one piece with those")
        }
    }
}

/// Why a vGPU does not fit a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The host's device cannot load its contexts, however much room there is.
    Layout {
        /// The layout of its contexts.
        state: u32,
        /// The layout that the device loads.
        host: u32,
    },
    /// The host's device lacks engines that the vGPU may have work for.
    Engines(Engines),
    /// The host has too little left.
    Lacks(Vec<Lack>),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { state, host } => {
                write!(f, "its contexts have layout {state}, and the GPU loads layout {host}")
            }
            Self::Engines(lacking) => {
                let names = [(RunlistId::COMPUTE, "compute"), (RunlistId::COPY, "copy")];
                let lacking = names.into_iter().filter(|(id, _)| lacking.has(*id));
                let lacking: Vec<_> = lacking.map(|(_, name)| name).collect();
                write!(
                    f,
                    "it may have work for an engine that the GPU lacks: {}",
                    lacking.join(", ")
                )
            }
            Self::Lacks(lacks) => {
                for (at, lack) in lacks.iter().enumerate() {
                    let before = if at == 0 { "" } else { "; " };
                    write!(f, "{before}{lack}")?;
                }
                Ok(())
            }
        }
    }
}

/// One vGPU's move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which vGPU, by its place in the list.
    pub leaver: usize,
    /// Which host, likewise.
    pub to: usize,
    /// By which id it will be there.
    pub gfid: Gfid,
    /// Where.
    pub placement: Placement,
}

/// Who goes where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are to begin.
    pub steps: Vec<Step>,
    /// Those that fit nowhere, and for each of the hosts why. The largest first.
    pub left: Vec<(usize, Vec<Misfit>)>,
}

/// Plans an evacuation: every vGPU gets a host where it fits beside what is there and what is
/// planned before it, or stays since there is none. The same lists give the same plan.
pub fn plan(leavers: &[Leaver], rooms: &[Room]) -> Plan {
    let mut rooms = rooms.to_vec();
    let mut order: Vec<usize> = (0..leavers.len()).collect();
    let size = |at: &usize| {
        let needed = Resource::ALL.map(|resource| resource.needed(&leavers[*at].profile));
        (Reverse(needed), *at)
    };
    order.sort_by_key(size);
    let mut plan = Plan::default();
    for at in order {
        let leaver = &leavers[at];
        let fits = rooms.iter().enumerate().filter_map(|(to, room)| {
            let loads = room.device.context_layout == leaver.context_layout
                && room.lacking_engines(leaver) == Engines::NONE;
            let avoid = Some(&leaver.placement);
            let found = place::find(&room.device, &leaver.profile, &room.taken, avoid);
            let (gfid, placement) = found.filter(|_| loads)?;
            Some((room.left(&leaver.profile), Step { leaver: at, to, gfid, placement }))
        });
        match fits.min_by_key(|(left, step)| (*left, step.to)) {
            Some((_, step)) => {
                rooms[step.to].taken.push((step.gfid, leaver.profile, step.placement));
                plan.steps.push(step);
            }
            None => {
                let why = rooms.iter().map(|room| room.misfit(leaver)).collect();
                plan.left.push((at, why));
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests;
