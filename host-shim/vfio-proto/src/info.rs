//! What a device, its regions and its interrupts are.

use crate::WireError;
use crate::dma::argsz;
use crate::layout::{
    RawArea, RawCapability, RawDeviceInfo, RawIrqInfo, RawRegionInfo, RawRegionType, RawSparse,
    put, read, split,
};

/// Areas of a sparse mapping that a client takes.
const AREAS_MAX: u32 = 1024;
/// Capabilities of a region that a client takes.
const CAPABILITIES_MAX: usize = 16;
const CAP_SPARSE: u16 = 1;
const CAP_TYPE: u16 = 2;
const CAP_MSIX_MAPPABLE: u16 = 3;
const REGION_CAPS: u32 = 8;

/// Numbers of the regions of a PCI device.
pub mod region {
    /// The first of six BARs.
    pub const BAR0: u32 = 0;
    /// The expansion ROM.
    pub const ROM: u32 = 6;
    /// The configuration space.
    pub const CONFIG: u32 = 7;
    /// How many a PCI device has: VGA is the last.
    pub const COUNT: u32 = 9;
}

/// Numbers of the interrupts of a PCI device.
pub mod irq {
    /// The line.
    pub const INTX: u32 = 0;
    /// MSI.
    pub const MSI: u32 = 1;
    /// MSI-X.
    pub const MSIX: u32 = 2;
    /// Errors.
    pub const ERR: u32 = 3;
    /// The device is wanted back.
    pub const REQ: u32 = 4;
    /// How many kinds a PCI device has.
    pub const COUNT: u32 = 5;
}

bitflags::bitflags! {
    /// What a device is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeviceFlags: u32 {
        /// It can be reset.
        const RESET = 1;
        /// It is a PCI device.
        const PCI = 2;
    }

    /// How a region can be used.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RegionFlags: u32 {
        /// It can be read.
        const READ = 1;
        /// It can be written.
        const WRITE = 2;
        /// It can be mapped, by the descriptor that comes with the answer.
        const MMAP = 4;
    }

    /// How an interrupt can be used.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IrqFlags: u32 {
        /// It is signalled by event descriptors.
        const EVENTFD = 1;
        /// It can be masked.
        const MASKABLE = 2;
        /// It masks itself.
        const AUTOMASKED = 4;
        /// Its vectors are bound all at once.
        const NORESIZE = 8;
    }
}

/// The answer to DEVICE_GET_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What it is.
    pub flags: DeviceFlags,
    /// Its regions, with those that are not there: 9 at least for PCI.
    pub region_count: u32,
    /// Its kinds of interrupts: 5 for PCI.
    pub irq_count: u32,
}

pub(crate) const DEVICE_INFO_BYTES: usize = size_of::<RawDeviceInfo>();
pub(crate) const REGION_INFO_BYTES: usize = size_of::<RawRegionInfo>();
pub(crate) const IRQ_INFO_BYTES: usize = size_of::<RawIrqInfo>();

impl DeviceInfo {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let raw: RawDeviceInfo = read(body)?;
        Ok(Self {
            flags: DeviceFlags::from_bits_truncate(raw.flags.get()),
            region_count: raw.region_count.get(),
            irq_count: raw.irq_count.get(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(
            out,
            &RawDeviceInfo {
                argsz: (DEVICE_INFO_BYTES as u32).into(),
                flags: self.flags.bits().into(),
                region_count: self.region_count.into(),
                irq_count: self.irq_count.into(),
            },
        );
    }

    /// The body of the command.
    pub(crate) fn ask(out: &mut Vec<u8>) {
        let none = 0u32.into();
        let argsz = (DEVICE_INFO_BYTES as u32).into();
        put(out, &RawDeviceInfo { argsz, flags: none, region_count: none, irq_count: none });
    }

    pub(crate) fn asked(body: &[u8]) -> Result<(), WireError> {
        let raw: RawDeviceInfo = read(body)?;
        argsz(raw.argsz.get(), DEVICE_INFO_BYTES)
    }
}

/// Part of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its first byte in the region.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// What more is said of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionCapability {
    /// Only these areas can be mapped.
    SparseMmap(Vec<Area>),
    /// What a device-specific region is for.
    Type {
        /// Its type.
        kind: u32,
        /// Its subtype.
        subtype: u32,
    },
    /// The MSI-X table lies in it, and can be mapped all the same.
    MsixMappable,
}

impl RegionCapability {
    fn bytes(&self) -> usize {
        size_of::<RawCapability>()
            + match self {
                Self::SparseMmap(areas) => {
                    size_of::<RawSparse>() + areas.len() * size_of::<RawArea>()
                }
                Self::Type { .. } => size_of::<RawRegionType>(),
                Self::MsixMappable => 0,
            }
    }

    fn encode(&self, next: u32, out: &mut Vec<u8>) {
        let id = match self {
            Self::SparseMmap(_) => CAP_SPARSE,
            Self::Type { .. } => CAP_TYPE,
            Self::MsixMappable => CAP_MSIX_MAPPABLE,
        };
        put(out, &RawCapability { id: id.into(), version: 1.into(), next: next.into() });
        match self {
            Self::SparseMmap(areas) => {
                let (area_count, reserved) = ((areas.len() as u32).into(), 0.into());
                put(out, &RawSparse { area_count, reserved });
                for area in areas {
                    let (offset, size) = (area.offset.into(), area.length.into());
                    put(out, &RawArea { offset, size });
                }
            }
            Self::Type { kind, subtype } => {
                put(out, &RawRegionType { kind: (*kind).into(), subtype: (*subtype).into() });
            }
            Self::MsixMappable => {}
        }
    }

    /// One at the front of `bytes`, unless it is of a kind that is not known, and where the next
    /// is.
    fn parse(bytes: &[u8]) -> Result<(Option<Self>, u32), WireError> {
        let (raw, rest) = split::<RawCapability>(bytes)?;
        let capability = match raw.id.get() {
            CAP_SPARSE => {
                let (sparse, mut rest) = split::<RawSparse>(rest)?;
                let count = sparse.area_count.get();
                if count > AREAS_MAX {
                    return Err(WireError::Ranges(count));
                }
                let mut areas = Vec::new();
                for _ in 0..count {
                    let (area, after) = split::<RawArea>(rest)?;
                    areas.push(Area { offset: area.offset.get(), length: area.size.get() });
                    rest = after;
                }
                Some(Self::SparseMmap(areas))
            }
            CAP_TYPE => {
                let (raw, _) = split::<RawRegionType>(rest)?;
                Some(Self::Type { kind: raw.kind.get(), subtype: raw.subtype.get() })
            }
            CAP_MSIX_MAPPABLE => Some(Self::MsixMappable),
            _ => None,
        };
        Ok((capability, raw.next.get()))
    }
}

/// The answer to DEVICE_GET_REGION_INFO. One of a region that is not there has no flags and no
/// length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Which region.
    pub index: u32,
    /// How it can be used.
    pub flags: RegionFlags,
    /// Its length in bytes.
    pub length: u64,
    /// Where it begins in the descriptor's file.
    pub offset: u64,
    /// What more there is to say.
    pub capabilities: Vec<RegionCapability>,
}

impl RegionInfo {
    /// A region that is not there.
    pub fn absent(index: u32) -> Self {
        let flags = RegionFlags::empty();
        Self { index, flags, length: 0, offset: 0, capabilities: Vec::new() }
    }

    /// Bytes that a client must have room for: what it says as `argsz` when it asks.
    pub fn argsz(&self) -> u32 {
        let capabilities: usize = self.capabilities.iter().map(RegionCapability::bytes).sum();
        (REGION_INFO_BYTES + capabilities) as u32
    }

    /// Whether all of it fits a client's room. Where it does not, the answer says what room is
    /// needed, without capabilities, and no descriptor goes with it: the client asks again.
    pub fn fits(&self, room: u32) -> bool {
        self.argsz() <= room
    }

    pub(crate) fn encode(&self, room: u32, out: &mut Vec<u8>) {
        let shown = self.fits(room) && !self.capabilities.is_empty();
        let caps = if shown { REGION_CAPS } else { 0 };
        put(
            out,
            &RawRegionInfo {
                argsz: self.argsz().into(),
                flags: (self.flags.bits() | caps).into(),
                index: self.index.into(),
                cap_offset: (if shown { REGION_INFO_BYTES as u32 } else { 0 }).into(),
                size: self.length.into(),
                offset: self.offset.into(),
            },
        );
        let mut at = REGION_INFO_BYTES;
        for (place, capability) in self.capabilities.iter().enumerate().filter(|_| shown) {
            at += capability.bytes();
            let is_last = place + 1 == self.capabilities.len();
            capability.encode(if is_last { 0 } else { at as u32 }, out);
        }
    }

    /// Reads an answer; with it comes the room that is needed for all of it.
    pub(crate) fn parse(body: &[u8]) -> Result<(Self, u32), WireError> {
        let (raw, _) = split::<RawRegionInfo>(body)?;
        let (bits, mut next) = (raw.flags.get(), raw.cap_offset.get());
        if bits & REGION_CAPS == 0 {
            next = 0;
        }
        let mut capabilities = Vec::new();
        for _ in 0..CAPABILITIES_MAX {
            if next == 0 {
                break;
            }
            // None lies in front of the one before it, so the list ends.
            let at = next as usize;
            let wanted = at + size_of::<RawCapability>();
            let rest = body.get(at..).filter(|_| at >= REGION_INFO_BYTES);
            let rest = rest.ok_or(WireError::Length { found: body.len(), wanted })?;
            let (capability, after) = RegionCapability::parse(rest)?;
            capabilities.extend(capability);
            next = if after as usize > at { after } else { 0 };
        }
        let info = Self {
            index: raw.index.get(),
            flags: RegionFlags::from_bits_truncate(bits),
            length: raw.size.get(),
            offset: raw.offset.get(),
            capabilities,
        };
        Ok((info, raw.argsz.get()))
    }

    pub(crate) fn ask(index: u32, room: u32, out: &mut Vec<u8>) {
        put(
            out,
            &RawRegionInfo {
                argsz: room.into(),
                flags: 0.into(),
                index: index.into(),
                cap_offset: 0.into(),
                size: 0.into(),
                offset: 0.into(),
            },
        );
    }

    /// Which region is asked for, and what room there is for the answer.
    pub(crate) fn asked(body: &[u8]) -> Result<(u32, u32), WireError> {
        let (raw, _) = split::<RawRegionInfo>(body)?;
        argsz(raw.argsz.get(), REGION_INFO_BYTES)?;
        Ok((raw.index.get(), raw.argsz.get()))
    }
}

/// The answer to DEVICE_GET_IRQ_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqInfo {
    /// Which kind of interrupt.
    pub index: u32,
    /// How it can be used.
    pub flags: IrqFlags,
    /// Its vectors.
    pub count: u32,
}

impl IrqInfo {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let raw: RawIrqInfo = read(body)?;
        let flags = IrqFlags::from_bits_truncate(raw.flags.get());
        Ok(Self { index: raw.index.get(), flags, count: raw.count.get() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(
            out,
            &RawIrqInfo {
                argsz: (IRQ_INFO_BYTES as u32).into(),
                flags: self.flags.bits().into(),
                index: self.index.into(),
                count: self.count.into(),
            },
        );
    }

    pub(crate) fn asked(body: &[u8]) -> Result<u32, WireError> {
        let raw: RawIrqInfo = read(body)?;
        argsz(raw.argsz.get(), IRQ_INFO_BYTES)?;
        Ok(raw.index.get())
    }
}
