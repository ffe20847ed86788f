//! Every number of a message that says how much there is, at its limits and beyond.

use crate::bench::{Bench, FB_BYTES};
use crate::link::{Link, Outcome};
use crate::messages::message;
use crate::process::AddressLimit;
use godwit_server::Who;
use godwit_vfio_proto::{
    Command, DmaFlags, DmaMap, DmaRange, DmaUnmap, FeatureCall, HEADER_BYTES, IrqAction, IrqData,
    Limits, LogReport, RegionAccess, Request, SetIrqs, Writes, irq, region,
};

/// What one message may take, and some room: the device has less than this more at any time.
const MORE_BYTES: u64 = 48 << 20;
const DATA_MAX: u64 = Limits::DATA_BYTES as u64;
/// The body of a message, at most.
const BODY_MAX: u64 = DATA_MAX + 64;

/// A number in a message, and the most that it may be. `None`: every number is refused, or none is.
struct Field {
    name: &'static str,
    message: Vec<u8>,
    at: usize,
    width: usize,
    max: u64,
    /// Whether the message is done when it is just that.
    fits: bool,
}

/// Where a field is in a message, behind the header.
const fn body(at: usize) -> usize {
    HEADER_BYTES + at
}

fn field(
    name: &'static str,
    request: &Request<'_>,
    (at, width): (usize, usize),
    max: u64,
    fits: bool,
) -> Field {
    Field { name, message: request.encode(0), at: body(at), width, max, fits }
}

fn access(region: u32, count: u32) -> Request<'static> {
    Request::RegionRead(RegionAccess { region, offset: 0, count })
}

fn fields() -> Vec<Field> {
    let map = DmaMap { flags: DmaFlags::READ, offset: 0, iova: 1 << 32, length: 4096 };
    let map = Request::DmaMap(map);
    let unmap = Request::DmaUnmap(DmaUnmap::One { iova: 0, length: 4096 });
    let (index, action) = (irq::MSIX, IrqAction::Mask);
    let bools = [1; 32];
    let none = SetIrqs { index, start: 0, count: 32, action, data: IrqData::None };
    let vectors = SetIrqs { data: IrqData::Bool(&bools), ..none };
    let one = RegionAccess { region: region::CONFIG, offset: 0x3c, count: 4 };
    let mut entries = Vec::new();
    Writes::push(&mut entries, region::CONFIG, 0x3c, &[1; 8]);
    let multi = Request::RegionWriteMulti(Writes::over(&entries));
    let range = DmaRange { iova: 0, length: 4096 };
    let start = FeatureCall::LogStart { page_bytes: 4096, ranges: vec![range] };
    let start = Request::Feature(start);
    let report = Request::Feature(FeatureCall::LogReport(LogReport { range, page_bytes: 4096 }));
    // None of these is longer than its limit says: what is larger only says that there is room.
    vec![
        field("REGION_READ of BAR2", &access(2, 4), (12, 4), DATA_MAX, true),
        field("REGION_READ of BAR0", &access(0, 4), (12, 4), 1 << 18, true),
        field("REGION_READ of MSI-X", &access(4, 4), (12, 4), 0x2000, true),
        field("REGION_READ of CONFIG", &access(7, 4), (12, 4), 4096, true),
        field("REGION_READ of none", &access(6, 4), (12, 4), 0, false),
        field("offset in BAR2", &access(2, 4), (0, 8), FB_BYTES - 4, true),
        field("offset in CONFIG", &access(7, 4), (0, 8), 4092, true),
        field("REGION_WRITE", &Request::RegionWrite(one, &[1; 4]), (12, 4), 4, true),
        field("REGION_WRITE_MULTI", &multi, (0, 8), 1, true),
        field("bytes of one of its writes", &multi, (20, 4), 8, true),
        field("DMA_MAP, length", &map, (24, 8), 1 << 62, false),
        field("DMA_UNMAP, length", &unmap, (16, 8), 0, false),
        field("SET_IRQS, all", &Request::SetIrqs(none), (16, 4), 32, true),
        field("SET_IRQS, first", &Request::SetIrqs(none), (12, 4), 0, true),
        field("SET_IRQS, bools", &Request::SetIrqs(vectors), (16, 4), 32, true),
        field("MIG_DATA_READ", &Request::MigDataRead(u32::MAX - 8), (4, 4), DATA_MAX, false),
        field("MIG_DATA_WRITE", &Request::MigDataWrite(&[0; 64]), (4, 4), 64, false),
        field("ranges of a log", &start, (16, 4), 1, false),
        field("length of a report", &report, (16, 8), 1 << 35, false),
        field("REGION_INFO, which", &Request::RegionInfo { index: 0, room: 64 }, (8, 4), 8, true),
        field("IRQ_INFO, which", &Request::IrqInfo(0), (8, 4), 4, true),
    ]
}

/// Numbers at the limits of a field.
fn edges(max: u64, width: usize) -> Vec<u64> {
    let last = if width == 4 { u64::from(u32::MAX) } else { u64::MAX };
    let below = max.saturating_sub(1);
    let mut edges = vec![0, 1, below, max, max.saturating_add(1), u64::from(u32::MAX), last];
    edges.retain(|edge| *edge <= last);
    edges
}

/// Says something, and is heard afterwards, whatever came of it.
fn say(bench: &mut Bench, link: &mut Link, who: Who, bytes: Vec<u8>, what: &str) -> Outcome {
    bench.cuts.clear();
    let outcome = bench.ask_bytes(link, bytes, &[]);
    assert_ne!(outcome, Outcome::Silent, "{what}");
    if outcome == Outcome::Cut {
        assert!(!bench.cuts.is_empty(), "{what}: nobody is told why");
        *link = bench.meet(who);
    }
    bench.check_health(link);
    outcome
}

/// A host whose process is not given much more memory.
fn start(who: Who) -> (Bench, Link, AddressLimit) {
    let mut bench = Bench::new();
    let link = bench.meet(who);
    let limit = AddressLimit::new(MORE_BYTES);
    (bench, link, limit)
}

#[test]
fn a_number_above_its_limit_is_refused() {
    let (mut bench, mut link, limit) = start(Who::Machine);
    for Field { name, message, at, width, max, fits } in fields() {
        for edge in edges(max, width) {
            let what = format!("{name}: {edge:#x}");
            let mut bytes = message.clone();
            bytes[at..at + width].copy_from_slice(&edge.to_le_bytes()[..width]);
            let outcome = say(&mut bench, &mut link, Who::Machine, bytes, &what);
            let is_done = matches!(outcome, Outcome::Done(_));
            assert!(!is_done || edge <= max, "{what}: {max:#x} is the most");
            assert!(is_done || edge != max || !fits, "{what}: it is refused");
        }
    }
    drop(limit);
    bench.leave(link);
    bench.finish();
}

#[test]
fn a_length_that_no_message_has_ends_the_connection() {
    let (mut bench, mut link, limit) = start(Who::Machine);
    let most = u64::from(Limits::default().message_bytes());
    for size in edges(most, 4).into_iter().chain([15, 16, 17]) {
        let what = format!("a message of {size} bytes");
        let sent = size.clamp(HEADER_BYTES as u64, most);
        let command = Command::DeviceReset as u16;
        let mut bytes = message(command, &vec![0; sent as usize - HEADER_BYTES]);
        bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
        let outcome = say(&mut bench, &mut link, Who::Machine, bytes, &what);
        match (HEADER_BYTES as u64..=most).contains(&size) {
            true if size == HEADER_BYTES as u64 => assert_eq!(outcome, Outcome::Done(vec![])),
            true => assert_eq!(outcome, Outcome::Failed(22), "{what}"),
            false => assert_eq!(outcome, Outcome::Cut, "{what}"),
        }
    }
    drop(limit);
    bench.leave(link);
    bench.finish();
}

#[test]
fn bodies_of_every_length_are_answered() {
    for who in [Who::Machine, Who::Manager] {
        let (mut bench, mut link, limit) = start(who);
        for command in (0..=20).chain([u16::MAX]) {
            for length in (0..=72).chain([BODY_MAX as usize - 1, BODY_MAX as usize]) {
                // All ones are the largest counts there are.
                for byte in [0, 1, 0xff] {
                    if length > 72 && byte == 1 {
                        continue;
                    }
                    let what = format!("command {command} with {length} times {byte:#x}");
                    let bytes = message(command, &vec![byte; length]);
                    let outcome = say(&mut bench, &mut link, who, bytes, &what);
                    assert_ne!(outcome, Outcome::Cut, "{what}");
                }
            }
        }
        drop(limit);
        bench.leave(link);
        bench.finish();
    }
}

#[test]
fn the_text_of_capabilities_is_bounded() {
    let (mut bench, link, limit) = start(Who::Machine);
    bench.leave(link);
    let text = |more: usize| {
        let text = format!("{{\"capabilities\": {{}}{}}}\0", " ".repeat(more));
        [&[0, 0, 1, 0][..], text.as_bytes()].concat()
    };
    let bare = text(0).len() - 4;
    for length in [bare, 4095, 4096, 4097, DATA_MAX as usize] {
        let mut link = bench.connect(Who::Machine);
        let bytes = message(Command::Version as u16, &text(length - bare));
        let outcome = bench.ask_bytes(&mut link, bytes, &[]);
        assert_eq!(matches!(outcome, Outcome::Done(_)), length <= 4096, "{length}: {outcome:?}");
        bench.leave(link);
    }
    for (what, fits) in [
        ("\"max_data_xfer_size\": 0", false),
        ("\"max_data_xfer_size\": 65535", false),
        ("\"max_data_xfer_size\": 65536", true),
        ("\"max_data_xfer_size\": 67108864", true),
        ("\"max_data_xfer_size\": 67108865", false),
        ("\"max_data_xfer_size\": 4294967296", false),
        ("\"max_msg_fds\": 0", true),
        ("\"max_msg_fds\": 4294967295", false),
        ("\"max_data_xfer_size\": -1", false),
        ("\"pgsizes\": 18446744073709551616", false),
    ] {
        let mut link = bench.connect(Who::Machine);
        let text = format!("{{\"capabilities\": {{{what}}}}}\0");
        let body = [&[0, 0, 1, 0][..], text.as_bytes()].concat();
        let bytes = message(Command::Version as u16, &body);
        let outcome = bench.ask_bytes(&mut link, bytes, &[]);
        assert_eq!(matches!(outcome, Outcome::Done(_)), fits, "{what}: {outcome:?}");
        bench.leave(link);
    }
    // Deep nesting takes no stack.
    let mut link = bench.connect(Who::Machine);
    let body = [&[0, 0, 1, 0][..], "[".repeat(4000).as_bytes(), &[0]].concat();
    let outcome = bench.ask_bytes(&mut link, message(Command::Version as u16, &body), &[]);
    assert_eq!(outcome, Outcome::Failed(22));
    drop(limit);
    bench.leave(link);
    bench.finish();
}

#[test]
fn what_is_noted_of_one_message_is_bounded() {
    let (mut bench, mut link, limit) = start(Who::Machine);
    let mut entries = Vec::new();
    for _ in 0..DATA_MAX / 24 {
        Writes::push(&mut entries, 99, 0, &[1]);
    }
    let multi = Request::RegionWriteMulti(Writes::over(&entries)).encode(1);
    assert!(bench.send(&mut link, &multi, &[]));
    // The rest of it comes in this turn.
    let mut noted = 0;
    for _ in 0..4 {
        bench.turn();
        noted = noted.max(bench.notes.len());
    }
    assert!((1..16).contains(&noted), "{noted} notes of one message");
    drop(limit);
    bench.leave(link);
    bench.finish();
}
