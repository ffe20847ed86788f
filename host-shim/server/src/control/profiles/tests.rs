use super::*;
use godwit_types::{Engines, Identity};

fn room(fb_mib: u64) -> Room {
    let device = Identity {
        fb_bytes: fb_mib * MIB,
        bar_bytes: fb_mib * MIB,
        context_bytes: 256 * MIB,
        context_layout: 1,
        engines: Engines::ALL,
    };
    Room { device, taken: Vec::new() }
}

fn ask(room: &Room, profile: &str, placement: Option<u32>) -> Result<(Profile, Found), Refusal> {
    find(room, Sizes::Mixed, profile, placement, |gfid| format!("v{}", gfid.raw()))
}

/// Creates one, as a host does.
fn take(room: &mut Room, profile: &str, placement: Option<u32>) -> u64 {
    let (profile, (gfid, at)) = ask(room, profile, placement).unwrap();
    room.taken.push((gfid, profile, at));
    at.fb_base / MIB
}

#[test]
fn profiles_are_halves_of_the_gpu_as_long_as_they_are_whole_mib() {
    let names = |fb_mib| of(fb_mib * MIB).into_iter().map(|it| it.name).collect::<Vec<_>>();
    let all = ["GW512-512Q", "GW512-256Q", "GW512-128Q", "GW512-64Q", "GW512-32Q", "GW512-16Q"];
    assert_eq!(names(512), all);
    assert_eq!(names(12), ["GW12-12Q", "GW12-6Q", "GW12-3Q"]);
    assert_eq!(names(1), ["GW1-1Q"]);
    assert!(of(MIB / 2).is_empty() && of(0).is_empty());
    for it in of(12 * MIB).iter().chain(&of(1 << 40)) {
        assert_eq!(it.profile.check(), Ok(()), "{it:?}");
        assert!(it.profile.bar_bytes.is_power_of_two());
    }
}

#[test]
fn a_framebuffer_is_named_by_its_size_and_its_place() {
    let name = |bytes: u64, base: u64| named(512 * MIB, bytes * MIB, base * MIB);
    assert_eq!(name(64, 128), (Some("GW512-64Q".into()), Some(8)));
    assert_eq!(name(64, 100), (Some("GW512-64Q".into()), None));
    assert_eq!(name(65, 0), (None, None));
}

#[test]
fn placements_of_mixed_sizes_are_multiples_of_the_size() {
    let mut room = room(512);
    assert_eq!(take(&mut room, "gw512-16q", None), 0);
    assert_eq!(take(&mut room, "GW512-128Q", None), 128);
    assert_eq!(take(&mut room, "GW512-128Q", Some(24)), 384);
    let all = status(&room, Sizes::Mixed);
    let free = |name: &str| {
        let it = all.iter().find(|it| it.name == name).unwrap();
        let ids = it.placements.iter().filter(|at| at.free).map(|at| at.id).collect::<Vec<_>>();
        (it.creatable, ids)
    };
    assert_eq!(free("GW512-512Q"), (0, vec![]));
    assert_eq!(free("GW512-256Q"), (0, vec![]));
    assert_eq!(free("GW512-128Q"), (1, vec![16]));
    assert_eq!(free("GW512-64Q"), (3, vec![4, 16, 20]));
    assert_eq!(free("GW512-16Q").0, 15);
}

#[test]
fn what_does_not_fit_is_told_with_what_would() {
    let mut room = room(64);
    for _ in 0..3 {
        take(&mut room, "GW64-16Q", None);
    }
    let told = |room: &Room, profile: &str, placement| {
        let refusal = ask(room, profile, placement).unwrap_err();
        (refusal.code, refusal.message, refusal.help.unwrap())
    };
    let (code, why, help) = told(&room, "GW64-32Q", None);
    assert_eq!(code, Code::NoRoom);
    assert!(why.contains("32 MiB of framebuffer, and 16 MiB are free"), "{why}");
    assert!(help.contains("GW64-16Q (1), GW64-8Q (2)"), "{help}");
    let (_, why, help) = told(&room, "GW64-16Q", Some(8));
    assert_eq!(
        (why.as_str(), help.as_str()),
        ("placement 8 is taken by `v2`", "free placements of GW64-16Q: 24")
    );
    let (code, _, help) = told(&room, "GW64-16Q", Some(3));
    assert_eq!((code, help.as_str()), (Code::BadValue, "allowed: 0, 8, 16, 24"));
    let (code, _, help) = told(&room, "L40S-12Q", None);
    assert_eq!(code, Code::NoProfile);
    assert!(help.starts_with("allowed: GW64-64Q, GW64-32Q"), "{help}");
    take(&mut room, "GW64-16Q", None);
    let (_, _, help) = told(&room, "GW64-2Q", None);
    assert!(help.starts_with("nothing fits"), "{help}");
}

#[test]
fn room_that_is_not_at_a_placement_is_told_of() {
    let mut room = room(64);
    for id in [0, 16] {
        take(&mut room, "GW64-16Q", Some(id));
    }
    let refusal = ask(&room, "GW64-32Q", None).unwrap_err();
    let why = "it needs 32 MiB of framebuffer in one piece: 32 MiB are free, 16 MiB of";
    assert!(refusal.message.contains(why), "{refusal:?}");
    let (mut room, odd) = (self::room(64), of(64 * MIB)[3].profile);
    room.taken.push((
        Gfid::new(1).unwrap(),
        odd,
        Placement { fb_base: 12 * MIB, bar_base: 0, channel_base: 0, context_base: 0 },
    ));
    let refusal = ask(&room, "GW64-16Q", Some(0)).unwrap_err();
    assert_eq!(refusal.message, "placement 0 is taken by `v1`");
    room.taken[0].2.fb_base = 28 * MIB;
    let refusal = ask(&room, "GW64-32Q", None).unwrap_err();
    assert!(
        refusal.message.ends_with("MiB are free that begin at a multiple of 32 MiB")
            || refusal.message.contains("in one piece"),
        "{refusal:?}"
    );
}

#[test]
fn homogeneous_vgpus_are_of_one_size() {
    let mut room = room(64);
    take(&mut room, "GW64-16Q", None);
    let ask = |profile: &str| {
        find(&room, Sizes::Homogeneous, profile, None, |gfid| format!("v{}", gfid.raw()))
    };
    assert_eq!(ask("GW64-16Q").unwrap().1.1.fb_base, 16 * MIB);
    let refusal = ask("GW64-8Q").unwrap_err();
    assert_eq!(refusal.code, Code::NoRoom);
    assert!(refusal.message.contains("homogeneous, of 16 MiB"), "{refusal:?}");
    let creatable = status(&room, Sizes::Homogeneous);
    let creatable: Vec<u32> = creatable.iter().map(|it| it.creatable).collect();
    assert_eq!(creatable, [0, 0, 3, 0, 0, 0]);
}
