//! Fixed parts of messages as they lie on the wire: packed, and little-endian, as hosts with
//! vfio-user are. (The protocol says "host-endian", and is spoken within one host.)

use crate::WireError;
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! layouts {
    ($($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $kind:ty,)+ })+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
            #[repr(C)]
            pub(crate) struct $name {
                $(pub(crate) $field: $kind,)+
            }
        )+
    };
}

layouts! {
    /// Every message.
    RawHeader { id: U16, command: U16, size: U32, flags: U32, error: U32, }
    /// VERSION, before its text.
    RawVersion { major: U16, minor: U16, }
    /// DMA_MAP.
    RawDmaMap { argsz: U32, flags: U32, offset: U64, address: U64, size: U64, }
    /// DMA_UNMAP.
    RawDmaUnmap { argsz: U32, flags: U32, address: U64, size: U64, }
    /// DEVICE_GET_INFO.
    RawDeviceInfo { argsz: U32, flags: U32, region_count: U32, irq_count: U32, }
    /// DEVICE_GET_REGION_INFO.
    RawRegionInfo { argsz: U32, flags: U32, index: U32, cap_offset: U32, size: U64, offset: U64, }
    /// A capability of a region.
    RawCapability { id: U16, version: U16, next: U32, }
    /// After it, those of a sparse mapping.
    RawSparse { area_count: U32, reserved: U32, }
    /// An area that can be mapped.
    RawArea { offset: U64, size: U64, }
    /// What kind of device-specific region it is.
    RawRegionType { kind: U32, subtype: U32, }
    /// DEVICE_GET_IRQ_INFO.
    RawIrqInfo { argsz: U32, flags: U32, index: U32, count: U32, }
    /// DEVICE_SET_IRQS, before its data.
    RawSetIrqs { argsz: U32, flags: U32, index: U32, start: U32, count: U32, }
    /// REGION_READ and REGION_WRITE, before the data.
    RawAccess { offset: U64, region: U32, count: U32, }
    /// An entry of REGION_WRITE_MULTI.
    RawWrite { offset: U64, region: U32, count: U32, data: [u8; 8], }
    /// DMA_READ and DMA_WRITE, before the data.
    RawDma { address: U64, count: U64, }
    /// DEVICE_FEATURE, before its data.
    RawFeature { argsz: U32, flags: U32, }
    /// The state of a migration.
    RawState { device_state: U32, data_fd: U32, }
    /// A log of DMA is to begin; ranges follow.
    RawLogStart { page_size: U64, range_count: U32, reserved: U32, }
    /// A range of it.
    RawRange { iova: U64, length: U64, }
    /// What of a log is to be reported; the bitmap follows.
    RawLogReport { iova: U64, length: U64, page_size: U64, }
    /// What is left to be read before a stop.
    RawPrecopy { initial_bytes: U64, dirty_bytes: U64, flags: U32, reserved: U32, }
    /// MIG_DATA_READ and MIG_DATA_WRITE, before the data.
    RawMigData { argsz: U32, size: U32, }
}

/// Reads a part that is all there is.
pub(crate) fn read<T: FromBytes>(bytes: &[u8]) -> Result<T, WireError> {
    let short = WireError::Length { found: bytes.len(), wanted: size_of::<T>() };
    T::read_from_bytes(bytes).map_err(|_| short)
}

/// Reads a part, and returns what follows.
pub(crate) fn split<T: FromBytes>(bytes: &[u8]) -> Result<(T, &[u8]), WireError> {
    let short = WireError::Length { found: bytes.len(), wanted: size_of::<T>() };
    T::read_from_prefix(bytes).map_err(|_| short)
}

pub(crate) fn put(out: &mut Vec<u8>, part: &(impl IntoBytes + Immutable)) {
    out.extend_from_slice(part.as_bytes());
}
