//! Windows of bus addresses, and the server's accesses to memory that no descriptor shares.

use crate::layout::{RawDma, RawDmaMap, RawDmaUnmap, put, read, split};
use crate::{Limits, WireError};

bitflags::bitflags! {
    /// How a window may be used.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DmaFlags: u32 {
        /// The device may read.
        const READ = 1;
        /// The device may write.
        const WRITE = 2;
        /// Its descriptor can be mapped; libvfio-user says so.
        const MMAP = 4;
        /// Its descriptor can be read and written; libvfio-user says so.
        const FILE_IO = 8;
    }
}

/// DMA_MAP: a window. Its memory is that of the descriptor that comes with the message, or is
/// reached by [`DmaAccess`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaMap {
    /// How it may be used.
    pub flags: DmaFlags,
    /// Where it begins in the descriptor's file.
    pub offset: u64,
    /// Its first bus address.
    pub iova: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl DmaMap {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let raw: RawDmaMap = read(body)?;
        argsz(raw.argsz.get(), size_of::<RawDmaMap>())?;
        let flags = raw.flags.get();
        let map = Self {
            flags: DmaFlags::from_bits(flags).ok_or(WireError::Flags(flags))?,
            offset: raw.offset.get(),
            iova: raw.address.get(),
            length: raw.size.get(),
        };
        range(map.iova, map.length)?;
        range(map.offset, map.length)?;
        Ok(map)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(
            out,
            &RawDmaMap {
                argsz: (size_of::<RawDmaMap>() as u32).into(),
                flags: self.flags.bits().into(),
                offset: self.offset.into(),
                address: self.iova.into(),
                size: self.length.into(),
            },
        );
    }
}

/// DMA_UNMAP, and its answer, which says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaUnmap {
    /// One window, by exactly what it was mapped with.
    One {
        /// Its first bus address.
        iova: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// All of them.
    All,
}

const UNMAP_ALL: u32 = 2;

impl DmaUnmap {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let raw: RawDmaUnmap = read(body)?;
        argsz(raw.argsz.get(), size_of::<RawDmaUnmap>())?;
        let (iova, length) = (raw.address.get(), raw.size.get());
        match raw.flags.get() {
            0 => {
                range(iova, length)?;
                Ok(Self::One { iova, length })
            }
            UNMAP_ALL if iova == 0 && length == 0 => Ok(Self::All),
            UNMAP_ALL => Err(WireError::Range { iova, length }),
            // A bitmap of dirty pages with it (1) is of an older protocol.
            flags => Err(WireError::Flags(flags)),
        }
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let (flags, iova, length) = match self {
            Self::One { iova, length } => (0, iova, length),
            Self::All => (UNMAP_ALL, 0, 0),
        };
        put(
            out,
            &RawDmaUnmap {
                argsz: (size_of::<RawDmaUnmap>() as u32).into(),
                flags: flags.into(),
                address: iova.into(),
                size: length.into(),
            },
        );
    }
}

/// DMA_READ or DMA_WRITE: what a server asks of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaAccess<'a> {
    /// So many bytes are wanted.
    Read {
        /// The first bus address.
        iova: u64,
        /// How many.
        count: u64,
    },
    /// These bytes are to be written.
    Write {
        /// The first bus address.
        iova: u64,
        /// The bytes.
        data: &'a [u8],
    },
}

impl<'a> DmaAccess<'a> {
    pub(crate) fn parse_read(body: &[u8], limits: &Limits) -> Result<Self, WireError> {
        let raw: RawDma = read(body)?;
        let (iova, count) = (raw.address.get(), raw.count.get());
        data(count, limits)?;
        range(iova, count)?;
        Ok(Self::Read { iova, count })
    }

    pub(crate) fn parse_write(body: &'a [u8], limits: &Limits) -> Result<Self, WireError> {
        let (iova, bytes) = access_data(body)?;
        data(bytes.len() as u64, limits)?;
        range(iova, bytes.len() as u64)?;
        Ok(Self::Write { iova, data: bytes })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Read { iova, count } => put_dma(out, iova, count),
            Self::Write { iova, data } => {
                put_dma(out, iova, data.len() as u64);
                out.extend_from_slice(data);
            }
        }
    }
}

pub(crate) fn put_dma(out: &mut Vec<u8>, iova: u64, count: u64) {
    put(out, &RawDma { address: iova.into(), count: count.into() });
}

/// An address, and as many bytes as are said to follow.
pub(crate) fn access_data(body: &[u8]) -> Result<(u64, &[u8]), WireError> {
    let (raw, bytes) = split::<RawDma>(body)?;
    let wanted = usize::try_from(raw.count.get()).unwrap_or(usize::MAX);
    if bytes.len() != wanted {
        return Err(WireError::Length { found: bytes.len(), wanted });
    }
    Ok((raw.address.get(), bytes))
}

/// What is said of an address and a count, alone.
pub(crate) fn access_count(body: &[u8]) -> Result<(u64, u64), WireError> {
    let raw: RawDma = read(body)?;
    Ok((raw.address.get(), raw.count.get()))
}

/// Checks that `argsz` covers so much.
pub(crate) fn argsz(found: u32, wanted: usize) -> Result<(), WireError> {
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    if found < wanted { Err(WireError::Argsz { found, wanted }) } else { Ok(()) }
}

/// Checks a range of addresses.
pub(crate) fn range(iova: u64, length: u64) -> Result<(), WireError> {
    match iova.checked_add(length) {
        Some(_) if length != 0 => Ok(()),
        _ => Err(WireError::Range { iova, length }),
    }
}

/// Checks an amount of data.
pub(crate) fn data(found: u64, limits: &Limits) -> Result<(), WireError> {
    let most = limits.data_bytes;
    if found > u64::from(most) { Err(WireError::Data { found, most }) } else { Ok(()) }
}
