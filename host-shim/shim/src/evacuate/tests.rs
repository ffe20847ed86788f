use super::*;
use godwit_types::PAGE_BYTES;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const PAGE: u64 = PAGE_BYTES as u64;
const NOWHERE: Placement = Placement { fb_base: 0, bar_base: 0, channel_base: 0, context_base: 0 };

fn profile(fb_mib: u64) -> Profile {
    Profile { fb_bytes: fb_mib * MIB, bar_bytes: MIB, channel_count: 8, context_bytes: PAGE_BYTES }
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
    let large = "it needs 40 MiB of framebuffer, and the GPU has 32 MiB in all";
    let pieces = "it needs 16 MiB of framebuffer in one piece: 16 MiB are free, 8 MiB \
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
    (1..64_u64, 1..64_u64, 1..300_u16, 1..64_u32).prop_map(|(fb, bar, channel_count, context)| {
        Profile {
            fb_bytes: fb * PAGE,
            bar_bytes: bar.min(fb) * PAGE,
            channel_count,
            context_bytes: context * PAGE_BYTES,
        }
    })
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
