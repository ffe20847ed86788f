//! A client that others have written: that of the crate `vfio_user`, of the rust-vmm project, has a
//! vGPU of our server, and a guest behind it its work done.
//!
//! What that client cannot do, so what is not tested with it:
//!
//! - It takes an answer that a command has failed for one that it is done, or waits for the rest of
//!   it: what is refused is tested with clients of our own.
//! - It answers no DMA_READ and no DMA_WRITE: memory is always shared with it.
//! - It knows nothing of DEVICE_FEATURE, MIG_DATA_READ and MIG_DATA_WRITE: no migration.
//! - What it says of `resettable` is the opposite of what the device says (0.1.7).

use godwit_control::Sizes;
use godwit_guest::{Bars, CopySpec, Device, Job, JobState};
use godwit_hal::Identity;
use godwit_regs::bits::OnCrash;
use godwit_regs::fifo::{Address, Entry};
use godwit_server::{
    ControlConfig, HostConfig, Places, Server, ServerConfig, VgpuConfig, device_socket,
};
use godwit_shim::Mcu;
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_sys::{MemFile, new_eventfd};
use godwit_types::{ChannelFault, Engines, Profile, Scheduling, Share};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vfio_user::Client;

const FB_BYTES: u64 = 8 << 20;
const NAME: &str = "interop";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Regions and interrupts of a PCI device, as Linux numbers them.
const BAR0: u32 = 0;
const BAR2: u32 = 2;
const CONFIG: u32 = 7;
const MSIX: u32 = 2;
const REGIONS: u32 = 9;
/// `VFIO_REGION_INFO_FLAG_*`: read, write, map.
const MAPPED: u32 = 7;
/// `VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER`.
const BIND: u32 = 4 | 32;
/// Registers of the configuration space: who has made it, and what the guest may write.
const VENDOR: u64 = 0;
const LINE: u64 = 0x3c;

const MEMORY_AT: u64 = 1 << 32;
const MEMORY_BYTES: u64 = 64 << 10;
/// Where what is copied is in the framebuffer, and what comes back.
const SOURCE: u64 = 1 << 20;
const SINK: u64 = 2 << 20;
const COPIED: u64 = 16 << 10;

/// A server on a thread of its own, and the folder of its sockets.
struct Serving {
    folder: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn config(sockets: PathBuf) -> ServerConfig {
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
    let vgpu = VgpuConfig { name: NAME.into(), profile, share: Share::DEFAULT };
    let host = HostConfig {
        name: "host".into(),
        gpu: GpuConfig { identity, start_ns: 0, costs: Costs::default() },
        scheduling: Scheduling::DEFAULT,
        sizes: Sizes::Mixed,
        on_crash: OnCrash::empty(),
        vgpus: vec![vgpu],
    };
    let places = Places { sockets, states: None };
    let control = ControlConfig::default();
    ServerConfig { places, control, mcu: Mcu::Native, hosts: vec![host], metrics: None }
}

/// A folder that the server makes, for its user alone.
fn sockets_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("sockets")
}

impl Serving {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (sockets, stopped) = (sockets_in(&folder), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut server = Server::new(&config(sockets)).unwrap();
            server.run(&stopped, &mut |note| println!("{note}")).unwrap();
        });
        Self { folder, stop, thread: Some(thread) }
    }

    /// A client, as soon as there is a server.
    fn client(&self) -> Client {
        let end = Instant::now() + PATIENCE;
        let socket = device_socket(&sockets_in(&self.folder), NAME);
        loop {
            match Client::new(Path::new(&socket)) {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < end, "there is no server: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it, and fails if it has failed.
    fn end(mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A guest's BARs, over the other's client.
struct ClientBars<'a>(&'a mut Client);

/// An error of it, which is one of none of our types.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl From<vfio_user::Error> for Failed {
    fn from(error: vfio_user::Error) -> Self {
        Self(error.to_string())
    }
}

impl Bars for ClientBars<'_> {
    type Error = Failed;

    fn read32(&mut self, offset: u32) -> Result<u32, Failed> {
        let mut bytes = [0; 4];
        self.0.region_read(BAR0, offset.into(), &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), Failed> {
        Ok(self.0.region_write(BAR0, offset.into(), &value.to_le_bytes())?)
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Failed> {
        Ok(self.0.region_read(BAR2, at, into)?)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), Failed> {
        Ok(self.0.region_write(BAR2, at, from)?)
    }
}

fn pattern(count: u64) -> Vec<u8> {
    (0..count).map(|at| (at * 7 % 251) as u8).collect()
}

/// Has the vGPU copy to guest memory and back, and waits for the end.
fn copy(client: &mut Client) -> Result<Vec<u8>, ChannelFault> {
    let mut bars = ClientBars(client);
    let device = Device::probe(&mut bars).unwrap();
    let (from, to) = (Address::fb(SOURCE), Address::bus(MEMORY_AT + 4096));
    let entries = vec![
        Entry::Copy { from, to, byte_count: COPIED },
        Entry::Copy { from: to, to: Address::fb(SINK), byte_count: COPIED },
    ];
    let inputs = vec![(SOURCE, pattern(COPIED).into()), (SINK, vec![0; COPIED as usize].into())];
    let spec = CopySpec { entries, repeat: 1, inputs, output: Some(SINK..SINK + COPIED) };
    let mut job = Job::plan_copies(&device, spec, 0..1 << 16).unwrap();
    job.start(&mut bars).unwrap();
    let end = Instant::now() + PATIENCE;
    let result = loop {
        match job.poll(&mut bars).unwrap() {
            JobState::Done => break Ok(job.read_output(&mut bars).unwrap()),
            JobState::Faulted(fault) => break Err(fault),
            state => assert!(Instant::now() < end, "a list is {state:?}"),
        }
    };
    job.close(&mut bars).unwrap();
    result
}

#[test]
fn the_device_is_what_it_says_and_keeps_what_is_written() {
    let serving = Serving::start();
    let mut client = serving.client();
    let sizes: Vec<u64> = (0..REGIONS).map(|at| client.region(at).unwrap().size).collect();
    assert_eq!(sizes, [256 << 10, 0, FB_BYTES, 0, 8192, 0, 0, 4096, 0]);
    assert!(client.region(REGIONS).is_none());
    assert!(!client.resettable(), "which is wrong, and so it is right: see above");
    let vectors = client.get_irq_info(MSIX).unwrap();
    assert_eq!((vectors.index, vectors.count), (MSIX, 32));

    // The aperture, by messages and as the file that came with what it is.
    let bytes = pattern(60_000);
    client.region_write(BAR2, 4093, &bytes).unwrap();
    let mut found = vec![0; bytes.len()];
    client.region_read(BAR2, 4093, &mut found).unwrap();
    assert_eq!(found, bytes);
    let region = client.region(BAR2).unwrap();
    assert_eq!(region.flags, MAPPED);
    let shared = region.file_offset.as_ref().unwrap();
    let mut found = vec![0; bytes.len()];
    shared.file().read_exact_at(&mut found, shared.start() + 4093).unwrap();
    assert_eq!(found, bytes);
    shared.file().write_all_at(b"from here", shared.start() + FB_BYTES - 9).unwrap();
    let mut end = [0; 9];
    client.region_read(BAR2, FB_BYTES - 9, &mut end).unwrap();
    assert_eq!(&end, b"from here");

    // A register that the guest may write, and one that it may not.
    let mut vendor = [0; 4];
    client.region_read(CONFIG, VENDOR, &mut vendor).unwrap();
    for at in [VENDOR, LINE] {
        client.region_write(CONFIG, at, &[0x5b]).unwrap();
    }
    let (mut line, mut again) = ([0; 1], [0; 4]);
    client.region_read(CONFIG, LINE, &mut line).unwrap();
    client.region_read(CONFIG, VENDOR, &mut again).unwrap();
    assert_eq!((line, again), ([0x5b], vendor));

    // A reset takes back what was written.
    client.reset().unwrap();
    client.region_read(CONFIG, LINE, &mut line).unwrap();
    client.region_read(BAR2, FB_BYTES - 9, &mut end).unwrap();
    assert_eq!((line, end), ([0], [0; 9]));
    client.shutdown().unwrap();
    drop(client);
    serving.end();
}

#[test]
fn a_guest_behind_it_has_memory_and_interrupts() {
    let serving = Serving::start();
    let mut client = serving.client();
    let memory = MemFile::new("interop", MEMORY_BYTES).unwrap();
    let event = new_eventfd().unwrap();
    client.set_irqs(MSIX, BIND, 1, 1, &[event.as_raw_fd()]).unwrap();
    let fd = memory.file().as_raw_fd();
    client.dma_map(0, MEMORY_AT, MEMORY_BYTES, fd).unwrap();
    assert_eq!(copy(&mut client), Ok(pattern(COPIED)));
    let mut found = vec![0; MEMORY_BYTES as usize];
    memory.read(0, &mut found).unwrap();
    let (written, rest) = (4096..4096 + COPIED as usize, 4096 + COPIED as usize..);
    assert_eq!(found[written], pattern(COPIED));
    assert!(found[rest].iter().chain(&found[..4096]).all(|byte| *byte == 0));
    let mut count = [0; 8];
    let end = Instant::now() + PATIENCE;
    while rustix::io::read(&event, &mut count).is_err() {
        assert!(Instant::now() < end, "there is no interrupt");
        client.get_irq_info(MSIX).unwrap();
    }
    assert_eq!(u64::from_ne_bytes(count), 1, "of one job");

    // What is unmapped is out of reach, and so is all when the next client comes.
    client.dma_unmap(MEMORY_AT, MEMORY_BYTES).unwrap();
    assert_eq!(copy_again(&mut client), Err(ChannelFault::Dma));
    client.dma_map(0, MEMORY_AT, MEMORY_BYTES, fd).unwrap();
    assert_eq!(copy_again(&mut client), Ok(pattern(COPIED)));
    drop(client);
    let mut next = serving.client();
    assert_eq!(copy_again(&mut next), Err(ChannelFault::Dma));
    drop(next);
    serving.end();
}

/// The same, as soon as the channel of the list before is given back.
fn copy_again(client: &mut Client) -> Result<Vec<u8>, ChannelFault> {
    let end = Instant::now() + PATIENCE;
    let offset = {
        use godwit_regs::guest::{ChannelRegister, channel_offset};
        channel_offset(godwit_types::GuestChannelId::new(1).unwrap(), ChannelRegister::Status)
    };
    while ClientBars(client).read32(offset).unwrap() != godwit_regs::guest::status::FREE {
        assert!(Instant::now() < end, "the channel is not given back");
    }
    copy(client)
}
