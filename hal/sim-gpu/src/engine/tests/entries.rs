//! Work: entries are begun, done, refused, and what it costs.

use super::{BARE_CONTEXT, CHUNK, COMPUTE, COPY, SOON_NS, compute_rig, copy_rig};
use crate::compute::program::{EXIT, addi, beq, bne, lbu, li, lr_d, sc_d, sd};
use crate::harness::{
    CODE, DATA, PROFILE, Rig, channel, endless_kernel, gfid, launch, sum, sum_kernel, wild_kernel,
};
use crate::{Costs, Stop};
use ckb_vm::registers::{A0, A1, T0, T1, ZERO};
use godwit_hal::{Channels, Runlists};
use godwit_mmio::Words;
use godwit_regs::bits::ChannelStatus;
use godwit_regs::copy::PageRun;
use godwit_regs::fifo::{Address, Entry, Launch};
use godwit_types::{
    ChannelFault, CopyOp, CopyStatus, PreemptMode, RunlistEvent, RunlistState, SlotId, SlotRange,
    Vector,
};

#[test]
fn a_kernel_runs_to_its_end_and_the_group_goes_idle() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &sum_kernel(50));
    rig.push(gfid(1), 0, &launch(CODE, 2, 3));
    rig.run_idle(COMPUTE, 0);
    for index in 0..6 {
        assert_eq!(rig.peek_u64(DATA + 8 * index), sum(index, 50));
    }
    assert_eq!(rig.get(0), 1);
    assert_eq!(rig.gpu.stats(gfid(1)).instructions, 6 * (7 + 4 * 50 + 3));
    assert_eq!(rig.firmware.runlist_state(COMPUTE), RunlistState::Empty);
}

#[test]
fn time_is_what_the_parts_cost() {
    for costs in [Costs::default(), Costs::default().scaled(1, 10), Costs::default().scaled(10, 1)]
    {
        let start_ns = 1_000_000_007;
        let mut rig = Rig::with(start_ns, costs);
        rig.add_vgpu(gfid(1), 0);
        rig.bind_plain(0, COMPUTE);
        rig.load_code(gfid(1), CODE, &sum_kernel(1000));
        rig.push(gfid(1), 0, &launch(CODE, 1, 1));
        rig.run_idle(COMPUTE, 0);
        let switch_ns = costs.context_ns(BARE_CONTEXT);
        let kernel_ns = (4010 * costs.kernel_instruction_ps).div_ceil(1000);
        let end_ns = start_ns + switch_ns + costs.entry_ns + kernel_ns + switch_ns;
        assert_eq!(rig.gpu.now_ns(), end_ns);
        assert_eq!(rig.firmware_now_ns(), end_ns);
        let stats = rig.gpu.stats(gfid(1));
        let first_ns = start_ns + switch_ns + costs.entry_ns;
        assert_eq!(stats.first_instruction_ns, Some(first_ns));
        assert_eq!(stats.last_instruction_ns, Some(first_ns + kernel_ns));
        assert_eq!(stats.compute_busy_ns, end_ns - start_ns);
        assert_eq!(stats.copy_busy_ns, 0);
    }
}

#[test]
fn a_start_of_no_group_or_an_empty_one_is_idle_at_once() {
    let mut rig = compute_rig();
    let now_ns = rig.gpu.now_ns();
    rig.run_idle(COMPUTE, 5);
    rig.run_idle(COPY, 0); // bound, but to the other engine
    assert_eq!(rig.gpu.now_ns(), now_ns);
}

#[test]
fn the_status_of_a_channel_says_what_it_does() {
    let mut rig = compute_rig();
    let status = |rig: &Rig| {
        let word = rig.words.read(godwit_regs::map::channel::status(channel(0)));
        ChannelStatus::from_bits_retain(word)
    };
    let bound = ChannelStatus::ENABLE;
    assert_eq!(status(&rig), bound);
    rig.push(gfid(1), 0, &Entry::Acquire { at: Address::fb(DATA), value: 7 });
    rig.start(COMPUTE, 0);
    rig.pass(5_000);
    let waits = bound | ChannelStatus::BUSY | ChannelStatus::ACQUIRE_FAIL;
    assert_eq!(status(&rig), waits | ChannelStatus::ON_ENG);
    let seq = rig.preempt(COMPUTE, PreemptMode::Wfi);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
    assert_eq!(status(&rig), waits);
    rig.load_code(gfid(1), CODE, &sum_kernel(2000));
    rig.push(gfid(1), 0, &launch(CODE, 3, 1));
    rig.poke(gfid(1), DATA, &[7]);
    rig.start(COMPUTE, 0);
    rig.pass(5_000);
    assert_eq!(status(&rig), bound | ChannelStatus::BUSY | ChannelStatus::ON_ENG);
    rig.answer(COMPUTE);
    assert_eq!(status(&rig), bound);
    rig.push_words(gfid(1), 0, &[9; 16]);
    rig.run_idle(COMPUTE, 0);
    assert_eq!(status(&rig), bound | ChannelStatus::ENG_FAULTED);
    rig.firmware.unbind_channel(channel(0));
    rig.gpu.service();
    assert_eq!(status(&rig), ChannelStatus::empty());
}

#[test]
fn channels_of_a_group_take_turns() {
    let mut rig = Rig::with_vgpu();
    // Counts in memory for ever.
    let counting = [li(T0, 1), sd(T0, 0, A0), addi(T0, T0, 1), bne(T0, ZERO, -8)];
    rig.load_code(gfid(1), CODE, &counting);
    rig.bind_together(2, COMPUTE);
    for guest in 0..2 {
        let Entry::Launch(launch) = launch(CODE, 1, 1) else { unreachable!() };
        let args = DATA + 8 * u64::from(guest);
        rig.push(gfid(1), guest, &Entry::Launch(Launch { args, ..launch }));
    }
    rig.start(COMPUTE, 0);
    rig.pass(1_000_000);
    let (first, second) = (rig.peek_u64(DATA), rig.peek_u64(DATA + 8));
    assert!(first > 60_000 && second > 60_000, "{first} {second}");
    assert_eq!(rig.gpu.stats(gfid(1)).compute_busy_ns, 1_000_000);
}

#[test]
fn a_semaphore_holds_its_channel_and_lets_the_others_of_the_group_run() {
    let mut rig = Rig::with_vgpu();
    rig.load_code(gfid(1), CODE, &sum_kernel(10));
    rig.bind_together(2, COMPUTE);
    let at = DATA + 0x8000;
    rig.push(gfid(1), 0, &Entry::Acquire { at: Address::fb(at), value: 7 });
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.push(gfid(1), 1, &launch(CODE, 2, 1));
    let start = rig.start(COMPUTE, 0);
    assert_eq!(rig.answer_within(COMPUTE, SOON_NS), None);
    assert_eq!((rig.get(0), rig.get(1)), (0, 1));
    rig.push(gfid(1), 1, &Entry::Release { at: Address::fb(at), value: 7 });
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
    assert_eq!((rig.get(0), rig.get(1)), (2, 2));
}

#[test]
fn a_semaphore_is_looked_at_every_microsecond() {
    let mut rig = compute_rig();
    rig.push(gfid(1), 0, &Entry::Acquire { at: Address::fb(DATA), value: 7 });
    rig.start(COMPUTE, 0);
    rig.pass(12_345);
    rig.poke(gfid(1), DATA, &[7]);
    rig.pass(1_000);
    assert_eq!(rig.get(0), 1);
}

#[test]
fn a_copy_whose_partition_is_taken_away_ends_at_once() {
    let costs = Costs { copied_byte_fs: 1_000_000, ..Costs::default() };
    let mut rig = Rig::with(0, costs);
    rig.add_vgpu(gfid(1), 0);
    rig.bind_plain(0, COPY);
    rig.push(gfid(1), 0, &Entry::Fill { at: DATA, byte_count: 1 << 20, value: 1 });
    let start = rig.start(COPY, 0);
    rig.pass(10_000);
    godwit_hal::Partitions::clear_partition(&mut rig.firmware, gfid(1));
    rig.pass(10_000);
    let fault = ChannelFault::OutOfPartition;
    assert_eq!(rig.answer_within(COPY, 0), Some(RunlistEvent::Idle { seq: start }));
    assert_eq!(rig.firmware.poll_fault(), Some((channel(0), fault)));
}

#[test]
fn copies_and_fills_write_what_they_say() {
    let mut rig = copy_rig();
    let bytes: Vec<u8> = (0..200_000u32).map(|at| (at * 7 / 3) as u8).collect();
    rig.poke(gfid(1), DATA, &bytes);
    let (from, to) = (DATA + 3, DATA + 0x10_0001);
    rig.push(
        gfid(1),
        0,
        &Entry::Copy { from: Address::fb(from), to: Address::fb(to), byte_count: 190_001 },
    );
    rig.push(gfid(1), 0, &Entry::Fill { at: DATA, byte_count: 5_000, value: 0xa5 });
    rig.push(gfid(1), 0, &Entry::Fill { at: DATA + 1_000, byte_count: 1_000, value: 0 });
    rig.run_idle(COPY, 0);
    let mut copied = vec![0; 190_001];
    let partition = rig.gpu.partition(gfid(1)).unwrap();
    partition.read(to, &mut copied).unwrap();
    assert_eq!(copied, bytes[3..3 + 190_001]);
    let filled: [u8; 5_001] = rig.peek(gfid(1), DATA);
    assert!(filled[..1_000].iter().all(|byte| *byte == 0xa5));
    assert!(filled[1_000..2_000].iter().all(|byte| *byte == 0));
    assert!(filled[2_000..5_000].iter().all(|byte| *byte == 0xa5));
    assert_eq!(filled[5_000], bytes[5_000]);
    assert_eq!(rig.get(0), 3);
    assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, 196_001);
}

#[test]
fn what_a_guest_writes_wrong_stops_its_own_channel_only() {
    let outside = PROFILE.fb_bytes - 4;
    let copy = |from, to, byte_count| Entry::Copy {
        from: Address::fb(from),
        to: Address::fb(to),
        byte_count,
    };
    let cases = [
        (COPY, launch(CODE, 1, 1), ChannelFault::BadEntry),
        (COMPUTE, copy(0, 4096, 16), ChannelFault::BadEntry),
        (COPY, copy(DATA, DATA + 8, 16), ChannelFault::BadEntry),
        (COPY, copy(outside, DATA, 8), ChannelFault::OutOfPartition),
        (COPY, copy(DATA, u64::MAX, 1), ChannelFault::OutOfPartition),
        (
            COPY,
            Entry::Fill { at: outside, byte_count: u64::MAX, value: 1 },
            ChannelFault::OutOfPartition,
        ),
        (
            COPY,
            Entry::Acquire { at: Address::fb(PROFILE.fb_bytes), value: 0 },
            ChannelFault::OutOfPartition,
        ),
        (
            COMPUTE,
            Entry::Release { at: Address::fb(PROFILE.fb_bytes), value: 0 },
            ChannelFault::OutOfPartition,
        ),
        (COMPUTE, launch(CODE, 1, 1000), ChannelFault::TooLarge),
        (COMPUTE, launch(CODE, 1, 1), ChannelFault::OutOfPartition),
        (COMPUTE, launch(CODE + 0x1000, 1, 1), ChannelFault::IllegalInstruction),
    ];
    for (runlist, entry, fault) in cases {
        let mut rig = Rig::with_vgpu();
        rig.load_code(gfid(1), CODE, &wild_kernel());
        rig.bind_together(2, runlist);
        rig.push(gfid(1), 0, &entry);
        rig.push(gfid(1), 0, &Entry::Release { at: Address::fb(DATA), value: 1 });
        let value = 2;
        rig.push(gfid(1), 1, &Entry::Release { at: Address::fb(DATA), value });
        rig.run_idle(runlist, 0);
        assert_eq!(rig.firmware.poll_fault(), Some((channel(0), fault)), "{entry:?}");
        assert_eq!(rig.firmware.channel_fault(channel(0)), Some(fault));
        assert_eq!((rig.get(0), rig.get(1)), (0, 1));
        assert_eq!(rig.peek_u64(DATA), 2);
        assert_eq!(rig.gpu.stats(gfid(1)).faults, 1);
    }
}

#[test]
fn words_that_are_no_entry_and_a_put_too_far_ahead_are_faults() {
    let mut rig = compute_rig();
    rig.push_words(gfid(1), 0, &[0xffff_ffff; 16]);
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.firmware.poll_fault(), Some((channel(0), ChannelFault::BadEntry)));
    rig.bind_plain(0, COMPUTE);
    assert_eq!(rig.firmware.channel_fault(channel(0)), None);
    // The first entry is behind the channel now; 16 more are as many as the ring has.
    for put in [18, 0] {
        rig.set_put(0, put);
        rig.run_idle(COMPUTE, 0);
        assert_eq!(rig.firmware.poll_fault(), Some((channel(0), ChannelFault::BadPut)), "{put}");
        rig.bind_plain(0, COMPUTE);
    }
    assert_eq!(rig.get(0), 0);
}

#[test]
fn a_faulted_channel_stands_still_until_it_is_bound_again() {
    let mut rig = compute_rig();
    rig.push_words(gfid(1), 0, &[9; 16]);
    rig.push(gfid(1), 0, &Entry::Release { at: Address::fb(DATA), value: 1 });
    rig.run_idle(COMPUTE, 0);
    let now_ns = rig.gpu.now_ns();
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.gpu.now_ns(), now_ns);
    assert_eq!(rig.peek_u64(DATA), 0);
    rig.bind_plain(0, COMPUTE);
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.peek_u64(DATA), 1);
}

#[test]
fn notify_stops_time_and_reaches_the_host_of_its_own_vgpu() {
    let mut rig = compute_rig();
    rig.push(gfid(1), 0, &Entry::Notify(Vector::new(31).unwrap()));
    rig.start(COMPUTE, 0);
    let costs = Costs::default();
    assert_eq!(rig.gpu.advance(SOON_NS), Stop::Raised);
    assert_eq!(rig.gpu.now_ns(), costs.context_ns(BARE_CONTEXT) + costs.entry_ns);
    assert_eq!(rig.host.take_vectors(gfid(2)), 0);
    assert_eq!(rig.host.take_vectors(gfid(1)), 1 << 31);
    assert_eq!(rig.host.take_vectors(gfid(1)), 0);
}

#[test]
fn a_vgpu_without_its_partition_runs_nothing() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    let start = rig.start(COMPUTE, 0);
    rig.pass(10_000);
    godwit_hal::Partitions::clear_partition(&mut rig.firmware, gfid(1));
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
    assert_eq!(rig.firmware.poll_fault(), Some((channel(0), ChannelFault::OutOfPartition)));
}

#[test]
fn code_that_anyone_writes_is_what_runs_next() {
    let [exit, call] = EXIT;
    let code: Vec<u8> = [exit, exit, call].iter().flat_map(|word| word.to_le_bytes()).collect();
    let slot = SlotId::new(0).unwrap();
    type Write = fn(&mut Rig, &[u8]);
    let writers: [Write; 4] = [
        |rig, _| {
            rig.push(
                gfid(1),
                1,
                &Entry::Copy {
                    from: Address::fb(CODE + 0x1000),
                    to: Address::fb(CODE),
                    byte_count: 12,
                },
            );
            rig.run_idle(COPY, 1);
        },
        |rig, _| {
            rig.push(gfid(1), 1, &Entry::Release { at: Address::fb(CODE + 8), value: EXIT[1] });
            rig.push(gfid(1), 1, &Entry::Release { at: Address::fb(CODE + 4), value: EXIT[0] });
            rig.run_idle(COPY, 1);
        },
        |rig, code| rig.gpu.bar_write(CODE, code).unwrap(),
        |rig, code| {
            let mut page = [0; 4096];
            page[..code.len()].copy_from_slice(code);
            let crc = crc_fast::crc32_iscsi(&page);
            let slot = SlotId::new(0).unwrap();
            rig.gpu.staging().write(slot, 0, &page).unwrap();
            let from = SlotRange { slot, byte_count: 4096 };
            assert_eq!(rig.copy(CopyOp::Scatter { from, crc }).status, CopyStatus::Done);
        },
    ];
    for write in writers {
        let mut rig = compute_rig();
        rig.bind_plain(1, COPY);
        rig.open_window(gfid(1), 0);
        rig.load_code(gfid(1), CODE, &endless_kernel());
        // Ends whether the loop is at its first instruction or at its second.
        rig.load_code(gfid(1), CODE + 0x1000, &[exit, exit, call]);
        let run = PageRun { first: (CODE / 4096) as u32, count: 1, zero: false };
        rig.gpu.staging().set_runs(slot, &[run]).unwrap();
        rig.push(gfid(1), 0, &launch(CODE, 1, 1));
        let start = rig.start(COMPUTE, 0);
        rig.pass(50_000);
        write(&mut rig, &code);
        assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
        assert_eq!(rig.firmware.poll_fault(), None);
        assert_eq!(rig.get(0), 1);
    }
}

#[test]
fn code_that_is_taken_away_does_not_run_on() {
    type Take = fn(&mut Rig);
    let takers: [Take; 2] = [
        |rig| {
            let byte_count = PROFILE.fb_bytes;
            assert_eq!(rig.copy(CopyOp::FillFb { at: 0, byte_count }).status, CopyStatus::Done);
        },
        |rig| rig.add_vgpu(gfid(1), 4), // another partition
    ];
    for take in takers {
        let mut rig = compute_rig();
        rig.load_code(gfid(1), CODE, &endless_kernel());
        rig.push(gfid(1), 0, &launch(CODE, 1, 1));
        let start = rig.start(COMPUTE, 0);
        rig.pass(50_000);
        take(&mut rig);
        assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
        let fault = ChannelFault::IllegalInstruction;
        assert_eq!(rig.firmware.poll_fault(), Some((channel(0), fault)));
    }
}

#[test]
fn code_that_is_mapped_and_changed_between_two_launches_is_seen() {
    let mut rig = compute_rig();
    for rounds in [10, 20] {
        rig.load_code(gfid(1), CODE, &sum_kernel(rounds));
        rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    }
    rig.load_code(gfid(1), CODE, &sum_kernel(10));
    rig.gpu.watch(gfid(1), Some(7 + 40 + 3));
    rig.start(COMPUTE, 0);
    assert_eq!(rig.gpu.advance(SOON_NS), Stop::Watch(gfid(1)));
    rig.load_code(gfid(1), CODE, &sum_kernel(20));
    rig.answer(COMPUTE);
    assert_eq!(rig.peek_u64(DATA), sum(0, 20));
}

#[test]
fn a_kernel_sees_the_bytes_of_a_copy_as_they_arrive() {
    // Slow enough for a kernel to look in between.
    let costs = Costs { copied_byte_fs: 1_000_000, ..Costs::default() };
    let mut rig = Rig::with(0, costs);
    rig.add_vgpu(gfid(1), 0);
    rig.bind_plain(0, COMPUTE);
    rig.bind_plain(1, COPY);
    // Waits until the first byte of its arguments is there.
    let mut code = vec![lbu(T0, 0, A0), beq(T0, ZERO, -4)];
    code.extend(EXIT);
    rig.load_code(gfid(1), CODE, &code);
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    let at = DATA - 0x2_0000;
    rig.push(gfid(1), 1, &Entry::Fill { at, byte_count: 0x8_0000, value: 1 });
    let start = rig.start(COMPUTE, 0);
    rig.start(COPY, 1);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
    let late_ns = rig.gpu.now_ns() - 0x2_0000;
    assert!((1_000..20_000).contains(&late_ns), "{late_ns}");
    assert_eq!(rig.get(1), 0);
}

#[test]
fn a_copy_that_would_end_outside_writes_nothing() {
    let mut rig = copy_rig();
    rig.poke(gfid(1), 0, &[1; 4096]);
    let to = PROFILE.fb_bytes - CHUNK;
    rig.push(
        gfid(1),
        0,
        &Entry::Copy { from: Address::fb(0), to: Address::fb(to), byte_count: CHUNK + 1 },
    );
    rig.run_idle(COPY, 0);
    assert_eq!(rig.peek(gfid(1), to), [0]);
    assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, 0);
}

#[test]
fn entries_that_take_no_time_of_their_own_do_not_keep_the_engine_from_others() {
    let costs = Costs { entry_ns: 30_000, ..Costs::default() };
    let mut rig = Rig::with(0, costs);
    rig.add_vgpu(gfid(1), 0);
    rig.bind_together(2, COMPUTE);
    for _ in 0..16 {
        rig.push(gfid(1), 0, &Entry::Release { at: Address::fb(DATA), value: 1 });
        rig.push(gfid(1), 1, &Entry::Release { at: Address::fb(DATA), value: 1 });
    }
    rig.start(COMPUTE, 0);
    rig.pass(16 * 30_000);
    assert!(rig.get(0) >= 6 && rig.get(1) >= 6, "{} {}", rig.get(0), rig.get(1));
}

#[test]
fn another_channel_of_the_group_breaks_a_reservation() {
    // So slow that a slice ends after the first instruction.
    let costs = Costs { kernel_instruction_ps: 150_000_000, ..Costs::default() };
    let mut rig = Rig::with(0, costs);
    rig.add_vgpu(gfid(1), 0);
    rig.bind_together(2, COMPUTE);
    let mut code = vec![lr_d(T0, A0), sc_d(T1, T0, A0), sd(T1, 8, A0)];
    code.extend(EXIT);
    rig.load_code(gfid(1), CODE, &code);
    let mut code = vec![sd(A1, 0, A0)];
    code.extend(EXIT);
    rig.load_code(gfid(1), CODE + 0x1000, &code);
    rig.poke(gfid(1), DATA + 8, &[9]);
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    rig.push(gfid(1), 1, &launch(CODE + 0x1000, 1, 1));
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.peek_u64(DATA + 8), 1);
}
