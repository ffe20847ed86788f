//! Guest memory: the attacker's guest has its vGPU copy where it may not, and its machine answers
//! as none does.

use crate::bench::{Bench, pass};
use crate::link::{Link, Memory};
use crate::neighbour::{MEMORY_AT, MEMORY_BYTES};
use godwit_guest::{ChannelStatus, CopySpec, Job, JobState};
use godwit_regs::fifo::{Address, Entry};
use godwit_server::Who;
use godwit_sys::MemFile;
use godwit_types::ChannelFault;
use godwit_vfio_proto::{DmaFlags, DmaMap, DmaUnmap, Request};
use std::os::fd::AsFd as _;

/// Where a list lies, what it copies, and where it puts what it reads.
const ARENA: std::ops::Range<u64> = 0..1 << 16;
const SOURCE: u64 = 1 << 20;
const SINK: u64 = 2 << 20;
const TURNS_MAX: u32 = 2_000;
const PAGE: u64 = 4096;
const BOTH: DmaFlags = DmaFlags::READ.union(DmaFlags::WRITE);

/// Copies over the bus.
pub(crate) struct Copies {
    entries: Vec<Entry>,
    source: Vec<u8>,
    read_bytes: u64,
}

impl Copies {
    pub(crate) fn read(iova: u64, byte_count: u64) -> Self {
        let (from, to) = (Address::bus(iova), Address::fb(SINK));
        let entries = vec![Entry::Copy { from, to, byte_count }];
        Self { entries, source: vec![0; 1], read_bytes: byte_count.min(MEMORY_BYTES) }
    }

    pub(crate) fn write(iova: u64, bytes: &[u8]) -> Self {
        let (from, to) = (Address::fb(SOURCE), Address::bus(iova));
        let entries = vec![Entry::Copy { from, to, byte_count: bytes.len() as u64 }];
        Self { entries, source: bytes.to_vec(), read_bytes: 0 }
    }

    fn release(at: u64) -> Self {
        let entries = vec![Entry::Release { at: Address::bus(at), value: 0x5555_5555 }];
        Self { entries, source: vec![0; 1], read_bytes: 0 }
    }
}

/// Bytes that are not those of any other memory here.
pub(crate) fn pattern(count: u64) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8 | 1).collect()
}

impl Bench {
    /// Has the attacked vGPU begin with copies.
    pub(crate) fn begin(&mut self, copies: Copies) -> Job {
        let spec = CopySpec {
            entries: copies.entries,
            repeat: 1,
            inputs: vec![(SOURCE, copies.source.into())],
            output: Some(SINK..SINK + copies.read_bytes),
        };
        let driver = self.driver();
        let mut job = Job::plan_copies(&driver, spec, ARENA).unwrap();
        job.start(&mut self.bars()).unwrap();
        for _ in 0..TURNS_MAX {
            self.turn();
            if job.poll(&mut self.bars()).unwrap() != JobState::Creating {
                break;
            }
        }
        for _ in 0..4 {
            self.turn();
        }
        job
    }

    /// Has it copy, and waits for the end: what was read, or why the channel was stopped.
    pub(crate) fn copied(
        &mut self,
        link: &mut Link,
        copies: Copies,
    ) -> Result<Vec<u8>, ChannelFault> {
        let mut job = self.begin(copies);
        let mut turns = 0;
        let result = loop {
            match job.poll(&mut self.bars()).unwrap() {
                JobState::Done => break Ok(job.read_output(&mut self.bars()).unwrap()),
                JobState::Faulted(fault) => break Err(fault),
                JobState::Creating | JobState::Running => {}
                state => panic!("a list is {state:?}"),
            }
            turns += 1;
            assert!(turns < TURNS_MAX, "a list has no end: {:?}", self.notes);
            // With the answer comes what the device has asked before it.
            self.check_health(link);
        };
        job.close(&mut self.bars()).unwrap();
        let channel = job.channel().unwrap().clone();
        for _ in 0..TURNS_MAX {
            if channel.poll_ready(&mut self.bars()).unwrap() == ChannelStatus::Free {
                return result;
            }
            pass(&mut self.host, 20_000);
        }
        panic!("the channel of a list is not given back");
    }

    fn map(&mut self, link: &mut Link, flags: DmaFlags, at: u64, pages: u64, file: &MemFile) {
        let (iova, length) = (MEMORY_AT + at * PAGE, pages * PAGE);
        let map = DmaMap { flags, offset: at * PAGE, iova, length };
        self.done(link, &Request::DmaMap(map), &[file.file().as_fd()]);
    }
}

/// Guest memory of which pages 2, 3 and 4 may be read and written, in two windows, and page 8 may
/// be read.
fn mapped(bench: &mut Bench) -> (Link, MemFile) {
    let mut link = bench.meet(Who::Machine);
    let memory = MemFile::new("attacker", MEMORY_BYTES).unwrap();
    memory.write(0, &vec![0x11; MEMORY_BYTES as usize]).unwrap();
    for (flags, at, pages) in [(BOTH, 2, 2), (BOTH, 4, 1), (DmaFlags::READ, 8, 1)] {
        bench.map(&mut link, flags, at, pages, &memory);
    }
    (link, memory)
}

/// The memory holds only its first bytes, but for those from `at` on.
fn check_memory(memory: &MemFile, at: u64, expected: &[u8]) {
    let mut bytes = vec![0; MEMORY_BYTES as usize];
    memory.read(0, &mut bytes).unwrap();
    let at = at as usize;
    assert_eq!(bytes[at..at + expected.len()], *expected, "what was written");
    bytes[at..at + expected.len()].fill(0x11);
    let wrong = bytes.iter().position(|byte| *byte != 0x11);
    assert_eq!(wrong, None, "a byte outside was written");
}

#[test]
fn copies_within_windows_arrive_and_others_stop_their_channel() {
    let mut bench = Bench::new();
    let (mut link, memory) = mapped(&mut bench);
    let bus = |page: u64| MEMORY_AT + page * PAGE;
    // Over the edge of two windows that lie side by side, to the last byte.
    let bytes = pattern(3 * PAGE);
    assert_eq!(bench.copied(&mut link, Copies::write(bus(2), &bytes)), Ok(Vec::new()));
    check_memory(&memory, 2 * PAGE, &bytes);
    assert_eq!(bench.copied(&mut link, Copies::read(bus(2), 3 * PAGE)), Ok(bytes));
    let read_only = bench.copied(&mut link, Copies::read(bus(8), PAGE));
    assert_eq!(read_only, Ok(vec![0x11; PAGE as usize]));
    memory.write(0, &vec![0x11; MEMORY_BYTES as usize]).unwrap();
    for (at, count) in [
        (bus(2) - 1, 1),
        (bus(2) - 1, 2),
        (bus(5), 1),
        (bus(5) - 1, 2),
        (bus(2), 3 * PAGE + 1),
        (bus(7), 2 * PAGE),
        (bus(0), PAGE),
        (bus(15), PAGE),
        (0, 16),
        (MEMORY_AT - PAGE, PAGE),
        (u64::MAX - 7, 8),
    ] {
        // Whether what comes before the edge is written is of no matter.
        let written = bench.copied(&mut link, Copies::write(at, &vec![0x77; count as usize]));
        assert_eq!(written, Err(ChannelFault::Dma), "{count} bytes to {at:#x}");
        let mut inside = vec![0; 3 * PAGE as usize];
        memory.read(2 * PAGE, &mut inside).unwrap();
        check_memory(&memory, 2 * PAGE, &inside);
        memory.write(2 * PAGE, &vec![0x11; 3 * PAGE as usize]).unwrap();
        let read = bench.copied(&mut link, Copies::read(at, count));
        assert_eq!(read, Err(ChannelFault::Dma), "{count} bytes from {at:#x}");
    }
    bench.leave(link);
    bench.finish();
}

#[test]
fn a_window_that_may_be_read_alone_or_is_gone_is_not_written() {
    let mut bench = Bench::new();
    let (mut link, memory) = mapped(&mut bench);
    let fault = Err(ChannelFault::Dma);
    let read_only = MEMORY_AT + 8 * PAGE;
    for at in [read_only, read_only + PAGE - 4] {
        assert_eq!(bench.copied(&mut link, Copies::write(at, &[0x77; 4])), fault);
        assert_eq!(bench.copied(&mut link, Copies::release(at)), fault);
        check_memory(&memory, 0, &[]);
    }
    let at = MEMORY_AT + 2 * PAGE;
    // Named by other addresses than it was mapped with, it stays.
    for (iova, length) in [(at, PAGE), (at + PAGE, PAGE), (at, 3 * PAGE)] {
        let unmap = Request::DmaUnmap(DmaUnmap::One { iova, length });
        let outcome = bench.ask(&mut link, &unmap, &[]);
        assert!(matches!(outcome, crate::link::Outcome::Failed(_)), "{outcome:?}");
    }
    assert_eq!(bench.copied(&mut link, Copies::release(at)), Ok(Vec::new()));
    check_memory(&memory, 2 * PAGE, &[0x55; 4]);
    memory.write(2 * PAGE, &[0x11; 4]).unwrap();
    bench.done(&mut link, &Request::DmaUnmap(DmaUnmap::One { iova: at, length: 2 * PAGE }), &[]);
    assert_eq!(bench.copied(&mut link, Copies::release(at)), fault);
    assert_eq!(bench.copied(&mut link, Copies::write(at, &[0x77; 64])), fault);
    // The other window is there as before, until the client goes.
    let other = MEMORY_AT + 4 * PAGE;
    assert_eq!(bench.copied(&mut link, Copies::release(other)), Ok(Vec::new()));
    check_memory(&memory, 4 * PAGE, &[0x55; 4]);
    memory.write(4 * PAGE, &[0x11; 4]).unwrap();
    bench.leave(link);
    let mut link = bench.meet(Who::Machine);
    assert_eq!(bench.copied(&mut link, Copies::release(other)), fault);
    check_memory(&memory, 0, &[]);
    bench.leave(link);
    bench.finish();
}

#[test]
fn a_machine_that_answers_wrong_stops_the_channel_that_has_asked() {
    let mut bench = Bench::new();
    let mut link = bench.meet(Who::Machine);
    let map = DmaMap { flags: BOTH, offset: 0, iova: MEMORY_AT, length: MEMORY_BYTES };
    bench.done(&mut link, &Request::DmaMap(map), &[]);
    let read = || Copies::read(MEMORY_AT, PAGE);
    for memory in [Memory::Short, Memory::Long, Memory::Refused, Memory::Garbage] {
        link.memory = memory;
        assert_eq!(bench.copied(&mut link, read()), Err(ChannelFault::Dma), "{memory:?}");
        link.memory = Memory::Fine(0x42);
        assert_eq!(bench.copied(&mut link, read()), Ok(vec![0x42; PAGE as usize]));
    }
    bench.leave(link);
    bench.finish();
}
