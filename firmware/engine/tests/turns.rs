//! Who has an engine, when and for how long.

mod rig;

use godwit_engine::{Command, Event, Input, Reject};
use godwit_types::{
    ChannelFault, FAULT_VECTOR, GuestTsgId, Limits, Policy, PreemptMode, RingConfig, RunlistEvent,
    RunlistId, Scheduling, Share, SwitchCause,
};
use rig::{Ack, MS, PROFILE, Rig, SLICE, channel, gfid, near, parts, scheduling, sharing};

const COMPUTE: RunlistId = RunlistId::COMPUTE;

fn part(part: u16, cap: u16) -> Share {
    Share { part, cap, ..Share::DEFAULT }
}

fn weight(weight: u8) -> Share {
    Share { weight, ..Share::DEFAULT }
}

#[test]
fn best_effort_gives_idle_time_to_whoever_has_work() {
    let mut rig = sharing(Policy::BestEffort, &[Share::DEFAULT; 3], 2);
    near(&parts(&mut rig, 3, 400 * MS), &[50.0, 50.0, 0.0]);
}

#[test]
fn equal_share_keeps_the_turn_of_one_that_has_no_work() {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT; 4], 3);
    near(&parts(&mut rig, 4, 400 * MS), &[25.0, 25.0, 25.0, 0.0]);
}

#[test]
fn one_that_runs_alone_with_equal_share_is_never_taken_off() {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT], 1);
    rig.pass(100 * MS);
    assert_eq!((rig.on(), rig.switches.len()), (Some(1), 0));
}

#[test]
fn a_bell_in_a_turn_that_is_kept_starts_its_owner_for_the_rest() {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT; 2], 1);
    while rig.on().is_some() {
        rig.pass(MS / 10);
    }
    rig.pass(MS / 2);
    assert_eq!(rig.on(), None);
    rig.ring(2);
    assert_eq!(rig.on(), Some(2));
    rig.pass(SLICE);
    let switch = rig.switches.last().unwrap();
    assert_eq!((switch.gfid, switch.cause), (gfid(2), SwitchCause::Slice));
    assert!(u64::from(switch.run_ns) <= SLICE - MS / 2, "{switch:?}");
}

#[test]
fn fixed_share_leaves_what_is_nobodys_part() {
    let shares = [part(2_500, 0), part(5_000, 0)];
    let mut rig = sharing(Policy::FixedShare, &shares, 2);
    near(&parts(&mut rig, 2, 800 * MS), &[25.0, 50.0]);
}

#[test]
fn without_a_part_a_fixed_share_is_that_of_the_framebuffer() {
    // A vGPU has one MiB of 64.
    let mut rig = sharing(Policy::FixedShare, &[Share::DEFAULT; 2], 2);
    near(&parts(&mut rig, 2, 4_000 * MS), &[1.5625, 1.5625]);
}

#[test]
fn an_elastic_share_is_lent_up_to_its_cap() {
    let shares = [part(2_500, 4_000), part(5_000, 0), part(2_500, 0)];
    let mut rig = sharing(Policy::FixedShare, &shares, 2);
    near(&parts(&mut rig, 3, 800 * MS), &[40.0, 50.0, 0.0]);
}

#[test]
fn time_that_was_lent_is_given_back_when_its_owner_has_work() {
    let shares = [part(2_500, 10_000), part(7_500, 0)];
    let mut rig = sharing(Policy::FixedShare, &shares, 1);
    // In the turn of the second, the first has borrowed it.
    let lent =
        |rig: &Rig| rig.switches.last().is_some_and(|switch| switch.cause == SwitchCause::Slice);
    while !lent(&rig) {
        rig.pass(MS / 10);
    }
    rig.pass(MS / 10);
    assert_eq!(rig.on(), Some(1));
    rig.ring(2);
    assert_eq!(rig.on(), Some(2));
    assert_eq!(rig.switches.last().unwrap().cause, SwitchCause::Recall);
}

#[test]
fn parts_of_more_than_the_whole_are_shortened_alike() {
    let mut rig = sharing(Policy::FixedShare, &[part(9_000, 0), part(6_000, 0)], 2);
    near(&parts(&mut rig, 2, 800 * MS), &[60.0, 40.0]);
}

#[test]
fn weights_are_how_long_turns_are_to_one_another() {
    for policy in [Policy::BestEffort, Policy::EqualShare] {
        let mut rig = sharing(policy, &[weight(1), weight(2), weight(5)], 3);
        near(&parts(&mut rig, 3, 800 * MS), &[12.5, 25.0, 62.5]);
    }
}

#[test]
fn a_light_weight_waits_for_a_turn_that_is_worth_a_switch() {
    let mut rig = sharing(Policy::BestEffort, &[weight(1), weight(100)], 2);
    near(&parts(&mut rig, 2, 10_000 * MS), &[0.990, 99.010]);
    assert!(rig.switches.iter().all(|switch| u64::from(switch.run_ns) >= SLICE / 4));
}

#[test]
fn whoever_does_not_let_go_has_no_more_than_its_share() {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT; 3], 3);
    // All are as slow while the first is on, which is asked often enough.
    let from_ns = rig.now_ns;
    for _ in 0..40_000 {
        let late = rig.on() == Some(1);
        rig.runlist(COMPUTE).ack = if late { Ack::Late(900_000) } else { Ack::Given };
        rig.pass(MS / 20);
    }
    let total_ns = (rig.now_ns - from_ns) as f64;
    let part = |raw| rig.attained_ns(raw, from_ns) as f64 * 100.0 / total_ns;
    for raw in 1..=3 {
        assert!((part(raw) - 33.33).abs() < 0.4, "{raw}: {}", part(raw));
    }
    assert!(rig.switches.iter().any(|switch| switch.preempt_ns == 900_000));
}

#[test]
fn a_change_of_everything_costs_nobody_its_share() {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT; 3], 3);
    let from_ns = rig.now_ns;
    let policies = [Policy::BestEffort, Policy::EqualShare, Policy::FixedShare];
    for round in 0..200u64 {
        let slice_ns = Some(MS * (1 + round % 7));
        let policy = policies[(round % 3) as usize];
        let how = Scheduling { slice_ns, policy, averaging: 1 + (round % 60) as u8 };
        rig.must(1, Command::SetScheduling(how));
        for raw in 1..=3 {
            // The same to one another each time.
            let weight = 1 + (round % 5) as u8;
            rig.must(raw, Command::SetShare(Share { weight, ..part(3_333, 3_333) }));
        }
        rig.pass(7 * MS + round * 13_000);
    }
    let total_ns = (rig.now_ns - from_ns) as f64;
    for raw in 1..=3 {
        let part = rig.attained_ns(raw, from_ns) as f64 * 100.0 / total_ns;
        assert!((part - 33.33).abs() < 0.7, "{raw}: {part}");
    }
}

#[test]
fn what_was_nobodys_part_is_somebodys_when_the_policy_changes() {
    let mut rig = sharing(Policy::FixedShare, &[part(100, 0); 2], 2);
    rig.pass(10 * MS); // of a round of 400 ms
    rig.must(1, Command::SetScheduling(scheduling(Policy::EqualShare)));
    near(&parts(&mut rig, 2, 400 * MS), &[50.0, 50.0]);
}

/// Two have turns of 30 ms, of which one does not use its own; then turns are of 1 ms.
#[test]
fn whoever_did_not_use_a_long_turn_has_all_its_short_ones() {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT; 3], 0);
    let slice = |ns| Scheduling { slice_ns: Some(ns), ..scheduling(Policy::EqualShare) };
    rig.must(1, Command::SetScheduling(slice(30 * MS)));
    rig.ring(3);
    rig.pass(500 * MS);
    rig.must(1, Command::SetScheduling(slice(MS)));
    rig.ring(1);
    rig.pass(35 * MS); // the turn that was under way
    let found = parts(&mut rig, 1, 12 * MS);
    assert!(found[0] > 32.0, "{found:?}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let mut rig = sharing(Policy::BestEffort, &[Share::DEFAULT], 0);
    let slice_ns = Some(MS / 2);
    let bad = [
        Command::SetScheduling(Scheduling { slice_ns, ..Scheduling::DEFAULT }),
        Command::SetShare(weight(0)),
        Command::SetShare(part(5_000, 4_000)),
        Command::SetLimits(Limits { window_ms: 0, ..Limits::DEFAULT }),
    ];
    for command in bad {
        let id = rig.ask(1, command);
        assert_eq!(rig.answer(id), Some(Err(Reject::OutOfRange)), "{command:?}");
    }
}

fn hint(rig: &mut Rig, raw: u8) {
    rig.give(Input::Hint(gfid(raw)));
    rig.ring(raw);
}

#[test]
fn an_urgent_bell_goes_ahead_once_between_two_turns() {
    let mut rig = sharing(Policy::BestEffort, &[Share::DEFAULT; 3], 2);
    rig.pass(SLICE / 2);
    let interrupted = rig.on();
    hint(&mut rig, 3);
    assert_eq!(rig.on(), Some(3));
    assert_eq!(rig.switches.last().unwrap().cause, SwitchCause::Hint);
    rig.pass(MS / 10);
    rig.finish();
    // The turn that waited goes on.
    assert_eq!(rig.on(), interrupted);
    hint(&mut rig, 3);
    assert_eq!(rig.on(), interrupted, "once only");
}

#[test]
fn whoever_rings_urgently_all_the_time_gains_nothing() {
    let mut rig = sharing(Policy::EqualShare, &[Share::DEFAULT; 4], 4);
    let from_ns = rig.now_ns;
    for _ in 0..20_000 {
        hint(&mut rig, 4);
        rig.pass(MS / 5);
        if rig.on() == Some(4) {
            // It has more work at once.
            rig.finish();
            hint(&mut rig, 4);
        }
    }
    let total_ns = (rig.now_ns - from_ns) as f64;
    for raw in 1..=4 {
        let part = rig.attained_ns(raw, from_ns) as f64 * 100.0 / total_ns;
        assert!(part <= 25.2 && (raw == 4 || part >= 24.8), "{raw}: {part}");
    }
}

/// Two vGPUs that take turns; the first is on the engine, which treats the end of its slice so.
fn expiry(ack: Ack, grace: u8) -> Rig {
    let mut rig = Rig::new();
    rig.idle(1, Share::DEFAULT, grace);
    rig.idle(2, Share::DEFAULT, 0);
    rig.ring(1);
    rig.ring(2);
    assert_eq!(rig.on(), Some(1));
    rig.runlist(COMPUTE).ack = ack;
    rig
}

#[test]
fn an_acknowledge_that_is_lost_costs_no_channel() {
    let mut rig = expiry(Ack::Lost, 0);
    rig.pass(SLICE);
    assert_eq!(rig.switches.len(), 0);
    rig.pass(MS);
    assert_eq!(rig.on(), Some(2));
    assert_eq!((rig.engine.counters().lost_acks, rig.engine.counters().resets), (1, 0));
    assert!(!rig.events.iter().any(|event| matches!(event, Event::ChannelFault { .. })));
}

#[test]
fn an_acknowledge_after_the_deadline_and_before_the_reset_is_dropped() {
    // The reset is asked for, and takes a while.
    let mut rig = expiry(Ack::Dead, 0);
    rig.pass(SLICE);
    let (_, seq) = rig.runlist(COMPUTE).asked.unwrap();
    rig.pass(2 * MS);
    assert_eq!((rig.engine.counters().resets, rig.on()), (1, Some(1)));
    rig.give(Input::Runlist(COMPUTE, RunlistEvent::Preempted { seq }));
    assert_eq!((rig.engine.counters().stale_acks, rig.on()), (1, Some(1)));
    // The reset's own answer ends it.
    rig.finish_reset(COMPUTE);
    assert_eq!(rig.on(), Some(2));
    let faults = rig.events.iter().filter(|event| matches!(event, Event::ChannelFault { .. }));
    assert_eq!(faults.count(), 0, "what it executed is told by the device");
}

#[test]
fn an_acknowledge_just_before_the_deadline_is_as_good_as_any() {
    let mut rig = expiry(Ack::Late(MS - 1), 0);
    rig.pass(SLICE + MS);
    assert_eq!((rig.on(), rig.engine.counters().resets), (Some(2), 0));
    assert_eq!(rig.switches[0].preempt_ns, (MS - 1) as u32);
}

#[test]
fn a_second_acknowledge_changes_nothing() {
    let mut rig = expiry(Ack::Given, 0);
    rig.pass(SLICE);
    let seq = 1;
    rig.give(Input::Runlist(COMPUTE, RunlistEvent::Preempted { seq }));
    assert_eq!((rig.engine.counters().stale_acks, rig.on()), (1, Some(2)));
    assert_eq!(rig.switches.len(), 1);
}

#[test]
fn an_acknowledge_with_a_wrong_number_is_none() {
    let mut rig = expiry(Ack::Hangs, 0);
    rig.pass(SLICE);
    let (_, seq) = rig.runlist(COMPUTE).asked.unwrap();
    rig.give(Input::Runlist(COMPUTE, RunlistEvent::Preempted { seq: seq + 0x1000 }));
    assert_eq!((rig.engine.counters().stale_acks, rig.switches.len()), (1, 0));
    assert_eq!(rig.on(), Some(1));
}

#[test]
fn a_group_without_grace_is_asked_between_two_instructions_at_once() {
    let mut rig = expiry(Ack::Hangs, 0);
    let (mode, _, at_ns) = rig.runlist(COMPUTE).timed.unwrap();
    assert_eq!((mode, at_ns), (PreemptMode::Instruction, SLICE));
}

#[test]
fn a_grace_period_tries_milder_boundaries_first_and_a_reset_last() {
    let mut rig = expiry(Ack::Hangs, 20); // 2 ms
    let asked = |rig: &mut Rig| rig.runlist(COMPUTE).asked.map(|(mode, _)| mode);
    rig.pass(SLICE);
    assert_eq!(asked(&mut rig), Some(PreemptMode::Wfi));
    rig.pass(MS);
    assert_eq!(asked(&mut rig), Some(PreemptMode::Cta));
    rig.pass(MS);
    assert_eq!(asked(&mut rig), Some(PreemptMode::Instruction));
    assert_eq!(rig.engine.counters().resets, 0);
    rig.pass(MS);
    assert_eq!((rig.engine.counters().resets, rig.on()), (1, Some(2)));
    let switch = rig.switches[0];
    assert_eq!((switch.cause, switch.mode), (SwitchCause::Reset, None));
    // It pays for all of it.
    assert_eq!(u64::from(switch.debt_ns), 3 * MS);
}

#[test]
fn the_channels_of_a_group_have_one_grace_period() {
    let mut rig = expiry(Ack::Given, 5);
    let ring = RingConfig::new(4096, 4, PROFILE.fb_bytes).unwrap();
    let open = |grace| Command::OpenChannel {
        channel: channel(1),
        tsg: GuestTsgId::new(0).unwrap(),
        runlist: COMPUTE,
        ring,
        grace,
    };
    let id = rig.ask(1, open(6));
    assert_eq!(rig.answer(id), Some(Err(Reject::Grace)));
    let id = rig.ask(1, open(101));
    assert_eq!(rig.answer(id), Some(Err(Reject::OutOfRange)));
    rig.must(1, open(5));
}

#[test]
fn a_guest_is_told_of_a_fault_by_its_vector() {
    let mut rig = expiry(Ack::Given, 0);
    let base = PROFILE.channel_count;
    let guilty = channel(0).at_base(base).unwrap(); // of the second vGPU
    rig.give(Input::Fault(guilty, ChannelFault::EngineReset));
    assert_eq!(rig.injected, [(gfid(2), 1 << FAULT_VECTOR)]);
    let (fault, channel) = (ChannelFault::EngineReset, channel(0));
    assert!(rig.is_told(Event::ChannelFault { gfid: gfid(2), channel, fault }));
}
