//! Copies and semaphores over guest memory that no mapping reaches.

use super::dma::{bus, copy, fb, pattern};
use super::{COPY, SOON_NS, copy_rig};
use crate::harness::{DATA, Rig, channel, gfid};
use crate::{DmaTarget, DmaWindow, WireAccess};
use godwit_hal::Channels;
use godwit_regs::fifo::Entry;
use godwit_types::{ChannelFault, PreemptMode, RunlistEvent};

const RAM: u64 = 1 << 36;
const RAM_BYTES: usize = 1 << 20;

/// The machine that the memory is of, and how many messages it has had.
struct Machine {
    memory: Vec<u8>,
    reads: u32,
    writes: u32,
}

impl Machine {
    fn new() -> Self {
        Self { memory: vec![0; RAM_BYTES], reads: 0, writes: 0 }
    }

    /// Carries out what the device asks for.
    fn serve(&mut self, rig: &mut Rig) {
        while let Some(request) = rig.gpu.dma_next_request(gfid(1)) {
            let at = (request.iova - RAM) as usize;
            let answer = match request.access {
                WireAccess::Read { byte_count } => {
                    self.reads += 1;
                    self.memory[at..at + byte_count as usize].to_vec()
                }
                WireAccess::Write(bytes) => {
                    self.writes += 1;
                    self.memory[at..at + bytes.len()].copy_from_slice(&bytes);
                    Vec::new()
                }
            };
            rig.gpu.dma_answer(gfid(1), request.id, Some(&answer));
        }
    }

    /// Lets the group run until it is idle.
    fn run(&mut self, rig: &mut Rig, group: u16) {
        let seq = rig.start(COPY, group);
        for _ in 0..1_000 {
            match rig.answer_within(COPY, SOON_NS) {
                Some(event) => {
                    self.serve(rig);
                    return assert_eq!(event, RunlistEvent::Idle { seq });
                }
                None => self.serve(rig),
            }
        }
        panic!("the group does not come to its end");
    }
}

fn wire_rig() -> Rig {
    let mut rig = copy_rig();
    let byte_count = RAM_BYTES as u64;
    let target = DmaTarget::Wire;
    let window = DmaWindow { iova: RAM, byte_count, read: true, write: true, target };
    rig.gpu.dma_map(gfid(1), window).unwrap();
    rig
}

fn fault(rig: &Rig) -> Option<ChannelFault> {
    rig.firmware.channel_fault(channel(0))
}

#[test]
fn bytes_go_to_the_machine_and_back_in_pieces() {
    let (mut rig, mut machine) = (wire_rig(), Machine::new());
    let bytes = pattern(200_000);
    rig.poke(gfid(1), DATA, &bytes);
    rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM + 100), 200_000));
    rig.push(gfid(1), 0, &copy(bus(RAM + 100), bus(RAM + (1 << 19)), 200_000));
    rig.push(gfid(1), 0, &copy(bus(RAM + (1 << 19)), fb(DATA + (1 << 20)), 200_000));
    machine.run(&mut rig, 0);
    assert_eq!(fault(&rig), None);
    assert!(machine.memory[100..][..200_000] == bytes);
    let mut found = vec![0; 200_000];
    rig.gpu.partition(gfid(1)).unwrap().read(DATA + (1 << 20), &mut found).unwrap();
    assert!(found == bytes);
    // Each copy has four pieces, since it can stop every 64 KiB.
    assert_eq!((machine.reads, machine.writes), (8, 8));
    assert_eq!(rig.gpu.dma_oldest_write(gfid(1)), None);
}

#[test]
fn semaphores_are_written_and_looked_at_there() {
    let (mut rig, mut machine) = (wire_rig(), Machine::new());
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM + 4), value: 5 });
    rig.push(gfid(1), 0, &Entry::Acquire { at: bus(RAM), value: 7 });
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM + 8), value: 9 });
    rig.start(COPY, 0);
    for _ in 0..10 {
        assert_eq!(rig.answer_within(COPY, SOON_NS), None, "it waits for the semaphore");
        machine.serve(&mut rig);
    }
    assert_eq!(machine.memory[..12], [0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    machine.memory[0] = 7;
    let mut done = None;
    while done.is_none() {
        done = rig.answer_within(COPY, SOON_NS);
        machine.serve(&mut rig);
    }
    assert_eq!((machine.memory[8], fault(&rig)), (9, None));
}

#[test]
fn a_machine_that_refuses_faults_the_channel_that_reads() {
    let mut rig = wire_rig();
    rig.push(gfid(1), 0, &copy(bus(RAM), fb(DATA), 64));
    rig.start(COPY, 0);
    assert_eq!(rig.answer_within(COPY, SOON_NS), None);
    let request = rig.gpu.dma_next_request(gfid(1)).unwrap();
    rig.gpu.dma_answer(gfid(1), request.id, None);
    assert!(rig.answer_within(COPY, SOON_NS).is_some());
    assert_eq!(fault(&rig), Some(ChannelFault::Dma));
}

#[test]
fn a_copy_that_waits_for_bytes_is_preempted_and_reads_them_anew() {
    let (mut rig, mut machine) = (wire_rig(), Machine::new());
    machine.memory[..4].copy_from_slice(&[1, 2, 3, 4]);
    rig.push(gfid(1), 0, &copy(bus(RAM), fb(DATA), 4));
    rig.start(COPY, 0);
    assert_eq!(rig.answer_within(COPY, SOON_NS), None);
    let stale = rig.gpu.dma_next_request(gfid(1)).unwrap();
    let seq = rig.preempt(COPY, PreemptMode::Instruction);
    assert_eq!(rig.answer_within(COPY, SOON_NS), Some(RunlistEvent::Preempted { seq }));
    rig.gpu.dma_answer(gfid(1), stale.id, Some(&[9; 4]));
    machine.run(&mut rig, 0);
    assert_eq!(rig.peek::<4>(gfid(1), DATA), [1, 2, 3, 4]);
}

#[test]
fn a_window_that_is_unmapped_takes_what_was_under_way_with_it() {
    let mut rig = wire_rig();
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM), value: 1 });
    rig.push(gfid(1), 0, &copy(bus(RAM), fb(DATA), 64));
    rig.start(COPY, 0);
    assert_eq!(rig.answer_within(COPY, SOON_NS), None);
    rig.gpu.dma_unmap(gfid(1), RAM, RAM_BYTES as u64).unwrap();
    assert_eq!(rig.gpu.dma_next_request(gfid(1)), None);
    assert_eq!(rig.gpu.dma_oldest_write(gfid(1)), None);
    assert!(rig.answer_within(COPY, SOON_NS).is_some());
    assert_eq!(fault(&rig), Some(ChannelFault::Dma));
}

#[test]
fn a_guest_that_writes_faster_than_its_machine_takes_it_waits() {
    let (mut rig, mut machine) = (wire_rig(), Machine::new());
    for _ in 0..8 {
        rig.push(gfid(1), 0, &copy(fb(DATA), bus(RAM), 1 << 19));
    }
    rig.push(gfid(1), 0, &Entry::Release { at: bus(RAM), value: 0x0102_0304 });
    rig.start(COPY, 0);
    for _ in 0..20 {
        assert_eq!(rig.answer_within(COPY, SOON_NS), None);
    }
    let mut held = 0;
    while let Some(request) = rig.gpu.dma_next_request(gfid(1)) {
        held += 1;
        rig.gpu.dma_answer(gfid(1), request.id, Some(&[]));
    }
    assert_eq!(held, 16, "1 MiB in pieces of 64 KiB");
    let mut done = None;
    while done.is_none() {
        done = rig.answer_within(COPY, SOON_NS);
        machine.serve(&mut rig);
    }
    assert_eq!(machine.memory[..4], [4, 3, 2, 1]);
}
