//! What one client makes a server do before others have their turn, and what it keeps meanwhile.

use crate::bench::Bench;
use crate::link::{Link, Memory};
use crate::neighbour::MEMORY_AT;
use crate::process::resident_bytes;
use crate::windows::{Copies, pattern};
use godwit_server::Who;
use godwit_shim::vfio::MigrationState;
use godwit_vfio_proto::{
    DmaFlags, DmaMap, FeatureCall, Limits, MessageKind, RegionAccess, Request, Writes, region,
};

/// Control register of the device, in its Express capability, and the bit in it that resets.
const CONTROL: u64 = 0x48;
const RESET: [u8; 2] = [0, 0x80];
/// Time of the card that a turn of one client may take.
const TURN_NS: u64 = 200_000;
/// Bytes that may be kept of one client: what waits to be done, and what waits to be sent.
const KEPT_BYTES: u64 = 24 << 20;

impl Bench {
    /// Asks the vGPU to stop, which it cannot: its machine does not take what it has written.
    pub(crate) fn stop_and_wait(&mut self, link: &mut Link) {
        let state = MigrationState::Stop as u32;
        let stop = Request::Feature(FeatureCall::SetState { state, data_fd: 0 });
        assert!(self.send(link, &stop.encode(STOP_ID), &[]));
        self.turn();
        link.hear();
        let answers = |(header, _): &(godwit_vfio_proto::Header, Vec<u8>)| {
            header.id == STOP_ID && matches!(header.kind, MessageKind::Reply { .. })
        };
        assert!(!link.heard.iter().any(answers), "the stop does not wait");
        assert_eq!(self.device.state(), MigrationState::Stop);
    }

    /// A machine that lets the vGPU wait for what it has written.
    pub(crate) fn meet_silent(&mut self) -> Link {
        let mut link = self.meet(Who::Machine);
        let flags = DmaFlags::READ | DmaFlags::WRITE;
        let map = DmaMap { flags, offset: 0, iova: MEMORY_AT, length: 4096 };
        self.done(&mut link, &Request::DmaMap(map), &[]);
        link.memory = Memory::Silent;
        self.begin(Copies::write(MEMORY_AT, &pattern(4096)));
        link
    }
}

/// The number of the message that asks for the stop.
const STOP_ID: u16 = 777;

/// How much of the card's time the turn takes in which a message is heard.
fn longest_turn_ns(bench: &mut Bench, link: &mut Link, bytes: &[u8]) -> u64 {
    let mut sent = 0;
    let mut longest_ns = 0;
    for _ in 0..300 {
        sent += link.send(&bytes[sent..], &[]);
        let before_ns = bench.host.now_ns();
        bench.device.step(&mut bench.host);
        let took_ns = bench.host.now_ns() - before_ns;
        longest_ns = longest_ns.max(took_ns);
        link.hear();
    }
    assert_eq!(sent, bytes.len());
    longest_ns
}

#[test]
fn one_message_resets_once() {
    let mut bench = Bench::new();
    let mut link = bench.meet(Who::Machine);
    let mut entries = Vec::new();
    for _ in 0..2_000 {
        Writes::push(&mut entries, region::CONFIG, CONTROL, &RESET);
    }
    let multi = Request::RegionWriteMulti(Writes::over(&entries)).encode(1);
    let took_ns = longest_turn_ns(&mut bench, &mut link, &multi);
    assert!(took_ns < TURN_NS, "{took_ns} ns for one message");
    bench.check_health(&mut link);
    bench.leave(link);
    bench.finish();
}

#[test]
fn a_turn_ends_when_much_was_done() {
    let mut bench = Bench::new();
    for who in [Who::Machine, Who::Manager] {
        let mut link = bench.meet(who);
        let resets: Vec<u8> = (0..64).flat_map(|id| Request::Reset.encode(1_000 + id)).collect();
        let states = [MigrationState::StopCopy, MigrationState::Running];
        let moves = (0..64).flat_map(|id| {
            let state = states[usize::from(id % 2)] as u32;
            Request::Feature(FeatureCall::SetState { state, data_fd: 0 }).encode(2_000 + id)
        });
        for bytes in [resets, moves.collect()] {
            let took_ns = longest_turn_ns(&mut bench, &mut link, &bytes);
            assert!(took_ns < TURN_NS, "{took_ns} ns for one turn");
        }
        bench.check_health(&mut link);
        bench.leave(link);
    }
    bench.finish();
}

#[test]
fn messages_that_wait_take_little_memory() {
    let mut bench = Bench::new();
    let mut link = bench.meet_silent();
    bench.stop_and_wait(&mut link);
    let before = resident_bytes();
    let data = vec![0x5a; Limits::DATA_BYTES as usize];
    let access = RegionAccess { region: 2, offset: 0, count: Limits::DATA_BYTES };
    let write = Request::RegionWrite(access, &data).encode(1);
    let (mut sent, mut most) = (0, before);
    for _ in 0..2_000 {
        sent += link.send(&write[sent % write.len()..], &[]);
        bench.device.step(&mut bench.host);
        most = most.max(resident_bytes());
    }
    assert!(most < before + KEPT_BYTES, "{} bytes of messages are kept", most - before);
    bench.leave(link);
    bench.finish();
}

#[test]
fn answers_to_messages_that_waited_take_little_memory() {
    let mut bench = Bench::new();
    // What is read has memory of its own.
    let data = vec![0x5a; Limits::DATA_BYTES as usize];
    bench.host.bar2_write(bench.gfid, 0, &data).unwrap();
    let mut link = bench.meet_silent();
    bench.stop_and_wait(&mut link);
    let access = RegionAccess { region: 2, offset: 0, count: Limits::DATA_BYTES };
    for id in 1_000..1_060 {
        assert!(bench.send(&mut link, &Request::RegionRead(access).encode(id), &[]));
        bench.turn();
    }
    let before = resident_bytes();
    // Now the machine takes what it was sent, and nothing else.
    let asked = link.heard.iter().find(|(it, _)| matches!(it.kind, MessageKind::Command { .. }));
    let (header, body) = asked.unwrap().clone();
    let reply = Memory::Fine(0).answer(&header, &body).unwrap();
    assert!(bench.send(&mut link, &reply, &[]));
    let mut most = before;
    for _ in 0..20 {
        bench.device.step(&mut bench.host);
        most = most.max(resident_bytes());
    }
    assert!(most < before + KEPT_BYTES, "{} bytes of answers are kept", most - before);
    // It is heard again when it has taken them.
    bench.check_health(&mut link);
    bench.leave(link);
    bench.finish();
}

#[test]
fn a_client_that_goes_while_it_is_not_heard_is_gone_at_once() {
    let mut bench = Bench::new();
    let mut link = bench.meet_silent();
    bench.stop_and_wait(&mut link);
    for id in 1_000..1_256 {
        assert!(bench.send(&mut link, &Request::DeviceInfo.encode(id), &[]));
        bench.turn();
    }
    drop(link);
    bench.cuts.clear();
    for _ in 0..3 {
        bench.turn();
    }
    assert_eq!(bench.cuts.len(), 1, "nobody has seen that it has gone");
    let mut link = bench.meet(Who::Machine);
    bench.check_health(&mut link);
    bench.leave(link);
    bench.finish();
}
