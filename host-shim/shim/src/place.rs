//! Finding room for a vGPU on a card.

use crate::host::{Host, HostError};
use godwit_types::{CHANNEL_COUNT, Gfid, Identity, PAGE_BYTES, Placement, Profile, VGPU_COUNT};

/// The first place in steps of `step` and within `limit` where `bytes` lie apart from all taken
/// ranges and not at `avoid`. Where nothing else is in the way, that is the end of its gap, which
/// stays in one piece. On a card that has no other place it is `avoid` itself: a vGPU that comes
/// with the same numbers is better than one that does not come.
fn fit(bytes: u64, limit: u64, step: u64, taken: &[(u64, u64)], avoid: Option<u64>) -> Option<u64> {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    taken.push((limit, 0));
    let (mut places, mut end) = (Vec::new(), 0_u64);
    for (base, length) in taken {
        let first = end.next_multiple_of(step);
        let last = base.checked_sub(bytes).map(|last| last - last % step);
        if let Some(last) = last.filter(|last| first <= *last) {
            places.extend([first, last]);
        }
        end = base + length;
    }
    let other = places.iter().find(|place| Some(**place) != avoid);
    other.or(places.first()).copied()
}

/// A free id and a place for a vGPU of this profile, or `None` when the card has no room.
/// Nothing of the place is at `avoid`'s, where there is room elsewhere.
pub(crate) fn find(
    device: &Identity,
    profile: &Profile,
    taken: &[(Gfid, Profile, Placement)],
    avoid: Option<&Placement>,
) -> Option<(Gfid, Placement)> {
    let fb: Vec<_> = taken.iter().map(|(_, of, at)| (at.fb_base, of.fb_bytes)).collect();
    let page = u64::from(PAGE_BYTES);
    let avoided = avoid.map(|at| at.fb_base);
    let fb_base = fit(profile.fb_bytes, device.fb_bytes, page, &fb, avoided)?;
    around(device, profile, taken, avoid, fb_base)
}

/// The same, with a partition that begins there, if that is free.
pub(crate) fn find_at(
    device: &Identity,
    profile: &Profile,
    taken: &[(Gfid, Profile, Placement)],
    fb_base: u64,
) -> Option<(Gfid, Placement)> {
    let end = fb_base.checked_add(profile.fb_bytes)?;
    let is_apart = |(_, of, at): &(Gfid, Profile, Placement)| {
        end <= at.fb_base || at.fb_base + of.fb_bytes <= fb_base
    };
    let is_fine = fb_base.is_multiple_of(u64::from(PAGE_BYTES)) && end <= device.fb_bytes;
    if !is_fine || !taken.iter().all(is_apart) {
        return None;
    }
    around(device, profile, taken, None, fb_base)
}

/// An id and the rest of a place whose partition is known.
fn around(
    device: &Identity,
    profile: &Profile,
    taken: &[(Gfid, Profile, Placement)],
    avoid: Option<&Placement>,
    fb_base: u64,
) -> Option<(Gfid, Placement)> {
    let gfid = (1..=VGPU_COUNT)
        .filter_map(Gfid::new)
        .find(|gfid| taken.iter().all(|(other, ..)| other != gfid))?;
    let page = u64::from(PAGE_BYTES);
    let ranges = |range: fn(&Profile, &Placement) -> (u64, u64)| -> Vec<(u64, u64)> {
        taken.iter().map(|(_, profile, placement)| range(profile, placement)).collect()
    };
    let bar = ranges(|profile, place| (place.bar_base, profile.bar_bytes));
    let channels =
        ranges(|profile, place| (place.channel_base.into(), profile.channel_count.into()));
    let contexts = ranges(|profile, place| (place.context_base, profile.context_total()));
    let count = u64::from(profile.channel_count);
    let placement = Placement {
        fb_base,
        bar_base: fit(
            profile.bar_bytes,
            device.bar_bytes,
            page,
            &bar,
            avoid.map(|at| at.bar_base),
        )?,
        channel_base: u16::try_from(fit(
            count,
            CHANNEL_COUNT.into(),
            1,
            &channels,
            avoid.map(|at| at.channel_base.into()),
        )?)
        .ok()?,
        context_base: fit(
            profile.context_total(),
            device.context_bytes,
            page,
            &contexts,
            avoid.map(|at| at.context_base),
        )?,
    };
    Some((gfid, placement))
}

impl Host {
    /// A free id and place for a vGPU, apart from `avoid` where there is room elsewhere.
    ///
    /// # Errors
    ///
    /// [`HostError::NoRoom`].
    pub fn place(
        &mut self,
        profile: &Profile,
        avoid: Option<&Placement>,
    ) -> Result<(Gfid, Placement), HostError> {
        let found = find(&self.identity(), profile, &self.taken(), avoid);
        found.ok_or(HostError::NoRoom { profile: *profile })
    }

    /// A free id for a vGPU, and a place whose partition begins there, if that is free.
    ///
    /// # Errors
    ///
    /// [`HostError::NoRoom`].
    pub fn place_at(
        &mut self,
        profile: &Profile,
        fb_base: u64,
    ) -> Result<(Gfid, Placement), HostError> {
        let found = find_at(&self.identity(), profile, &self.taken(), fb_base);
        found.ok_or(HostError::NoRoom { profile: *profile })
    }

    /// What its vGPUs have.
    fn taken(&self) -> Vec<(Gfid, Profile, Placement)> {
        let all = self.vgpus.iter();
        all.map(|(gfid, info)| (*gfid, info.profile, info.placement)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gap_is_used_and_the_old_place_is_not() {
        assert_eq!(fit(10, 100, 1, &[(20, 80), (0, 10)], None), Some(10));
        assert_eq!(fit(10, 100, 1, &[(20, 60), (0, 10)], Some(10)), Some(80));
        assert_eq!(fit(10, 100, 1, &[], Some(0)), Some(90));
        assert_eq!(fit(10, 103, 4, &[], Some(0)), Some(92));
        assert_eq!(fit(10, 10, 1, &[], Some(0)), Some(0));
        assert_eq!(fit(10, 100, 1, &[(0, 95)], None), None);
    }

    /// Every way to fill a card of eight steps, every length, and every old place.
    #[test]
    fn a_place_is_another_than_the_old_one_wherever_there_is_room() {
        const STEP: u64 = 4;
        const STEPS: u64 = 8;
        for full in 0..1_u32 << STEPS {
            let is_full = |at: u64| full >> at & 1 != 0;
            let blocks = (0..STEPS).filter(|at| is_full(*at));
            let taken: Vec<(u64, u64)> = blocks.map(|at| (at * STEP, STEP)).collect();
            for count in 1..=STEPS {
                let is_free = |at: &u64| (*at..at + count).all(|at| !is_full(at));
                let free: Vec<u64> = (0..=STEPS - count).filter(is_free).collect();
                for old in 0..STEPS {
                    let limit = STEPS * STEP;
                    let found = fit(count * STEP, limit, STEP, &taken, Some(old * STEP));
                    let found = found.map(|base| base / STEP);
                    let elsewhere = free.iter().find(|at| **at != old);
                    let context = format!("{count} in {full:#010b}, from {old}: {found:?}");
                    match found {
                        Some(at) => assert!(free.contains(&at), "{context}"),
                        None => assert!(free.is_empty(), "{context}"),
                    }
                    assert!(found != Some(old) || elsewhere.is_none(), "{context}");
                }
            }
        }
    }

    #[test]
    fn a_partition_begins_where_it_was_asked_for_or_there_is_none() {
        let profile =
            Profile { fb_bytes: 8192, bar_bytes: 4096, channel_count: 8, context_bytes: 4096 };
        let device = Identity {
            fb_bytes: 32_768,
            bar_bytes: 1 << 20,
            context_bytes: 1 << 20,
            context_layout: 1,
            engines: godwit_types::Engines::ALL,
        };
        let first = find_at(&device, &profile, &[], 8192).unwrap();
        assert_eq!((first.0.raw(), first.1.fb_base), (1, 8192));
        let taken = [(first.0, profile, first.1)];
        for (base, is_free) in
            [(0, true), (4096, false), (8192, false), (12_288, false), (16_384, true)]
        {
            let found = find_at(&device, &profile, &taken, base);
            assert_eq!(found.is_some(), is_free, "{base}");
            if let Some((gfid, at)) = found {
                assert_eq!((gfid.raw(), at.fb_base), (2, base));
                assert!(at.channel_base >= 8 || at.channel_base + 8 <= first.1.channel_base);
                assert_ne!(at.bar_base, first.1.bar_base);
            }
        }
        for base in [100, 28_672, 32_768, u64::MAX - 4095] {
            assert_eq!(find_at(&device, &profile, &taken, base), None, "{base}");
        }
    }

    #[test]
    fn a_vgpu_comes_to_a_card_with_no_other_room_at_its_old_place() {
        let profile =
            Profile { fb_bytes: 8192, bar_bytes: 8192, channel_count: 2048, context_bytes: 4096 };
        let device = Identity {
            fb_bytes: 8192,
            bar_bytes: 12_288,
            context_bytes: profile.context_total(),
            context_layout: 1,
            engines: godwit_types::Engines::ALL,
        };
        let old = Placement { fb_base: 0, bar_base: 0, channel_base: 0, context_base: 0 };
        let (_, new) = find(&device, &profile, &[], Some(&old)).unwrap();
        assert_eq!(new, Placement { bar_base: 4096, ..old }, "only the BAR has room");
    }
}
