//! Every message both ways, golden bytes, and bytes that nobody sends in good faith.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { data_bytes: 1 << 16, fds: 16 };

fn taken_apart(message: &[u8]) -> (Header, &[u8]) {
    let (head, body) = message.split_first_chunk::<HEADER_BYTES>().unwrap();
    let header = Header::parse(head, &LIMITS).unwrap();
    assert_eq!(header.body_bytes(), body.len());
    (header, body)
}

fn asked(request: &Request<'_>, fds: usize) -> Header {
    let message = request.encode(77);
    let (header, body) = taken_apart(&message);
    assert_eq!(header.id, 77);
    assert_eq!(header.kind, MessageKind::Command { no_reply: false });
    assert_eq!(Request::parse(&header, body, fds, &LIMITS).as_ref(), Ok(request));
    header
}

fn answered(request: &Request<'_>, reply: &Reply<'_>) {
    let header = asked(request, 0);
    let message = reply.encode(&header);
    let (answer, body) = taken_apart(&message);
    assert_eq!((answer.id, answer.command), (header.id, header.command));
    assert_eq!(answer.kind, MessageKind::Reply { error: None });
    assert_eq!(Reply::parse(request, &answer, body, &LIMITS).as_ref(), Ok(reply));
}

fn refused(command: Command, body: &[u8], fds: usize) -> WireError {
    let header = Header::command(1, command, body.len() as u32);
    Request::parse(&header, body, fds, &LIMITS).unwrap_err()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn range(iova: u64, length: u64) -> DmaRange {
    DmaRange { iova, length }
}

#[test]
fn every_request_and_its_answer_go_both_ways() {
    let version = Version { major: 0, minor: 1, capabilities: Capabilities::NONE };
    answered(&Request::Version(version.clone()), &Reply::Version(version));
    let map = DmaMap { flags: DmaFlags::all(), offset: 4096, iova: 1 << 40, length: 8192 };
    answered(&Request::DmaMap(map), &Reply::Done);
    for unmap in [DmaUnmap::One { iova: 4096, length: 4096 }, DmaUnmap::All] {
        answered(&Request::DmaUnmap(unmap), &Reply::Unmapped(unmap));
    }
    let flags = DeviceFlags::all();
    let info = DeviceInfo { flags, region_count: 9, irq_count: 5 };
    answered(&Request::DeviceInfo, &Reply::DeviceInfo(info));
    let info = IrqInfo { index: irq::MSIX, flags: IrqFlags::EVENTFD, count: 32 };
    answered(&Request::IrqInfo(irq::MSIX), &Reply::IrqInfo(info));
    for (data, action) in [
        (IrqData::None, IrqAction::Trigger),
        (IrqData::Eventfd, IrqAction::Trigger),
        (IrqData::Bool(&[1, 0, 1]), IrqAction::Mask),
        (IrqData::None, IrqAction::Unmask),
    ] {
        let set = SetIrqs { index: irq::MSIX, start: 4, count: 3, action, data };
        answered(&Request::SetIrqs(set), &Reply::Done);
    }
    let access = RegionAccess { region: 2, offset: 1 << 33, count: 5 };
    answered(&Request::RegionRead(access), &Reply::RegionRead(access, b"bytes"));
    answered(&Request::RegionWrite(access, b"bytes"), &Reply::RegionWritten(access));
    let mut entries = Vec::new();
    Writes::push(&mut entries, 0, 0x3_0000, &[1, 0, 0, 0]);
    Writes::push(&mut entries, 2, 7, &[9]);
    let writes = Writes::over(&entries);
    answered(&Request::RegionWriteMulti(writes), &Reply::RegionsWritten(2));
    let read: Vec<_> = writes.iter().collect();
    assert_eq!(read[1], (RegionAccess { region: 2, offset: 7, count: 1 }, [9].as_slice()));
    answered(&Request::Reset, &Reply::Done);
    answered(&Request::MigDataRead(9), &Reply::MigData(b"state"));
    answered(&Request::MigDataWrite(b"state"), &Reply::Done);
}

#[test]
fn every_feature_and_its_answer_go_both_ways() {
    let report = LogReport { range: range(1 << 32, 65 << 12), page_bytes: 4096 };
    let precopy = PrecopyInfo { initial_bytes: 1, dirty_bytes: 2, reinit: true };
    let probe = |get, set| FeatureCall::Probe { feature: feature::MIG_DEVICE_STATE, get, set };
    for (call, answer) in [
        (probe(true, false), FeatureAnswer::Done),
        (probe(true, true), FeatureAnswer::Done),
        (FeatureCall::GetMigration, FeatureAnswer::Migration(MigrationFlags::all())),
        (FeatureCall::GetState, FeatureAnswer::State(6)),
        (FeatureCall::SetState { state: 3, data_fd: u32::MAX }, FeatureAnswer::Done),
        (
            FeatureCall::LogStart { page_bytes: 4096, ranges: vec![range(0, 4096), range(8, 9)] },
            FeatureAnswer::Done,
        ),
        (FeatureCall::LogStart { page_bytes: 8192, ranges: Vec::new() }, FeatureAnswer::Done),
        (FeatureCall::LogStop, FeatureAnswer::Done),
        (FeatureCall::LogReport(report), FeatureAnswer::Report(&[7; 16])),
        (FeatureCall::GetDataSize, FeatureAnswer::DataSize(1 << 40)),
        (FeatureCall::GetPrecopyInfo, FeatureAnswer::Precopy(precopy)),
    ] {
        answered(&Request::Feature(call.clone()), &Reply::Feature(call, answer));
    }
}

#[test]
fn accesses_of_the_server_go_both_ways() {
    for (access, reply) in [
        (
            DmaAccess::Read { iova: 1 << 50, count: 3 },
            DmaReply::Read { iova: 1 << 50, data: &[1, 2, 3] },
        ),
        (DmaAccess::Write { iova: 5, data: b"abc" }, DmaReply::Written { iova: 5, count: 3 }),
    ] {
        let message = access.message(9);
        let (header, body) = taken_apart(&message);
        assert_eq!(DmaAccess::parse(&header, body, &LIMITS), Ok(access));
        let message = reply.encode(&header);
        let (header, body) = taken_apart(&message);
        assert_eq!(header.id, 9);
        assert_eq!(DmaReply::parse(&header, body, &LIMITS), Ok(reply));
    }
}

#[test]
fn the_room_for_a_region_is_agreed_in_two_steps() {
    let areas = vec![Area { offset: 0, length: 4096 }, Area { offset: 1 << 20, length: 8192 }];
    let info = RegionInfo {
        index: 2,
        flags: RegionFlags::all(),
        length: 64 << 20,
        offset: 0,
        capabilities: vec![
            RegionCapability::SparseMmap(areas),
            RegionCapability::Type { kind: 3, subtype: 4 },
            RegionCapability::MsixMappable,
        ],
    };
    let first = Request::RegionInfo { index: 2, room: 32 };
    let header = asked(&first, 0);
    let message = Reply::RegionInfo(info.clone(), 32).encode(&header);
    assert_eq!(message.len(), HEADER_BYTES + 32);
    let (header, body) = taken_apart(&message);
    let reply = Reply::parse(&first, &header, body, &LIMITS).unwrap();
    let Reply::RegionInfo(short, room) = reply else { panic!("{reply:?}") };
    assert_eq!((short.capabilities, room), (Vec::new(), 32 + 48 + 16 + 8));
    let second = Request::RegionInfo { index: 2, room };
    answered(&second, &Reply::RegionInfo(info, room));
    answered(&first, &Reply::RegionInfo(RegionInfo::absent(2), 32));
}

/// Bytes as QEMU 11.1 puts them on the wire.
#[test]
fn bytes_are_those_that_qemu_sends() {
    let map = DmaMap {
        flags: DmaFlags::READ | DmaFlags::WRITE,
        offset: 0xc_0000,
        iova: 0x10_0000,
        length: 0xff0_0000,
    };
    let golden = [
        words(&[2 << 16 | 5, 48, 0, 0]),
        words(&[32, 3, 0xc_0000, 0, 0x10_0000, 0, 0xff0_0000, 0]),
    ]
    .concat();
    assert_eq!(Request::DmaMap(map).encode(5), golden);
    // A vector is bound: EVENTFD and TRIGGER.
    let body = words(&[20, 0x24, 2, 3, 1]);
    let header = Header::command(6, Command::DeviceSetIrqs, 20);
    let set = Request::parse(&header, &body, 1, &LIMITS).unwrap();
    let (action, data) = (IrqAction::Trigger, IrqData::Eventfd);
    assert_eq!(set, Request::SetIrqs(SetIrqs { index: 2, start: 3, count: 1, action, data }));
    // All are unbound: NONE and TRIGGER, no vectors.
    let body = words(&[20, 0x21, 0, 0, 0]);
    let set = Request::parse(&header, &body, 0, &LIMITS).unwrap();
    let (action, data) = (IrqAction::Trigger, IrqData::None);
    assert_eq!(set, Request::SetIrqs(SetIrqs { index: 0, start: 0, count: 0, action, data }));
    // The state of the migration is asked for, with room for the answer.
    let body = words(&[16, 1 << 16 | 2, 0, 0]);
    let header = Header::command(7, Command::DeviceFeature, 16);
    let call = Request::parse(&header, &body, 0, &LIMITS).unwrap();
    assert_eq!(call, Request::Feature(FeatureCall::GetState));
    let answer = Reply::Feature(FeatureCall::GetState, FeatureAnswer::State(2)).encode(&header);
    let golden = words(&[16 << 16 | 7, 32, 1, 0, 16, 1 << 16 | 2, 2, 0]);
    assert_eq!(answer, golden);
    assert_eq!(header.failure(22).to_vec(), words(&[16 << 16 | 7, 16, 0x21, 22]));
}

#[test]
fn headers_that_cannot_be_are_fatal_and_all_else_is_not() {
    let most = LIMITS.message_bytes();
    for (size, flags) in [(0, 0), (15, 0), (most + 1, 0), (u32::MAX, 1), (16, 2), (16, 15)] {
        let bytes: [u8; 16] = words(&[1 << 16, size, flags, 0]).try_into().unwrap();
        let error = Header::parse(&bytes, &LIMITS).unwrap_err();
        assert!(error.is_fatal(), "{error}");
    }
    let bytes: [u8; 16] = words(&[14 << 16 | 3, 20, 0x10, 0]).try_into().unwrap();
    let header = Header::parse(&bytes, &LIMITS).unwrap();
    assert_eq!(header.kind, MessageKind::Command { no_reply: true });
    let error = Request::parse(&header, &[0; 4], 0, &LIMITS).unwrap_err();
    assert_eq!(error, WireError::Command(14));
    assert!(!error.is_fatal());
    assert_eq!(error.errno(), 22);
    let bytes: [u8; 16] = words(&[9 << 16, 16, 0x21, 5]).try_into().unwrap();
    let header = Header::parse(&bytes, &LIMITS).unwrap();
    assert_eq!(header.kind, MessageKind::Reply { error: Some(5) });
}

#[test]
fn commands_and_answers_are_told_apart_and_a_failure_is_no_success() {
    let map = DmaMap { flags: DmaFlags::READ, offset: 0, iova: 0, length: 4096 };
    let request = Request::DmaMap(map);
    let message = request.encode(1);
    let (command, body) = taken_apart(&message);
    let answer = command.answer(body.len() as u32);
    assert_eq!(Request::parse(&answer, body, 0, &LIMITS), Err(WireError::NoCommand));
    assert_eq!(Reply::parse(&request, &command, &[], &LIMITS), Err(WireError::NoAnswer));
    let failure = command.failure(17);
    let (failure, _) = taken_apart(&failure);
    assert_eq!(Reply::parse(&request, &failure, &[], &LIMITS), Err(WireError::Failed(17)));
    assert_eq!(DmaReply::parse(&failure, &[], &LIMITS), Err(WireError::Failed(17)));
}

#[test]
fn several_writes_pass_whatever_one_access_may_carry() {
    let small = Limits { data_bytes: 4096, fds: 1 };
    let mut entries = Vec::new();
    (0..200).for_each(|at| Writes::push(&mut entries, 0, at * 8, &[7; 8]));
    let message = Request::RegionWriteMulti(Writes::over(&entries)).encode(1);
    let (head, body) = message.split_first_chunk::<HEADER_BYTES>().unwrap();
    let header = Header::parse(head, &small).unwrap();
    let request = Request::parse(&header, body, 0, &small).unwrap();
    assert!(matches!(request, Request::RegionWriteMulti(writes) if writes.count() == 200));
}

#[test]
fn what_a_message_claims_is_bounded_by_what_it_has() {
    let long = u64::from(LIMITS.data_bytes) + 1;
    let access = |count: u32| [words(&[0, 0, 2, count]), vec![0; 4]].concat();
    for (command, body, fds, errno) in [
        (Command::DmaMap, words(&[31, 3, 0, 0, 0, 0, 4096, 0]), 0, 22),
        (Command::DmaMap, words(&[32, 16, 0, 0, 0, 0, 4096, 0]), 0, 22),
        (Command::DmaMap, words(&[32, 3, 0, 0, 4096, 0, 0, 0]), 0, 22),
        (Command::DmaMap, words(&[32, 3, 0, 0, u32::MAX, u32::MAX, 4096, 0]), 0, 22),
        (Command::DmaMap, words(&[32, 3, u32::MAX, u32::MAX, 0, 0, 4096, 0]), 0, 22),
        (Command::DmaMap, words(&[32, 3, 0, 0, 0, 0, 4096, 0]), 2, 22),
        (Command::DmaMap, words(&[32, 3, 0, 0, 0, 0, 4096]), 0, 22),
        (Command::DmaUnmap, words(&[24, 1, 0, 0, 4096, 0]), 0, 22),
        (Command::DmaUnmap, words(&[24, 2, 1, 0, 0, 0]), 0, 22),
        (Command::DeviceGetInfo, words(&[15, 0, 0, 0]), 0, 22),
        (Command::DeviceGetRegionInfo, words(&[31, 0, 0, 0, 0, 0, 0, 0]), 0, 22),
        (Command::DeviceSetIrqs, words(&[20, 0x24, 2, 0, 2]), 1, 22),
        (Command::DeviceSetIrqs, words(&[20, 0x21, 2, 0, 1]), 1, 22),
        (Command::DeviceSetIrqs, words(&[20, 0x22, 2, 0, 1]), 0, 22),
        (Command::DeviceSetIrqs, words(&[20, 0x25, 2, 0, 1]), 0, 22),
        (Command::DeviceSetIrqs, words(&[20, 0x39, 2, 0, 1]), 0, 22),
        (Command::DeviceSetIrqs, words(&[20, 0x21, 2, u32::MAX, 1]), 0, 7),
        (Command::RegionWrite, access(5), 0, 22),
        (Command::RegionWrite, access(3), 0, 22),
        (Command::RegionRead, words(&[0, 0, 2, LIMITS.data_bytes + 1]), 0, 22),
        (Command::RegionRead, words(&[u32::MAX, u32::MAX, 2, 1]), 0, 22),
        (Command::RegionRead, access(4), 0, 22),
        (Command::RegionWriteMulti, words(&[1, 0]), 0, 22),
        (Command::RegionWriteMulti, words(&[u32::MAX, u32::MAX]), 0, 22),
        (Command::RegionWriteMulti, words(&[1, 0, 0, 0, 2, 9, 0, 0]), 0, 22),
        (Command::DeviceReset, vec![0], 0, 22),
        (Command::DeviceFeature, words(&[16, 2, 0, 0]), 0, 22),
        (Command::DeviceFeature, words(&[15, 1 << 16 | 2]), 0, 22),
        (Command::DeviceFeature, words(&[16, 3 << 16 | 2, 0, 0]), 0, 22),
        (Command::DeviceFeature, words(&[16, 1 << 16 | 3, 0, 0]), 0, 22),
        (Command::DeviceFeature, words(&[16, 1 << 19 | 2, 0, 0]), 0, 22),
        (Command::DeviceFeature, words(&[999, 2 << 16 | 6, 4096, 0, 4097, 0]), 0, 7),
        (Command::DeviceFeature, words(&[999, 2 << 16 | 6, 4096, 0, 1, 0]), 0, 22),
        (Command::DeviceFeature, words(&[999, 2 << 16 | 6, 4095, 0, 0, 0]), 0, 22),
        (Command::DeviceFeature, words(&[99, 1 << 16 | 8, 0, 0, 0, 1 << 20, 4096, 0]), 0, 22),
        (Command::DeviceFeature, words(&[99, 1 << 16 | 8, 0, 0, 4096, 0, 0, 0]), 0, 22),
        (Command::MigDataRead, words(&[8 + (1 << 17), 1 << 17]), 0, 22),
        (Command::MigDataRead, words(&[8, 1]), 0, 22),
        (Command::MigDataWrite, words(&[12, 5, 0]), 0, 22),
        (Command::MigDataWrite, words(&[8, 4, 0]), 0, 22),
        (Command::MigDataWrite, words(&[16, 4, 0, 0]), 0, 22),
        (Command::DeviceSetIrqs, words(&[20, 0x24, 2, 0, 17]), 17, 22),
        (Command::MigDataWrite, words(&[12, long as u32]), 0, 22),
        (Command::RegionRead, words(&[0, 0, 2, 4]), 1, 22),
        (Command::DeviceGetRegionIoFds, words(&[0]), 0, 22),
        (Command::DmaRead, words(&[0, 0, 1, 0]), 0, 22),
    ] {
        let error = refused(command, &body, fds);
        assert_eq!(error.errno(), errno, "{command:?} {body:?}: {error}");
        assert!(!error.is_fatal());
    }
}

#[test]
fn capabilities_of_a_region_that_lead_in_a_circle_end() {
    let mut body = words(&[40, 8, 0, 32, 0, 0, 0, 0]);
    body.extend(words(&[1 << 16 | 3, 32]));
    let header = Header::command(1, Command::DeviceGetRegionInfo, body.len() as u32).answer(0);
    let request = Request::RegionInfo { index: 0, room: 64 };
    let reply = Reply::parse(&request, &header, &body, &LIMITS).unwrap();
    let Reply::RegionInfo(info, _) = reply else { panic!("{reply:?}") };
    assert_eq!(info.capabilities, [RegionCapability::MsixMappable]);
    body[12] = 200;
    assert!(Reply::parse(&request, &header, &body, &LIMITS).is_err());
}

fn requests() -> impl Strategy<Value = (Command, Vec<u8>, usize)> {
    let command = prop::sample::select(Command::ALL);
    let word = prop_oneof![0u32..64, any::<u32>(), (0u32..20).prop_map(|bit| 1 << bit)];
    (command, prop::collection::vec(word, 0..16), 0..4usize, 0..4usize).prop_map(
        |(command, body, fds, odd)| {
            let mut bytes = words(&body);
            bytes.truncate(bytes.len().saturating_sub(odd));
            (command, bytes, fds)
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_that_goes_both_ways_or_an_error((command, body, fds) in requests()) {
        let header = Header::command(3, command, body.len() as u32);
        if let Ok(request) = Request::parse(&header, &body, fds, &LIMITS) {
            let message = request.encode(3);
            let (again, body) = taken_apart(&message);
            prop_assert_eq!(Request::parse(&again, body, fds, &LIMITS), Ok(request));
        }
        if let Ok(access) = DmaAccess::parse(&header, &body, &LIMITS) {
            let message = access.message(3);
            let (again, body) = taken_apart(&message);
            prop_assert_eq!(DmaAccess::parse(&again, body, &LIMITS), Ok(access));
        }
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error((command, body, _) in requests()) {
        let header = Header::command(3, command, body.len() as u32).answer(0);
        let report = LogReport { range: range(0, 4096), page_bytes: 4096 };
        for request in [
            Request::DmaUnmap(DmaUnmap::All),
            Request::DeviceInfo,
            Request::RegionInfo { index: 0, room: 32 },
            Request::IrqInfo(0),
            Request::RegionRead(RegionAccess { region: 0, offset: 0, count: 4 }),
            Request::MigDataRead(4),
            Request::Feature(FeatureCall::GetState),
            Request::Feature(FeatureCall::LogReport(report)),
            Request::Feature(FeatureCall::GetPrecopyInfo),
        ] {
            let body_bytes = header.body_bytes() as u32;
            let header = Header::command(3, request.command(), 0).answer(body_bytes);
            let _ = Reply::parse(&request, &header, &body, &LIMITS);
        }
        let _ = DmaReply::parse(&header, &body, &LIMITS);
    }

    #[test]
    fn any_header_goes_both_ways_or_is_fatal(
        bytes in any::<[u8; 16]>(),
        small in any::<u16>(),
    ) {
        let mut bytes = bytes;
        bytes[4..8].copy_from_slice(&u32::from(small).to_le_bytes());
        match Header::parse(&bytes, &LIMITS) {
            Ok(header) => prop_assert_eq!(Header::parse(&header.encode(), &LIMITS), Ok(header)),
            Err(error) => prop_assert!(error.is_fatal()),
        }
    }
}
