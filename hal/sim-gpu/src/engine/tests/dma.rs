//! Copies and semaphores over the bus.

use super::{COMPUTE, COPY, SOON_NS, copy_rig};
use crate::harness::{DATA, PROFILE, Rig, channel, gfid};
use crate::{Costs, DmaError, DmaLogError, DmaRange, DmaTarget, DmaWindow, Fault};
use godwit_hal::{Channels, Partitions, Runlists};
use godwit_regs::fifo::{Address, Entry};
use godwit_sys::MemFile;
use godwit_types::{BarMode, ChannelFault, PreemptMode, RunlistEvent, RunlistState};
use std::sync::Arc;

pub(super) const RAM: u64 = 1 << 36;
const RAM_BYTES: u64 = 4 << 20;
pub(super) const PEER: u64 = 1 << 40;

pub(super) fn fb(at: u64) -> Address {
    Address::fb(at)
}

pub(super) fn bus(at: u64) -> Address {
    Address::bus(at)
}

pub(super) fn copy(from: Address, to: Address, byte_count: u64) -> Entry {
    Entry::Copy { from, to, byte_count }
}

/// A copy engine's rig with all of the guest's memory in one window.
fn ram_rig() -> (Rig, Arc<MemFile>) {
    let mut rig = copy_rig();
    let memory = Arc::new(MemFile::new("test", RAM_BYTES).unwrap());
    rig.gpu.dma_map(gfid(1), ram(&memory, RAM, 0, RAM_BYTES)).unwrap();
    (rig, memory)
}

fn ram(memory: &Arc<MemFile>, iova: u64, offset: u64, byte_count: u64) -> DmaWindow {
    let target = DmaTarget::Memory { memory: Arc::clone(memory), offset };
    DmaWindow { iova, byte_count, read: true, write: true, target }
}

pub(super) fn pattern(byte_count: u64) -> Vec<u8> {
    (0..byte_count).map(|at| (at % 251) as u8 | 1).collect()
}

fn fault(rig: &Rig, guest: u16) -> Option<ChannelFault> {
    rig.firmware.channel_fault(channel(guest))
}

#[test]
fn bytes_go_to_guest_memory_and_back_over_windows_that_touch() {
    let mut rig = copy_rig();
    let memory = Arc::new(MemFile::new("test", RAM_BYTES).unwrap());
    // What is one range on the bus lies in two places of the guest's memory.
    rig.gpu.dma_map(gfid(1), ram(&memory, RAM, 1 << 20, 1 << 16)).unwrap();
    rig.gpu.dma_map(gfid(1), ram(&memory, RAM + (1 << 16), 0, 1 << 20)).unwrap();
    let bytes = pattern(200_000);
    rig.poke(gfid(1), DATA, &bytes);
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM + 100), 200_000));
    rig.push(gfid(1), 0, &copy(bus(RAM + 101), fb(DATA + (1 << 20)), 199_999));
    rig.push(gfid(1), 0, &copy(bus(RAM + 100), bus(RAM + (1 << 19)), 200_000));
    rig.run_idle(COPY, 0);
    assert_eq!(fault(&rig, 0), None);
    let mut found = vec![0; 200_000];
    let split = (1 << 16) - 100;
    memory.read((1 << 20) + 100, &mut found[..split]).unwrap();
    memory.read(0, &mut found[split..]).unwrap();
    assert!(found == bytes);
    memory.read((1 << 19) - (1 << 16), &mut found).unwrap();
    assert!(found == bytes);
    let partition = rig.gpu.partition(gfid(1)).unwrap();
    partition.read(DATA + (1 << 20), &mut found[1..]).unwrap();
    assert!(found[1..] == bytes[1..]);
}

#[test]
fn a_byte_over_the_bus_takes_as_long_as_one_to_a_slot() {
    let (mut rig, _memory) = ram_rig();
    let mut took = |from, to| {
        rig.push(gfid(1), 0, &copy(from, to, 1 << 20));
        let began_ns = rig.gpu.now_ns();
        rig.run_idle(COPY, 0);
        rig.gpu.now_ns() - began_ns
    };
    let far = fb(DATA + (2 << 20));
    let within_ns = took(fb(DATA), far);
    let costs = Costs::default();
    let more_ns = costs.staged_ns(1 << 20) - costs.copied_ns(1 << 20);
    for (from, to) in [(fb(DATA), bus(RAM)), (bus(RAM), far), (bus(RAM), bus(RAM + (1 << 20)))] {
        assert_eq!(took(from, to), within_ns + more_ns, "{from:?} {to:?}");
    }
}

#[test]
fn what_no_window_lets_pass_faults_its_channel_alone() {
    let end = RAM + RAM_BYTES;
    let far = bus(RAM - 4096);
    for (entry, passes) in [
        (copy(fb(DATA), bus(end - 64), 64), true),
        (copy(fb(DATA), bus(end - 64), 65), false),
        (copy(far, fb(DATA), 4097), false),
        (copy(bus(u64::MAX - 3), fb(DATA), 64), false),
        (copy(bus(RAM), bus(RAM + 64), 65), false),
        (Entry::Release { at: bus(end), value: 1 }, false),
        (Entry::Release { at: bus(end - 4), value: 1 }, true),
        (Entry::Acquire { at: far, value: 0 }, false),
        (Entry::Acquire { at: bus(RAM), value: 0 }, true),
    ] {
        let (mut rig, _memory) = ram_rig();
        rig.bind_plain(1, COPY);
        rig.push(gfid(1), 0, &entry);
        rig.push(gfid(1), 1, &Entry::Release { at: fb(DATA), value: 7 });
        rig.run_idle(COPY, 0);
        let overlaps =
            matches!(entry, Entry::Copy { from, to, .. } if from.is_bus() && to.is_bus());
        let refusal = if overlaps { ChannelFault::BadEntry } else { ChannelFault::Dma };
        assert_eq!(fault(&rig, 0), (!passes).then_some(refusal), "{entry:?}");
        rig.run_idle(COPY, 1);
        assert_eq!((rig.peek_u64(DATA), fault(&rig, 1)), (7, None));
    }
}

#[test]
fn a_window_is_read_and_written_only_as_it_allows() {
    for (read, write) in [(true, false), (false, true)] {
        let mut rig = copy_rig();
        let memory = Arc::new(MemFile::new("test", RAM_BYTES).unwrap());
        let window = DmaWindow { read, write, ..ram(&memory, RAM, 0, RAM_BYTES) };
        rig.gpu.dma_map(gfid(1), window).unwrap();
        for (guest, entry, allowed) in [
            (0, copy(bus(RAM), fb(DATA), 64), read),
            (1, copy(fb(DATA), bus(RAM), 64), write),
            (2, Entry::Acquire { at: bus(RAM), value: 0 }, read),
            (3, Entry::Release { at: bus(RAM), value: 0 }, write),
        ] {
            rig.bind_plain(guest, COPY);
            rig.push(gfid(1), guest, &entry);
            rig.run_idle(COPY, guest);
            let refusal = (!allowed).then_some(ChannelFault::Dma);
            assert_eq!(fault(&rig, guest), refusal, "{entry:?}");
        }
    }
}

#[test]
fn a_semaphore_in_guest_memory_is_the_guests_and_every_engines() {
    for runlist in [COPY, COMPUTE] {
        let (mut rig, memory) = ram_rig();
        rig.bind_plain(0, runlist);
        rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM + 4), value: 5 });
        rig.push(gfid(1), 0, &Entry::Acquire { at: bus(RAM), value: 7 });
        rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM + 8), value: 9 });
        let seq = rig.start(runlist, 0);
        assert_eq!(rig.answer_within(runlist, SOON_NS), None);
        assert_eq!((memory.load::<u32>(4), memory.load::<u32>(8)), (Ok(5), Ok(0)));
        memory.store(0, 7u32.to_le()).unwrap();
        assert_eq!(rig.answer(runlist), RunlistEvent::Idle { seq });
        assert_eq!(memory.load::<u32>(8), Ok(9));
    }
}

#[test]
fn a_copy_that_is_stopped_leaves_guest_memory_alone_and_goes_on_where_it_was() {
    for mode in [PreemptMode::Instruction, PreemptMode::Cta] {
        let (mut rig, memory) = ram_rig();
        let total = 1 << 20;
        let bytes = pattern(total);
        rig.poke(gfid(1), DATA, &bytes);
        rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM), total));
        rig.start(COPY, 0);
        rig.pass(10_123);
        let seq = rig.preempt(COPY, mode);
        assert_eq!(rig.answer(COPY), RunlistEvent::Preempted { seq });
        assert_eq!(rig.firmware.runlist_state(COPY), RunlistState::Empty);
        let done = rig.gpu.stats(gfid(1)).copied_bytes as usize;
        assert!(done > 0 && done < total as usize, "{mode:?}");
        rig.pass(1_000_000);
        let mut found = vec![0; total as usize];
        memory.read(0, &mut found).unwrap();
        assert!(found[..done] == bytes[..done] && found[done..].iter().all(|byte| *byte == 0));
        rig.run_idle(COPY, 0);
        memory.read(0, &mut found).unwrap();
        assert!(found == bytes);
        assert_eq!(rig.gpu.stats(gfid(1)).copied_bytes, total);
    }
}

#[test]
fn a_window_that_is_unmapped_in_the_middle_ends_the_copy() {
    let (mut rig, memory) = ram_rig();
    rig.poke(gfid(1), DATA, &pattern(1 << 20));
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM), 1 << 20));
    rig.start(COPY, 0);
    rig.pass(10_000);
    rig.gpu.dma_unmap(gfid(1), RAM, RAM_BYTES).unwrap();
    let written = memory.next_data(0).unwrap();
    rig.answer(COPY);
    assert_eq!(fault(&rig, 0), Some(ChannelFault::Dma));
    assert_eq!(memory.next_data(0).unwrap(), written);
}

/// vGPU 1 with a window onto all of the aperture of vGPU 2.
pub(super) fn peer_rig() -> Rig {
    let mut rig = copy_rig();
    rig.add_vgpu(gfid(2), 1);
    rig.open_window(gfid(2), 1);
    let target = DmaTarget::Peer { gfid: gfid(2), offset: 0 };
    let (iova, byte_count) = (PEER, PROFILE.bar_bytes);
    let window = DmaWindow { iova, byte_count, read: true, write: true, target };
    rig.gpu.dma_map(gfid(1), window).unwrap();
    rig
}

#[test]
fn a_peer_is_reached_through_its_aperture_and_no_further() {
    let mut rig = peer_rig();
    let bytes = pattern(10_000);
    rig.poke(gfid(1), DATA, &bytes);
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(PEER + 0x1_0003), 10_000));
    rig.push(gfid(1), 0, &copy(bus(PEER + 0x1_0003), fb(DATA + 0x1_0000), 10_000));
    rig.push(gfid(1), 0, &Entry::Release { at: bus(PEER), value: 6 });
    rig.push(gfid(1), 0, &Entry::Acquire { at: bus(PEER), value: 6 });
    rig.run_idle(COPY, 0);
    let mut found = vec![0; 10_000];
    rig.gpu.partition(gfid(2)).unwrap().read(0x1_0003, &mut found).unwrap();
    assert!(found == bytes);
    rig.gpu.partition(gfid(1)).unwrap().read(DATA + 0x1_0000, &mut found).unwrap();
    assert!(found == bytes);
    assert_eq!(rig.peek(gfid(2), 0), [6, 0, 0, 0]);
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(PEER + PROFILE.bar_bytes - 4), 8));
    rig.run_idle(COPY, 0);
    assert_eq!(fault(&rig, 0), Some(ChannelFault::Dma));
}

#[test]
fn a_peer_whose_aperture_is_not_open_is_not_reached() {
    for mode in [BarMode::Blocked, BarMode::Trap] {
        let mut rig = peer_rig();
        use godwit_hal::Apertures;
        rig.firmware.bind_aperture(gfid(2), &Rig::window(1, mode));
        rig.pass(Costs::default().bar_bind_ns);
        rig.push(gfid(1), 0, &copy(fb(DATA), bus(PEER), 64));
        rig.run_idle(COPY, 0);
        assert_eq!(fault(&rig, 0), Some(ChannelFault::Dma), "{mode:?}");
    }
}

#[test]
fn no_window_outlives_a_partition_at_either_end() {
    let mut rig = peer_rig();
    assert_eq!(rig.gpu.dma_windows(gfid(1)).count(), 1);
    rig.firmware.clear_partition(gfid(2));
    rig.gpu.service();
    assert_eq!(rig.gpu.dma_windows(gfid(1)).count(), 0);
    // Whoever has the id next is not reached.
    rig.add_vgpu(gfid(2), 1);
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(PEER), 64));
    rig.run_idle(COPY, 0);
    assert_eq!(fault(&rig, 0), Some(ChannelFault::Dma));

    let (mut rig, memory) = ram_rig();
    let range = DmaRange { iova: RAM, byte_count: RAM_BYTES };
    rig.gpu.dma_log_start(gfid(1), &[range], 4096).unwrap();
    rig.firmware.clear_partition(gfid(1));
    rig.gpu.service();
    assert_eq!(rig.gpu.dma_windows(gfid(1)).count(), 0);
    assert_eq!(rig.gpu.dma_log_stop(gfid(1)), Err(DmaLogError::NotStarted));
    let again = rig.gpu.dma_map(gfid(1), ram(&memory, RAM, 0, RAM_BYTES));
    assert_eq!(again, Err(DmaError::NoVgpu(gfid(1))));
    assert_eq!(Arc::strong_count(&memory), 1, "nobody holds the guest's memory any more");
}

#[test]
fn who_is_no_peer_is_named() {
    let mut rig = copy_rig();
    let mut map = |who| {
        let target = DmaTarget::Peer { gfid: gfid(who), offset: 0 };
        let window = DmaWindow { iova: 0, byte_count: 4096, read: true, write: true, target };
        rig.gpu.dma_map(gfid(1), window)
    };
    assert_eq!(map(1), Err(DmaError::Own(gfid(1))));
    assert_eq!(map(2), Err(DmaError::NoPeer(gfid(2))));
}

/// The logged pages of guest memory, from the first on.
fn report(rig: &mut Rig) -> Vec<u64> {
    let mut bitmap = vec![0u8; (RAM_BYTES / 4096 / 8) as usize];
    let range = DmaRange { iova: RAM, byte_count: RAM_BYTES };
    rig.gpu.dma_log_report(gfid(1), range, 4096, &mut bitmap).unwrap();
    (0..RAM_BYTES / 4096).filter(|at| bitmap[(at / 8) as usize] >> (at % 8) & 1 != 0).collect()
}

#[test]
fn the_log_has_each_page_that_the_device_wrote_and_no_other() {
    let (mut rig, memory) = ram_rig();
    let range = DmaRange { iova: RAM, byte_count: RAM_BYTES };
    assert_eq!(rig.gpu.dma_log_start(gfid(1), &[range], 4096), Ok(4096));
    let again = rig.gpu.dma_log_start(gfid(1), &[range], 4096);
    assert_eq!(again, Err(DmaLogError::Started));
    memory.write(5 * 4096, &[1]).unwrap();
    rig.push(gfid(1), 0, &copy(bus(RAM), fb(DATA), 1 << 20));
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM + 4095), 4098));
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM + 9 * 4096), value: 1 });
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM + 20 * 4096), 0));
    rig.run_idle(COPY, 0);
    assert_eq!(report(&mut rig), [0, 1, 2, 9]);
    assert_eq!(report(&mut rig), [0u64; 0]);
    rig.gpu.inject(Fault::DmaLogLost);
    assert_eq!(report(&mut rig), [0u64; 0], "nothing has met it");
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM), value: 1 });
    rig.run_idle(COPY, 0);
    assert_eq!(report(&mut rig).len() as u64, RAM_BYTES / 4096);
    assert_eq!(report(&mut rig), [0u64; 0]);
    rig.gpu.dma_log_stop(gfid(1)).unwrap();
    assert_eq!(rig.gpu.dma_log_stop(gfid(1)), Err(DmaLogError::NotStarted));
}

#[test]
fn writes_to_a_peer_are_no_writes_to_guest_memory() {
    let mut rig = peer_rig();
    let range = DmaRange { iova: PEER, byte_count: PROFILE.bar_bytes };
    rig.gpu.dma_log_start(gfid(1), &[range], 4096).unwrap();
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(PEER), 64));
    rig.push(gfid(1), 0, &Entry::Release { at: bus(PEER), value: 1 });
    rig.run_idle(COPY, 0);
    let mut bitmap = vec![0; 32];
    rig.gpu.dma_log_report(gfid(1), range, 4096, &mut bitmap).unwrap();
    assert_eq!(bitmap, [0; 32]);
}

#[test]
fn pages_that_are_written_behind_the_machines_back_are_noted_until_they_are_taken() {
    let (mut rig, memory) = ram_rig();
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM), value: 1 });
    rig.run_idle(COPY, 0);
    assert_eq!(rig.gpu.dma_take_unseen(gfid(1), 8192), None, "nobody wanted to know");
    rig.gpu.dma_note_unseen(gfid(1), true);
    rig.poke(gfid(1), DATA, &pattern(5_000));
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM + 0x2ff0), 5_000));
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM + 0x9000), value: 3 });
    rig.run_idle(COPY, 0);
    let taken: Vec<_> = std::iter::from_fn(|| rig.gpu.dma_take_unseen(gfid(1), 8192)).collect();
    let runs: Vec<_> = taken.iter().map(|(iova, bytes)| (iova - RAM, bytes.len())).collect();
    assert_eq!(runs, [(0x2000, 8192), (0x4000, 4096), (0x9000, 4096)]);
    for (iova, bytes) in taken {
        let mut there = vec![0; bytes.len()];
        memory.read(iova - RAM, &mut there).unwrap();
        assert!(bytes == there);
    }
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM), value: 4 });
    rig.run_idle(COPY, 0);
    rig.gpu.dma_unmap(gfid(1), RAM, RAM_BYTES).unwrap();
    assert_eq!(rig.gpu.dma_take_unseen(gfid(1), 8192), None, "the page is in no window any more");
}
