//! What a guest reads of its function: a transfer, or anything else that the host does, changes
//! nothing of it.

use crate::bars::HostBars;
use crate::vgpu::Home;
use crate::world::{VgpuId, World};
use godwit_guest::{Bars, Device};
use godwit_regs::guest::{ChannelRegister, TIME_HI, TIME_LO, channel_offset, status};
use godwit_types::GuestChannelId;
use std::collections::BTreeMap;

/// Registers of the function and, of those behind them, some that read as 0.
const FUNCTION_BYTES: u32 = 0x40;

/// Words of a channel that the guest wrote: nobody else changes them.
const WRITTEN: [ChannelRegister; 5] = [
    ChannelRegister::RingLo,
    ChannelRegister::RingHi,
    ChannelRegister::RingLog2,
    ChannelRegister::Tsg,
    ChannelRegister::Engine,
];
/// What it is told. A request or a fault may change them while the vGPU runs.
const TOLD: [ChannelRegister; 3] =
    [ChannelRegister::Control, ChannelRegister::Status, ChannelRegister::Error];

/// Values by offset.
type Values = BTreeMap<u32, u32>;

/// What one guest has read.
#[derive(Debug, Default)]
pub(crate) struct Registers {
    /// Identity and sizes when the vGPU was made.
    pub(crate) probed: Values,
    /// What it had written when it was paused.
    pub(crate) written: Values,
    /// What it was told when its vGPU left a host, standing still; none if it did not.
    pub(crate) told: Values,
}

impl Registers {
    /// Of a vGPU that was just made.
    pub(crate) fn probe(bars: &mut HostBars<'_>) -> Self {
        let offsets = (0..FUNCTION_BYTES).step_by(4);
        let probed = read(bars, offsets.filter(|at| ![TIME_LO, TIME_HI].contains(at)));
        Self { probed, ..Self::default() }
    }
}

fn read(bars: &mut HostBars<'_>, offsets: impl Iterator<Item = u32>) -> Values {
    let value = |at| (at, bars.read32(at).expect("the function answers every read"));
    offsets.map(value).collect()
}

/// Offsets of some registers of all channels, and of the block behind them, which reads as 0.
fn blocks(count: u16, registers: &[ChannelRegister]) -> impl Iterator<Item = u32> {
    let ids = (0..=count).filter_map(GuestChannelId::new);
    ids.flat_map(|id| registers.iter().map(move |register| channel_offset(id, *register)))
}

impl World {
    fn bars(&mut self, id: VgpuId) -> Option<HostBars<'_>> {
        let Home::Host(host, gfid) = self.vgpus[id.0].home else { return None };
        Some(HostBars { host: &mut self.hosts[host.0].host, gfid })
    }

    /// The guest is paused: from now on it writes nothing.
    pub(crate) fn note_written(&mut self, id: VgpuId) {
        let count = self.vgpus[id.0].profile.channel_count;
        let Some(mut bars) = self.bars(id) else { return };
        let written = read(&mut bars, blocks(count, &WRITTEN));
        let registers = &mut self.vgpus[id.0].registers;
        registers.written = written;
        registers.told.clear();
    }

    /// Its vGPU is about to leave its host: from now on nothing changes.
    pub(crate) fn note_told(&mut self, id: VgpuId) {
        let count = self.vgpus[id.0].profile.channel_count;
        let Some(mut bars) = self.bars(id) else { return };
        let told = read(&mut bars, blocks(count, &TOLD));
        self.vgpus[id.0].registers.told = told;
    }

    /// Its vGPU runs again, and the guest has written nothing yet.
    pub(crate) fn check_registers(&mut self, id: VgpuId) {
        let registers = std::mem::take(&mut self.vgpus[id.0].registers);
        let Some(mut bars) = self.bars(id) else { return };
        let wanted = [&registers.probed, &registers.written, &registers.told];
        let found = wanted.map(|values| read(&mut bars, values.keys().copied()));
        let mut wrong = Vec::new();
        for (wanted, found) in wanted.into_iter().zip(&found) {
            let changed = wanted.iter().filter(|(at, value)| found[at] != **value);
            wrong.extend(changed.map(|(at, value)| (*at, *value, found[at])));
        }
        wrong.retain(|(at, ..)| !has_faulted_since(*at, &registers.told, &found[2]));
        let name = self.vgpus[id.0].name.clone();
        for (at, before, now) in wrong {
            self.problem(format!("{name}'s guest read {before:#x} at {at:#x}, and now {now:#x}"));
        }
        self.vgpus[id.0].registers = registers;
    }

    /// At the end of a run: every guest finds the vGPU that it had at first, at whatever place it
    /// is by now.
    pub fn check_guests(&mut self) {
        for id in (0..self.vgpus.len()).map(VgpuId) {
            self.check_ram(id);
            let (device, canary) = (self.vgpus[id.0].device, self.vgpus[id.0].canary);
            let places = crate::vgpu::canary_places(&self.vgpus[id.0].profile);
            let probed = self.vgpus[id.0].registers.probed.clone();
            let Some(mut bars) = self.bars(id) else { continue };
            let again = Device::probe(&mut bars);
            let now = read(&mut bars, probed.keys().copied());
            let same = again.as_ref().is_ok_and(|again| *again == device) && now == probed;
            let mut bytes = canary;
            let shown =
                places.map(|at| bars.read(at, &mut bytes).is_ok() && bytes == canary) == [true; 2];
            let end = device.aperture_bytes();
            let bounded = bars.read(end - 1, &mut [0]).is_ok() && bars.read(end, &mut [0]).is_err();
            let name = self.vgpus[id.0].name.clone();
            if !same {
                self.problem(format!(
                    "{name}'s guest had {device:?} and finds {again:?}, {now:x?}"
                ));
            }
            if !shown {
                self.problem(format!("{name}'s guest does not find its bytes at {places:x?}"));
            }
            if !bounded {
                self.problem(format!("{name}'s aperture does not end after {end:#x} bytes"));
            }
        }
    }
}

/// Whether this is a register of a channel that was whole and has faulted since it runs again.
fn has_faulted_since(at: u32, before: &Values, now: &Values) -> bool {
    let status_at = (at & !0x1f) | ChannelRegister::Status as u32;
    before.contains_key(&at)
        && before.get(&status_at) == Some(&status::READY)
        && now.get(&status_at) == Some(&status::FAULTED)
}
