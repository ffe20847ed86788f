//! Goal: what was frozen is written as it was and read for ever.
//! Method: today's encoders make the bytes of the golden files, and today's decoders read the
//! values from them that went in.

use godwit_golden::{
    Found, KEY, all, channel, compare, context, descriptor, folder, from_hex, function, pages,
    payload, read, stream, to_hex, trailer, vgpu,
};
use godwit_shim::stream::{Body, Opener, Reader, Record};
use godwit_shim::{Mark, SealKey, StateReader, read_state};
use godwit_wire::record::{HEADER_BYTES, Header, Kind, Vgpu, v1};
use std::collections::BTreeSet;
use std::fs;

/// The body and the payload of a record whose checksums are right.
fn parts(name: &str, kind: Kind, version: u8) -> (Vec<u8>, Vec<u8>) {
    let bytes = read(name).unwrap();
    let raw = bytes.first_chunk::<HEADER_BYTES>().unwrap();
    let header = Header::parse(raw).unwrap();
    assert_eq!((header.kind, header.version, header.flags), (kind as u16, version, 0), "{name}");
    let (body, payload) = bytes[HEADER_BYTES..].split_at(header.body_bytes as usize);
    assert_eq!(Header::check(raw, body), Ok(()), "{name}");
    assert_eq!(payload.len() as u64, header.payload_bytes, "{name}");
    assert_eq!(godwit_wire::crc32c(payload), header.payload_crc, "{name}");
    (body.to_vec(), payload.to_vec())
}

#[test]
fn todays_encoders_make_the_golden_bytes() {
    for golden in all().unwrap() {
        let found = compare(&golden).unwrap();
        assert_eq!(found, Found::Same, "{}: see `cargo xtask golden`", golden.name);
    }
}

#[test]
fn there_is_a_file_for_each_and_no_other() {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    let known = all().unwrap().into_iter().map(|golden| format!("{}.hex", golden.name));
    assert_eq!(names, known.collect());
}

#[test]
fn hexadecimal_reads_back() {
    let bytes = payload(100);
    assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
    assert_eq!((from_hex("0"), from_hex("0g")), (None, None));
}

#[test]
fn every_record_of_every_version_is_read_for_ever() {
    macro_rules! same {
        ($name:literal, $kind:ident, $version:literal, $payload:literal, $type:ty, $value:expr) => {
            let (body, bytes) = parts($name, Kind::$kind, $version);
            assert_eq!(godwit_wire::decode::<$type>(&body).unwrap(), $value, $name);
            assert_eq!(bytes, payload($payload), $name);
        };
    }
    same!("descriptor-v1", Descriptor, 1, 0, v1::Descriptor, descriptor());
    same!("pages-v1", Pages, 1, 512, v1::Pages, pages());
    same!("vgpu-v1", Vgpu, 1, 0, v1::Vgpu, v1::Vgpu::from(vgpu()));
    same!("vgpu-v2", Vgpu, 2, 0, godwit_wire::record::v2::Vgpu, vgpu());
    same!("channel-v1", Channel, 1, 0, v1::Channel, channel());
    same!("context-v1", Context, 1, 128, v1::Context, context());
    same!("function-v1", Function, 1, 96, v1::Function, function());
    same!("trailer-v1", Trailer, 1, 0, v1::Trailer, trailer());
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let (mut reader, mut found) = (Reader::new(), Vec::new());
    reader.feed(bytes);
    while let Some(record) = reader.next_record().unwrap() {
        found.push(record);
    }
    reader.finish().unwrap();
    found
}

/// What a golden stream must hold, whatever its version.
fn check(records: &[Record], debts_ns: [u32; 2]) {
    let [first, pages_one, pages_two, own, channel_one, channel_two, part, registers, last] =
        records
    else {
        panic!("{} records", records.len());
    };
    assert_eq!(first.body, Body::Descriptor(descriptor()));
    assert_eq!(pages_one.body, Body::Pages(Box::new(pages())));
    assert_eq!(pages_one.payload, payload(512));
    assert_eq!(pages_two.payload, payload(64));
    assert_eq!(own.body, Body::Vgpu(Vgpu { debts_ns, ..vgpu() }));
    assert_eq!(channel_one.body, Body::Channel(channel()));
    assert_eq!(channel_two.body, Body::Channel(v1::Channel { channel: 0x0103, ..channel() }));
    assert_eq!((&part.body, part.payload.len()), (&Body::Context(context()), 128));
    assert_eq!((&registers.body, registers.payload.len()), (&Body::Function(function()), 96));
    assert!(matches!(&last.body, Body::Trailer(trailer) if trailer.record_count == 8));
}

#[test]
fn streams_of_every_version_are_read_for_ever() {
    check(&records(&read("stream-v1").unwrap()), [0; 2]);
    check(&records(&read("stream-v2").unwrap()), vgpu().debts_ns);
}

#[test]
fn a_sealed_stream_is_opened_for_ever() {
    let mut opener = Opener::new(&SealKey::new(KEY));
    opener.feed(&read("stream-v2-sealed-v1").unwrap());
    let mut plain = Vec::new();
    while let Some(record) = opener.next_record().unwrap() {
        plain.extend_from_slice(&record);
    }
    opener.finish().unwrap();
    assert_eq!(plain, stream(2));
    check(&records(&plain), vgpu().debts_ns);
}

#[test]
fn state_files_are_read_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.state");
    for (name, key) in
        [("file-v1-stream-v2", None), ("file-v1-stream-v2-sealed-v1", Some(SealKey::new(KEY)))]
    {
        fs::write(&path, read(name).unwrap()).unwrap();
        assert_eq!(StateReader::look(&path, key.as_ref()).unwrap().mark(), Mark::Fresh, "{name}");
        let mut found = Vec::new();
        read_state(&path, key.as_ref(), |record| found.push(record.clone())).unwrap();
        check(&found, vgpu().debts_ns);
    }
}
