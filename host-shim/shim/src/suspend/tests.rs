//! Suspends and resumes whose disk fails.

use super::resume::ResumePhase;
use super::*;
use crate::file::{Disk, Mark, ResumeOptions, StateReader};
use crate::mcu::Mcu;
use crate::restore::Wanted;
use godwit_sim_gpu::{Costs, Fault, GpuConfig};
use godwit_types::{Engines, Identity, Profile, Share};
use godwit_wire::mailbox::{Command, StopMode};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const STEP_NS: u64 = 10_000;

fn host() -> Host {
    let identity = Identity {
        fb_bytes: 32 * MIB,
        bar_bytes: 32 * MIB,
        context_bytes: 4 * MIB,
        context_layout: 1,
        engines: Engines::ALL,
    };
    let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
    Host::new(config, &Mcu::Native).unwrap()
}

/// Steps until something has come to its end.
fn until<T>(host: &mut Host, mut step: impl FnMut(&mut Host) -> Option<T>) -> T {
    for _ in 0..100_000 {
        if let Some(end) = step(host) {
            return end;
        }
        let until_ns = host.now_ns() + STEP_NS;
        host.run(until_ns);
        host.settle();
    }
    panic!("it does not end");
}

fn suspend(host: &mut Host, path: &Path) {
    let mut suspend = begun(host, path);
    let state = ended(host, &mut suspend);
    assert_eq!(state, SuspendState::Suspended);
}

/// A suspend that has begun.
fn begun(host: &mut Host, path: &Path) -> Suspend {
    let profile =
        Profile { fb_bytes: 8 * MIB, bar_bytes: MIB, channel_count: 2, context_bytes: 4096 };
    let gfid = host.create_running(profile, Share::DEFAULT, None).unwrap();
    let save = SaveOptions {
        uuid: [1; 16],
        token: 1,
        stop: StopMode::Instruction,
        stop_timeout_ns: 10_000_000,
    };
    Suspend::new(host, gfid, save, None, path, &FileOptions::default()).unwrap()
}

/// How a suspend ends.
fn ended(host: &mut Host, suspend: &mut Suspend) -> SuspendState {
    until(host, |host| match suspend.step(host) {
        SuspendState::WantsPause => {
            suspend.guest_paused(host);
            None
        }
        SuspendState::Working | SuspendState::RunsOn | SuspendState::Committed => None,
        state => Some(state),
    })
}

fn mark(path: &Path) -> Mark {
    StateReader::look(path, None).unwrap().mark()
}

fn resume(host: &Host, path: &Path) -> Resume {
    Resume::new(host, path, Wanted::default(), None, &ResumeOptions::default()).unwrap()
}

#[test]
fn a_start_that_is_refused_leaves_the_vgpu_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.state");
    let mut host = host();
    suspend(&mut host, &path);
    let mut one = resume(&host, &path);
    until(&mut host, |host| {
        let state = one.step(host);
        assert_eq!(state, ResumeState::Working);
        matches!(one.phase, ResumePhase::Starting(..)).then_some(())
    });
    assert_eq!(mark(&path), Mark::Spent);
    // The aperture takes its time to open, and meanwhile somebody makes the vGPU absent: the
    // firmware refuses the start that waits.
    host.card_mut().gpu_mut().inject(Fault::BarStuckNs(1_000_000));
    let (gfid, _) = one.home().unwrap();
    host.send(gfid, Command::Release);
    let why = until(&mut host, |host| match one.step(host) {
        ResumeState::Undone(why) => Some(why),
        ResumeState::Working => None,
        ResumeState::Running(_) => panic!("it runs"),
    });
    assert!(why.starts_with("it cannot be started: "), "{why}");
    assert_eq!(mark(&path), Mark::Fresh);
    drop(one);
    let mut again = resume(&host, &path);
    until(&mut host, |host| matches!(again.step(host), ResumeState::Running(_)).then_some(()));
    assert_eq!(mark(&path), Mark::Spent);
}

/// A folder that fails once the file has its name, and a file that fails after its bytes.
fn failing(file_too: bool) -> Disk {
    fn once(file: &File) -> io::Result<()> {
        let spent = mark_of(file) == Mark::Spent;
        if spent { Err(io::Error::other("no disk")) } else { file.sync_all() }
    }
    fn never(_: &File) -> io::Result<()> {
        Err(io::Error::other("no disk"))
    }
    Disk { sync: if file_too { once } else { File::sync_all }, sync_folder: never }
}

fn mark_of(file: &File) -> Mark {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    mark(Path::new(&path))
}

#[test]
fn a_vgpu_that_runs_on_leaves_no_file_from_which_it_could_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.state");
    let mut host = host();
    let mut one = begun(&mut host, &path);
    let gfid = one.gfid();
    one.file.as_mut().unwrap().disk = failing(false);
    let state = ended(&mut host, &mut one);
    assert!(matches!(&state, SuspendState::Undone(why) if why.contains("no disk")), "{state:?}");
    assert!(host.card().is_running(gfid));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(one.take_trouble(), None);
}

#[test]
fn a_vgpu_whose_file_cannot_be_taken_back_does_not_run_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.state");
    let mut host = host();
    let mut one = begun(&mut host, &path);
    let gfid = one.gfid();
    one.file.as_mut().unwrap().disk = failing(true);
    assert_eq!(ended(&mut host, &mut one), SuspendState::Suspended);
    assert!(!host.card().is_running(gfid));
    let told = one.take_trouble().unwrap();
    assert!(told.contains("one.state holds the vGPU") && told.contains(".partial"), "{told}");
    let mut again = resume(&host, &path);
    until(&mut host, |host| matches!(again.step(host), ResumeState::Running(_)).then_some(()));
}

/// A disk that takes nothing until it is let.
static IS_SLOW: AtomicBool = AtomicBool::new(true);

fn slow(file: &File) -> io::Result<()> {
    while IS_SLOW.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    file.sync_all()
}

#[test]
fn a_slow_disk_is_waited_for_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.state");
    let mut host = host();
    let mut one = begun(&mut host, &path);
    one.wait_aside();
    one.file.as_mut().unwrap().disk.sync = slow;
    until(&mut host, |host| {
        if one.step(host) == SuspendState::WantsPause {
            one.guest_paused(host);
        }
        matches!(one.phase, SuspendPhase::Committing(_)).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(one.step(&mut host), SuspendState::Working);
        assert!(!path.exists());
    }
    IS_SLOW.store(false, Ordering::SeqCst);
    let long = Instant::now();
    while one.step(&mut host) != SuspendState::Suspended {
        assert!(long.elapsed() < Duration::from_secs(60), "it does not end");
        let until_ns = host.now_ns() + STEP_NS;
        host.run(until_ns);
        host.settle();
    }
    let mut again = resume(&host, &path);
    again.wait_aside();
    while !matches!(again.step(&mut host), ResumeState::Running(_)) {
        assert!(long.elapsed() < Duration::from_secs(60), "it does not end");
        let until_ns = host.now_ns() + STEP_NS;
        host.run(until_ns);
        host.settle();
    }
    assert_eq!(mark(&path), Mark::Spent);
}
