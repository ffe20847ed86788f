//! A vGPU of a simulated GPU in this process, with a guest's memory, and ways to harm it.

use godwit_guest::Bars;
use godwit_hal::Identity;
use godwit_shim::{Host, HostError, Mcu};
use godwit_sim_gpu::{Costs, DmaTarget, DmaWindow, GpuConfig};
use godwit_sys::MemFile;
use godwit_types::{Engines, Gfid, Profile, Share};
use godwit_vm_guest::Guest;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const APERTURE_BYTES: u64 = 32 << 20;
const IDENTITY: Identity = Identity {
    fb_bytes: 64 << 20,
    bar_bytes: 64 << 20,
    context_bytes: 4 << 20,
    context_layout: 3,
    engines: Engines::ALL,
};
const PROFILE: Profile = Profile {
    fb_bytes: APERTURE_BYTES,
    bar_bytes: APERTURE_BYTES,
    channel_count: 8,
    context_bytes: 32 << 10,
};
/// Where the bus has the guest's memory, and how much there is.
const DMA_AT: u64 = 1 << 32;
const DMA_BYTES: u64 = 4 << 20;
/// How long the device works between two looks for interrupts.
const STEP_NS: u64 = 200_000;
/// Where kernels have their data in the aperture.
const DATA: std::ops::Range<u64> = godwit_kernels::DATA_BASE..24 << 20;

/// What is wrong with the device until it is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// A vector's interrupts do not come.
    NoVector(u8),
    /// The next byte that is read of a kernel's data is another.
    Data,
    /// A byte that is read of the guest's memory from here on is another.
    Memory(u64),
    /// The device does not reach the guest's memory.
    NoWindow,
}

/// See the module.
pub(crate) struct HostGuest {
    host: Host,
    gfid: Gfid,
    memory: Arc<MemFile>,
    raised: [u32; 32],
    is_raised: bool,
    harm: Option<Harm>,
}

impl HostGuest {
    pub(crate) fn new() -> Self {
        let config = GpuConfig { identity: IDENTITY, start_ns: 0, costs: Costs::default() };
        let mut host = Host::new(config, &Mcu::Native).unwrap();
        let gfid = host.create_running(PROFILE, Share::DEFAULT, None).unwrap();
        let memory = Arc::new(MemFile::new("godwit-guest", DMA_BYTES).unwrap());
        let target = DmaTarget::Memory { memory: Arc::clone(&memory), offset: 0 };
        let window =
            DmaWindow { iova: DMA_AT, byte_count: DMA_BYTES, read: true, write: true, target };
        host.dma_map(gfid, window).unwrap();
        Self { host, gfid, memory, raised: [0; 32], is_raised: false, harm: None }
    }

    /// From now on something is wrong.
    pub(crate) fn harm(&mut self, harm: Harm) {
        if harm == Harm::NoWindow {
            self.host.dma_unmap_all(self.gfid);
        }
        self.harm = Some(harm);
    }

    /// From now on nothing is.
    pub(crate) fn mend(&mut self) {
        self.harm = None;
    }

    fn pass(&mut self, until_ns: u64) {
        while !self.is_raised && self.host.now_ns() < until_ns {
            self.host.run(until_ns.min(self.host.now_ns() + STEP_NS));
            self.host.settle();
            let vectors = self.host.take_vectors(self.gfid);
            for (vector, count) in (0..).zip(&mut self.raised) {
                if vectors >> vector & 1 != 0 && self.harm != Some(Harm::NoVector(vector)) {
                    *count += 1;
                    self.is_raised = true;
                }
            }
        }
    }
}

impl Bars for HostGuest {
    type Error = HostError;

    fn read32(&mut self, offset: u32) -> Result<u32, HostError> {
        Ok(self.host.bar0_read(self.gfid, offset))
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), HostError> {
        self.host.bar0_write(self.gfid, offset, value);
        Ok(())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), HostError> {
        self.host.bar2_read(self.gfid, at, into)?;
        if self.harm == Some(Harm::Data) && DATA.contains(&at) {
            into[0] = !into[0];
            self.harm = None;
        }
        Ok(())
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), HostError> {
        self.host.bar2_write(self.gfid, at, from)
    }
}

impl Guest for HostGuest {
    fn wait(&mut self, most: Duration) -> io::Result<bool> {
        self.pass(self.host.now_ns() + most.as_nanos() as u64);
        Ok(std::mem::take(&mut self.is_raised))
    }

    fn interrupts(&mut self, vector: u8) -> io::Result<u32> {
        Ok(self.raised[usize::from(vector)])
    }

    fn bus(&self) -> u64 {
        DMA_AT
    }

    fn dma_read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.memory.read(at, into).map_err(io::Error::other)?;
        if let Some(Harm::Memory(harmed)) = self.harm
            && let Some(byte) = harmed.checked_sub(at).and_then(|at| into.get_mut(at as usize))
        {
            *byte = !*byte;
            self.harm = None;
        }
        Ok(())
    }

    fn dma_write(&mut self, at: u64, from: &[u8]) -> io::Result<()> {
        self.memory.write(at, from).map_err(io::Error::other)
    }
}
