//! The streams and files whose bits are flipped.

use crate::{
    Action, HostId, HostSpec, JobSource, JobSpec, MoveSpec, SentFrame, SuspendSpec, VgpuId,
    VgpuSpec, World, WorldConfig,
};
use godwit_kernels::Job;
use godwit_shim::stream::{Body, Reader, StreamVersion};
use godwit_shim::{FileOptions, LinkMessage, Live};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, PAGE_BYTES, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

const MIB: u64 = 1 << 20;
/// What is suspended or moved.
const PROFILE: Profile =
    Profile { fb_bytes: 16 * MIB, bar_bytes: 16 * MIB, channel_count: 2, context_bytes: 16 * 1024 };
const STOP: StopMode = StopMode::Instruction;
const STOP_TIMEOUT_NS: u64 = 10_000_000;
/// When the vGPU is suspended or moved: in the middle of its job.
const BEGIN_NS: u64 = 200_000;

fn host(world: &mut World, name: &str) -> Result<HostId, Box<dyn Error>> {
    let spec = HostSpec {
        name: name.to_owned(),
        fb_bytes: 32 * MIB,
        bar_bytes: 32 * MIB,
        context_bytes: 4 * MIB,
        start_ns: 0,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    Ok(world.add_host(spec)?)
}

/// A vGPU on a host, in the middle of a job.
fn at_work(world: &mut World, host: HostId, job: Job) -> Result<VgpuId, Box<dyn Error>> {
    let (name, profile, share) = ("one".to_owned(), PROFILE, Share::DEFAULT);
    let vgpu = world.add_vgpu(VgpuSpec { name, host, profile, share })?;
    let (name, source) = ("job".to_owned(), JobSource::Kernel(job));
    world.add_job(JobSpec { name, vgpu, source, repeat: 1, endless: false })?;
    let end_ns = world.now_ns() + BEGIN_NS;
    while world.now_ns() < end_ns {
        world.step();
    }
    Ok(vgpu)
}

/// Does it, and goes on until it is over.
fn act(world: &mut World, action: Action) -> Result<(), Box<dyn Error>> {
    world.act(action);
    while world.is_transferring() {
        world.step();
    }
    match world.move_reports().last().map(|report| report.outcome.clone()) {
        Some(Ok(())) => Ok(()),
        Some(Err(why)) => Err(why.into()),
        None => Err("the transfer has no end".into()),
    }
}

/// The plain file of a vGPU that was suspended in the middle of a job.
pub(super) fn suspended(large: bool, version: StreamVersion) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut world = World::new(WorldConfig { seed: 11, costs: Costs::default() });
    let host = host(&mut world, "one")?;
    let bytes = if large { 4 * MIB as u32 + 4096 } else { 16 * 1024 };
    let vgpu = at_work(&mut world, host, Job::histogram(3, bytes, 16, 8, 8))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("one.state");
    let options = FileOptions { version, key: None };
    let (stop, stop_timeout_ns, file) = (STOP, STOP_TIMEOUT_NS, path.clone());
    let spec = SuspendSpec { vgpu, path: file, stop, stop_timeout_ns, options };
    act(&mut world, Action::Suspend(spec))?;
    Ok(fs::read(path)?)
}

/// The plain stream of a live move, with pages that were sent more than once, pages of zeros, and
/// pages that nobody ever wrote.
pub(super) fn moved() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut world = World::new(WorldConfig { seed: 11, costs: Costs::default() });
    let (from, to) = (host(&mut world, "from")?, host(&mut world, "to")?);
    let vgpu = at_work(&mut world, from, Job::page_writer(2, 1, 1_000_000))?;
    world.plan_cuts(from, to, &[]);
    let live = Some(Live { rounds_max: 2, pages_enough: 0, downtime: None });
    let (stop, stop_timeout_ns) = (STOP, STOP_TIMEOUT_NS);
    act(&mut world, Action::Move(MoveSpec { vgpu, to, live, stop, stop_timeout_ns }))?;
    let bytes = stream(world.transcript(from, to));
    check_rounds(&bytes)?;
    Ok(bytes)
}

/// The state stream that messages carried.
fn stream(frames: &[SentFrame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        if let Some(LinkMessage::Data(_, data)) = &frame.message {
            bytes.extend(data);
        }
    }
    bytes
}

/// Checks that a stream has what it is there for.
fn check_rounds(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::new();
    reader.feed(bytes);
    let (mut sent, mut zeros) = (BTreeMap::<u32, u32>::new(), 0);
    while let Some(record) = reader.next_record()? {
        let Body::Pages(pages) = record.body else { continue };
        for run in pages.runs {
            zeros += if run.zero { run.count } else { 0 };
            for page in run.first..run.first + run.count {
                *sent.entry(page).or_default() += 1;
            }
        }
    }
    let most = sent.values().max().copied().unwrap_or(0);
    let holes = PROFILE.fb_bytes / u64::from(PAGE_BYTES) - sent.len() as u64;
    if most < 3 || zeros == 0 || holes == 0 {
        let has = format!("{most} times the same page, {zeros} zero pages, {holes} holes");
        return Err(format!("the stream with rounds has {has}").into());
    }
    Ok(())
}
