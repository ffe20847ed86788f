use super::*;
use crate::mcu::{Mcu, Mishap, MishapAt};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Identity, Policy};

const MIB: u64 = 1 << 20;
const STEP_NS: u64 = 10_000;
const PROFILE: Profile =
    Profile { fb_bytes: 8 * MIB, bar_bytes: MIB, channel_count: 2, context_bytes: 4096 };

fn host() -> Host {
    let identity = Identity {
        fb_bytes: 32 * MIB,
        bar_bytes: 32 * MIB,
        context_bytes: 4 * MIB,
        context_layout: 1,
        engines: Engines::ALL,
    };
    Host::new(GpuConfig { identity, start_ns: 0, costs: Costs::default() }, &Mcu::Native).unwrap()
}

/// Steps until something has come to its end; the firmware is restarted after so many steps.
fn until<T>(
    host: &mut Host,
    restart_after: usize,
    mut step: impl FnMut(&mut Host) -> Option<T>,
) -> T {
    for count in 0..100_000 {
        if count == restart_after {
            host.restart_firmware();
        }
        if let Some(end) = step(host) {
            return end;
        }
        let until_ns = host.now_ns() + STEP_NS;
        host.run(until_ns);
        host.settle();
    }
    panic!("it does not end");
}

#[test]
fn a_vgpu_is_made_changed_and_removed_whenever_the_firmware_restarts() {
    for restart_after in 0..6 {
        let mut host = host();
        let place = host.place_at(&PROFILE, 16 * MIB).unwrap();
        let mut creation = Creation::new(&mut host, place, PROFILE, Share::DEFAULT);
        let made = until(&mut host, restart_after, |host| creation.step(host));
        let gfid = creation.gfid();
        assert!(made.is_ok() && host.card().is_running(gfid), "{restart_after}");
        assert_eq!(host.vgpu(gfid).unwrap().placement.fb_base, 16 * MIB);
        assert!(host.place_at(&PROFILE, 16 * MIB).is_err(), "it is taken");

        let share = Share { weight: 7, part: 100, cap: 200 };
        let mut change = Change::of_share(&mut host, gfid, share);
        until(&mut host, restart_after, |host| change.step(host)).unwrap();
        assert_eq!(host.vgpu(gfid).unwrap().share, share);
        let how = Scheduling { policy: Policy::FixedShare, slice_ns: None, averaging: 5 };
        let mut change = Change::of_scheduling(&mut host, how);
        until(&mut host, restart_after, |host| change.step(host)).unwrap();
        assert_eq!(host.scheduling(), how);

        let mut removal = Removal::new(&mut host, gfid);
        until(&mut host, restart_after, |host| removal.step(host)).unwrap();
        assert_eq!(host.vgpus().count(), 0);
        assert!(host.place_at(&PROFILE, 16 * MIB).is_ok(), "it is free");
    }
}

#[test]
fn what_is_out_of_range_is_refused_and_changes_nothing() {
    let mut host = host();
    let gfid = host.create_running(PROFILE, Share::DEFAULT, None).unwrap();
    let mut change = Change::of_share(&mut host, gfid, Share { weight: 0, ..Share::DEFAULT });
    let refused = until(&mut host, usize::MAX, |host| change.step(host));
    assert!(matches!(refused, Err(HostError::Refused(_))), "{refused:?}");
    assert_eq!(host.vgpu(gfid).unwrap().share, Share::DEFAULT);
    let how = Scheduling { averaging: 0, ..Scheduling::DEFAULT };
    let mut change = Change::of_scheduling(&mut host, how);
    assert!(until(&mut host, usize::MAX, |host| change.step(host)).is_err());
    assert_eq!(host.scheduling(), Scheduling::DEFAULT);
}

#[test]
fn firmware_that_is_lost_for_good_answers_nothing_and_nobody_waits_for_it() {
    let mut host = host();
    let gfid = host.create_running(PROFILE, Share::DEFAULT, None).unwrap();
    while !host.card().is_lost() {
        host.card_mut().arrange(MishapAt { mishap: Mishap::Trap, call: 0, instructions: 0 });
    }
    let place = host.place(&PROFILE, None).unwrap();
    let mut creation = Creation::new(&mut host, place, PROFILE, Share::DEFAULT);
    let lost = until(&mut host, usize::MAX, |host| creation.step(host));
    assert!(matches!(lost, Err(HostError::Lost)), "{lost:?}");
    let mut change = Change::of_share(&mut host, gfid, Share::DEFAULT);
    let lost = until(&mut host, usize::MAX, |host| change.step(host));
    assert!(matches!(lost, Err(HostError::Lost)), "{lost:?}");
    let mut removal = Removal::new(&mut host, gfid);
    let lost = until(&mut host, usize::MAX, |host| removal.step(host));
    assert!(matches!(lost, Err(HostError::Lost)), "{lost:?}");
}
