//! The MSI-X table, which a manager writes and the machine has: the manager asks for what is not in
//! it, and the machine answers as none does.

use crate::bench::Bench;
use crate::link::{Link, Memory, Outcome};
use godwit_server::Who;
use godwit_vfio_proto::{DmaAccess, Limits, MessageKind, RegionAccess, Request, region};

/// The BAR of the table, and where the guest has it.
const TABLE: u32 = 4;
const BASE: u64 = 0xfebc_0000;
/// Bytes of the table: 32 vectors.
const TABLE_BYTES: u32 = 32 * 16;
const EIO: u32 = 5;
const ENXIO: u32 = 6;
const EINVAL: u32 = 22;
const ENOTCONN: u32 = 107;

/// Offsets in the configuration space.
const COMMAND: u64 = 4;
const BAR_4: u64 = 0x20;

fn write(region: u32, offset: u64, data: &[u8]) -> Request<'_> {
    let access = RegionAccess { region, offset, count: data.len() as u32 };
    Request::RegionWrite(access, data)
}

/// A machine whose guest has switched on its function.
fn machine(bench: &mut Bench) -> Link {
    let mut machine = bench.meet(Who::Machine);
    bench.done(&mut machine, &write(region::CONFIG, BAR_4, &(BASE as u32).to_le_bytes()), &[]);
    bench.done(&mut machine, &write(region::CONFIG, COMMAND, &[6, 0]), &[]);
    machine
}

/// What a manager's write comes to, of which the machine hears and answers so.
fn write_by(
    bench: &mut Bench,
    (machine, manager): (&mut Link, &mut Link),
    data: &[u8],
    memory: Memory,
) -> Outcome {
    let id = manager.next_id();
    bench.send(manager, &write(TABLE, 16, data).encode(id), &[]);
    for _ in 0..500 {
        bench.turn();
        machine.hear();
        while let Some((header, body)) = machine.heard.pop_front() {
            let access = DmaAccess::parse(&header, &body, &Limits::default()).unwrap();
            assert_eq!(access, DmaAccess::Write { iova: BASE + 16, data });
            if let Some(message) = memory.answer(&header, &body) {
                bench.send(machine, &message, &[]);
            }
        }
        manager.hear();
        if let Some((header, body)) = manager.heard.pop_front() {
            assert_eq!(header.id, id);
            return match header.kind {
                MessageKind::Reply { error: None } => Outcome::Done(body),
                MessageKind::Reply { error: Some(errno) } => Outcome::Failed(errno),
                MessageKind::Command { .. } => panic!("a manager is asked for memory"),
            };
        }
    }
    Outcome::Silent
}

#[test]
fn the_table_is_written_where_the_guest_has_it() {
    let mut bench = Bench::new();
    let (mut machine, mut manager) = (machine(&mut bench), bench.meet(Who::Manager));
    let data: Vec<u8> = (0..64).collect();
    for (memory, wanted) in [
        (Memory::Fine(0), None),
        (Memory::Refused, Some(EIO)),
        (Memory::Short, Some(EIO)),
        (Memory::Garbage, Some(EIO)),
        (Memory::Fine(0), None),
    ] {
        let outcome = write_by(&mut bench, (&mut machine, &mut manager), &data, memory);
        match wanted {
            None => assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}"),
            Some(errno) => assert_eq!(outcome, Outcome::Failed(errno), "{memory:?}"),
        }
    }
    bench.check_health(&mut manager);
    bench.leave(machine);
    bench.leave(manager);
    bench.finish();
}

#[test]
fn what_is_not_in_the_table_or_not_there_is_refused() {
    let mut bench = Bench::new();
    let mut manager = bench.meet(Who::Manager);
    assert_eq!(bench.ask(&mut manager, &write(TABLE, 0, &[1; 4]), &[]), Outcome::Failed(ENXIO));
    let off = bench.meet(Who::Machine);
    assert_eq!(bench.ask(&mut manager, &write(TABLE, 0, &[1; 4]), &[]), Outcome::Failed(ENXIO));
    bench.leave(off);
    let mut machine = machine(&mut bench);
    let end = u64::from(TABLE_BYTES);
    for (offset, count) in [(1, 4), (0, 3), (end, 4), (end - 4, 8), (u64::MAX - 3, 4)] {
        let outcome = bench.ask(&mut manager, &write(TABLE, offset, &vec![1; count]), &[]);
        assert_eq!(outcome, Outcome::Failed(EINVAL), "{count} bytes at {offset}");
    }
    machine.hear();
    assert!(machine.heard.is_empty(), "nothing of it reaches the machine");
    bench.leave(machine);
    assert_eq!(bench.ask(&mut manager, &write(TABLE, 0, &[1; 4]), &[]), Outcome::Failed(ENOTCONN));
    bench.leave(manager);
    bench.finish();
}

#[test]
fn a_machine_that_goes_or_is_silent_is_not_waited_for_without_end() {
    let mut bench = Bench::new();
    let (first, mut manager) = (machine(&mut bench), bench.meet(Who::Manager));
    let id = manager.next_id();
    bench.send(&mut manager, &write(TABLE, 0, &[1; 16]).encode(id), &[]);
    bench.turn();
    bench.leave(first);
    bench.turn();
    manager.hear();
    let (header, _) = manager.heard.pop_front().expect("an answer");
    assert_eq!(header.kind, MessageKind::Reply { error: Some(ENOTCONN) });
    // The manager goes while one that is silent has the write.
    let silent = machine(&mut bench);
    let id = manager.next_id();
    bench.send(&mut manager, &write(TABLE, 0, &[1; 16]).encode(id), &[]);
    bench.turn();
    bench.leave(manager);
    let mut manager = bench.meet(Who::Manager);
    bench.check_health(&mut manager);
    bench.leave(manager);
    bench.leave(silent);
    bench.finish();
}
