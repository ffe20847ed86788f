//! How the guest reaches its device.

use crate::GuestError;

/// The BARs of one vGPU.
///
/// Writes reach the device in the order in which they are made, those to BAR2 before a later
/// one to BAR0 too: a doorbell tells of entries that were written before. An implementation
/// over real mappings has the barriers that this takes.
pub trait Bars {
    /// What can go wrong on the way to the device.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Reads the register at `offset` of BAR0, a multiple of 4.
    fn read32(&mut self, offset: u32) -> Result<u32, Self::Error>;

    /// Writes the register at `offset` of BAR0, a multiple of 4.
    fn write32(&mut self, offset: u32, value: u32) -> Result<(), Self::Error>;

    /// Reads bytes of BAR2, the aperture. Four bytes at a multiple of 4 are one access.
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes bytes of BAR2, the aperture. Four bytes at a multiple of 4 are one access.
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), Self::Error>;
}

impl<B: Bars + ?Sized> Bars for &mut B {
    type Error = B::Error;

    fn read32(&mut self, offset: u32) -> Result<u32, Self::Error> {
        (**self).read32(offset)
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), Self::Error> {
        (**self).write32(offset, value)
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(at, into)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), Self::Error> {
        (**self).write(at, from)
    }
}

/// The little-endian word at `at` of the aperture, a multiple of 4: a semaphore, say.
pub fn load_word(bars: &mut impl Bars, at: u64) -> Result<u32, GuestError> {
    let mut bytes = [0; 4];
    read(bars, at, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Writes the little-endian word at `at` of the aperture, a multiple of 4.
pub fn store_word(bars: &mut impl Bars, at: u64, value: u32) -> Result<(), GuestError> {
    write(bars, at, &value.to_le_bytes())
}

pub(crate) fn read32(bars: &mut impl Bars, offset: u32) -> Result<u32, GuestError> {
    bars.read32(offset).map_err(GuestError::bars)
}

pub(crate) fn write32(bars: &mut impl Bars, offset: u32, value: u32) -> Result<(), GuestError> {
    bars.write32(offset, value).map_err(GuestError::bars)
}

pub(crate) fn read(bars: &mut impl Bars, at: u64, into: &mut [u8]) -> Result<(), GuestError> {
    bars.read(at, into).map_err(GuestError::bars)
}

pub(crate) fn write(bars: &mut impl Bars, at: u64, from: &[u8]) -> Result<(), GuestError> {
    bars.write(at, from).map_err(GuestError::bars)
}
