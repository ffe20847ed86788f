//! What the golden files hold: the same values in each version. Numbers are such that each field
//! has bytes of its own.

use godwit_shim::stream::{RecordBody, SALT_BYTES, Sealer, StreamVersion, Writer};
use godwit_shim::{KEY_BYTES, SealKey, StateFile};
use godwit_wire::record::{
    Channel, Context, Descriptor, Function, Kind, PageRun, Pages, Share, Trailer, Vgpu,
};
use std::fs;
use std::io;

/// A golden file: its name, and what today's encoders make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Golden {
    /// Without `.hex`.
    pub name: &'static str,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// What the sealed ones are sealed with.
pub const KEY: [u8; KEY_BYTES] = [0x4b; KEY_BYTES];
/// Their salt, which is random otherwise.
pub const SALT: [u8; SALT_BYTES] = [0x5a; SALT_BYTES];

/// The descriptor.
pub fn descriptor() -> Descriptor {
    Descriptor {
        uuid: std::array::from_fn(|at| 0xa0 + at as u8),
        token: 0x0102_0304_0506_0708,
        fb_bytes: 16 << 20,
        bar_bytes: 8 << 20,
        channel_count: 0x1234,
        context_bytes: 0x0002_8000,
        context_layout: 0x0badcafe,
        share: Share { weight: 7, part: 0x0509, cap: 0x2710 },
    }
}

/// Pages: two with bytes, a hole, and the last there can be.
pub fn pages() -> Pages {
    let run = |first, count, zero| PageRun { first, count, zero };
    let runs = [run(3, 2, false), run(5, 0x1_0000, true), run(u32::MAX, 1, true)];
    Pages { round: 0x0304, runs: runs.into_iter().collect() }
}

/// The vGPU.
pub fn vgpu() -> Vgpu {
    Vgpu {
        guest_time_ns: 0x1122_3344_5566_7788,
        pending_vectors: 0x8000_0001,
        channel_count: 0x0201,
        context_count: 0x0101,
        debts_ns: [100_000_000, 0x0102],
    }
}

/// A channel.
pub fn channel() -> Channel {
    Channel {
        channel: 0x0102,
        tsg: 0x0203,
        runlist: 1,
        ring_base: 0x0012_3000,
        ring_log2: 9,
        grace: 5,
        fault: 3,
        pending: true,
        used: false,
        left_at: 2,
    }
}

/// Part of a context.
pub fn context() -> Context {
    Context { channel: 0x0102, at: 0x0004_0000 }
}

/// The guest's registers.
pub fn function() -> Function {
    Function { channel_count: 0x0301 }
}

/// A trailer of no stream.
pub fn trailer() -> Trailer {
    let digest = std::array::from_fn(|at| 0x80 + at as u8);
    Trailer { record_count: 0x0001_0203_0405, digest }
}

/// So many bytes that a payload may have.
pub fn payload(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn writer(version: u8) -> Writer {
    let mut writer = Writer::new();
    writer.set_version(StreamVersion::new(version).expect("only versions that there are"));
    writer
}

fn record<T: RecordBody>(version: u8, kind: Kind, body: &T, bytes: usize) -> Vec<u8> {
    writer(version).record(kind, body, &payload(bytes))
}

/// A whole stream of a version.
pub fn stream(version: u8) -> Vec<u8> {
    let mut writer = writer(version);
    let records = [
        writer.record(Kind::Descriptor, &descriptor(), &[]),
        writer.record(Kind::Pages, &pages(), &payload(512)),
        writer.record(Kind::Pages, &Pages { round: 0x0305, ..pages() }, &payload(64)),
        writer.record(Kind::Vgpu, &vgpu(), &[]),
        writer.record(Kind::Channel, &channel(), &[]),
        writer.record(Kind::Channel, &Channel { channel: 0x0103, ..channel() }, &[]),
        writer.record(Kind::Context, &context(), &payload(128)),
        writer.record(Kind::Function, &function(), &payload(96)),
    ];
    [records.concat(), writer.finish()].concat()
}

fn sealed(version: u8) -> Vec<u8> {
    let mut sealer = Sealer::with_salt(&SealKey::new(KEY), &SALT);
    sealer.feed(&stream(version));
    sealer.take()
}

/// A state file that has this stream.
fn file(stream: &[u8]) -> io::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("golden.state");
    let mut file = StateFile::create(&path, None)?;
    file.append(stream)?;
    file.commit().map_err(io::Error::other)?;
    fs::read(path)
}

/// All of them, as today's encoders make them.
///
/// # Errors
///
/// When there is no place for temporary files.
pub fn all() -> io::Result<Vec<Golden>> {
    let golden = |name, bytes| Golden { name, bytes };
    Ok(vec![
        golden("descriptor-v1", record(1, Kind::Descriptor, &descriptor(), 0)),
        golden("pages-v1", record(1, Kind::Pages, &pages(), 512)),
        golden("vgpu-v1", record(1, Kind::Vgpu, &vgpu(), 0)),
        golden("vgpu-v2", record(2, Kind::Vgpu, &vgpu(), 0)),
        golden("channel-v1", record(1, Kind::Channel, &channel(), 0)),
        golden("context-v1", record(1, Kind::Context, &context(), 128)),
        golden("function-v1", record(1, Kind::Function, &function(), 96)),
        golden("trailer-v1", record(1, Kind::Trailer, &trailer(), 0)),
        golden("stream-v1", stream(1)),
        golden("stream-v2", stream(2)),
        golden("stream-v2-sealed-v1", sealed(2)),
        golden("file-v1-stream-v2", file(&stream(2))?),
        // Sealed already: a file seals with a salt of its own.
        golden("file-v1-stream-v2-sealed-v1", file(&sealed(2))?),
    ])
}
