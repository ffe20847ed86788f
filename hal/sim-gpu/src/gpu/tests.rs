//! Time, the vGPUs' blocks, doorbells and the BAR.

mod bells;
mod memory;

use super::HORIZON_NS;
use crate::harness::{
    CODE, DATA, PROFILE, Rig, channel, endless_kernel, gfid, launch, sum, sum_kernel,
};
use crate::{BarError, Costs, Fault, Region, Residue, Stop};
use godwit_hal::{Apertures, Channels, Interrupts, Partitions, Routes, Timer};
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{
    BarMode, CopyOp, PreemptMode, Profile, Route, RunlistEvent, RunlistId, SlotId, SlotRange,
};

const COMPUTE: RunlistId = RunlistId::COMPUTE;
const COPY: RunlistId = RunlistId::COPY;
const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn an_alarm_rings_once_and_stops_time_at_its_time() {
    let start_ns = 77;
    let mut rig = Rig::with(start_ns, Costs::default());
    rig.drain_stops();
    rig.firmware.set_alarm(Some(start_ns + 500));
    rig.gpu.service();
    assert_eq!(rig.gpu.next_event_ns(), Some(start_ns + 500));
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Raised);
    assert_eq!(rig.firmware_now_ns(), start_ns + 500);
    rig.firmware.collect();
    assert!(rig.firmware.poll_alarm());
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Reached);
    assert_eq!(rig.gpu.next_event_ns(), None);
}

#[test]
fn an_alarm_that_has_passed_rings_at_once_and_a_cleared_one_never() {
    let mut rig = Rig::with(1_000, Costs::default());
    rig.drain_stops();
    rig.firmware.set_alarm(Some(999));
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Raised);
    assert_eq!(rig.gpu.now_ns(), 1_000);
    rig.firmware.set_alarm(Some(2_000));
    rig.gpu.service();
    rig.firmware.set_alarm(None);
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Reached);
}

#[test]
fn a_newer_alarm_replaces_the_older() {
    let mut rig = Rig::new();
    rig.drain_stops();
    rig.firmware.set_alarm(Some(2_000));
    rig.gpu.service();
    rig.firmware.set_alarm(Some(9_000));
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Raised);
    assert_eq!(rig.gpu.now_ns(), 9_000);
}

#[test]
fn a_watch_stops_after_exactly_so_many_instructions_and_once() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, COMPUTE);
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    for target in [1, 2, 12_345, 40_000] {
        rig.gpu.watch(gfid(1), Some(target));
        assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Watch(gfid(1)));
        assert_eq!(rig.gpu.stats(gfid(1)).instructions, target);
        let costs = Costs::default();
        let first_ns = costs.context_ns(96) + costs.entry_ns;
        assert_eq!(rig.gpu.now_ns(), first_ns + target);
    }
    let now_ns = rig.gpu.now_ns();
    assert_eq!(rig.gpu.advance(now_ns + 100), Stop::Reached);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, 40_100);
    rig.gpu.watch(gfid(1), Some(5));
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Watch(gfid(1)));
    assert_eq!(rig.gpu.now_ns(), now_ns + 100);
    rig.gpu.watch(gfid(1), Some(50_000));
    rig.gpu.watch(gfid(1), None);
    assert_eq!(rig.gpu.advance(now_ns + 50_000), Stop::Reached);
}

#[test]
fn how_time_is_cut_changes_nothing() {
    let run = |step_ns: u64| {
        let costs = Costs { kernel_instruction_ps: 1_700, ..Costs::default() };
        let mut rig = Rig::with(5, costs);
        rig.add_vgpu(gfid(1), 0);
        rig.bind_plain(0, COMPUTE);
        rig.bind_plain(1, COPY);
        rig.load_code(gfid(1), CODE, &sum_kernel(1500));
        rig.push(gfid(1), 0, &launch(CODE, 4, 3));
        let byte_count = 1 << 20;
        let (from, to) = (DATA, DATA + (2 << 20));
        rig.push(
            gfid(1),
            1,
            &Entry::Copy { from: Address::fb(from), to: Address::fb(to), byte_count },
        );
        rig.start(COMPUTE, 0);
        rig.start(COPY, 1);
        for _ in 0..400_000 / step_ns {
            rig.pass(step_ns);
        }
        assert_eq!((rig.get(0), rig.get(1)), (1, 1));
        (rig.gpu.stats(gfid(1)), rig.gpu.now_ns())
    };
    let whole = run(400_000);
    assert_eq!(run(1), whole);
    assert_eq!(run(1_000), whole);
}

#[test]
fn both_engines_work_at_the_same_time() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, COMPUTE);
    rig.bind_plain(1, COPY);
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    for _ in 0..4 {
        let byte_count = 4 << 20;
        rig.push(gfid(1), 1, &Entry::Fill { at: 4 << 20, byte_count, value: 1 });
    }
    rig.start(COMPUTE, 0);
    rig.start(COPY, 1);
    rig.pass(2_000_000);
    let stats = rig.gpu.stats(gfid(1));
    assert_eq!(stats.compute_busy_ns, 2_000_000);
    assert!(stats.instructions >= 1_999_000);
    let costs = Costs::default();
    let copy_ns = costs.entry_ns + costs.copy_setup_ns + costs.copied_ns(4 << 20);
    assert_eq!(stats.copied_bytes, 16 << 20);
    assert_eq!(stats.copy_busy_ns, 2 * costs.context_ns(96) + 4 * copy_ns);
}

#[test]
fn idle_time_is_jumped_over() {
    let mut rig = Rig::with_vgpu();
    let until_ns = 1_000_000 * SECOND_NS;
    assert_eq!(rig.gpu.advance(until_ns), Stop::Reached);
    assert_eq!(rig.firmware_now_ns(), until_ns);
    assert_eq!(rig.gpu.next_event_ns(), None);
    assert_eq!(rig.gpu.stats(gfid(1)).compute_busy_ns, 0);
}

#[test]
fn while_a_kernel_runs_the_next_event_is_a_little_ahead() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, COMPUTE);
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    assert_eq!(rig.gpu.next_event_ns(), Some(10_000 + HORIZON_NS));
    rig.firmware.set_alarm(Some(10_001));
    rig.gpu.service();
    assert_eq!(rig.gpu.next_event_ns(), Some(10_001));
}

#[test]
fn requests_that_are_found_together_take_effect_in_the_order_of_the_map() {
    let mut rig = Rig::new();
    let config = Rig::config(gfid(1), 0, 0, COMPUTE);
    let seq = rig.start(COMPUTE, 0);
    rig.firmware.bind_channel(channel(0), &config);
    let placement = Rig::placement(0);
    rig.firmware.set_partition(gfid(1), &placement, &PROFILE);
    // An empty ring: the group is known, loaded, and idle.
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq });
    assert!(rig.gpu.now_ns() > 0);
    assert_eq!(rig.firmware.channel_fault(channel(0)), None);
}

#[test]
fn a_partition_keeps_its_bytes_when_it_is_set_again_and_loses_them_when_it_moves() {
    let mut rig = Rig::with_vgpu();
    rig.poke(gfid(1), 5, &[9]);
    rig.add_vgpu(gfid(1), 0);
    assert_eq!(rig.peek(gfid(1), 5), [9]);
    rig.add_vgpu(gfid(1), 1);
    assert_eq!(rig.peek(gfid(1), 5), [0]);
    rig.poke(gfid(1), 5, &[9]);
    rig.firmware.clear_partition(gfid(1));
    rig.gpu.service();
    assert!(rig.gpu.partition(gfid(1)).is_none());
    rig.add_vgpu(gfid(1), 1);
    assert_eq!(rig.peek(gfid(1), 5), [0]);
}

#[test]
fn what_is_left_when_a_partition_is_cleared_is_told_once() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(3, COMPUTE);
    let buffer = Rig::config(gfid(1), 0, 3, COMPUTE);
    let end = buffer.context_at + u64::from(buffer.context_bytes);
    rig.firmware.clear_partition(gfid(1));
    rig.gpu.service();
    assert_eq!(rig.gpu.take_residues(), [], "nothing was ever written");

    rig.add_vgpu(gfid(1), 0);
    rig.bind_plain(3, COMPUTE);
    rig.poke(gfid(1), PROFILE.fb_bytes - 1, &[9]);
    rig.gpu.board.context.write(end - 1, &[9, 9]).unwrap();
    rig.firmware.clear_partition(gfid(1));
    rig.gpu.service();
    let found = [(Region::Partition(gfid(1)), PROFILE.fb_bytes - 1), (Region::Context, end - 1)]
        .map(|(region, at)| Residue { gfid: gfid(1), region, at });
    assert_eq!(rig.gpu.take_residues(), found);
    assert_eq!(rig.gpu.take_residues(), []);

    // The byte behind its buffer was never its own.
    rig.add_vgpu(gfid(1), 0);
    rig.bind_plain(3, COMPUTE);
    rig.gpu.board.context.zero(end - 1, 1).unwrap();
    rig.firmware.clear_partition(gfid(1));
    rig.gpu.service();
    assert_eq!(rig.gpu.take_residues(), []);
}

#[test]
fn a_partition_that_cannot_be_is_acknowledged_and_reaches_nothing() {
    let wide = Profile { fb_bytes: 65 << 20, ..PROFILE };
    let mut low = Rig::placement(0);
    low.fb_base = 4 << 20;
    let mut high = Rig::placement(0);
    high.fb_base = (64 << 20) - 4096;
    let mut uneven = Rig::placement(0);
    uneven.fb_base = (16 << 20) + 1;
    for (placement, profile) in
        [(low, PROFILE), (high, PROFILE), (uneven, PROFILE), (Rig::placement(0), wide)]
    {
        let mut rig = Rig::with_vgpu();
        rig.add_vgpu(gfid(2), 1);
        rig.poke(gfid(1), 0, &[1]);
        while rig.firmware.poll_partition().is_some() {}
        rig.firmware.set_partition(gfid(2), &placement, &profile);
        assert_eq!(rig.gpu.advance(0), Stop::Raised);
        rig.firmware.collect();
        assert_eq!(rig.firmware.poll_partition(), Some(gfid(2)));
        assert!(rig.gpu.partition(gfid(2)).is_none(), "{placement:?}");
        assert_eq!(rig.peek(gfid(1), 0), [1]);
    }
}

#[test]
fn a_channel_whose_context_lies_outside_is_not_bound() {
    let mut rig = Rig::with_vgpu();
    rig.open_window(gfid(1), 0);
    let mut config = Rig::config(gfid(1), 0, 0, COMPUTE);
    config.context_at = (4 << 20) - u64::from(config.context_bytes);
    rig.bind(channel(0), &config);
    assert!(rig.gpu.ring(gfid(1), 0));
    config.context_at += 4096;
    rig.bind(channel(0), &config);
    assert!(!rig.gpu.ring(gfid(1), 0));
}

#[test]
fn a_token_rings_the_channel_of_its_own_route_only() {
    let mut rig = Rig::with_vgpu();
    rig.add_vgpu(gfid(2), 1);
    rig.bind_plain(3, COMPUTE);
    let other = Rig::config(gfid(2), 1, 3, COMPUTE);
    rig.bind(channel(8 + 3), &other);
    assert!(!rig.gpu.ring(gfid(3), 3)); // no route
    assert!(!rig.gpu.ring(gfid(1), 4)); // not bound
    let far = Rig::config(gfid(1), 0, 7, COMPUTE);
    rig.bind(channel(20), &far);
    assert!(!rig.gpu.ring(gfid(1), 20)); // past the route
    assert!(!rig.gpu.ring(gfid(1), 8 + 3));
    assert!(!rig.gpu.ring(gfid(1), u32::MAX));
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_doorbell(), None);
    assert!(rig.gpu.ring(gfid(2), 3));
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Raised);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_doorbell(), Some(channel(11)));
    assert_eq!(rig.firmware.poll_doorbell(), None);

    // A route onto another's channels rings none of them.
    let route =
        Route { channel_base: 8, channel_count: 8, time_offset_ns: 0, interrupts_open: true };
    rig.firmware.set_route(gfid(1), &route);
    rig.gpu.service();
    assert!(!rig.gpu.ring(gfid(1), 3));
}

#[test]
fn injected_vectors_reach_the_host_at_once() {
    let mut rig = Rig::with_vgpu();
    rig.firmware.inject_vectors(gfid(1), 0b101);
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Raised);
    assert_eq!(rig.gpu.now_ns(), 0);
    assert_eq!(rig.host.take_vectors(gfid(1)), 0b101);
}

#[test]
fn a_window_opens_after_its_bind_and_shows_the_partition() {
    let mut rig = Rig::with_vgpu();
    let window = Rig::window(0, BarMode::Direct);
    rig.firmware.bind_aperture(gfid(1), &window);
    let bind_ns = Costs::default().bar_bind_ns;
    rig.pass(bind_ns - 1);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_aperture(), None);
    assert_eq!(rig.gpu.bar_write(0, &[1]), Err(BarError::Unbound));
    assert_eq!(rig.gpu.next_event_ns(), Some(bind_ns));
    assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Raised);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_aperture(), Some(gfid(1)));

    rig.gpu.bar_write(0xffc, &[1, 2, 3, 4, 5]).unwrap();
    assert_eq!(rig.peek(gfid(1), 0xffc), [1, 2, 3, 4, 5]);
    let end = PROFILE.bar_bytes;
    let mut bytes = [0; 8];
    assert_eq!(rig.gpu.bar_read(end - 4, &mut bytes), Err(BarError::Crosses));
    assert_eq!(rig.gpu.bar_read(end, &mut bytes), Err(BarError::Unbound));
    assert_eq!(rig.gpu.bar_read(u64::MAX, &mut bytes), Err(BarError::Unbound));

    for (mode, error) in [(BarMode::Blocked, BarError::Blocked), (BarMode::Trap, BarError::Trapped)]
    {
        rig.firmware.bind_aperture(gfid(1), &Rig::window(0, mode));
        rig.pass(bind_ns);
        assert_eq!(rig.gpu.bar_read(0, &mut bytes), Err(error));
    }
}

#[test]
fn a_window_over_a_neighbours_or_past_the_bar_reaches_nothing() {
    for bar_base in [0, (64 << 20) - 4096, u64::MAX - 4095] {
        let mut rig = Rig::with_vgpu();
        rig.add_vgpu(gfid(2), 1);
        rig.open_window(gfid(1), 0);
        rig.poke(gfid(1), 0, &[1]);
        rig.poke(gfid(2), 0, &[2]);
        let mut window = Rig::window(0, BarMode::Direct);
        window.bar_base = bar_base;
        rig.firmware.bind_aperture(gfid(2), &window);
        rig.pass(10_000);
        let mut byte = [0];
        rig.gpu.bar_read(0, &mut byte).unwrap();
        assert_eq!(byte, [1]);
        if bar_base != 0 {
            assert_eq!(rig.gpu.bar_read(bar_base, &mut byte), Err(BarError::Unbound));
        }
    }
}

#[test]
fn the_window_that_was_there_first_stays() {
    let mut rig = Rig::with_vgpu();
    rig.add_vgpu(gfid(2), 1);
    rig.open_window(gfid(2), 1);
    rig.poke(gfid(2), 0, &[2]);
    let mut window = Rig::window(1, BarMode::Direct);
    window.bar_base += 4096;
    window.byte_count -= 4096;
    rig.firmware.bind_aperture(gfid(1), &window);
    rig.pass(10_000);
    rig.gpu.bar_write(window.bar_base, &[3]).unwrap();
    assert_eq!((rig.peek(gfid(1), 0), rig.peek(gfid(2), 4096)), ([0], [3]));
}

#[test]
fn a_window_onto_more_than_the_partition_stops_at_its_end() {
    let mut rig = Rig::with_vgpu();
    let mut window = Rig::window(0, BarMode::Direct);
    window.fb_offset = PROFILE.fb_bytes - 4096;
    rig.firmware.bind_aperture(gfid(1), &window);
    rig.pass(10_000);
    let mut bytes = [0; 8];
    assert_eq!(rig.gpu.bar_read(4088, &mut bytes), Ok(()));
    assert_eq!(rig.gpu.bar_read(4092, &mut bytes), Err(BarError::Crosses));
}

#[test]
fn a_stuck_bind_stays_pending_for_longer() {
    let mut rig = Rig::with_vgpu();
    rig.gpu.inject(Fault::BarStuckNs(5_000_000));
    let window = Rig::window(0, BarMode::Direct);
    rig.firmware.bind_aperture(gfid(1), &window);
    rig.pass(5_000_000);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_aperture(), None);
    assert_eq!(rig.gpu.pending_faults(), []);
    rig.pass(Costs::default().bar_bind_ns);
    rig.firmware.collect();
    assert_eq!(rig.firmware.poll_aperture(), Some(gfid(1)));
}

#[test]
fn faults_that_were_not_needed_can_be_cleared() {
    let mut rig = Rig::with_vgpu();
    rig.gpu.inject(Fault::CopyError);
    rig.gpu.inject(Fault::AckLost(COMPUTE));
    assert_eq!(rig.gpu.pending_faults().len(), 2);
    rig.gpu.clear_faults();
    assert_eq!(rig.gpu.pending_faults(), []);
    let seq = rig.preempt(COMPUTE, PreemptMode::Wfi);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
}

/// Regions with a secret in them.
fn found(rig: &Rig, secret: &[u8]) -> Vec<(Region, u64)> {
    let mut places = Vec::new();
    rig.gpu
        .for_each_data(&mut |region, at, bytes| {
            let windows = bytes.windows(secret.len());
            let here = windows.enumerate().filter(|(_, window)| *window == secret);
            places.extend(here.map(|(index, _)| (region, at + index as u64)));
        })
        .unwrap();
    places
}

#[test]
fn every_place_that_holds_data_is_visited_and_none_after_it_was_scrubbed() {
    let secret = b"this is nobody else's";
    let byte_count = secret.len() as u32;
    let mut rig = Rig::with_vgpu();
    rig.poke(gfid(1), PROFILE.fb_bytes - 4096, secret);
    let slot = SlotId::new(7).unwrap();
    rig.gpu.staging().write(slot, 300, secret).unwrap();
    rig.gpu.staging().write(slot, 0, secret).unwrap();
    let from = SlotRange { slot, byte_count };
    let crc = crc_fast::crc32_iscsi(secret);
    rig.copy(CopyOp::SlotToContext { from, at: 4096 * 5, crc });
    assert_eq!(
        found(&rig, secret),
        [
            (Region::Partition(gfid(1)), PROFILE.fb_bytes - 4096),
            (Region::Context, 4096 * 5),
            (Region::Slot(slot), 0),
            (Region::Slot(slot), 300),
        ]
    );
    rig.copy(CopyOp::FillSlot { slot });
    rig.copy(CopyOp::FillContext { at: 4096 * 5 + 1, byte_count: 4096 });
    rig.copy(CopyOp::FillFb { at: PROFILE.fb_bytes - 4096, byte_count: 4096 });
    assert_eq!(found(&rig, secret), []);
}

#[test]
fn counts_begin_anew_with_a_new_partition() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, COMPUTE);
    rig.load_code(gfid(1), CODE, &sum_kernel(5));
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.run_idle(COMPUTE, 0);
    rig.firmware.clear_partition(gfid(1));
    rig.gpu.service();
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, 30);
    rig.add_vgpu(gfid(1), 0);
    assert_eq!(rig.gpu.stats(gfid(1)), crate::VgpuStats::default());
}

#[test]
fn neighbours_share_an_engine_and_reach_only_their_own_memory() {
    let mut rig = Rig::with_vgpu();
    rig.add_vgpu(gfid(2), 1);
    rig.bind_plain(0, COMPUTE);
    let other = Rig::config(gfid(2), 1, 0, COMPUTE);
    rig.bind(channel(8), &other);
    // Other code at the same addresses.
    rig.load_code(gfid(1), CODE, &sum_kernel(900));
    rig.load_code(gfid(2), CODE, &sum_kernel(700));
    rig.push(gfid(1), 0, &launch(CODE, 2, 2));
    rig.push_words(gfid(2), 1, &[0; 16]); // keeps the two rings' counts apart
    let words = launch(CODE, 2, 2).encode();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    rig.poke(gfid(2), other.ring.base() + 512, &bytes);
    rig.poke(gfid(2), other.ring.base(), &[1]);
    let mut group = 0;
    let mut idle = 0;
    while idle < 2 {
        let start = rig.start(COMPUTE, group);
        if rig.answer_within(COMPUTE, 3_000) == Some(RunlistEvent::Idle { seq: start }) {
            idle += 1;
        } else {
            let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
            let answer = rig.answer(COMPUTE);
            assert_eq!(answer, RunlistEvent::Preempted { seq });
        }
        group = 8 - group;
    }
    for index in 0..4 {
        let own = u64::from_le_bytes(rig.peek(gfid(1), DATA + 8 * index));
        let others = u64::from_le_bytes(rig.peek(gfid(2), DATA + 8 * index));
        assert_eq!((own, others), (sum(index, 900), sum(index, 700)));
    }
    let (one, two) = (rig.gpu.stats(gfid(1)), rig.gpu.stats(gfid(2)));
    assert_eq!(one.instructions, 4 * 3610);
    assert_eq!(two.instructions, 4 * 2810);
    assert_eq!(one.compute_busy_ns + two.compute_busy_ns, rig.gpu.now_ns());
}
