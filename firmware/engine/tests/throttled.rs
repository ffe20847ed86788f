//! A vGPU that is being saved may have less of its own turns, so that it writes less. It goes on,
//! nobody else has less or more for it, and when the save has ended it is as before.

mod rig;

use godwit_engine::{Command, Event, Input};
use godwit_types::{Policy, Share, SlotId, Throttle};
use rig::{MS, Rig, gfid, near, parts, sharing};

const ALIKE: Share = Share::DEFAULT;
const POLICIES: [Policy; 3] = [Policy::BestEffort, Policy::EqualShare, Policy::FixedShare];

fn throttle(shift: u8) -> Throttle {
    Throttle::new(shift).unwrap()
}

/// Begins to save the first vGPU.
fn saving(rig: &mut Rig) {
    rig.must(1, Command::SaveBegin);
    rig.must(1, Command::Credit { slot: SlotId::new(0).unwrap() });
    assert!(rig.is_told(Event::RoundEnd { gfid: gfid(1) }));
}

fn round(rig: &mut Rig, throttle: Throttle) {
    rig.must(1, Command::SaveRound(throttle));
    rig.must(1, Command::Credit { slot: SlotId::new(0).unwrap() });
    rig.pass(20 * MS);
}

#[test]
fn step_by_step_it_has_less_and_neighbours_have_what_they_had() {
    for policy in POLICIES {
        let part = if policy == Policy::FixedShare { 2_500 } else { 0 };
        let shares = [Share { part, ..ALIKE }; 4];
        let mut rig = sharing(policy, &shares, 4);
        saving(&mut rig);
        for (shift, own) in [(0, 25.0), (1, 12.5), (3, 3.125), (6, 0.390_625)] {
            round(&mut rig, throttle(shift));
            near(&parts(&mut rig, 4, 400 * MS), &[own, 25.0, 25.0, 25.0]);
        }
        round(&mut rig, Throttle::MOST);
        near(&parts(&mut rig, 4, 400 * MS), &[0.125, 25.0, 25.0, 25.0]);
        rig.must(1, Command::SaveEnd);
        rig.pass(20 * MS);
        near(&parts(&mut rig, 4, 400 * MS), &[25.0; 4]);
    }
}

#[test]
fn it_is_throttled_where_it_runs_alone_too() {
    for policy in [Policy::BestEffort, Policy::EqualShare] {
        let mut rig = sharing(policy, &[ALIKE], 1);
        saving(&mut rig);
        round(&mut rig, throttle(4));
        near(&parts(&mut rig, 1, 400 * MS), &[6.25]);
        rig.must(1, Command::SaveEnd);
        rig.pass(20 * MS);
        let switches = rig.switches.len();
        rig.pass(400 * MS);
        assert_eq!((rig.on(), rig.switches.len()), (Some(1), switches));
    }
}

#[test]
fn without_work_its_turns_are_anybodys_as_before() {
    let mut rig = sharing(Policy::BestEffort, &[ALIKE; 3], 0);
    rig.ring(2);
    rig.ring(3);
    saving(&mut rig);
    round(&mut rig, throttle(5));
    near(&parts(&mut rig, 3, 400 * MS), &[0.0, 50.0, 50.0]);
}

#[test]
fn neither_urgent_work_nor_time_that_is_lent_goes_round_it() {
    let lent = Share { part: 2_500, cap: 10_000, ..ALIKE };
    let owner = Share { part: 7_500, ..ALIKE };
    let mut rig = sharing(Policy::FixedShare, &[lent, owner], 1);
    near(&parts(&mut rig, 2, 400 * MS), &[100.0, 0.0]);
    saving(&mut rig);
    round(&mut rig, throttle(2));
    let from_ns = rig.now_ns;
    for _ in 0..400 {
        rig.give(Input::Hint(gfid(1)));
        rig.ring(1);
        rig.pass(MS);
    }
    let had = rig.attained_ns(1, from_ns) as f64 * 100.0 / (rig.now_ns - from_ns) as f64;
    near(&[had], &[6.25]);
}
