//! A vGPU of a host, as the suite has it: the thinnest front end there is.

use godwit_conformance::vfio::{Device, DmaRange, PrecopyInfo, errno};
use godwit_shim::Host;
use godwit_shim::vfio::{MigrationDevice, MigrationError, MigrationState};
use std::cell::RefCell;
use std::rc::Rc;

/// A device, and the host that it is on.
#[derive(Debug)]
pub(crate) struct ShimDevice {
    pub(crate) host: Rc<RefCell<Host>>,
    pub(crate) device: MigrationDevice,
}

impl ShimDevice {
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut MigrationDevice, &mut Host) -> Result<T, MigrationError>,
    ) -> Result<T, i32> {
        call(&mut self.device, &mut self.host.borrow_mut()).map_err(|error| error.errno())
    }
}

fn range(range: DmaRange) -> godwit_sim_gpu::DmaRange {
    let DmaRange { iova, byte_count } = range;
    godwit_sim_gpu::DmaRange { iova, byte_count }
}

impl Device for ShimDevice {
    fn state(&mut self) -> u32 {
        self.device.state() as u32
    }

    fn set_state(&mut self, state: u32) -> Result<(), i32> {
        let state = MigrationState::new(state).ok_or(errno::EINVAL)?;
        self.call(|device, host| device.set_state(host, state))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, i32> {
        self.call(|device, host| device.read(host, into))
    }

    fn write(&mut self, from: &[u8]) -> Result<usize, i32> {
        self.call(|device, host| device.write(host, from))
    }

    fn precopy_info(&mut self) -> Result<PrecopyInfo, i32> {
        let info = self.call(MigrationDevice::precopy_info)?;
        let godwit_shim::vfio::PrecopyInfo { initial_bytes, dirty_bytes, reinit } = info;
        Ok(PrecopyInfo { initial_bytes, dirty_bytes, reinit })
    }

    fn data_size(&mut self) -> Result<u64, i32> {
        self.call(|device, host| Ok(device.stop_copy_bytes(host)))
    }

    fn reset(&mut self) -> Result<(), i32> {
        self.call(MigrationDevice::reset)
    }

    fn dma_log_start(&mut self, ranges: &[DmaRange], page_bytes: u64) -> Result<u64, i32> {
        let ranges: Vec<_> = ranges.iter().copied().map(range).collect();
        self.call(|device, host| Ok(host.dma_log_start(device.gfid(), &ranges, page_bytes)?))
    }

    fn dma_log_report(
        &mut self,
        of: DmaRange,
        page_bytes: u64,
        bitmap: &mut [u8],
    ) -> Result<(), i32> {
        self.call(|device, host| {
            Ok(host.dma_log_report(device.gfid(), range(of), page_bytes, bitmap)?)
        })
    }

    fn dma_log_stop(&mut self) -> Result<(), i32> {
        self.call(|device, host| Ok(host.dma_log_stop(device.gfid())?))
    }
}
