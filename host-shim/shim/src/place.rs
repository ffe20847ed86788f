//! Finding room for a vGPU on a card.

use godwit_types::{CHANNEL_COUNT, Gfid, Identity, PAGE_BYTES, Placement, Profile, VGPU_COUNT};

/// The first place from `start` on, in steps of `step`, where `bytes` lie apart from all
/// taken ranges, within `limit`, and not at `avoid`.
fn first_fit(
    start: u64,
    bytes: u64,
    limit: u64,
    step: u64,
    taken: &[(u64, u64)],
    avoid: Option<u64>,
) -> Option<u64> {
    let mut ends: Vec<u64> = taken.iter().map(|(base, length)| base + length).collect();
    ends.extend([start, avoid.map_or(start, |base| base + step)]);
    ends.sort_unstable();
    ends.into_iter().map(|end| end.max(start).next_multiple_of(step)).find(|base| {
        Some(*base) != avoid
            && base.checked_add(bytes).is_some_and(|end| end <= limit)
            && taken.iter().all(|(other, length)| base + bytes <= *other || other + length <= *base)
    })
}

/// A free id and a place for a vGPU of this profile, or `None` when the card has no room.
/// Nothing of the place is at `avoid`'s, where there is room elsewhere.
pub(crate) fn find(
    device: &Identity,
    profile: &Profile,
    taken: &[(Gfid, Profile, Placement)],
    avoid: Option<&Placement>,
) -> Option<(Gfid, Placement)> {
    let gfid = (1..=VGPU_COUNT)
        .filter_map(Gfid::new)
        .find(|gfid| taken.iter().all(|(other, ..)| other != gfid))?;
    let page = u64::from(PAGE_BYTES);
    let ranges = |range: fn(&Profile, &Placement) -> (u64, u64)| -> Vec<(u64, u64)> {
        taken.iter().map(|(_, profile, placement)| range(profile, placement)).collect()
    };
    let fit = |bytes, limit, step, taken: &[(u64, u64)], avoid: Option<u64>| {
        first_fit(0, bytes, limit, step, taken, avoid)
            .or_else(|| first_fit(0, bytes, limit, step, taken, None))
    };
    let fb = ranges(|profile, place| (place.fb_base, profile.fb_bytes));
    let bar = ranges(|profile, place| (place.bar_base, profile.bar_bytes));
    let channels =
        ranges(|profile, place| (place.channel_base.into(), profile.channel_count.into()));
    let contexts = ranges(|profile, place| (place.context_base, profile.context_total()));
    let count = u64::from(profile.channel_count);
    let placement = Placement {
        fb_base: fit(profile.fb_bytes, device.fb_bytes, page, &fb, avoid.map(|at| at.fb_base))?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_between_neighbours_is_used_and_the_old_place_is_not() {
        assert_eq!(first_fit(0, 10, 100, 1, &[(0, 10), (20, 80)], None), Some(10));
        assert_eq!(first_fit(0, 10, 100, 1, &[], Some(0)), Some(1));
        assert_eq!(first_fit(0, 10, 10, 1, &[], Some(0)), None);
        assert_eq!(first_fit(0, 10, 100, 1, &[(0, 95)], None), None);
    }
}
