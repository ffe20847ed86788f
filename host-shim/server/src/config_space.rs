//! The PCI configuration space of a vGPU's function: what a guest reads of it, and what it may
//! write.
//!
//! QEMU emulates the addresses of BARs and the MSI-X registers for its guest, and forwards every
//! write of the guest besides: so this is a faithful shadow, which a migration manager reads here
//! and writes to the machine at the destination. Offsets and bits are those of the PCI Local Bus
//! Specification 3.0 and the PCI Express Base Specification.

use godwit_regs::guest::{BAR0_BYTES, PCI_CLASS, PCI_DEVICE, PCI_VENDOR};
use godwit_types::VECTOR_COUNT;

/// Bytes of the space: PCI Express has an extended one.
pub(crate) const CONFIG_BYTES: usize = 4096;
/// The BAR of the MSI-X table and its pending bits.
pub(crate) const MSIX_BAR: u32 = 4;
/// Bytes of that BAR.
pub(crate) const MSIX_BAR_BYTES: u64 = 0x2000;
/// Where the pending bits are in it; the table is at its start.
pub(crate) const MSIX_PBA: u64 = 0x1000;

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const CACHE_LINE: usize = 0x0c;
const BARS: usize = 0x10;
const SUBSYSTEM: usize = 0x2c;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;
const EXPRESS: usize = 0x40;
const MSIX: usize = 0x80;

/// I/O space is not there; memory, bus master, parity, SERR, INTx off.
const COMMAND_BITS: u16 = 0x0546;
/// Memory and bus master.
const COMMAND_ON: u32 = 0x0006;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const BAR_64_BIT: u32 = 0x4;
const BAR_PREFETCHABLE: u32 = 0x8;
const CAP_EXPRESS: u8 = 0x10;
const CAP_MSIX: u8 = 0x11;
/// Version 2, an endpoint.
const EXPRESS_FLAGS: u16 = 0x0002;
/// Device capabilities: function-level reset, and role-based error reporting, which every function
/// since 1.1 has.
const DEVICE_CAPABILITIES: u32 = 1 << 28 | 1 << 15;
const DEVICE_CONTROL: usize = EXPRESS + 0x08;
const LINK_CAPABILITIES: usize = EXPRESS + 0x0c;
const LINK_CONTROL: usize = EXPRESS + 0x10;
const LINK_STATUS: usize = EXPRESS + 0x12;
const DEVICE_CONTROL_2: usize = EXPRESS + 0x28;
const LINK_CONTROL_2: usize = EXPRESS + 0x30;
/// 16 GT/s over 16 lanes, as the cost model's bus has.
const LINK: u16 = 4 | 16 << 4;
/// Function-level reset: written, and read as 0.
const DEVICE_CONTROL_FLR: u16 = 1 << 15;
const MSIX_CONTROL: usize = MSIX + 2;
/// MSI-X enabled, and the function masked.
const MSIX_CONTROL_BITS: u16 = 0xc000;

/// See the module.
#[derive(Debug)]
pub(crate) struct ConfigSpace {
    bytes: [u8; CONFIG_BYTES],
    /// Bits that a write changes.
    writable: [u8; CONFIG_BYTES],
    bar2_bytes: u64,
}

/// What a write asks for besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// A function-level reset.
    Reset,
}

impl ConfigSpace {
    /// As it is after power-on; `bar2_bytes` is the aperture, a power of two.
    pub(crate) fn new(bar2_bytes: u64) -> Self {
        let (bytes, writable) = ([0; CONFIG_BYTES], [0; CONFIG_BYTES]);
        let mut space = Self { bytes, writable, bar2_bytes };
        space.fill();
        space
    }

    /// Makes it as after power-on.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.bar2_bytes);
    }

    fn fill(&mut self) {
        self.put16(0x00, PCI_VENDOR);
        self.put16(0x02, PCI_DEVICE);
        self.allow16(COMMAND, COMMAND_BITS);
        self.put16(STATUS, STATUS_CAPABILITIES);
        self.put32(0x08, PCI_CLASS << 8 | 1);
        self.writable[CACHE_LINE] = 0xff;
        self.bar(0, u64::from(BAR0_BYTES), 0);
        self.bar(2, self.bar2_bytes, BAR_64_BIT | BAR_PREFETCHABLE);
        self.bar(MSIX_BAR as usize, MSIX_BAR_BYTES, 0);
        self.put16(SUBSYSTEM, PCI_VENDOR);
        self.put16(SUBSYSTEM + 2, PCI_DEVICE);
        self.bytes[CAPABILITIES] = EXPRESS as u8;
        self.writable[INTERRUPT_LINE] = 0xff;
        self.express();
        self.put16(MSIX, u16::from(CAP_MSIX));
        self.put16(MSIX_CONTROL, u16::from(VECTOR_COUNT) - 1);
        self.allow16(MSIX_CONTROL, MSIX_CONTROL_BITS);
        self.put32(MSIX + 4, MSIX_BAR);
        self.put32(MSIX + 8, MSIX_PBA as u32 | MSIX_BAR);
    }

    fn express(&mut self) {
        self.put16(EXPRESS, u16::from(CAP_EXPRESS) | (MSIX as u16) << 8);
        self.put16(EXPRESS + 2, EXPRESS_FLAGS);
        self.put32(EXPRESS + 4, DEVICE_CAPABILITIES);
        self.allow16(DEVICE_CONTROL, 0x7fff);
        self.put32(LINK_CAPABILITIES, u32::from(LINK));
        self.allow16(LINK_CONTROL, 0x0dfb);
        self.put16(LINK_STATUS, LINK);
        self.allow16(DEVICE_CONTROL_2, 0xffff);
        self.allow16(LINK_CONTROL_2, 0xffff);
    }

    /// A memory BAR; one of 64 bits takes the next one's place, too.
    fn bar(&mut self, index: usize, byte_count: u64, kind: u32) {
        let at = BARS + 4 * index;
        let mask = !(byte_count - 1);
        self.put32(at, kind);
        self.allow32(at, mask as u32);
        if kind & BAR_64_BIT != 0 {
            self.allow32(at + 4, (mask >> 32) as u32);
        }
    }

    fn put16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn allow16(&mut self, at: usize, bits: u16) {
        self.writable[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    }

    fn allow32(&mut self, at: usize, bits: u32) {
        self.writable[at..at + 4].copy_from_slice(&bits.to_le_bytes());
    }

    /// Bytes of it, from `at` on; the range was checked.
    pub(crate) fn read(&self, at: usize, byte_count: usize) -> &[u8] {
        &self.bytes[at..at + byte_count]
    }

    /// Where a BAR of 32 bits is in the machine's memory, if the guest has switched on memory and
    /// bus master and has given it an address.
    pub(crate) fn memory_bar(&self, index: u32) -> Option<u64> {
        let word = |at: usize| self.bytes[at..].first_chunk().copied().map(u32::from_le_bytes);
        let (command, bar) = (word(COMMAND)?, word(BARS + 4 * index as usize)?);
        let base = bar & !0xf;
        (command & COMMAND_ON == COMMAND_ON && base != 0).then_some(base.into())
    }

    /// The guest writes bytes; the range was checked. What is read-only stays.
    pub(crate) fn write(&mut self, at: usize, from: &[u8]) -> Effect {
        for (place, value) in (at..).zip(from) {
            let mask = self.writable[place];
            self.bytes[place] = self.bytes[place] & !mask | value & mask;
        }
        let high = DEVICE_CONTROL + 1;
        let flr = (DEVICE_CONTROL_FLR >> 8) as u8;
        let reset = high.checked_sub(at).and_then(|place| from.get(place));
        if reset.is_some_and(|value| value & flr != 0) { Effect::Reset } else { Effect::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APERTURE: u64 = 64 << 20;

    fn word(space: &ConfigSpace, at: usize) -> u32 {
        u32::from_le_bytes(space.read(at, 4).try_into().unwrap())
    }

    #[test]
    fn bars_are_sized_as_every_driver_does_it() {
        let mut space = ConfigSpace::new(APERTURE);
        for at in (BARS..BARS + 24).step_by(4) {
            space.write(at, &[0xff; 4]);
        }
        let found: Vec<u32> = (0..6).map(|bar| word(&space, BARS + 4 * bar)).collect();
        let sized = [0xfffc_0000, 0, 0xfc00_000c, u32::MAX, 0xffff_e000, 0];
        assert_eq!(found, sized);
        space.write(BARS + 8, &0x8000_0000u32.to_le_bytes());
        assert_eq!(word(&space, BARS + 8), 0x8000_000c, "the type stays");
    }

    #[test]
    fn a_bar_is_where_the_guest_has_switched_it_on() {
        let mut space = ConfigSpace::new(APERTURE);
        assert_eq!(space.memory_bar(MSIX_BAR), None);
        space.write(COMMAND, &[6]);
        assert_eq!(space.memory_bar(MSIX_BAR), None, "it has no address");
        space.write(BARS + 16, &0xfebf_0000u32.to_le_bytes());
        assert_eq!(space.memory_bar(MSIX_BAR), Some(0xfebf_0000));
        space.write(COMMAND, &[2]);
        assert_eq!(space.memory_bar(MSIX_BAR), None, "what it writes does not arrive");
    }

    #[test]
    fn capabilities_are_a_list_that_ends() {
        let space = ConfigSpace::new(APERTURE);
        let mut at = usize::from(space.read(CAPABILITIES, 1)[0]);
        let mut found = Vec::new();
        while at != 0 {
            found.push(space.read(at, 1)[0]);
            at = usize::from(space.read(at + 1, 1)[0]);
        }
        assert_eq!(found, [CAP_EXPRESS, CAP_MSIX]);
        assert_eq!(word(&space, MSIX) >> 16, 31, "32 vectors");
        assert_ne!(word(&space, STATUS - 2) >> 16 & u32::from(STATUS_CAPABILITIES), 0);
    }

    #[test]
    fn only_a_write_of_the_reset_bit_resets_and_it_reads_as_0() {
        let mut space = ConfigSpace::new(APERTURE);
        assert_eq!(space.write(DEVICE_CONTROL, &[0x10, 0x28]), Effect::None);
        assert_eq!(space.write(DEVICE_CONTROL, &[0x10]), Effect::None);
        assert_eq!(space.write(DEVICE_CONTROL + 2, &[0xff, 0xff]), Effect::None);
        assert_eq!(space.write(DEVICE_CONTROL - 4, &[0x80; 4]), Effect::None);
        for (at, bytes) in [
            (DEVICE_CONTROL, [0, 0x80].as_slice()),
            (DEVICE_CONTROL, &[0, 0x80, 0, 0]),
            (DEVICE_CONTROL + 1, &[0x80]),
        ] {
            assert_eq!(space.write(at, bytes), Effect::Reset, "{at:#x}");
            assert_eq!(space.read(DEVICE_CONTROL + 1, 1)[0] & 0x80, 0);
        }
    }

    #[test]
    fn what_is_read_only_stays_and_a_reset_takes_the_rest_back() {
        let mut space = ConfigSpace::new(APERTURE);
        let blank = space.bytes;
        space.write(0, &[0xff; CONFIG_BYTES]);
        assert_eq!(word(&space, 0), word(&ConfigSpace::new(APERTURE), 0));
        assert_eq!(word(&space, COMMAND) as u16, COMMAND_BITS);
        assert_eq!(space.read(0x0d, 3), [0; 3]);
        space.reset();
        assert_eq!(space.bytes, blank);
    }
}
