//! Flat memory that refuses what the kernels are not allowed to do.

use ckb_vm::{Bytes, Error, Memory};

/// The whole partition. A misaligned access is an error.
pub struct FlatMemory {
    bytes: Vec<u8>,
    reserved: u64,
}

impl FlatMemory {
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, reserved: u64::MAX }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn fill(&mut self, address: u64, size: u64, value: u8) {
        self.bytes[address as usize..][..size as usize].fill(value);
    }

    fn at<const N: usize>(&mut self, address: u64) -> Result<&mut [u8; N], Error> {
        if !address.is_multiple_of(N as u64) {
            return Err(Error::External(format!("{N} bytes at {address:#x} are misaligned")));
        }
        let rest = usize::try_from(address).ok().and_then(|at| self.bytes.get_mut(at..));
        rest.and_then(|rest| rest.first_chunk_mut()).ok_or(Error::MemOutOfBound)
    }
}

impl Memory for FlatMemory {
    type REG = u64;

    fn new() -> Self {
        Self::new_with_memory(0)
    }
    fn new_with_memory(size: usize) -> Self {
        Self::of(vec![0; size])
    }
    fn memory_size(&self) -> usize {
        self.bytes.len()
    }

    // Instructions of 4 bytes may lie at any even address.
    fn execute_load16(&mut self, address: u64) -> Result<u16, Error> {
        self.at(address).map(|bytes| u16::from_le_bytes(*bytes))
    }
    fn execute_load32(&mut self, address: u64) -> Result<u32, Error> {
        let low = self.execute_load16(address)?;
        Ok(u32::from(self.execute_load16(address + 2)?) << 16 | u32::from(low))
    }

    fn load8(&mut self, address: &u64) -> Result<u64, Error> {
        self.at(*address).map(|bytes| u8::from_le_bytes(*bytes).into())
    }
    fn load16(&mut self, address: &u64) -> Result<u64, Error> {
        self.at(*address).map(|bytes| u16::from_le_bytes(*bytes).into())
    }
    fn load32(&mut self, address: &u64) -> Result<u64, Error> {
        self.at(*address).map(|bytes| u32::from_le_bytes(*bytes).into())
    }
    fn load64(&mut self, address: &u64) -> Result<u64, Error> {
        self.at(*address).map(|bytes| u64::from_le_bytes(*bytes))
    }
    fn store8(&mut self, address: &u64, value: &u64) -> Result<(), Error> {
        self.at(*address).map(|bytes| *bytes = (*value as u8).to_le_bytes())
    }
    fn store16(&mut self, address: &u64, value: &u64) -> Result<(), Error> {
        self.at(*address).map(|bytes| *bytes = (*value as u16).to_le_bytes())
    }
    fn store32(&mut self, address: &u64, value: &u64) -> Result<(), Error> {
        self.at(*address).map(|bytes| *bytes = (*value as u32).to_le_bytes())
    }
    fn store64(&mut self, address: &u64, value: &u64) -> Result<(), Error> {
        self.at(*address).map(|bytes| *bytes = value.to_le_bytes())
    }

    fn lr(&self) -> &u64 {
        &self.reserved
    }
    fn set_lr(&mut self, value: &u64) {
        self.reserved = *value;
    }

    // The rest serves loaders and page permissions, which are not used here.
    fn init_pages(&mut self, _: u64, _: u64, _: u8, _: Option<Bytes>, _: u64) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }
    fn fetch_flag(&mut self, _: u64) -> Result<u8, Error> {
        Err(Error::Unimplemented)
    }
    fn set_flag(&mut self, _: u64, _: u8) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }
    fn clear_flag(&mut self, _: u64, _: u8) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }
    fn store_byte(&mut self, _: u64, _: u64, _: u8) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }
    fn store_bytes(&mut self, _: u64, _: &[u8]) -> Result<(), Error> {
        Err(Error::Unimplemented)
    }
    fn load_bytes(&mut self, _: u64, _: u64) -> Result<Bytes, Error> {
        Err(Error::Unimplemented)
    }
}
