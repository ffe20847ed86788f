//! Streams of every version, and sealed ones.

use super::*;
use crate::key::SealKey;
use godwit_wire::record::{
    Channel, Context, Descriptor, Function, HEADER_BYTES, Header, Kind, OPTIONAL, PageRun, Pages,
    Share, Trailer, Vgpu,
};
use sha2::{Digest, Sha256};

const DEBTS_NS: [u32; 2] = [1_500_000, 77];
const KEY: SealKey = SealKey::new([7; 32]);
const SALT: [u8; SALT_BYTES] = [9; SALT_BYTES];

fn descriptor() -> Descriptor {
    Descriptor {
        uuid: [3; 16],
        token: 300,
        fb_bytes: 1 << 23,
        bar_bytes: 1 << 22,
        channel_count: 4,
        context_bytes: 4096,
        context_layout: 1,
        share: Share { weight: 1, part: 0, cap: 0 },
    }
}

fn channel() -> Channel {
    Channel {
        channel: 1,
        tsg: 1,
        runlist: 0,
        ring_base: 4096,
        ring_log2: 8,
        grace: 0,
        fault: 0,
        pending: true,
        used: true,
        left_at: 3,
    }
}

/// The records of a stream, one of each kind and two of those that repeat.
fn records(version: u8) -> Vec<Vec<u8>> {
    let mut writer = Writer::new();
    writer.set_version(StreamVersion::new(version).unwrap());
    let runs = [PageRun { first: 5, count: 1, zero: false }].into_iter().collect();
    let pages = Pages { round: 0, runs };
    let more = Pages { round: 1, ..pages.clone() };
    let vgpu = Vgpu {
        guest_time_ns: 1 << 40,
        pending_vectors: 3,
        channel_count: 1,
        context_count: 1,
        debts_ns: DEBTS_NS,
    };
    let records = vec![
        writer.record(Kind::Descriptor, &descriptor(), &[]),
        writer.record(Kind::Pages, &pages, &[0x11; 4096]),
        writer.record(Kind::Pages, &more, &[0x22; 4096]),
        writer.record(Kind::Vgpu, &vgpu, &[]),
        writer.record(Kind::Channel, &channel(), &[]),
        writer.record(Kind::Context, &Context { channel: 1, at: 0 }, &[0x33; 64]),
        writer.record(Kind::Context, &Context { channel: 1, at: 64 }, &[0x44; 64]),
        writer.record(Kind::Function, &Function { channel_count: 4 }, &[0x55; 96]),
    ];
    let trailer = writer.finish();
    records.into_iter().chain([trailer]).collect()
}

fn read(mut reader: Reader, bytes: &[u8]) -> Result<Vec<Record>, StreamError> {
    let mut found = Vec::new();
    reader.feed(bytes);
    while let Some(record) = reader.next_record()? {
        found.push(record);
    }
    reader.finish().map(|()| found)
}

fn debts(records: &[Record]) -> [u32; 2] {
    let of = |record: &Record| match record.body {
        Body::Vgpu(vgpu) => Some(vgpu.debts_ns),
        _ => None,
    };
    records.iter().find_map(of).unwrap()
}

fn version(raw: u8) -> StreamVersion {
    StreamVersion::new(raw).unwrap()
}

#[test]
fn streams_of_every_version_are_read_and_older_ones_have_no_debts() {
    let read = |raw| read(Reader::new(), &records(raw).concat()).unwrap();
    assert_eq!((debts(&read(1)), debts(&read(2))), ([0; 2], DEBTS_NS));
    let versions: Vec<u8> = read(2).iter().map(|record| record.version).collect();
    assert_eq!(versions, [1, 1, 1, 2, 1, 1, 1, 1, 1]);
    assert!(read(1).iter().all(|record| record.version == 1));
}

#[test]
fn a_build_of_the_version_before_reads_what_it_knows_and_names_what_is_newer() {
    let older = || Reader::up_to(version(1));
    assert_eq!(debts(&read(older(), &records(1).concat()).unwrap()), [0; 2]);
    let why = read(older(), &records(2).concat()).unwrap_err().to_string();
    let at = records(2)[..3].concat().len();
    assert_eq!(
        why,
        format!(
            "the state is newer: the vgpu record at byte {at} has version 2, and versions 1 to 1 \
             are read"
        )
    );
}

/// The stream with another header for one record, and a trailer that agrees.
fn relabelled(place: usize, change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut records = records(2);
    records.pop();
    relabel(&mut records[place], change);
    with_trailer(&records)
}

fn relabel(record: &mut [u8], change: impl Fn(&mut Header)) {
    let mut header = Header::parse(record.first_chunk().unwrap()).unwrap();
    let body = record[HEADER_BYTES..][..header.body_bytes as usize].to_vec();
    change(&mut header);
    record[..HEADER_BYTES].copy_from_slice(&header.encode(&body));
}

fn with_trailer(records: &[Vec<u8>]) -> Vec<u8> {
    let mut digest = Sha256::new();
    records.iter().for_each(|record| digest.update(&record[..HEADER_BYTES]));
    let trailer = Trailer { record_count: records.len() as u64, digest: digest.finalize().into() };
    [records.concat(), Writer::new().record(Kind::Trailer, &trailer, &[])].concat()
}

#[test]
fn every_kind_of_a_newer_version_is_refused_by_name_with_what_is_allowed() {
    for (place, kind, newest) in [
        (0, "descriptor", 1),
        (1, "pages", 1),
        (3, "vgpu", 2),
        (4, "channel", 1),
        (7, "function", 1),
    ] {
        let bytes = relabelled(place, |header| header.version = newest + 1);
        let why = read(Reader::new(), &bytes).unwrap_err().to_string();
        let (named, allowed) =
            (format!("the {kind} record"), format!("versions 1 to {newest} are"));
        assert!(why.contains(&named) && why.contains(&allowed), "{why}");
        let bytes = relabelled(place, |header| header.version = 0);
        let why = read(Reader::new(), &bytes).unwrap_err().to_string();
        assert!(why.contains(&named) && why.contains("version 0, which was not stable"), "{why}");
    }
}

#[test]
fn what_is_not_known_is_skipped_if_it_may_be_and_refused_by_name_otherwise() {
    let known = read(Reader::new(), &records(2).concat()).unwrap();
    for place in 1..8 {
        let mut records = records(2);
        records.pop();
        let mut extra = records[1].clone();
        relabel(&mut extra, |header| (header.kind, header.version) = (900, 200));
        let mandatory = [&records[..place], &[extra.clone()], &records[place..]].concat();
        let why = read(Reader::new(), &with_trailer(&mandatory)).unwrap_err().to_string();
        assert!(why.starts_with("the state has a mandatory record of unknown kind 900"), "{why}");
        relabel(&mut extra, |header| header.flags = OPTIONAL);
        let optional = [&records[..place], &[extra], &records[place..]].concat();
        let found = read(Reader::new(), &with_trailer(&optional)).unwrap();
        assert_eq!(found[..8], known[..8], "before record {place}");
    }
    // Nothing may stand before the descriptor, which says whose state this is.
    let why = read(Reader::new(), &relabelled(0, |header| header.kind = 900)).unwrap_err();
    assert_eq!(why, StreamError::UnknownKind { at: 0, kind: 900 });
}

fn sealed(salt: [u8; SALT_BYTES], step: usize) -> Vec<u8> {
    let mut sealer = Sealer::with_salt(&KEY, &salt);
    let mut out = Vec::new();
    for piece in records(2).concat().chunks(step) {
        sealer.feed(piece);
        out.extend(sealer.take());
    }
    assert!(sealer.is_complete() && sealer.buffered() == 0);
    out
}

/// Opens bytes and gives the records that were authentic, and why there are no more.
fn opened(key: &SealKey, bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, Result<(), SealError>) {
    let mut opener = Opener::new(key);
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        opener.feed(piece);
        loop {
            match opener.next_record() {
                Ok(Some(record)) => found.push(record.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, opener.finish())
}

#[test]
fn a_sealed_stream_opens_to_the_same_records_in_any_segmentation() {
    let whole = sealed(SALT, usize::MAX);
    assert_eq!(sealed(SALT, 1), whole);
    for step in [1, 7, 100, 4096, usize::MAX] {
        assert_eq!(opened(&KEY, &whole, step), (records(2), Ok(())));
    }
    let mut fresh = Sealer::new(&KEY).unwrap();
    fresh.feed(&records(2).concat());
    let fresh = fresh.take();
    assert_ne!(fresh[12..44], whole[12..44], "each stream has a salt of its own");
    assert_eq!(opened(&KEY, &fresh, 100).1, Ok(()));
}

/// Where the chunks of a sealed stream lie.
fn chunks(bytes: &[u8]) -> Vec<&[u8]> {
    let (prologue, mut rest) = bytes.split_at(PROLOGUE_BYTES);
    let mut chunks = vec![prologue];
    while let Some(word) = rest.first_chunk() {
        let length = 4 + (u32::from_le_bytes(*word) & !(1 << 31)) as usize + 16;
        let (chunk, later) = rest.split_at(length);
        chunks.push(chunk);
        rest = later;
    }
    chunks
}

#[test]
fn a_sealed_stream_that_is_cut_anywhere_is_refused() {
    let whole = sealed(SALT, usize::MAX);
    for cut in 0..whole.len() {
        let (_, ended) = opened(&KEY, &whole[..cut], usize::MAX);
        assert_eq!(ended, Err(SealError::Truncated { at: cut as u64 }));
    }
    let after = [&whole[..], &[0]].concat();
    assert_eq!(opened(&KEY, &after, usize::MAX).1, Err(SealError::AfterEnd));
}

#[test]
fn chunks_that_are_moved_repeated_left_out_or_of_another_stream_are_not_authentic() {
    let (one, other) = (sealed(SALT, usize::MAX), sealed([8; SALT_BYTES], usize::MAX));
    let (chunks, others) = (chunks(&one), chunks(&other));
    assert_eq!(chunks.len(), 10);
    let refused = |order: Vec<&[u8]>, number: u64, what: &str| {
        let (found, ended) = opened(&KEY, &order.concat(), usize::MAX);
        let is_named =
            matches!(ended, Err(SealError::NotAuthentic { number: it, .. }) if it == number);
        assert!(is_named, "{what}: {ended:?}");
        // Nothing from there on was handed out.
        assert_eq!(found, records(2)[..number as usize], "{what}");
    };
    for at in 1..chunks.len() {
        let number = at as u64 - 1;
        let mut order = chunks.clone();
        if at + 1 < chunks.len() {
            order.swap(at, at + 1);
            refused(order, number, "exchanged with the next");
            let mut order = chunks.clone();
            order.remove(at);
            refused(order, number, "left out");
            let mut order = chunks.clone();
            order.insert(at, chunks[at]);
            refused(order, number + 1, "repeated");
        }
        let mut order = chunks.clone();
        order[at] = others[at];
        refused(order, number, "of another stream");
    }
    // The end is where it was: neither can an earlier chunk be made the last, nor the last an
    // earlier.
    for at in 1..chunks.len() {
        let mut changed = chunks[at].to_vec();
        changed[3] ^= 0x80;
        let mut order = chunks.clone();
        order[at] = &changed;
        refused(order, at as u64 - 1, "with another end");
    }
}

#[test]
fn another_key_another_algorithm_and_no_seal_are_named() {
    let whole = sealed(SALT, usize::MAX);
    let (found, why) = opened(&SealKey::new([8; 32]), &whole, usize::MAX);
    assert_eq!((found.len(), why), (0, Err(SealError::OtherKey)));
    let plain = records(2).concat();
    assert_eq!(opened(&KEY, &plain, 5).1, Err(SealError::NotSealed));
    assert_eq!(read(Reader::new(), &whole).unwrap_err(), StreamError::Sealed);
    for (at, version, algorithm) in [(8, 2, 1), (9, 1, 2)] {
        let mut newer = whole.clone();
        newer[at] = 2;
        let crc = crc_fast::crc32_iscsi(&newer[..60]);
        newer[60..64].copy_from_slice(&crc.to_le_bytes());
        let why = opened(&KEY, &newer, usize::MAX).1;
        assert_eq!(why, Err(SealError::Newer { version, algorithm }));
    }
}

#[test]
fn a_length_is_bounded_before_anything_is_awaited() {
    let whole = sealed(SALT, usize::MAX);
    for length in [0, 23, 24 + 512 + 256 * 1024 + 1, u32::MAX >> 1] {
        let mut bytes = whole[..PROLOGUE_BYTES + 4].to_vec();
        bytes[PROLOGUE_BYTES..].copy_from_slice(&u32::to_le_bytes(length));
        let why = opened(&KEY, &bytes, usize::MAX).1;
        assert_eq!(why, Err(SealError::BadLength { at: 64, number: 0, length }));
    }
}
