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

    /// What a resource lacks for a vGPU of this profile, if it does.
    fn lack(&self, resource: Resource, profile: &Profile) -> Option<Lack> {
        let mut ranges: Vec<(u64, u64)> =
            self.taken.iter().map(|(gfid, of, at)| resource.range(*gfid, of, at)).collect();
        ranges.sort_unstable();
        let total = resource.total(&self.device);
        let taken: u64 = ranges.iter().map(|(_, count)| count).sum();
        let (mut piece, mut end) = (0, 0);
        for (base, count) in ranges.into_iter().chain([(total, 0)]) {
            piece = piece.max(base.saturating_sub(end));
            end = base + count;
        }
        let (needed, free) = (resource.needed(profile), total.saturating_sub(taken));
        // Any id will do; everything else is in one piece.
        let piece = if resource == Resource::Ids { free } else { piece };
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
        let lacks = Resource::ALL.into_iter().filter_map(|it| self.lack(it, &leaver.profile));
        Misfit::Lacks(lacks.collect())
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
            Self::Framebuffer | Self::Bar | Self::Contexts => format!("{} KiB", amount / 1024),
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
mod tests {
    use super::*;
    use godwit_types::PAGE_BYTES;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;
    const PAGE: u64 = PAGE_BYTES as u64;
    const NOWHERE: Placement =
        Placement { fb_base: 0, bar_base: 0, channel_base: 0, context_base: 0 };

    fn profile(fb_mib: u64) -> Profile {
        Profile {
            fb_bytes: fb_mib * MIB,
            bar_bytes: MIB,
            channel_count: 8,
            context_bytes: PAGE_BYTES,
        }
    }

    fn leaver(fb_mib: u64) -> Leaver {
        let engines = Engines::ALL;
        Leaver { profile: profile(fb_mib), placement: NOWHERE, context_layout: 1, engines }
    }

    fn room(fb_mib: u64) -> Room {
        let device = Identity {
            fb_bytes: fb_mib * MIB,
            bar_bytes: 64 * MIB,
            context_bytes: 64 * MIB,
            context_layout: 1,
            engines: Engines::ALL,
        };
        Room { device, taken: Vec::new() }
    }

    fn with(mut room: Room, fb_base_mib: u64, fb_mib: u64) -> Room {
        let number = room.taken.len() as u64;
        let placement = Placement {
            fb_base: fb_base_mib * MIB,
            bar_base: number * MIB,
            channel_base: number as u16 * 8,
            context_base: number * 8 * PAGE,
        };
        let gfid = Gfid::new(number as u8 + 1).unwrap();
        room.taken.push((gfid, profile(fb_mib), placement));
        room
    }

    fn homes(plan: &Plan) -> Vec<(usize, usize)> {
        plan.steps.iter().map(|step| (step.leaver, step.to)).collect()
    }

    #[test]
    fn who_may_have_work_for_an_engine_goes_where_there_is_one() {
        let mut rooms = [room(64), room(64), room(64)];
        rooms[0].device.engines = Engines::NONE.with(RunlistId::COMPUTE);
        rooms[1].device.engines = Engines::NONE;
        assert_eq!(homes(&plan(&[leaver(8)], &rooms)), [(0, 2)]);
        let alone = plan(&[leaver(8)], &rooms[..2]);
        let why: Vec<_> = alone.left[0].1.iter().map(ToString::to_string).collect();
        let lacks = "it may have work for an engine that the GPU lacks: ";
        assert_eq!(why, [format!("{lacks}copy"), format!("{lacks}compute, copy")]);
        // One that comes from such a device needs no more than that has.
        let modest = Leaver { engines: rooms[0].device.engines, ..leaver(8) };
        assert_eq!(homes(&plan(&[modest], &rooms[..1])), [(0, 0)]);
    }

    #[test]
    fn the_largest_goes_first_and_each_where_the_least_is_left() {
        let rooms = [room(100), room(34), room(18)];
        let plan = plan(&[leaver(8), leaver(32), leaver(16), leaver(8)], &rooms);
        assert_eq!(homes(&plan), [(1, 1), (2, 2), (0, 0), (3, 0)]);
        assert_eq!(plan.left, []);
    }

    #[test]
    fn what_is_equally_good_goes_to_the_host_that_is_named_first() {
        let plan = plan(&[leaver(8), leaver(8), leaver(8)], &[room(18), room(18)]);
        assert_eq!(homes(&plan), [(0, 0), (1, 0), (2, 1)]);
    }

    #[test]
    fn one_that_fits_nowhere_is_told_what_would_do_and_hinders_nobody() {
        let tight = with(with(room(32), 4, 8), 20, 8);
        let mut strange = room(64);
        strange.device.context_layout = 2;
        let plan = plan(&[leaver(16), leaver(8), leaver(40)], &[tight, strange]);
        assert_eq!(homes(&plan), [(1, 0)]);
        let told: Vec<(usize, Vec<String>)> = plan
            .left
            .iter()
            .map(|(at, why)| (*at, why.iter().map(ToString::to_string).collect()))
            .collect();
        let layout = "its contexts have layout 1, and the GPU loads layout 2";
        let large = "it needs 40960 KiB of framebuffer, and the GPU has 32768 KiB in all";
        let pieces = "it needs 16384 KiB of framebuffer in one piece: 16384 KiB are free, 8192 KiB \
                      of them in the largest piece";
        assert_eq!(told[0], (2, vec![large.to_owned(), layout.to_owned()]));
        assert_eq!(told[1], (0, vec![pieces.to_owned(), layout.to_owned()]));
    }

    #[test]
    fn each_resource_can_be_what_lacks() {
        let full = |change: fn(&mut Profile)| {
            let mut big = leaver(8);
            change(&mut big.profile);
            let plan = plan(&[big], &[with(room(32), 0, 8)]);
            let [(0, why)] = &plan.left[..] else { panic!("it fits: {plan:?}") };
            let [Misfit::Lacks(lacks)] = &why[..] else { panic!("{why:?}") };
            let [lack] = lacks[..] else { panic!("{lacks:?}") };
            (lack.resource, lack.needed - lack.free)
        };
        assert_eq!(full(|it| it.fb_bytes = 25 * MIB), (Resource::Framebuffer, MIB));
        assert_eq!(full(|it| it.bar_bytes = 64 * MIB), (Resource::Bar, MIB));
        assert_eq!(full(|it| it.context_bytes = 8 << 20), (Resource::Contexts, 8 * PAGE));
        assert_eq!(full(|it| it.channel_count = CHANNEL_COUNT), (Resource::Channels, 8));
        let mut crowded = room(1024);
        for at in 0..u64::from(VGPU_COUNT) {
            crowded = with(crowded, at, 1);
        }
        let why = &plan(&[leaver(1)], &[crowded]).left[0].1[0];
        let (needed, total) = (1, VGPU_COUNT.into());
        let lack = Lack { resource: Resource::Ids, needed, piece: 0, free: 0, total };
        assert_eq!(*why, Misfit::Lacks(vec![lack]));
    }

    fn some_profile() -> impl Strategy<Value = Profile> {
        (1..64_u64, 1..64_u64, 1..300_u16, 1..64_u32).prop_map(
            |(fb, bar, channel_count, context)| Profile {
                fb_bytes: fb * PAGE,
                bar_bytes: bar.min(fb) * PAGE,
                channel_count,
                context_bytes: context * PAGE_BYTES,
            },
        )
    }

    /// A device with up to eight vGPUs at work, and holes where others were.
    fn some_room() -> impl Strategy<Value = Room> {
        let sizes = (16..256_u64, 16..256_u64, 64..40_000_u64, 1..3_u32);
        let taken = prop::collection::vec((some_profile(), any::<bool>()), 0..8);
        (sizes, taken).prop_map(|((fb, bar, contexts, context_layout), taken)| {
            let device = Identity {
                fb_bytes: fb * PAGE,
                bar_bytes: bar * PAGE,
                context_bytes: contexts * PAGE,
                context_layout,
                engines: Engines::ALL,
            };
            let (mut room, mut stays) = (Room { device, taken: Vec::new() }, Vec::new());
            for (profile, here) in taken {
                if let Some((gfid, at)) = place::find(&device, &profile, &room.taken, None) {
                    room.taken.push((gfid, profile, at));
                    stays.push(here);
                }
            }
            let mut stays = stays.into_iter();
            room.taken.retain(|_| stays.next() == Some(true));
            room
        })
    }

    proptest! {
        #[test]
        fn no_host_is_overfilled_and_nobody_stays_who_has_room(
            profiles in prop::collection::vec((some_profile(), 1..3_u32), 0..12),
            rooms in prop::collection::vec(some_room(), 0..4),
        ) {
            let leavers: Vec<Leaver> = profiles
                .iter()
                .map(|(profile, context_layout)| Leaver {
                    profile: *profile,
                    placement: NOWHERE,
                    context_layout: *context_layout,
                    engines: Engines::ALL,
                })
                .collect();
            let found = plan(&leavers, &rooms);
            prop_assert_eq!(&found, &plan(&leavers, &rooms));
            let mut filled = rooms.clone();
            for Step { leaver, to, gfid, placement } in &found.steps {
                filled[*to].taken.push((*gfid, leavers[*leaver].profile, *placement));
                let layouts = (filled[*to].device.context_layout, leavers[*leaver].context_layout);
                prop_assert_eq!(layouts.0, layouts.1);
            }
            for room in &filled {
                for (at, (gfid, profile, place)) in room.taken.iter().enumerate() {
                    prop_assert_eq!(place.check(profile, &room.device), Ok(()));
                    for (other, other_profile, other_place) in &room.taken[..at] {
                        prop_assert_ne!(gfid, other);
                        prop_assert_eq!(place.apart(profile, other_place, other_profile), Ok(()));
                    }
                }
            }
            // Everybody is named once, and who stays fits nowhere beside the others, and is told
            // why.
            let steps = found.steps.iter().map(|step| step.leaver);
            let mut all: Vec<usize> = steps.chain(found.left.iter().map(|(at, _)| *at)).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..leavers.len()).collect::<Vec<_>>());
            for (at, why) in &found.left {
                prop_assert_eq!(why.len(), rooms.len());
                for (room, why) in filled.iter().zip(why) {
                    let Leaver { profile, context_layout, .. } = &leavers[*at];
                    let place = place::find(&room.device, profile, &room.taken, None);
                    let loads = room.device.context_layout == *context_layout;
                    prop_assert!(place.is_none() || !loads);
                    prop_assert_ne!(why, &Misfit::Lacks(Vec::new()));
                }
            }
        }
    }
}
