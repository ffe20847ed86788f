//! A channel and the guest's end of its ring.

use crate::bars::{load_word, read32, store_word, write, write32};
use crate::{Bars, Device, GuestError};
use godwit_regs::bits::halves;
use godwit_regs::fifo::{Entry, USERD_GET, USERD_PUT};
use godwit_regs::guest::{ChannelRegister, DOORBELL, channel_offset, status};
use godwit_types::{ChannelFault, GuestChannelId, GuestTsgId, RingConfig, RunlistId};

/// What has become of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelStatus {
    /// There is none: the request to create it is not answered yet, or it is destroyed.
    Free,
    /// It takes work.
    Ready,
    /// The device has stopped it.
    Faulted(ChannelFault),
    /// The request to create it was refused.
    Refused,
}

/// A channel that the guest has asked for. Its own count of entries is all that it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    id: GuestChannelId,
    ring: RingConfig,
    put: u32,
}

/// A time-slice group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub tsg: GuestTsgId,
    /// Its grace period at the end of a slice, in units of 100 microseconds, at most 100; the same
    /// for all of its channels.
    pub grace: u8,
}

impl From<GuestTsgId> for Group {
    fn from(tsg: GuestTsgId) -> Self {
        Self { tsg, grace: 0 }
    }
}

impl Channel {
    /// Asks for a channel whose ring, `1 << ring_log2` entries behind USERD, begins at
    /// `ring_base`. The answer comes later, see [`Self::poll_ready`].
    ///
    /// The channel must be free. One that was refused or has faulted is to be destroyed first:
    /// until a request is answered the status tells of the one before.
    pub fn create(
        bars: &mut impl Bars,
        device: &Device,
        id: GuestChannelId,
        group: impl Into<Group>,
        engine: RunlistId,
        ring_base: u64,
        ring_log2: u8,
    ) -> Result<Self, GuestError> {
        let Group { tsg, grace } = group.into();
        device.check_channel(id, tsg)?;
        // The guest writes its entries through the aperture, so the ring must lie in it.
        let aperture_bytes = device.aperture_bytes();
        let Some(ring) = RingConfig::new(ring_base, ring_log2, aperture_bytes) else {
            return Err(GuestError::Ring { base: ring_base, log2: ring_log2, aperture_bytes });
        };
        let register = |register| channel_offset(id, register);
        let status = read32(bars, register(ChannelRegister::Status))?;
        if status != status::FREE {
            return Err(GuestError::ChannelInUse { channel: id.raw(), status });
        }
        store_word(bars, ring_base + USERD_PUT, 0)?;
        store_word(bars, ring_base + USERD_GET, 0)?;
        let (base_low, base_high) = halves(ring_base);
        for (name, value) in [
            (ChannelRegister::RingLo, base_low),
            (ChannelRegister::RingHi, base_high),
            (ChannelRegister::RingLog2, ring_log2.into()),
            (ChannelRegister::Tsg, u32::from(grace) << 16 | u32::from(tsg.raw())),
            (ChannelRegister::Engine, engine.raw().into()),
            (ChannelRegister::Control, 1), // last: it makes the device look
        ] {
            write32(bars, register(name), value)?;
        }
        Ok(Self { id, ring, put: 0 })
    }

    /// A channel with this ring that a driver has left open, as its function and its memory have
    /// it. `None`: there is none.
    pub(crate) fn take_over(
        bars: &mut impl Bars,
        id: GuestChannelId,
        ring_base: u64,
        ring_log2: u8,
    ) -> Result<Option<Self>, GuestError> {
        let mut register = |register| read32(bars, channel_offset(id, register));
        let status = register(ChannelRegister::Status)?;
        let (low, high) = halves(ring_base);
        let same = register(ChannelRegister::RingLo)? == low
            && register(ChannelRegister::RingHi)? == high
            && register(ChannelRegister::RingLog2)? == u32::from(ring_log2);
        let Some(ring) = RingConfig::new(ring_base, ring_log2, u64::MAX) else { return Ok(None) };
        if status == status::FREE || !same {
            return Ok(None);
        }
        let put = load_word(bars, ring_base + USERD_PUT)?;
        Ok(Some(Self { id, ring, put }))
    }

    /// The channel's number.
    pub fn id(&self) -> GuestChannelId {
        self.id
    }

    /// Where its ring lies.
    pub fn ring(&self) -> RingConfig {
        self.ring
    }

    /// Entries submitted so far, modulo 2^32: what GP_GET reads when all are done.
    pub fn put(&self) -> u32 {
        self.put
    }

    /// What has become of the channel.
    pub fn poll_ready(&self, bars: &mut impl Bars) -> Result<ChannelStatus, GuestError> {
        let channel = self.id.raw();
        let status = self.read_register(bars, ChannelRegister::Status)?;
        Ok(match status {
            status::FREE => ChannelStatus::Free,
            status::READY => ChannelStatus::Ready,
            status::REFUSED => ChannelStatus::Refused,
            status::FAULTED => {
                let code = self.read_register(bars, ChannelRegister::Error)?;
                let fault = u8::try_from(code).ok().and_then(ChannelFault::new);
                ChannelStatus::Faulted(fault.ok_or(GuestError::Fault { channel, code })?)
            }
            _ => return Err(GuestError::Status { channel, status }),
        })
    }

    /// Why the device stopped the channel, if it did.
    pub fn fault(&self, bars: &mut impl Bars) -> Result<Option<ChannelFault>, GuestError> {
        Ok(match self.poll_ready(bars)? {
            ChannelStatus::Faulted(fault) => Some(fault),
            ChannelStatus::Free | ChannelStatus::Ready | ChannelStatus::Refused => None,
        })
    }

    /// Writes entries behind those submitted before, and rings. Returns what GP_GET will be
    /// when the last of them is done.
    ///
    /// Without room for all of them, none is written. When the BARs fail, the channel is to be
    /// destroyed.
    pub fn submit(&mut self, bars: &mut impl Bars, entries: &[Entry]) -> Result<u32, GuestError> {
        let room = self.room(bars)?;
        let count = match u32::try_from(entries.len()) {
            Ok(count) if count <= room => count,
            _ => {
                return Err(GuestError::RingFull { needed: entries.len(), room });
            }
        };
        if count == 0 {
            return Ok(self.put);
        }
        let mut put = self.put;
        for entry in entries {
            self.write_entry(bars, put, entry)?;
            put = put.wrapping_add(1);
        }
        store_word(bars, self.ring.base() + USERD_PUT, put)?;
        self.put = put;
        self.ring_doorbell(bars)?;
        Ok(put)
    }

    /// Rings without new work.
    pub fn ring_doorbell(&self, bars: &mut impl Bars) -> Result<(), GuestError> {
        write32(bars, DOORBELL, self.id.raw().into())
    }

    /// Entries done so far, modulo 2^32: GP_GET.
    pub fn completed(&self, bars: &mut impl Bars) -> Result<u32, GuestError> {
        load_word(bars, self.ring.base() + USERD_GET)
    }

    /// Entries submitted and not done.
    pub fn pending(&self, bars: &mut impl Bars) -> Result<u32, GuestError> {
        let get = self.completed(bars)?;
        let pending = self.put.wrapping_sub(get);
        if pending > self.ring.entry_count() {
            return Err(GuestError::Get { get, put: self.put, entries: self.ring.entry_count() });
        }
        Ok(pending)
    }

    /// Entries that can be submitted now.
    pub fn room(&self, bars: &mut impl Bars) -> Result<u32, GuestError> {
        Ok(self.ring.entry_count() - self.pending(bars)?)
    }

    /// Asks that the channel be destroyed. It is gone when [`Self::poll_ready`] says that it
    /// is free.
    pub fn destroy(&self, bars: &mut impl Bars) -> Result<(), GuestError> {
        write32(bars, channel_offset(self.id, ChannelRegister::Control), 0)
    }

    fn read_register(
        &self,
        bars: &mut impl Bars,
        register: ChannelRegister,
    ) -> Result<u32, GuestError> {
        read32(bars, channel_offset(self.id, register))
    }

    fn write_entry(
        &self,
        bars: &mut impl Bars,
        count: u32,
        entry: &Entry,
    ) -> Result<(), GuestError> {
        let mut bytes = [0; RingConfig::ENTRY_BYTES as usize];
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(entry.encode()) {
            *place = word.to_le_bytes();
        }
        let index = u64::from(count % self.ring.entry_count());
        let at = RingConfig::USERD_BYTES + index * RingConfig::ENTRY_BYTES;
        write(bars, self.ring.base() + at, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use godwit_regs::fifo::Address;
    use godwit_types::Vector;

    const RING_AT: u64 = 4096;

    fn id(raw: u16) -> GuestChannelId {
        GuestChannelId::new(raw).unwrap()
    }

    fn release(value: u32) -> Entry {
        Entry::Release { at: Address::fb(64), value }
    }

    fn ready(fake: &mut Fake, log2: u8) -> Channel {
        let device = Device::probe(fake).unwrap();
        let tsg = GuestTsgId::new(1).unwrap();
        let channel =
            Channel::create(fake, &device, id(3), tsg, RunlistId::COPY, RING_AT, log2).unwrap();
        assert_eq!(channel.poll_ready(fake).unwrap(), ChannelStatus::Free);
        fake.take_requests();
        assert_eq!(channel.poll_ready(fake).unwrap(), ChannelStatus::Ready);
        channel
    }

    #[test]
    fn entries_are_done_in_order_across_the_rings_end() {
        let mut fake = Fake::new();
        let mut channel = ready(&mut fake, 2);
        for value in 1..=11 {
            let put = channel.submit(&mut fake, &[release(value)]).unwrap();
            assert_eq!(put, value);
            assert_eq!(fake.rings, value);
            fake.run();
            assert_eq!(channel.completed(&mut fake).unwrap(), value);
            assert_eq!(load_word(&mut fake, 64).unwrap(), value);
        }
    }

    #[test]
    fn counts_wrap_at_32_bits() {
        let mut fake = Fake::new();
        let mut channel = ready(&mut fake, 2);
        channel.put = u32::MAX - 1;
        store_word(&mut fake, RING_AT + USERD_GET, u32::MAX - 1).unwrap();
        let entries = [1, 2, 3, 4].map(release);
        assert_eq!(channel.submit(&mut fake, &entries).unwrap(), 2);
        assert_eq!(channel.room(&mut fake).unwrap(), 0);
        fake.run();
        assert_eq!(channel.completed(&mut fake).unwrap(), 2);
        assert_eq!(load_word(&mut fake, 64).unwrap(), 4);
        assert_eq!(channel.room(&mut fake).unwrap(), 4);
    }

    #[test]
    fn a_full_ring_takes_nothing_and_keeps_what_it_has() {
        let mut fake = Fake::new();
        let mut channel = ready(&mut fake, 2);
        channel.submit(&mut fake, &[1, 2, 3].map(release)).unwrap();
        let before = fake.memory.clone();
        match channel.submit(&mut fake, &[7, 8].map(release)) {
            Err(GuestError::RingFull { needed: 2, room: 1 }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(fake.memory, before);
        assert_eq!(fake.rings, 1);
        assert_eq!(channel.submit(&mut fake, &[release(4)]).unwrap(), 4);
        fake.run();
        assert_eq!(channel.pending(&mut fake).unwrap(), 0);
        assert_eq!(load_word(&mut fake, 64).unwrap(), 4);
    }

    #[test]
    fn a_get_that_cannot_be_is_an_error() {
        let mut fake = Fake::new();
        let mut channel = ready(&mut fake, 2);
        store_word(&mut fake, RING_AT + USERD_GET, 1).unwrap();
        let result = channel.submit(&mut fake, &[release(1)]);
        assert!(matches!(result, Err(GuestError::Get { get: 1, .. })));
    }

    #[test]
    fn a_fault_is_the_device_s_own() {
        let mut fake = Fake::new();
        let mut channel = ready(&mut fake, 1);
        assert_eq!(channel.fault(&mut fake).unwrap(), None);
        let entry = Entry::Fill { at: u64::MAX - 8, byte_count: 64, value: 0 };
        channel.submit(&mut fake, &[entry]).unwrap();
        fake.run();
        let fault = channel.fault(&mut fake).unwrap();
        assert_eq!(fault, Some(ChannelFault::OutOfPartition));
        let error = channel_offset(id(3), ChannelRegister::Error);
        fake.registers.insert(error, 77);
        let unknown = channel.fault(&mut fake);
        assert!(matches!(unknown, Err(GuestError::Fault { code: 77, .. })));
    }

    #[test]
    fn what_the_device_does_not_have_is_not_asked_for() {
        let mut fake = Fake::new();
        let device = Device::probe(&mut fake).unwrap();
        let tsg = GuestTsgId::new(0).unwrap();
        let mut create = |raw, at, log2| {
            Channel::create(&mut fake, &device, id(raw), tsg, RunlistId::COPY, at, log2)
        };
        let beyond = create(2000, RING_AT, 2);
        assert!(matches!(beyond, Err(GuestError::NoSuch { .. })));
        for (at, log2) in [(256, 2), (RING_AT, 0), (RING_AT, 13), (1 << 39, 2)] {
            let result = create(0, at, log2);
            assert!(matches!(result, Err(GuestError::Ring { .. })), "{at:#x}");
        }
        assert!(fake.take_requests() == 0);
    }

    #[test]
    fn a_channel_in_use_is_left_alone_until_it_is_destroyed() {
        let mut fake = Fake::new();
        let mut channel = ready(&mut fake, 2);
        let notify = Entry::Notify(Vector::new(5).unwrap());
        channel.submit(&mut fake, &[notify]).unwrap();
        let device = Device::probe(&mut fake).unwrap();
        let tsg = GuestTsgId::new(1).unwrap();
        let again =
            |fake: &mut Fake| Channel::create(fake, &device, id(3), tsg, RunlistId::COPY, 0, 2);
        let refused = again(&mut fake);
        assert!(matches!(refused, Err(GuestError::ChannelInUse { .. })));
        fake.run();
        assert_eq!(fake.vectors, [1 << 5]);
        channel.destroy(&mut fake).unwrap();
        fake.take_requests();
        assert_eq!(channel.poll_ready(&mut fake).unwrap(), ChannelStatus::Free);
        again(&mut fake).unwrap();
    }

    #[test]
    fn a_refused_channel_is_destroyed_before_it_is_asked_for_again() {
        let mut fake = Fake::new();
        let device = Device::probe(&mut fake).unwrap();
        let tsg = GuestTsgId::new(0).unwrap();
        let create = |fake: &mut Fake| {
            Channel::create(fake, &device, id(0), tsg, RunlistId::COPY, RING_AT, 1)
        };
        fake.refuses = true;
        let channel = create(&mut fake).unwrap();
        fake.take_requests();
        assert_eq!(channel.poll_ready(&mut fake).unwrap(), ChannelStatus::Refused);
        assert!(matches!(create(&mut fake), Err(GuestError::ChannelInUse { .. })));
        channel.destroy(&mut fake).unwrap();
        fake.take_requests();
        fake.refuses = false;
        let channel = create(&mut fake).unwrap();
        fake.take_requests();
        assert_eq!(channel.poll_ready(&mut fake).unwrap(), ChannelStatus::Ready);
    }
}
