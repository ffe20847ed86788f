//! Time that is lent, and turns that are left out, beside work that does not let go at once.

mod rig;

use godwit_engine::{Command, Input};
use godwit_types::{GuestTsgId, Policy, RingConfig, RunlistId, Scheduling, Share};
use rig::{Ack, MS, PROFILE, Rig, channel, gfid, near, parts, scheduling, sharing};

const COMPUTE: RunlistId = RunlistId::COMPUTE;

fn part(part: u16, cap: u16) -> Share {
    Share { part, cap, ..Share::DEFAULT }
}

/// The first has work; the second rings in each of its turns, when the first has borrowed it.
/// Returns what they have of a second, in percent.
fn recalled(ack: Ack) -> [f64; 2] {
    let mut rig = sharing(Policy::FixedShare, &[part(5_000, 10_000), part(5_000, 0)], 1);
    rig.runlist(COMPUTE).ack = ack;
    let from_ns = rig.now_ns;
    while rig.now_ns < from_ns + 1_000 * MS {
        // It works for a moment each time.
        rig.ring(2);
        rig.pass(3 * MS);
        if rig.on() == Some(2) {
            rig.runlist(COMPUTE).ack = Ack::Given;
            rig.finish();
            rig.runlist(COMPUTE).ack = ack;
        }
        rig.pass(MS / 2);
    }
    let ns = rig.now_ns - from_ns;
    [1, 2].map(|raw| rig.attained_ns(raw, from_ns) as f64 * 100.0 / ns as f64)
}

#[test]
fn whoever_borrows_and_does_not_let_go_pays_for_it_and_not_the_owner() {
    // What the owner can have is no less for it.
    let (given, late) = (recalled(Ack::Given), recalled(Ack::Late(900_000)));
    assert!(late[1] > given[1] * 0.97, "{given:?} {late:?}");
}

#[test]
fn a_cap_a_little_above_a_part_is_worth_something() {
    let shares = [part(5_000, 6_000), part(5_000, 0)];
    let mut rig = sharing(Policy::FixedShare, &shares, 1);
    rig.pass(100 * MS);
    let found = parts(&mut rig, 1, 4_000 * MS);
    near(&found, &[60.0]);
}

#[test]
fn nothing_is_lent_that_is_nobodys_to_have() {
    // They have had turns by the other policy, in which there is nothing to lend.
    let mut rig = sharing(Policy::BestEffort, &[part(5_000, 0), part(5_000, 8_000)], 2);
    for _ in 0..20 {
        rig.must(1, Command::SetScheduling(scheduling(Policy::BestEffort)));
        rig.pass(7 * MS);
        while rig.on() != Some(1) {
            rig.pass(MS / 10);
        }
        // The first has no more work, and its next turn is kept.
        rig.finish();
        rig.must(1, Command::SetScheduling(scheduling(Policy::FixedShare)));
        rig.switches.clear();
        rig.pass(20 * MS);
        let shortest = rig.switches.iter().map(|switch| switch.slice_ns).min().unwrap();
        assert!(u64::from(shortest) >= MS / 4, "{shortest}");
        rig.ring(1);
    }
}

#[test]
fn nobodys_debt_is_forgiven_for_going_ahead() {
    let mut rig = sharing(Policy::BestEffort, &[Share::DEFAULT; 3], 1);
    let ring = RingConfig::new(4096, 4, PROFILE.fb_bytes).unwrap();
    let (second, tsg) = (channel(1), GuestTsgId::new(1).unwrap());
    let open = Command::OpenChannel { channel: second, tsg, runlist: COMPUTE, ring, grace: 0 };
    rig.must(1, open);
    rig.pass(5 * MS);
    rig.give(Input::Hint(gfid(2)));
    rig.ring(2);
    rig.pass(MS / 10);
    assert_eq!(rig.on(), Some(2), "it has gone ahead");
    // Meanwhile work of another group of the first comes.
    rig.give(Input::Doorbell(channel(1).at_base(0).unwrap()));
    rig.pass(30 * MS);
    // Nobody has saved anything up: a third has its part from the beginning.
    rig.ring(3);
    let found = parts(&mut rig, 3, 60 * MS);
    assert!(found[2] > 30.0, "{found:?}");
}

#[test]
fn a_neighbour_in_debt_delays_nobody_that_comes() {
    let mut rig = sharing(Policy::BestEffort, &[Share::DEFAULT; 3], 1);
    let slice_ns = Some(MS);
    let how = Scheduling { slice_ns, ..scheduling(Policy::BestEffort) };
    rig.must(1, Command::SetScheduling(how));
    rig.ring(3);
    // The third owes so much that its next turn is left out.
    let owes = |rig: &Rig| {
        let mut switches = rig.switches.iter().rev();
        switches.find(|switch| switch.gfid == gfid(3)).is_some_and(|it| it.debt_ns > 2_900_000)
    };
    while !owes(&rig) {
        rig.runlist(COMPUTE).ack =
            if rig.on() == Some(3) { Ack::Late(990_000) } else { Ack::Given };
        rig.pass(MS / 20);
    }
    rig.runlist(COMPUTE).ack = Ack::Given;
    while rig.on() != Some(1) {
        rig.pass(MS / 20);
    }
    let from_ns = rig.now_ns;
    rig.pass(MS / 10);
    // One comes in the turn of the first: the next turn is its own.
    rig.ring(2);
    rig.switches.clear();
    while rig.on() != Some(2) && rig.now_ns < from_ns + 50 * MS {
        rig.pass(MS / 20);
    }
    assert_eq!(rig.switches.len(), 1, "{:?}", rig.switches);
}
