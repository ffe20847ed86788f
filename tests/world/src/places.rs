//! A vGPU that comes to a host has none of its old bases there, unless there is no room elsewhere.

use crate::world::{HostId, VgpuId, World};
use godwit_types::{CHANNEL_COUNT, Gfid, PAGE_BYTES, Placement, Profile};

/// One kind of base: where it is, how long what begins there is, and in what steps it may lie.
struct Part {
    what: &'static str,
    base: fn(&Placement) -> u64,
    length: fn(&Profile) -> u64,
    step: u64,
    limit: u64,
}

impl World {
    /// A host has just placed a vGPU that was at `old` before.
    pub(crate) fn check_place(
        &mut self,
        id: VgpuId,
        to: HostId,
        old: &Placement,
        (gfid, new): (Gfid, Placement),
    ) {
        let profile = self.vgpus[id.0].profile;
        let host = &mut self.hosts[to.0].host;
        let device = host.identity();
        let others = host.vgpus().filter(|(other, _)| *other != gfid);
        let others: Vec<_> = others.map(|(_, info)| (info.profile, info.placement)).collect();
        let page = u64::from(PAGE_BYTES);
        let part = |what, base, length, step, limit| Part { what, base, length, step, limit };
        let parts = [
            part("partition", |at| at.fb_base, |it| it.fb_bytes, page, device.fb_bytes),
            part("BAR", |at| at.bar_base, |it| it.bar_bytes, page, device.bar_bytes),
            part(
                "channel",
                |at| at.channel_base.into(),
                |it| it.channel_count.into(),
                1,
                CHANNEL_COUNT.into(),
            ),
            part(
                "context",
                |at| at.context_base,
                Profile::context_total,
                page,
                device.context_bytes,
            ),
        ];
        for Part { what, base, length, step, limit } in parts {
            if base(&new) != base(old) {
                continue;
            }
            let taken = others.iter().map(|(profile, at)| (base(at), length(profile)));
            if has_room_beside(base(old), length(&profile), step, limit, taken.collect()) {
                let (name, base) = (self.vgpus[id.0].name.clone(), base(&new));
                self.problem(format!(
                    "{name} has its old {what} base {base:#x} again, and there is room elsewhere"
                ));
            }
        }
    }
}

/// Whether `length` fits somewhere apart from all that is taken, and not at `old`.
fn has_room_beside(
    old: u64,
    length: u64,
    step: u64,
    limit: u64,
    mut taken: Vec<(u64, u64)>,
) -> bool {
    taken.push((limit, 0));
    taken.sort_unstable();
    let mut free_from = 0;
    for (base, bytes) in taken {
        let first = u64::next_multiple_of(free_from, step);
        let room = base.checked_sub(first).and_then(|gap| gap.checked_sub(length));
        // In a gap with room for another place one step on, one of the two is not the old one.
        if room.is_some_and(|room| first != old || room >= step) {
            return true;
        }
        free_from = free_from.max(base + bytes);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_a_gap_that_holds_another_place() {
        assert!(!has_room_beside(0, 10, 1, 10, vec![]));
        assert!(has_room_beside(0, 10, 1, 11, vec![]));
        assert!(!has_room_beside(0, 8, 4, 11, vec![]));
        assert!(has_room_beside(0, 8, 4, 12, vec![]));
        assert!(!has_room_beside(4, 4, 4, 12, vec![(8, 4), (0, 4)]));
        assert!(has_room_beside(4, 4, 4, 16, vec![(8, 4), (0, 4)]));
    }
}
