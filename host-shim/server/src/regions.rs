//! The regions of a vGPU's function, as a client reads and writes them.

use crate::config_space::{CONFIG_BYTES, Effect, MSIX_BAR, MSIX_BAR_BYTES, MSIX_PBA};
use crate::device::Device;
use crate::refusal::Refusal;
use godwit_regs::guest::{self, BAR0_BYTES, ChannelRegister, Place};
use godwit_shim::Host;
use godwit_vfio_proto::{RegionAccess, RegionFlags, RegionInfo, region};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The aperture.
const BAR2: u32 = 2;
const WORD: u64 = 4;

impl Device {
    /// What a region is, and what it is mapped by.
    pub(crate) fn region_info(
        &mut self,
        host: &Host,
        index: u32,
        room: u32,
    ) -> Result<(RegionInfo, Option<OwnedFd>), Refusal> {
        if index >= region::COUNT {
            let why = format!("region {index}: 0 to {} are allowed", region::COUNT - 1);
            return Err(Refusal::new(why));
        }
        let mut info = RegionInfo::absent(index);
        info.length = self.region_bytes(host, index);
        if info.length == 0 {
            return Ok((info, None));
        }
        info.flags = RegionFlags::READ | RegionFlags::WRITE;
        if index != BAR2 {
            return Ok((info, None));
        }
        info.flags |= RegionFlags::MMAP;
        if !info.fits(room) {
            return Ok((info, None));
        }
        let file = self.framebuffer(host)?.file().file().try_clone();
        let file = file.map_err(|error| Refusal::with(Errno::MFILE, error.to_string()))?;
        self.is_mapped = true;
        Ok((info, Some(file.into())))
    }

    fn region_bytes(&self, host: &Host, index: u32) -> u64 {
        match index {
            region::BAR0 => BAR0_BYTES.into(),
            BAR2 => host.vgpu(self.gfid).map_or(self.bar2_bytes, |info| info.profile.bar_bytes),
            MSIX_BAR => MSIX_BAR_BYTES,
            region::CONFIG => CONFIG_BYTES as u64,
            _ => 0,
        }
    }

    /// The vGPU's memory, which it has in every state of a migration.
    fn framebuffer<'h>(&self, host: &'h Host) -> Result<&'h godwit_sim_gpu::Partition, Refusal> {
        let partition = host.card().gpu().partition(self.gfid);
        partition.ok_or_else(|| Refusal::with(Errno::IO, "the vGPU has no framebuffer"))
    }

    fn check(&self, host: &Host, access: &RegionAccess) -> Result<(), Refusal> {
        let RegionAccess { region, offset, count } = *access;
        let length = self.region_bytes(host, region);
        // The protocol's own limits keep the sum from wrapping.
        if count != 0 && offset + u64::from(count) <= length {
            return Ok(());
        }
        let what = format!("{count} bytes at {offset:#x} of region {region}");
        Err(Refusal::new(format!("{what} are not within its {length:#x} bytes")))
    }

    /// What a client reads.
    pub(crate) fn region_read(
        &mut self,
        host: &mut Host,
        access: &RegionAccess,
    ) -> Result<Vec<u8>, Refusal> {
        self.check(host, access)?;
        let (at, count) = (access.offset, access.count as usize);
        match access.region {
            region::CONFIG => Ok(self.config.read(at as usize, count).to_vec()),
            region::BAR0 => {
                let first = at / WORD * WORD;
                let end = (at + count as u64).next_multiple_of(WORD);
                let words = (first..end).step_by(WORD as usize);
                let bytes = words.flat_map(|at| host.bar0_read(self.gfid, at as u32).to_le_bytes());
                Ok(bytes.skip((at - first) as usize).take(count).collect())
            }
            BAR2 => {
                let mut bytes = vec![0; count];
                let read = self.framebuffer(host)?.read(at, &mut bytes);
                read.map_err(|error| Refusal::with(Errno::IO, error.to_string()))?;
                Ok(bytes)
            }
            _ => {
                // QEMU has the table itself, and asks here for what is pending.
                let pending = host.pending_vectors(self.gfid).to_le_bytes();
                let bit = |at: u64| {
                    let place = at.checked_sub(MSIX_PBA).and_then(|at| usize::try_from(at).ok());
                    place.and_then(|place| pending.get(place)).copied().unwrap_or(0)
                };
                Ok((at..at + count as u64).map(bit).collect())
            }
        }
    }

    /// The guest writes a register.
    fn register_write(&mut self, host: &mut Host, at: u32, value: u32) {
        let is_request = matches!(guest::place(at), Place::Channel(_, ChannelRegister::Control));
        if is_request && !self.migration.state().runs() {
            // The last for each register counts.
            self.held.retain(|(other, _)| *other != at);
            return self.held.push((at, value));
        }
        host.bar0_write(self.gfid, at, value);
    }

    /// The vGPU runs again: what was held is asked for.
    pub(crate) fn ask_held(&mut self, host: &mut Host) {
        for (at, value) in std::mem::take(&mut self.held) {
            host.bar0_write(self.gfid, at, value);
        }
    }

    /// A client writes.
    pub(crate) fn region_write(
        &mut self,
        host: &mut Host,
        access: &RegionAccess,
        data: &[u8],
    ) -> Result<(), Refusal> {
        self.check(host, access)?;
        let at = access.offset;
        match access.region {
            region::CONFIG => match self.config.write(at as usize, data) {
                Effect::None => Ok(()),
                Effect::Reset => self.reset(host),
            },
            region::BAR0 => {
                // Registers have 32 bits; what does not cover one is dropped.
                let skipped = (at.next_multiple_of(WORD) - at) as usize;
                let words = data.get(skipped..).unwrap_or(&[]).as_chunks::<4>().0;
                for (at, word) in (at.next_multiple_of(WORD)..).step_by(WORD as usize).zip(words) {
                    self.register_write(host, at as u32, u32::from_le_bytes(*word));
                }
                Ok(())
            }
            BAR2 => {
                let written = self.framebuffer(host)?.file().write(at, data);
                written.map_err(|error| Refusal::with(Errno::IO, error.to_string()))
            }
            _ => Ok(()),
        }
    }
}
