//! What a vGPU does that was free to do costs it nothing later, and what it does beyond that costs
//! nobody else.

mod rig;

use godwit_engine::{Command, Event, Input, StopMode};
use godwit_types::{
    Abuse, ChannelFault, GuestTsgId, Limit, Limits, Measure, Policy, PreemptMode, RingConfig,
    RunlistId, SLICE_NS_MAX, Scheduling, Share, SwitchCause,
};
use rig::{Ack, MS, PROFILE, Rig, SLICE, channel, gfid, scheduling, sharing};

const COMPUTE: RunlistId = RunlistId::COMPUTE;
const ALIKE: Share = Share::DEFAULT;

fn hint(rig: &mut Rig, raw: u8) {
    rig.give(Input::Hint(gfid(raw)));
    rig.ring(raw);
}

/// What a vGPU has had since then, in percent.
fn had(rig: &Rig, raw: u8, from_ns: u64) -> f64 {
    rig.attained_ns(raw, from_ns) as f64 * 100.0 / (rig.now_ns - from_ns) as f64
}

fn until_on(rig: &mut Rig, raw: u8) {
    while rig.on() != Some(raw) {
        rig.pass(MS / 100);
    }
}

/// Opens a second channel of a vGPU, in a group of its own.
fn open_second(rig: &mut Rig, raw: u8) {
    let (channel, tsg) = (channel(1), GuestTsgId::new(1).unwrap());
    let ring = RingConfig::new(4096, 4, PROFILE.fb_bytes).unwrap();
    rig.must(raw, Command::OpenChannel { channel, tsg, runlist: COMPUTE, ring, grace: 0 });
}

fn ring_second(rig: &mut Rig, raw: u8) {
    let base = PROFILE.channel_count * u16::from(raw - 1);
    rig.give(Input::Doorbell(channel(1).at_base(base).unwrap()));
}

/// One runs alone for a while; then another comes, in each way that it can.
#[test]
fn whoever_ran_alone_owes_nothing_for_it() {
    type Arrival = fn(&mut Rig);
    let arrivals: [(Policy, Arrival); 5] = [
        (Policy::BestEffort, |rig| rig.ring(2)),
        (Policy::BestEffort, |rig| hint(rig, 2)),
        (Policy::BestEffort, |rig| {
            rig.finish();
            rig.ring(2);
            rig.ring(1);
        }),
        (Policy::BestEffort, |rig| {
            rig.must(1, Command::SetScheduling(scheduling(Policy::EqualShare)));
            rig.ring(2);
        }),
        (Policy::EqualShare, |rig| {
            rig.idle(2, ALIKE, 0);
            rig.ring(2);
        }),
    ];
    for (at, (policy, arrive)) in arrivals.into_iter().enumerate() {
        let there = if policy == Policy::EqualShare { 1 } else { 2 };
        let mut rig = sharing(policy, &[ALIKE; 2][..there], 1);
        rig.pass(10_000 * MS);
        let from_ns = rig.now_ns;
        arrive(&mut rig);
        rig.pass(100 * MS);
        let found = [1, 2].map(|raw| had(&rig, raw, from_ns));
        assert!(found.iter().all(|part| (part - 50.0).abs() < 3.0), "{at}: {found:?}");
    }
}

/// One rings urgently whenever a neighbour has a rest of its turn left that is not worth a switch.
#[test]
fn a_rest_of_a_turn_is_not_lost_to_an_urgent_bell() {
    for policy in [Policy::EqualShare, Policy::BestEffort] {
        let mut rig = sharing(policy, &[ALIKE; 3], 2);
        rig.pass(100 * MS);
        let (from_ns, mut hints) = (rig.now_ns, 0);
        let (mut on, mut since_ns) = (rig.on(), rig.now_ns);
        for _ in 0..50_000 {
            rig.pass(MS / 50);
            if rig.on() != on {
                (on, since_ns) = (rig.on(), rig.now_ns);
            }
            if on == Some(1) && (1_560_000..1_900_000).contains(&(rig.now_ns - since_ns)) {
                hint(&mut rig, 3);
                if rig.on() == Some(3) {
                    hints += 1;
                    rig.pass(MS / 100);
                    rig.finish();
                }
                (on, since_ns) = (rig.on(), rig.now_ns);
            }
        }
        let [first, second] = [1, 2].map(|raw| had(&rig, raw, from_ns));
        assert!((first - second).abs() < 0.2, "{policy:?}: {first} and {second}");
        assert!(hints > 0, "{policy:?}");
    }
}

/// One of two that always have work has it in jobs of 1.6 ms, in two groups.
#[test]
fn short_jobs_have_as_much_as_long_ones() {
    for policy in [Policy::EqualShare, Policy::BestEffort] {
        let mut rig = sharing(policy, &[ALIKE; 2], 2);
        open_second(&mut rig, 1);
        ring_second(&mut rig, 1);
        let (from_ns, mut ran_ns) = (rig.now_ns, 0);
        for _ in 0..50_000 {
            let on = rig.on();
            rig.pass(MS / 50);
            if on == Some(1) && rig.on() == Some(1) {
                ran_ns += MS / 50;
            }
            if ran_ns >= 1_600_000 && rig.on() == Some(1) {
                ran_ns = 0;
                rig.finish();
                rig.ring(1);
                ring_second(&mut rig, 1);
            }
        }
        let found = [1, 2].map(|raw| had(&rig, raw, from_ns));
        assert!(found.iter().all(|part| (part - 50.0).abs() < 0.2), "{policy:?}: {found:?}");
    }
}

#[test]
fn an_urgent_bell_runs_the_group_that_it_is_for() {
    // In another's turn, and in its own.
    for on in [1, 3] {
        let mut rig = sharing(Policy::EqualShare, &[ALIKE; 3], 3);
        open_second(&mut rig, 3);
        until_on(&mut rig, on);
        rig.give(Input::Hint(gfid(3)));
        ring_second(&mut rig, 3);
        let group = 2 * PROFILE.channel_count + 1;
        assert_eq!(rig.runlists[0].on.map(|tsg| tsg.raw()), Some(group), "in the turn of {on}");
    }
}

#[test]
fn an_urgent_bell_is_not_the_next_vgpus() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 2], 2);
    let created = rig.create(3);
    assert_eq!(rig.answer(created), Some(Ok(())));
    rig.give(Input::Hint(gfid(3)));
    rig.must(3, Command::Release);
    rig.busy(3);
    rig.pass(20 * MS);
    assert!(rig.switches.iter().all(|switch| switch.cause != SwitchCause::Hint));
}

/// One vGPU goes ahead of the first, so long after that one's turn has begun, and has nothing to do
/// then. The first lets go in `save_ns`. Returns what the other has to pay beside the time that it
/// had.
fn goes_ahead(rig: &mut Rig, who: u8, after_ns: u64, save_ns: u64) -> u64 {
    while rig.on() == Some(1) {
        rig.pass(MS / 100);
    }
    until_on(rig, 1);
    rig.pass(after_ns);
    rig.runlist(COMPUTE).ack = Ack::Late(save_ns);
    hint(rig, who);
    until_on(rig, who);
    rig.finish();
    let own = rig.switches.iter().rfind(|switch| switch.gfid == gfid(who)).unwrap();
    u64::from(own.debt_ns) - u64::from(own.run_ns)
}

#[test]
fn whoever_goes_ahead_pays_for_what_the_other_is_saved_and_loaded_once_more() {
    // The last is that of a device that is ten times slower than any published one.
    for save_ns in [4_000, 40_000, 400_000] {
        let mut rig = sharing(Policy::EqualShare, &[ALIKE; 3], 2);
        rig.runlist(COMPUTE).ack = Ack::Late(save_ns);
        rig.pass(1_000 * MS);
        let from_ns = rig.now_ns;
        for _ in 0..200 {
            let paid_ns = goes_ahead(&mut rig, 3, MS / 2, save_ns);
            assert!(paid_ns.abs_diff(2 * save_ns) <= save_ns / 10, "{save_ns}: {paid_ns}");
        }
        // The one that was interrupted has its own time, and on top of it its saves and loads.
        let [first, second] = [1, 2].map(|raw| rig.attained_ns(raw, from_ns));
        let more_ns = first.saturating_sub(second);
        assert!(more_ns.abs_diff(200 * 2 * save_ns) < 3 * MS, "{save_ns}: {first} and {second}");
    }
}

#[test]
fn whoever_goes_ahead_late_in_a_turn_pays_for_nothing_that_is_not_done_once_more() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 3], 2);
    rig.runlist(COMPUTE).ack = Ack::Late(40_000);
    rig.pass(400 * MS);
    let from_ns = rig.now_ns;
    for _ in 0..200 {
        assert_eq!(goes_ahead(&mut rig, 3, 1_800_000, 40_000), 0);
        // What was left is not worth a switch, and makes the next turn longer.
        assert_eq!(rig.on(), Some(2));
        rig.pass(8 * MS);
    }
    let [first, second] = [1, 2].map(|raw| rig.attained_ns(raw, from_ns));
    assert!(first.abs_diff(second) < 3 * MS, "{first} and {second}");
}

#[test]
fn nobody_pays_for_a_neighbour_that_lets_go_late() {
    const SAVE_NS: u64 = 40_000;
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 5], 4);
    for _ in 0..30_000 {
        let late = rig.on() == Some(1);
        rig.runlist(COMPUTE).ack = Ack::Late(if late { 900_000 } else { SAVE_NS });
        rig.pass(MS / 50);
    }
    rig.runlist(COMPUTE).ack = Ack::Late(SAVE_NS);
    assert_eq!(goes_ahead(&mut rig, 5, MS / 2, 900_000), 2 * 50_000);
}

#[test]
fn a_short_turn_is_long_enough_where_saves_are_short() {
    let weighs = |weight| Share { weight, ..ALIKE };
    let mut rig = sharing(Policy::EqualShare, &[weighs(10), weighs(10), weighs(2)], 2);
    rig.pass(1_000 * MS);
    until_on(&mut rig, 2);
    until_on(&mut rig, 1);
    // Turns are of 0.55 ms, and 0.5 ms are worth a switch.
    hint(&mut rig, 3);
    assert_eq!(rig.on(), Some(3));
}

#[test]
fn nobody_is_taken_off_for_one_that_cannot_pay_for_it() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 3], 2);
    let how = Scheduling { slice_ns: Some(MS), ..scheduling(Policy::EqualShare) };
    rig.must(1, Command::SetScheduling(how));
    rig.runlist(COMPUTE).ack = Ack::Late(400_000);
    rig.pass(1_000 * MS);
    // Of 1 ms, saving and loading leave 0.2 ms, which are not worth a switch.
    until_on(&mut rig, 2);
    until_on(&mut rig, 1);
    hint(&mut rig, 3);
    until_on(&mut rig, 3);
    assert!(rig.switches.iter().all(|switch| switch.cause != SwitchCause::Hint));
}

#[test]
fn whoever_does_not_let_go_pays_for_all_of_it_however_early_it_was_asked() {
    let mut rig = sharing(Policy::BestEffort, &[ALIKE; 3], 2);
    until_on(&mut rig, 2);
    until_on(&mut rig, 1);
    // The second starts, and the third goes ahead before anything else is done.
    let bell = Input::Doorbell(channel(0).at_base(2 * PROFILE.channel_count).unwrap());
    rig.runlist(COMPUTE).ack = Ack::Dead;
    rig.finish_and(&[Input::Hint(gfid(3)), bell]);
    assert_eq!(rig.on(), Some(2));
    rig.pass(6 * MS);
    rig.finish_reset(COMPUTE);
    let switch = rig.switches.last().unwrap();
    assert_eq!((switch.gfid, switch.cause), (gfid(2), SwitchCause::Reset));
    assert_eq!(u64::from(switch.debt_ns), 6 * MS - SLICE);
}

#[test]
fn no_turn_is_longer_than_a_slice_may_be() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 3], 3);
    let slice = |ns| Scheduling { slice_ns: Some(ns), ..scheduling(Policy::EqualShare) };
    rig.must(1, Command::SetScheduling(slice(MS)));
    rig.pass(50 * MS);
    until_on(&mut rig, 3);
    rig.must(1, Command::SetScheduling(slice(30 * MS)));
    let from_ns = rig.now_ns;
    rig.pass(10_000 * MS);
    let longest = rig.switches.iter().map(|switch| u64::from(switch.run_ns)).max().unwrap();
    assert_eq!(longest, SLICE_NS_MAX);
    let found = [1, 2, 3].map(|raw| had(&rig, raw, from_ns));
    assert!(found.iter().all(|part| (part - 33.33).abs() < 0.4), "{found:?}");
}

#[test]
fn a_switch_tells_of_the_debt_before_the_next_turn() {
    let mut rig = sharing(Policy::BestEffort, &[ALIKE; 1], 1);
    open_second(&mut rig, 1);
    rig.runlist(COMPUTE).ack = Ack::Late(900_000);
    ring_second(&mut rig, 1);
    rig.pass(3 * MS);
    let first = rig.switches.first().unwrap();
    assert_eq!((first.run_ns, first.preempt_ns, first.debt_ns), (2_000_000, 900_000, 900_000));
}

fn paused(busy: usize) -> Rig {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 2], busy);
    let of = [Limit { count: 1, measure: Measure::Pause }; 4];
    rig.must(1, Command::SetLimits(Limits { window_ms: 60_000, of }));
    (0..5).for_each(|_| rig.ring(1));
    rig
}

#[test]
fn one_that_is_paused_is_taken_off_an_engine_that_nobody_else_wants() {
    let mut rig = paused(1);
    rig.pass(MS);
    assert_eq!(rig.on(), None);
}

#[test]
fn a_stop_that_is_refused_ends_no_pause() {
    let mut rig = paused(2);
    rig.apertures = false;
    let mode = StopMode::Pinned(PreemptMode::Instruction);
    let id = rig.ask(1, Command::Stop { mode, timeout_ns: MS });
    rig.pass(2 * MS);
    rig.apertures = true;
    rig.give(Input::ApertureSet(gfid(1)));
    assert!(matches!(rig.answer(id), Some(Err(_))));
    let from_ns = rig.now_ns;
    rig.pass(100 * MS);
    assert!(had(&rig, 1, from_ns) < 1.0);
}

#[test]
fn a_pause_ends_with_its_vgpu() {
    let mut rig = paused(2);
    rig.must(1, Command::Release);
    rig.pass(MS);
    rig.idle(1, ALIKE, 0);
    rig.ring(1);
    let from_ns = rig.now_ns;
    rig.pass(100 * MS);
    assert!(had(&rig, 1, from_ns) > 45.0);
}

#[test]
fn bells_of_a_channel_that_has_faulted_are_counted_too() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 2], 2);
    let mut of = [Limit { count: 0, measure: Measure::Report }; 4];
    of[Abuse::Doorbells as usize].count = 5;
    rig.must(1, Command::SetLimits(Limits { window_ms: 60_000, of }));
    rig.give(Input::Fault(channel(0).at_base(0).unwrap(), ChannelFault::BadEntry));
    (0..20).for_each(|_| rig.ring(1));
    let event = Event::Abuse { gfid: gfid(1), abuse: Abuse::Doorbells, measure: Measure::Report };
    assert!(rig.events.contains(&event));
}

/// One stops and starts again and again, in all parts of a round.
#[test]
fn whoever_comes_and_goes_costs_nobody_its_fixed_share() {
    for (comes, others) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
        let part = Share { part: 2_000, ..ALIKE };
        let mut rig = sharing(Policy::FixedShare, &[part; 3], 3);
        rig.pass(50 * MS);
        let from_ns = rig.now_ns;
        for turn in 0..150 {
            rig.pass(7 * MS + turn * MS / 10);
            let stopped = rig.stop(comes, 50 * MS);
            rig.pass(3 * MS + turn * MS / 7);
            assert_eq!(rig.answer(stopped), Some(Ok(())));
            rig.must(comes, Command::Start);
        }
        for other in others {
            let part = had(&rig, other, from_ns);
            assert!(part >= 20.0 * 0.999, "{other} has {part} % beside {comes}");
        }
    }
}

#[test]
fn work_that_has_stood_still_goes_ahead_once() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 4], 4);
    rig.pass(20 * MS);
    let stopped = rig.stop(3, 50 * MS);
    rig.pass(20 * MS);
    assert_eq!(rig.answer(stopped), Some(Ok(())));
    until_on(&mut rig, 4);
    let from_ns = rig.now_ns;
    rig.must(3, Command::Start);
    rig.pass(MS / 10);
    assert_eq!(rig.on(), Some(3));
    rig.pass(400 * MS);
    for raw in 1..=4 {
        let part = had(&rig, raw, from_ns);
        assert!((part - 25.0).abs() < 0.5, "{raw} has {part} %");
    }
}
