//! A device for tests: memory, registers, and channels that do all they have at once.

use crate::Bars;
use godwit_regs::bits::{halves, whole};
use godwit_regs::fifo::{Address, Entry, EntryWords, Launch, USERD_GET, USERD_PUT};
use godwit_regs::guest::{
    APERTURE_LO, CHANNELS as CHANNELS_AT, ChannelRegister, DOORBELL, FB_LO, ID, ID_VALUE, Place,
    THREADS_MAX, TIME_HI, TIME_LO, VERSION, VERSION_VALUE, channel_offset, place, status,
};
use godwit_types::{ChannelFault, GuestChannelId, RingConfig};
use std::collections::BTreeMap;

/// Channels of the fake.
pub(crate) const CHANNELS: u16 = 8;
/// Bytes of its aperture.
pub(crate) const APERTURE_BYTES: u64 = 8 << 20;
/// Bytes of its partition.
pub(crate) const FB_BYTES: u64 = 9 << 20;
/// Where the bus has the guest's memory, and how much there is.
pub(crate) const RAM_AT: u64 = 1 << 33;
const RAM_BYTES: usize = 1 << 16;
/// Threads of a block.
pub(crate) const THREADS: u32 = 256;

/// An access that the device does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is there")]
pub(crate) struct NothingThere;

/// See the module.
pub(crate) struct Fake {
    /// The partition.
    pub(crate) memory: Vec<u8>,
    /// The guest's memory.
    pub(crate) ram: Vec<u8>,
    /// What registers read as.
    pub(crate) registers: BTreeMap<u32, u32>,
    /// Doorbells that rang.
    pub(crate) rings: u32,
    /// Interrupts, in order, a bit for each vector.
    pub(crate) vectors: Vec<u32>,
    /// Launches, in order.
    pub(crate) launches: Vec<Launch>,
    /// The clock, and what it advances with each read of a half.
    pub(crate) time_ns: u64,
    /// See `time_ns`.
    pub(crate) time_step_ns: u64,
    /// Requests are refused.
    pub(crate) refuses: bool,
    requests: Vec<(GuestChannelId, u32)>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let (fb_low, fb_high) = halves(FB_BYTES);
        let (aperture_low, aperture_high) = halves(APERTURE_BYTES);
        let registers = [
            (ID, ID_VALUE),
            (VERSION, VERSION_VALUE),
            (CHANNELS_AT, CHANNELS.into()),
            (FB_LO, fb_low),
            (FB_LO + 4, fb_high),
            (APERTURE_LO, aperture_low),
            (APERTURE_LO + 4, aperture_high),
            (THREADS_MAX, THREADS),
        ];
        Self {
            memory: vec![0; FB_BYTES as usize],
            ram: vec![0; RAM_BYTES],
            registers: registers.into(),
            rings: 0,
            vectors: Vec::new(),
            launches: Vec::new(),
            time_ns: 0,
            time_step_ns: 1,
            refuses: false,
            requests: Vec::new(),
        }
    }

    /// Answers the requests to create and to destroy channels. Returns how many there were.
    pub(crate) fn take_requests(&mut self) -> usize {
        let requests = std::mem::take(&mut self.requests);
        for (id, control) in &requests {
            let status = match (control, self.refuses) {
                (0, _) => status::FREE,
                (_, false) => status::READY,
                (_, true) => status::REFUSED,
            };
            self.set(*id, ChannelRegister::Status, status);
        }
        requests.len()
    }

    /// Does all that the channels have.
    pub(crate) fn run(&mut self) {
        for id in (0..CHANNELS).filter_map(GuestChannelId::new) {
            while self.get(id, ChannelRegister::Status) == status::READY {
                match self.step(id) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(fault) => {
                        self.set(id, ChannelRegister::Status, status::FAULTED);
                        self.set(id, ChannelRegister::Error, fault as u32);
                    }
                }
            }
        }
    }

    /// Does one entry. Returns whether there was one.
    fn step(&mut self, id: GuestChannelId) -> Result<bool, ChannelFault> {
        let base =
            whole(self.get(id, ChannelRegister::RingLo), self.get(id, ChannelRegister::RingHi));
        let count = 1_u32 << self.get(id, ChannelRegister::RingLog2);
        let put = self.word(base + USERD_PUT)?;
        let get = self.word(base + USERD_GET)?;
        if put == get {
            return Ok(false);
        }
        if put.wrapping_sub(get) > count {
            return Err(ChannelFault::BadPut);
        }
        let at = base + RingConfig::USERD_BYTES + u64::from(get % count) * RingConfig::ENTRY_BYTES;
        let mut words = EntryWords::default();
        for (word, at) in words.iter_mut().zip((at..).step_by(4)) {
            *word = self.word(at)?;
        }
        match Entry::parse(&words).ok_or(ChannelFault::BadEntry)? {
            Entry::Launch(launch) => self.launches.push(launch),
            Entry::Copy { from, to, byte_count } => {
                let bytes = self.reach(from, byte_count)?.to_vec();
                self.reach(to, byte_count)?.copy_from_slice(&bytes);
            }
            Entry::Fill { at, byte_count, value } => self.range(at, byte_count)?.fill(value),
            Entry::Acquire { at, value } => {
                if *self.reach(at, 4)? != value.to_le_bytes() {
                    return Ok(false);
                }
            }
            Entry::Release { at, value } => {
                let word = self.reach(at, 4)?;
                word.copy_from_slice(&value.to_le_bytes());
            }
            Entry::Notify(vector) => self.vectors.push(1 << vector.raw()),
        }
        let get = get.wrapping_add(1).to_le_bytes();
        self.range(base + USERD_GET, 4)?.copy_from_slice(&get);
        Ok(true)
    }

    fn range(&mut self, at: u64, byte_count: u64) -> Result<&mut [u8], ChannelFault> {
        let end = at.checked_add(byte_count);
        let range = end.map(|end| at as usize..end as usize);
        let bytes = range.and_then(|range| self.memory.get_mut(range));
        bytes.ok_or(ChannelFault::OutOfPartition)
    }

    /// Bytes of the partition, or of guest memory.
    fn reach(&mut self, address: Address, byte_count: u64) -> Result<&mut [u8], ChannelFault> {
        if !address.is_bus() {
            return self.range(address.at, byte_count);
        }
        let first = address.at.checked_sub(RAM_AT).ok_or(ChannelFault::Dma)? as usize;
        let bytes = first.checked_add(byte_count as usize);
        let bytes = bytes.and_then(|end| self.ram.get_mut(first..end));
        bytes.ok_or(ChannelFault::Dma)
    }

    fn word(&mut self, at: u64) -> Result<u32, ChannelFault> {
        let bytes = self.range(at, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
    }

    fn get(&self, id: GuestChannelId, register: ChannelRegister) -> u32 {
        let offset = channel_offset(id, register);
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn set(&mut self, id: GuestChannelId, register: ChannelRegister, value: u32) {
        self.registers.insert(channel_offset(id, register), value);
    }

    fn shown(&mut self, at: u64, byte_count: usize) -> Result<&mut [u8], NothingThere> {
        let shown = self.memory.get_mut(..APERTURE_BYTES as usize);
        let bytes = shown.and_then(|shown| shown.get_mut(at as usize..)?.get_mut(..byte_count));
        bytes.ok_or(NothingThere)
    }
}

impl Bars for Fake {
    type Error = NothingThere;

    fn read32(&mut self, offset: u32) -> Result<u32, NothingThere> {
        if offset == TIME_LO || offset == TIME_HI {
            self.time_ns += self.time_step_ns;
            let (low, high) = halves(self.time_ns);
            return Ok(if offset == TIME_LO { low } else { high });
        }
        Ok(self.registers.get(&offset).copied().unwrap_or(0))
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), NothingThere> {
        match place(offset) {
            Place::Channel(id, ChannelRegister::Control) => {
                // One request at a time, as with the real one.
                if self.requests.iter().all(|(asked, _)| *asked != id) {
                    self.requests.push((id, value));
                }
            }
            Place::Channel(id, register) => self.set(id, register, value),
            Place::Doorbell if offset == DOORBELL && value < CHANNELS.into() => self.rings += 1,
            Place::Doorbell | Place::Function(_) | Place::Nothing => return Err(NothingThere),
        }
        Ok(())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), NothingThere> {
        into.copy_from_slice(self.shown(at, into.len())?);
        Ok(())
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), NothingThere> {
        self.shown(at, from.len())?.copy_from_slice(from);
        Ok(())
    }
}
