//! The device as Linux has it: BARs through sysfs, interrupts and memory for DMA through UIO.

use crate::guest::Guest;
use anyhow::{Context as _, Result, bail};
use godwit_guest::Bars;
use godwit_regs::guest::{PCI_DEVICE, PCI_VENDOR};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;
use vm_memory::{Bytes as _, FileOffset, MmapRegion, VolatileMemory as _};

/// Where the kernel lists PCI functions.
const DEVICES: &str = "/sys/bus/pci/devices";
/// The UIO device of `godwit_uio`, the module: an event is an interrupt.
const UIO: &str = "/dev/uio0";
/// The module's files beside the BARs: its buffer, that one's bus address, and what each vector has
/// counted.
const DMA: &str = "godwit_dma";
const DMA_ADDRESS: &str = "godwit_dma_address";
const VECTORS: &str = "godwit_vectors";

/// See the module.
#[derive(Debug)]
pub struct Linux {
    bar0: MmapRegion,
    pub(crate) bar2: MmapRegion,
    dma: MmapRegion,
    bus: u64,
    uio: File,
    vectors: File,
}

fn outside(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

fn number(path: &Path) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let digits = text.trim().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).with_context(|| format!("{}: {text}", path.display()))
}

/// The function's folder.
fn find() -> Result<PathBuf> {
    for entry in fs::read_dir(DEVICES)? {
        let path = entry?.path();
        let is = |file: &str, wanted: u16| number(&path.join(file)).ok() == Some(wanted.into());
        if is("vendor", PCI_VENDOR) && is("device", PCI_DEVICE) {
            return Ok(path);
        }
    }
    bail!("there is no function {PCI_VENDOR:04x}:{PCI_DEVICE:04x}")
}

/// Maps a file of the function.
fn map(path: &Path) -> Result<MmapRegion> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.with_context(|| path.display().to_string())?;
    let size = usize::try_from(file.metadata()?.len())?;
    let region = MmapRegion::from_file(FileOffset::new(file, 0), size);
    region.with_context(|| format!("{} cannot be mapped", path.display()))
}

impl Linux {
    /// Finds the function and maps it.
    ///
    /// # Errors
    ///
    /// When there is none, or the module is not loaded.
    pub fn open() -> Result<Self> {
        let function = find()?;
        let uio = OpenOptions::new().read(true).write(true).open(UIO).context(UIO)?;
        let vectors = File::open(function.join(VECTORS)).context(VECTORS)?;
        Ok(Self {
            bar0: map(&function.join("resource0"))?,
            bar2: map(&function.join("resource2"))?,
            dma: map(&function.join(DMA))?,
            bus: number(&function.join(DMA_ADDRESS))?,
            uio,
            vectors,
        })
    }

    fn register(&self, offset: u32) -> io::Result<&AtomicU32> {
        self.bar0.get_atomic_ref::<AtomicU32>(offset as usize).map_err(outside)
    }
}

impl Bars for Linux {
    type Error = io::Error;

    fn read32(&mut self, offset: u32) -> io::Result<u32> {
        Ok(u32::from_le(self.register(offset)?.load(Ordering::SeqCst)))
    }

    fn write32(&mut self, offset: u32, value: u32) -> io::Result<()> {
        // What was written to the aperture is there before a doorbell.
        fence(Ordering::SeqCst);
        self.register(offset)?.store(value.to_le(), Ordering::SeqCst);
        Ok(())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        fence(Ordering::SeqCst);
        if let ([_, _, _, _], true) = (&*into, at.is_multiple_of(4)) {
            let word = self.bar2.get_atomic_ref::<AtomicU32>(at as usize).map_err(outside)?;
            into.copy_from_slice(&word.load(Ordering::SeqCst).to_ne_bytes());
            return Ok(());
        }
        self.bar2.as_volatile_slice().read_slice(into, at as usize).map_err(outside)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> io::Result<()> {
        if let (&[a, b, c, d], true) = (from, at.is_multiple_of(4)) {
            let word = self.bar2.get_atomic_ref::<AtomicU32>(at as usize).map_err(outside)?;
            word.store(u32::from_ne_bytes([a, b, c, d]), Ordering::SeqCst);
            return Ok(());
        }
        self.bar2.as_volatile_slice().write_slice(from, at as usize).map_err(outside)
    }
}

impl Guest for Linux {
    fn wait(&mut self, most: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.uio, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: most.subsec_nanos().into(),
        };
        if poll(&mut fds, Some(&timeout))? == 0 {
            return Ok(false);
        }
        // How many there were so far.
        let mut count = [0; 4];
        self.uio.read_exact(&mut count)?;
        Ok(true)
    }

    fn interrupts(&mut self, vector: u8) -> io::Result<u32> {
        let mut count = [0; 4];
        self.vectors.read_exact_at(&mut count, u64::from(vector) * 4)?;
        Ok(u32::from_ne_bytes(count))
    }

    fn bus(&self) -> u64 {
        self.bus
    }

    fn dma_read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        fence(Ordering::SeqCst);
        self.dma.as_volatile_slice().read_slice(into, at as usize).map_err(outside)
    }

    fn dma_write(&mut self, at: u64, from: &[u8]) -> io::Result<()> {
        self.dma.as_volatile_slice().write_slice(from, at as usize).map_err(outside)
    }
}
