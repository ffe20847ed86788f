//! What a vGPU has had too much of engines' time is part of its state: it is saved, restored,
//! bounded, and paid back where the vGPU has come to.

mod rig;

use godwit_engine::{ChannelRecord, Command, Event, Reject, VgpuRecord};
use godwit_types::{GuestTsgId, Policy, RingConfig, RunlistId, Scheduling, Share, SlotId};
use rig::{Ack, MS, PROFILE, Rig, channel, gfid, near, parts, scheduling, sharing};

const ALIKE: Share = Share::DEFAULT;
/// What no debt is above.
const MOST_NS: u32 = 100 * MS as u32;

/// What the engine tells of a vGPU when it is saved.
fn saved(rig: &mut Rig, raw: u8) -> VgpuRecord {
    let stop = rig.stop(raw, 50 * MS);
    rig.pass(MS);
    assert_eq!(rig.answer(stop), Some(Ok(())));
    saved_at_rest(rig, raw)
}

fn saved_at_rest(rig: &mut Rig, raw: u8) -> VgpuRecord {
    rig.must(raw, Command::SaveBegin);
    rig.must(raw, Command::Credit { slot: SlotId::new(raw).unwrap() });
    rig.must(raw, Command::SaveState);
    let of = |event: &Event| match *event {
        Event::Vgpu(whose, record) if whose == gfid(raw) => Some(record),
        _ => None,
    };
    rig.events.iter().rev().find_map(of).unwrap()
}

fn owing(debts_ns: [u32; 2]) -> VgpuRecord {
    let (guest_time_ns, pending_vectors) = (0, 0);
    VgpuRecord { guest_time_ns, pending_vectors, channel_count: 1, context_count: 0, debts_ns }
}

/// A vGPU that is restored with these debts, and stands still. It has work without end.
fn restore(rig: &mut Rig, raw: u8, debts_ns: [u32; 2]) {
    let id = rig.create(raw);
    assert_eq!(rig.answer(id), Some(Ok(())));
    rig.must(raw, Command::RestoreBegin);
    rig.must(raw, Command::LoadVgpu(owing(debts_ns)));
    rig.must(
        raw,
        Command::LoadChannel(ChannelRecord {
            channel: channel(0),
            tsg: GuestTsgId::new(0).unwrap(),
            runlist: RunlistId::COMPUTE,
            ring: RingConfig::new(0, 4, PROFILE.fb_bytes).unwrap(),
            grace: 0,
            fault: None,
            pending: true,
            used: false,
            left_at: None,
        }),
    );
    rig.must(raw, Command::RestoreEnd);
}

#[test]
fn what_a_vgpu_owes_is_saved() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 2], 2);
    assert_eq!(saved(&mut rig, 2).debts_ns, [0; 2]);
    rig.must(2, Command::SaveEnd);
    rig.must(2, Command::Start);
    // It went ahead of the first.
    rig.pass(20 * MS);
    while rig.on() != Some(1) {
        rig.pass(MS / 100);
    }
    rig.runlist(RunlistId::COMPUTE).ack = Ack::Late(900_000);
    while rig.on() != Some(2) {
        rig.pass(MS / 100);
    }
    rig.runlist(RunlistId::COMPUTE).ack = Ack::Given;
    let told_ns = rig.switches.last().unwrap().debt_ns;
    assert!((890_000..910_000).contains(&told_ns), "{told_ns}");
    assert_eq!(saved(&mut rig, 1).debts_ns, [told_ns, 0]);
}

#[test]
fn what_a_vgpu_owes_it_pays_where_it_has_come_to() {
    for owed_ns in [0, 12 * MS, 90 * MS] {
        let mut rig = sharing(Policy::EqualShare, &[ALIKE; 1], 1);
        restore(&mut rig, 2, [owed_ns as u32, 0]);
        rig.must(2, Command::Start);
        let from_ns = rig.now_ns;
        rig.pass(2_000 * MS);
        let [first, second] = [1, 2].map(|raw| rig.attained_ns(raw, from_ns));
        // A turn more or less, and the rest of a debt that is paid in small parts.
        let more_ns = first.saturating_sub(second);
        assert!(more_ns.abs_diff(owed_ns) < 3 * MS, "{owed_ns} ns owed: {first} and {second}");
    }
}

#[test]
fn a_debt_that_comes_from_elsewhere_is_bounded() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 1], 1);
    restore(&mut rig, 2, [u32::MAX, MOST_NS + 1]);
    assert_eq!(saved_at_rest(&mut rig, 2).debts_ns, [MOST_NS; 2]);
}

#[test]
fn a_debt_ends_with_its_vgpu() {
    let mut rig = sharing(Policy::EqualShare, &[ALIKE; 1], 1);
    restore(&mut rig, 2, [MOST_NS; 2]);
    rig.must(2, Command::Start);
    // Once it runs, nobody changes what it owes.
    let late = rig.ask(2, Command::LoadVgpu(owing([0; 2])));
    assert_eq!(rig.answer(late), Some(Err(Reject::WrongPhase)));
    rig.must(2, Command::Release);
    rig.pass(MS);
    restore(&mut rig, 2, [0; 2]);
    assert_eq!(saved_at_rest(&mut rig, 2).debts_ns, [0; 2]);
}

#[test]
fn where_all_have_debts_each_has_its_part() {
    for policy in [Policy::BestEffort, Policy::EqualShare] {
        let weights = [1, 1, 4];
        let shares = weights.map(|weight| Share { weight, ..ALIKE });
        let mut rig = sharing(policy, &shares, 3);
        let slice_ns = Some(MS);
        rig.must(1, Command::SetScheduling(Scheduling { slice_ns, ..scheduling(policy) }));
        // Each time as late as a turn is long, which is more than is paid of a debt in parts.
        rig.runlist(RunlistId::COMPUTE).ack = Ack::Late(900_000);
        rig.pass(1_000 * MS);
        let found = parts(&mut rig, 3, 20_000 * MS);
        near(&found, &weights.map(|weight| f64::from(weight) * 100.0 / 6.0));
    }
}

#[test]
fn a_debt_as_large_as_there_are_is_paid_beside_others_with_debts() {
    let mut rig = sharing(Policy::BestEffort, &[ALIKE; 1], 1);
    restore(&mut rig, 2, [MOST_NS, 0]);
    rig.runlist(RunlistId::COMPUTE).ack = Ack::Late(900_000);
    rig.pass(200 * MS);
    rig.must(2, Command::Start);
    let from_ns = rig.now_ns;
    rig.pass(2_000 * MS);
    let [first, second] = [1, 2].map(|raw| rig.attained_ns(raw, from_ns));
    let more_ns = first.saturating_sub(second);
    assert!(more_ns.abs_diff(u64::from(MOST_NS)) < 6 * MS, "{first} and {second}");
}
