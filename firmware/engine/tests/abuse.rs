//! What is done about a vGPU that does too much of something.

mod rig;

use godwit_engine::{Command, Event, Input, Reject};
use godwit_types::{
    Abuse, ChannelFault, GuestTsgId, Limit, Limits, Measure, Policy, RingConfig, RunlistId, Share,
};
use rig::{Ack, MS, PROFILE, Rig, SLICE, channel, gfid, near, parts, sharing};

const COMPUTE: RunlistId = RunlistId::COMPUTE;

/// One vGPU may do this only so often in 10 ms.
fn limited(abuse: Abuse, count: u32, measure: Measure) -> Rig {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT; 2], 2);
    let mut of = [Limit { count: 0, measure: Measure::Report }; 4];
    of[abuse as usize] = Limit { count, measure };
    rig.must(1, Command::SetLimits(Limits { window_ms: 10, of }));
    rig
}

fn told(rig: &Rig, abuse: Abuse, measure: Measure) -> usize {
    let event = Event::Abuse { gfid: gfid(1), abuse, measure };
    rig.events.iter().filter(|told| **told == event).count()
}

#[test]
fn too_many_doorbells_are_told_once_in_a_window() {
    let mut rig = limited(Abuse::Doorbells, 5, Measure::Report);
    (0..5).for_each(|_| rig.ring(1));
    assert_eq!(told(&rig, Abuse::Doorbells, Measure::Report), 0);
    (0..20).for_each(|_| rig.ring(1));
    assert_eq!(told(&rig, Abuse::Doorbells, Measure::Report), 1);
    rig.pass(11 * MS);
    (0..6).for_each(|_| rig.ring(1));
    assert_eq!(told(&rig, Abuse::Doorbells, Measure::Report), 2);
}

#[test]
fn turns_are_halved_until_the_window_ends() {
    let mut rig = limited(Abuse::Doorbells, 1, Measure::Shorten);
    rig.must(
        1,
        Command::SetLimits(Limits {
            window_ms: 400,
            of: [Limit { count: 1, measure: Measure::Shorten }; 4],
        }),
    );
    (0..3).for_each(|_| rig.ring(1));
    near(&parts(&mut rig, 2, 390 * MS), &[33.3, 66.6]);
    rig.pass(30 * MS);
    near(&parts(&mut rig, 2, 400 * MS), &[50.0, 50.0]);
}

#[test]
fn what_halved_turns_leave_is_nobodys_with_fixed_share() {
    let part = |part| Share { part, ..Share::DEFAULT };
    // All of the device is somebody's, or not.
    for shares in [[part(5_000), part(5_000)], [part(2_000), part(4_000)]] {
        let mut rig = sharing(Policy::FixedShare, &shares, 2);
        let of = [Limit { count: 1, measure: Measure::Shorten }; 4];
        rig.must(1, Command::SetLimits(Limits { window_ms: 400, of }));
        (0..3).for_each(|_| rig.ring(1));
        let [first, second] = shares.map(|share| f64::from(share.part) / 100.0);
        near(&parts(&mut rig, 2, 390 * MS), &[first / 2.0, second]);
        rig.pass(30 * MS);
        near(&parts(&mut rig, 2, 400 * MS), &[first, second]);
    }
}

#[test]
fn one_that_is_paused_has_no_turns_and_can_be_stopped_and_comes_back() {
    let mut rig = limited(Abuse::Doorbells, 1, Measure::Pause);
    (0..3).for_each(|_| rig.ring(1));
    rig.pass(4 * MS);
    let from_ns = rig.now_ns;
    rig.pass(4 * MS);
    assert_eq!(rig.attained_ns(1, from_ns), 0);
    let id = rig.stop(1, 10 * MS);
    assert_eq!(rig.answer(id), Some(Ok(())));
    rig.must(1, Command::Start);
    rig.pass(10 * MS);
    assert!(rig.attained_ns(1, from_ns) > 0);
}

#[test]
fn one_that_is_banned_loses_the_channel_and_opens_no_other() {
    let mut rig = limited(Abuse::Doorbells, 1, Measure::Ban);
    (0..3).for_each(|_| rig.ring(1));
    let fault = ChannelFault::Banned;
    assert!(rig.is_told(Event::ChannelFault { gfid: gfid(1), channel: channel(0), fault }));
    let open = Command::OpenChannel {
        channel: channel(1),
        tsg: GuestTsgId::new(1).unwrap(),
        runlist: COMPUTE,
        ring: RingConfig::new(4096, 4, PROFILE.fb_bytes).unwrap(),
        grace: 0,
    };
    let id = rig.ask(1, open);
    assert_eq!(rig.answer(id), Some(Err(Reject::Banned)));
    rig.pass(11 * MS);
    rig.must(1, open);
}

#[test]
fn each_channel_that_does_too_much_is_banned_and_no_other() {
    let mut rig = limited(Abuse::Doorbells, 2, Measure::Ban);
    for number in 1..4 {
        rig.must(
            1,
            Command::OpenChannel {
                channel: channel(number),
                tsg: GuestTsgId::new(number).unwrap(),
                runlist: COMPUTE,
                ring: RingConfig::new(4096 * u64::from(number), 4, PROFILE.fb_bytes).unwrap(),
                grace: 0,
            },
        );
    }
    let bell = |number| Input::Doorbell(channel(number).at_base(0).unwrap());
    rig.give(bell(3));
    (0..2).for_each(|_| rig.give(bell(1)));
    (0..3).for_each(|_| rig.give(bell(2)));
    (0..2).for_each(|_| rig.give(bell(3)));
    let fault = ChannelFault::Banned;
    let banned = [0, 1, 2, 3].map(|number| {
        rig.is_told(Event::ChannelFault { gfid: gfid(1), channel: channel(number), fault })
    });
    assert_eq!(banned, [false, true, true, false]);
    assert_eq!(told(&rig, Abuse::Doorbells, Measure::Ban), 2);
}

#[test]
fn resets_are_counted_to_whoever_was_on_the_engine() {
    let mut rig = limited(Abuse::Resets, 2, Measure::Pause);
    rig.must(
        1,
        Command::SetLimits(Limits {
            window_ms: 1_000,
            of: [Limit { count: 2, measure: Measure::Pause }; 4],
        }),
    );
    for _ in 0..400 {
        let hangs = rig.on() == Some(1);
        rig.runlist(COMPUTE).ack = if hangs { Ack::Hangs } else { Ack::Given };
        rig.pass(MS / 4);
    }
    assert_eq!(rig.engine.counters().resets, 3);
    assert_eq!(told(&rig, Abuse::Resets, Measure::Pause), 1);
}

#[test]
fn interrupts_are_counted_from_what_the_device_says() {
    let mut rig = limited(Abuse::Interrupts, 100, Measure::Report);
    // Where counting begins says nothing.
    rig.interrupts = 5_000;
    rig.pass(2 * SLICE);
    assert_eq!(told(&rig, Abuse::Interrupts, Measure::Report), 0);
    rig.interrupts = 5_101;
    rig.pass(2 * SLICE);
    assert_eq!(told(&rig, Abuse::Interrupts, Measure::Report), 1);
}

#[test]
fn interrupts_of_one_that_is_never_taken_off_are_counted_too() {
    let mut rig = sharing(Policy::BestEffort, &[Share::DEFAULT; 1], 1);
    let mut of = [Limit { count: 0, measure: Measure::Report }; 4];
    of[Abuse::Interrupts as usize] = Limit { count: 100, measure: Measure::Pause };
    rig.must(1, Command::SetLimits(Limits { window_ms: 10_000, of }));
    rig.pass(1_100 * MS);
    rig.interrupts = 200;
    rig.pass(1_100 * MS);
    assert_eq!(told(&rig, Abuse::Interrupts, Measure::Pause), 1);
    assert_eq!(rig.on(), None, "it is paused");
}

#[test]
fn faults_of_channels_are_counted() {
    let mut rig = limited(Abuse::Faults, 0, Measure::Report);
    rig.must(
        1,
        Command::SetLimits(Limits {
            window_ms: 1_000,
            of: [Limit { count: 1, measure: Measure::Ban }; 4],
        }),
    );
    let (first, tsg) = (channel(0).at_base(0).unwrap(), GuestTsgId::new(1).unwrap());
    rig.give(Input::Fault(first, ChannelFault::BadEntry));
    let ring = RingConfig::new(4096, 4, PROFILE.fb_bytes).unwrap();
    let open = |number| Command::OpenChannel {
        channel: channel(number),
        tsg,
        runlist: COMPUTE,
        ring,
        grace: 0,
    };
    rig.must(1, open(1));
    rig.give(Input::Fault(channel(1).at_base(0).unwrap(), ChannelFault::BadEntry));
    assert_eq!(told(&rig, Abuse::Faults, Measure::Ban), 1);
    let id = rig.ask(1, open(2));
    assert_eq!(rig.answer(id), Some(Err(Reject::Banned)));
}
