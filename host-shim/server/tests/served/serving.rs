//! A server on a thread of its own, with two vGPUs: the one that is attacked, and its neighbour's.

use crate::control::CLIENTS_MAX;
use godwit_control::Sizes;
use godwit_hal::Identity;
use godwit_regs::bits::OnCrash;
use godwit_server::{
    ControlConfig, HostConfig, MetricsConfig, Places, Server, ServerConfig, VgpuConfig,
    device_socket, migration_socket,
};
use godwit_shim::{LinkAddress, Mcu};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Profile, Scheduling, Share};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The vGPUs.
pub(crate) const ATTACKED: &str = "attacked";
pub(crate) const NEIGHBOUR: &str = "neighbour";
/// Bytes of a framebuffer, all of which the aperture shows.
pub(crate) const FB_BYTES: u64 = 8 << 20;
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The host that has no vGPU.
pub(crate) const OTHER: &str = "other";
/// Where metrics are had: at a port that is free.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long it is until something is looked at again.
const LOOK: Duration = Duration::from_millis(2);
/// Notes that are kept.
const NOTES_MAX: usize = 1 << 16;

/// Descriptors and memory are counted for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// See the module.
pub(crate) struct Serving {
    pub(crate) sockets: PathBuf,
    control: ControlConfig,
    remote: Option<LinkAddress>,
    metrics: SocketAddr,
    notes: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// Who may ask: the user of the tests.
pub(crate) fn control() -> ControlConfig {
    ControlConfig { clients_max: CLIENTS_MAX, ..ControlConfig::default() }
}

/// What is served, with the sockets in a folder.
pub(crate) fn config(sockets: &Path) -> ServerConfig {
    let identity = Identity {
        fb_bytes: 64 << 20,
        bar_bytes: 64 << 20,
        context_bytes: 4 << 20,
        context_layout: 3,
        engines: Engines::ALL,
    };
    let profile = Profile {
        fb_bytes: FB_BYTES,
        bar_bytes: FB_BYTES,
        channel_count: 8,
        context_bytes: 32 << 10,
    };
    let vgpu = |name: &str| VgpuConfig { name: name.into(), profile, share: Share::DEFAULT };
    let host = HostConfig {
        name: "host".into(),
        gpu: GpuConfig { identity, start_ns: 0, costs: Costs::default() },
        scheduling: Scheduling::DEFAULT,
        sizes: Sizes::Mixed,
        on_crash: OnCrash::empty(),
        vgpus: vec![vgpu(ATTACKED), vgpu(NEIGHBOUR)],
    };
    let states = sockets.with_file_name("states");
    let other = HostConfig {
        name: OTHER.into(),
        gpu: GpuConfig { identity: Identity { context_bytes: 64 << 20, ..identity }, ..host.gpu },
        vgpus: Vec::new(),
        ..host.clone()
    };
    let places = Places { sockets: sockets.to_owned(), states: Some(states) };
    let control = control();
    let metrics = Some(MetricsConfig { listen: ANY_PORT, ..Default::default() });
    ServerConfig { places, control, mcu: Mcu::Native, hosts: vec![host, other], metrics }
}

/// For as long as this is kept, no other test runs.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    // A test that has failed before is no reason to fail.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "it takes too long: {what}");
        std::thread::sleep(LOOK);
    }
}

impl Serving {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| control())
    }

    /// A server that others may ask, as it is said for the folder of its folder of sockets.
    pub(crate) fn start_with(control: impl FnOnce(&Path) -> ControlConfig) -> Self {
        Self::with(Some(alone()), control)
    }

    /// A server with so many places for operators.
    pub(crate) fn for_clients(clients_max: usize) -> Self {
        Self::start_with(|_| ControlConfig { clients_max, ..control() })
    }

    /// A second server, beside one that a test has.
    pub(crate) fn beside(_: &Self) -> Self {
        Self::with(None, |_| control())
    }

    fn with(
        alone: Option<MutexGuard<'static, ()>>,
        control: impl FnOnce(&Path) -> ControlConfig,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let mut this = Self {
            sockets: run.join("godwit"),
            control: control(&run),
            remote: None,
            metrics: ANY_PORT,
            notes: Arc::default(),
            stop: Arc::default(),
            thread: None,
            _folder: folder,
            _alone: alone,
        };
        this.start_again();
        this
    }

    /// A server in the folder in which one was before.
    pub(crate) fn start_again(&mut self) {
        self.stop.store(false, Ordering::Release);
        let config = ServerConfig { control: self.control.clone(), ..config(&self.sockets) };
        let stop = Arc::clone(&self.stop);
        let notes = Arc::clone(&self.notes);
        let (listens, told) = mpsc::channel();
        self.thread = Some(std::thread::spawn(move || {
            let mut server = Server::new(&config).unwrap();
            listens.send((server.remote(), server.metrics_address().unwrap())).unwrap();
            let mut keep = |note: &str| {
                println!("{note}");
                let mut notes = notes.lock().unwrap();
                if notes.len() < NOTES_MAX {
                    notes.push(note.to_owned());
                }
            };
            server.run(&stop, &mut keep).unwrap();
        }));
        (self.remote, self.metrics) = told.recv().unwrap();
    }

    /// Ends the server, and fails if it has failed.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
    }

    pub(crate) fn device(&self, vgpu: &str) -> PathBuf {
        device_socket(&self.sockets, vgpu)
    }

    pub(crate) fn migration(&self, vgpu: &str) -> PathBuf {
        migration_socket(&self.sockets, vgpu)
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.control.place(&self.sockets)
    }

    /// Where those on other machines ask.
    pub(crate) fn remote(&self) -> &LinkAddress {
        self.remote.as_ref().unwrap()
    }

    /// Where its metrics are had.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// What the server has told since somebody has last asked.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap())
    }

    /// How many notes have such a part.
    pub(crate) fn noted(&self, part: &str) -> usize {
        self.notes.lock().unwrap().iter().filter(|note| note.contains(part)).count()
    }

    /// Waits until the server has told something.
    pub(crate) fn wait_for_note(&self, part: &str) {
        wait_until(part, || self.noted(part) > 0);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It has told of itself, and a test that fails must not fail twice.
            let _ = thread.join();
        }
    }
}
