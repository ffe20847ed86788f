//! Goal: a state file that is not whole, not ours or not for this vGPU is refused by name;
//! nothing of it stays on the host, and the whole file is as good as before.
//! Method: one suspended vGPU; its file is cut, changed and relabelled in many ways, each is
//! resumed, and at the end the whole file is, and the job ends with the right bytes.

use godwit_shim::stream::Reader;
use godwit_shim::{FileOptions, HEAD_BYTES, Mark, ResumeOptions, SealKey, StateReader};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_wire::record::{HEADER_BYTES, Header};
use godwit_world::{
    Action, HostId, HostSpec, JobSource, JobSpec, ResumeSpec, SuspendSpec, Trigger, VgpuId,
    VgpuSpec, World, WorldConfig,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MIB: u64 = 1 << 20;

struct Case {
    world: World,
    vgpu: VgpuId,
    other: VgpuId,
    /// Of the same profile.
    twin: VgpuId,
    to: HostId,
    folder: tempfile::TempDir,
    /// How its file is written and read.
    options: FileOptions,
    /// What is in its file, head included.
    bytes: Vec<u8>,
}

fn profile(fb_mib: u64) -> Profile {
    Profile {
        fb_bytes: fb_mib * MIB,
        bar_bytes: 6 * MIB,
        channel_count: 4,
        context_bytes: 32 * 1024,
    }
}

fn host(world: &mut World, name: &str) -> HostId {
    let spec = HostSpec {
        name: name.into(),
        fb_bytes: 64 * MIB,
        bar_bytes: 64 * MIB,
        context_bytes: 16 * MIB,
        start_ns: 5,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    world.add_host(spec).unwrap()
}

/// A vGPU that was suspended in the middle of its job, another of another profile, and one of
/// the same.
fn suspended() -> Case {
    suspended_with(&FileOptions::default())
}

fn key(byte: u8) -> Option<Arc<SealKey>> {
    Some(Arc::new(SealKey::new([byte; 32])))
}

fn suspended_with(options: &FileOptions) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.state");
    let mut world = World::new(WorldConfig { seed: 3, costs: Costs::default() });
    let (from, to) = (host(&mut world, "a"), host(&mut world, "b"));
    let mut vgpu = |name: &str, fb_mib| {
        let spec = VgpuSpec {
            name: name.into(),
            host: from,
            profile: profile(fb_mib),
            share: Share::DEFAULT,
        };
        world.add_vgpu(spec).unwrap()
    };
    let (one, other, twin) = (vgpu("one", 8), vgpu("other", 12), vgpu("twin", 8));
    for (name, vgpu) in [("job", one), ("other.job", other), ("twin.job", twin)] {
        let source = JobSource::Kernel(godwit_kernels::Job::sha256_chain(9, 8, 4, 20));
        let spec = JobSpec { name: name.into(), vgpu, source, repeat: 1, endless: false };
        world.add_job(spec).unwrap();
    }
    let [other_path, twin_path] = ["other.state", "twin.state"].map(|it| folder.path().join(it));
    for (vgpu, path) in [(one, path.clone()), (other, other_path), (twin, twin_path)] {
        let stop = StopMode::Instruction;
        let (stop_timeout_ns, options) = (10_000_000, options.clone());
        let spec = SuspendSpec { vgpu, path, stop, stop_timeout_ns, options };
        world.schedule(Trigger::At(400_000), Action::Suspend(spec));
    }
    while world.move_reports().len() < 3 {
        world.step();
    }
    let bytes = fs::read(&path).unwrap();
    let options = options.clone();
    Case { world, vgpu: one, other, twin, to, folder, options, bytes }
}

impl Case {
    /// Resumes some bytes as a vGPU; how that ends.
    fn resume(&mut self, bytes: &[u8], vgpu: VgpuId) -> Result<(), String> {
        let path = self.folder.path().join("changed.state");
        fs::write(&path, bytes).unwrap();
        self.resume_file(&path, vgpu)
    }

    fn resume_file(&mut self, path: &Path, vgpu: VgpuId) -> Result<(), String> {
        let options = ResumeOptions { key: self.options.key.clone(), keep: false };
        self.resume_with(path, vgpu, options)
    }

    fn resume_with(
        &mut self,
        path: &Path,
        vgpu: VgpuId,
        options: ResumeOptions,
    ) -> Result<(), String> {
        let before = self.world.move_reports().len();
        let path = PathBuf::from(path);
        self.world.act(Action::Resume(ResumeSpec { vgpu, path, to: self.to, options }));
        for _ in 0..1_000_000 {
            if self.world.move_reports().len() > before {
                return self.world.move_reports()[before].outcome.clone();
            }
            self.world.step();
        }
        panic!("the resume does not end: {:?}", self.world.transfers());
    }

    fn refused(&mut self, bytes: &[u8], what: &str) -> String {
        let why = self.resume(bytes, self.vgpu).expect_err(what);
        self.world.check_leaks();
        assert_eq!(self.world.problems(), [] as [String; 0], "{what}");
        why
    }

    /// The whole file is as good as before: all jobs end with the right bytes.
    fn finish(mut self) {
        let folder = self.folder.path().to_path_buf();
        assert_eq!(self.resume_file(&folder.join("whole.state"), self.vgpu), Ok(()));
        assert_eq!(self.resume_file(&folder.join("other.state"), self.other), Ok(()));
        assert_eq!(self.resume_file(&folder.join("twin.state"), self.twin), Ok(()));
        assert!(self.world.run_until_settled(self.world.now_ns() + 1_000_000_000));
        self.world.check_leaks();
        assert_eq!(self.world.problems(), [] as [String; 0]);
        assert!(self.world.job_reports().iter().all(|job| job.ok));
    }
}

/// Where the records of a plain file begin, and where it ends.
fn record_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![HEAD_BYTES];
    let mut at = HEAD_BYTES;
    while let Some(header) = bytes[at..].first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(header).unwrap();
        at += HEADER_BYTES + header.body_bytes as usize + header.payload_bytes as usize;
        starts.push(at);
    }
    starts
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_and_leaves_nothing() {
    let mut case = suspended();
    let bytes = case.bytes.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut cuts: Vec<usize> =
        record_starts(&bytes).iter().flat_map(|at| [at.saturating_sub(1), *at, at + 1]).collect();
    cuts.extend((0..200).map(|_| rng.random_range(0..bytes.len())));
    for cut in cuts.into_iter().filter(|cut| *cut < bytes.len()) {
        let why = case.refused(&bytes[..cut], &format!("cut at {cut}"));
        let named = if cut < HEAD_BYTES { "is no state file" } else { "truncated" };
        assert!(why.contains(named), "cut at {cut}: {why}");
    }
    // Every length is seen by the reader, which is what a restore is fed from.
    for cut in HEAD_BYTES..bytes.len().min(4096) {
        let mut reader = Reader::new();
        reader.feed(&bytes[HEAD_BYTES..cut]);
        while reader.next_record().unwrap().is_some() {}
        assert!(reader.finish().is_err(), "cut at {cut}");
    }
    case.finish();
}

/// Where the headers and bodies lie: all that is not payload.
fn headers_and_bodies(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let starts = record_starts(bytes);
    let mut places = Vec::new();
    for start in &starts[..starts.len() - 1] {
        let header = Header::parse(bytes[*start..].first_chunk().unwrap()).unwrap();
        places.extend(*start..start + HEADER_BYTES + header.body_bytes as usize);
    }
    places.into_iter()
}

/// Whether a refusal says what is wrong with the file, rather than that something went wrong.
fn is_named(why: &str) -> bool {
    let names = [
        "the state is damaged: ",
        "the state is truncated: ",
        "the state is newer: ",
        "the state has a mandatory record of unknown kind ",
        "the sealed state is damaged: ",
        "the sealed state is truncated: ",
        "is no state file",
        "is damaged: its head ",
        "whether it was resumed before is not known",
    ];
    // After the file's own name.
    let why = why.split_once("changed.state").map_or(why, |(_, why)| why);
    let why = why.trim_start_matches([':', ' ']);
    names.iter().any(|name| why.starts_with(name))
}

/// Every bit of the head and of all headers and bodies, and some of the payloads, each of which has
/// one CRC.
#[test]
fn any_flipped_bit_is_found_and_leaves_nothing() {
    const SEED: u64 = 2;
    println!("payload bits of seed {SEED}"); // shown only when the test fails
    let mut case = suspended();
    let bytes = case.bytes.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let places = (0..HEAD_BYTES).chain(headers_and_bodies(&bytes));
    let mut bits: Vec<usize> = places.flat_map(|at| 8 * at..8 * at + 8).collect();
    assert!(bits.len() > 1_500, "{}", bits.len());
    bits.extend((0..300).map(|_| rng.random_range(0..8 * bytes.len())));
    for bit in bits {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let why = case.refused(&changed, &format!("bit {bit}"));
        assert!(is_named(&why), "bit {bit}: {why}");
    }
    case.finish();
}

#[test]
fn records_out_of_place_are_found() {
    let mut case = suspended();
    let bytes = case.bytes.clone();
    let starts = record_starts(&bytes);
    let record = |index: usize| &bytes[starts[index]..starts[index + 1]];
    let count = starts.len() - 1;
    let mut refused = |bytes: Vec<u8>, what: String| {
        let why = case.refused(&bytes, &what);
        // The firmware looks at a record before the trailer says how many there should be.
        assert!(
            is_named(&why) || why.ends_with("refused by the firmware: Record"),
            "{what}: {why}"
        );
    };
    let head = &bytes[..HEAD_BYTES];
    // One left out, one twice, two exchanged, and something after the end.
    for index in 0..count {
        let kept: Vec<&[u8]> = (0..count).filter(|at| *at != index).map(record).collect();
        refused([head, &kept.concat()].concat(), format!("record {index} left out"));
        let twice: Vec<&[u8]> =
            (0..count).flat_map(|at| vec![record(at); 1 + usize::from(at == index)]).collect();
        refused([head, &twice.concat()].concat(), format!("record {index} twice"));
        if index + 1 < count {
            let mut order: Vec<usize> = (0..count).collect();
            order.swap(index, index + 1);
            let swapped: Vec<&[u8]> = order.into_iter().map(record).collect();
            refused(
                [head, &swapped.concat()].concat(),
                format!("records {index} and next exchanged"),
            );
        }
    }
    case.finish();
}

#[test]
fn a_newer_version_and_an_unknown_kind_are_refused_by_name() {
    let mut case = suspended();
    let bytes = case.bytes.clone();
    let starts = record_starts(&bytes);
    let relabel = |change: &dyn Fn(&mut Header)| {
        let (at, end) = (starts[1], starts[2]);
        let mut header = Header::parse(bytes[at..].first_chunk().unwrap()).unwrap();
        let body_end = at + HEADER_BYTES + header.body_bytes as usize;
        change(&mut header);
        let encoded = header.encode(&bytes[at + HEADER_BYTES..body_end]);
        [&bytes[..at], &encoded, &bytes[at + HEADER_BYTES..end], &bytes[end..]].concat()
    };
    let why = case.refused(&relabel(&|header| header.version += 1), "newer");
    assert!(why.contains("newer") && why.contains("versions 1 to 1 are read"), "{why}");
    let why = case.refused(&relabel(&|header| header.kind = 99), "unknown");
    assert!(why.contains("unknown kind 99"), "{why}");
    case.finish();
}

#[test]
fn a_sealed_file_that_is_cut_or_changed_is_refused_and_leaves_nothing() {
    const SEED: u64 = 4;
    println!("bits of seed {SEED}"); // shown only when the test fails
    let mut case = suspended_with(&FileOptions { key: key(1), ..FileOptions::default() });
    let bytes = case.bytes.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..200 {
        let cut = rng.random_range(HEAD_BYTES..bytes.len());
        let why = case.refused(&bytes[..cut], &format!("cut at {cut}"));
        assert!(why.contains("the sealed state is truncated"), "cut at {cut}: {why}");
    }
    let first: Vec<usize> = (0..8 * (HEAD_BYTES + 70)).collect();
    for bit in first.into_iter().chain((0..300).map(|_| rng.random_range(0..8 * bytes.len()))) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let why = case.refused(&changed, &format!("bit {bit}"));
        // One in the magic leaves nothing that is known as a seal.
        assert!(is_named(&why) || why.contains("the state is not sealed"), "bit {bit}: {why}");
    }
    case.finish();
}

#[test]
fn a_sealed_file_is_opened_with_its_key_alone() {
    let mut case = suspended_with(&FileOptions { key: key(1), ..FileOptions::default() });
    let path = case.folder.path().join("whole.state");
    for (key, named) in [
        (None, "the state is sealed, and no key was given"),
        (key(2), "the state is sealed with another key"),
    ] {
        let options = ResumeOptions { key, keep: false };
        let why = case.resume_with(&path, case.vgpu, options).unwrap_err();
        assert!(why.contains(named), "{why}");
    }
    // Nothing of the guest's memory can be seen in it.
    let plain = suspended().bytes;
    let part = &plain[plain.len() - 2_000..][..64];
    assert!(memchr::memmem::find(&plain, part).is_some());
    assert!(memchr::memmem::find(&case.bytes, part).is_none());
    case.finish();
    let mut plain = suspended();
    let path = plain.folder.path().join("whole.state");
    let options = ResumeOptions { key: key(1), keep: false };
    let why = plain.resume_with(&path, plain.vgpu, options).unwrap_err();
    assert!(why.contains("the state is not sealed"), "{why}");
    plain.finish();
}

fn mark(path: &Path) -> Mark {
    StateReader::look(path, None).unwrap().mark()
}

fn instructions(world: &World, vgpu: VgpuId) -> u64 {
    world.job_reports().iter().find(|job| job.vgpu == vgpu).unwrap().instructions
}

#[test]
fn a_file_is_spent_before_its_vgpu_runs_and_only_then() {
    let mut case = suspended();
    let (vgpu, path) = (case.vgpu, case.folder.path().join("whole.state"));
    let before = instructions(&case.world, vgpu);
    let (to, options) = (case.to, ResumeOptions::default());
    case.world.act(Action::Resume(ResumeSpec { vgpu, path: path.clone(), to, options }));
    let mut looks = [0, 0];
    while case.world.is_transferring() {
        let runs = instructions(&case.world, vgpu) != before;
        match mark(&path) {
            Mark::Fresh => assert!(!runs, "it runs, and is still in its file"),
            other => assert_eq!(other, Mark::Spent),
        }
        looks[usize::from(runs)] += 1;
        case.world.step();
    }
    assert!(looks[0] > 1, "{looks:?}");
    assert_eq!(mark(&path), Mark::Spent);
    // It is in another file now, and the one that is spent is refused before anything is done.
    let again = case.folder.path().join("again.state");
    let (stop, stop_timeout_ns) = (StopMode::Instruction, 10_000_000);
    let options = FileOptions::default();
    let spec = SuspendSpec { vgpu, path: again.clone(), stop, stop_timeout_ns, options };
    case.world.act(Action::Suspend(spec));
    while case.world.is_transferring() {
        case.world.step();
    }
    let why = case.resume_file(&path, vgpu).unwrap_err();
    assert!(why.starts_with("refused: ") && why.contains("was resumed before"), "{why}");
    case.resume_file(&again, vgpu).unwrap();
}

#[test]
fn a_file_that_is_kept_is_as_it_was() {
    let mut case = suspended();
    let (vgpu, path) = (case.vgpu, case.folder.path().join("whole.state"));
    let keep = ResumeOptions { key: None, keep: true };
    case.resume_with(&path, vgpu, keep).unwrap();
    assert_eq!(fs::read(&path).unwrap(), case.bytes);
    assert_eq!(mark(&path), Mark::Fresh);
}

#[test]
fn a_file_of_another_profile_is_refused_by_name() {
    let mut case = suspended();
    let bytes = case.bytes.clone();
    let why = case.resume(&bytes, case.other).unwrap_err();
    assert!(why.contains("another profile"), "{why}");
    case.world.check_leaks();
    case.finish();
}

#[test]
fn a_file_of_another_vgpu_is_refused_by_name() {
    let mut case = suspended();
    let bytes = case.bytes.clone();
    let why = case.resume(&bytes, case.twin).unwrap_err();
    assert!(why.contains("the state is of vGPU"), "{why}");
    case.finish();
}

#[test]
fn a_file_of_another_time_is_refused_by_name() {
    let mut case = suspended();
    let (bytes, vgpu) = (case.bytes.clone(), case.vgpu);
    case.resume(&bytes, vgpu).unwrap();
    let again = case.folder.path().join("again.state");
    let before = case.world.move_reports().len();
    case.world.act(Action::Suspend(SuspendSpec {
        vgpu,
        path: again.clone(),
        stop: StopMode::Instruction,
        stop_timeout_ns: 10_000_000,
        options: FileOptions::default(),
    }));
    while case.world.move_reports().len() == before {
        case.world.step();
    }
    let why = case.resume(&bytes, vgpu).unwrap_err();
    assert!(why.contains("the state is of transfer"), "{why}");
    case.resume_file(&again, vgpu).unwrap();
}
